import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import process from "node:process";

import { type Fact, Manager, type TaskHandle, type TaskResult } from "../../mod.ts";
import { processesOf, Scratch, type ScratchWorker, until, untilGone } from "./scratch.ts";

/** A workflow whose middle tasks wait for `gate` with daemons of theirs around them. */
async function startWorkflow(scratch: Scratch, manager: Manager) {
  const gate = scratch.path("gate");
  const module = scratch.path("library.ts");
  await writeFile(
    module,
    "import { readFileSync } from 'node:fs';\n" +
      "export const load = () => ({ factor: 3 });\n" +
      "export const times = (path: string): number => 3 * Number(readFileSync(path, 'utf8'));\n",
  );
  const library = manager.library({ name: "times", module, context: "load" });
  const seeds = [1, 2, 3, 4].map((seed) => {
    const file = manager.temp();
    manager.submit({ command: `echo ${seed} > n`, outputs: { n: file } });
    return file;
  });
  const squares = seeds.map((seed) => {
    const file = manager.temp();
    const command = "(setsid sleep 600 &) ; (setsid -f nohup sleep 600) ; sleep 600 & " +
      `echo run >> ${scratch.path("runs")}; while [ ! -e ${gate} ]; do sleep 0.02; done; ` +
      "read n < n; echo $((n * n)) > square";
    manager.submit({ command, inputs: { n: seed }, outputs: { square: file }, workerLosses: 1 });
    return file;
  });
  const calls = squares.map((square) => library.call<number>("times", square));
  const sum = manager.submit({
    command: "cat s/* | awk '{ sum += $1 } END { print sum }'",
    inputs: Object.fromEntries(squares.map((square, index) => [`s/${index}`, square])),
  });
  return { gate, calls, sum };
}

/** Waits until `worker` runs a task with its daemons. */
function untilBusy(worker: ScratchWorker): Promise<void> {
  return until(
    () => processesOf(worker.mark).filter((line) => line.includes("sleep 600")).length >= 3,
    `a task runs: ${worker.said()}`,
  );
}

function record(manager: Manager): Fact[] {
  const facts: Fact[] = [];
  manager.subscribe((more) => facts.push(...more));
  return facts;
}

test("A worker that gets SIGKILL leaves no process, and its work is done elsewhere", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start({ policies: { waitForWorkers: 2 } });
  const facts = record(manager);
  const [victim] = await Promise.all([scratch.worker(manager), scratch.worker(manager)]);
  const { gate, calls, sum } = await startWorkflow(scratch, manager);
  await untilBusy(victim);
  victim.child.kill("SIGKILL");
  await untilGone(victim.mark);
  await writeFile(gate, "");
  const results = await Array.fromAsync(manager.completed());
  expect(results.map(({ id }) => Number(id)).sort((a, b) => a - b))
    .toEqual(Array.from({ length: 13 }, (_, index) => index + 1));
  expect(results.filter(({ outcome }) => outcome !== "success")).toEqual([]);
  expect((await sum).stdout).toBe("30\n");
  expect(await Promise.all(calls.map((call) => call.value()))).toEqual([3, 12, 27, 48]);
  const ends = facts.filter((fact) => fact.kind === "task_ended");
  expect(new Set(ends.map(({ taskId }) => taskId)).size).toBe(ends.length);
  expect(manager.status().refused).toMatchObject({ lie: 0, flood: 0 });
}, 120_000);

test("A worker that gets SIGKILL amid function calls leaves no process", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  const victim = await scratch.worker(manager);
  const module = scratch.path("slow.ts");
  await writeFile(
    module,
    "import { spawn } from 'node:child_process';\n" +
      "export const slow = (): Promise<number> => {\n" +
      "  spawn('sleep', ['600'], { detached: true, stdio: 'ignore' }).unref();\n" +
      "  return new Promise(() => {});\n};\n",
  );
  const call = manager.library({ name: "slow", module }).call("slow");
  await until(
    () => processesOf(victim.mark).some((line) => line.includes("sleep 600")),
    "the call runs",
  );
  victim.child.kill("SIGKILL");
  await untilGone(victim.mark);
  call.cancel();
  expect((await Array.fromAsync(manager.completed())).map(({ outcome }) => outcome)).toEqual([
    "cancelled",
  ]);
}, 120_000);

test(
  "A worker that gets SIGTERM hands its task back and leaves, however long that would run",
  async () => {
    await using scratch = await Scratch.open();
    await using manager = await Manager.start();
    const leaver = await scratch.worker(manager);
    const log = scratch.path("runs");
    const gate = scratch.path("gate");
    const task = manager.submit({
      command: `trap '' TERM; (setsid sleep 600 &); sleep 600 & sleep 600 & echo run >> ${log}; ` +
        `while [ ! -e ${gate} ]; do sleep 0.02; done; echo done`,
      workerLosses: 0,
    });
    await untilBusy(leaver);
    leaver.child.kill("SIGTERM");
    expect(await leaver.ended).toBe(0);
    await untilGone(leaver.mark);
    await scratch.worker(manager);
    await writeFile(gate, "");
    const result = await task;
    expect([result.outcome, result.stdout, result.message]).toEqual(["success", "done\n", ""]);
    expect(readFileSync(log, "utf8")).toBe("run\nrun\n");
  },
  120_000,
);

test("A worker's loss is counted: the task that may have none ends as worker_lost", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start({ policies: { reconnectGrace: "100ms" } });
  const victim = await scratch.worker(manager);
  const started = scratch.path("started");
  const task: TaskHandle<TaskResult> = manager.submit({
    command: `touch ${started}; sleep 600`,
    workerLosses: 0,
  });
  await until(() => existsSync(started), "the task runs");
  process.kill(victim.child.pid!, "SIGKILL");
  expect((await task).outcome).toBe("worker_lost");
}, 120_000);
