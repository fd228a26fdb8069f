/** Tasks of 20 categories and 5 shapes, one of which fits nowhere, beside as many tasks alike. */
import process from "node:process";

import type { Manager, TaskHandle, TaskOptions } from "tendril";

import { describeUnplaceable } from "../../manager/unplaceable_note.ts";
import { type Figure, repeat } from "./figure.ts";
import { runFresh } from "./manager_core.ts";
import { CATEGORY_COUNT, type MixedFigures, SHAPES, TASK_COUNT } from "./mixed_core.ts";
import { timed, withWorkers } from "./workers.ts";

const REAL_TASK_COUNT = 4_000;
const WORKERS = { count: 4, cores: 2, memory: "1GB" };

/** Tasks a second in the manager's core alone, and with compiled workers. */
export async function measureMixed(): Promise<Figure[]> {
  const core = await repeat(() => runFresh<MixedFigures>("mixed_core.ts"));
  explain(core[0]?.explained ?? []);
  const real = await repeat(() => withWorkers(WORKERS, measureReal));
  const aim = "0.8 of the baseline";
  return [{
    name: `core: ${TASK_COUNT} mixed tasks`,
    unit: "tasks/s",
    beside: "all alike",
    aim,
    runs: core.map(({ mixedPerSecond: value, alikePerSecond: baseline }) => ({ value, baseline })),
  }, {
    name: `${REAL_TASK_COUNT} mixed tasks`,
    unit: "tasks/s",
    beside: "all alike",
    aim,
    runs: real,
  }];
}

async function measureReal(manager: Manager): Promise<{ value: number; baseline: number }> {
  await runAll(manager, 200, () => ({}));
  const alikeMs = await timed(() => runAll(manager, REAL_TASK_COUNT, () => ({ cores: 1 })));
  let doomed: TaskHandle[] = [];
  const explained = new Promise<string>((resolve) => {
    manager.subscribe((facts) => {
      for (const fact of facts) {
        if (fact.kind === "class_unplaceable") resolve(describeUnplaceable(fact));
      }
    });
  });
  const mixedMs = await timed(async () => {
    doomed = await runAll(manager, REAL_TASK_COUNT, (index) => {
      const shape = SHAPES[index % SHAPES.length] ?? {};
      const category = `category ${Math.floor(index / SHAPES.length) % CATEGORY_COUNT}`;
      const { cores, gpus, memoryBytes } = shape;
      return {
        category,
        ...(cores === undefined ? {} : { cores }),
        ...(gpus === undefined ? {} : { gpus }),
        ...(memoryBytes === undefined ? {} : { memory: memoryBytes / 16 }),
      };
    });
  });
  explain([await explained]);
  for (const task of doomed) manager.cancel(task);
  await Promise.all(doomed);
  const ranCount = REAL_TASK_COUNT - doomed.length;
  return { value: ranCount / mixedMs * 1_000, baseline: REAL_TASK_COUNT / alikeMs * 1_000 };
}

/** Waits for those that can run; returns the others. */
async function runAll(
  manager: Manager,
  count: number,
  optionsOf: (index: number) => Omit<TaskOptions, "command">,
): Promise<TaskHandle[]> {
  const running: TaskHandle[] = [];
  const doomed: TaskHandle[] = [];
  for (let index = 0; index < count; index++) {
    const options = optionsOf(index);
    const task = manager.submit({ command: "true", ...options });
    (options.gpus === undefined ? running : doomed).push(task);
  }
  for (const task of running) await task.orThrow();
  return doomed;
}

function explain(lines: readonly string[]): void {
  const [first] = lines;
  if (first === undefined) throw new Error("Nobody said why tasks that fit nowhere wait");
  process.stdout.write(`\n  ${first}${lines.length > 1 ? ` (${lines.length} such lines)` : ""}`);
}
