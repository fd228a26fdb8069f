/** What every executor does: run on each implementation. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { randomInt } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import type { AppOptions } from "../../manager/dataflow/app_options.ts";
import type { AppTry, Executor, RunningTry, TryEnd } from "../../manager/dataflow/executor.ts";
import { File } from "../../manager/dataflow/file.ts";
import { PlacedFile } from "../../manager/dataflow/placed_file.ts";
import { recipeOf, valueBody } from "../../manager/dataflow/recipe.ts";
import type { AnyFunction, FunctionContext } from "../../shared/function_source.ts";
import type { TaskId } from "../../shared/ids.ts";
import { NdArray } from "../../shared/nd_array.ts";
import { until } from "../until.ts";

/** An executor that is open, with what it needs. */
export interface OpenedExecutor extends AsyncDisposable {
  readonly executor: Executor;
  /** Numbers of calls. */
  newId(): TaskId;
}

/** An implementation. */
export interface ExecutorCase {
  readonly name: string;
  open(): Promise<OpenedExecutor>;
  /** It runs commands and Python as well, and ends what it runs. */
  readonly hasProcesses: boolean;
}

type Done = Extract<TryEnd, { readonly kind: "done" }>;

/** What a case does with its executor. */
class Bench implements AsyncDisposable {
  readonly executor: Executor;
  readonly folder: string = mkdtempSync(join(tmpdir(), "tendril-contract-"));
  readonly #opened: OpenedExecutor;

  constructor(opened: OpenedExecutor) {
    this.#opened = opened;
    this.executor = opened.executor;
  }

  fn(fn: AnyFunction, args: readonly unknown[], given: {
    readonly options?: AppOptions;
    readonly context?: FunctionContext;
  } = {}): AppTry {
    const body = valueBody(fn, "run", given.context ?? {});
    const { target, outputs } = recipeOf(body, { name: "run", options: given.options ?? {} });
    return { ...this.#numbers("run"), target: target!, outputs, args, inputs: {} };
  }

  command(command: string, given: {
    readonly options?: AppOptions;
    readonly inputs?: AppTry["inputs"];
  } = {}): AppTry {
    const code = { kind: "command", function: "sh", make: () => command } as const;
    const { target, outputs } = recipeOf(code, { name: "sh", options: given.options ?? {} });
    const inputs = given.inputs ?? {};
    return { ...this.#numbers("sh"), target: target!, outputs, args: [], command, inputs };
  }

  python(source: string, name: string, args: readonly unknown[]): AppTry {
    const body = { kind: "python", function: name, module: source } as const;
    const { target, outputs } = recipeOf(body, { name, options: {} });
    return { ...this.#numbers(name), target: target!, outputs, args, inputs: {} };
  }

  start(aTry: AppTry): { readonly running: RunningTry; readonly end: Promise<TryEnd> } {
    const { promise, resolve } = Promise.withResolvers<TryEnd>();
    return { running: this.executor.submit(aTry, resolve), end: promise };
  }

  end(aTry: AppTry): Promise<TryEnd> {
    return this.start(aTry).end;
  }

  async done(aTry: AppTry): Promise<Done> {
    const end = await this.end(aTry);
    if (end.kind === "done") return end;
    throw new Error(`${end.failure.kind}: ${end.failure.message}`);
  }

  async value(aTry: AppTry): Promise<unknown> {
    return await (await this.done(aTry)).value.read();
  }

  async failure(aTry: AppTry): Promise<Extract<TryEnd, { kind: "failed" }>["failure"]> {
    const end = await this.end(aTry);
    if (end.kind === "failed") return end.failure;
    throw new Error("It succeeded");
  }

  file(name: string, content: string): PlacedFile {
    const path = join(this.folder, name);
    writeFileSync(path, content);
    return new PlacedFile({ kind: "path", path });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opened[Symbol.asyncDispose]();
    rmSync(this.folder, { recursive: true, force: true });
  }

  #numbers(app: string): Pick<AppTry, "callId" | "try" | "app" | "label"> {
    return { callId: this.#opened.newId(), try: 1, app, label: undefined };
  }
}

/** Text that no command line has but that of what a test starts: seconds for `sleep`. */
function newSleep(): string {
  return `9${randomInt(1e8, 1e9)}`;
}

/** Processes with that in their command lines. */
function countProcesses(text: string): number {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).filter((name) => {
    try {
      return readFileSync(`/proc/${name}/cmdline`, "latin1").includes(text);
    } catch {
      return false;
    }
  }).length;
}

/** Tests one implementation. */
export function testExecutor(executorCase: ExecutorCase): void {
  const { name, open, hasProcesses } = executorCase;
  const opening = once(async () => new Bench(await open()));
  const bench = (): Bench => opening.value;

  beforeAll(opening.make);
  afterAll(async () => await bench()[Symbol.asyncDispose]());
  testValues(name, bench);
  testFailures(name, bench);
  testCancel(executorCase, bench);
  if (!hasProcesses) return;
  testCommands(name, bench);
  testFiles(name, bench);
  testProcesses(executorCase, bench);
}

/** What is made before the tests of a file, of which there may be several. */
function once<T>(make: () => Promise<T>): { make(): Promise<void>; readonly value: T } {
  let made: { readonly value: T } | undefined;
  return {
    make: async () => {
      made ??= { value: await make() };
    },
    get value(): T {
      if (made === undefined) throw new Error("Cannot use what is not open");
      return made.value;
    },
  };
}

function testValues(name: string, bench: () => Bench): void {
  test(`${name} gives a function by value its context`, async () => {
    const scale = (n: number): number => n * factor;
    const factor = 3;
    const fn = (n: number): number => scale(n) + 1;
    expect(await bench().value(bench().fn(fn, [5], { context: { scale, factor } }))).toBe(16);
  });

  test(`${name} passes values of every kind`, async () => {
    const values = [
      null,
      undefined,
      true,
      -0,
      NaN,
      1.5,
      2n ** 80n,
      "größe\u{1F9EC}",
      new Date(1_000),
      new Map<unknown, unknown>([[1, ["a"]]]),
      new Set([1, "b"]),
      new Uint8Array([1, 2, 3]),
      new Float64Array([0.5, -2]),
      { a: [{ b: {} }], ["__proto__"]: 7 },
    ];
    expect(await bench().value(bench().fn((given: unknown) => given, [values]))).toEqual(values);
    const array = new NdArray([2, 2], new Int32Array([1, 2, 3, 4]));
    const back = await bench().value(bench().fn((given: unknown) => given, [array]));
    expect(back).toBeInstanceOf(NdArray);
    expect(back).toEqual(array);
    const context = { table: array };
    const total = (): number => table.data.length;
    const table = array;
    expect(await bench().value(bench().fn(total, [], { context }))).toBe(4);
  });

  test(`${name} passes large values on`, async () => {
    const make = (length: number): Uint8Array => new Uint8Array(length).fill(1);
    const sum = (bytes: Uint8Array, more: number[]): number => {
      return bytes.reduce((total, one) => total + one, 0) + more.length;
    };
    const { value } = await bench().done(bench().fn(make, [3_000_000]));
    const given = bench().executor.owns?.(value) === true ? value : await value.read();
    const long = Array.from({ length: 400_000 }, (_, index) => index);
    expect(await bench().value(bench().fn(sum, [given, long]))).toBe(3_400_000);
  });

  test(`${name} shares no object between calls`, async () => {
    const list = [1, 2];
    const grow = (given: number[]): number[] => {
      given.push(3);
      return given;
    };
    const aTry = bench().fn(grow, [list]);
    const { end } = bench().start(aTry);
    list.push(9);
    const first = await end;
    if (first.kind !== "done") throw new Error(first.failure.message);
    const value = await first.value.read() as number[];
    expect(value).toEqual([1, 2, 3]);
    value.push(4);
    expect(await first.value.read()).toEqual([1, 2, 3]);
    expect(list).toEqual([1, 2, 9]);
  });

  test(`${name} gives a file as its path`, async () => {
    const { readFileSync: read } = await import("node:fs");
    expect(typeof read).toBe("function");
    const fn = async (path: string): Promise<string> => {
      const { readFile } = await import("node:fs/promises");
      return await readFile(path, "utf8");
    };
    expect(await bench().value(bench().fn(fn, [bench().file("a.txt", "text")]))).toBe("text");
  });

  test(`${name} runs a thousand tries`, async () => {
    const add = (a: number, b: number): number => a + b;
    const first = bench().fn(add, [0, 1]);
    const tries = Array.from({ length: 1_000 }, (_, index) => {
      return bench().value({ ...first, callId: bench().fn(add, []).callId, args: [index, 1] });
    });
    const values = await Promise.all(tries);
    expect(values).toEqual(Array.from({ length: 1_000 }, (_, index) => index + 1));
  }, 60_000);

  test(`${name} tells of an end once, and never before submit has returned`, async () => {
    let calls = 0;
    let hasReturned = false;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const aTry = bench().fn(() => 1, []);
    const running = bench().executor.submit(aTry, () => {
      calls += 1;
      resolve(hasReturned);
    });
    hasReturned = true;
    expect(await promise).toBe(true);
    running.cancel();
    running.cancel();
    await bench().value(bench().fn(() => 2, []));
    expect(calls).toBe(1);
  });
}

function testFailures(name: string, bench: () => Bench): void {
  test(`${name} tells what a function threw, with its stack`, async () => {
    const innermost = (): never => {
      throw new RangeError("no such bin");
    };
    const fn = (): never => innermost();
    const failure = await bench().failure(bench().fn(fn, [], { context: { innermost } }));
    expect(failure.kind).toBe("call_error");
    expect(failure.message).toContain("RangeError: no such bin");
    const cause = failure.cause as Error;
    expect([cause.name, cause.message]).toEqual(["RangeError", "no such bin"]);
    expect(cause.stack).toContain("innermost");
    expect(typeof failure.host).toBe("string");
  });

  test(`${name} refuses a result that cannot travel`, async () => {
    const failure = await bench().failure(bench().fn(() => ({ deep: [() => 1] }), []));
    expect(failure.kind).toBe("call_error");
    expect(failure.message).toContain("result.deep[0]");
  });

  test(`${name} refuses arguments that cannot travel, and functions`, () => {
    class Socket {}
    const fn = (given: unknown): unknown => given;
    const given = bench().fn(fn, [{ to: [new Socket()] }]);
    expect(() => bench().start(given)).toThrow("arguments[0].to[0]");
    const outside = 7;
    expect(() => bench().start(bench().fn(() => outside, []))).toThrow('"outside"');
  });

  test(`${name} says that a module has no such function`, async () => {
    const module = join(bench().folder, "module.ts");
    writeFileSync(module, "export const known = (n: number): number => n + 1;\n");
    const tryOf = (called: string): AppTry => {
      const body = { kind: "javascript", code: "module", function: called, module } as const;
      const { target } = recipeOf(body, { name: called, options: {} });
      return { ...bench().fn(() => 1, []), target: target!, app: called, args: [1] };
    };
    expect(await bench().value(tryOf("known"))).toBe(2);
    const failure = await bench().failure(tryOf("unknown"));
    expect(failure.kind).toBe("call_error");
    expect(failure.message).toContain('Cannot call "unknown" as a function of the library');
  });
}

function testCancel({ name, hasProcesses }: ExecutorCase, bench: () => Bench): void {
  const waitFor = async (path: string): Promise<number> => {
    const { existsSync } = await import("node:fs");
    while (!existsSync(path)) await new Promise((go) => setTimeout(go, 5));
    return 1;
  };

  test(`${name} cancels tries at every state, and goes on`, async () => {
    const path = join(bench().folder, `go-${newSleep()}`);
    const tries = Array.from({ length: 200 }, () => bench().start(bench().fn(waitFor, [path])));
    for (const { running } of tries.toReversed()) running.cancel();
    for (const { running } of tries) running.cancel();
    const ends = await Promise.all(tries.map(({ end }) => end));
    expect(new Set(ends.map((end) => end.kind === "failed" ? end.failure.kind : end.kind)))
      .toEqual(new Set(["cancelled"]));
    writeFileSync(path, "");
    const { running, end } = bench().start(bench().fn((n: number) => n, [1]));
    expect((await end).kind).toBe("done");
    running.cancel();
    expect(await bench().value(bench().fn((n: number) => n, [2]))).toBe(2);
  }, 30_000);

  if (!hasProcesses) return;
  test(`${name} ends a function that runs when it is cancelled or its time is up`, async () => {
    const spin = async (seconds: string): Promise<void> => {
      const { spawn } = await import("node:child_process");
      spawn("sleep", [seconds]);
      while (true) {
        // For ever.
      }
    };
    const seconds = newSleep();
    const { running, end } = bench().start(bench().fn(spin, [seconds]));
    await until(() => countProcesses(seconds) > 0, "it runs");
    running.cancel();
    expect((await end).kind).toBe("failed");
    await until(() => countProcesses(seconds) === 0, "nothing of it is left");
    const options = { timeout: "200ms" } as const;
    const failure = await bench().failure(bench().fn(spin, [newSleep()], { options }));
    expect(failure.kind).toBe("timeout");
    expect(failure.message).toContain("200 ms");
    expect(await bench().value(bench().fn((n: number) => n, [3]))).toBe(3);
  }, 30_000);
}

function testCommands(name: string, bench: () => Bench): void {
  test(`${name} gives what a command wrote`, async () => {
    const aTry = bench().command('echo "$GREETING"; echo problem >&2; echo $TENDRIL_SANDBOX $PWD', {
      options: { env: { GREETING: "hallo" } },
    });
    const value = await bench().value(aTry) as { stdout: string; stderr: string; exitCode: number };
    const [greeting, places] = value.stdout.trimEnd().split("\n");
    expect([greeting, value.stderr, value.exitCode]).toEqual(["hallo", "problem\n", 0]);
    const [sandbox, directory] = places!.split(" ");
    expect(sandbox).toBe(directory);
  });

  test(`${name} gives all that a command wrote where that is wanted`, async () => {
    const command = "head -c 100000 /dev/zero | tr '\\0' x; echo problem >&2; exit 1";
    const end = await bench().end({ ...bench().command(command), streams: ["stdout", "stderr"] });
    const { stdout, stderr } = end.streams ?? {};
    if (!(stdout instanceof PlacedFile) || !(stderr instanceof PlacedFile)) throw new Error("none");
    expect((await stdout.contents()).length).toBe(100_000);
    expect(new TextDecoder().decode(await stderr.contents())).toBe("problem\n");
    end.release?.();
  });

  test(`${name} tells exit codes and signals, with the end of stderr`, async () => {
    const exit = await bench().failure(bench().command("echo why >&2; exit 3"));
    expect(exit).toMatchObject({ kind: "exit", exitCode: 3, stderr: "why\n" });
    expect(exit.message).toContain("exit code 3");
    const killed = await bench().failure(bench().command("kill -KILL $$"));
    expect(killed).toMatchObject({ kind: "signal", signal: "SIGKILL" });
    const missing = await bench().failure(bench().command("no-such-program-there"));
    expect(missing).toMatchObject({ kind: "exit", exitCode: 127 });
  });

  test(`${name} ends a command whose time is up with all that it started`, async () => {
    const seconds = newSleep();
    const command = `trap "" TERM; (setsid sleep ${seconds} &) ; sleep ${seconds} & wait`;
    const aTry = bench().command(command, { options: { timeout: "300ms" } });
    const failure = await bench().failure(aTry);
    expect(failure.kind).toBe("timeout");
    await until(() => countProcesses(seconds) === 0, "nothing of it is left");
  }, 30_000);

  test(`${name} ends a command that is cancelled with all that it started`, async () => {
    const seconds = newSleep();
    const { running, end } = bench().start(
      bench().command(`setsid sleep ${seconds} & sleep ${seconds}`),
    );
    await until(() => countProcesses(`sleep\0${seconds}`) === 2, "both run");
    running.cancel();
    await end;
    await until(() => countProcesses(seconds) === 0, "nothing of it is left");
  }, 30_000);
}

function testFiles(name: string, bench: () => Bench): void {
  test(`${name} puts inputs under their mounts, and leaves the files themselves alone`, async () => {
    const small = bench().file("small.txt", "small");
    const large = bench().file("large.txt", "x".repeat(200_000));
    const inputs = { "in/small.txt": small, "in/2/large.txt": large };
    const options = { outputs: { both: "made/both.txt" } };
    const command = "cat in/small.txt in/2/large.txt > made/both.txt && rm -rf in";
    const { outputs } = await bench().done(bench().command(command, { inputs, options }));
    expect((await outputs["both"]!.contents()).length).toBe(200_005);
    expect(readFileSync(join(bench().folder, "large.txt"), "utf8").length).toBe(200_000);
  });

  test(`${name} tells of an input that is not there, or was written to`, async () => {
    const gone = new PlacedFile({ kind: "path", path: join(bench().folder, "gone") });
    const inputs = { "in/gone": gone };
    expect((await bench().failure(bench().command("true", { inputs }))).kind).toBe("input_missing");
    const large = bench().file("kept.txt", "x".repeat(200_000));
    const command = "echo more >> in/kept.txt";
    const aTry = bench().command(command, { inputs: { "in/kept.txt": large } });
    const end = await bench().end(aTry);
    // A copy may be written to.
    const isWhole = readFileSync(join(bench().folder, "kept.txt"), "utf8").length === 200_000;
    expect(end.kind === "failed" ? end.failure.kind : isWhole)
      .toBe(end.kind === "failed" ? "input_modified" : true);
  });

  test(`${name} brings outputs to their paths, of commands and of functions`, async () => {
    const to = join(bench().folder, "deep/results/plot.svg");
    const options = { outputs: { plot: { mount: "plot.svg", to } } };
    const { outputs } = await bench().done(bench().command("echo svg > plot.svg", { options }));
    expect(readFileSync(to, "utf8")).toBe("svg\n");
    expect(await outputs["plot"]!.fetch(join(bench().folder, "copy.svg"))).toContain("copy.svg");
    const write = async (text: string): Promise<void> => {
      const { writeFile } = await import("node:fs/promises");
      await writeFile("plot.svg", text);
    };
    await bench().done(bench().fn(write, ["again"], { options }));
    expect(readFileSync(to, "utf8")).toBe("again");
  });

  test(`${name} fails when an output is missing, or cannot be brought`, async () => {
    const options = { outputs: { table: "table.csv" } };
    const failure = await bench().failure(bench().command("true", { options }));
    expect(failure.kind).toBe("output_missing");
    expect(failure.message).toContain('"table.csv"');
    const place = bench().file("no-folder", "");
    expect(place.name).toBe("no-folder");
    const to = new File(join(bench().folder, "no-folder/table.csv"));
    const aTry = bench().command("touch table.csv", {
      options: { outputs: { table: { mount: "table.csv", to } } },
    });
    expect((await bench().failure(aTry)).message).not.toBe("");
  });

  test(`${name} passes what one try made to others`, async () => {
    const options = { outputs: { made: "made.txt" } };
    const { outputs } = await bench().done(bench().command("echo made > made.txt", { options }));
    const made = outputs["made"]!;
    const inputs = { "in/made.txt": made };
    const value = await bench().value(bench().command("cat in/made.txt", { inputs }));
    expect(value).toMatchObject({ stdout: "made\n" });
    const read = async (path: string): Promise<string> => {
      const { readFile } = await import("node:fs/promises");
      return await readFile(path, "utf8");
    };
    expect(await bench().value(bench().fn(read, [made]))).toBe("made\n");
  });
}

function testProcesses({ name, open }: ExecutorCase, bench: () => Bench): void {
  test(`${name} runs functions of Python`, async () => {
    const source = "def area(w, h):\n    return [w * h, {'w': w}]\n\ndef fail():\n    1 / 0\n";
    expect(await bench().value(bench().python(source, "area", [6, 7]))).toEqual([42, { w: 6 }]);
    const failure = await bench().failure(bench().python(source, "fail", []));
    expect(failure).toMatchObject({ kind: "call_error" });
    expect(failure.message).toContain("ZeroDivisionError");
    expect((failure.cause as Error).stack).toContain("1 / 0");
  }, 30_000);

  test(`${name} closes with tries that run and wait, and leaves no process`, async () => {
    const seconds = newSleep();
    let ends: Promise<TryEnd>[];
    {
      await using own = new Bench(await open());
      const tries = Array.from({ length: 20 }, () => own.start(own.command(`sleep ${seconds}`)));
      ends = tries.map(({ end }) => end);
      await until(() => countProcesses(seconds) > 0, "one runs");
      await own.executor.close();
    }
    await until(() => countProcesses(seconds) === 0, "nothing is left");
    for (const end of await Promise.all(ends)) expect(end.kind).toBe("failed");
  }, 30_000);
}
