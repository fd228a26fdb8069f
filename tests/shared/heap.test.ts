import { expect, test } from "bun:test";

import { filterHeap, newHeap, peekHeap, popHeap, pushHeap } from "../../shared/heap.ts";
import { newRandom, nextRandomBelow } from "../../shared/random.ts";

function drain(heap: ReturnType<typeof newHeap<number>>): number[] {
  const items: number[] = [];
  for (let next = popHeap(heap); next !== undefined; next = popHeap(heap)) items.push(next);
  return items;
}

test("popHeap() gives what was pushed in order, equal elements too", () => {
  const random = newRandom(3);
  const heap = newHeap<number>((a, b) => a < b);
  const pushed = Array.from({ length: 500 }, () => nextRandomBelow(random, 100));
  for (const item of pushed) pushHeap(heap, item);
  expect(drain(heap)).toEqual(pushed.toSorted((a, b) => a - b));
});

test("peekHeap() leaves the first element in place", () => {
  const heap = newHeap<number>((a, b) => a > b);
  expect(peekHeap(heap)).toBeUndefined();
  for (const item of [1, 3, 2]) pushHeap(heap, item);
  expect(peekHeap(heap)).toBe(3);
  expect(drain(heap)).toEqual([3, 2, 1]);
});

test("filterHeap() keeps the order of what it keeps", () => {
  const random = newRandom(5);
  const heap = newHeap<number>((a, b) => a < b);
  const pushed = Array.from({ length: 300 }, () => nextRandomBelow(random, 1_000));
  for (const item of pushed) pushHeap(heap, item);
  filterHeap(heap, (item) => item % 3 !== 0);
  const kept = pushed.filter((item) => item % 3 !== 0);
  expect(drain(heap)).toEqual(kept.toSorted((a, b) => a - b));
});
