import { expect, test } from "bun:test";

import {
  countOrdered,
  filterOrdered,
  newOrderedQueue,
  type OrderedQueue,
  peekOrdered,
  popOrdered,
  pushOrdered,
  visitBefore,
} from "../../shared/ordered_queue.ts";
import { newRandom, nextRandomBelow } from "../../shared/random.ts";

function newNumbers(pushed: readonly number[]): OrderedQueue<number> {
  const queue = newOrderedQueue<number>((a, b) => a < b);
  for (const item of pushed) pushOrdered(queue, item);
  return queue;
}

function drain(queue: OrderedQueue<number>): number[] {
  const items: number[] = [];
  for (let next = popOrdered(queue); next !== undefined; next = popOrdered(queue)) items.push(next);
  return items;
}

function drawn(seed: number, count: number): number[] {
  const random = newRandom(seed);
  return Array.from({ length: count }, () => nextRandomBelow(random, 100));
}

test("popOrdered() gives what was pushed in order, equal elements too", () => {
  const pushed = drawn(3, 500);
  expect(drain(newNumbers(pushed))).toEqual(pushed.toSorted((a, b) => a - b));
});

test("popOrdered() gives the least of what is there while more comes", () => {
  const random = newRandom(7);
  const queue = newNumbers([]);
  const mirror: number[] = [];
  for (let round = 0; round < 20_000; round++) {
    // Mostly in order, as tasks are; at times all is taken out.
    const isPop = nextRandomBelow(random, 100) < (round % 2_000 < 1_500 ? 40 : 80);
    if (isPop) {
      const least = mirror.shift();
      expect(popOrdered(queue)).toBe(least as number);
    } else {
      const item = nextRandomBelow(random, 10) === 0 ? nextRandomBelow(random, round + 1) : round;
      pushOrdered(queue, item);
      const index = mirror.findIndex((other) => other > item);
      mirror.splice(index < 0 ? mirror.length : index, 0, item);
    }
    expect(peekOrdered(queue)).toBe(mirror[0] as number);
    expect(countOrdered(queue)).toBe(mirror.length);
    expect(queue.run.length).toBeLessThanOrEqual(2 * mirror.length + 2_048);
  }
});

test("filterOrdered() keeps the order of what it keeps", () => {
  const pushed = [...drawn(5, 300).toSorted((a, b) => a - b), ...drawn(6, 300)];
  const queue = newNumbers(pushed);
  popOrdered(queue);
  filterOrdered(queue, (item) => item % 3 !== 0);
  const kept = pushed.filter((item) => item % 3 !== 0);
  expect(countOrdered(queue)).toBe(kept.length);
  expect(drain(queue)).toEqual(kept.toSorted((a, b) => a - b));
});

test("visitBefore() shows what comes before something, and no more than is asked for", () => {
  const pushed = drawn(9, 400);
  const queue = newNumbers(pushed);
  const seen: number[] = [];
  visitBefore(queue, (item) => item < 30, (item) => {
    seen.push(item);
    return false;
  });
  const below = pushed.filter((item) => item < 30);
  expect(seen.toSorted((a, b) => a - b)).toEqual(below.toSorted((a, b) => a - b));
  let count = 0;
  visitBefore(queue, () => true, () => ++count === 7);
  expect(count).toBe(7);
});
