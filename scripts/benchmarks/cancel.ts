/**
 * Cancelling: a part of many queued tasks by tag, one that runs with all it has started, and a call
 * that runs while the next one waits for its slot.
 */
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";

import { join } from "@std/path";
import { Manager } from "tendril";

import { type CalledLibrary, JAVASCRIPT, PYTHON_DIRECT, PYTHON_FORK } from "./call_libraries.ts";
import { type Figure, repeat } from "./figure.ts";
import { findPython } from "./python.ts";
import { withWorkers } from "./workers.ts";

const TASK_COUNT = 50_000;
const CANCELLED_COUNT = 10_000;

/** Between two looks at whether processes are gone, or whether the event loop stands still. */
const LOOK_MS = 2;

/** What the manager does, how long nothing else is done meanwhile, and when processes are gone. */
export async function measureCancel(): Promise<Figure[]> {
  const queued = await repeat(measureQueued);
  const running = await repeat(measureRunning);
  const name = `cancel ${CANCELLED_COUNT} of ${TASK_COUNT} by tag`;
  return [{
    name,
    unit: "ms",
    beside: "none",
    aim: "100 of the manager's processor time",
    runs: queued.map(({ busyMs }) => ({ value: busyMs, baseline: 0 })),
  }, {
    name: "longest stall meanwhile",
    unit: "ms",
    beside: "none",
    aim: "20",
    runs: queued.map(({ stallMs }) => ({ value: stallMs, baseline: 0 })),
  }, {
    name: "cancel until its processes are gone",
    unit: "ms",
    beside: "none",
    aim: "1000",
    runs: running.map((ms) => ({ value: ms, baseline: 0 })),
  }, ...await measureCalls()];
}

async function measureCalls(): Promise<Figure[]> {
  await findPython();
  const figures: Figure[] = [];
  for (const library of [JAVASCRIPT, PYTHON_DIRECT, PYTHON_FORK]) {
    const runs = await repeat(() => measureRunningCall(library));
    figures.push({
      name: `cancel a call until the next has run, ${library.title}`,
      unit: "ms",
      beside: "none",
      aim: "1000",
      runs: runs.map((ms) => ({ value: ms, baseline: 0 })),
    });
  }
  return figures;
}

async function measureQueued(): Promise<{ busyMs: number; stallMs: number }> {
  await using manager = await Manager.start();
  for (let index = 0; index < TASK_COUNT; index++) {
    const tag = index % (TASK_COUNT / CANCELLED_COUNT) === 0 ? "some" : "others";
    manager.submit({ command: "true", tag });
  }
  await until(() => manager.status().tasks.submitted === TASK_COUNT);
  // What was allocated until now is collected before, not in between.
  Bun.gc(true);
  let stallMs = 0;
  let lastMs = performance.now();
  const clock = setInterval(() => {
    const nowMs = performance.now();
    stallMs = Math.max(stallMs, nowMs - lastMs);
    lastMs = nowMs;
  }, 1);
  const before = process.cpuUsage();
  const count = manager.cancel({ tag: "some" });
  await until(() => manager.status().tasks.cancelled === CANCELLED_COUNT);
  const { user, system } = process.cpuUsage(before);
  clearInterval(clock);
  if (count !== CANCELLED_COUNT) throw new Error(`Cannot cancel ${count} tasks as all of them`);
  return { busyMs: (user + system) / 1000, stallMs };
}

/** Until its process is gone, too. */
function measureRunningCall({ declare }: CalledLibrary): Promise<number> {
  return withFile((file) =>
    withWorkers({ count: 1, cores: 1 }, async (manager) => {
      const library = declare(manager, 1);
      const call = library.call("spin", file);
      const next = library.call("nothing", 7);
      await until(() => existsSync(file));
      const id = readFileSync(file, "utf8");
      const startMs = performance.now();
      call.cancel();
      await next.orThrow();
      await until(() => !existsSync(`/proc/${id}`));
      return performance.now() - startMs;
    })
  );
}

function measureRunning(): Promise<number> {
  return withFile((file) =>
    withWorkers({ count: 1, cores: 1 }, async (manager) => {
      const task = manager.submit({
        command: "trap '' TERM; sleep 600 & a=$!; setsid sleep 600 & " +
          `echo $$ $a $! > ${file}.new; mv ${file}.new ${file}; wait`,
      });
      await until(() => existsSync(file));
      const ids = readFileSync(file, "utf8").trim().split(" ");
      const startMs = performance.now();
      task.cancel();
      await until(() => !ids.some((id) => existsSync(`/proc/${id}`)));
      return performance.now() - startMs;
    })
  );
}

/** Does `work` with the path of a file that is not there yet. */
async function withFile<T>(work: (path: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), "tendril-bench-"));
  try {
    return await work(join(directory, "ids"));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await delay(LOOK_MS);
}
