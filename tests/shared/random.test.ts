import { expect, test } from "bun:test";

import { newRandom, nextRandom, nextRandomBelow } from "../../shared/random.ts";

test("nextRandom() gives the same numbers for the same seed", () => {
  const [a, b, other] = [newRandom(9), newRandom(9), newRandom(10)];
  const first = Array.from({ length: 5 }, () => nextRandom(a));
  expect(Array.from({ length: 5 }, () => nextRandom(b))).toEqual(first);
  expect(Array.from({ length: 5 }, () => nextRandom(other))).not.toEqual(first);
});

test("nextRandomBelow() gives every number below its bound about as often", () => {
  const random = newRandom(1);
  const counts = [0, 0, 0, 0];
  for (let draw = 0; draw < 4_000; draw++) {
    const value = nextRandomBelow(random, 4);
    counts[value] = (counts[value] ?? 0) + 1;
  }
  expect(counts.length).toBe(4);
  for (const count of counts) expect(Math.abs(count - 1_000)).toBeLessThan(150);
});
