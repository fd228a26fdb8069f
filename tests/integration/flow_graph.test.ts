/** Random graphs of calls through real workers, of which one is killed, against plain evaluation. */

import { expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import { mkdir, readdir } from "node:fs/promises";
import process from "node:process";

import { type App, app, type AppFuture, DataFile, type Flow, joinApp, load } from "../../mod.ts";
import { mapLeaves } from "../../manager/dataflow/leaves.ts";
import { markedEnvironment, processesOf, Scratch, until } from "./scratch.ts";
import {
  type CallSpec,
  evaluate,
  type GraphSpec,
  newGraph,
  promisedValue,
  substitute,
  type Template,
} from "../simulation/flow_graph.ts";

const SEEDS = 20;

/** What a call of a graph needs to know of itself. */
interface RealCall {
  readonly id: string;
  readonly name: string;
  readonly failCount: number;
  readonly hasFile: boolean;
  /** Holds one file for each try. */
  readonly folder: string;
}

/** Runs at workers: counts its tries, fails as often as it is to, and gives what `work` gives. */
const work = async (
  { id, name, failCount, hasFile, folder }: RealCall,
  given: unknown[],
): Promise<unknown> => {
  const { mkdtemp, readdir, readFile, writeFile } = await import("node:fs/promises");
  await mkdtemp(`${folder}/${id}-`);
  const tries = (await readdir(folder)).filter((one) => one.startsWith(`${id}-`)).length;
  if (tries <= failCount) throw new Error(`planned: ${id}`);
  const texts = async (value: unknown): Promise<unknown> => {
    if (typeof value !== "object" || value === null) return value;
    if (Array.isArray(value)) return await Promise.all(value.map(texts));
    const entries = Object.entries(value).map(async ([key, item]) => [
      key,
      key === "file" ? await readFile(item as string, "utf8") : await texts(item),
    ]);
    return Object.fromEntries(await Promise.all(entries));
  };
  let n = 2_166_136_261;
  for (const char of `${name}${JSON.stringify(await texts(given))}`) {
    n = Math.imul(n ^ (char.codePointAt(0) ?? 0), 16_777_619) >>> 0;
  }
  const text = `${name}:${n}`;
  if (hasFile) await writeFile("out", `file of ${text}`);
  return { n, text, list: [n % 7, { deep: n % 11 }] };
};

const run = app(work, { name: "run" });
const runWithFile = app(work, { name: "run", outputs: { out: "out" } });

/** As `newGraph`, with what a killed worker may not change: calls fail to the last, or are mended. */
function newRealGraph(seed: number): GraphSpec {
  const { calls, promises } = newGraph(seed);
  const toReal = (call: CallSpec): CallSpec => {
    const isHopeless = call.fails.length > call.retries;
    const failCount = call.kind === "join"
      ? call.fails.length
      : isHopeless
      ? 99
      : call.fails.length;
    return {
      ...call,
      kind: call.kind === "join" ? "join" : "function",
      fails: Array<"call_error">(failCount).fill("call_error"),
      costs: undefined,
      retryOn: undefined,
      executors: [],
      inner: call.inner.map(toReal),
    };
  };
  return {
    calls: calls.map(toReal),
    promises: promises.map((one) => one.end === "never" ? { ...one, end: "value" } : one),
  };
}

/** One graph, played. */
class RealRun {
  readonly graph: GraphSpec;
  readonly futures: Map<string, AppFuture<unknown, string>> = new Map();
  readonly #folder: string;
  readonly #promises: Map<string, Promise<unknown>> = new Map();

  constructor(graph: GraphSpec, folder: string) {
    this.graph = graph;
    this.#folder = folder;
    for (const { id, end } of graph.promises) {
      const promise = end === "value"
        ? Promise.resolve(promisedValue(id))
        : Promise.reject(new Error(`promise ${id}`));
      promise.catch(() => {});
      this.#promises.set(id, promise);
    }
    for (const call of graph.calls) this.#make(call, []);
  }

  #make(call: CallSpec, given: readonly unknown[]): void {
    const args = call.args.map((arg) => this.#substitute(arg, given)) as never[];
    this.futures.set(
      call.id,
      call.kind === "join" ? this.#join(call)(...args) : this.#run(call, args),
    );
  }

  #run(call: CallSpec, args: readonly never[]): AppFuture<unknown, string> {
    const { id, name, hasFile, fails, retries } = call;
    const real = { id, name, hasFile, failCount: fails.length, folder: this.#folder };
    const one: App<[RealCall, unknown[]], unknown, string> = hasFile ? runWithFile : run;
    return one.with({ label: id, retries })(real, args);
  }

  #join(call: CallSpec): (...args: unknown[]) => AppFuture<unknown, string> {
    const make = (...given: unknown[]): unknown => {
      for (const one of call.inner) this.#make(one, given);
      if (call.fails.length > 0) throw new Error(`planned: ${call.id}`);
      return call.returns && this.#substitute(call.returns, given);
    };
    const { isAsync } = call;
    return joinApp(isAsync ? async (...given: unknown[]) => await make(...given) : make);
  }

  #substitute(template: Template, given: readonly unknown[]): unknown {
    return substitute(template, {
      given,
      promise: (id) => this.#promises.get(id),
      future: (id) => this.futures.get(id),
    });
  }

  async check(): Promise<void> {
    const made = new Set(this.futures.keys());
    const nothing = new Set<string>();
    const plain = evaluate(this.graph, { cancelled: nothing, thrown: nothing, made });
    const tries = await readdir(this.#folder);
    for (const [id, end] of plain) {
      const found = await this.futures.get(id)!.then(withTexts, (error) => error);
      if (end.kind === "failed") expect([id, found]).toEqual([id, expect.any(Error)]);
      else expect([id, await found]).toEqual([id, end.value]);
      const ran = tries.filter((one) => one.startsWith(`${id}-`)).length;
      expect([id, ran >= end.tries, ran > 0]).toEqual([id, true, end.tries > 0]);
    }
  }
}

async function withTexts(value: unknown): Promise<unknown> {
  const texts = new Map<object, string>();
  const files: DataFile[] = [];
  mapLeaves(value, (leaf) => leaf instanceof DataFile ? files.push(leaf) : leaf);
  for (const file of files) texts.set(file, await file.text());
  return mapLeaves(value, (leaf) => texts.get(leaf) ?? leaf);
}

async function playAll(flow: Flow, folder: string, onHalf: () => void): Promise<void> {
  const runs: RealRun[] = [];
  for (let seed = 1; seed <= SEEDS; seed++) {
    await mkdir(`${folder}/${seed}`);
    runs.push(new RealRun(newRealGraph(seed), `${folder}/${seed}`));
  }
  const half = flow.openCount / 2;
  await until(() => flow.openCount < half, "half of the calls have ended");
  onHalf();
  for (const [index, run] of runs.entries()) {
    await flow.wait();
    try {
      await run.check();
    } catch (error) {
      throw new Error(`seed ${index + 1}: ${error}`, { cause: error });
    }
  }
}

test(
  "Graphs of calls on two workers, of which one is killed, give what plain evaluation gives",
  async () => {
    await using scratch = await Scratch.open();
    const mark = randomUUID();
    Object.assign(process.env, markedEnvironment(mark));
    await using flow = await load({ workers: 2, runDirectory: false });
    await mkdir(scratch.path("tries"));
    const workers = (): string[] => processesOf(mark).filter((line) => line.includes(" worker "));
    let killed = "";
    await playAll(flow, scratch.path("tries"), () => {
      [killed = ""] = workers();
      process.kill(Number(killed.split(" ")[0]), "SIGKILL");
    });
    expect(workers()).not.toContain(killed);
    expect(flow.openCount).toBe(0);
  },
  60_000,
);
