/** Runs the tries of calls: where, with what, and once more after failures. */

import { parseDuration } from "../../shared/units.ts";
import { show } from "../option.ts";
import { messageOf } from "./app_error.ts";
import type { CheckedRetry, RetryAnswer } from "./app_options.ts";
import { type CallRecord, hasEnded } from "./call.ts";
import { type DependencyResolver, isAwaitable } from "./dependency.ts";
import type { AppTry, Executor, FailureKind, TryEnd, TryFailure } from "./executor.ts";
import { AppFuture, DataFuture } from "./future.ts";
import { mapLeaves } from "./leaves.ts";
import { ableExecutors, type ExecutorChooser, type ExecutorState } from "./executor_choice.ts";
import { type PreparedTry, type PrepareOptions, prepareTry, readArguments } from "./prepare.ts";
import type { Recipe } from "./recipe.ts";
import { checkTravels } from "./travel.ts";
import { StagingError } from "./staging.ts";
import type { TryFiles } from "./try_files.ts";

/** What tries are run with. */
export interface TryOptions extends PrepareOptions {
  readonly executors: readonly Executor[];
  /** Asked where the app names none. */
  readonly chooseExecutor: ExecutorChooser;
  readonly resolver: DependencyResolver;
  readonly files: TryFiles;
  /** Lets go of what the try of a call had for itself. */
  readonly release: (call: CallRecord) => void;
  /** What holds where an app says nothing. */
  readonly retry: CheckedRetry;
}

/** Told of what becomes of tries. */
export interface TryListener {
  launched(call: CallRecord, executor: string): void;
  /** It failed, and another one follows. */
  retried(call: CallRecord, failure: TryFailure): void;
  /** The call waits for its next try. */
  paused(call: CallRecord): void;
  done(call: CallRecord, end: Extract<TryEnd, { kind: "done" }>): void;
  /** No other try follows. */
  failed(call: CallRecord, failure: TryFailure): void;
}

/** A try that has been begun. */
interface OpenTry {
  readonly call: CallRecord;
  readonly executor: Executor;
  /** From 1. */
  readonly number: number;
  /** Its executor has said how it ended. */
  isOver: boolean;
}

/** Longest pause between tries, in milliseconds. */
const PAUSE_MS_MAX = 60_000;

/** Longest time that a timer of JavaScript takes, in milliseconds. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** Failures of a call that are remembered: the last ones. */
const FAILURES_MAX = 20;

/** Promises that give arrays of promises, and so on. */
const PROMISE_ROUNDS_MAX = 16;

/** What another try would not mend. */
const HOPELESS: ReadonlySet<FailureKind> = new Set<FailureKind>([
  "refused",
  "unsatisfiable",
  "expired",
  "cancelled",
]);

/** The tries of one flow. */
export class TryRunner {
  readonly #options: TryOptions;
  readonly #listener: TryListener;
  /** Tries that have not ended, also those that nobody waits for any more. */
  readonly #openCounts: Map<Executor, number> = new Map();

  constructor(options: TryOptions, listener: TryListener) {
    this.#options = options;
    this.#listener = listener;
  }

  /**
   * Begins the first try.
   *
   * @param isFirst Whether what the executor refuses is thrown here.
   */
  begin(call: CallRecord, isFirst: boolean): void {
    this.#try(call, this.#executorOf(call), isFirst);
  }

  /** Throws for an app that no executor would take. */
  checkRuns(recipe: Recipe): void {
    const { target, outputs, name } = recipe;
    const [named] = recipe.executors;
    if (named !== undefined) this.#byLabel(named, recipe);
    else if (target !== undefined) {
      ableExecutors({ target, outputs }, { name, executors: this.#options.executors });
    }
  }

  /** What `make` returns of the arguments of a join, in a list, as a future alone would be awaited. */
  async joinArguments(
    call: CallRecord,
    make: (args: readonly unknown[]) => unknown,
  ): Promise<readonly [unknown]> {
    const returned = make(await readArguments(call, this.#options));
    if (returned instanceof AppFuture || returned instanceof DataFuture) return [returned];
    return [await settlePromises(await returned)];
  }

  #try(call: CallRecord, executor: Executor, isFirst: boolean): void {
    call.try += 1;
    const one: OpenTry = { call, executor, number: call.try, isOver: false };
    const { files } = this.#options;
    if (files.isUnfinished(call)) {
      this.#endLater(one, files.finish(call));
      this.#listener.launched(call, executor.label);
      return;
    }
    try {
      const prepared = prepareTry(call, executor, this.#options);
      if (!(prepared instanceof Promise)) return this.#submit(one, prepared);
      if (isFirst) checkTravels(call.recipe, call.args);
      prepared.then((ready) => {
        if (!isPast(one)) this.#submit(one, ready);
      }).catch((error: unknown) => this.#refuse(one, error));
    } catch (error) {
      // What cannot be brought may come another time.
      if (isFirst && !(error instanceof StagingError)) throw error;
      this.#refuse(one, error);
    }
  }

  #submit(one: OpenTry, prepared: PreparedTry): void {
    const { call, executor, number } = one;
    const { files } = this.#options;
    const adapted = files.adapt(call, prepared, executor);
    const aTry: AppTry = { callId: call.id, try: number, app: call.recipe.name, ...adapted };
    call.running = executor.submit(aTry, (found) => {
      // A second end of a try is no end of the next one.
      if (one.isOver) return;
      one.isOver = true;
      this.#count(executor, -1);
      if (isPast(one)) return;
      const settled = files.settle(call, executor, found);
      if (settled === undefined) this.#end(one, found);
      else this.#endLater(one, settled);
    });
    call.task = call.running.task;
    this.#count(executor, 1);
    this.#listener.launched(call, executor.label);
  }

  #end(one: OpenTry, found: TryEnd): void {
    if (!isPast(one)) this.#ended(one.call, one.executor, found);
  }

  #endLater(one: OpenTry, coming: Promise<TryEnd>): void {
    coming.then(
      (found) => this.#end(one, found),
      (error: unknown) => this.#refuse(one, error),
    );
  }

  #refuse(one: OpenTry, error: unknown): void {
    this.#end(one, { kind: "failed", failure: refusalOf(error) });
  }

  #ended(call: CallRecord, executor: Executor, end: TryEnd): void {
    call.running = undefined;
    this.#options.release(call);
    if (end.kind === "done") return this.#listener.done(call, end);
    const { failure } = end;
    call.failures ??= [];
    if (call.failures.length >= FAILURES_MAX) call.failures.shift();
    call.failures.push(failure);
    this.#decide(call, executor, failure).catch((error: unknown) => {
      if (hasEnded(call)) return;
      const message = `${failure.message}; and whether to try again: ${messageOf(error)}`;
      const last: TryFailure = { ...failure, message, cause: error };
      call.failures = [...call.failures?.slice(0, -1) ?? [], last];
      this.#listener.failed(call, last);
    });
  }

  /** Whether there is another try, and when. */
  async #decide(call: CallRecord, executor: Executor, failure: TryFailure): Promise<void> {
    const { retry } = call.recipe;
    const defaults = this.#options.retry;
    const retries = retry.retries ?? defaults.retries ?? 0;
    const on = retry.on ?? defaults.on;
    const isHopeful = on === undefined ? !HOPELESS.has(failure.kind) : on.includes(failure.kind);
    const handler = retry.handler ?? defaults.handler;
    let answer: RetryAnswer = {};
    if (handler !== undefined && isHopeful) {
      const told = await handler(failure, {
        id: call.id,
        app: call.recipe.name,
        try: call.try,
        failCost: call.failCost,
        executor: executor.label,
      });
      if (hasEnded(call)) return;
      answer = readAnswer(told);
    }
    call.failCost += checkCost(answer.cost ?? 1);
    if (!isHopeful || call.failCost > retries) return this.#listener.failed(call, failure);
    this.#listener.retried(call, failure);
    const next = this.#nextExecutor(call, answer.executor);
    const delayMs = retry.delayMs ?? defaults.delayMs ?? 0;
    const pauseMs = answer.delay === undefined
      ? Math.min(delayMs * 2 ** Math.min(call.try - 1, 30), Math.max(delayMs, PAUSE_MS_MAX))
      : Math.min(parseDuration(answer.delay, "delay of a retry"), TIMER_MS_MAX);
    this.#listener.paused(call);
    if (pauseMs === 0) return this.#try(call, next, false);
    const timer = setTimeout(() => {
      call.abort = undefined;
      if (!hasEnded(call)) this.#try(call, next, false);
    }, pauseMs);
    call.abort = () => clearTimeout(timer);
  }

  /** Of the first try: the first label that the app names, else what the flow's rule says. */
  #executorOf(call: CallRecord): Executor {
    const { recipe } = call;
    const { executors, chooseExecutor } = this.#options;
    const [named] = recipe.executors;
    if (named !== undefined) return this.#byLabel(named, recipe);
    const { target, outputs, name, kind, label } = recipe;
    if (target === undefined) throw new TypeError(`Cannot run "${name}" on an executor`);
    const able = ableExecutors({ target, outputs }, { name, executors });
    if (executors.length === 1) return able[0];
    const [first, ...others] = able;
    const failure = call.failures?.at(-1);
    const chosen = chooseExecutor(
      { id: call.id, app: name, kind, label, try: call.try + 1, failure, target },
      [this.#stateOf(first), ...others.map((one) => this.#stateOf(one))],
    );
    return this.#byLabel(chosen, recipe);
  }

  /** Of a further try: whom the handler names, else the next one that the app names. */
  #nextExecutor(call: CallRecord, named: string | undefined): Executor {
    const { executors } = call.recipe;
    const label = named ?? executors[Math.min(call.try, executors.length - 1)];
    return label === undefined ? this.#executorOf(call) : this.#byLabel(label, call.recipe);
  }

  #byLabel(label: string, { name, target, outputs }: Recipe): Executor {
    const { executors } = this.#options;
    const found = executors.find((one) => one.label === label);
    if (found === undefined) {
      const labels = executors.map((one) => `"${one.label}"`).join(", ");
      throw new RangeError(
        `Cannot run "${name}" on executor "${label}": the flow has ${labels}`,
      );
    }
    const refusal = target === undefined ? undefined : found.refusal({ target, outputs });
    if (refusal === undefined) return found;
    throw new TypeError(`Cannot run "${name}" on executor "${label}": it ${refusal}`);
  }

  #stateOf(executor: Executor): ExecutorState {
    return { label: executor.label, openCount: this.#openCounts.get(executor) ?? 0 };
  }

  #count(executor: Executor, change: 1 | -1): void {
    this.#openCounts.set(executor, (this.#openCounts.get(executor) ?? 0) + change);
  }
}

/** True of a try that its call waits for no more. */
function isPast({ call, number }: OpenTry): boolean {
  return hasEnded(call) || call.try !== number;
}

/** What a handler said, which may be anything. */
function readAnswer(told: unknown): RetryAnswer {
  if (typeof told === "number") return { cost: told };
  if (typeof told === "object" && told !== null) return told;
  throw new TypeError(
    `Cannot take "${show(told)}" as the answer of a retry handler: expected a cost, or { cost }`,
  );
}

/** The value with what promises in it give in their places; futures of calls stay. */
async function settlePromises(value: unknown): Promise<unknown> {
  let current = value;
  // What a promise gives may have promises in it.
  for (let round = 0; round < PROMISE_ROUNDS_MAX; round++) {
    const settled = new Map<object, unknown>();
    mapLeaves(current, (leaf) => {
      if (isPromise(leaf)) settled.set(leaf, undefined);
      return leaf;
    });
    if (settled.size === 0) return current;
    await Promise.all(Array.from(settled.keys(), async (one) => settled.set(one, await one)));
    current = mapLeaves(current, (leaf) => settled.has(leaf) ? settled.get(leaf) : leaf);
  }
  throw new RangeError(
    `Cannot join promises that give promises more than ${PROMISE_ROUNDS_MAX} deep`,
  );
}

function isPromise(leaf: object): boolean {
  return isAwaitable(leaf) && !(leaf instanceof AppFuture) && !(leaf instanceof DataFuture);
}

function checkCost(cost: number): number {
  if (typeof cost === "number" && cost >= 0) return cost;
  throw new RangeError(
    `Cannot take "${String(cost)}" as the cost of a failure: expected 0 or more`,
  );
}

function refusalOf(error: unknown): TryFailure {
  const kind = error instanceof StagingError ? error.kind : "refused";
  return { kind, message: messageOf(error), cause: error };
}
