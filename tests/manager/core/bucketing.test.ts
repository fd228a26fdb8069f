import { expect, test } from "bun:test";

import {
  type Bucket,
  chooseAllocation,
  exhaustiveBuckets,
  greedyBuckets,
  newSamples,
  noteSample,
  type Samples,
} from "../../../manager/core/bucketing.ts";
import { newRandom, nextRandom } from "../../../shared/random.ts";

function samplesOf(...values: number[]): Samples {
  const known = newSamples();
  for (const value of values) noteSample(known, value);
  return known;
}

function tops(buckets: readonly Bucket[]): number[] {
  return buckets.map(({ top }) => top);
}

const GROUPS = samplesOf(...Array.from({ length: 60 }, (_, index) => index % 2 === 0 ? 100 : 1000));

test("greedyBuckets() finds groups, and leaves alike values whole", () => {
  expect(tops(greedyBuckets(GROUPS))).toEqual([100, 1000]);
  expect(tops(greedyBuckets(samplesOf(5, 5, 5, 5)))).toEqual([5]);
  expect(greedyBuckets(newSamples())).toEqual([]);
});

test("exhaustiveBuckets() finds the same groups by trying", () => {
  expect(tops(exhaustiveBuckets(GROUPS))).toEqual([100, 1000]);
  expect(tops(exhaustiveBuckets(samplesOf(5, 5, 5, 5)))).toEqual([5]);
  expect(exhaustiveBuckets(newSamples())).toEqual([]);
});

test("shares of buckets add up to one, and later samples count for more", () => {
  const buckets = greedyBuckets(samplesOf(...Array(20).fill(1), ...Array(20).fill(1000)));
  expect(tops(buckets)).toEqual([1, 1000]);
  const [low, high] = buckets.map(({ share }) => share);
  expect((low ?? 0) + (high ?? 0)).toBeCloseTo(1);
  expect(high).toBeGreaterThan(0.7);
});

test("chooseAllocation() takes buckets by their shares, and higher ones after a failure", () => {
  const buckets = [{ top: 1, share: 0.75 }, { top: 8, share: 0.25 }];
  const random = newRandom(1);
  const chosen = Array.from(
    { length: 1000 },
    () => chooseAllocation(buckets, { atLeast: 0, random }),
  );
  const low = chosen.filter((value) => value === 1).length;
  expect(low).toBeGreaterThan(650);
  expect(low).toBeLessThan(850);
  expect(chooseAllocation(buckets, { atLeast: 1, random })).toBe(8);
  expect(chooseAllocation(buckets, { atLeast: 8, random })).toBe(16);
  expect(chooseAllocation([], { atLeast: 0, random })).toBeUndefined();
});

test("greedyBuckets() makes at most ten buckets, the last of which holds the largest value", () => {
  const random = newRandom(7);
  const values = Array.from({ length: 500 }, () => Math.exp(12 * nextRandom(random)));
  const buckets = greedyBuckets(samplesOf(...values));
  expect(buckets.length).toBeLessThanOrEqual(10);
  expect(buckets.length).toBeGreaterThan(2);
  expect(buckets.at(-1)?.top).toBe(Math.max(...values));
});

test("greedyBuckets() cuts where that wastes least", () => {
  // Whole, 0.4 tasks waste 99: 39.6. In two, 0.4 tasks waste 99 with chance 0.6: 23.8; and 0.6
  // tasks waste 1, of a first try, with chance 0.4: 0.24.
  const buckets = greedyBuckets(samplesOf(1, 100, 1, 100));
  expect(tops(buckets)).toEqual([1, 100]);
  // Weights of 1 are 1 and 3, of 100 are 2 and 4.
  expect(buckets.map(({ share }) => share)).toEqual([0.4, 0.6]);
});
