import { expect, test } from "bun:test";

import { Manager, TaskError } from "../../mod.ts";
import { Scratch } from "./scratch.ts";

test("map() gives results in order, in chunks, and never has all items pending", async () => {
  await using _scratch = await Scratch.open();
  await using manager = await Manager.start({ workers: { count: 2, cores: 1 } });
  let most = 0;
  const stop = manager.subscribe(() => {
    const { waiting, ready, dispatched } = manager.status().tasks;
    most = Math.max(most, waiting + ready + dispatched);
  });
  const items = Array.from({ length: 12_001 }, (_, index) => index);
  const squares = await manager.map((n: number) => n * n, items, { chunkSize: 2 });
  stop();
  expect(squares).toEqual(items.map((n) => n * n));
  // There are 6,001 chunks.
  expect(most).toBeLessThan(3_000);
  expect(await manager.map((n: number) => n, [])).toEqual([]);
}, 120_000);

test("pair() and treeReduce() keep their order, at several arities", async () => {
  await using _scratch = await Scratch.open();
  await using manager = await Manager.start({ workers: { count: 2, cores: 1 } });
  const pairs = await manager.pair((a: string, b: number) => `${a}${b}`, ["x", "y"], [1, 2, 3], {
    chunkSize: 2,
  });
  expect(pairs).toEqual(["x1", "x2", "x3", "y1", "y2", "y3"]);
  const letters = [..."abcdefghijklm"];
  for (const arity of [2, 5]) {
    const join = (a: string, b: string) => Promise.resolve(a + b);
    expect(await manager.treeReduce(join, letters, { arity })).toBe(letters.join(""));
  }
  const none: Promise<number> = manager.treeReduce((a: number, b: number) => a + b, []);
  await expect(none).rejects.toThrow("expected one at least");
}, 120_000);

test("map() rejects with the first item that fails, or collects what failed", async () => {
  await using _scratch = await Scratch.open();
  await using manager = await Manager.start({ workers: { count: 1, cores: 1 } });
  const fragile = (n: number) => {
    if (n % 4 === 3) throw new RangeError(`no ${n}`);
    return n;
  };
  const items = Array.from({ length: 2_000 }, (_, index) => index);
  const error = await manager.map(fragile, items, { chunkSize: 2 }).catch((caught) => caught);
  expect(error).toBeInstanceOf(TaskError);
  expect(error.message).toBe("Cannot have the result of item 3: RangeError: no 3");
  expect(error.cause).toMatchObject({ name: "RangeError", message: "no 3" });
  const collected = await manager.map(fragile, items.slice(0, 8), {
    chunkSize: 3,
    failures: "collect",
  });
  expect(collected.map((one) => one as unknown instanceof TaskError ? "failed" : one)).toEqual(
    [0, 1, 2, "failed", 4, 5, 6, "failed"],
  );
  // A process that ends takes the whole chunk with it.
  const dying = (n: number) => n === 1 ? process.exit(4) : n;
  const died = await manager.map(dying, [0, 1, 2, 3], { chunkSize: 2, failures: "collect" });
  expect(died.map((one) => one as unknown instanceof TaskError ? "failed" : one)).toEqual(
    ["failed", "failed", 2, 3],
  );
  await expect(manager.treeReduce(() => {
    throw new Error("never");
  }, [1, 2, 3])).rejects.toThrow("Cannot have the result of items 0 to 1: Error: never");
}, 120_000);

test("map() ends with its signal, and what was pending is cancelled", async () => {
  await using _scratch = await Scratch.open();
  await using manager = await Manager.start({ workers: { count: 1, cores: 1 } });
  const abort = new AbortController();
  const endless = () => new Promise<number>(() => setInterval(() => {}, 1_000));
  const mapped = manager.map(endless, [1, 2, 3], { signal: abort.signal });
  abort.abort(new Error("enough"));
  await expect(mapped).rejects.toThrow("enough");
  for await (const { outcome } of manager.completed()) expect(outcome).toBe("cancelled");
  expect(manager.isEmpty()).toBe(true);
}, 120_000);

test("library.map() and treeReduce() call functions of the library", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start({ workers: { count: 1, cores: 1 } });
  const module = `${scratch.folder}/sums.ts`;
  await Bun.write(module, "export const add = (a, b) => a + b; export const twice = (n) => 2 * n;");
  const library = manager.library({ name: "sums", module });
  const items = Array.from({ length: 300 }, (_, index) => index);
  expect(await library.map<number>("twice", items)).toEqual(items.map((n) => 2 * n));
  expect(await library.treeReduce<number>("add", items)).toBe(300 * 299 / 2);
}, 120_000);
