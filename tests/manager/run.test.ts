import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

import { Manager } from "../../manager/manager.ts";
import type { RunOptions } from "../../manager/run_option.ts";
import type { AnyFunction } from "../../shared/function_source.ts";
import { FakeWorker } from "./fake_worker.ts";

let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tendril-test-"));
  process.env["TENDRIL_HOME"] = folder;
});

afterAll(async () => {
  delete process.env["TENDRIL_HOME"];
  await rm(folder, { recursive: true, force: true });
});

// Not constant for the eyes of a compiler, which would put its value into the functions.
let rate = 3;
rate += 0;
declare const socket: Socket;
declare const helper: (n: number) => number;
declare const list: readonly unknown[];

class Model {
  #scale = 2;
  bare(n: number) {
    return n + 1;
  }
  scaled(n: number) {
    return n * this.#scale;
  }
  get rate() {
    return this.#scale;
  }
}

class Finer extends Model {
  override bare(n: number) {
    return super.bare(n);
  }
}

test("Manager.run() names what of a function, or of its context, cannot travel", async () => {
  await using manager = await Manager.start();
  const refused = (given: AnyFunction | RunOptions): string => {
    try {
      manager.run(given as AnyFunction);
    } catch (error) {
      expect(error).toBeInstanceOf(TypeError);
      return (error as Error).message.replace(/^Cannot send /, "");
    }
    return "taken";
  };
  const model = new Model();
  const getter = Object.getOwnPropertyDescriptor(Model.prototype, "rate")!.get!;
  const own = function (this: { readonly n: number }) {
    return this.n;
  };
  const many = function* () {
    yield 1;
  };
  const cycle: { self?: unknown } = {};
  cycle.self = cycle;
  const cases: [AnyFunction | RunOptions, string | RegExp][] = [
    [Math.max, 'function "max" to a worker: it is native or bound'],
    [model.bare.bind(model), /"bound bare" to a worker: it is native or bound$/],
    [own as AnyFunction, 'function "own" to a worker: it uses this'],
    [new Finer().bare, 'function "bare" to a worker: it uses super'],
    [model.scaled, /^function "scaled" to a worker: it uses .*this/],
    [Model as unknown as AnyFunction, 'function "Model" to a worker: it is a class'],
    [many, 'function "many" to a worker: it is a generator'],
    [getter, /it is an accessor$/],
    [() => rate, /it uses "rate", neither in its context nor a global of a worker$/],
    [{ fn: () => rate }, /it uses "rate", neither in its context nor/],
    [
      { fn: () => helper(1), context: { helper: () => rate } },
      /^function "context.helper".*"rate"/,
    ],
    [
      { fn: () => helper(1), context: { helper: Model } },
      '"context.helper" to a worker: it is a class',
    ],
    [
      { fn: () => socket.localPort, context: { socket: new Socket() } },
      '"context.socket" as a value: an instance of Socket',
    ],
    [
      { fn: () => list, context: { list: [{ model }] } },
      '"context.list[0].model" as a value: an instance of Model',
    ],
    [{ fn: () => list, context: { list: [() => 1] } }, '"context.list[0]" as a value: a function'],
    [
      { fn: () => list, context: { list: cycle } },
      '"context.list.self" as a value: an object that',
    ],
    [{ fn: () => list, context: { list: manager.buffer("") } }, "an instance of FileHandle"],
    [{ fn: () => list, context: { list: Promise.resolve() } }, "an instance of Promise"],
    [{ fn: () => list, context: { list: Symbol("s") } }, '"context.list" as a value: a symbol'],
    [{ fn: 7 as unknown as AnyFunction }, '"7" to a worker: expected a function'],
    [{ fn: () => 1, context: [1] as never }, "context of run"],
    [
      { fn: () => 1, contexts: {} } as never,
      '"contexts" as an option of run: there are fn, context',
    ],
    [undefined as never, "options of run"],
  ];
  for (const [given, message] of cases) {
    expect(refused(given)).toMatch(
      message instanceof RegExp ? message : new RegExp(RegExp.escape(message)),
    );
  }
  expect(() => manager.run({ fn: () => 1, cores: -1 })).toThrow('cores of run "-1"');
  expect(() => manager.run({ fn: () => 1, timeout: "soon" })).toThrow('timeout of a call "soon"');
});

test("Manager.run() ships a function once for each context and process it is run with", async () => {
  await using manager = await Manager.start();
  const fn = (n: number) => n * rate;
  const plain = { fn, cores: 1 };
  const runs: RunOptions<[number], number>[] = [
    { ...plain, context: { rate: 2 } },
    { ...plain, context: { rate: 3 } },
    { ...plain, context: { rate: 3 }, env: { LEVEL: "1" } },
    { ...plain, context: { rate: 3 }, memory: "1MB" },
    { ...plain, context: { rate: 2 }, tag: "again", priority: 3 },
    { ...plain, context: { rate: 3, unused: new Model() } },
  ];
  const worker = await FakeWorker.join(manager.name, { cores: 16 });
  const modules: string[] = [];
  const libraries: string[] = [];
  const envs: unknown[] = [];
  for (const [index, run] of runs.slice(0, 4).entries()) {
    manager.run(run, 1);
    const { library } = await worker.startInstance(index < 2 ? 1 : 0);
    libraries.push(library.name);
    envs.push(library.env);
    if (library.program.kind === "javascript") modules.push(library.program.module);
  }
  expect([new Set(libraries).size, new Set(modules).size]).toEqual([4, 2]);
  expect(envs).toEqual([{}, {}, { LEVEL: "1" }, {}]);
  // Each of these two goes to an instance that is there.
  const again = runs.slice(4).map((run) => manager.run(run, 1));
  const tasks = await worker.nextTasks(6);
  expect(new Set(tasks.map(({ taskId }) => taskId))).toEqual(
    new Set([1, 2, 3, 4, ...again.map(({ id }) => Number(id))]) as never,
  );
});

test("Manager.map() and treeReduce() take a context", async () => {
  await using manager = await Manager.start();
  const map = manager.map((n: number) => n * rate, [1], { context: {} });
  await expect(map).rejects.toThrow('it uses "rate", neither in its context');
  const sum = manager.treeReduce((a: number, b: number) => a + b * rate, [1, 2], {
    context: { rate: new Model() },
  });
  await expect(sum).rejects.toThrow('"context.rate" as a value: an instance of Model');
});

test("Manager.run() forgets the function that was not called for longest, and ships it again", async () => {
  await using manager = await Manager.start();
  const fn = (n: number) => n * rate;
  const worker = await FakeWorker.join(manager.name, { cores: 200 });
  const first = manager.run({ fn, context: { rate: -1 } }, 1);
  const { instanceId, library } = await worker.next("start_instance");
  const [task] = await worker.nextTasks(1);
  worker.finish(task!);
  expect((await first).outcome).toBe("success");
  for (let count = 0; count < 64; count++) manager.run({ fn, context: { rate: count } }, 1);
  expect(await worker.next("stop_instance")).toEqual({ kind: "stop_instance", instanceId });
  // Those that have calls are there until these end.
  expect((await worker.nextTasks(64)).length).toBe(64);
  for (let count = 0; count < 64; count++) await worker.next("start_instance");
  manager.run({ fn, context: { rate: -1 } }, 1);
  expect((await worker.next("start_instance")).library.name).toBe(library.name);
});
