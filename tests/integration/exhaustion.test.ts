import { expect, test } from "bun:test";
import process from "node:process";

import type { TaskId } from "../../shared/ids.ts";
import type { TaskShape, TryResult } from "../../shared/task.ts";
import { listProcesses, readVariable } from "../../worker/process_table.ts";
import { FakeManager, SHAPE } from "../worker/fake_manager.ts";
import { until } from "../worker/task_fixture.ts";
import { WorkerProcess } from "../worker/worker_process.ts";

const MB = 1e6;

/** A task that may have so much. */
function allocated(
  amounts: { memoryMb?: number; diskMb?: number; cores?: number },
  more: Partial<TaskShape> = {},
): TaskShape {
  const { memoryMb = 0, diskMb = 0, cores = 0.1 } = amounts;
  const resources = { cores, memoryBytes: memoryMb * MB, diskBytes: diskMb * MB, gpus: 0 };
  return { ...SHAPE, ...more, resources };
}

/** The script that runs all tests brings it where it may. */
const HAS_PYTHON: boolean = Bun.which("python3") !== null;

function python(...lines: readonly string[]): string {
  return `exec python3 -c '${lines.join("\n")}'`;
}

/** Results by the number of their task, of a neighbour too. */
async function runBeside(
  manager: FakeManager,
  command: string,
  shape: TaskShape,
): Promise<{ result: TryResult; neighbour: TryResult }> {
  manager.dispatch("sleep 1; echo on", {
    taskId: 2,
    shape: allocated({ memoryMb: 100, diskMb: 10 }),
  });
  const result = await manager.run(command, { taskId: 1, shape });
  const { result: neighbour } = await manager.next("result", ({ result }) => result.taskId === 2);
  return { result, neighbour };
}

const TOUCHERS: readonly (readonly [string, string])[] = [
  ["one process", python('x = b"x" * 2_000_000_000', "import time; time.sleep(20)")],
  ["a pipe", "head -c 2000000000 /dev/zero | tail -c 2000000000 | cat"],
  [
    "a tree of processes",
    python(
      "import os, time",
      "for _ in range(8):",
      "    if os.fork() == 0:",
      "        if os.fork() == 0:",
      '            x = b"x" * 250_000_000',
      "        time.sleep(20)",
      "time.sleep(20)",
    ),
  ],
  [
    "a process that left its session and its parents",
    "setsid env -i /bin/sh -c 'head -c 2000000000 /dev/zero | tail -c 2000000000' & sleep 20",
  ],
];

test(
  "A try is stopped neither for files that it maps or caches, nor twice for what it shares",
  async () => {
    await using manager = new FakeManager();
    await using _worker = new WorkerProcess(manager);
    await manager.next("hello");
    const commands = [
      // 400 MB of a file in memory, mapped by four processes.
      python(
        "import mmap, os, time",
        "size = 400_000_000",
        'with open("data", "wb") as f:',
        '    for _ in range(400): f.write(b"x" * 1_000_000)',
        'with open("data", "rb") as f: mapped = mmap.mmap(f.fileno(), size, prot=mmap.PROT_READ)',
        "for _ in range(2): os.fork()",
        "for at in range(0, size, 4096): mapped[at]",
        "time.sleep(1)",
      ),
      // 100 MB of its own, which three children have as well, and 60 MB that all of them share.
      python(
        "import mmap, os, time",
        'own = bytearray(b"x" * 100_000_000)',
        "shared = mmap.mmap(-1, 60_000_000)",
        "for _ in range(2): os.fork()",
        "for at in range(0, 60_000_000, 4096): shared[at] = 1",
        "time.sleep(1)",
      ),
    ];
    for (const [index, command] of commands.entries()) {
      const shape = allocated({ memoryMb: 250 });
      const { outcome, message, used } = await manager.run(command, { taskId: index + 1, shape });
      process.stdout.write(`${outcome} ${message} ${JSON.stringify(used)}\n`);
      expect([outcome, message]).toEqual(["success", ""]);
    }
  },
  120_000,
);

for (const [what, command] of TOUCHERS) {
  const canRun = HAS_PYTHON || !command.includes("python3");
  test.skipIf(!canRun)(`A try with 500 MB of memory is stopped before 1 GB: ${what}`, async () => {
    await using manager = new FakeManager();
    await using _worker = new WorkerProcess(manager);
    await manager.next("hello");
    const shape = allocated({ memoryMb: 500 });
    const { result, neighbour } = await runBeside(manager, command, shape);
    const { outcome, message, exceeded, used } = result;
    process.stdout.write(`${what}: ${message}, in the end ${used?.memoryBytes}\n`);
    expect(outcome).toBe("resources_exhausted");
    expect(exceeded).toMatchObject({ resource: "memory", limit: 500 * MB });
    expect(exceeded!.used).toBeGreaterThan(500 * MB);
    expect(used!.memoryBytes).toBeGreaterThanOrEqual(exceeded!.used);
    expect(used!.memoryBytes).toBeLessThan(1_000 * MB);
    expect(message).toMatch(/its processes had \d+ MB of memory in use, 500 MB were allocated$/);
    expect(neighbour.outcome).toBe("success");
  }, 120_000);
}

test.skipIf(!HAS_PYTHON)("Two processes that share 400 MB are not taken for 800 MB", async () => {
  await using manager = new FakeManager();
  await using _worker = new WorkerProcess(manager);
  await manager.next("hello");
  const command = python(
    "import os, time",
    'x = b"x" * 400_000_000',
    "child = os.fork()",
    "time.sleep(1.5)",
    "if child: os.wait()",
  );
  const result = await manager.run(command, { shape: allocated({ memoryMb: 500 }) });
  expect([result.outcome, result.message]).toEqual(["success", ""]);
  expect(result.used!.processCount).toBeGreaterThanOrEqual(2);
  expect(result.used!.memoryBytes).toBeGreaterThan(400 * MB);
  expect(result.used!.memoryBytes).toBeLessThan(500 * MB);
}, 120_000);

test.skipIf(!HAS_PYTHON)("A share is no limit until the worker has no memory left", async () => {
  await using manager = new FakeManager();
  await using _worker = new WorkerProcess(manager, "--memory", "600MB");
  await manager.next("hello");
  const shape = allocated({ memoryMb: 100 }, { shares: ["memory"] });
  const hold = (bytes: number, seconds: number) =>
    python(`x = b"x" * ${bytes}`, `import time; time.sleep(${seconds})`);
  // Both hold theirs at the same time, on a busy machine too.
  manager.dispatch(hold(250_000_000, 5), { taskId: 2, shape });
  const result = await manager.run(hold(450_000_000, 20), { taskId: 1, shape });
  expect(result.outcome).toBe("resources_exhausted");
  expect(result.message).toContain("is more than this worker has");
  expect(result.exceeded!.limit).toBeGreaterThan(100 * MB);
  const { result: beside } = await manager.next("result", ({ result }) => result.taskId === 2);
  expect([beside.outcome, beside.message]).toEqual(["success", ""]);
}, 120_000);

test("A try that fills its disk is stopped soon, and its neighbour is unharmed", async () => {
  await using manager = new FakeManager();
  await using _worker = new WorkerProcess(manager);
  await manager.next("hello");
  const command = "head -c 3000000000 /dev/zero > filler; sleep 20";
  const { result, neighbour } = await runBeside(manager, command, allocated({ diskMb: 100 }));
  const { outcome, message, exceeded, used, times } = result;
  process.stdout.write(`${message}, after ${times.ranMs.toFixed(0)} ms\n`);
  expect(outcome).toBe("resources_exhausted");
  expect(exceeded).toMatchObject({ resource: "disk", limit: 100 * MB });
  expect(used!.diskBytes).toBeLessThan(1_000 * MB);
  expect(message).toMatch(/its sandbox had \d+ MB on the disk, 100 MB were allocated$/);
  expect(neighbour.outcome).toBe("success");
}, 120_000);

/** Each process starts two more, half of them in sessions of their own, until there are 511. */
const BOMB = python(
  "import os, time",
  "def burst(depth):",
  "    for _ in range(2):",
  "        if depth > 0 and os.fork() == 0:",
  "            if depth % 2: os.setsid()",
  "            burst(depth - 1)",
  "    time.sleep(30)",
  "burst(8)",
);

/** Living processes with that in their environment. */
function countProcesses(variable: string, value: string): number {
  return listProcesses().filter(({ processId, isZombie }) => {
    return !isZombie && readVariable(processId, variable) === value;
  }).length;
}

for (const limit of [{}, { memoryMb: 4_000 }]) {
  const way = "memoryMb" in limit ? "with a limit of memory" : "without a limit";
  test.skipIf(!HAS_PYTHON)(
    `A fork bomb of 500 processes ${way} is ended whole and hurts nobody`,
    async () => {
      await using manager = new FakeManager();
      await using worker = new WorkerProcess(manager);
      await manager.next("hello");
      const bomb = crypto.randomUUID();
      manager.dispatch(BOMB, { taskId: 1, shape: { ...allocated(limit), env: { BOMB: bomb } } });
      await until("500 processes", () => countProcesses("BOMB", bomb) >= 500);
      const beside = await manager.run("sleep 1; echo on", { taskId: 2, shape: allocated({}) });
      expect(new TextDecoder().decode(beside.stdout)).toBe("on\n");
      const startMs = performance.now();
      manager.send({ kind: "kill", taskId: 1 as TaskId, try: 1 });
      const { result } = await manager.next("result", ({ result }) => result.taskId === 1);
      process.stdout.write(
        `a bomb ${way}, of ${result.used?.processCount} processes, was gone ` +
          `${(performance.now() - startMs).toFixed(0)} ms after it was called off\n`,
      );
      expect(countProcesses("BOMB", bomb)).toBe(0);
      expect(result.outcome).toBe("cancelled");
      expect(result.used!.processCount).toBeGreaterThan(100);
      expect(worker.child.exitCode).toBe(null);
    },
    120_000,
  );
}

test("A shell with children in the background is killed with them", async () => {
  await using manager = new FakeManager();
  await using _worker = new WorkerProcess(manager);
  await manager.next("hello");
  const family = crypto.randomUUID();
  const shape = { ...allocated({}), env: { FAMILY: family } };
  manager.dispatch("(sleep 33 & setsid sleep 33 & wait) & wait", { shape });
  await until("both sleeps", () => countProcesses("FAMILY", family) >= 4);
  manager.send({ kind: "kill", taskId: 1 as TaskId, try: 1 });
  const { result } = await manager.next("result");
  expect(result.outcome).toBe("cancelled");
  expect(countProcesses("FAMILY", family)).toBe(0);
}, 120_000);

test.skipIf(!HAS_PYTHON)(
  "A result tells what even the shortest try used, and a series when it is asked for",
  async () => {
    await using manager = new FakeManager();
    await using _worker = new WorkerProcess(manager);
    await manager.next("hello");
    const short = await manager.run("true", { taskId: 1, shape: allocated({}) });
    expect(short.used!.processCount).toBe(1);
    expect(short.used!.cpuMs).toBeGreaterThan(0);
    expect(short.series).toBeUndefined();
    const command = "head -c 30000000 /dev/zero > kept; " +
      python(
        "import time",
        'x = b"x" * 100_000_000',
        "while time.process_time() < 1: pass",
      ).replace("exec ", "");
    const long = await manager.run(command, {
      taskId: 2,
      shape: allocated({}, { hasSeries: true }),
    });
    expect(long.used!.memoryBytes).toBeGreaterThan(100 * MB);
    expect(long.used!.memoryBytes).toBeLessThan(150 * MB);
    expect(long.used!.diskBytes).toBeGreaterThanOrEqual(30 * MB);
    expect(long.used!.cpuMs).toBeGreaterThan(500);
    expect(long.used!.cores).toBeGreaterThan(0);
    expect(long.series!.length).toBeGreaterThan(4);
    const times = long.series!.map(({ atMs }) => atMs);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
  },
  120_000,
);
