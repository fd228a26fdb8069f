import { expect, test } from "bun:test";

import { partAround } from "../../../../manager/dashboard/page/rows.ts";
import { sortBy } from "../../../../manager/dashboard/page/sorted.ts";
import { rowsInSight } from "../../../../manager/dashboard/page/table.tsx";

test("rowsInSight() covers what is in sight with some to spare, and no row that is not there", () => {
  expect(rowsInSight(0, 340, 100_000)).toEqual({ first: 0, last: 22 });
  const far = rowsInSight(34 * 50_000, 340, 100_000);
  expect(far.first).toBeLessThan(50_000);
  expect(far.last).toBeGreaterThan(50_010);
  expect(far.last - far.first).toBeLessThan(50);
  expect(rowsInSight(34 * 50_000, 340, 5)).toEqual({ first: 5, last: 5 });
  expect(rowsInSight(0, 340, 0)).toEqual({ first: 0, last: 0 });
});

test("partAround() covers what is in sight, however much that is", () => {
  for (const [first, last] of [[0, 30], [5_000, 5_030], [10, 700]] as const) {
    const { offset, limit } = partAround(first, last);
    expect(offset).toBeGreaterThanOrEqual(0);
    expect(offset).toBeLessThanOrEqual(first);
    expect(offset + limit).toBeGreaterThanOrEqual(last);
  }
});

test("sortBy() takes numbers in texts as numbers, and has what is null last either way", () => {
  const rows = ["node10", "node9", null, "node1"];
  expect(sortBy(rows, (row) => row, false)).toEqual(["node1", "node9", "node10", null]);
  expect(sortBy(rows, (row) => row, true)).toEqual(["node10", "node9", "node1", null]);
  expect(sortBy([3, 20, 1], (row) => row, true)).toEqual([20, 3, 1]);
});
