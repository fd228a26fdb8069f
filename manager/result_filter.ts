/** Which results `wait` takes and which tasks `cancel` ends, as scripts say it. */

import type { TaskId } from "../shared/ids.ts";
import type { Duration } from "./config.ts";
import { count, duration, readOptions, text } from "./option.ts";
import type { ResultFilter } from "./result_queue.ts";

/** Which result `wait` waits for. */
export interface WaitOptions {
  /** Time after which it gives up. Default never. */
  readonly timeout?: Duration;
  /** Only results of tasks with this tag. */
  readonly tag?: string;
  /** Only the result of this task. */
  readonly taskId?: number;
}

/** Which tasks `cancel` ends: all that have the tag, the id, or both. */
export interface CancelOptions {
  /** Tasks with this tag. */
  readonly tag?: string;
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
export function readCancel(options: CancelOptions): ResultFilter {
  const read = readOptions<CancelOptions>(options, "cancel", FILTER);
  if (read.tag !== undefined || read.taskId !== undefined) return filterOf(read);
  throw new TypeError("Cannot cancel tasks: expected a task, { tag } or { taskId }");
}

function filterOf(read: CancelOptions): ResultFilter {
  // Any whole number may be asked for; one that is no task's fits none.
  return { tag: read.tag, taskId: read.taskId as TaskId | undefined };
}
