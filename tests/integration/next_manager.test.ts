/** Workers that outlive their manager, and what they do about the next one of its name. */

import { expect, test } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";

import { Manager } from "../../mod.ts";
import { accessPath } from "../../shared/access_file.ts";
import { BINARY } from "../binary/built.ts";
import { ALL_SAID, prepareKept, useKept } from "./kept.ts";
import { Scratch, until } from "./scratch.ts";

const NAME = "vine";

/** Has one task run, says what it answered, and stays. */
const WORKFLOW = `
import { Manager } from "tendril";
const manager = await Manager.start();
const { stdout } = await manager.submit({ command: "echo served" });
console.log(stdout.trim(), manager.address);
await new Promise((resolve) => process.stdin.once("data", resolve));
`;

/** A process of the binary. */
class Started implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly ended: Promise<number | string>;
  said = "";

  constructor(args: readonly string[]) {
    this.child = spawn(BINARY, args, { stdio: ["pipe", "pipe", "pipe"] });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.on("data", (bytes) => this.said += String(bytes));
    }
    const { promise, resolve } = Promise.withResolvers<number | string>();
    this.child.once("close", (code, signal) => resolve(code ?? signal ?? ""));
    this.ended = promise;
  }

  async says(pattern: RegExp): Promise<void> {
    await until(() => pattern.test(this.said), `it says ${pattern}: ${this.said}`);
  }

  async kill(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

function startManager(scratch: Scratch, ...more: readonly string[]): Started {
  const script = scratch.path("workflow.mjs");
  writeFileSync(script, WORKFLOW);
  return new Started(["run", "--quiet", "--name", NAME, ...more, script]);
}

function startWorker(scratch: Scratch, ...more: readonly string[]): Started {
  const workspace = scratch.path(`workspace-${more.length}`);
  return new Started(["worker", "--name", NAME, "--workspace", workspace, ...more]);
}

test(
  "A worker started first serves one manager after the other, with TLS and without",
  async () => {
    await using scratch = await Scratch.open();
    await using worker = startWorker(scratch, "--verbose");
    await worker.says(/waiting for manager "vine", 5 m at most: no access file yet at /);
    for (const listen of [[], ["--listen", ":0"], ["--listen", ":0", "--insecure"], []]) {
      await using manager = startManager(scratch, ...listen);
      const isSecure = listen.length === 2;
      await manager.says(isSecure ? /served https:/ : /served http:/);
      // Nobody takes leave: it is found dead.
      await manager.kill();
    }
    worker.child.kill("SIGTERM");
    expect(await worker.ended).toBe(0);
  },
  120_000,
);

test("A single worker leaves when its manager was killed, with code 0 and its reason", async () => {
  await using scratch = await Scratch.open();
  await using manager = startManager(scratch);
  await until(() => existsSync(accessPath(NAME)), "there is an access file");
  await using worker = startWorker(scratch, "--single", "--idle-timeout", "1s");
  await manager.says(/served/);
  await manager.kill();
  expect(await worker.ended).toBe(0);
  expect(worker.said).toMatch(
    /No manager for 1 s: its process \d+ on \S+ has ended, and nobody answers for it/,
  );
}, 120_000);

test("A worker has what an earlier workflow left at level worker, whatever it is", async () => {
  await using scratch = await Scratch.open();
  prepareKept(scratch);
  await using worker = startWorker(scratch);
  const workflow = async () => {
    await using manager = await Manager.start({ name: NAME });
    return await useKept(manager, scratch, "worker");
  };
  const first = await workflow();
  expect([first.runCount, first.said]).toEqual([2, ALL_SAID]);
  expect(first.transferCount).toBeGreaterThan(6);
  expect(await workflow()).toEqual({ transferCount: 0, runCount: 2, said: ALL_SAID });
  worker.child.kill("SIGTERM");
  expect(await worker.ended).toBe(0);
}, 120_000);
