import { expect, test } from "bun:test";

import { mix, stack } from "../../../../manager/dashboard/page/chart.tsx";
import { retryMs } from "../../../../manager/dashboard/page/live.ts";
import { perSecond } from "../../../../manager/dashboard/page/overview.tsx";

test("stack() sets each column on those before it", () => {
  expect(stack([[1, 2], [10, 20], [100, 200]])).toEqual([[1, 2], [11, 22], [111, 222]]);
  expect(stack([])).toEqual([]);
});

test("mix() takes so much of the first colour", () => {
  expect(mix("rgb(200, 100, 0)", "rgb(0, 0, 100)", 0.5)).toBe("rgb(100, 50, 50)");
  expect(mix("rgba(200, 100, 0, 0.5)", "rgb(0, 0, 100)", 1)).toBe("rgb(200, 100, 0)");
});

test("perSecond() tells how fast a sum grows, and nothing of what shrinks or takes no time", () => {
  expect(perSecond([0, 1_000, 3_000, 3_000, 4_000], [0, 5, 25, 30, 10])).toEqual([0, 5, 10, 0, 0]);
});

test("retryMs() doubles the wait up to its limit", () => {
  expect([1, 2, 3, 4, 5, 6, 60].map(retryMs))
    .toEqual([500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
});
