/** Random graphs of calls that are remembered: the same calls run once, and never in a later run. */

import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import type { AppTry } from "../../manager/dataflow/executor.ts";
import type { Flow } from "../../manager/dataflow/flow.ts";
import type { FlowOptions } from "../../manager/dataflow/flow_options.ts";
import type { AppFuture } from "../../manager/dataflow/future.ts";
import { MemoryMemoStore } from "../../manager/dataflow/memory_memo_store.ts";
import { PlacedFile } from "../../manager/dataflow/placed_file.ts";
import { type Recipe, recipeOf, valueBody } from "../../manager/dataflow/recipe.ts";
import { answeringFlow, done } from "../manager/dataflow/answering_executor.ts";
import {
  type CallSpec,
  evaluate,
  fileText,
  type GraphSpec,
  newGraph,
  promisedValue,
  type Template,
  work,
} from "./flow_graph.ts";
import { argumentsOf, commandOf, withTexts } from "./flow_run.ts";

const SEEDS = 100;
const SQLITE_SEEDS = 4;

/** A graph in which nothing fails: how failures go is for the other simulation. */
function soundGraph(seed: number): GraphSpec {
  const { calls, promises } = newGraph(seed);
  const sound = (call: CallSpec): CallSpec => ({
    ...call,
    fails: [],
    executors: [],
    inner: call.inner.map(sound),
  });
  return {
    calls: calls.map(sound),
    promises: promises.map((promise) => ({ ...promise, end: "value" })),
  };
}

/** One evaluation of a graph in a flow. */
class GraphRun {
  readonly #flow: Flow;
  readonly #futures: Map<string, AppFuture<unknown, string>> = new Map();

  constructor(flow: Flow) {
    this.#flow = flow;
  }

  /** `{id: value}`, of the joins' inner calls as well. */
  async run(graph: GraphSpec): Promise<Map<string, unknown>> {
    for (const call of graph.calls) this.#make(call, []);
    const values = new Map<string, unknown>();
    // Joins add to them meanwhile.
    await this.#flow.wait();
    for (const [id, future] of this.#futures) values.set(id, withTexts(await future, textOf));
    return values;
  }

  #make(spec: CallSpec, given: readonly unknown[]): void {
    const args = spec.args.map((arg) => this.#substitute(arg, given));
    this.#futures.set(spec.id, this.#flow.call<unknown, string>(this.#recipeOf(spec), args));
  }

  #recipeOf(spec: CallSpec): Recipe {
    const { name, kind, hasFile, id: label } = spec;
    const options = { label, ...(hasFile ? { outputs: { out: "out" } } : {}) };
    if (kind === "function") return recipeOf(valueBody(() => {}, name, {}), { name, options });
    const fn = (...given: unknown[]): unknown => {
      for (const one of spec.inner) this.#make(one, given);
      return spec.returns && this.#substitute(spec.returns, given);
    };
    if (kind === "join") {
      return recipeOf({ kind, function: name, fn }, { name, options: { label } });
    }
    const make = (...args: unknown[]): string => `${name} ${commandOf(...args)}`;
    return recipeOf({ kind, function: name, make }, { name, options });
  }

  #substitute(template: Template, given: readonly unknown[]): unknown {
    switch (template.kind) {
      case "value":
        return template.value;
      case "given":
        return given[template.index];
      case "list":
        return template.items.map((item) => this.#substitute(item, given));
      case "object": {
        const entries = Object.entries(template.entries);
        return Object.fromEntries(
          entries.map(([key, one]) => [key, this.#substitute(one, given)]),
        );
      }
      case "promise":
        return Promise.resolve(promisedValue(template.id));
      default: {
        const future = this.#futures.get(template.id)!;
        if (template.kind === "file") return { file: future.outputs["out"] };
        return template.kind === "part" ? future.get(template.key as never) : future;
      }
    }
  }
}

function textOf({ placement }: PlacedFile): string {
  return placement.kind === "path" ? readFileSync(placement.path, "utf8") : "";
}

/** What a try gives, with its file in a folder; notes what ran. */
function answerIn(folder: string, ran: string[]): (aTry: AppTry) => unknown {
  return (aTry) => {
    const { app, command, outputs } = aTry;
    const said = command === undefined ? aTry : { ...aTry, command: command.slice(app.length + 1) };
    const args = argumentsOf(said, textOf);
    ran.push(`${app} ${JSON.stringify(args)}`);
    const value = work(app, args);
    if (outputs["out"] === undefined) return done(value);
    const text = fileText(value);
    const path = join(folder, createHash("sha256").update(text).digest("hex"));
    writeFileSync(path, text);
    return done(value, { out: new PlacedFile({ kind: "path", path }) });
  };
}

/** Evaluates a graph twice with the same memory. */
async function runTwice(seed: number, folder: string, options: () => FlowOptions): Promise<number> {
  const graph = soundGraph(seed);
  let runCount = 0;
  for (const isFirst of [true, false]) {
    const ran: string[] = [];
    const { flow } = await answeringFlow(answerIn(folder, ran), options());
    const values = await new GraphRun(flow).run(graph);
    await flow.close();
    const made = new Set(values.keys());
    const plain = evaluate(graph, { cancelled: new Set(), made, thrown: new Set() });
    const wanted = new Map(
      Array.from(plain, ([id, end]) => [id, end.kind === "done" ? end.value : "failed"]),
    );
    expect(Object.fromEntries(values)).toEqual(Object.fromEntries(wanted));
    expect(ran).toHaveLength(new Set(ran).size);
    if (!isFirst) expect(ran).toEqual([]);
    runCount += ran.length;
  }
  return runCount;
}

/** Stays when a flow closes it. */
class LastingStore extends MemoryMemoStore {
  override close(): Promise<void> {
    return Promise.resolve();
  }
}

test("Flows of random graphs that are remembered run the same calls once", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tendril-memory-"));
  let runCount = 0;
  try {
    for (let seed = 1; seed <= SEEDS + SQLITE_SEEDS; seed++) {
      try {
        const memoStore = new LastingStore();
        const options: FlowOptions = seed <= SEEDS ? { memoStore } : {
          checkpoint: seed % 2 === 0 ? "task_exit" : "exit",
          memoFile: join(folder, `${seed}.db`),
        };
        runCount += await runTwice(seed, folder, () => options);
      } catch (error) {
        throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : error}`, {
          cause: error,
        });
      }
    }
    expect(runCount).toBeGreaterThan(5 * SEEDS);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}, 60_000);
