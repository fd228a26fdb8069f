/**
 * Allocations for tasks that fall into groups: values are cut into buckets, a task is given the
 * top of one of them, chosen by how many tasks are in it, and the next one up when that was too
 * little.
 *
 * Source: T. S. Phung et al., "Not All Tasks Are Created Equal: Adaptive Resource Allocation for
 * Heterogeneous Tasks in Dynamic Workflows", WORKS 2021; `bucketing*.c` of CCTools.
 *
 * @module
 */

import { nextRandom, type RandomState } from "../../shared/random.ts";

/** Samples that are kept; the oldest go. */
const SAMPLES_MAX = 500;

/** Buckets at most; more of them help nobody. */
const BUCKETS_MAX = 10;

/** What one task used. Later samples count for more: workflows change as they go on. */
export interface Sample {
  readonly value: number;
  readonly weight: number;
}

/** What is known of one resource in one category, oldest first. */
export interface Samples {
  readonly samples: Sample[];
  /** Weight of the next sample. */
  nextWeight: number;
}

/** Values up to `top`, beyond the bucket before. */
export interface Bucket {
  readonly top: number;
  /** Share of the weight of all samples. */
  readonly share: number;
}

/** Of a category that nothing is known of. */
export function newSamples(): Samples {
  return { samples: [], nextWeight: 1 };
}

/** Adds what a task used at its peak. */
export function noteSample(known: Samples, value: number): void {
  known.samples.push({ value, weight: known.nextWeight });
  known.nextWeight += 1;
  if (known.samples.length > SAMPLES_MAX) known.samples.shift();
}

/** Cuts the samples where that saves most, then the parts likewise, until a cut saves nothing. */
export function greedyBuckets(known: Samples): Bucket[] {
  const sums = sumsOf(known);
  const count = sums.values.length;
  const ends = new Set(count === 0 ? [] : [count]);
  const cuts: (Cut | undefined)[] = [count === 0 ? undefined : bestCut(sums, 0, count)];
  while (ends.size < BUCKETS_MAX) {
    const best = cuts.reduce((a, b) => (b?.savedWaste ?? 0) > (a?.savedWaste ?? 0) ? b : a);
    if (best === undefined) break;
    ends.add(best.at);
    cuts.splice(cuts.indexOf(best), 1);
    cuts.push(bestCut(sums, best.from, best.at), bestCut(sums, best.at, best.to));
  }
  return partsOf(sums, 0, [...ends].sort((a, b) => a - b));
}

/** Tries one to ten buckets of equal width and takes the number that wastes least. */
export function exhaustiveBuckets(known: Samples): Bucket[] {
  const sums = sumsOf(known);
  const { values } = sums;
  if (values.length === 0) return [];
  const max = values.at(-1) ?? 0;
  let found: Part[] = [];
  let least = Infinity;
  for (let count = 1; count <= BUCKETS_MAX; count++) {
    const ends = new Set<number>();
    for (let index = 1; index < count; index++) {
      const limit = max * index / count;
      const end = values.findIndex((value) => value > limit);
      if (end > 0) ends.add(end);
    }
    const parts = partsOf(sums, 0, [...ends, values.length]);
    const waste = wasteOf(parts);
    if (waste < least) [least, found] = [waste, parts];
  }
  return found;
}

/**
 * What a task is given: the top of a bucket above `atLeast`, chosen by their shares; twice
 * `atLeast` when there is none. Undefined when nothing is known and nothing was too little.
 */
export function chooseAllocation(
  buckets: readonly Bucket[],
  { atLeast, random }: { readonly atLeast: number; readonly random: RandomState },
): number | undefined {
  const possible = buckets.filter(({ top }) => top > atLeast);
  if (possible.length === 0) return atLeast > 0 ? atLeast * 2 : undefined;
  let left = nextRandom(random) * possible.reduce((sum, { share }) => sum + share, 0);
  for (const { top, share } of possible) {
    left -= share;
    if (left < 0) return top;
  }
  return possible.at(-1)?.top;
}

/** Samples in order, with the sums up to each, so that any stretch of them is known at once. */
interface Sums {
  readonly values: readonly number[];
  /** Of the samples before that index. */
  readonly weights: readonly number[];
  /** Of values by their weights, likewise. */
  readonly weighted: readonly number[];
}

/** A stretch of samples in two. */
interface Cut {
  readonly from: number;
  readonly at: number;
  readonly to: number;
  /** On all tasks alike to these, by their weight. */
  readonly savedWaste: number;
}

interface Part extends Bucket {
  readonly mean: number;
}

function sumsOf({ samples }: Samples): Sums {
  const sorted = [...samples].sort((a, b) => a.value - b.value);
  const weights = [0];
  const weighted = [0];
  for (const [index, { value, weight }] of sorted.entries()) {
    weights.push((weights[index] ?? 0) + weight);
    weighted.push((weighted[index] ?? 0) + value * weight);
  }
  return { values: sorted.map(({ value }) => value), weights, weighted };
}

/** The stretches from `from` to the first end, from there to the second one, and so on. */
function partsOf(
  { values, weights, weighted }: Sums,
  from: number,
  ends: readonly number[],
): Part[] {
  const total = (weights[ends.at(-1) ?? 0] ?? 0) - (weights[from] ?? 0);
  let start = from;
  return ends.map((end) => {
    const weight = (weights[end] ?? 0) - (weights[start] ?? 0);
    const mean = ((weighted[end] ?? 0) - (weighted[start] ?? 0)) / weight;
    start = end;
    return { top: values[end - 1] ?? 0, share: weight / total, mean };
  });
}

/** Where to cut the samples from `from` to `to` in two; undefined where whole they waste least. */
function bestCut(sums: Sums, from: number, to: number): Cut | undefined {
  const whole = wasteOf(partsOf(sums, from, [to]));
  let least = whole;
  let found: number | undefined;
  for (let at = from + 1; at < to; at++) {
    // Equal values are one.
    if (sums.values[at] === sums.values[at - 1]) continue;
    const waste = wasteOf(partsOf(sums, from, [at, to]));
    if (waste < least) [least, found] = [waste, at];
  }
  if (found === undefined) return undefined;
  const weight = (sums.weights[to] ?? 0) - (sums.weights[from] ?? 0);
  return { from, at: found, to, savedWaste: (whole - least) * weight };
}

/**
 * What is expected to be wasted on one task that is as likely in each part as samples were, when
 * parts are chosen as likely: what is too much of one that holds it, all of those that did not.
 */
function wasteOf(parts: readonly Part[]): number {
  let waste = 0;
  for (const [taskIndex, task] of parts.entries()) {
    // From the top down: after a part that was too little, one of those above is chosen.
    let aboveShare = 0;
    let aboveCost = 0;
    for (let index = parts.length - 1; index >= 0; index--) {
      const { top = 0, share = 0 } = parts[index] ?? {};
      const cost = index >= taskIndex ? top - task.mean : top + aboveCost / aboveShare;
      aboveShare += share;
      aboveCost += share * cost;
    }
    waste += task.share * aboveCost;
  }
  return waste;
}
