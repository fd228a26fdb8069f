/**
 * The part of `bun:test` that tests use, over `node:test`, for `deno test`. deno.json maps the name;
 * types come from Bun's own declarations in either case. Every test is registered flat, as
 * `FILE > GROUP > NAME`, so that the report of `deno test` can be compared with Bun's file by file;
 * groups and hooks are therefore kept here.
 *
 * @module
 */

import { test as register } from "node:test";
import { format, inspect } from "node:util";

import { expect } from "@std/expect";

/** Bun's default is 5 s; runs on a loaded machine are given more, as scripts/run_tests.ts does. */
const TIMEOUT_MS = 60_000;

type Body = (...args: unknown[]) => unknown;
type Options = number | { timeout?: number };
type Declare = (name: string, body: Body, options?: Options) => void;
type Each<Item> = (rows: readonly unknown[]) => Item;
type Matcher = (
  context: { value: unknown },
  text: string,
) => { pass: boolean; message: () => string };
type Hook = "beforeAll" | "beforeEach" | "afterEach" | "afterAll";

/** A `describe`, or the file itself, which has no parent. */
interface Group {
  readonly path: string;
  readonly parent: Group | undefined;
  readonly hooks: Record<Hook, Body[]>;
  /** Tests within that have not ended, those of inner groups too. */
  pendingCount: number;
  /** The run of its `beforeAll` hooks, once begun. */
  begun: Promise<void> | undefined;
}

let current: Group | undefined;

// Bun's own matchers, of which Jest has none.
expect.extend({
  toBeString: matcher("be a string", (value) => typeof value === "string"),
  toBeNumber: matcher("be a number", (value) => typeof value === "number"),
  toBeBoolean: matcher("be a boolean", (value) => typeof value === "boolean"),
  toBeFunction: matcher("be a function", (value) => typeof value === "function"),
  toBeArray: matcher("be an array", (value) => Array.isArray(value)),
  toBeTrue: matcher("be true", (value) => value === true),
  toBeFalse: matcher("be false", (value) => value === false),
  toStartWith: matcher("start with", (value, text) => String(value).startsWith(text)),
  toEndWith: matcher("end with", (value, text) => String(value).endsWith(text)),
});

export { expect };

/** Declares a test. */
export const test: Declare & {
  each: Each<Declare>;
  if: (condition: boolean) => Declare;
  skip: Declare;
  skipIf: (condition: boolean) => Declare;
} = Object.assign(declare.bind(undefined), {
  each: (rows: readonly unknown[]): Declare => (name, body, options) =>
    each(rows, name, (title, args) => declare(title, () => body(...args), options)),
  if: (condition: boolean): Declare => condition ? declare : skip,
  skip,
  skipIf: (condition: boolean): Declare => condition ? skip : declare,
});

export { test as it };

/** Groups tests, and the hooks that are theirs. */
export const describe: Declare & { each: Each<Declare> } = Object.assign(group.bind(undefined), {
  each: (rows: readonly unknown[]): Declare => (name, body) =>
    each(rows, name, (title, args) => group(title, () => body(...args))),
});

/** Runs before the first test of the group. */
export function beforeAll(body: Body): void {
  addHook("beforeAll", body);
}

/** Runs before each test of the group, after those of outer groups. */
export function beforeEach(body: Body): void {
  addHook("beforeEach", body);
}

/** Runs after each test of the group, before those of outer groups. */
export function afterEach(body: Body): void {
  addHook("afterEach", body);
}

/** Runs after the last test of the group. */
export function afterAll(body: Body): void {
  addHook("afterAll", body);
}

function addHook(hook: Hook, body: Body): void {
  current ??= groupOfFile();
  current.hooks[hook].push(body);
}

function group(name: string, body: Body): void {
  const outer = current ??= groupOfFile();
  current = newGroup(`${outer.path} > ${name}`, outer);
  try {
    body();
  } finally {
    current = outer;
  }
}

function declare(name: string, body: Body, options?: Options): void {
  const group = current ??= groupOfFile();
  const groups: Group[] = [];
  for (let at: Group | undefined = group; at; at = at.parent) groups.unshift(at);
  for (const each of groups) each.pendingCount++;
  const timeoutMs = (typeof options === "number" ? options : options?.timeout) ?? TIMEOUT_MS;
  register(`${group.path} > ${name}`, () => run(groups, body, timeoutMs));
}

function skip(name: string): void {
  const group = current ??= groupOfFile();
  register(`${group.path} > ${name}`, { skip: true }, () => {});
}

/** Runs a test with its hooks; the first failure counts, and every cleanup is run in any case. */
async function run(groups: readonly Group[], body: Body, timeoutMs: number): Promise<void> {
  const failures: unknown[] = [];
  const attempt = async (step: () => unknown): Promise<boolean> => {
    try {
      await limited(step, timeoutMs);
      return true;
    } catch (failure) {
      failures.push(failure);
      return false;
    }
  };

  const isReady = await attempt(async () => {
    for (const group of groups) await (group.begun ??= inOrder(group.hooks.beforeAll));
    for (const group of groups) await inOrder(group.hooks.beforeEach);
  });
  if (isReady) await attempt(body);
  for (const group of groups.toReversed()) {
    for (const hook of group.hooks.afterEach) await attempt(hook);
  }
  for (const group of groups.toReversed()) {
    if (--group.pendingCount > 0) continue;
    for (const hook of group.hooks.afterAll) await attempt(hook);
  }
  if (failures.length > 0) throw failures[0];
}

async function inOrder(hooks: readonly Body[]): Promise<void> {
  for (const hook of hooks) await hook();
}

async function limited(step: () => unknown, timeoutMs: number): Promise<void> {
  const timeout = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => timeout.reject(new Error(`Cannot end the test: it ran past ${timeoutMs} ms`)),
    timeoutMs,
  );
  try {
    await Promise.race([step(), timeout.promise]);
  } finally {
    clearTimeout(timer);
  }
}

function matcher(wanted: string, holds: (value: unknown, text: string) => boolean): Matcher {
  return ({ value }, text = "") => {
    const pass = holds(value, text);
    const message = `Expected ${inspect(value)} ${pass ? "not " : ""}to ${wanted} ${text}`;
    return { pass, message: () => message };
  };
}

/** Calls `declareOne` for each row with the name filled in as Bun does. */
function each(
  rows: readonly unknown[],
  name: string,
  declareOne: (title: string, args: unknown[]) => void,
): void {
  for (const [index, row] of rows.entries()) {
    const args: unknown[] = Array.isArray(row) ? row : [row];
    const template = name.replaceAll("%#", String(index)).replaceAll("%p", "%j");
    const holeCount = template.match(/%[sdifjoO]/g)?.length ?? 0;
    declareOne(format(template, ...args.slice(0, holeCount)), args);
  }
}

/** The test file is the outermost caller: this module is imported anew by each. */
function groupOfFile(): Group {
  const file = /.*\/(tests\/[^:)]*\.test\.ts)/.exec(new Error().stack ?? "")?.[1];
  if (file === undefined) throw new Error("Cannot declare a test outside a file tests/….test.ts");
  return newGroup(decodeURI(file), undefined);
}

function newGroup(path: string, parent: Group | undefined): Group {
  const hooks = { beforeAll: [], beforeEach: [], afterEach: [], afterAll: [] };
  return { path, parent, hooks, pendingCount: 0, begun: undefined };
}
