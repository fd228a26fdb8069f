/**
 * A library whose context imports something heavy and real, beside ordinary tasks that import the
 * same and compute the same. What calls take counts from the declaration of the library, so that
 * the imports of its instances are in it; all imports are counted.
 */
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import process from "node:process";

import { join } from "@std/path";
import type { Library, LibraryOptions, Manager } from "tendril";

import { wantsAllTasks } from "./call_tasks.ts";
import { type Figure, repeat } from "./figure.ts";
import { findPython, runPython } from "./python.ts";
import { timed, withWorkers } from "./workers.ts";

const CALL_COUNT = 200;
/** In all runs but the first, since the tasks take minutes; their time is scaled. */
const FEWER_TASKS = 40;
const CORE_COUNT = 2;
const LOOK_MS = 5;

/** A package, and the same small computation in each. */
const PACKAGES = [
  { name: "torch", statement: "import torch as heavy", sum: "heavy.arange(n).sum().item()" },
  {
    name: "numpy and scipy",
    statement: "import scipy.linalg, scipy.stats, scipy.optimize, numpy as heavy",
    sum: "heavy.arange(n).sum().item()",
  },
] as const;

type HeavyPackage = typeof PACKAGES[number];

const MODES: readonly Pick<LibraryOptions, "mode" | "slots" | "cores">[] = [
  { mode: "direct", slots: 1, cores: 1 },
  { mode: "fork", slots: CORE_COUNT, cores: CORE_COUNT },
];

/** Seconds of calls beside seconds of tasks, for each mode. */
export async function measureImports(): Promise<Figure[]> {
  await findPython();
  const heavy = await findPackage();
  if (heavy === undefined) {
    process.stdout.write("\n  note: skipped, there is neither torch nor numpy with scipy");
    return [];
  }
  let taskCount = CALL_COUNT;
  const runs = await repeat(async () => {
    const found = await measureRun(heavy, taskCount);
    if (!wantsAllTasks()) taskCount = FEWER_TASKS;
    return found;
  });
  return MODES.map(({ mode }, index) => ({
    name: `${CALL_COUNT} calls after one import of ${heavy.name}, ${mode}`,
    unit: "s",
    beside: `${CALL_COUNT} tasks that import it`,
    aim: "0.19 of the baseline",
    runs: runs.map(({ callSeconds, taskSeconds }) => ({
      value: callSeconds[index] ?? 0,
      baseline: taskSeconds,
    })),
  }));
}

/** The first that Python here can import; it is in the page cache then. */
async function findPackage(): Promise<HeavyPackage | undefined> {
  for (const heavy of PACKAGES) {
    if (await runPython("-c", heavy.statement) !== undefined) return heavy;
  }
  return undefined;
}

async function measureRun(
  heavy: HeavyPackage,
  taskCount: number,
): Promise<{ readonly callSeconds: readonly number[]; readonly taskSeconds: number }> {
  const directory = await mkdtemp(join(tmpdir(), "tendril-bench-"));
  try {
    return await withWorkers({ count: 1, cores: CORE_COUNT }, async (manager) => {
      const callSeconds: number[] = [];
      for (const options of MODES) {
        const log = join(directory, `imports-${options.mode}`);
        callSeconds.push(await measureCalls(manager, heavy, { ...options, log }));
      }
      const taskMs = await timed(() => runTasks(manager, heavy, taskCount));
      const seconds = taskMs / 1000;
      process.stdout.write(
        `\n  ${heavy.name}: ${taskCount} tasks took ${seconds.toFixed(1)} s` +
          (taskCount < CALL_COUNT ? ", scaled" : ""),
      );
      return { callSeconds, taskSeconds: seconds * CALL_COUNT / taskCount };
    });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function measureCalls(
  manager: Manager,
  heavy: HeavyPackage,
  { log, ...options }: Pick<LibraryOptions, "mode" | "slots" | "cores"> & { readonly log: string },
): Promise<number> {
  const name = `heavy-${options.mode}`;
  const counts = { starting: 0, ready: 0, retiring: 0, stopped: 0, "start_failed": 0, died: 0 };
  const unsubscribe = manager.subscribe((facts) => {
    for (const fact of facts) {
      if (fact.kind === "library_instance" && fact.library === name) counts[fact.change] += 1;
    }
  });
  const ms = await timed(async () => {
    const library = manager.library({
      name,
      python: sourceOf(heavy),
      context: "load",
      env: { IMPORT_LOG: log },
      ...options,
    });
    await callAll(library);
  });
  // One that still starts, since another was ready sooner, imports as well.
  while (counts.starting > counts.ready) await Bun.sleep(LOOK_MS);
  unsubscribe();
  const instanceCount = counts.ready;
  const importCount = existsSync(log) ? readFileSync(log, "utf8").trim().split("\n").length : 0;
  // In mode fork an instance has one process, and here it has one in mode direct, too.
  process.stdout.write(
    `\n  ${heavy.name}, ${options.mode}: ${CALL_COUNT} calls took ${(ms / 1000).toFixed(2)} s; ` +
      `${instanceCount} instances of one process each, ${importCount} imports`,
  );
  if (importCount !== instanceCount || importCount === 0) {
    throw new Error(`${instanceCount} instances have imported ${heavy.name} ${importCount} times`);
  }
  return ms / 1000;
}

async function callAll(library: Library): Promise<void> {
  const calls = Array.from({ length: CALL_COUNT }, (_, n) => library.call<number>("total", n));
  for (const [n, call] of calls.entries()) checkTotal(n, await call.value());
}

async function runTasks(manager: Manager, heavy: HeavyPackage, count: number): Promise<void> {
  const tasks = Array.from({ length: count }, (_, n) => {
    const source = `${heavy.statement}; n = ${n}; print(${heavy.sum})`;
    return manager.submit({ command: `python3 -c '${source}'`, cores: 1 });
  });
  for (const [n, task] of tasks.entries()) checkTotal(n, Number((await task.orThrow()).stdout));
}

function checkTotal(n: number, total: number): void {
  if (total === n * (n - 1) / 2) return;
  throw new Error(`Cannot take ${total} as the sum of the numbers below ${n}`);
}

/** Its import is noted when Python has not done it before. */
function sourceOf({ name, statement, sum }: HeavyPackage): string {
  const [module] = name.split(" ");
  return `
import os
import sys

import tendril

def load():
    is_new = "${module}" not in sys.modules
    ${statement}
    if is_new:
        with open(os.environ["IMPORT_LOG"], "a") as log:
            log.write(str(os.getpid()) + "\\n")
    return {"heavy": heavy}

def total(n):
    heavy = tendril.context["heavy"]
    return ${sum}
`;
}
