/**
 * Graphs of calls by seed, and what they give when they are evaluated plainly, one call after the
 * other: what flows are compared with.
 *
 * @module
 */

import { newRandom, nextRandomBelow, type RandomState } from "../../shared/random.ts";
import type { FailureKind } from "../../manager/dataflow/executor.ts";
import type { AppFuture } from "../../manager/dataflow/future.ts";

/** An argument, or what a join returns: values with what other calls give in them. */
export type Template =
  | { readonly kind: "value"; readonly value: number | string }
  | { readonly kind: "call"; readonly id: string }
  /** A part of what a call gives, as `AppFuture.get` takes it. */
  | { readonly kind: "part"; readonly id: string; readonly key: "n" | "text" | "list" }
  /** The file that a call makes, as `{ file }`. */
  | { readonly kind: "file"; readonly id: string }
  | { readonly kind: "promise"; readonly id: string }
  /** An argument of the join in which the call is made. */
  | { readonly kind: "given"; readonly index: number }
  | { readonly kind: "list"; readonly items: readonly Template[] }
  | { readonly kind: "object"; readonly entries: { readonly [key: string]: Template } };

/** One call. */
export interface CallSpec {
  readonly id: string;
  /** Calls of the same name and arguments give the same. */
  readonly name: string;
  readonly kind: "function" | "command" | "join";
  readonly args: readonly Template[];
  /** How its first tries fail; of a join, whose function throws then, one at most. */
  readonly fails: readonly FailureKind[];
  readonly retries: number;
  /** What a failure of that kind costs. */
  readonly costs: { readonly [kind: string]: number } | undefined;
  readonly retryOn: readonly FailureKind[] | undefined;
  readonly delayMs: number;
  readonly executors: readonly string[];
  readonly hasFile: boolean;
  /** Of a join: what its function makes. */
  readonly inner: readonly CallSpec[];
  readonly returns: Template | undefined;
  /** Of a join: its function awaits the first of them. */
  readonly isAsync: boolean;
}

/** A promise of no flow. */
export interface PromiseSpec {
  readonly id: string;
  readonly end: "value" | "error" | "never";
}

/** What a script would do. */
export interface GraphSpec {
  readonly calls: readonly CallSpec[];
  readonly promises: readonly PromiseSpec[];
}

/** What calls give. */
export interface GraphValue {
  readonly n: number;
  readonly text: string;
  readonly list: readonly unknown[];
}

/** How a call ends, where everything happens one after the other. */
export type PlainEnd =
  | { readonly kind: "done"; readonly value: unknown; readonly tries: number }
  /** `roots`: what may be named as the first cause: ids of calls and promises. */
  | { readonly kind: "failed"; readonly roots: ReadonlySet<string>; readonly tries: number };

/** What is taken as it was seen, as it depends on time. */
export interface Seen {
  /** Calls that were cancelled. */
  readonly cancelled: ReadonlySet<string>;
  /** Calls that were made; those of a join that was cancelled may not have been. */
  readonly made: ReadonlySet<string>;
  /** Calls that threw when they were made: nothing was to be waited for, and the try was refused. */
  readonly thrown: ReadonlySet<string>;
}

/** Failures after which no other try is made, unless an app says so. */
const HOPELESS: ReadonlySet<FailureKind> = new Set(
  ["refused", "unsatisfiable", "expired", "cancelled"] as const,
);

const FAILURES: readonly FailureKind[] = ["call_error", "exit", "worker_lost", "timeout"];

/** Makes a graph. */
export function newGraph(seed: number): GraphSpec {
  return new GraphMaker(newRandom(seed)).make();
}

/**
 * What a call gives of its arguments, without files: also the source of the function that real
 * workers run.
 */
export function work(name: string, args: unknown): GraphValue {
  let n = 2_166_136_261;
  for (const char of `${name}${JSON.stringify(args)}`) {
    n = Math.imul(n ^ (char.codePointAt(0) ?? 0), 16_777_619) >>> 0;
  }
  return { n, text: `${name}:${n}`, list: [n % 7, { deep: n % 11 }] };
}

/** The text of the file that a call of that name and arguments makes. */
export function fileText({ text }: GraphValue): string {
  return `file of ${text}`;
}

class GraphMaker {
  readonly #random: RandomState;
  readonly #promises: PromiseSpec[] = [];
  /** Per graph, in percent. */
  readonly #failing: number;
  #callCount = 0;

  constructor(random: RandomState) {
    this.#random = random;
    this.#failing = [0, 10, 30][this.#below(3)] ?? 0;
  }

  make(): GraphSpec {
    const calls: CallSpec[] = [];
    const count = 3 + this.#below(14);
    while (calls.length < count) calls.push(this.#call(calls, 0, 0));
    if (this.#chance(20)) calls.push(this.#fanIn(calls));
    return { calls, promises: this.#promises };
  }

  #call(known: readonly CallSpec[], depth: number, givenCount: number): CallSpec {
    const twin = known[this.#below(known.length * 6)];
    // The same again, with the same arguments.
    if (twin !== undefined && twin.kind !== "join") return { ...twin, id: this.#newId() };
    const id = this.#newId();
    const isJoin = depth < 2 && this.#chance(18);
    const args = this.#list(3, () => this.#template(known, 0, givenCount));
    const failCount = this.#chance(this.#failing) ? 1 + this.#below(3) : 0;
    const fails = Array.from({ length: failCount }, () => {
      return this.#chance(8) ? "refused" : this.#one(FAILURES);
    });
    const common = { id, name: `f${id}`, args, ...this.#retry(), ...NO_JOIN };
    if (!isJoin) {
      const kind = this.#chance(15) ? "command" : "function";
      return { ...common, kind, fails, hasFile: this.#chance(25) };
    }
    const inner: CallSpec[] = [];
    const innerCount = this.#below(4);
    while (inner.length < innerCount) {
      inner.push(this.#call([...known, ...inner], depth + 1, args.length));
    }
    const returns = this.#chance(40) && inner.length > 0
      ? { kind: "call", id: this.#one(inner).id } as const
      : this.#template([...known, ...inner, ...inner], 0, 0);
    const joinFails = fails.length > 0 && this.#chance(50) ? fails.slice(0, 1) : [];
    const isAsync = this.#chance(30);
    return { ...common, kind: "join", fails: joinFails, inner, returns, isAsync, hasFile: false };
  }

  #retry(): Pick<CallSpec, "retries" | "costs" | "retryOn" | "delayMs" | "executors"> {
    return {
      retries: this.#below(4),
      costs: this.#chance(20) ? { exit: 2, worker_lost: 0, timeout: Infinity } : undefined,
      retryOn: this.#chance(20) ? ["exit", "call_error", "refused"] : undefined,
      delayMs: this.#chance(4) ? 1 : 0,
      executors: this.#one([[], [], ["a"], ["b"], ["a", "b"], ["b", "a", "b"]]),
    };
  }

  /** Everything so far, in one call. */
  #fanIn(known: readonly CallSpec[]): CallSpec {
    const id = this.#newId();
    const items = known.map(({ id }): Template => ({ kind: "call", id }));
    const args = [{ kind: "list", items } as const];
    const common = { id, name: `f${id}`, args, ...this.#retry(), ...NO_JOIN };
    return { ...common, kind: "function", fails: [], hasFile: false };
  }

  #template(known: readonly CallSpec[], depth: number, givenCount: number): Template {
    const roll = this.#below(100);
    if (depth < 3 && roll < 12) {
      return {
        kind: "list",
        items: this.#list(3, () => this.#template(known, depth + 1, givenCount)),
      };
    }
    if (depth < 3 && roll < 22) {
      const items = this.#list(3, () => this.#template(known, depth + 1, givenCount));
      return {
        kind: "object",
        entries: Object.fromEntries(items.map((item, index) => [`key${index}`, item])),
      };
    }
    if (givenCount > 0 && roll < 32) return { kind: "given", index: this.#below(givenCount) };
    if (roll < 36) return this.#promise();
    if (known.length === 0 || roll > 88) return { kind: "value", value: this.#below(100) };
    const call = this.#one(known);
    if (call.hasFile && this.#chance(40)) return { kind: "file", id: call.id };
    if (call.kind !== "join" && this.#chance(15)) {
      return { kind: "part", id: call.id, key: this.#one(["n", "text", "list"] as const) };
    }
    return { kind: "call", id: call.id };
  }

  #promise(): Template {
    const roll = this.#below(100);
    const end = roll < 80 ? "value" : roll < 93 ? "error" : "never";
    const id = `p${this.#promises.length}`;
    this.#promises.push({ id, end });
    return { kind: "promise", id };
  }

  #newId(): string {
    this.#callCount += 1;
    return String(this.#callCount);
  }

  #list<T>(max: number, make: () => T): readonly T[] {
    return Array.from({ length: this.#below(max + 1) }, make);
  }

  #one<T>(values: readonly T[]): T {
    const value = values[this.#below(values.length)];
    if (value === undefined) throw new RangeError("Cannot choose among nothing");
    return value;
  }

  #chance(percent: number): boolean {
    return this.#below(100) < percent;
  }

  #below(bound: number): number {
    return bound === 0 ? 0 : nextRandomBelow(this.#random, bound);
  }
}

const NO_JOIN = { inner: [], returns: undefined, isAsync: false } as const;

/** Evaluates a graph, one call after the other; `seen` is what time has decided. */
export function evaluate(graph: GraphSpec, seen: Seen): ReadonlyMap<string, PlainEnd> {
  const ends = new Map<string, PlainEnd>();
  const promises = new Map(graph.promises.map((one) => [one.id, one]));
  for (const call of graph.calls) evaluateCall(call, { ends, promises, seen, given: [] });
  return ends;
}

/** The value of a promise that has one. */
export function promisedValue(id: string): unknown {
  return [id, { of: "promise" }];
}

interface Context {
  readonly ends: Map<string, PlainEnd>;
  readonly promises: ReadonlyMap<string, PromiseSpec>;
  readonly seen: Seen;
  /** Arguments of the join around. */
  readonly given: readonly unknown[];
  /** The join that returns them: a promise that fails among what it returns is its own failure. */
  readonly join?: string;
}

function evaluateCall(call: CallSpec, context: Context): void {
  const { ends, promises, seen } = context;
  if (!seen.made.has(call.id)) return;
  const roots = new Set<string>();
  const args = call.args.map((arg) => valueOf(arg, context, roots));
  if (roots.size === 0 && call.kind === "join") {
    for (const one of call.inner) evaluateCall(one, { ends, promises, seen, given: args });
  }
  const planned = roots.size === 0 ? planOf(call, seen) : { tries: 0, isDone: false };
  const { tries } = planned;
  const end = (kind: "failed", ids: Iterable<string>): void => {
    ends.set(call.id, { kind, roots: new Set(ids), tries });
  };
  if (seen.cancelled.has(call.id)) return end("failed", [call.id]);
  if (roots.size > 0) return end("failed", roots);
  if (!planned.isDone) return end("failed", [call.id]);
  if (call.returns === undefined) {
    ends.set(call.id, { kind: "done", value: work(call.name, args), tries });
    return;
  }
  const value = valueOf(call.returns, { ...context, given: args, join: call.id }, roots);
  if (roots.size > 0) return end("failed", roots);
  ends.set(call.id, { kind: "done", value, tries });
}

/** Tries of a call that can run, by what was stated of it. */
function planOf(
  call: CallSpec,
  { thrown }: Seen,
): { readonly tries: number; readonly isDone: boolean } {
  if (call.kind === "join") return { tries: 0, isDone: call.fails.length === 0 };
  if (thrown.has(call.id)) return { tries: 1, isDone: false };
  let cost = 0;
  for (const [index, kind] of call.fails.entries()) {
    const isHopeful = call.retryOn?.includes(kind) ?? !HOPELESS.has(kind);
    cost += call.costs === undefined ? 1 : call.costs[kind] ?? 1;
    if (!isHopeful || cost > call.retries) return { tries: index + 1, isDone: false };
  }
  return { tries: call.fails.length + 1, isDone: true };
}

function valueOf(template: Template, context: Context, roots: Set<string>): unknown {
  switch (template.kind) {
    case "value":
      return template.value;
    case "given":
      return context.given[template.index];
    case "list":
      return template.items.map((item) => valueOf(item, context, roots));
    case "object":
      return Object.fromEntries(
        Object.entries(template.entries).map(([key, item]) => [key, valueOf(item, context, roots)]),
      );
    case "promise": {
      if (context.promises.get(template.id)?.end === "value") return promisedValue(template.id);
      roots.add(context.join ?? template.id);
      return undefined;
    }
    default: {
      const end = context.ends.get(template.id);
      if (end?.kind === "done") return partOf(template, end.value as GraphValue);
      // What threw gave no future, but a promise that fails.
      const isThrown = context.join !== undefined && context.seen.thrown.has(template.id);
      if (isThrown) roots.add(context.join);
      else for (const root of end?.roots ?? [template.id]) roots.add(root);
      return undefined;
    }
  }
}

/** What stands for the calls of a graph, where it is played. */
export interface Played {
  /** Arguments of the join around. */
  readonly given: readonly unknown[];
  readonly promise: (id: string) => unknown;
  /** Undefined of a call that threw. */
  readonly future: (id: string) => AppFuture<unknown, string> | undefined;
  readonly thrown?: (id: string) => unknown;
}

/** An argument, or what a join returns, with futures in it. */
export function substitute(template: Template, played: Played): unknown {
  switch (template.kind) {
    case "value":
      return template.value;
    case "given":
      return played.given[template.index];
    case "list":
      return template.items.map((item) => substitute(item, played));
    case "object":
      return Object.fromEntries(
        Object.entries(template.entries).map(([key, one]) => [key, substitute(one, played)]),
      );
    case "promise":
      return played.promise(template.id);
    default: {
      const future = played.future(template.id);
      if (future === undefined) return rejected(played.thrown?.(template.id));
      if (template.kind === "file") return { file: future.outputs["out"] };
      return template.kind === "part" ? future.get(template.key as never) : future;
    }
  }
}

function rejected(error: unknown): Promise<never> {
  const promise = Promise.reject(error);
  promise.catch(() => {});
  return promise;
}

function partOf(
  template: Extract<Template, { readonly id: string }>,
  value: GraphValue,
): unknown {
  switch (template.kind) {
    case "part":
      return value[template.key];
    case "file":
      return { file: fileText(value) };
    default:
      return value;
  }
}
