/**
 * Tries as the records have them while they go on: when they started, on which bar of their worker
 * they are drawn, and how many cores they keep busy.
 *
 * @module
 */

import type { Resources } from "../../shared/resources.ts";
import { Lanes, type Span } from "./lanes.ts";
import type { TryEnd } from "./record.ts";

/** Ends of calls that are told together came within that time. */
const TOLD_TOGETHER_MS = 20;

/** One try. Instants are 0 while they are not known. */
export interface Attempt {
  readonly taskId: number;
  readonly try: number;
  readonly workerId: string;
  readonly host: string;
  readonly isRecovery: boolean;
  readonly dispatchedAtMs: number;
  readonly allocated: Resources | undefined;
  /** Calls are handed to an instance before it has a slot for them: they start when their end says. */
  readonly isCall: boolean;
  /** That it keeps busy while it runs. */
  readonly cores: number;
  startedAtMs: number;
  endedAtMs: number;
  lane: number | undefined;
  /** An `Outcome`, or `returned` of one that came back before it had started. */
  outcome: string | undefined;
  message: string;
  /** What its task said of it when the next try began; until then its task does. */
  past: PastTry | undefined;
}

/** What a try left. */
export interface PastTry {
  readonly end: TryEnd | undefined;
  /** Of the task up to that try. */
  readonly failHistory: string;
}

/** When the process or call of a try began and how long it took, on the clock of its worker. */
export interface WorkerTimes {
  readonly startedAtMs: number;
  readonly ranMs: number;
}

interface WorkerTries {
  readonly host: string;
  readonly memoryBytes: number;
  readonly lanes: Lanes;
  readonly open: Set<Attempt>;
  /** The least by which the manager's clock was ahead of the worker's when it heard of an end. */
  aheadMs: number;
}

/** The tries of all workers that go on. */
export class Attempts {
  readonly #workers: Map<string, WorkerTries> = new Map();
  #startedCount = 0;
  #sampledAtMs = 0;
  /** Since the last sample: of tries that ended, core and try milliseconds. */
  #busyMs = 0;
  #shortMs = 0;

  /** Tries that have started and not ended. */
  get startedCount(): number {
    return this.#startedCount;
  }

  /** A worker is there. */
  join(workerId: string, { host, memoryBytes }: { host: string; memoryBytes: number }): void {
    const known = this.#workers.get(workerId);
    const { lanes = new Lanes(), open = new Set<Attempt>() } = known ?? {};
    this.#workers.set(workerId, { host, memoryBytes, lanes, open, aheadMs: Infinity });
  }

  /** Tries of a worker that go on, for whoever ends them. */
  openAt(workerId: string): readonly Attempt[] {
    return [...this.#workers.get(workerId)?.open ?? []];
  }

  /** Host of a worker; empty of one that never joined. */
  hostOf(workerId: string): string {
    return this.#workers.get(workerId)?.host ?? "";
  }

  /** Memory of a worker; 0 of one that never joined. */
  memoryOf(workerId: string): number {
    return this.#workers.get(workerId)?.memoryBytes ?? 0;
  }

  /** A try was given to its worker. */
  begin(
    attempt: Omit<
      Attempt,
      "host" | "startedAtMs" | "endedAtMs" | "lane" | "outcome" | "message" | "past"
    >,
  ): Attempt {
    const begun: Attempt = {
      ...attempt,
      host: this.hostOf(attempt.workerId),
      startedAtMs: 0,
      endedAtMs: 0,
      lane: undefined,
      outcome: undefined,
      message: "",
      past: undefined,
    };
    this.#workers.get(begun.workerId)?.open.add(begun);
    return begun;
  }

  /** A try started. */
  start(attempt: Attempt, atMs: number): void {
    if (attempt.startedAtMs !== 0 || attempt.endedAtMs !== 0) return;
    attempt.startedAtMs = atMs;
    this.#startedCount += 1;
    if (!attempt.isCall) attempt.lane = this.#workers.get(attempt.workerId)?.lanes.take(atMs);
  }

  /** A try ended, or came back; its worker may have said when it ran. */
  end(attempt: Attempt, atMs: number, times?: WorkerTimes): void {
    if (attempt.endedAtMs !== 0) return;
    const worker = this.#workers.get(attempt.workerId);
    worker?.open.delete(attempt);
    if (attempt.startedAtMs !== 0) this.#startedCount -= 1;
    const span = worker === undefined ? undefined : spanOf(worker, attempt, atMs, times);
    if (worker !== undefined && span !== undefined) {
      const isPlaced = attempt.lane !== undefined;
      const { lane, startMs } = isPlaced
        ? { lane: attempt.lane, startMs: attempt.startedAtMs }
        : worker.lanes.place(span);
      attempt.lane = lane;
      attempt.startedAtMs = startMs;
      atMs = Math.max(startMs, Math.min(atMs, (isPlaced ? span.latestMs : startMs) + span.ranMs));
    }
    attempt.endedAtMs = atMs;
    if (attempt.startedAtMs === 0) return;
    this.#count(attempt);
    if (attempt.lane !== undefined) worker?.lanes.free(attempt.lane, atMs);
  }

  /** The try is going to be shown: a call that runs has to be somewhere. */
  place(attempt: Attempt): void {
    if (attempt.lane !== undefined || attempt.startedAtMs === 0 || attempt.endedAtMs !== 0) return;
    attempt.lane = this.#workers.get(attempt.workerId)?.lanes.take(attempt.startedAtMs);
  }

  /**
   * Cores that were busy in the mean since the last sample, and tries that ran: those that do now,
   * and how many of the short ones did in the mean.
   */
  sample(atMs: number): { readonly coresBusy: number; readonly running: number } {
    const sinceMs = this.#sampledAtMs;
    const durationMs = Math.max(1, atMs - sinceMs);
    let busyMs = this.#busyMs;
    for (const { open } of this.#workers.values()) {
      for (const { startedAtMs, cores } of open) {
        if (startedAtMs > 0) busyMs += cores * Math.max(0, atMs - Math.max(startedAtMs, sinceMs));
      }
    }
    const running = this.#startedCount + Math.round(this.#shortMs / durationMs);
    this.#sampledAtMs = atMs;
    this.#busyMs = 0;
    this.#shortMs = 0;
    return { coresBusy: busyMs / durationMs, running };
  }

  #count({ startedAtMs, endedAtMs, cores }: Attempt): void {
    const ranMs = endedAtMs - Math.max(startedAtMs, this.#sampledAtMs);
    if (ranMs <= 0) return;
    this.#busyMs += cores * ranMs;
    this.#shortMs += ranMs;
  }
}

/**
 * When a try ran by the manager's clock; undefined of one that did not. Of one worker the message that was quickest tells how far
 * its clock is off; whatever that clock says, a try ran between its dispatch and its end. Short calls
 * are told of together: each of them ended at any time since the message before.
 */
function spanOf(
  worker: WorkerTries,
  { isCall, dispatchedAtMs, startedAtMs: toldAtMs }: Attempt,
  atMs: number,
  times: WorkerTimes | undefined,
): Span | undefined {
  if (times === undefined || times.startedAtMs === 0) {
    if (toldAtMs === 0) return undefined;
    return { earliestMs: toldAtMs, latestMs: toldAtMs, ranMs: Math.max(0, atMs - toldAtMs) };
  }
  const { startedAtMs, ranMs } = times;
  worker.aheadMs = Math.min(worker.aheadMs, atMs - startedAtMs - ranMs);
  const lastMs = Math.max(dispatchedAtMs, atMs - ranMs);
  const latestMs = Math.min(lastMs, Math.max(dispatchedAtMs, startedAtMs + worker.aheadMs));
  const isShort = isCall && ranMs < TOLD_TOGETHER_MS;
  const earliestMs = isShort ? Math.max(dispatchedAtMs, latestMs - TOLD_TOGETHER_MS) : latestMs;
  return { earliestMs, latestMs, ranMs };
}
