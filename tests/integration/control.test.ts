/** Tasks that are cancelled, repeated, given up and stopped, on compiled workers. */

import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import process from "node:process";

import { Manager, type TaskResult } from "../../mod.ts";
import { Scratch, until } from "./scratch.ts";

function isAlive(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return !readFileSync(`/proc/${processId}/stat`, "utf8").includes(") Z ");
  } catch {
    return false;
  }
}

test("cancel() ends a task with all it has started, though they ignore SIGTERM", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start({ workers: { count: 1, cores: 2 } });
  const pids = `${scratch.folder}/pids`;
  const task = manager.submit({
    command: `trap '' TERM; sleep 600 & a=$!; setsid sleep 601 & sh -c 'sleep 602 & wait' & ` +
      `sleep 0.05; echo $$ $a $! > ${pids}.new; mv ${pids}.new ${pids}; wait`,
    tag: "doomed",
  });
  const neighbour = manager.submit({ command: "sleep 0.1; echo fine" });
  await until(() => existsSync(pids), "the task runs");
  const processes = readFileSync(pids, "utf8").trim().split(" ").map(Number);
  expect(processes.map(isAlive)).toEqual([true, true, true]);
  expect(manager.cancel({ tag: "doomed" })).toBe(1);
  expect((await task).outcome).toBe("cancelled");
  await until(() => !processes.some(isAlive), "its processes are gone");
  expect((await neighbour).stdout).toBe("fine\n");
  expect(manager.cancel({ tag: "doomed" })).toBe(0);
}, 120_000);

test("cancel() takes tasks by category, all, and those of clients", async () => {
  await using _scratch = await Scratch.open();
  await using manager = await Manager.start({ name: "cancelling" });
  const command = "true";
  const many = Array.from({ length: 30 }, (_, index) => {
    return manager.submit({ command, category: index % 3 === 0 ? "a" : "b" });
  });
  expect(manager.cancel({ category: "a" })).toBe(10);
  await using remote = await Manager.connect({ name: "cancelling" });
  remote.submit({ command, tag: "far", retries: 3, retryDelay: "1s", retryOn: ["signal"] });
  await remote.submitArray({ command, tag: "far" }, [{}, {}, {}]);
  expect(await remote.cancel({ tag: "far" })).toBe(4);
  expect(await remote.cancel({ category: "b" })).toBe(20);
  manager.submit({ command });
  remote.submit({ command });
  expect(await remote.cancel({ all: true })).toBe(2);
  const outcomes = new Set((await Promise.all(many)).map(({ outcome }) => outcome));
  expect([...outcomes]).toEqual(["cancelled"]);
  expect(() => manager.cancel({})).toThrow("{ all: true }");
  expect(() => manager.cancel({ all: true, tag: "a" })).toThrow("alone");
}, 120_000);

test(
  "retry is asked with the result of each try, and its cost counts against retries",
  async () => {
    await using scratch = await Scratch.open();
    await using manager = await Manager.start({ workers: 1 });
    const seen: TaskResult[] = [];
    const result = await manager.submit({
      command: `echo x >> ${scratch.folder}/tries; n=$(wc -l < ${scratch.folder}/tries); ` +
        "echo try $n >&2; exit $n",
      retries: 1,
      retry: async (failed) => {
        seen.push(failed);
        return await Promise.resolve(failed.exitCode! < 3 ? 0 : 1);
      },
    });
    expect(seen.map((one) => [one.outcome, one.exitCode, one.try, one.stderr])).toEqual([
      ["exit", 1, 1, "try 1\n"],
      ["exit", 2, 2, "try 2\n"],
      ["exit", 3, 3, "try 3\n"],
      ["exit", 4, 4, "try 4\n"],
    ]);
    expect(result).toMatchObject({ outcome: "exit", exitCode: 4, try: 4 });
    const thrown = await manager.submit({
      command: "exit 9",
      retries: 5,
      retry: () => {
        throw new RangeError("lost my mind");
      },
    });
    expect(thrown).toMatchObject({ outcome: "exit", exitCode: 9, try: 1 });
    expect(thrown.message).toContain("its retry function threw RangeError: lost my mind");
  },
  120_000,
);

test("A task that ends its workers is named, with those that it took", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start({
    name: "killed",
    policies: { reconnectGrace: "100ms" },
  });
  for (const _ of [1, 2]) await scratch.worker(manager);
  const killer = await manager.submit({
    // The shell's parent is the worker.
    command: "sleep 0.2; kill -KILL $PPID",
    workerLosses: 1,
  });
  expect(killer).toMatchObject({ outcome: "worker_lost", try: 2 });
  expect(killer.message).toMatch(
    /^The task is suspected of ending its workers: 2 workers were lost while it ran there, .* on .*, .* on /,
  );
}, 120_000);

test(
  "A task whose input cannot be brought is given up more often than it allows, and ends",
  async () => {
    await using _scratch = await Scratch.open();
    await using manager = await Manager.start({ workers: 1 });
    const data = manager.url("file:///nowhere/none");
    const result = await manager.submit({ command: "cat data", inputs: { data }, maxForsaken: 1 });
    expect(result).toMatchObject({ outcome: "transfer_failed", try: 2 });
    expect(result.message).toContain("given up 2 times before it ran");
  },
  120_000,
);
