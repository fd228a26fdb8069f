/** What tasks write, followed from the command line by the compiled binary. */

import { expect, test } from "bun:test";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";

import { join } from "@std/path";

import { until } from "../integration/scratch.ts";
import { BINARY } from "./built.ts";

/** A command line that runs. */
interface Running {
  readonly child: ChildProcess;
  stdout: string;
  stderr: string;
  readonly ended: Promise<number | null>;
}

/** A home with a manager. */
class Bench implements AsyncDisposable {
  readonly folder: string;
  readonly #running: Running[] = [];

  private constructor(folder: string) {
    this.folder = folder;
    this.start("manager", "--name", "demo");
  }

  static async open(): Promise<Bench> {
    return new Bench(await mkdtemp(join(tmpdir(), "tendril-follow-")));
  }

  start(...args: string[]): Running {
    const child = spawn(BINARY, args, { ...this.#options(), stdio: ["ignore", "pipe", "pipe"] });
    const ended = once(child, "close").then(() => child.exitCode);
    const running: Running = { child, stdout: "", stderr: "", ended };
    child.stdout.on("data", (bytes) => running.stdout += String(bytes));
    child.stderr.on("data", (bytes) => running.stderr += String(bytes));
    this.#running.push(running);
    return running;
  }

  run(...args: string[]): { status: number | null; stdout: string; stderr: string } {
    const options = { ...this.#options(), encoding: "utf8" as const, timeout: 60_000 };
    const { status, stdout, stderr } = spawnSync(BINARY, args, options);
    return { status, stdout, stderr };
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { child, ended } of this.#running.reverse()) {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
      await ended;
    }
    await rm(this.folder, { recursive: true, force: true });
  }

  #options() {
    const env = { PATH: process.env["PATH"], HOME: this.folder, TMPDIR: this.folder };
    return { cwd: this.folder, env };
  }
}

test("logs --follow waits for the start, prints as the task writes and ends with it", async () => {
  await using bench = await Bench.open();
  const go = bench.path("go");
  const command = `echo one; echo err >&2; while [ ! -e ${go} ]; do sleep 0.02; done; echo two`;
  expect(bench.run("submit", "--", command)).toMatchObject({ status: 0 });
  const out = bench.start("logs", "1", "--follow");
  const err = bench.start("logs", "1", "--follow", "--stderr");
  bench.start("worker", "--name", "demo");
  await until(() => out.stdout === "one\n" && err.stdout === "err\n", "the first lines are there");
  writeFileSync(go, "");
  expect(await Promise.all([out.ended, err.ended])).toEqual([0, 0]);
  expect([out.stdout, err.stdout]).toEqual(["one\ntwo\n", "err\n"]);
  // Of a task that has ended it prints what is kept.
  expect(bench.run("logs", "1", "--follow")).toMatchObject({ status: 0, stdout: "one\ntwo\n" });
});

test("logs --follow of several tasks says whose each line is", async () => {
  await using bench = await Bench.open();
  bench.start("worker", "--name", "demo", "--cores", "2");
  const go = bench.path("go");
  const command = `printf "a$TENDRIL_ARRAY_ID\\nb"; while [ ! -e ${go} ]; do sleep 0.02; done; ` +
    'printf "c\\n\\nend"';
  expect(bench.run("submit", "--array", "1-2", "--", command)).toMatchObject({ status: 0 });
  const out = bench.start("logs", "last", "--follow");
  await until(() => /1: a1/.test(out.stdout) && /2: a2/.test(out.stdout), "both are seen");
  writeFileSync(go, "");
  expect(await out.ended).toBe(0);
  for (const id of [1, 2]) {
    const lines = out.stdout.split("\n").filter((line) => line.startsWith(`${id}: `));
    expect(lines).toEqual([`${id}: a${id}`, `${id}: bc`, `${id}: `, `${id}: end`]);
  }
});

test("logs --follow refuses --json, and tasks that are not there", async () => {
  await using bench = await Bench.open();
  expect(bench.run("logs", "1", "--follow", "--json")).toMatchObject({
    status: 2,
    stderr: "tendril logs: Cannot follow with --json: one document has an end\n",
  });
  expect(bench.run("logs", "7", "--follow")).toMatchObject({ status: 1, stdout: "" });
});
