/** What functions of libraries take and give, and what functions by value take along. */

import { expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import process from "node:process";

import { Manager, NdArray, Pickle, TaskError } from "../../mod.ts";
import { Scratch } from "./scratch.ts";

const MODULE = `import { NdArray, Pickle } from "tendril";
export const turn = (image: NdArray) => new NdArray([...image.shape].reverse(), image.data);
export const look = (one: Pickle) => [one instanceof Pickle, one];
export const isOne = (image: NdArray) => image instanceof NdArray;
`;

interface Functions {
  turn(image: NdArray): NdArray;
  look(one: Pickle): unknown[];
  isOne(image: NdArray): boolean;
}

test("Library.call() gives and takes arrays of several dimensions, and pickles", async () => {
  await using scratch = await Scratch.open();
  await writeFile(scratch.path("images.ts"), MODULE);
  await using manager = await Manager.start({ workers: { count: 1, cores: 1 } });
  const module = scratch.path("images.ts");
  const images = manager.library<Functions>({ name: "images", module });
  const image = new NdArray([1, 3], Float32Array.of(1, 2, 3));
  const turned = images.call("turn", image);
  expect(await turned.value()).toStrictEqual(new NdArray([3, 1], image.data));
  expect(await images.call("isOne", turned).value()).toBe(true);
  const pickle = new Pickle(Uint8Array.of(128, 4, 46));
  expect(await images.call("look", pickle).value()).toStrictEqual([true, pickle]);
}, 120_000);

test("Manager.run(), map() and treeReduce() take along what is in the context", async () => {
  await using _scratch = await Scratch.open();
  await using manager = await Manager.start({ workers: { count: 1, cores: 1 } });
  // Not constant for the eyes of a compiler.
  let rate = 3;
  rate += 0;
  const image = new NdArray([2, 1], [true, false]);
  const pickle = new Pickle(Uint8Array.of(1));
  const scaled = (n: number): number => n * rate;
  const seen = await manager.run({
    fn: (n: number) => [scaled(n), image.shape, image.data, pickle, process.env["LEVEL"]],
    context: { scaled, rate, image, pickle },
    env: { LEVEL: "7" },
    tag: "seen",
  }, 2).value();
  expect(seen).toStrictEqual([6, [2, 1], [true, false], pickle, "7"]);
  const options = { context: { scaled, rate } };
  expect(await manager.map((n: number) => scaled(n), [1, 2], options)).toEqual([3, 6]);
  const sum = await manager.treeReduce((a: number, b: number) => a + scaled(b), [1, 2, 3], options);
  expect(sum).toBe(1 + 6 + 9);
}, 120_000);

test(
  "Manager.library() keeps functions by value running, and bundles a module's text",
  async () => {
    await using scratch = await Scratch.open();
    await using manager = await Manager.start({ workers: { count: 1, cores: 2 } });
    const seen = new Map<string, number>();
    const grow = (name: string): number => (seen.get(name) ?? 0) + 1;
    const library = manager.library({
      name: "counting",
      functions: {
        setup: (start: number) => ({ start }),
        count(name: string) {
          seen.set(name, grow(name));
          return [process.pid, seen.get(name)];
        },
        started: async () => (await import("tendril")).libraryContext<() => object>(),
        half: (n: number) => n / 2,
      },
      values: { seen, grow },
      context: "setup",
      contextArguments: [7],
      cores: 1,
    });
    const first = await library.call("count", "a").value();
    expect(first).toEqual([expect.any(Number), 1]);
    // The same process: it is kept running, and keeps what calls change in its values.
    expect(await library.call("count", "a").value()).toEqual([first[0], 2]);
    expect(await library.call("started").value()).toEqual({ start: 7 });
    expect(await library.map("half", [1, 2, 3], { chunk: 2 })).toEqual([0.5, 1, 1.5]);
    await writeFile(scratch.path("table.ts"), "export const rows: number = 5;");
    const text = manager.library<{ rowCount(): number }>({
      name: "text/1",
      module: 'import { rows } from "./table.ts";\nexport const rowCount = (): number => rows;\n',
      from: scratch.path(""),
      cores: 1,
    });
    expect(await text.call("rowCount").value()).toBe(5);
  },
  120_000,
);

test(
  "Library.map() ends at an item that fails, at its signal, and leaves nothing pending",
  async () => {
    await using scratch = await Scratch.open();
    await writeFile(
      scratch.path("half.ts"),
      `export function half(n: number): number {
  if (n % 1000 === 501) throw new RangeError("no " + n);
  return n / 2;
}`,
    );
    await using manager = await Manager.start({ workers: { count: 1, cores: 1 } });
    const module = scratch.path("half.ts");
    const library = manager.library<{ half(n: number): number }>({ name: "half", module });
    const items = Array.from({ length: 20_000 }, (_, index) => index);
    const error = await library.map("half", items).catch((caught: unknown) => caught);
    expect(String(error)).toBe(
      "TaskError: Cannot have the result of item 501: RangeError: no 501",
    );
    const some = await library.map("half", items.slice(500, 503), { failures: "collect" });
    expect(some.map((one) => one as unknown instanceof TaskError ? "failed" : one)).toEqual(
      [250, "failed", 251],
    );
    const abort = new AbortController();
    const mapped = library.map("half", items.slice(0, 400), { signal: abort.signal });
    abort.abort(new Error("enough"));
    await expect(mapped).rejects.toThrow("enough");
    for await (const { outcome } of manager.completed()) expect(outcome).not.toBe("running");
    expect(manager.isEmpty()).toBe(true);
  },
  120_000,
);

test("Manager.library() names what a module fails over as it is imported", async () => {
  await using scratch = await Scratch.open();
  await writeFile(scratch.path("late.ts"), "export const ready = await Promise.resolve(5);");
  await writeFile(
    scratch.path("broken.ts"),
    `import { ready } from "./late.ts";
if (ready === 5) throw new RangeError("no table at the top");
export const never = () => ready;`,
  );
  await using manager = await Manager.start({
    workers: { count: 1, cores: 1 },
    policies: { libraryRetries: 1 },
  });
  const broken = manager.library({ name: "broken", module: scratch.path("broken.ts") });
  const { outcome, message } = await broken.call("never");
  expect(outcome).toBe("library_failed");
  expect(message).toContain("RangeError: no table at the top");
  const absent = manager.library({ name: "absent", module: scratch.path("absent.ts") });
  expect((await absent.call("x")).message).toContain(
    `Cannot find library module "${scratch.path("absent.ts")}": no such file as`,
  );
}, 120_000);
