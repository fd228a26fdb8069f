/**
 * The kernel of the dataflow: which calls wait for what, and what becomes of them. A call counts what
 * it waits for, so that the end of one costs as much as there are calls that depend on it.
 *
 * @module
 */

import { AsyncLocalStorage } from "node:async_hooks";

import type { TaskId } from "../../shared/ids.ts";
import { decodeValue } from "../../shared/value.ts";
import type { AppFact, AppState } from "../core/fact.ts";
import {
  AppError,
  CancelledError,
  DependencyError,
  type FailedCall,
  failedCallOfError,
  JoinError,
  messageOf,
  withoutFrames,
} from "./app_error.ts";
import {
  type CallEnd,
  type CallRecord,
  failedCallOf,
  freeCall,
  hasEnded,
  newCall,
  outputOf,
  valueOf,
} from "./call.ts";
import type { CallMemory } from "./call_memory.ts";
import { argumentText } from "./call_text.ts";
import { type DependencyResolver, isAwaitable } from "./dependency.ts";
import type { TryEnd, TryFailure } from "./executor.ts";
import { FailureWatch } from "./failure_watch.ts";
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

/** The calls of one flow. */
export class Kernel implements FutureOwner {
  readonly #options: KernelOptions;
  readonly #tries: TryRunner;
  /** Calls that have not ended. */
  readonly #open: Set<CallRecord> = new Set();
  /** Calls that have ended, and of which others are to be told. */
  readonly #ended: CallRecord[] = [];
  readonly #idle: (() => void)[] = [];
  /** Those that nobody has looked at. */
  readonly failures: FailureWatch = new FailureWatch();
  /** The join whose function runs, and makes calls. */
  readonly #making: AsyncLocalStorage<CallRecord> = new AsyncLocalStorage();
  #isTelling = false;
  #closedWhy: string | undefined;

  constructor(options: KernelOptions) {
    this.#options = options;
    this.#tries = new TryRunner(options, {
      launched: (call, executor) => {
        const taskId = call.task?.id;
        this.#enter(call, "launched", taskId === undefined ? { executor } : { executor, taskId });
      },
      retried: (call, failure) => this.#enter(call, "fail_retryable", failureFacts(call, failure)),
      paused: (call) => this.#enter(call, "pending"),
      done: (call, end) => this.#finish(call, end),
      failed: (call, failure) => this.#fail(call, failure),
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
    const maker = this.#making.getStore();
    if (maker?.state === "cancelled") {
      throw new CancelledError(
        { callId: maker.id, app: recipe.name, call: `${recipe.name}(…)` },
        `call ${maker.id}, which makes it, was cancelled`,
      );
    }
    const id = this.#options.newId();
    const streams = isAgain ? undefined : this.#options.streamsOf(recipe, id);
    const call = newCall({ id, recipe, args, streams, isAgain });
    const dependsOn = this.#checked(call);
    const isWaiting = call.waitingCount > 0;
    if (maker !== undefined && !hasEnded(maker)) (maker.made ??= []).push(call);
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
    const { end } = call;
    if (end === undefined) throw new Error("Cannot read the value of a call that has not ended");
    if (end.kind === "done") {
      const value = await this.#look(end.value.read());
      const { packing } = this.#options;
      return packing === undefined ? value : packing.unpack(value);
    }
    this.failures.lookAt(end.error);
    throw end.error;
  }

  /** See `FutureOwner`. */
  lookAt(error: Error): void {
    this.failures.lookAt(error);
  }

  /** See `FutureOwner`. */
  async placed(call: CallRecord, output: string): Promise<PlacedFile> {
    if (call.end === undefined) await new Promise<void>((done) => this.whenEnded(call, done));
    await this.#look(this.#options.memory?.ensure(call));
    if (call.end?.kind === "failed") this.failures.lookAt(call.end.error);
    return outputOf(call, output);
  }

  /** Ends a call wherever it is; what depends on it fails, and what a join has made ends with it. */
  cancel(call: CallRecord, why = "it was cancelled"): void {
    const left: (readonly [CallRecord, string])[] = [[call, why]];
    for (let next = left.pop(); next !== undefined; next = left.pop()) {
      const [one, because] = next;
      if (hasEnded(one)) continue;
      const { abort, running, made = [] } = one;
      const error = withoutFrames(() => new CancelledError(failedCallOf(one), because));
      this.#end(one, "cancelled", { kind: "failed", error }, because);
      // Told after its end is known: what the executor says of it comes too late.
      abort?.();
      running?.cancel();
      const inner = `call ${one.id}, which made it, was cancelled`;
      for (const child of made) left.push([child, inner]);
    }
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

  /** True when no call that is open would end without what the script itself does. */
  get isWaitingForPromises(): boolean {
    for (const { recipe, waitingCount } of this.#open) {
      if (recipe.kind !== "join" && waitingCount === 0) return false;
    }
    return this.#open.size > 0;
  }

  /** Refuses calls from now on, and cancels those that are open. */
  close(why: string): void {
    this.#closedWhy = why;
    this.cancelAll(why);
  }

  /** What a call depends on; throws for one that could not run then. */
  #checked(call: CallRecord): readonly CallRecord[] {
    const { recipe, args } = call;
    try {
      const dependsOn = this.#depend(call);
      if (call.waitingCount > 0 && recipe.target !== undefined) {
        this.#tries.checkRuns(recipe);
        checkTravels(recipe, args);
      }
      return dependsOn;
    } catch (error) {
      // There is no such call: promises among its arguments begin nothing.
      freeCall(call);
      throw error;
    }
  }

  /** Whoever asks for what was lost, and cannot be made anew, sees why. */
  async #look<T>(coming: Promise<T> | undefined): Promise<T | undefined> {
    try {
      return await coming;
    } catch (error) {
      if (error instanceof Error) this.failures.lookAt(error);
      throw error;
    }
  }

  /** Finds what a call depends on; gives the calls among it, each once. */
  #depend(call: CallRecord): readonly CallRecord[] {
    let found: Set<CallRecord> | undefined;
    const { recipe: { outputs, inputs }, streams } = call;
    const visit = (thing: object): unknown => {
      call.hasReferences = true;
      const parent = this.#parentOf(thing, call);
      if (parent !== undefined) (found ??= new Set()).add(parent);
      else if (isAwaitable(thing) && call.promised?.values.has(thing) !== true) {
        this.#await(call, thing);
      } else if (thing instanceof File) this.#options.checkFile(thing, "canStageIn");
      return thing;
    };
    for (const name of Object.keys(outputs)) this.#checkOutput(outputs[name]?.to);
    this.#checkOutput(streams?.stdout?.to);
    this.#checkOutput(streams?.stderr?.to);
    if (inputs !== undefined) mapLeaves(inputs, visit);
    this.#options.resolver.map(call.args, visit);
    // Only the visits assign it, which the compiler does not see.
    const parents = found as Set<CallRecord> | undefined;
    if (parents === undefined) return NO_RECORDS;
    for (const one of parents) if (!hasEnded(one)) call.waitingCount += 1;
    return [...parents];
  }

  #checkOutput(to: File | undefined): void {
    if (to !== undefined) this.#options.checkFile(to, "canStageOut");
  }

  /** The call that makes what was found among arguments; undefined of what is not of this flow. */
  #parentOf(found: object, { recipe }: CallRecord): CallRecord | undefined {
    if (found instanceof AppFuture) return found.owner === this ? callOf(found) : undefined;
    const file = found instanceof DataFile ? found.future : found;
    if (!(file instanceof DataFuture)) return undefined;
    const { parent, output } = file;
    if (parent.owner === this) return callOf(parent);
    throw new TypeError(
      `Cannot call "${recipe.name}": output "${output}" of call ${parent.id} is of another flow; ` +
        "fetch it, and give its path",
    );
  }

  /** Waits for any promise. */
  #await(call: CallRecord, promise: PromiseLike<unknown>): void {
    call.promised ??= { call, values: new Map() };
    // A promise that never settles keeps this, and not what an ended call held.
    const promised = call.promised;
    promised.values.set(promise, undefined);
    call.waitingCount += 1;
    Promise.resolve(promise).then((value) => {
      if (promised.call === undefined) return;
      promised.values.set(promise, value);
      this.#release(promised.call);
    }, (error: unknown) => {
      if (promised.call === undefined) return;
      const failure = new DependencyError(failedCallOf(promised.call), error);
      this.#end(promised.call, "dep_fail", { kind: "failed", error: failure }, failure.message);
    });
  }

  /** One thing less that the call waits for. */
  #release(call: CallRecord): void {
    call.waitingCount -= 1;
    if (call.waitingCount > 0 || hasEnded(call)) return;
    try {
      this.#begin(call);
    } catch (error) {
      this.#fail(call, { kind: "refused", message: messageOf(error), cause: error });
    }
  }

  /** Begins a call that waits for nothing, and refuses it to the caller when it cannot travel. */
  #beginFirst(call: CallRecord): void {
    try {
      this.#begin(call, true);
    } catch (error) {
      const refusal = refusalOf(call.recipe, error);
      this.#end(call, "failed", { kind: "failed", error: refusal }, refusal.message);
      throw refusal;
    }
  }

  /** Has a call run again of which what was remembered is lost; gives the end of that. */
  async again({ recipe, args }: Pick<CallRecord, "recipe" | "args">): Promise<CallEnd> {
    // Whoever asks first is not whose it is.
    const call = callOf(this.#making.exit(() => this.#start(recipe, args, true)));
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
    try {
      const part = partOf(end.value, key);
      if (part === undefined) return false;
      this.#end(call, "exec_done", { kind: "done", value: part, outputs: {} });
    } catch (error) {
      this.#fail(call, { kind: "call_error", message: messageOf(error), cause: error });
    }
    return true;
  }

  /** Has the function of a join say what it waits for. */
  #join(call: CallRecord): void {
    this.#enter(call, "launched");
    const make = (args: readonly unknown[]): unknown =>
      this.#making.run(call, () => call.recipe.fn?.(...args as never[]));
    this.#tries.joinArguments(call, make).then((returned) => {
      if (!hasEnded(call)) this.#joinWith(call, returned);
    }).catch((error: unknown) => {
      if (hasEnded(call)) return;
      // One that is async, and returns a future, gives what that gives.
      const inner = failedCallOfError(error);
      if (inner !== undefined) return this.#failJoin(call, { error, inner });
      this.#fail(call, { kind: "call_error", message: messageOf(error), cause: error });
    });
  }

  #joinWith(call: CallRecord, [returned]: readonly [unknown]): void {
    const inner = new Set<CallRecord>();
    mapLeaves(returned, (thing) => {
      if (thing instanceof AppFuture) inner.add(callOf(thing));
      else if (thing instanceof DataFuture) inner.add(callOf(thing.parent));
      return thing;
    });
    this.#enter(call, "joining", { joins: Array.from(inner, ({ id }) => id) });
    let left = inner.size;
    const goOn = (one?: CallRecord): void => {
      if (hasEnded(call)) return;
      if (one?.end?.kind === "failed") {
        return this.#failJoin(call, { error: one.end.error, inner: failedCallOf(one) });
      }
      if (left > 0) return;
      this.#end(call, "exec_done", { kind: "done", value: joinedValue(returned), outputs: {} });
    };
    for (const one of inner) {
      this.whenEnded(one, () => {
        left -= 1;
        goOn(one);
      });
    }
    if (inner.size === 0) goOn();
  }

  #failJoin(
    call: CallRecord,
    { error: cause, inner }: { readonly error: unknown; readonly inner: FailedCall },
  ): void {
    const error = new JoinError(failedCallOf(call), cause, inner);
    this.failures.add(error);
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

  #fail(call: CallRecord, failure: TryFailure): void {
    const failures = call.failures ?? [failure];
    const error = new AppError(failedCallOf(call), failures, call.try);
    this.failures.add(error);
    this.#end(call, "failed", { kind: "failed", error }, failure.message);
  }

  #failDependent(call: CallRecord, parent: CallRecord): void {
    const error = withoutFrames(() =>
      new DependencyError(failedCallOf(call), errorOf(parent), failedCallOf(parent))
    );
    this.#end(call, "dep_fail", { kind: "failed", error }, error.message);
  }

  #end(
    call: CallRecord,
    state: AppState,
    end: CallEnd,
    message?: string,
  ): void {
    call.end = end;
    const { memoKey } = call;
    const isPlain = message === undefined && memoKey === undefined;
    this.#enter(
      call,
      state,
      isPlain ? undefined : {
        ...(message === undefined ? {} : { message, failCost: call.failCost }),
        ...(memoKey === undefined ? {} : { memoKey }),
      },
    );
    this.#options.memory?.ended(call);
    freeCall(call);
    this.#open.delete(call);
    this.#ended.push(call);
    this.#tell();
  }

  /** Tells those that depend on what has ended; chains of them one after the other. */
  #tell(): void {
    if (this.#isTelling) return;
    this.#isTelling = true;
    // The list grows meanwhile.
    for (const call of this.#ended) {
      const { consumers = [], listeners = [] } = call;
      call.consumers = undefined;
      call.listeners = undefined;
      if (call.end?.kind === "failed") {
        for (const one of consumers) if (!hasEnded(one)) this.#failDependent(one, call);
      } else {
        for (const one of consumers) this.#release(one);
      }
      for (const listener of listeners) listener();
    }
    this.#ended.length = 0;
    this.#isTelling = false;
    if (this.#open.size > 0) return;
    for (const listener of this.#idle.splice(0)) listener();
  }

  #enter(call: CallRecord, state: AppState, facts?: Partial<AppStateFacts>): void {
    call.state = state;
    const { id: callId, try: number } = call;
    const fact: AppStateFacts = { kind: "app_state", callId, state, try: number };
    this.#options.note(facts === undefined ? fact : Object.assign(fact, facts));
  }

  #noteCalled(call: CallRecord, dependsOn: readonly CallRecord[]): void {
    const { recipe } = call;
    const { label, category } = recipe;
    const fact: Mutable<AppCalledFact> = {
      kind: "app_called",
      callId: call.id,
      app: recipe.name,
      appKind: recipe.kind,
      executor: recipe.executors[0] ?? "",
      dependsOn: dependsOn.length === 0 ? NO_CALLS : dependsOn.map(({ id }) => id),
      argumentText: argumentText(call.args),
      outputs: Object.keys(recipe.outputs),
      isMemoized: this.#options.memory?.isFor(recipe) ?? false,
    };
    if (label !== undefined) fact.label = label;
    if (category !== undefined && category !== recipe.name) fact.category = category;
    if (call.streams !== undefined) Object.assign(fact, streamFacts(call.streams));
    this.#options.note(fact);
  }
}

type AppStateFacts = Extract<AppFact, { readonly kind: "app_state" }>;
type AppCalledFact = Extract<AppFact, { readonly kind: "app_called" }>;
type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

const NO_CALLS: readonly TaskId[] = Object.freeze([]);
const NO_RECORDS: readonly CallRecord[] = Object.freeze([]);

function streamFacts(
  { stdout, stderr }: StreamPlaces,
): { readonly stdout?: string; readonly stderr?: string } {
  return {
    ...(stdout === undefined ? {} : { stdout: streamText(stdout) }),
    ...(stderr === undefined ? {} : { stderr: streamText(stderr) }),
  };
}

/** A part of a value that is here; undefined of one that is elsewhere. */
function partOf({ content, bytes }: StoredValue, key: string | number): StoredValue | undefined {
  const value: unknown = content.kind === "plain" || content.kind === "structure"
    ? content.value
    : bytes && decodeValue(bytes);
  if (value === undefined && content.kind !== "plain") return undefined;
  const part = (value as { readonly [key: string]: unknown })[key];
  if (content.kind !== "structure") return StoredValue.plain(part);
  return part instanceof StoredValue ? part : StoredValue.structure(part);
}

/** What a join gives: the values of its futures in their places. */
function joinedValue(returned: unknown): StoredValue {
  const value = mapLeaves(returned, (thing) => {
    if (thing instanceof AppFuture) return valueOf(callOf(thing));
    return thing instanceof DataFuture ? new DataFile(thing) : thing;
  });
  return value instanceof StoredValue ? value : StoredValue.structure(value);
}

function errorOf({ end }: CallRecord): unknown {
  return end?.kind === "failed" ? end.error : undefined;
}

/** What a call throws that could not be made, with the name of its app in it. */
function refusalOf({ name }: Recipe, cause: unknown): Error {
  const text = messageOf(cause);
  const message = text.includes(`"${name}"`) ? text : `Cannot call "${name}": ${text}`;
  return cause instanceof RangeError
    ? new RangeError(message, { cause })
    : new TypeError(message, { cause });
}

function failureFacts(call: CallRecord, { message, host }: TryFailure): Partial<AppStateFacts> {
  return { message, failCost: call.failCost, ...(host === undefined ? {} : { host }) };
}
