/** Runs the tries of calls: where, with what, and once more after failures. */

import { parseDuration } from "../../shared/units.ts";
import { messageOf } from "./app_error.ts";
import type { CheckedRetry, RetryAnswer } from "./app_options.ts";
import { type CallRecord, hasEnded } from "./call.ts";
import type { DependencyResolver } from "./dependency.ts";
import type { AppTry, Executor, FailureKind, TryEnd, TryFailure } from "./executor.ts";
import { type PreparedTry, type PrepareOptions, prepareTry, readArguments } from "./prepare.ts";
import { StagingError } from "./staging.ts";
import type { TryFiles } from "./try_files.ts";

/** What tries are run with. */
export interface TryOptions extends PrepareOptions {
  /** The first one is the default. */
  readonly executors: readonly Executor[];
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
        if (isStale()) return;
        const settled = files.settle(call, executor, end);
        if (settled === undefined) this.#ended(call, executor, end);
        else settled.then(take, refuse);
      });
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

  /** Of the first try: the first label that the app names, else the first that can run it. */
  #executorOf(call: CallRecord): Executor {
    const { recipe } = call;
    const [named] = recipe.executors;
    if (named !== undefined) return this.#byLabel(named, call);
    const { executors } = this.#options;
    const { target } = recipe;
    const able = executors.find((one) => target === undefined || one.canRun(target));
    if (able !== undefined) return able;
    throw new TypeError(
      `Cannot run "${recipe.name}": no executor of the flow takes ${recipe.kind} apps, only ` +
        `${executors.map(({ label }) => `"${label}"`).join(", ")} are there`,
    );
  }

  /** Of a further try: whom the handler names, else the next one that the app names. */
  #nextExecutor(call: CallRecord, named: string | undefined): Executor {
    const { executors } = call.recipe;
    const label = named ?? executors[Math.min(call.try, executors.length - 1)];
    return label === undefined ? this.#executorOf(call) : this.#byLabel(label, call);
  }

  #byLabel(label: string, { recipe }: CallRecord): Executor {
    const { executors } = this.#options;
    const found = executors.find((one) => one.label === label);
    const labels = executors.map((one) => `"${one.label}"`).join(", ");
    if (found === undefined) {
      throw new RangeError(
        `Cannot run "${recipe.name}" on executor "${label}": the flow has ${labels}`,
      );
    }
    if (recipe.target === undefined || found.canRun(recipe.target)) return found;
    throw new TypeError(
      `Cannot run "${recipe.name}" on executor "${label}": it does not take ${recipe.kind} apps`,
    );
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
