import { expect, test } from "bun:test";

import { forEachBounded } from "../../shared/bounded.ts";

test("forEachBounded() works on as many items at once as it may, never on more", async () => {
  let running = 0;
  let peak = 0;
  const done: number[] = [];
  await forEachBounded([1, 2, 3, 4, 5, 6, 7], 3, async (item) => {
    peak = Math.max(peak, ++running);
    await Promise.resolve();
    running--;
    done.push(item);
  });
  expect(peak).toBe(3);
  expect(done.sort()).toEqual([1, 2, 3, 4, 5, 6, 7]);
});

test("forEachBounded() starts nothing after a failure and throws when the rest has ended", async () => {
  const started: number[] = [];
  let isSecondDone = false;
  const work = forEachBounded([1, 2, 3, 4], 2, async (item) => {
    started.push(item);
    if (item === 1) throw new Error("first");
    await new Promise((resolve) => setImmediate(resolve));
    isSecondDone = true;
  });
  await expect(work).rejects.toThrow("first");
  expect(started).toEqual([1, 2]);
  expect(isSecondDone).toBe(true);
});
