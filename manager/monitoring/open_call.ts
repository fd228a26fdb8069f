/** A call of an app as the record process remembers it from the call until it has ended. */

import type { AppState } from "../core/fact.ts";
import type { ParslStatus, StatusRow } from "./open_task.ts";
import type { AppCallDetail, AppSort } from "./record.ts";

/** What a call is from the beginning; forgotten once it is in the database. */
export interface Called {
  readonly sort: AppSort;
  readonly argumentText: string;
  readonly dependsOn: readonly number[];
  readonly detail: AppCallDetail | undefined;
}

/** One try of a call. Instants are 0 while they are not known. */
export interface CallTry {
  /** From 1. */
  readonly try: number;
  readonly executor: string;
  /** The task that it is; 0 of one that another executor runs. */
  readonly taskId: number;
  readonly launchedAtMs: number;
  host: string;
  runningAtMs: number;
  returnedAtMs: number;
  /** Of the call up to its end. */
  failHistory: string;
  joins: readonly number[];
}

/** States after which nothing follows. */
const FINAL_STATES: ReadonlySet<AppState> = new Set([
  "exec_done",
  "memo_done",
  "failed",
  "dep_fail",
  "cancelled",
]);

/** Of those that come at one instant, which comes first; those of one try. */
const STATUS_ORDER: readonly CallStatus[] = [
  "fail_retryable",
  "pending",
  "launched",
  "running",
  "running_ended",
  "joining",
  "exec_done",
  "memo_done",
  "failed",
  "dep_fail",
];

const STATUS_RANKS: ReadonlyMap<CallStatus, number> = new Map(
  STATUS_ORDER.map((status, index) => [status, index]),
);

/** What the times of Parsl's tables can tell apart, which are rounded to half of it. */
const TICK_MS = 0.002;

/** A name of Parsl's for where a call stands. */
export type CallStatus = ParslStatus | "joining" | "memo_done";

/** A row of the table `status`, of a call. */
export interface CallStatusRow extends Omit<StatusRow, "name"> {
  readonly name: CallStatus;
}

/** One call. */
export class OpenCall {
  readonly callId: number;
  readonly calledAtMs: number;
  /** Label of the executor that it was meant for. */
  readonly executor: string;
  /** Undefined once its row is in the database. */
  called: Called | undefined;
  state: AppState = "pending";
  tryCount = 0;
  failCount = 0;
  failCost = 0;
  failHistory = "";
  memoKey: string | undefined = undefined;
  message = "";
  joins: readonly number[] = [];
  launchedAtMs = 0;
  endedAtMs = 0;
  /** Tasks of the tries before the last, 0 of one that was none. */
  earlierTasks: number[] | undefined = undefined;
  /** Undefined before there was one. */
  lastTry: CallTry | undefined = undefined;
  /** True while it waits to be written. */
  isDirty = false;
  /** Rows that are not written yet, or have changed since. */
  tries: CallTry[] | undefined = undefined;
  statuses: CallStatusRow[] | undefined = undefined;

  constructor({ callId, calledAtMs, called }: {
    readonly callId: number;
    readonly calledAtMs: number;
    readonly called: Called;
  }) {
    this.callId = callId;
    this.calledAtMs = calledAtMs;
    this.executor = called.sort.executor;
    this.called = called;
    this.note("pending", calledAtMs, 1);
  }

  /** True when nothing follows. */
  get hasEnded(): boolean {
    return FINAL_STATES.has(this.state);
  }

  /** It stands elsewhere, in Parsl's words. */
  note(name: CallStatus, atMs: number, number: number = this.tryCount): void {
    this.statuses ??= [];
    this.statuses.push({ name, atMs, try: number });
  }

  /** The try that a task is, if that is known and is one of the last. */
  tryOf(taskId: number): CallTry | undefined {
    if (this.lastTry?.taskId === taskId) return this.lastTry;
    return this.tries?.find((one) => one.taskId === taskId);
  }

  /** The row of a try is new or has changed. */
  touch(one: CallTry): void {
    this.tries ??= [];
    if (!this.tries.includes(one)) this.tries.push(one);
  }

  /**
   * What is to be written of its statuses, in the order in which it passed them: tasks and calls are
   * told of apart. Of two at one instant the later has a later time, as tables are sorted by it.
   */
  takeStatuses(): readonly CallStatusRow[] {
    const { statuses = [] } = this;
    this.statuses = undefined;
    if (statuses.length < 2) return statuses;
    statuses.sort((a, b) => a.atMs - b.atMs || a.try - b.try || rankOf(a) - rankOf(b));
    let beforeMs = 0;
    return statuses.map((status) => {
      const atMs = Math.max(status.atMs, beforeMs + TICK_MS);
      beforeMs = atMs;
      return atMs === status.atMs ? status : { ...status, atMs };
    });
  }
}

function rankOf({ name }: CallStatusRow): number {
  return STATUS_RANKS.get(name) ?? 0;
}
