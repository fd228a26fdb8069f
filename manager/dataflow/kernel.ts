/**
 * The kernel of the dataflow: which calls wait for what, and what becomes of them. A call counts what
 * it waits for, so that the end of one costs as much as there are calls that depend on it.
 *
 * @module
 */

import type { TaskId } from "../../shared/ids.ts";
import { decodeValue } from "../../shared/value.ts";
import type { AppFact, AppState } from "../core/fact.ts";
import {
  AppError,
  CancelledError,
  DependencyError,
  type FailedCall,
  JoinError,
  messageOf,
} from "./app_error.ts";
import { type CallEnd, type CallRecord, hasEnded, outputOf, valueOf } from "./call.ts";
import type { CallMemory } from "./call_memory.ts";
import { argumentText } from "./call_text.ts";
import { type DependencyResolver, isAwaitable } from "./dependency.ts";
import type { TryEnd, TryFailure } from "./executor.ts";
import { AppFuture, callOf, DataFile, DataFuture, type FutureOwner } from "./future.ts";
import { File } from "./file.ts";
import { mapLeaves } from "./leaves.ts";
import type { PlacedFile } from "./placed_file.ts";
import type { Packing } from "./packing.ts";
import { PICK } from "./pick.ts";
import type { Recipe } from "./recipe.ts";
import type { Stager } from "./stager.ts";
import { StoredValue } from "./stored_value.ts";
import { type StreamPlaces, streamText } from "./stream_option.ts";
import { checkTravels } from "./travel.ts";
import { type TryOptions, TryRunner } from "./try_runner.ts";

/** What a kernel is made of. */
export interface KernelOptions extends TryOptions {
  readonly resolver: DependencyResolver;
  readonly newId: () => TaskId;
  readonly note: (fact: AppFact) => void;
  /** Where what a call writes goes. */
  readonly streamsOf: (recipe: Recipe, id: TaskId) => StreamPlaces | undefined;
  /** Throws for a file that nothing can bring. */
  readonly checkFile: Stager["check"];
  /** Undefined where nothing is remembered. */
  readonly memory?: CallMemory | undefined;
  /** How objects of classes travel; undefined where none do. */
  readonly packing?: Packing | undefined;
}

/** Failures of calls that nobody may have looked at; those that are remembered for the end. */
const FAILED_MAX = 1_000;

/** The calls of one flow. */
export class Kernel implements FutureOwner {
  readonly #options: KernelOptions;
  readonly #tries: TryRunner;
  /** Calls that have not ended. */
  readonly #open: Set<CallRecord> = new Set();
  /** Calls that have ended, and of which others are to be told. */
  readonly #ended: CallRecord[] = [];
  readonly #idle: (() => void)[] = [];
  /** By themselves: not for what they depend on. */
  readonly failed: Error[] = [];
  failedCount = 0;
  #isTelling = false;
  #closedWhy: string | undefined;

  constructor(options: KernelOptions) {
    this.#options = options;
    this.#tries = new TryRunner(options, {
      launched: (call, executor) => {
        const { task } = call.running ?? {};
        this.#enter(call, "launched", { executor, ...(task && { taskId: task.id }) });
      },
      retried: (call, failure) => this.#enter(call, "fail_retryable", failureFacts(call, failure)),
      paused: (call) => this.#enter(call, "pending"),
      done: (call, end) => this.#finish(call, end),
      failed: (call, failure, cause) => this.#fail(call, failure, cause),
    });
  }

  /** Calls that have not ended. */
  get openCount(): number {
    return this.#open.size;
  }

  /**
   * Makes a call.
   *
   * @throws {TypeError | RangeError} When an argument cannot travel; nothing was called then.
   */
  call<T, Outputs extends string>(
    recipe: Recipe,
    args: readonly unknown[],
  ): AppFuture<T, Outputs> {
    return this.#start<T, Outputs>(recipe, args, false);
  }

  #start<T, Outputs extends string>(
    recipe: Recipe,
    args: readonly unknown[],
    isAgain: boolean,
  ): AppFuture<T, Outputs> {
    if (this.#closedWhy !== undefined) {
      throw new Error(`Cannot call "${recipe.name}": ${this.#closedWhy}`);
    }
    const id = this.#options.newId();
    const streams = isAgain ? undefined : this.#options.streamsOf(recipe, id);
    const call = newCall({ id, recipe, args, streams }, isAgain);
    const dependsOn = this.#depend(call);
    const isWaiting = call.waitingCount > 0;
    if (isWaiting && recipe.target !== undefined) checkTravels(recipe, args);
    this.#open.add(call);
    this.#noteCalled(call, dependsOn);
    const failed = dependsOn.find((one) => one.end?.kind === "failed");
    if (failed !== undefined) this.#failDependent(call, failed);
    else {
      for (const one of dependsOn) if (!hasEnded(one)) (one.consumers ??= []).push(call);
      if (!isWaiting) this.#beginFirst(call);
    }
    return new AppFuture<T, Outputs>(call, this);
  }

  /** See `FutureOwner`. */
  whenEnded(call: CallRecord, listener: () => void): void {
    if (hasEnded(call)) return listener();
    (call.listeners ??= []).push(listener);
  }

  /** See `AppFuture.get`. */
  pick(call: CallRecord, key: string | number): AppFuture<unknown> {
    const recipe = this.#options.packing?.recipe(PICK) ?? PICK;
    return this.call<unknown, never>(recipe, [new AppFuture(call, this), key]);
  }

  /** See `FutureOwner`. */
  async read(call: CallRecord): Promise<unknown> {
    await this.#options.memory?.ensure(call);
    const { end } = call;
    if (end === undefined) throw new Error("Cannot read the value of a call that has not ended");
    if (end.kind === "failed") throw end.error;
    const value = await end.value.read();
    const { packing } = this.#options;
    return packing === undefined ? value : packing.unpack(value);
  }

  /** See `FutureOwner`. */
  async placed(call: CallRecord, output: string): Promise<PlacedFile> {
    if (call.end === undefined) await new Promise<void>((done) => this.whenEnded(call, done));
    await this.#options.memory?.ensure(call);
    return outputOf(call, output);
  }

  /** Ends a call wherever it is; what depends on it fails. */
  cancel(call: CallRecord, why = "it was cancelled"): void {
    if (hasEnded(call)) return;
    const error = new CancelledError(failedCallOf(call), why);
    this.#end(call, "cancelled", { kind: "failed", error });
    // Told after its end is known: what the executor says of it comes too late.
    call.abort?.();
    call.running?.cancel();
    call.abort = undefined;
  }

  /** Cancels all that is open. */
  cancelAll(why: string): void {
    for (const call of [...this.#open].reverse()) this.cancel(call, why);
  }

  /** Resolves once no call is open. */
  async whenIdle(): Promise<void> {
    if (this.#open.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#idle.push(resolve);
    await promise;
  }

  /** Refuses calls from now on, and cancels those that are open. */
  close(why: string): void {
    this.#closedWhy = why;
    this.cancelAll(why);
  }

  /** Finds what a call depends on; gives the calls among it, each once. */
  #depend(call: CallRecord): readonly CallRecord[] {
    const found = new Set<CallRecord>();
    const { recipe: { outputs, inputs }, streams } = call;
    const visit = (thing: object): unknown => {
      call.hasReferences = true;
      const parent = parentOf(thing);
      if (parent !== undefined) found.add(parent);
      else if (isAwaitable(thing) && !call.promised?.has(thing)) this.#await(call, thing);
      else if (thing instanceof File) this.#options.checkFile(thing, "canStageIn");
      return thing;
    };
    for (const name of Object.keys(outputs)) this.#checkOutput(outputs[name]?.to);
    this.#checkOutput(streams?.stdout?.to);
    this.#checkOutput(streams?.stderr?.to);
    if (inputs !== undefined) mapLeaves(inputs, visit);
    this.#options.resolver.map(call.args, visit);
    for (const one of found) if (!hasEnded(one)) call.waitingCount += 1;
    return [...found];
  }

  #checkOutput(to: File | undefined): void {
    if (to !== undefined) this.#options.checkFile(to, "canStageOut");
  }

  /** Waits for any promise. */
  #await(call: CallRecord, promise: PromiseLike<unknown>): void {
    call.promised ??= new Map();
    call.promised.set(promise, undefined);
    call.waitingCount += 1;
    promise.then((value) => {
      call.promised?.set(promise, value);
      this.#release(call);
    }, (error: unknown) => {
      if (hasEnded(call)) return;
      const failure = new DependencyError(failedCallOf(call), error);
      this.#end(call, "dep_fail", { kind: "failed", error: failure });
    });
  }

  /** One thing less that the call waits for. */
  #release(call: CallRecord): void {
    call.waitingCount -= 1;
    if (call.waitingCount === 0 && !hasEnded(call)) this.#begin(call);
  }

  /** Begins a call that waits for nothing, and refuses it to the caller when it cannot travel. */
  #beginFirst(call: CallRecord): void {
    try {
      this.#begin(call, true);
    } catch (error) {
      this.#end(call, "failed", { kind: "failed", error: error as Error }, messageOf(error));
      throw error;
    }
  }

  /** Has a call run again of which what was remembered is lost; gives the end of that. */
  async again({ recipe, args }: CallRecord): Promise<CallEnd> {
    const call = callOf(this.#start(recipe, args, true));
    await new Promise<void>((done) => this.whenEnded(call, done));
    return call.end as CallEnd;
  }

  #begin(call: CallRecord, isFirst = false): void {
    const { recipe } = call;
    if (recipe.kind === "join") return this.#join(call);
    if (recipe === PICK && this.#pickHere(call)) return;
    const { memory } = this.#options;
    if (memory === undefined || !memory.isFor(recipe)) return this.#tries.begin(call, isFirst);
    if (isFirst) checkTravels(recipe, call.args);
    void this.#recall(call, memory);
  }

  async #recall(call: CallRecord, memory: CallMemory): Promise<void> {
    try {
      const end = await memory.recall(call);
      if (hasEnded(call)) return;
      if (end === undefined) return this.#tries.begin(call, false);
      if (end.kind === "done") return this.#end(call, "memo_done", end);
      this.#end(call, "failed", end, messageOf(end.error));
    } catch (error) {
      if (!hasEnded(call)) {
        this.#fail(call, { kind: "refused", message: messageOf(error), cause: error });
      }
    }
  }

  /** A part of a value that is here is taken here; false when it is elsewhere. */
  #pickHere(call: CallRecord): boolean {
    const [future, key] = call.args as readonly [AppFuture<unknown>, string | number];
    const end = callOf(future).end;
    if (end?.kind !== "done") return false;
    const { content, bytes } = end.value;
    if (content.kind !== "plain" && bytes === undefined) return false;
    const value: unknown = content.kind === "plain" ? content.value : decodeValue(bytes!);
    try {
      const part = StoredValue.plain((value as { readonly [key: string]: unknown })[key]);
      this.#end(call, "exec_done", { kind: "done", value: part, outputs: {} });
    } catch (error) {
      this.#fail(call, { kind: "call_error", message: messageOf(error), cause: error });
    }
    return true;
  }

  /** Has the function of a join say what it waits for. */
  #join(call: CallRecord): void {
    this.#enter(call, "launched");
    this.#tries.joinArguments(call).then((returned) => {
      if (hasEnded(call)) return;
      this.#joinWith(call, returned);
    }).catch((error: unknown) => {
      if (hasEnded(call)) return;
      this.#fail(call, { kind: "call_error", message: messageOf(error), cause: error });
    });
  }

  #joinWith(call: CallRecord, returned: unknown): void {
    const inner = new Set<CallRecord>();
    this.#options.resolver.map([returned], (thing) => {
      const parent = parentOf(thing);
      if (parent !== undefined) inner.add(parent);
      return thing;
    });
    this.#enter(call, "joining", { joins: Array.from(inner, ({ id }) => id) });
    let left = inner.size;
    const goOn = (): void => {
      if (hasEnded(call)) return;
      const failed = [...inner].find(({ end }) => end?.kind === "failed");
      if (failed !== undefined) return this.#failJoin(call, failed);
      if (left > 0) return;
      this.#end(call, "exec_done", { kind: "done", value: this.#joined(returned), outputs: {} });
    };
    for (const one of inner) {
      this.whenEnded(one, () => {
        left -= 1;
        if (left === 0 || one.end?.kind === "failed") goOn();
      });
    }
    if (inner.size === 0) goOn();
    // What only it waits for ends with it.
    call.abort = () => {
      for (const one of inner) this.cancel(one, `call ${call.id}, which made it, was cancelled`);
    };
  }

  /** What a join gives: the values of its futures in their places. */
  #joined(returned: unknown): StoredValue {
    if (returned instanceof AppFuture) return valueOf(callOf(returned));
    const value = this.#options.resolver.map([returned], (thing) => {
      if (thing instanceof AppFuture) return valueOf(callOf(thing));
      return thing instanceof DataFuture ? new DataFile(thing) : thing;
    });
    // A list of one went in.
    const [one] = value as readonly [unknown];
    return one instanceof StoredValue ? one : StoredValue.structure(one);
  }

  #failJoin(call: CallRecord, inner: CallRecord): void {
    const cause = errorOf(inner);
    const error = new JoinError(failedCallOf(call), cause, failedCallOf(inner));
    this.#noteFailed(error);
    this.#end(call, "failed", { kind: "failed", error }, error.message);
  }

  /** What a try gave becomes what the call gave. */
  #finish(call: CallRecord, end: Extract<TryEnd, { kind: "done" }>): void {
    const { value, outputs } = end;
    const done: CallEnd = { kind: "done", value, outputs };
    const { memory } = this.#options;
    if (memory === undefined || !memory.isFor(call.recipe)) {
      return this.#end(call, "exec_done", done);
    }
    memory.keep(call, end).then(() => {
      if (hasEnded(call)) return;
      this.#end(call, "exec_done", done);
    }, (error: unknown) => {
      if (hasEnded(call)) return;
      const message = `its result cannot be kept: ${messageOf(error)}`;
      this.#fail(call, { kind: "refused", message, cause: error });
    });
  }

  #fail(call: CallRecord, failure: TryFailure, cause?: unknown): void {
    const failures = call.failures ?? [failure];
    const error = cause instanceof Error && cause !== failure.cause
      ? cause
      : new AppError(failedCallOf(call), failures, call.try);
    this.#noteFailed(error);
    this.#end(call, "failed", { kind: "failed", error }, failure.message);
  }

  #failDependent(call: CallRecord, parent: CallRecord): void {
    const error = new DependencyError(failedCallOf(call), errorOf(parent), failedCallOf(parent));
    this.#end(call, "dep_fail", { kind: "failed", error }, error.message);
  }

  #noteFailed(error: Error): void {
    this.failedCount += 1;
    if (this.failed.length < FAILED_MAX) this.failed.push(error);
  }

  #end(
    call: CallRecord,
    state: AppState,
    end: CallEnd,
    message?: string,
  ): void {
    call.end = end;
    const { memoKey } = call;
    this.#enter(call, state, {
      ...(message === undefined ? {} : { message, failCost: call.failCost }),
      ...(memoKey === undefined ? {} : { memoKey }),
    });
    this.#options.memory?.ended(call);
    this.#open.delete(call);
    this.#ended.push(call);
    this.#tell();
  }

  /** Tells those that depend on what has ended; chains of them one after the other. */
  #tell(): void {
    if (this.#isTelling) return;
    this.#isTelling = true;
    for (let call = this.#ended.shift(); call !== undefined; call = this.#ended.shift()) {
      const { consumers = [], listeners = [] } = call;
      call.consumers = undefined;
      call.listeners = undefined;
      call.promised = undefined;
      if (call.end?.kind === "failed") {
        for (const one of consumers) if (!hasEnded(one)) this.#failDependent(one, call);
      } else {
        for (const one of consumers) this.#release(one);
      }
      for (const listener of listeners) listener();
    }
    this.#isTelling = false;
    if (this.#open.size > 0) return;
    for (const listener of this.#idle.splice(0)) listener();
  }

  #enter(call: CallRecord, state: AppState, facts: Partial<AppStateFacts> = {}): void {
    call.state = state;
    const { id: callId, try: number } = call;
    this.#options.note({ kind: "app_state", callId, state, try: number, ...facts });
  }

  #noteCalled(call: CallRecord, dependsOn: readonly CallRecord[]): void {
    const { recipe } = call;
    const { label, category } = recipe;
    this.#options.note({
      kind: "app_called",
      callId: call.id,
      app: recipe.name,
      appKind: recipe.kind,
      executor: recipe.executors[0] ?? "",
      ...(label === undefined ? {} : { label }),
      ...(category === undefined ? {} : { category }),
      dependsOn: dependsOn.length === 0 ? NO_CALLS : dependsOn.map(({ id }) => id),
      argumentText: argumentText(call.args),
      outputs: Object.keys(recipe.outputs),
      ...streamFacts(call.streams),
      isMemoized: this.#options.memory?.isFor(recipe) ?? false,
    });
  }
}

type AppStateFacts = Extract<AppFact, { readonly kind: "app_state" }>;

const NO_CALLS: readonly TaskId[] = Object.freeze([]);

function newCall(
  own: Pick<CallRecord, "id" | "recipe" | "args" | "streams">,
  isAgain: boolean,
): CallRecord {
  return {
    ...own,
    state: "pending",
    waitingCount: 0,
    hasReferences: false,
    promised: undefined,
    memoKey: undefined,
    isAgain,
    consumers: undefined,
    listeners: undefined,
    try: 0,
    failCost: 0,
    failures: undefined,
    command: undefined,
    running: undefined,
    abort: undefined,
    end: undefined,
  };
}

function streamFacts(
  { stdout, stderr }: StreamPlaces = {},
): { readonly stdout?: string; readonly stderr?: string } {
  return {
    ...(stdout === undefined ? {} : { stdout: streamText(stdout) }),
    ...(stderr === undefined ? {} : { stderr: streamText(stderr) }),
  };
}

/** The call that makes what was found among arguments. */
function parentOf(found: object): CallRecord | undefined {
  if (found instanceof AppFuture) return callOf(found);
  if (found instanceof DataFuture) return callOf(found.parent);
  return found instanceof DataFile ? callOf(found.future.parent) : undefined;
}

/** How messages name a call. */
export function failedCallOf({ id: callId, recipe: { name: app }, args }: CallRecord): FailedCall {
  return { callId, app, call: `${app}(${argumentText(args)})` };
}

function errorOf({ end }: CallRecord): unknown {
  return end?.kind === "failed" ? end.error : undefined;
}

function failureFacts(call: CallRecord, { message, host }: TryFailure): Partial<AppStateFacts> {
  return { message, failCost: call.failCost, ...(host === undefined ? {} : { host }) };
}
