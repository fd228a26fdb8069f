/** Tasks without writing code, by the compiled binary alone. */

import { expect, test } from "bun:test";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import process from "node:process";
import { pathToFileURL } from "node:url";

import { join } from "@std/path";

import { BINARY } from "./built.ts";

/** A home with a manager and perhaps a worker, started as the README says. */
class Bench implements AsyncDisposable {
  readonly folder: string;
  readonly #children: ChildProcess[] = [];

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async open(): Promise<Bench> {
    return new Bench(await mkdtemp(join(tmpdir(), "tendril-submit-")));
  }

  start(...args: string[]): ChildProcess {
    const child = spawn(BINARY, args, { ...this.#options(), stdio: "ignore" });
    this.#children.push(child);
    return child;
  }

  run(...args: string[]): { status: number | null; stdout: string; stderr: string } {
    const options = { ...this.#options(), encoding: "utf8" as const, timeout: 60_000 };
    const { status, stdout, stderr } = spawnSync(BINARY, args, options);
    return { status, stdout, stderr };
  }

  spawn(...args: string[]): ChildProcess {
    const child = spawn(BINARY, args, { ...this.#options(), stdio: ["ignore", "pipe", "pipe"] });
    this.#children.push(child);
    return child;
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, "exit");
      child.kill("SIGTERM");
      await ended;
    }
    await rm(this.folder, { recursive: true, force: true });
  }

  #options() {
    const env = { PATH: process.env["PATH"], HOME: this.folder, TMPDIR: this.folder };
    return { cwd: this.folder, env };
  }
}

test("an array is submitted to a manager that only starts, waited for and read", async () => {
  await using bench = await Bench.open();
  bench.start("manager", "--name", "demo");
  bench.start("worker", "--name", "demo");
  const submitted = bench.run(
    "submit",
    "--wait",
    "--array",
    "1-20",
    "--",
    "echo $TENDRIL_ARRAY_ID",
  );
  expect(submitted).toMatchObject({ status: 0, stdout: "submitted tasks 1-20\n" });
  expect(submitted.stderr).toMatch(/tasks: 20 succeeded; in [^\n]+\n$/);
  const numbers = Array.from({ length: 20 }, (_, index) => `${index + 1}\n`).join("");
  expect(bench.run("logs", "last")).toEqual({ status: 0, stdout: numbers, stderr: "" });
  const status = JSON.parse(bench.run("status", "--json").stdout);
  expect([status.version, status.name, status.tasks.succeeded]).toEqual([1, "demo", 20]);
  const tasks = JSON.parse(bench.run("tasks", "3-4", "--json").stdout);
  expect(tasks).toMatchObject({ version: 1, tasks: [{ id: 3, outcome: "success" }, { id: 4 }] });
  expect(bench.run("tasks", "3").stdout).toMatch(
    /^ID {2}STATE {2}OUTCOME {2}TRY {2}HOST[^\n]*\n 3 {2}done {3}success {4}1 {2}.*echo \$TENDRIL_/,
  );
  expect(bench.run("workers").stdout).toContain("connected");
  const logs = bench.spawn("logs", "last");
  // Nobody reads.
  logs.stdout?.destroy();
  let said = "";
  logs.stderr?.on("data", (bytes) => said += bytes);
  expect(await once(logs, "close")).toEqual([141, null]);
  expect(said).toBe("");
}, 120_000);

test("a member that fails makes --wait fail, with its number and what it wrote last", async () => {
  await using bench = await Bench.open();
  bench.start("manager", "--name", "demo");
  bench.start("worker", "--name", "demo");
  const command = '[ $TENDRIL_ARRAY_ID != 2 ] || { echo "no oak" >&2; exit 4; }';
  const failed = bench.run("submit", "--wait", "--array", "1-3", "--", command);
  expect(failed).toMatchObject({ status: 1, stdout: "submitted tasks 1-3\n" });
  expect(failed.stderr).toContain(
    "task 2 ended as exit: The command ended with exit code 4\n  no oak\n" +
      "more of it: tendril logs 2 --stderr\ntasks: 2 succeeded, 1 failed;",
  );
  const waited = bench.run("wait", "last", "--json");
  expect(waited.status).toBe(1);
  expect(JSON.parse(waited.stdout)).toMatchObject({
    version: 1,
    counts: { total: 3, succeeded: 2, failed: 1 },
    failures: [{ id: 2, outcome: "exit", exitCode: 4, stderr: "no oak\n" }],
  });
  expect(bench.run("wait", "1,3").status).toBe(0);
  expect(bench.run("logs", "2", "--stderr")).toMatchObject({ status: 0, stdout: "no oak\n" });
  const list = bench.run("tasks", "--failed");
  expect(list.stdout.trim().split("\n")).toHaveLength(2);
  for (const args of [["wait", "9"], ["logs", "9"], ["cancel", "9"], ["explain", "9"]]) {
    const unknown = bench.run(...args);
    expect(unknown).toMatchObject({ status: 1, stdout: "" });
    expect(unknown.stderr).toMatch(/^tendril [a-z]+: [^\n]+\n$/);
  }
}, 120_000);

test("urls are inputs and outputs by their names alone", async () => {
  await using bench = await Bench.open();
  bench.start("manager", "--name", "demo");
  bench.start("worker", "--name", "demo");
  await writeFile(bench.path("names"), "oak\n");
  const url = (name: string) => pathToFileURL(bench.path(name)).href;
  const done = bench.run(
    "submit",
    "--wait",
    "--array",
    "1-2",
    "--input",
    `names=${url("names")}`,
    "--output",
    `out=${url("out-")}%{ARRAY_ID}`,
    "--",
    "cat names > out",
  );
  expect(done).toMatchObject({ status: 0, stdout: "submitted tasks 1-2\n" });
  for (const name of ["out-1", "out-2"]) {
    expect(await readFile(bench.path(name), "utf8")).toBe("oak\n");
  }
  const wrong = bench.run("submit", "--input", "x=http://user:secret@/", "--", "true");
  expect(wrong).toMatchObject({ status: 2, stdout: "" });
  expect(wrong.stderr).toContain("--input x");
  expect(wrong.stderr).not.toContain("secret");
}, 120_000);

test("files, lines and words of a command arrive as they are", async () => {
  await using bench = await Bench.open();
  bench.start("manager", "--name", "demo");
  bench.start("worker", "--name", "demo");
  await writeFile(bench.path("names"), "oak tree\n$(date)\n'elm'\n");
  await mkdir(bench.path("data"));
  await writeFile(bench.path("data/x"), "x of ");
  const each = bench.run(
    ...["submit", "--wait", "--each-line", "names", "--array", "1-2"],
    ...["--input", "in=data", "--output", "out=made/%{ARRAY_ID}.txt", "--env", "Q=a b"],
    ...["--", 'cat in/x > out; echo "$TENDRIL_ENTRY, $Q" >> out'],
  );
  expect(each).toMatchObject({ status: 0 });
  expect(await readFile(bench.path("made/1.txt"), "utf8")).toBe("x of oak tree, a b\n");
  expect(await readFile(bench.path("made/2.txt"), "utf8")).toBe("x of $(date), a b\n");
  bench.run("submit", "--wait", "printf", "[%s]", "a b", "$HOME", "it's", "--wait");
  expect(bench.run("logs", "last").stdout).toBe("[a b][$HOME][it's][--wait]");
}, 120_000);

test("tasks go on when the wait for them is interrupted, and can be cancelled", async () => {
  await using bench = await Bench.open();
  bench.start("manager", "--name", "demo");
  const waiting = bench.spawn("submit", "--progress", "--name", "demo", "--", "sleep 100");
  let said = "";
  waiting.stderr?.on("data", (bytes) => said += bytes);
  while (!said.includes("1 waiting")) await once(waiting.stderr ?? waiting, "data");
  const ended = once(waiting, "exit");
  waiting.kill("SIGINT");
  expect(await ended).toEqual([130, null]);
  expect(said).toContain(
    "tendril submit: the tasks go on; to end them: tendril cancel 1 --name demo\n",
  );
  expect(bench.run("cancel", "1", "--name", "demo").stdout).toBe("cancelled 1 task\n");
  expect(bench.run("tasks", "--json").stdout).toContain('"cancelled"');
  expect(bench.run("tune", "copies=2").status).toBe(2);
  expect(bench.run("tune", "dispatchAhead=3")).toEqual({
    status: 0,
    stdout: "dispatchAhead is 3\n",
    stderr: "",
  });
  // A list of parameters for TaskVine works as it is.
  expect(bench.run("tune", "temp-replica-count=2", "short-timeout=5")).toEqual({
    status: 0,
    stdout: "replicas is 2\n",
    stderr: 'tendril tune: "short-timeout" changes nothing here: the manager never waits for a ' +
      "message\n",
  });
}, 120_000);

test(
  "explain says why tasks wait, alike ones together, and status that no worker can",
  async () => {
    await using bench = await Bench.open();
    bench.start("manager", "--name", "demo");
    bench.start("worker", "--name", "demo", "--gpus", "1", "--cores", "2");
    expect(bench.run("submit", "--wait", "--", "true").status).toBe(0);
    bench.run("submit", "--gpus", "3", "--array", "1-500", "--", "train");
    const reason = "needs 3 gpus; the only worker has 1";
    expect(bench.run("explain", "all")).toEqual({
      status: 0,
      stdout: `tasks 2-501 (500) wait: ${reason}\n`,
      stderr: "",
    });
    expect(bench.run("explain", "1,7").stdout).toBe(
      `task 1 is done: ended as success\ntask 7 waits: ${reason}\n`,
    );
    const { explanations, hasMore } = JSON.parse(bench.run("explain", "7", "--json").stdout);
    expect([explanations.length, hasMore]).toEqual([1, false]);
    expect(explanations[0]).toMatchObject({
      taskId: 7,
      state: "ready",
      reasons: [{ kind: "resource", resource: "gpus", amount: 3, most: 1 }],
      lines: [`task 7 waits: ${reason}`],
    });
    expect(bench.run("status").stdout).toContain(
      '500 tasks of category "default" need 3 gpus: all that the only worker has is 1\n',
    );
    bench.run("cancel", "all");
    expect(bench.run("explain", "all").stdout).toBe("no task waits or runs\n");
  },
  120_000,
);
