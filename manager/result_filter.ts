/** Which results `wait` takes and which tasks `cancel` ends, as scripts say it. */

import type { TaskId } from "../shared/ids.ts";
import type { Duration } from "./config.ts";
import { count, duration, flag, readOptions, text } from "./option.ts";
import type { ResultFilter } from "./result_queue.ts";
import type { TaskFilter } from "./task_desk.ts";

/** Which result `wait` waits for. */
export interface WaitOptions {
  /** Time after which it gives up. Default never. */
  readonly timeout?: Duration;
  /** Only results of tasks with this tag. */
  readonly tag?: string;
  /** Only the result of this task. */
  readonly taskId?: number;
}

/** Which tasks `cancel` ends: those that fit all that is stated, whoever submitted them. */
export interface CancelOptions {
  /** All tasks; states nothing else. */
  readonly all?: true;
  /** Tasks with this tag. */
  readonly tag?: string;
  /** Tasks of this category: calls that state none are of the one named as their library. */
  readonly category?: string;
  /** The task of this number. */
  readonly taskId?: number;
}

const FILTER = { tag: text, taskId: count(1) } as const;

/** Checks the options of `wait`. */
export function readWait(
  options: WaitOptions,
): { readonly filter: ResultFilter; readonly timeoutMs: number | undefined } {
  const read = readOptions<WaitOptions>(options, "wait", { timeout: duration, ...FILTER });
  const timeoutMs = read.timeout === undefined ? undefined : Number(read.timeout);
  return { filter: filterOf(read), timeoutMs };
}

/** Checks the options of `cancel`. */
export function readCancel(options: CancelOptions): TaskFilter {
  type Read = Omit<CancelOptions, "all"> & { readonly all?: boolean };
  const readers = { all: flag, category: text, ...FILTER };
  const { all = false, ...read } = readOptions<Read>(options, "cancel", readers);
  if (all !== Object.keys(read).length > 0) return { ...filterOf(read), category: read.category };
  throw new TypeError(
    all
      ? "Cannot cancel all tasks and state which: expected { all: true } alone"
      : "Cannot cancel tasks: expected a task, { tag }, { category }, { taskId } or { all: true }",
  );
}

function filterOf(read: Pick<WaitOptions, "tag" | "taskId">): ResultFilter {
  // Any whole number may be asked for; one that is no task's fits none.
  return { tag: read.tag, taskId: read.taskId as TaskId | undefined };
}
