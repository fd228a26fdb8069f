import { expect, test } from "bun:test";

import { forEachBounded, mapInOrder } from "../../shared/bounded.ts";

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

test("mapInOrder() gives results in order, with as many under way as there may be", async () => {
  let running = 0;
  let peak = 0;
  const waiting: (() => void)[] = [];
  const results: number[] = [];
  const work = async (item: number): Promise<number> => {
    peak = Math.max(peak, ++running);
    // The later of those under way ends first.
    await new Promise<void>((resolve) => {
      waiting.push(resolve);
      if (waiting.length === 3 || item === 7) { while (waiting.length > 0) waiting.pop()?.(); }
    });
    running--;
    return item * 10;
  };
  for await (const result of mapInOrder([1, 2, 3, 4, 5, 6, 7], 3, work)) {
    results.push(result);
    while (waiting.length > 0) waiting.pop()?.();
  }
  expect(peak).toBe(3);
  expect(results).toEqual([10, 20, 30, 40, 50, 60, 70]);
});

test("mapInOrder() fails in turn, once what was started has ended", async () => {
  const ended: number[] = [];
  const results: number[] = [];
  const work = async (item: number): Promise<number> => {
    if (item === 2) throw new Error("two");
    await Promise.resolve();
    ended.push(item);
    return item;
  };
  const reading = async (): Promise<void> => {
    for await (const result of mapInOrder([1, 2, 3, 4], 3, work)) results.push(result);
  };
  await expect(reading()).rejects.toThrow("two");
  expect(results).toEqual([1]);
  expect(ended).toEqual([1, 3, 4]);
});
