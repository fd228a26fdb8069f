/**
 * How much of a resource the first try of a task is given, from what others of its category used.
 *
 * A try that needs more is run again with the most there is, so a small allocation runs more tasks
 * at a time and repeats some of them.
 *
 * Source: B. Tovar et al., "A Job Sizing Strategy for High-Throughput Scientific Workflows", IEEE
 * TPDS 29(2), 2018; `category.c` of CCTools.
 *
 * @module
 */

import { roundUp, sortedBuckets, type UsageBucket, type UsageHistory } from "./usage_history.ts";

/** The most that was used, and `margin` more, as the end of its bucket; undefined of no tasks. */
export function maxSeen({ count, max, width }: UsageHistory, margin = 0): number | undefined {
  return count === 0 ? undefined : roundUp(max + margin, width);
}

/**
 * The allocation that leaves least of what is allocated unused, over time:
 * the least `a * E[t] + max * E[t; r > a]`, where tasks use `r` for a time `t`.
 */
export function minWaste(history: UsageHistory): number | undefined {
  return best(history, ({ value, meanMs, repeatedMs, max }) => {
    return -(value * meanMs + max * repeatedMs);
  });
}

/**
 * The allocation by which most tasks end in a given time on given workers:
 * the greatest `(max / a * P(r <= a) + P(r > a)) / (E[t] + E[t; r > a])`.
 */
export function maxThroughput(history: UsageHistory): number | undefined {
  return best(history, ({ value, meanMs, repeatedMs, max, fitting }) => {
    return (max / value * fitting + 1 - fitting) / (meanMs + repeatedMs);
  });
}

interface Candidate {
  readonly value: number;
  /** The greatest value. */
  readonly max: number;
  /** Mean time of all tasks. */
  readonly meanMs: number;
  /** Time of those for which this is too little, as a share of one task. */
  readonly repeatedMs: number;
  /** Share of tasks for which this is enough. */
  readonly fitting: number;
}

/** The value of the highest score; the smallest of those that are equal. */
function best(history: UsageHistory, score: (candidate: Candidate) => number): number | undefined {
  const buckets = sortedBuckets(history).filter(({ value }) => value > 0);
  const max = buckets.at(-1)?.value;
  // Only tasks that used nothing: nothing is enough.
  if (max === undefined) return history.count === 0 ? undefined : 0;
  const totalMs = [...history.buckets.values()].reduce((sum, { timeMs }) => sum + timeMs, 0);
  const meanMs = Math.max(totalMs / history.count, Number.MIN_VALUE);
  let fittingCount = history.count - countOf(buckets);
  let leftMs = buckets.reduce((sum, { timeMs }) => sum + timeMs, 0);
  let found: { value: number; score: number } | undefined;
  for (const { value, count, timeMs } of buckets) {
    fittingCount += count;
    leftMs -= timeMs;
    const given = score({
      value,
      max,
      meanMs,
      repeatedMs: Math.max(0, leftMs) / history.count,
      fitting: fittingCount / history.count,
    });
    if (found === undefined || given > found.score) found = { value, score: given };
  }
  return found?.value;
}

function countOf(buckets: readonly UsageBucket[]): number {
  return buckets.reduce((sum, { count }) => sum + count, 0);
}
