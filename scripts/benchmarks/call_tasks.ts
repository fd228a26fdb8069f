/**
 * Trivial Python functions as calls, and as ordinary tasks that start an interpreter for each. With
 * TENDRIL_BENCH_ALL_TASKS=1 there are as many tasks as calls; else, since they take minutes, fewer,
 * whose rate counts.
 */
import process from "node:process";

import type { Manager } from "tendril";

import { callMany, PYTHON_DIRECT } from "./call_libraries.ts";
import { type Figure, repeat } from "./figure.ts";
import { timed, withWorkers } from "./workers.ts";

const CALL_COUNT = 20_000;
const TASK_COUNT = 1_000;
const WARM_COUNT = 500;
const SLOT_COUNT = 2;

/** The function of PYTHON_DIRECT. */
const TASK_COMMAND = `python3 -c 'def nothing(value):
    return value
print(nothing(7))'`;

/** True when whoever runs the benches wants as many tasks as calls. */
export function wantsAllTasks(): boolean {
  return process.env["TENDRIL_BENCH_ALL_TASKS"] === "1";
}

/** Calls a second beside tasks a second, on one worker, one after the other. */
export async function measureCallsAgainstTasks(): Promise<Figure[]> {
  const taskCount = wantsAllTasks() ? CALL_COUNT : TASK_COUNT;
  const runs = await repeat(() =>
    withWorkers({ count: 1, cores: SLOT_COUNT }, async (manager) => {
      await runTasks(manager, SLOT_COUNT * 10);
      const taskMs = await timed(() => runTasks(manager, taskCount));
      const library = PYTHON_DIRECT.declare(manager, SLOT_COUNT);
      await callMany(library, WARM_COUNT, ["nothing", 7]);
      const callMs = await timed(() => callMany(library, CALL_COUNT, ["nothing", 7]));
      return { value: CALL_COUNT / callMs * 1000, baseline: taskCount / taskMs * 1000 };
    })
  );
  return [{
    name: `${CALL_COUNT} trivial Python functions`,
    unit: "calls/s",
    beside: `tasks/s of ${taskCount} tasks`,
    aim: "50 times the baseline",
    runs,
  }];
}

async function runTasks(manager: Manager, count: number): Promise<void> {
  const tasks = Array.from({ length: count }, () => manager.submit({ command: TASK_COMMAND }));
  for (const task of tasks) await task.orThrow();
}
