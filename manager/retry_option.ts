/** When tries that failed are repeated, as scripts say it. */

import { type Outcome, OUTCOMES } from "../shared/task.ts";
import type { Duration } from "./config.ts";
import type { RetryDecision, RetryRule } from "./core/retry.ts";
import { count, duration, type Reader, type Readers, show } from "./option.ts";
import type { TaskResult } from "./task_result.ts";

/** How often a task may be given up before it ran; far more than there are reasons for. */
const FORSAKEN_MAX = 1_000_000;

/**
 * Says what a try that failed costs of the task's `retries`. The task is tried again while all
 * costs together are not above `retries`; with Infinity it ends at once, and what costs 0 may
 * happen a thousand times.
 */
export type RetryHandler = (result: TaskResult) => number | Promise<number>;

/** When tries that failed are repeated. */
export interface RetryOptions {
  /** Further tries after the task's own failure. Default 0. */
  readonly retries?: number;
  /**
   * Asked after each try that failed by itself; what it returns counts against `retries`, in place
   * of 1. When it throws, or does not answer in the time of the policy `retryTimeout`, the task ends
   * as the try did.
   */
  readonly retry?: RetryHandler;
  /**
   * Pause before the task is tried again, doubled after each further failure, up to a minute.
   * Default none.
   */
  readonly retryDelay?: Duration;
  /** Only tries that ended in one of these ways are repeated. Default any. */
  readonly retryOn?: readonly Outcome[];
  /**
   * How often workers may give the task up before it ran, as when an input could not be brought,
   * without that counting against `retries`; after once more it ends. Default: each time counts.
   */
  readonly maxForsaken?: number;
}

/** Checked options of repetitions. */
export interface CheckedRetries {
  readonly retries: number;
  /** Absent when nothing was said but how often. */
  readonly rule: RetryRule | undefined;
  readonly handler: RetryHandler | undefined;
}

const handler: Reader<RetryHandler> = (value, what) => {
  if (typeof value === "function") return value as RetryHandler;
  throw new TypeError(`Cannot take ${what} "${show(value)}" as a function: expected (result) => 1`);
};

const outcomes: Reader<readonly Outcome[]> = (value, what) => {
  const given: readonly unknown[] = Array.isArray(value) ? value : [value];
  const failures = OUTCOMES.filter((outcome) => outcome !== "success");
  const known = failures.filter((outcome) => given.includes(outcome));
  const unknown = given.find((item) => !known.some((outcome) => outcome === item));
  if (given.length > 0 && unknown === undefined) return known;
  const found = given.length === 0 ? "[]" : show(unknown);
  throw new RangeError(
    `Cannot take ${what} "${found}" as outcomes of failures: expected some of ${
      failures.join(", ")
    }`,
  );
};

/** Checks of the options of repetitions. */
export const RETRY_READERS: Readers<RetryOptions> = {
  retries: count(0, 1_000_000),
  retry: handler,
  retryDelay: duration,
  retryOn: outcomes,
  maxForsaken: count(0, FORSAKEN_MAX),
};

/** What was said of repetitions. */
export function checkRetries(read: RetryOptions): CheckedRetries {
  const { retries = 0, retry, retryDelay = 0, retryOn, maxForsaken } = read;
  const isPlain = retry === undefined && Number(retryDelay) === 0 && retryOn === undefined &&
    maxForsaken === undefined;
  const rule = {
    isAsked: retry !== undefined,
    delayMs: Number(retryDelay),
    ...(retryOn === undefined ? {} : { on: retryOn }),
    ...(maxForsaken === undefined ? {} : { maxForsaken }),
  };
  return { retries, rule: isPlain ? undefined : rule, handler: retry };
}

/** Asks what a try costs; never rejects. */
export async function askHandler(
  ask: RetryHandler,
  result: TaskResult,
): Promise<RetryDecision> {
  try {
    const cost: unknown = await ask(result);
    if (typeof cost === "number" && cost >= 0) return { kind: "cost", cost };
    return { kind: "none", why: `its retry function returned "${show(cost)}", not a cost` };
  } catch (error) {
    const found = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    return { kind: "none", why: `its retry function threw ${found}` };
  }
}
