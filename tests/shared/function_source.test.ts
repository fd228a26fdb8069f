import { expect, test } from "bun:test";

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import {
  type AnyFunction,
  type FunctionContext,
  functionModule,
  functionsModule,
  type NamedFunctions,
} from "../../shared/function_source.ts";
import { WORKER_GLOBALS } from "../../shared/worker_global.ts";

// Not constant for the eyes of a compiler, which would put their values into the functions.
let outside = 3;
let other = 4;
outside += 0;
other += 0;

class Model {
  rate = 2;
  static twice(n: number) {
    return 2 * n;
  }
  plain(n: number) {
    return n + 1;
  }
  async later(n: number) {
    return await Promise.resolve(n + 2);
  }
  ["comp" + "uted"](n: number) {
    return n + 3;
  }
  #hidden(n: number) {
    return n + 4;
  }
  get hidden() {
    return this.#hidden;
  }
  own() {
    return this.rate;
  }
  inner() {
    return this.#hidden(1);
  }
  static peek(model: Model) {
    return [model.#hidden(1), #hidden in model];
  }
}

class Derived extends Model {
  override own() {
    return super.own();
  }
}

test("functionModule() takes functions of every form", async () => {
  const model = new Model();
  const named = function fact(n: number): number {
    return n < 2 ? 1 : n * fact(n - 1);
  };
  const methods = {
    short: (n: number) => n,
    async method(n: number) {
      return await n;
    },
  };
  const rest = (
    n: number,
    { a, ...others }: Record<string, number> = { a: 1, b: 2 },
    ...more: number[]
  ) => [n, a, others, more];
  const forms: [AnyFunction, unknown][] = [
    [(n: number) => n + 1, 6],
    [async (n: number) => await n, 5],
    [named, 120],
    [Model.twice, 10],
    [model.plain, 6],
    [model.later, 7],
    [(model as unknown as Record<string, AnyFunction>)["computed"]!, 8],
    [model.hidden, 9],
    [methods.short, 5],
    [methods.method, 5],
    [rest as AnyFunction, [
      5,
      1,
      { b: 2 },
      [],
    ]],
  ];
  for (const [fn, expected] of forms) {
    expect(await runModule(functionModule(fn), 5)).toEqual(expected as never);
  }
});

/** In text, for no compiler to put in order: what modules allow, if not what lint does. */
const SCOPES = `(list) => {
  var sum = 0;
  for (const item of list) sum += item;
  for (let index = 0, end = 2; index < end; index++) sum += index;
  for (const key in { a: 1 }) sum += key.length;
  try {
    throw { message: [7] };
  } catch ({ message: [first], ...others }) {
    sum += first;
  }
  {
    let inner = 1;
    sum += inner + later() + (hoisted ??= 0);
  }
  switch (sum) {
    case -1:
      const unused = 1;
      sum = unused;
  }
  function later() {
    if (true) { var nested = arguments.length; }
    return nested;
  }
  var hoisted;
  class Point {
    #x = 1;
    static origin = new Point();
    static {
      var local = Point.origin;
      { var deep = local; }
      sum += deep.x;
    }
    get x() { return this.#x; }
    field = () => this.#x;
    has(object) { return #x in object; }
  }
  const Named = class Inner extends Point {
    copy() { return new Inner().x + super.x; }
  };
  label: while (true) break label;
  const object = { sum, method() { return this.sum; } };
  if (typeof notThere !== "undefined") sum = 0;
  return [object.method(), new Named().copy(), new Named().has(object), \`\${sum}\`];
}`;

test("functionModule() finds every scope's own names", async () => {
  const fn = new Function(`return ${SCOPES}`)() as (list: number[]) => unknown;
  expect(await runModule(functionModule(fn), [1, 2])).toEqual([14, 2, false, "14"]);
});

test("functionModule() takes the context that is used, and functions in it", async () => {
  const helper = (n: number) => n * outside;
  let even: (n: number) => boolean = () => true;
  const odd = (n: number): boolean => n === 0 ? false : even(n - 1);
  even = (n: number): boolean => n === 0 ? true : odd(n - 1);
  const context: FunctionContext = {
    helper,
    outside,
    even,
    odd,
    unused: Symbol("never looked at"),
  };
  const fn = (n: number) => [helper(n), even(n)];
  const source = functionModule(fn, context);
  expect(await runModule(source, 4)).toEqual([12, true]);
  expect(source).not.toContain("unused");
  expect(functionModule(fn, { ...context, outside: 5 })).not.toBe(source);
  expect(functionModule(fn, { ...context })).toBe(source);
});

test("functionModule() carries values of every kind in the context", async () => {
  let values: unknown = [
    [NaN, -0, -Infinity, 1e21, 5n, -5n, null, undefined, true, 'a"\n\u2028', [1, [2]]],
    new Date(5),
    new Map<unknown, unknown>([[1, { a: new Set([1]) }]]),
    new Uint8Array([1, 2]),
    new Float64Array([0.5, NaN]).subarray(1),
    new BigInt64Array([-1n]),
    JSON.parse('{"__proto__": 1, "a b": 2}'),
  ];
  const kept = values;
  values = [...values as unknown[]];
  expect(await runModule(functionModule(() => values, { values }))).toStrictEqual(kept as never);
});

test("functionModule() keeps a context entry named run", async () => {
  let run = 1;
  let run_ = 2;
  run += 0;
  run_ += 0;
  expect(await runModule(functionModule(() => [run, run_], { run, run_ }))).toEqual([1, 2]);
});

test("functionModule() refuses what cannot leave its place, and says what it is", () => {
  const messageOf = (fn: AnyFunction, context?: FunctionContext) => {
    try {
      return functionModule(fn, context);
    } catch (error) {
      expect(error).toBeInstanceOf(TypeError);
      return (error as Error).message.replace(/^Cannot send function /, "");
    }
  };
  const model = new Model();
  const getter = Object.getOwnPropertyDescriptor({
    get x() {
      return 1;
    },
  }, "x")!.get!;
  const uses = (fn: () => unknown, context?: FunctionContext) => messageOf(fn, context);
  expect(messageOf(Math.max)).toBe('"max" to a worker: it is native or bound');
  expect(messageOf(model.plain.bind(model))).toMatch(/native or bound$/);
  expect(messageOf(Model as unknown as AnyFunction)).toBe('"Model" to a worker: it is a class');
  expect(messageOf(function* many() {
    yield 1;
  })).toBe('"many" to a worker: it is a generator');
  expect(messageOf(
    {
      async *many() {
        yield 1;
      },
    }.many,
  )).toMatch(/it is a generator$/);
  expect(messageOf(getter)).toMatch(/it is an accessor$/);
  expect(messageOf(model.own)).toBe('"own" to a worker: it uses this');
  // Bun writes private names as helpers of its own.
  expect(messageOf(model.inner)).toMatch(/^"inner" to a worker: it uses this/);
  expect(messageOf(Model.peek as AnyFunction)).toMatch(/^"peek" to a worker: it uses .*hidden/);
  expect(messageOf(new Derived().own)).toBe('"own" to a worker: it uses super');
  expect(uses(() => [1].map(() => import.meta.url))).toMatch(/it uses import\.meta$/);
  expect(uses(() => import("./sibling.ts" as string))).toMatch(
    /it uses import\("\.\/sibling\.ts"\)$/,
  );
  expect(uses(() => outside + other + missing() + outside)).toMatch(
    /it uses "outside", "other", "missing", neither in its context nor a global of a worker$/,
  );
  expect(uses(() => elsewhere(), { elsewhere: () => other })).toBe(
    '"context.elsewhere" to a worker: it uses "other", neither in its context nor a global of a worker',
  );
  expect(uses(() => outside, { outside: { a: [new Model()] } })).toBe(
    'Cannot send "context.outside.a[0]" as a value: an instance of Model',
  );
  expect(messageOf((a: { b: () => number } = { b: () => outside }) => a)).toContain('"outside"');
  expect(messageOf(() => {
    outside = 5;
  })).toContain('"outside"');
  expect(messageOf(() =>
    class {
      [other] = 1;
    }
  )).toContain('"other"');
  expect(messageOf(() => ({ [other]: 1, missing }))).toMatch(/"other", "missing"/);
  const block = new Function("return () => { if (true) { let missing = 1; } return missing; }")();
  expect(messageOf(block as AnyFunction)).toContain('"missing"');
});

test("functionsModule() exports functions that use each other, values and what they keep", async () => {
  let run = 2;
  run += 0;
  const kept: Record<string, number> = {};
  const add = (a: number, b: number): number => a + b;
  const helper = (n: number) => add(n, run);
  const functions: NamedFunctions = {
    add,
    twice: (n: number) => add(helper(n), n),
    run: () => run,
    fetch: (n: number) => ["global", n],
    delete: (key: string) => delete kept[key],
    keep: (key: string, n: number) => Object.keys(Object.assign(kept, { [key]: n })),
    later: async () => (await import("node:path")).basename("/a/b"),
  };
  const values = { kept, helper, run, unused: Symbol("never looked at") };
  const source = functionsModule(functions, values);
  const ends = [
    ["twice", 5],
    ["run"],
    ["fetch", 1],
    ["keep", "a", 1],
    ["keep", "b", 1],
    ["delete", "a"],
    ["keep", "c", 1],
    ["later"],
  ].map(([name, ...args]) => ({ name: String(name), args }));
  expect(await runCalls(source, ends)).toEqual(
    [12, 2, ["global", 1], ["a"], ["a", "b"], true, ["b", "c"], "b"],
  );
  expect(source).not.toContain("unused");
  const turned = Object.fromEntries(Object.entries(functions).reverse());
  expect(functionsModule(turned, { ...values })).toBe(source);
  expect(functionsModule(functions, { ...values, run: 3 })).not.toBe(source);
});

test("functionsModule() refuses what cannot leave its place, with its name there", () => {
  const messageOf = (functions: object, values?: FunctionContext) => {
    try {
      return functionsModule(functions as NamedFunctions, values);
    } catch (error) {
      expect(error).toBeInstanceOf(TypeError);
      return (error as Error).message;
    }
  };
  expect(messageOf({ add: 7 })).toBe('Cannot send "add: 7" to a worker: expected a function');
  expect(messageOf({ good: () => 1, most: Math.max })).toBe(
    'Cannot send function "most" to a worker: it is native or bound',
  );
  expect(messageOf({ far: () => outside })).toBe(
    'Cannot send function "far" to a worker: it uses "outside", neither in its values nor a ' +
      "global of a worker",
  );
  expect(messageOf({ far: () => elsewhere() }, { elsewhere: () => other })).toContain(
    'function "values.elsewhere" to a worker: it uses "other", neither',
  );
  expect(messageOf({ far: () => outside }, { outside: [new Model()] })).toBe(
    'Cannot send "values.outside[0]" as a value: an instance of Model',
  );
  expect(messageOf({ fetch: () => fetch("http://example.org") })).toBe(
    'Cannot send function "fetch" to a worker: it uses "fetch", a function beside it and a global ' +
      "of a worker: rename that",
  );
  for (const name of ["two words", "1st", "*each", "", "a-b", "}; globalThis.x = 1; {"]) {
    expect(messageOf({ [name]: () => 1 })).toBe(
      `Cannot take "${name}" as the name of a function: it is no identifier`,
    );
  }
  expect(messageOf({ then: () => 1 })).toMatch(/"then" .* is taken for a promise$/);
  expect(messageOf({ tendrilOneCallPerProcess: () => 1 })).toMatch(/how to serve it$/);
});

declare function missing(): number;
declare function elsewhere(): number;

test("WORKER_GLOBALS are all there", () => {
  // The tests run on Deno too, which has other globals of its own.
  const absent = [...WORKER_GLOBALS].filter((name) => !(name in globalThis));
  expect("Bun" in globalThis ? absent : []).toEqual([]);
});

async function runModule(source: string, ...args: unknown[]): Promise<unknown> {
  return (await runCalls(source, [{ name: "run", args }]))[0];
}

async function runCalls(
  source: string,
  calls: readonly { readonly name: string; readonly args: readonly unknown[] }[],
): Promise<unknown[]> {
  const directory = await mkdtemp(join(tmpdir(), "tendril-function-"));
  try {
    const path = join(directory, "module.mjs");
    await writeFile(path, source);
    const functions = await import(pathToFileURL(path).href);
    const ends: unknown[] = [];
    for (const { name, args } of calls) ends.push(await functions[name](...args));
    return ends;
  } finally {
    await rm(directory, { recursive: true });
  }
}
