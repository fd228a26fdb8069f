/**
 * Retry handlers: what a failure costs of the `retries` of a call. A plug point, given to `load` or
 * to an app as `retryHandler`.
 *
 * @module
 */

import { show } from "../option.ts";
import { type AppRetryHandler, FAILURE_KINDS, type RetryAnswer } from "./app_options.ts";
import type { FailureKind } from "./executor.ts";

/** Every failure costs the same: 1 when nothing is stated, so that `retries` are counted. */
export function constantCost(cost = 1): AppRetryHandler {
  checkAnswer(cost, "constantCost");
  return () => cost;
}

/**
 * Says what a failure costs, how long the pause is and where the next try runs, by its kind; those
 * that are not stated cost 1, as without a handler.
 *
 * @throws {TypeError | RangeError} When there is no such kind, or a cost is none.
 *
 * @example
 * ```ts
 * const retryHandler = retryByKind({
 *   timeout: { cost: 1, executor: "cluster" },
 *   worker_lost: 0.1,
 *   exit: Infinity,
 * });
 * ```
 */
export function retryByKind(
  costs: { readonly [Kind in FailureKind]?: number | RetryAnswer },
): AppRetryHandler {
  for (const [kind, answer] of Object.entries(costs)) {
    if (!FAILURE_KINDS.some((known) => known === kind)) {
      throw new RangeError(
        `Cannot take "${show(kind)}" as a kind of failure: expected one of ` +
          FAILURE_KINDS.join(", "),
      );
    }
    const cost: unknown = typeof answer === "object" ? answer.cost ?? 1 : answer;
    checkAnswer(cost, `retryByKind of ${kind}`);
  }
  return ({ kind }) => costs[kind] ?? 1;
}

function checkAnswer(cost: unknown, owner: string): void {
  if (typeof cost === "number" && cost >= 0) return;
  throw new RangeError(
    `Cannot take "${show(cost)}" as the cost of ${owner}: expected 0 or more`,
  );
}
