import { expect, test } from "bun:test";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { functionModule } from "../../../shared/function_source.ts";
import { decodeValue, encodeArguments } from "../../../shared/value.ts";
import type { CallEnd } from "../../../worker/library/library_call.ts";
import {
  contentsOf,
  goneOf,
  startInstance,
  textOf,
  thrownOf,
  valueOf,
} from "./library_instance.ts";

/** The end of a call that did nothing to lose its instance. */
const LOST: CallEnd = {
  kind: "lost",
  message: "The library instance was stopped",
  isAmbiguous: true,
};

test("call() returns the value of a function, or of its promise", async () => {
  await using instance = await startInstance(`
    export const add = (a: number, b: bigint) => ({ sum: BigInt(a) + b });
    export const later = (x: unknown) => new Promise((resolve) => setImmediate(() => resolve([x])));
    export function nothing() {}
  `);
  expect(valueOf(await instance.call("add", [1, 2n]))).toEqual({ sum: 3n });
  expect(valueOf(await instance.call("later", [new Map([[1, 2]])]))).toEqual([new Map([[1, 2]])]);
  expect(valueOf(await instance.call("nothing"))).toBe(undefined);
});

test("call() gives a file argument as the absolute path of the file", async () => {
  await using instance = await startInstance(`
    import { readFileSync } from "node:fs";
    export const read = (path: string, more: { path: string }) => readFileSync(path, "utf8") + more.path;
  `);
  const path = join(instance.directory, "input");
  await writeFile(path, "contents ");
  const file = new (class Stored {})();
  const { bytes } = encodeArguments([file, { path: file }], {
    onFile: (value) => value === file ? "f" : undefined,
    onHandle: () => undefined,
  });
  const result = await instance.call("read", [], { arguments: bytes, files: [path] });
  expect(valueOf(result)).toBe(`contents ${path}`);
});

test("call() returns what a function threw, with its message and stack", async () => {
  await using instance = await startInstance(`
    export function fail() { throw new RangeError("too far", { cause: new Error("the cause") }); }
    export async function reject() { throw { code: 7 }; }
    export const strange = () => { throw Object.create(null, { toJSON: { get() { throw 1; } } }); };
    export const good = () => 1;
  `);
  const [fail, reject, strange, good] = await instance.callAll([
    ["fail"],
    ["reject"],
    ["strange"],
    ["good"],
  ]);
  const thrown = thrownOf(fail!);
  expect([thrown.name, thrown.message]).toEqual(["RangeError", "too far"]);
  expect(thrown.stack).toMatch(/too far[^]*library\.ts:2:[^]*Caused by[^]*the cause/);
  expect(thrownOf(reject!)).toEqual({ name: "Error", message: '{"code":7}', stack: "" });
  expect(thrownOf(strange!).message).toBe("a value that cannot be shown");
  expect(valueOf(good!)).toBe(1);
});

test("call() says what is wrong with a call that cannot be made", async () => {
  await using instance = await startInstance(`
    export const one = () => 1;
    export const bad = () => ({ a: [() => 1] });
    export const limit = 7;
  `);
  const messageOf = async (name: string) => thrownOf(await instance.call(name)).message;
  const unknown = (name: string) =>
    `Cannot call "${name}" as a function of the library: it exports bad, one`;
  expect(await messageOf("two")).toBe(unknown("two"));
  expect(await messageOf("limit")).toBe(unknown("limit"));
  expect(await messageOf("toString")).toBe(unknown("toString"));
  expect(await messageOf("two words")).toContain("no such name");
  expect(await messageOf("bad")).toBe('Cannot send "result.a[0]" as a value: a function');
  const large = await instance.call("one", [], { arguments: new Uint8Array(2 ** 20 + 1) });
  expect(thrownOf(large).message).toContain("more than 1048576 bytes");
  const broken = await instance.call("one", [], { arguments: new Uint8Array([0x9f]) });
  expect(thrownOf(broken).message).toContain("an indefinite length");
  expect(valueOf(await instance.call("one"))).toBe(1);
});

test("start() runs the context function once and keeps what it returned", async () => {
  const source = `
    import { libraryContext } from "tendril";
    let runs = 0;
    export async function setup() {
      runs++;
      await new Promise((resolve) => setImmediate(resolve));
      return { weights: [1, 2] };
    }
    export const sum = () => {
      const { weights } = libraryContext<typeof setup>();
      return [runs, weights.push(3)];
    };
  `;
  await using instance = await startInstance(source, { context: "setup" });
  const values = (await instance.callAll([["sum"], ["sum"]])).map(valueOf);
  expect(values).toEqual([[1, 3], [1, 4]]);
});

test("start() rejects with why a library cannot start and what it printed", async () => {
  const start = (source: string, context = "") => startInstance(source, { context });
  await expect(start("console.log('loading'); throw new Error('no model');")).rejects.toThrow(
    /^Cannot start library: [^]*no model[^]*loading$/,
  );
  await expect(start("import './absent.ts';")).rejects.toThrow("absent.ts");
  await expect(start("export const a = 1;", "setup")).rejects.toThrow(
    'Cannot call "setup" as a function of the library: it exports none',
  );
  await expect(start("console.error('bye'); process.exit(3);")).rejects.toThrow(
    "Cannot start library: exit code 3\nbye",
  );
  await expect(startInstance({ command: ["/nowhere/program"] })).rejects.toThrow("ENOENT");
  await expect(startInstance({ command: ["sleep", "60"] }, { startMsMax: 50 })).rejects.toThrow(
    "Cannot start library: not ready after 50 ms",
  );
});

test("call() keeps what a function prints apart, and its end when it is long", async () => {
  await using instance = await startInstance(`
    import { spawnSync } from "node:child_process";
    export function print(n: number) {
      console.log("log %d", n, { a: 1 });
      console.error("error", n);
      process.stdout.write("written\\n");
    }
    export function flood() {
      for (let i = 0; i < 50_000; i++) process.stdout.write(Buffer.from(i + "\\n"));
    }
  `);
  const [first, second, flood] = await instance.callAll([["print", 1], ["print", 2], ["flood"]]);
  expect(textOf(first!.stdout)).toBe("log 1 { a: 1 }\nwritten\n");
  expect(textOf(second!.stderr)).toBe("error 2\n");
  expect(flood!.stdout.length).toBe(64 * 1024);
  expect(textOf(flood!.stdout).slice(-12)).toBe("49998\n49999\n");
});

test("call() works in the directory of the call, and returns from it", async () => {
  await using instance = await startInstance(`
    import { writeFileSync } from "node:fs";
    export function draw() { writeFileSync("plot", "drawn"); return process.cwd(); }
    export const where = () => process.cwd();
  `);
  const home = valueOf(await instance.call("where"));
  const directory = join(instance.directory, "sandbox");
  await mkdir(directory);
  expect(valueOf(await instance.call("draw", [], { directory }))).toBe(directory);
  expect(await readFile(join(directory, "plot"), "utf8")).toBe("drawn");
  expect(valueOf(await instance.call("where"))).toBe(home);
});

test("call() hands over a large value as a file", async () => {
  await using instance = await startInstance(
    "export const large = () => new Uint8Array(3 * 2 ** 20).fill(7);",
  );
  const { end } = await instance.call("large");
  if (end.kind !== "ok_file") throw new Error(`ended as ${end.kind}`);
  const value = decodeValue(await readFile(end.path)) as Uint8Array;
  expect([value.length, value[5]]).toEqual([3 * 2 ** 20, 7]);
});

test("call() loses only the call whose process died", async () => {
  await using instance = await startInstance(`
    export const good = (n: number) => n;
    export const exit = () => process.exit(3);
    export const kill = () => process.kill(process.pid, "SIGKILL");
    export const late = () => new Promise(() => setTimeout(() => { throw new Error("late"); }, 1));
    export const forgotten = async () => { void Promise.reject(new Error("lone")); await new Promise(() => {}); };
  `);
  // The first calls teach the instance that calls are short, so that the rest share the pipe.
  await instance.callAll(Array.from({ length: 50 }, (_, n) => ["good", n] as const));
  const ends = (await instance.callAll([
    ["good", 0],
    ["exit"],
    ["good", 1],
    ["kill"],
    ["good", 2],
    ["late"],
    ["forgotten"],
    ["good", 3],
  ])).map(({ end }) => end);
  const lost = (message: string) => ({ kind: "lost", message });
  expect(ends.map((end) => end.kind === "ok" ? decodeValue(end.value) : end)).toEqual([
    0,
    lost('The process of function "exit" died: exit code 3'),
    1,
    { ...lost('The process of function "kill" died: killed by SIGKILL'), isAmbiguous: true },
    2,
    lost('The process of function "late" died: uncaught Error: late'),
    lost('The process of function "forgotten" died: uncaught Error: lone'),
    3,
  ]);
});

test("cancel() kills a running call and what it started; the slot serves again", async () => {
  await using instance = await startInstance(`
    import { spawn } from "node:child_process";
    import { writeFileSync } from "node:fs";
    export function spin(path: string) {
      const child = spawn("sleep", ["600"]);
      writeFileSync(path, JSON.stringify([process.pid, child.pid]));
      for (;;);
    }
    export const good = () => 1;
  `);
  const path = join(instance.directory, "pids");
  const callId = instance.nextCallId;
  const spinning = instance.call("spin", [path]);
  const waiting = instance.call("good");
  const pids = JSON.parse(await contentsOf(path)) as number[];
  instance.library.cancel(callId);
  expect((await spinning).end).toEqual({ kind: "cancelled" });
  expect(valueOf(await waiting)).toBe(1);
  await Promise.all(pids.map(goneOf));
});

test("cancel() stops calls that wait and leaves the others alone", async () => {
  await using instance = await startInstance(`
    import { existsSync } from "node:fs";
    export const good = (n: number) => n;
    export const until = async (path: string) => {
      while (!existsSync(path)) await new Promise((resolve) => setImmediate(resolve));
    };
  `);
  await instance.callAll(Array.from({ length: 50 }, (_, n) => ["good", n] as const));
  const path = join(instance.directory, "go");
  const callId = instance.nextCallId;
  const before = [instance.call("until", [path]), instance.call("good", [1])];
  const cancelled = instance.call("good", [2]);
  const after = instance.call("good", [3]);
  instance.library.cancel(callId + 2);
  instance.library.cancel(callId + 2);
  instance.library.cancel(999);
  expect((await cancelled).end.kind).toBe("cancelled");
  await writeFile(path, "");
  const ends = await Promise.all([...before, after]);
  expect(ends.map(({ end }) => end.kind)).toEqual(["ok", "ok", "ok"]);
});

test("call() stops a function at its timeout, by its own time alone", async () => {
  await using instance = await startInstance(`
    export const spin = () => { for (;;); };
    export const good = () => 1;
  `);
  const spinning = instance.call("spin", [], { timeoutMs: 60 });
  const waiting = instance.call("good", [], { timeoutMs: 60_000 });
  const result = await spinning;
  expect(result.end).toEqual({ kind: "timeout" });
  expect(result.ranMs).toBeGreaterThanOrEqual(60);
  expect(valueOf(await waiting)).toBe(1);
});

test("call() of a name after a star runs the function for each list of arguments", async () => {
  await using instance = await startInstance(`
    export async function half(n: number, by = 2) {
      if (n % by) throw new RangeError(n + " is odd");
      return n / by;
    }
  `);
  const lists = [[4], [3], [9, 3]];
  const all = valueOf(await instance.call("*half", [lists, false])) as unknown[][];
  expect(all.map((end) => end.slice(0, 3))).toEqual([
    [true, 2],
    [false, "RangeError", "3 is odd"],
    [true, 3],
  ]);
  expect(all[1]![3]).toContain("library.ts:3");
  expect(valueOf(await instance.call("*half", [lists, true]))).toEqual(all.slice(0, 2));
  expect(thrownOf(await instance.call("*none", [lists, true])).message)
    .toContain('Cannot call "none" as a function of the library');
});

test("call() moves calls away from behind a long one, and runs each once", async () => {
  await using instance = await startInstance(
    `
    import { appendFileSync, existsSync } from "node:fs";
    export const good = (n: number) => n;
    export const until = (path: string) => { while (!existsSync(path)); };
    export const mark = (log: string, n: number) => appendFileSync(log, n + "\\n");
  `,
    { slots: 2 },
  );
  await instance.callAll(Array.from({ length: 200 }, (_, n) => ["good", n] as const));
  const go = join(instance.directory, "go");
  const log = join(instance.directory, "log");
  const long = instance.call("until", [go]);
  const marks = Array.from({ length: 20 }, (_, n) => ["mark", log, n] as const);
  // All of them end while the long call runs, those that were put behind it too.
  await instance.callAll(marks);
  await writeFile(go, "");
  await long;
  // One in each slot: what a slot was given before is done, or was given up.
  await instance.callAll([["until", go], ["until", go]]);
  const lines = (await readFile(log, "utf8")).trim().split("\n").map(Number);
  expect(lines.toSorted((a, b) => a - b)).toEqual(marks.map(([, , n]) => n));
  expect(instance.results.length).toBe(223);
});

test("call() serves thousands of calls in two slots, each once", async () => {
  await using instance = await startInstance("export const twice = (n: number) => 2 * n;", {
    slots: 2,
  });
  const calls = Array.from({ length: 5000 }, (_, n) => ["twice", n] as const);
  const results = await instance.callAll(calls);
  expect(results.map(valueOf)).toEqual(calls.map(([, n]) => 2 * n));
  expect(instance.results.length).toBe(5000);
});

test("call() runs each call of a function by value in a fresh process", async () => {
  const fn = () => [process.pid, (globalThis as { count?: number }).count = 1 + countOf()];
  const countOf = () => (globalThis as { count?: number }).count ?? 0;
  await using instance = await startInstance(functionModule(fn, { countOf }));
  const results = await instance.callAll([["run"], ["run"], ["run"], ["run"], ["run"]]);
  const values = results.map(valueOf) as [number, number][];
  expect(values.map(([, count]) => count)).toEqual([1, 1, 1, 1, 1]);
  expect(new Set(values.map(([pid]) => pid)).size).toBe(5);
});

test("onDied() tells of a library that keeps dying without a call", async () => {
  await using instance = await startInstance(`
    export const good = () => 1;
    setTimeout(() => process.exit(5), 20);
  `);
  expect(await instance.died).toMatch(/A process of the library died (idle|starting): exit code 5/);
  const { end } = await instance.call("good");
  expect(end).toEqual({ kind: "cancelled" });
});

test("close() ends running calls as lost, others as not run, and leaves no process", async () => {
  await using instance = await startInstance(
    `
    import { writeFileSync } from "node:fs";
    export function spin(path: string) { writeFileSync(path, String(process.pid)); for (;;); }
  `,
    { slots: 2 },
  );
  const paths = ["a", "b"].map((name) => join(instance.directory, name));
  const calls = paths.map((path) => instance.call("spin", [path]));
  const pids = await Promise.all(paths.map(async (path) => Number(await contentsOf(path))));
  const idle = instance.call("spin", ["never"]);
  await instance.library.close();
  const ends = (await Promise.all([...calls, idle])).map(({ end }) => end);
  expect(ends).toEqual([LOST, LOST, { kind: "cancelled" }]);
  await Promise.all(pids.map(goneOf));
});

test("close() lets an idle process end by itself", async () => {
  await using instance = await startInstance(`
    import { writeFileSync } from "node:fs";
    process.on("exit", () => writeFileSync("../ended", ""));
  `);
  await instance.library.close();
  expect(await readdir(instance.directory)).toContain("ended");
});

test("start() keeps Bun's variables from the processes and marks them", async () => {
  await using instance = await startInstance("export const env = () => ({ ...process.env });", {
    env: { PATH: process.env.PATH, BUN_OPTIONS: "", BUN_INSPECT: "", SEED: "7" },
    mark: "worker-1",
  });
  const env = valueOf(await instance.call("env")) as Record<string, string>;
  expect(Object.keys(env).filter((name) => name.startsWith("BUN_"))).toEqual([]);
  expect([env.SEED, env.TENDRIL_WORKER_MARK]).toEqual(["7", "worker-1"]);
});

const SHELL_LIBRARY = `
  echo ready >&4
  while read -r word id name size paths <&3; do
    head -c "$((size + paths))" <&3 >/dev/null
    case $name in
      seven) printf 'result %s ok 1\\n\\007' "$id" >&4 ;;
      fail) printf 'result %s error 7\\nno luck' "$id" >&4 ;;
      print) echo "some log"; exit 9 ;;
      steal) printf 'result %s file 11\\n/etc/passwd' "$id" >&4 ;;
      babble) printf 'result 1 ok -1\\n' >&4; sleep 60 ;;
      flood) head -c 100000 /dev/zero >&4; sleep 60 ;;
    esac
  done
`;

test("call() is served by a program in shell", async () => {
  await using instance = await startInstance({ command: ["sh", "-c", SHELL_LIBRARY] });
  const results = await instance.callAll([["seven"], ["fail"], ["seven", "x".repeat(5000)]]);
  expect(results.map(({ end }) => end.kind)).toEqual(["ok", "error", "ok"]);
  expect([valueOf(results[0]!), thrownOf(results[1]!).message]).toEqual([7, "no luck"]);
});

test("call() survives a program that breaks the protocol", async () => {
  await using instance = await startInstance({ command: ["sh", "-c", SHELL_LIBRARY] });
  const messageOf = async (name: string) => {
    const { end } = await instance.call(name);
    return end.kind === "lost" ? end.message : end.kind;
  };
  expect(await messageOf("babble")).toContain(
    'Cannot read "result 1 ok -1" as a line of the call protocol: word 4 is not a number',
  );
  expect(await messageOf("flood")).toContain("more than 512 bytes");
  expect(thrownOf(await instance.call("steal")).message).toContain(
    'Cannot take file "/etc/passwd" as a value: not in the directory of its process',
  );
  const printed = await instance.call("print");
  expect([printed.end.kind, textOf(printed.stderr)]).toEqual(["lost", "some log"]);
  expect(valueOf(await instance.call("seven"))).toBe(7);
});
