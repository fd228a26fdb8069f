/**
 * Follows calls of apps through their records, and tells which of them have to be written: a call
 * that came and went since the last time is written once.
 *
 * @module
 */

import type { AppState } from "../core/fact.ts";
import { APP_STATES } from "../dashboard/call_api.ts";
import { type CallTry, OpenCall } from "./open_call.ts";
import type { ParslStatus, TriedCall } from "./open_task.ts";
import type { AppStateDetail, RecordOf } from "./record.ts";

/** Characters that are kept of the messages of a call's failures. */
const HISTORY_CHARS_MAX = 2_000;

/** One row of the columns of states. */
interface Move {
  readonly atMs: number;
  readonly state: AppState;
  readonly try: number;
  readonly taskId: number;
  readonly executor: string;
  readonly host: string;
  readonly detail: AppStateDetail | undefined;
}

/** The calls of apps of a run that have not ended, or are not written. */
export class AppLife {
  readonly #calls: Map<number, OpenCall> = new Map();
  /** Calls to be written, but for the first `#writtenCount`. */
  #dirty: OpenCall[] = [];
  #writtenCount = 0;
  /** As Parsl counts them: those that ran and gave something, and those that failed themselves. */
  doneCount = 0;
  failedCount = 0;

  /** How many wait to be written. */
  get dirtyCount(): number {
    return this.#dirty.length - this.#writtenCount;
  }

  /** How many are remembered. */
  get openCount(): number {
    return this.#calls.size;
  }

  /** The next call to be written, oldest first; it is forgotten if it has ended. */
  takeDirty(): OpenCall | undefined {
    const call = this.#dirty[this.#writtenCount];
    if (call === undefined) {
      this.#dirty = [];
      this.#writtenCount = 0;
      return undefined;
    }
    this.#writtenCount += 1;
    call.isDirty = false;
    if (call.hasEnded) this.#calls.delete(call.callId);
    return call;
  }

  call(record: RecordOf<"apps_called">): void {
    const { sorts, sort, atMs, callId, argumentText, dependsOn } = record;
    const details = new Map(record.details);
    for (let row = 0; row < callId.length; row++) {
      const common = sorts[sort[row] ?? 0];
      const id = callId[row];
      if (common === undefined || id === undefined) continue;
      const call = new OpenCall({
        callId: id,
        calledAtMs: atMs[row] ?? 0,
        called: {
          sort: common,
          argumentText: argumentText[row] ?? "",
          dependsOn: dependsOn[row] ?? [],
          detail: details.get(row),
        },
      });
      this.#calls.set(id, call);
      this.#touch(call);
    }
  }

  move(record: RecordOf<"app_states">): void {
    const { callId, names } = record;
    const details = new Map(record.details);
    for (let row = 0; row < callId.length; row++) {
      const call = this.#calls.get(callId[row] ?? 0);
      const state = APP_STATES[record.state[row] ?? 0];
      if (call === undefined || state === undefined || call.hasEnded) continue;
      this.#move(call, {
        atMs: record.atMs[row] ?? 0,
        state,
        try: record.try[row] ?? 0,
        taskId: record.taskId[row] ?? 0,
        executor: names[record.executor[row] ?? 0] ?? "",
        host: names[record.host[row] ?? 0] ?? "",
        detail: details.get(row),
      });
    }
  }

  /** The call as a task knows it that is a try of it. */
  triedBy(callId: number, taskId: number): TriedCall {
    const call = this.#calls.get(callId);
    if (call === undefined) return { callId, note: undefined, tryNumber: () => 0 };
    return {
      callId,
      note: (status, atMs, host) => this.#noteRun(call, { taskId, status, atMs, host }),
      tryNumber: () => call.tryOf(taskId)?.try ?? 0,
    };
  }

  /** The process of a task that is a try of the call began or ended at that host. */
  #noteRun(
    call: OpenCall,
    { taskId, status, atMs, host }: {
      readonly taskId: number;
      readonly status: ParslStatus;
      readonly atMs: number;
      readonly host: string;
    },
  ): void {
    if (status !== "running" && status !== "running_ended") return;
    const one = call.tryOf(taskId);
    if (one === undefined) return;
    one.host = host;
    if (status === "running") {
      one.runningAtMs = atMs;
      const isLast = one === call.lastTry && call.state === "launched";
      if (isLast) call.state = "running";
    }
    call.note(status, atMs, one.try);
    call.touch(one);
    this.#touch(call);
  }

  #move(call: OpenCall, move: Move): void {
    const { atMs, state, detail } = move;
    // It is so from the beginning, and need not be told.
    if (state === "pending" && call.state === "pending") return;
    // The task that the try is says when it runs.
    if (state === "running" && (call.lastTry?.taskId ?? 0) > 0) return;
    // A join is tried once, and not counted.
    const number = move.try === 0 && isOfTry(state) ? 1 : move.try;
    call.tryCount = Math.max(call.tryCount, number);
    if (detail?.memoKey !== undefined) call.memoKey = detail.memoKey;
    if (detail?.joins !== undefined) call.joins = detail.joins;
    call.message = detail?.message ?? (isGood(state) ? "" : call.message);
    const one = tryOf(call, { ...move, try: number });
    if (one !== undefined) {
      follow(one, move);
      call.touch(one);
    }
    call.state = state;
    if (state === "launched") call.launchedAtMs ||= atMs;
    // A failed try: what it comes to is told by whoever decides on retries.
    if (state === "fail_retryable" || state === "failed") noteFailure(call, one, detail);
    if (call.hasEnded) call.endedAtMs = atMs;
    if (state === "exec_done") this.doneCount += 1;
    if (state === "failed" || state === "cancelled") this.failedCount += 1;
    // Parsl knows no calls that are called off; of the next try it waits for the number is told.
    const noted = state === "pending" ? call.tryCount + 1 : call.tryCount;
    call.note(state === "cancelled" ? "failed" : state, atMs, noted);
    this.#touch(call);
  }

  #touch(call: OpenCall): void {
    if (call.isDirty) return;
    call.isDirty = true;
    this.#dirty.push(call);
  }
}

function isOfTry(state: AppState): boolean {
  return state === "launched" || state === "running" || state === "joining";
}

function isGood(state: AppState): boolean {
  return state === "exec_done" || state === "memo_done";
}

/** The try that the state is about: the last, or a new one. */
function tryOf(call: OpenCall, { state, try: number, ...move }: Move): CallTry | undefined {
  const last = call.lastTry;
  if (last !== undefined && last.try >= number) return last;
  if (!isOfTry(state)) return undefined;
  if (last !== undefined) (call.earlierTasks ??= []).push(last.taskId);
  return call.lastTry = {
    try: number,
    executor: move.executor === "" ? call.executor : move.executor,
    taskId: move.taskId,
    launchedAtMs: move.atMs,
    host: move.host,
    runningAtMs: 0,
    returnedAtMs: 0,
    failHistory: call.failHistory,
    joins: [],
  };
}

function follow(one: CallTry, { atMs, state, host, detail }: Move): void {
  if (host !== "") one.host = host;
  if (detail?.joins !== undefined) one.joins = detail.joins;
  if (state === "running" && one.runningAtMs === 0) one.runningAtMs = atMs;
  const isOver = state === "fail_retryable" || state === "exec_done" || state === "failed" ||
    state === "cancelled";
  if (isOver && one.returnedAtMs === 0) one.returnedAtMs = atMs;
}

function noteFailure(
  call: OpenCall,
  one: CallTry | undefined,
  detail: AppStateDetail | undefined,
): void {
  const said = detail?.message ?? call.state;
  call.failCount += 1;
  call.failCost = detail?.failCost ?? call.failCost + 1;
  const history = call.failHistory === "" ? said : `${call.failHistory}, ${said}`;
  call.failHistory = history.slice(0, HISTORY_CHARS_MAX);
  if (one !== undefined) one.failHistory = call.failHistory;
}
