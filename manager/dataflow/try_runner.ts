/** Runs the tries of calls: where, with what, and once more after failures. */

import { parseDuration } from "../../shared/units.ts";
import { messageOf } from "./app_error.ts";
import type { CheckedRetry, RetryAnswer } from "./app_options.ts";
import { type CallRecord, hasEnded } from "./call.ts";
import type { DependencyResolver } from "./dependency.ts";
import type { AppTry, Executor, FailureKind, TryEnd, TryFailure } from "./executor.ts";
import { ableExecutors, type ExecutorChooser, type ExecutorState } from "./executor_choice.ts";
import { type PreparedTry, type PrepareOptions, prepareTry, readArguments } from "./prepare.ts";
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
  /** No other try follows; `cause` is what a retry handler threw. */
  failed(call: CallRecord, failure: TryFailure, cause?: unknown): void;
}

/** Longest pause between tries, in milliseconds. */
const PAUSE_MS_MAX = 60_000;

/** Failures of a call that are remembered: the last ones. */
const FAILURES_MAX = 20;

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

  /** What the function of a join returns. */
  async joinArguments(call: CallRecord): Promise<unknown> {
    const args = await readArguments(call, this.#options);
    return await (call.recipe.fn as (...args: readonly unknown[]) => unknown)(...args);
  }

  #try(call: CallRecord, executor: Executor, isFirst: boolean): void {
    call.try += 1;
    const number = call.try;
    const isStale = (): boolean => hasEnded(call) || call.try !== number;
    const refuse = (error: unknown): void => {
      if (isStale()) return;
      this.#ended(call, executor, { kind: "failed", failure: refusalOf(error) });
    };
    const take = (end: TryEnd): void => {
      if (!isStale()) this.#ended(call, executor, end);
    };
    const { files } = this.#options;
    if (files.isUnfinished(call)) {
      files.finish(call).then(take, refuse);
      this.#listener.launched(call, executor.label);
      return;
    }
    const submit = (prepared: PreparedTry): void => {
      const adapted = files.adapt(call, prepared, executor);
      const aTry: AppTry = { callId: call.id, try: number, app: call.recipe.name, ...adapted };
      call.running = executor.submit(aTry, (end) => {
        this.#count(executor, -1);
        if (isStale()) return;
        const settled = files.settle(call, executor, end);
        if (settled === undefined) this.#ended(call, executor, end);
        else settled.then(take, refuse);
      });
      this.#count(executor, 1);
      this.#listener.launched(call, executor.label);
    };
    try {
      const prepared = prepareTry(call, executor, this.#options);
      if (!(prepared instanceof Promise)) return submit(prepared);
      prepared.then((ready) => {
        if (!isStale()) submit(ready);
      }).catch(refuse);
    } catch (error) {
      // What cannot be brought may come another time.
      if (isFirst && !(error instanceof StagingError)) throw error;
      refuse(error);
    }
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
      if (!hasEnded(call)) this.#listener.failed(call, failure, error);
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
      answer = typeof told === "number" ? { cost: told } : told;
    }
    call.failCost += checkCost(answer.cost ?? 1);
    if (!isHopeful || call.failCost > retries) return this.#listener.failed(call, failure);
    this.#listener.retried(call, failure);
    const next = this.#nextExecutor(call, answer.executor);
    const delayMs = retry.delayMs ?? defaults.delayMs ?? 0;
    const pauseMs = answer.delay === undefined
      ? Math.min(delayMs * 2 ** Math.min(call.try - 1, 30), Math.max(delayMs, PAUSE_MS_MAX))
      : parseDuration(answer.delay, "delay of a retry");
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
    if (named !== undefined) return this.#byLabel(named, call);
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
    return this.#byLabel(chosen, call);
  }

  /** Of a further try: whom the handler names, else the next one that the app names. */
  #nextExecutor(call: CallRecord, named: string | undefined): Executor {
    const { executors } = call.recipe;
    const label = named ?? executors[Math.min(call.try, executors.length - 1)];
    return label === undefined ? this.#executorOf(call) : this.#byLabel(label, call);
  }

  #byLabel(label: string, { recipe: { name, target, outputs } }: CallRecord): Executor {
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
