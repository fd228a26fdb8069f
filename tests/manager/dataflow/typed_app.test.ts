/** What the types allow is checked by `deno check`, which fails where a marked line has no error. */

import { expect, test } from "bun:test";

import {
  type App,
  app,
  type AppFuture,
  type CommandValue,
  type DataFile,
  type DataFuture,
  File,
  joinApp,
  load,
  pythonApp,
  shellApp,
} from "../../../mod.ts";

interface Fit {
  readonly slope: number;
  readonly names: string[];
}

declare const stats: {
  count(path: string): number;
  fit(table: number[], options?: { readonly degree: number }): Promise<Fit>;
};

/** Never run: what may be given for arguments, and what calls give. */
export async function arguments_(): Promise<void> {
  const add = app((a: number, b: number) => a + b);
  const fit = app((table: number[], options?: { degree: number }): Promise<Fit> => {
    throw new Error(`${table} ${options}`);
  });
  const read = app((path: string) => path.length);
  const move = app((point: { x: number; y: number }, ...by: number[]) => by.length + point.x);
  const first = app(<T>(items: T[]): T => items[0]!);
  const any = app((value: unknown) => value);
  const sum: AppFuture<number> = add(1, add(2, 3));
  const value: number = await add(sum, Promise.resolve(4));
  const fitted: AppFuture<Fit> = fit([1, sum, Promise.resolve(2)], { degree: sum });
  const list: AppFuture<number[]> = app((n: number) => [n])(sum);
  fit(list);
  fit([]);
  const slope: AppFuture<number> = fitted.get("slope");
  const name: AppFuture<string> = fitted.get("names").get(0);
  read(new File("a"));
  read(name);
  move({ x: sum, y: 2 }, sum, 3);
  move(Promise.resolve({ x: 1, y: 2 }));
  first([sum, 2]);
  any(sum);
  any({ deep: [sum, new File("a"), undefined] });
  const same: App<[a: number, b: number], number> = add.with({ retries: 3, cores: 2 });
  const more: AppFuture<number> = same.with({ priority: 1 })(1, slope);
  // @ts-expect-error: a text is no number
  add(1, "2");
  // @ts-expect-error: an argument is missing
  add(1);
  // @ts-expect-error: one too many
  add(1, 2, 3);
  // @ts-expect-error: a future of another type
  add(1, name);
  // @ts-expect-error: a promise of another type
  add(1, Promise.resolve("2"));
  // @ts-expect-error: a file is no number
  add(1, new File("a"));
  // @ts-expect-error: one of them is no number
  fit([1, name]);
  // @ts-expect-error: degree is a number
  fit([1], { degree: "2" });
  // @ts-expect-error: no such property
  fit([1], { degrees: 2 });
  // @ts-expect-error: no such key
  fitted.get("slopes");
  // @ts-expect-error: a number has no such part
  fitted.get("slope").get("x");
  // @ts-expect-error: y is missing
  move({ x: 1 });
  // @ts-expect-error: a rest of numbers
  move({ x: 1, y: 2 }, name);
  // @ts-expect-error: it gives a number
  const wrong: AppFuture<string> = add(1, 2);
  // @ts-expect-error: no such option
  add.with({ retry: 3 });
  // @ts-expect-error: not a number of retries
  app((a: number) => a, { retries: "3" });
  // @ts-expect-error: no kind of failure
  add.with({ retryOn: ["broken"] });
  // @ts-expect-error: no such output
  add.with({ outputs: { table: "t.csv" } });
  // @ts-expect-error: with() keeps what it takes
  same(1, "2");
  // @ts-expect-error: it makes no files
  sum.outputs.table;
  void [value, more, wrong];
}

/** Never run: files that calls make. */
export async function outputs(index: File): Promise<void> {
  const align = shellApp((reads: File, at: File) => `align ${reads} ${at}`, {
    outputs: { sam: "out.sam", log: { to: "align.log" } },
  });
  const sort = shellApp((table: File, options?: { quick: boolean }) => `sort ${table} ${options}`);
  const count = app((path: string) => path.length);
  const call = align(new File("a.fq"), index);
  const sam: DataFuture = call.outputs.sam;
  const done: CommandValue = await call;
  const code: AppFuture<number> = call.get("exitCode");
  const file: DataFile = await sam;
  align(sam, call.outputs.log);
  align(file, index);
  count(sam);
  count(file);
  sort(call.outputs.log, { quick: true });
  const kept = align.with({ outputs: { sam: new File("kept.sam") } })(index, index).outputs.sam;
  const text: string = await kept.text();
  // @ts-expect-error: no such output
  call.outputs.bam;
  // @ts-expect-error: no such output
  align.with({ outputs: { bam: "x" } });
  // @ts-expect-error: a path is no file
  align("a.fq", index);
  // @ts-expect-error: a call is no file
  align(call, index);
  // @ts-expect-error: a command gives no number
  const wrong: AppFuture<number> = call;
  // @ts-expect-error: its function makes no text
  shellApp((n: number) => n);
  // @ts-expect-error: two files are wanted
  align(sam);
  void [done, code, text, wrong];
}

/** Never run: functions of modules. */
export async function modules(): Promise<void> {
  const count = app<typeof stats.count>("./stats.ts", "count");
  const fit = app<typeof stats.fit>(import.meta.url, "fit", { cores: 2 });
  const area = pythonApp<number>("shapes.py", "area");
  const typed = pythonApp<(width: number, height: number) => number>("shapes.py", "area");
  const loose = pythonApp("shapes.py", "any");
  const one: AppFuture<number> = count("a");
  const fitted: Fit = await fit([one, 2]);
  const areas: AppFuture<number> = area(6, one, "anything", new File("x"));
  const more: AppFuture<number> = typed(areas, 7);
  const unknown: AppFuture<unknown> = loose();
  // @ts-expect-error: a path is wanted
  count(3);
  // @ts-expect-error: an argument is missing
  typed(6);
  // @ts-expect-error: a number is wanted
  typed(6, "7");
  // @ts-expect-error: which function?
  pythonApp("shapes.py");
  // @ts-expect-error: what it gives is not known
  const wrong: AppFuture<number> = loose();
  // @ts-expect-error: no such option
  pythonApp("shapes.py", "area", { core: 2 });
  void [fitted, more, unknown, wrong];
}

/** Never run: joins. */
export async function joins(): Promise<void> {
  const add = app((a: number, b: number) => a + b);
  const make = shellApp((n: number) => `make ${n}`, { outputs: { out: "out" } });
  const single = joinApp((n: number) => add(n, 1));
  const list = joinApp((ns: number[]) => ns.map((n) => add(n, 1)));
  const tuple = joinApp(() => [add(1, 2), "text", make(1).outputs.out] as const);
  const object = joinApp((n: number) => ({ sum: add(n, n), deep: { all: [add(n, 1)] }, n }));
  const later = joinApp(async (n: number) => {
    const sum = await add(n, 1);
    return [add(sum, 1)];
  });
  const tree = joinApp((depth: number): AppFuture<number> =>
    depth === 0 ? add(0, 1) : tree(depth - 1)
  );
  const one: AppFuture<number> = single(add(1, 2));
  const many: AppFuture<number[]> = list([1, one]);
  const [sum, text, file] = await tuple();
  const checked: readonly [number, string, DataFile] = [sum, text, file];
  const deep: { sum: number; deep: { all: number[] }; n: number } = await object(one);
  const last: AppFuture<number[]> = later(one);
  add(tree(3), many.get(0));
  // @ts-expect-error: it gives a list
  const wrong: AppFuture<number> = list([1]);
  // @ts-expect-error: a number is wanted
  single("1");
  // @ts-expect-error: joins make no files
  joinApp(() => add(1, 2), { outputs: { out: "out" } });
  // @ts-expect-error: no such key
  object(1).get("total");
  void [checked, deep, last, wrong];
}

/** Never run: the example of what this layer is for. */
export async function example(samples: readonly string[], index: File): Promise<void> {
  await using flow = await load({ retries: 2, workers: 2 });
  const align = shellApp(
    (reads: File, index: File) => `bowtie2 -x ${index}/lambda -U ${reads} -S out.sam`,
    { outputs: { sam: "out.sam" }, cores: 2 },
  );
  const count = pythonApp<number>("stats.py", "count_mapped");
  const total = app((parts: number[]) => parts.reduce((a, b) => a + b, 0));
  const all: number = await total(samples.map((s) => count(align(new File(s), index).outputs.sam)));
  void [flow, all];
  // @ts-expect-error: no such option
  await load({ retry: 2 });
  // @ts-expect-error: neither of the two
  await load({ exit: "stop" });
}

test("Types of apps are those of their functions", () => {
  const add = app((a: number, b: number) => a + b);
  expect([add.appName, add.with({ retries: 1 }).appName]).toEqual(["add", "add"]);
});
