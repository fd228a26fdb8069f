/**
 * Runs a graph of calls through the kernel of the dataflow, with executors that end tries in any
 * order, cancels at any moment, and compares what comes of it with the plain evaluation.
 *
 * @module
 */

import { expect } from "bun:test";
import { setTimeout as delay } from "node:timers/promises";

import type { AppFact, AppState } from "../../manager/core/fact.ts";
import {
  AppError,
  CancelledError,
  DependencyError,
  rootOf,
} from "../../manager/dataflow/app_error.ts";
import type { AppTry, FailureKind, TryEnd } from "../../manager/dataflow/executor.ts";
import { MountedFile } from "../../manager/dataflow/file.ts";
import { outputOf } from "../../manager/dataflow/call.ts";
import { type AppFuture, callOf, DataFile } from "../../manager/dataflow/future.ts";
import type { Kernel } from "../../manager/dataflow/kernel.ts";
import { mapLeaves } from "../../manager/dataflow/leaves.ts";
import { PlacedFile } from "../../manager/dataflow/placed_file.ts";
import { type Recipe, recipeOf, valueBody } from "../../manager/dataflow/recipe.ts";
import { StoredValue } from "../../manager/dataflow/stored_value.ts";
import type { TaskId } from "../../shared/ids.ts";
import { newRandom, nextRandomBelow, type RandomState } from "../../shared/random.ts";
import { decodeValue, encodeValue } from "../../shared/value.ts";
import { newKernel, nextTurn } from "../manager/dataflow/kernel_fixture.ts";
import {
  type CallSpec,
  evaluate,
  fileText,
  type GraphSpec,
  newGraph,
  promisedValue,
  substitute,
  type Template,
  work,
} from "./flow_graph.ts";
import { ScriptedExecutor, type ScriptedTry } from "./scripted_executor.ts";

/** States that may follow; Parsl's, and `cancelled`. */
const NEXT: { readonly [State in AppState]?: readonly AppState[] } = {
  pending: [
    "launched",
    "memo_done",
    "dep_fail",
    "failed",
    "fail_retryable",
    "exec_done",
    "cancelled",
  ],
  launched: ["joining", "exec_done", "fail_retryable", "failed", "cancelled"],
  joining: ["exec_done", "failed", "cancelled"],
  "fail_retryable": ["pending", "failed", "cancelled"],
};

/** Pauses of a millisecond in which nothing else happens. */
const PAUSES_MAX = 2_000;

/** Runs one graph; throws where something is not as plain evaluation says. */
export async function runFlowGraph(seed: number): Promise<{ readonly calls: number }> {
  const run = new FlowRun(newGraph(seed), newRandom(seed ^ 0x5eed));
  await run.play();
  await run.check();
  return { calls: run.callCount };
}

class FlowRun {
  readonly #graph: GraphSpec;
  readonly #random: RandomState;
  readonly #kernel: Kernel;
  readonly #executors: readonly ScriptedExecutor[];
  readonly #specs: Map<string, CallSpec> = new Map();
  readonly #futures: Map<string, AppFuture<unknown, string>> = new Map();
  readonly #thrown: Map<string, unknown> = new Map();
  readonly #promises: Map<string, PromiseWithResolvers<unknown>> = new Map();
  readonly #unsettled: string[] = [];
  readonly #runs: Map<string, string[]> = new Map();
  readonly #states: Map<TaskId, AppState> = new Map();
  readonly #recipes: Map<string, Recipe> = new Map();
  /** Calls of which `cancel` was called while they were open, and those that a join made. */
  readonly #asked: Set<string> = new Set();
  readonly #cancelPercent: number;
  #callCount = 0;
  #madeCount = 0;

  constructor(graph: GraphSpec, random: RandomState) {
    this.#graph = graph;
    this.#random = random;
    this.#cancelPercent = [0, 0, 4, 15][this.#below(4)] ?? 0;
    const refusal = (aTry: AppTry): Error | undefined => this.#refusalOf(aTry);
    this.#executors = [new ScriptedExecutor("a", refusal), new OwningExecutor("b", refusal)];
    this.#kernel = newKernel({
      executors: this.#executors,
      note: (fact) => this.#note(fact),
      ensure: () => this.#chance(50) ? undefined : Promise.resolve(),
    });
    for (const { id, end } of graph.promises) {
      const deferred = Promise.withResolvers<unknown>();
      deferred.promise.catch(() => {});
      this.#promises.set(id, deferred);
      if (end !== "never") this.#unsettled.push(id);
    }
  }

  get callCount(): number {
    return this.#callCount;
  }

  /** Until no call is open. */
  async play(): Promise<void> {
    let pauses = 0;
    while (this.#isUnfinished()) {
      const hasMoved = this.#move();
      // Whatever follows of itself comes first, now and then.
      if (this.#chance(60)) await nextTurn();
      if (hasMoved) continue;
      await nextTurn();
      if (this.#kernel.isWaitingForPromises && this.#pending().length === 0) this.#cancelAll();
      else if (this.#pending().length === 0) {
        pauses += 1;
        if (pauses > PAUSES_MAX) throw new Error("Cannot go on: nothing happens any more");
        await delay(1);
      }
    }
    await this.#kernel.whenIdle();
  }

  /** Compares what came of it with plain evaluation. */
  async check(): Promise<void> {
    for (const taken of this.#pending()) {
      expect([taken.aTry.label, taken.isCancelled]).toEqual([taken.aTry.label, true]);
      // Too late, and of no effect.
      this.#endOf(taken);
    }
    const cancelled = new Set(
      [...this.#futures].filter(([, { state }]) => state === "cancelled").map(([id]) => id),
    );
    for (const id of cancelled) expect([id, this.#asked.has(id)]).toEqual([id, true]);
    const made = new Set([...this.#futures.keys(), ...this.#thrown.keys()]);
    const thrown = new Set(this.#thrown.keys());
    const plain = evaluate(this.#graph, { cancelled, made, thrown });
    for (const [id, end] of plain) {
      const future = this.#futures.get(id);
      const ran = this.#runs.get(id) ?? [];
      if (cancelled.has(id)) expect(ran.length).toBeLessThanOrEqual(end.tries);
      else expect([id, ran.length]).toEqual([id, end.tries]);
      this.#checkPlaces(id, ran);
      if (future === undefined) continue;
      if (end.kind === "done") expect([id, withTexts(await future)]).toEqual([id, end.value]);
      else this.#checkFailure(id, await future.then(() => undefined, (error) => error), end.roots);
    }
    expect(plain.size).toBe(made.size);
    this.#checkNothingLeft();
  }

  #checkFailure(id: string, error: unknown, roots: ReadonlySet<string>): void {
    const root = rootOf(error);
    const isOurs = root instanceof AppError || root instanceof CancelledError;
    const named = isOurs ? this.#idOf(root.call.callId) : (root as Error).message.split(" ").at(-1);
    const known = [...roots];
    expect({ id, named, known }).toEqual({ id, named: known.find((one) => one === named), known });
    const { state } = this.#futures.get(id)!;
    const isOwn = named === id;
    if (isOwn) expect(state).toBe(root instanceof CancelledError ? "cancelled" : "failed");
    else {
      expect(error).toBeInstanceOf(DependencyError);
      const { kind } = this.#specs.get(id)!;
      expect(kind === "join" ? ["dep_fail", "failed"] : ["dep_fail"]).toContain(state);
      // Anybody who was named before failed by what is named after.
      const { chain } = error as DependencyError;
      const last = chain.at(-1);
      if (isOurs) expect(last?.callId).toBe(root.call.callId);
    }
  }

  #checkPlaces(id: string, ran: readonly string[]): void {
    const { executors } = this.#specs.get(id)!;
    const wanted = ran.map((_, index) => executors[Math.min(index, executors.length - 1)] ?? "a");
    expect([id, ...ran]).toEqual([id, ...wanted]);
  }

  #checkNothingLeft(): void {
    expect(this.#kernel.openCount).toBe(0);
    for (const [id, future] of this.#futures) {
      const { consumers, listeners, promised, running, made, abort, failures, args } = callOf(
        future,
      );
      const held = { consumers, listeners, promised, running, made, abort, failures };
      expect([id, Object.values(held).filter((one) => one !== undefined)]).toEqual([id, []]);
      expect([id, args]).toEqual([id, []]);
      expect(NEXT[future.state]).toBeUndefined();
    }
  }

  #isUnfinished(): boolean {
    return this.#kernel.openCount > 0 || this.#madeCount < this.#graph.calls.length;
  }

  /** One of the things that may happen; false when nothing can. */
  #move(): boolean {
    if (this.#chance(this.#cancelPercent)) this.#cancelOne();
    const pending = this.#pending();
    const spec = this.#graph.calls[this.#madeCount];
    const moves: (() => void)[] = [];
    if (spec !== undefined) {
      moves.push(() => {
        this.#madeCount += 1;
        this.#make(spec, []);
      });
    }
    const taken = pending[this.#below(pending.length)];
    if (taken !== undefined) moves.push(() => this.#endOf(taken), () => this.#endOf(taken));
    const index = this.#below(this.#unsettled.length);
    const promise = this.#unsettled[index];
    if (promise !== undefined) {
      moves.push(() => {
        this.#unsettled.splice(index, 1);
        this.#settle(promise);
      });
    }
    const move = moves[this.#below(moves.length)];
    move?.();
    return move !== undefined;
  }

  #cancelOne(): void {
    const known = [...this.#futures.keys()];
    const id = known[this.#below(known.length)];
    if (id === undefined) return;
    if (this.#chance(3)) return this.#cancelAll();
    this.#cancel(id);
    // Once more changes nothing.
    if (this.#chance(30)) this.#futures.get(id)?.cancel();
  }

  #cancel(id: string): void {
    const future = this.#futures.get(id);
    if (future === undefined) return;
    const open = future.isDone ? [] : this.#ask(id);
    future.cancel();
    for (const one of open) {
      expect([one, this.#futures.get(one)?.state]).toEqual([one, "cancelled"]);
    }
  }

  /** A call that is open, and the open calls that it has made, which end with it. */
  #ask(id: string): readonly string[] {
    this.#asked.add(id);
    const inner = this.#specs.get(id)?.inner ?? [];
    const open = inner.filter((one) => this.#futures.get(one.id)?.isDone === false);
    return [id, ...open.flatMap((one) => this.#ask(one.id))];
  }

  #cancelAll(): void {
    for (const [id, { isDone }] of this.#futures) if (!isDone) this.#asked.add(id);
    this.#kernel.cancelAll("all of it");
  }

  #settle(id: string): void {
    const deferred = this.#promises.get(id);
    const isValue = this.#graph.promises.some((one) => one.id === id && one.end === "value");
    if (isValue) deferred?.resolve(promisedValue(id));
    else deferred?.reject(new Error(`promise ${id}`));
  }

  #pending(): readonly ScriptedTry[] {
    return this.#executors.flatMap(({ pending }) => pending);
  }

  #make(spec: CallSpec, given: readonly unknown[]): unknown {
    this.#specs.set(spec.id, spec);
    const args = spec.args.map((arg) => this.#substitute(arg, given));
    try {
      const future = this.#kernel.call<unknown, string>(this.#recipeOf(spec), args);
      this.#futures.set(spec.id, future);
      if (this.#chance(this.#cancelPercent)) {
        const other = String(1 + this.#below(this.#callCount));
        void future.then(() => this.#cancel(other), () => this.#cancel(other));
      }
    } catch (error) {
      // A join that was cancelled makes no more.
      if (error instanceof CancelledError) throw error;
      expect(spec.fails[0]).toBe("refused");
      this.#thrown.set(spec.id, error);
    }
    return undefined;
  }

  #substitute(template: Template, given: readonly unknown[]): unknown {
    return substitute(template, {
      given,
      promise: (id) => this.#promises.get(id)?.promise,
      future: (id) => this.#futures.get(id),
      thrown: (id) => this.#thrown.get(id),
    });
  }

  #recipeOf(spec: CallSpec): Recipe {
    const known = this.#recipes.get(spec.id);
    if (known !== undefined) return known;
    const { name, id: label, retries, retryOn, costs, executors, hasFile, delayMs } = spec;
    const options = {
      label,
      retries,
      ...(delayMs === 0 ? {} : { retryDelay: delayMs }),
      ...(retryOn === undefined ? {} : { retryOn }),
      ...(executors.length === 0 ? {} : { executor: executors }),
      ...(hasFile ? { outputs: { out: "out" } } : {}),
      ...(costs === undefined
        ? {}
        : { retryHandler: ({ kind }: { kind: FailureKind }) => costs[kind] ?? 1 }),
    };
    const recipe = spec.kind === "join"
      ? recipeOf({ kind: "join", function: name, fn: this.#joinOf(spec) }, {
        name,
        options: { label },
      })
      : spec.kind === "command"
      ? recipeOf({ kind: "command", function: name, make: commandOf }, { name, options })
      : recipeOf(valueBody(() => {}, name, {}), { name, options });
    this.#recipes.set(spec.id, recipe);
    return recipe;
  }

  #joinOf(spec: CallSpec): (...given: unknown[]) => unknown {
    const finish = (given: readonly unknown[]): unknown => {
      if (spec.fails.length > 0) throw new Error(`join ${spec.id}`);
      return spec.returns && this.#substitute(spec.returns, given);
    };
    if (!spec.isAsync) {
      return (...given) => {
        for (const one of spec.inner) this.#make(one, given);
        return finish(given);
      };
    }
    return async (...given) => {
      for (const [index, one] of spec.inner.entries()) {
        this.#make(one, given);
        if (index === 0) await this.#futures.get(one.id)?.then(() => {}, () => {});
      }
      return finish(given);
    };
  }

  #refusalOf({ label: id = "", try: number }: AppTry): Error | undefined {
    const { fails } = this.#specs.get(id) ?? {};
    if (fails?.[number - 1] !== "refused") return undefined;
    this.#ran(id, number);
    return new TypeError(`refused ${id}`);
  }

  #ran(id: string, number: number): void {
    const { executors = [] } = this.#specs.get(id) ?? {};
    const ran = this.#runs.get(id) ?? [];
    ran.push(executors[Math.min(number - 1, executors.length - 1)] ?? "a");
    this.#runs.set(id, ran);
  }

  /** Ends a try as it was planned; sometimes twice, and in some way when it was cancelled. */
  #endOf(taken: ScriptedTry): void {
    const { aTry } = taken;
    const executor = this.#executors.find(({ pending }) => pending.includes(taken))!;
    const spec = this.#specs.get(aTry.label ?? "")!;
    if (!taken.isCancelled || this.#chance(50)) {
      const kind = spec.fails[aTry.try - 1];
      const end: TryEnd = kind === undefined
        ? this.#doneOf(taken, spec)
        : { kind: "failed", failure: { kind, message: `planned: ${kind}`, host: "here" } };
      executor.end(taken, end);
    } else {
      executor.end(taken, { kind: "failed", failure: { kind: "cancelled", message: "at once" } });
    }
    if (this.#chance(10)) {
      taken.onEnd({ kind: "failed", failure: { kind: "exit", message: "once more" } });
    }
  }

  #doneOf({ aTry }: ScriptedTry, spec: CallSpec): TryEnd {
    const value = work(spec.name, argumentsOf(aTry));
    const file = new PlacedFile({ kind: "path", path: `/scripted/${fileText(value)}` });
    return {
      kind: "done",
      value: this.#chance(50) ? StoredValue.plain(value) : StoredValue.encoded(encodeValue(value)),
      outputs: spec.hasFile ? { out: file } : {},
    };
  }

  #note(fact: AppFact): void {
    if (fact.kind === "app_called") {
      this.#callCount += 1;
      this.#states.set(fact.callId, "pending");
      return;
    }
    const before = this.#states.get(fact.callId);
    const allowed = before === undefined ? [] : NEXT[before] ?? [];
    expect([before, allowed]).toEqual([before, expect.arrayContaining([fact.state])]);
    this.#states.set(fact.callId, fact.state);
    if (fact.state === "launched" && fact.executor !== undefined) {
      this.#launched(fact.callId, fact.executor);
    }
  }

  #launched(callId: TaskId, executor: string): void {
    const taken = this.#executors.flatMap(({ tries }) =>
      tries.filter((one) => one.aTry.callId === callId)
    ).at(-1);
    const id = taken?.aTry.label ?? "";
    const ran = this.#runs.get(id) ?? [];
    ran.push(executor);
    this.#runs.set(id, ran);
  }

  #idOf(callId: TaskId): string | undefined {
    return [...this.#futures].find(([, future]) => future.id === callId)?.[0];
  }

  #chance(percent: number): boolean {
    return this.#below(100) < percent;
  }

  #below(bound: number): number {
    return bound === 0 ? 0 : nextRandomBelow(this.#random, bound);
  }
}

/** Passes values on that are encoded. */
class OwningExecutor extends ScriptedExecutor {
  owns({ content }: StoredValue): boolean {
    return content.kind === "encoded";
  }
}

/** Plain arguments, with the text of files in their places. */
export function argumentsOf(
  { args, command, inputs }: AppTry,
  textOf: (file: PlacedFile) => string = scriptedText,
): unknown {
  if (command !== undefined) {
    return JSON.parse(command, (key, value) => {
      if (key !== "file") return value;
      return textOf(inputs[value]!);
    });
  }
  return mapLeaves(args, (leaf) => {
    if (leaf instanceof PlacedFile) return textOf(leaf);
    if (!(leaf instanceof StoredValue) || leaf.content.kind !== "encoded") return leaf;
    return decodeValue(leaf.content.bytes);
  });
}

/** A value with the text of files in their places. */
export function withTexts(
  value: unknown,
  textOf: (file: PlacedFile) => string = scriptedText,
): unknown {
  return mapLeaves(value, (leaf) => {
    if (!(leaf instanceof DataFile)) return leaf;
    return textOf(outputOf(callOf(leaf.future.parent), leaf.future.output));
  });
}

function scriptedText({ placement }: PlacedFile): string {
  return placement.kind === "path" ? placement.path.slice("/scripted/".length) : "";
}

/** A command that says its arguments, with files by their names there. */
export function commandOf(...args: unknown[]): string {
  return JSON.stringify(mapLeaves(args, (leaf) => leaf instanceof MountedFile ? `${leaf}` : leaf));
}
