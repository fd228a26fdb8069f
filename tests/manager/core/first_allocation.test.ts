import { expect, test } from "bun:test";

import { maxSeen, maxThroughput, minWaste } from "../../../manager/core/first_allocation.ts";
import {
  newUsageHistory,
  noteUsage,
  type UsageHistory,
} from "../../../manager/core/usage_history.ts";

/** Tasks of one second each: `{what they used: how many of them}`. */
function historyOf(counts: { readonly [value: number]: number }, width = 1): UsageHistory {
  const history = newUsageHistory(width);
  for (const [value, count] of Object.entries(counts)) {
    for (let task = 0; task < count; task++) {
      noteUsage(history, { value: Number(value), timeMs: 1000 });
    }
  }
  return history;
}

test("maxSeen() is the most that was used, rounded up to the width of buckets", () => {
  expect(maxSeen(newUsageHistory(250))).toBeUndefined();
  expect(maxSeen(historyOf({ 90: 3, 260: 1 }, 250))).toBe(500);
});

test("minWaste() repeats few tasks for the sake of many", () => {
  // 90 tasks use 1, 10 use 10: at 1, 1 s of 1 and a tenth of 10 s; at 10, all of it.
  expect(minWaste(historyOf({ 1: 90, 10: 10 }))).toBe(1);
  // Six of ten would be repeated: 1 + 2 * 0.6 against 2.
  expect(minWaste(historyOf({ 1: 40, 2: 60 }))).toBe(2);
});

test("maxThroughput() is what runs most tasks in a given time", () => {
  // At 1: (10 * 0.9 + 0.1) / 1.1 = 8.3; at 10: 1.
  expect(maxThroughput(historyOf({ 1: 90, 10: 10 }))).toBe(1);
  // At 8: (1.25 * 0.1 + 0.9) / 1.9 = 0.54; at 10: 1.
  expect(maxThroughput(historyOf({ 8: 10, 10: 90 }))).toBe(10);
});

test("long tasks that need much weigh more than short ones that do not", () => {
  const history = newUsageHistory(1);
  for (let task = 0; task < 90; task++) noteUsage(history, { value: 1, timeMs: 10 });
  for (let task = 0; task < 10; task++) noteUsage(history, { value: 2, timeMs: 100_000 });
  expect(minWaste(history)).toBe(2);
});

test("a category whose tasks used nothing is given nothing, one without tasks is not known", () => {
  expect(minWaste(historyOf({ 0: 3 }))).toBe(0);
  expect(minWaste(newUsageHistory(1))).toBeUndefined();
  expect(maxThroughput(newUsageHistory(1))).toBeUndefined();
});

test("noteUsage() keeps a bounded number of buckets, however many values there are", () => {
  const history = newUsageHistory(1);
  for (let value = 1; value <= 100_000; value++) noteUsage(history, { value, timeMs: 1 });
  expect(history.buckets.size).toBeLessThanOrEqual(1_000);
  expect([history.count, history.max]).toEqual([100_000, 100_000]);
  expect(maxSeen(history)).toBeGreaterThanOrEqual(100_000);
});
