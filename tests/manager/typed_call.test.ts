/** What the types allow is checked by `deno check`, which fails where a marked line has no error. */

import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

import { Manager } from "../../manager/manager.ts";
import type { FileHandle } from "../../manager/file_handle.ts";
import type { Library } from "../../manager/library.ts";
import type { TaskHandle } from "../../manager/task_handle.ts";
import { NdArray } from "../../shared/nd_array.ts";

type Json = null | string | number | Json[] | { [key: string]: Json };

interface Point {
  readonly x: number;
  readonly y: number;
  readonly label?: string;
}

interface Tree {
  readonly value: number;
  readonly left?: Tree;
}

/** As the type of a module is: functions, and what is none. */
interface Shapes {
  half(n: number): number;
  add(a: number, b: number): Promise<number>;
  join(a: string, b: string): string;
  read(path: string, options?: { readonly also: string[] }): Promise<string>;
  echo(value: Json): Json;
  depth(tree: Tree): number;
  move(point: Point, ...by: number[]): Promise<Point>;
  turn(image: NdArray): Float64Array;
  first<T>(items: T[]): T;
  ready(): void;
  VERSION: string;
}

/** Never run: it is there to be checked. */
export async function wellTyped(
  library: Library<Shapes>,
  { file, task }: { readonly file: FileHandle; readonly task: TaskHandle },
): Promise<void> {
  const half: TaskHandle<number> = library.call("half", 3);
  const text: TaskHandle<string> = library.call("read", file, { also: [file, "a"] });
  library.call("half", half);
  library.call("half", library.call("add", half, 4));
  library.call("read", text, { also: [text] });
  library.call("read", task.then(() => "") === undefined ? "" : file);
  library.call("echo", { a: [1, file, text], b: half });
  library.call("depth", { value: half, left: { value: 3 } });
  const moved: Point = await library.call("move", { x: half, y: 2 }, half, 3).value();
  library.call("move", library.call("move", moved));
  library.call("turn", new NdArray([1], new Int8Array(1)));
  library.call("first", [half, 2]);
  const nothing: void = await library.with({ timeout: "1m" }).call("ready").value();
  const halves: number[] = await library.map("half", [1, half], { chunk: 10 });
  const texts: string[] = await library.map("read", [file, "b"], { failures: "collect" });
  const sum: number = await library.treeReduce("add", [1, 2]);
  // @ts-expect-error: a number is wanted
  library.call("half", "3");
  // @ts-expect-error: an argument is missing
  library.call("half");
  // @ts-expect-error: one too many
  library.call("half", 1, 2);
  // @ts-expect-error: a path is no number
  library.call("half", file);
  // @ts-expect-error: a call of another type
  library.call("half", text);
  // @ts-expect-error: no such function
  library.call("halve", 3);
  // @ts-expect-error: no function
  library.call("VERSION");
  // @ts-expect-error: y is missing
  library.call("move", { x: 1 });
  // @ts-expect-error: y is a number
  library.call("move", { x: 1, y: "2" });
  // @ts-expect-error: not that instance
  library.call("turn", new Date());
  // @ts-expect-error: it gives a number
  const wrong: TaskHandle<string> = library.call("half", 3);
  // @ts-expect-error: texts are no numbers
  library.map("half", ["a"]);
  // @ts-expect-error: it takes two
  library.map("add", [1]);
  // @ts-expect-error: it makes no value of two alike
  library.treeReduce("read", ["a"]);
  // @ts-expect-error: no such option
  library.map("half", [1], { chunkSize: 2 });
  void [nothing, halves, texts, sum, wrong];
}

/** Never run: libraries without a type, and functions by value. */
export async function looselyTyped(
  manager: Manager,
  { library, file }: { readonly library: Library; readonly file: FileHandle },
): Promise<void> {
  const one: TaskHandle<number> = library.call<number>("any", 1, file, library.call("other"));
  const many: string[] = await library.map<string>("any", [1, file]);
  const all: number = await library.treeReduce<number>("any", [1, 2]);
  const area = (width: number, height: number) => width * height;
  const areas: TaskHandle<number>[] = [
    manager.run(area, 6, 7),
    manager.run(area, one, 7),
    manager.run({ fn: area, context: { one: 1 }, cores: 2, timeout: "1m" }, 6, one),
  ];
  const read = (path: string) => Promise.resolve(path.length);
  const length: number = await manager.run({ fn: read, tag: "x" }, file).value();
  await manager.map((n: number) => n, [1], { context: { a: 1 } });
  // @ts-expect-error: a text is no number
  manager.run(area, "6", 7);
  // @ts-expect-error: one is missing
  manager.run({ fn: area }, 6);
  // @ts-expect-error: no such option
  manager.run({ fn: area, contexts: {} }, 6, 7);
  // @ts-expect-error: a file is no number
  manager.run(area, file, 7);
  void [many, all, areas, length];
}

/** Never run: libraries of functions by value. */
export async function typedByValue(manager: Manager, file: FileHandle): Promise<void> {
  const functions = {
    add: (a: number, b: number) => Promise.resolve(a + b),
    lengthOf: (path: string) => path.length,
  };
  const library = manager.library({ name: "a", functions, values: { rate: 2 }, slots: 2 });
  const sum: number = await library.call("add", 1, library.call("lengthOf", file)).value();
  const lengths: number[] = await library.map("lengthOf", [file, "a"]);
  const all: number = await library.treeReduce("add", [1, 2]);
  const inline = manager.library({ name: "b", functions: { half: (n: number) => n / 2 } });
  const half: TaskHandle<number> = inline.call("half", 3);
  const given = manager.library<Shapes>({ name: "c", module: "./shapes.ts" });
  const stated: TaskHandle<number> = given.call("half", 3);
  // @ts-expect-error: a number is wanted
  library.call("add", "1", 2);
  // @ts-expect-error: an argument is missing
  library.call("add", 1);
  // @ts-expect-error: no such function
  library.call("sub", 1, 2);
  // @ts-expect-error: it takes two
  library.map("add", [1]);
  // @ts-expect-error: it gives a number
  const wrong: TaskHandle<string> = inline.call("half", 3);
  // @ts-expect-error: no function
  manager.library({ name: "d", functions: { rate: 2 } });
  void [sum, lengths, all, half, stated, wrong];
}

test("Manager.library() gives a typed library the calls of an untyped one", async () => {
  const folder = await mkdtemp(join(tmpdir(), "tendril-test-"));
  process.env["TENDRIL_HOME"] = folder;
  try {
    await using manager = await Manager.start();
    const code = "def half(n):\n    return n / 2\n";
    const library = manager.library<Shapes>({ name: "shapes", python: code });
    const call = library.call("half", 7);
    expect([library.name, call.state]).toEqual(["shapes", "waiting"]);
    expect(() => library.with({ timeout: "soon" }).call("half", 7)).toThrow('"soon"');
    const halves = await library.map("half", []);
    expect(halves).toEqual([]);
    await expect(library.map("half", [1], { chunk: 0 })).rejects.toThrow("chunk of map");
    const server = manager.library({ name: "server", command: "./server" });
    await expect(server.map("half", [1], { chunk: 2 })).rejects.toThrow(
      'Cannot take chunk of map "2" as more than 1: library "server" is a command',
    );
  } finally {
    delete process.env["TENDRIL_HOME"];
    await rm(folder, { recursive: true, force: true });
  }
});
