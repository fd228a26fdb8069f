/** Flows with several executors: who runs what, and values and files that pass between them. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";

import {
  app,
  AppError,
  type File,
  type Flow,
  inProcess,
  leastBusyExecutor,
  load,
  localProcesses,
  managed,
  Manager,
  shellApp,
} from "../../mod.ts";
import { StandardError } from "../standard_error.ts";
import { Scratch } from "./scratch.ts";

let scratch: Scratch;
let second: Manager;
let flow: Flow;

beforeAll(async () => {
  scratch = await Scratch.open();
  second = await Manager.start({ runDirectory: scratch.path("second"), workers: { cores: 1 } });
  flow = await load({
    runDirectory: scratch.path("first"),
    workers: { cores: 1 },
    executors: ["manager", localProcesses({ count: 1 }), inProcess(), managed(second, "second")],
  });
});

afterAll(async () => {
  await flow.close();
  await second.close();
  await scratch[Symbol.asyncDispose]();
});

const EVERYWHERE = ["manager", "local", "in-process", "second"];
const WITH_FILES = ["manager", "local", "second"];

test("values pass from each executor to each other, small and large", async () => {
  const make = app((length: number) => new Uint8Array(length).fill(1));
  const sum = app((bytes: Uint8Array, more: number[]) => bytes.length + more.length);
  const small = app((n: number) => ({ n }));
  const on = (executor: string) => ({ executor });
  for (const from of EVERYWHERE) {
    const large = make.with(on(from))(1_500_000);
    const little = small.with(on(from))(2);
    const sums = EVERYWHERE.map((to) => sum.with(on(to))(large, [little.get("n"), 3]));
    expect(await Promise.all(sums)).toEqual(EVERYWHERE.map(() => 1_500_002));
  }
}, 60_000);

test("files pass from each executor to each other", async () => {
  const make = shellApp((text: string) => `echo ${text} > made.txt`, {
    outputs: { made: "made.txt" },
  });
  const show = shellApp((file: File) => `cat ${file}`);
  const read = app(async (path: string) => {
    const { readFile } = await import("node:fs/promises");
    return await readFile(path, "utf8");
  });
  for (const from of WITH_FILES) {
    const { made } = make.with({ executor: from })(from).outputs;
    const shown = WITH_FILES.map((to) => show.with({ executor: to })(made));
    for (const one of shown) expect((await one).stdout).toBe(`${from}\n`);
    const texts = EVERYWHERE.map((to) => read.with({ executor: to })(made));
    expect(await Promise.all(texts)).toEqual(EVERYWHERE.map(() => `${from}\n`));
    expect(await made.text()).toBe(`${from}\n`);
  }
}, 60_000);

test("files and tasks that were declared of either manager are arguments everywhere", async () => {
  const path = scratch.path("declared.txt");
  writeFileSync(path, "declared");
  const read = app(async (path: string) => {
    const { readFile } = await import("node:fs/promises");
    return await readFile(path, "utf8");
  });
  const double = app((n: number) => 2 * n);
  for (const manager of [flow.manager, second]) {
    const file = manager.file(path);
    const task = manager.run((n: number) => n + 1, 20);
    for (const executor of EVERYWHERE) {
      expect(await read.with({ executor })(file)).toBe("declared");
      expect(await double.with({ executor })(task)).toBe(42);
    }
  }
}, 60_000);

test("a retry goes to the next executor that the app names", async () => {
  const fail = app(() => {
    if (process.env["TENDRIL_WORKER_MARK"] !== undefined) throw new Error("not in a child");
    return "here";
  }, { executor: ["local", "in-process"], retries: 1 });
  const future = fail();
  expect(await future).toBe("here");
  expect(future.tryCount).toBe(2);
});

test("a call that no executor takes says what each has against it", async () => {
  const big = app(() => 1, { name: "big", memory: "1GB", executor: "local" });
  expect(() => big()).toThrow(
    'Cannot run "big" on executor "local": it does not take option memory',
  );
  await using _own = await load({ executors: [inProcess(), localProcesses({ count: 2 })] });
  const wide = app(() => 1, { name: "wide", cores: 3 });
  expect(() => wide()).toThrow(
    'Cannot run "wide" on any executor of the flow: "in-process" does not take option cores; ' +
      '"local" has 2 cores, and the app needs 3',
  );
  const told = shellApp(() => "echo here", { name: "told" });
  expect((await told()).stdout).toBe("here\n");
});

test("chooseExecutor() says where calls run that name none", async () => {
  const asked: string[] = [];
  await using _own = await load({
    executors: [inProcess({ label: "a" }), inProcess({ label: "b" })],
    chooseExecutor: (call, executors) => {
      asked.push(`${call.app}.${call.try}: ${executors.map(({ label }) => label).join("")}`);
      return leastBusyExecutor(call, executors);
    },
  });
  const one = app((n: number) => n, { name: "one" });
  const futures = [one(1), one(2)];
  expect(await Promise.all(futures)).toEqual([1, 2]);
  expect(asked).toEqual(["one.1: ab", "one.1: ab"]);
  await using _wrong = await load({
    executors: [inProcess({ label: "a" }), inProcess({ label: "b" })],
    chooseExecutor: () => "c",
  });
  expect(() => one(1)).toThrow('Cannot run "one" on executor "c": the flow has "a", "b"');
});

test("load() refuses options for a manager where none is started", async () => {
  await expect(load({ executors: [inProcess()], workers: 1 })).rejects.toThrow(
    'Cannot take "workers" as an option of load: it is for a manager, and the flow starts none',
  );
});

test("load() takes tune_parameters as TaskVine's users state them, and says which change nothing", async () => {
  using said = new StandardError();
  {
    await using own = await load({
      runDirectory: scratch.path("tuned"),
      policies: { hungryFactor: 1 },
      "tune_parameters": { "hungry-minimum": 7, "prefer-dispatch": 1 },
    });
    expect(own.manager.hungry()).toBe(7);
  }
  expect(said.text).toContain('"prefer-dispatch" changes nothing here');
  const wrong = load({ "tune_parameters": { "no-such": 1 } as never });
  await expect(wrong).rejects.toThrow('"no-such"');
  const none = load({ executors: [inProcess()], "tune_parameters": { "hungry-minimum": 7 } });
  await expect(none).rejects.toThrow('Cannot take "tune_parameters" as an option of load');
});

test("a flow of managers that run already tells of its calls in the first one", async () => {
  await using own = await load({ executors: [managed(second, "second"), inProcess()] });
  expect(own.manager).toBe(second);
  const fail = app(() => {
    throw new Error("no");
  }, { name: "fail" });
  const error = await fail().catch((error: unknown) => error);
  expect(error).toBeInstanceOf(AppError);
  expect(readFileSync(scratch.path("second", "..", "declared.txt"), "utf8")).toBe("declared");
});
