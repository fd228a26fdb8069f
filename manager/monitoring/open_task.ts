/** A task as the record process remembers it from its submission until it has ended. */

import type { Resources } from "../../shared/resources.ts";
import type { Attempt } from "./attempts.ts";
import type { MountRecord, TaskSort, TryEnd } from "./record.ts";

/** A name of Parsl's for where a task stands. */
export type ParslStatus =
  | "pending"
  | "launched"
  | "running"
  | "running_ended"
  | "exec_done"
  | "failed"
  | "dep_fail"
  | "fail_retryable";

/** What the times of Parsl's tables can tell apart, which are rounded to half of it. */
const TICK_MS = 0.002;

/** A row of the table `status`. */
export interface StatusRow {
  readonly name: ParslStatus;
  readonly atMs: number;
  /** Counted from 1. */
  readonly try: number;
}

/** What a task is from its submission on; forgotten once it is in the database. */
export interface Submission {
  readonly sort: TaskSort;
  readonly tag: string | undefined;
  readonly mounts: readonly MountRecord[];
  /** -1 while they are not known; undefined of a command. */
  readonly argumentBytes: number | undefined;
  /** Tasks that it waits for. */
  readonly depends: readonly number[];
}

/** The call of an app that a task is a try of. */
export interface TriedCall {
  readonly callId: number;
  /** Tells it that the process of the try began or ended; undefined where it is not known. */
  readonly note: ((status: ParslStatus, atMs: number, host: string) => void) | undefined;
  /** Number of the try, from 1; 0 while it is not known. */
  readonly tryNumber: () => number;
}

/** The end of a try after which its task may go on: what becomes of it is told later. */
export interface LooseEnd {
  readonly atMs: number;
  readonly try: number;
  /** False of a try that was stopped, or came back. */
  readonly isFailure: boolean;
}

/** How a task ended. */
export interface Ending {
  readonly outcome: string;
  readonly message: string;
  readonly mount: string | undefined;
  readonly atMs: number;
}

/** One task. What changes at each try is that of the last one. */
export class OpenTask {
  readonly taskId: number;
  readonly submittedAtMs: number;
  /** Name of its library, of a call. */
  readonly library: string | undefined;
  /** It has settled, and runs to remake a temp. */
  readonly isRecovery: boolean;
  /** Parsl's tables have the call, and not the task. */
  readonly triedCall: TriedCall | undefined;
  /** Undefined once its rows are in the database. */
  submission: Submission | undefined;
  state: "pending" | "dispatched" | "running" | "retrieving" | "done" = "pending";
  tryCount = 0;
  /** Of the last try. */
  attempt: Attempt | undefined = undefined;
  allocated: Resources | undefined = undefined;
  end: TryEnd | undefined = undefined;
  ending: Ending | undefined = undefined;
  looseEnd: LooseEnd | undefined = undefined;
  failCount = 0;
  failHistory = "";
  /** Of a recovery: its task has been told of it. */
  isCounted = false;
  /** True while it waits to be written. */
  isDirty = false;
  #notedAtMs = 0;
  /** Its row has had values in columns that are null of most calls. */
  hasRare = false;
  /** Rows that are not written yet, or have changed since. */
  attempts: Attempt[] | undefined = undefined;
  statuses: StatusRow[] | undefined = undefined;

  constructor(
    { taskId, submittedAtMs, library, submission, isRecovery, triedCall }: Pick<
      OpenTask,
      "taskId" | "submittedAtMs" | "library" | "submission" | "isRecovery" | "triedCall"
    >,
  ) {
    this.taskId = taskId;
    this.submittedAtMs = submittedAtMs;
    this.library = library;
    this.submission = submission;
    this.isRecovery = isRecovery;
    this.triedCall = triedCall;
  }

  /** It stands elsewhere, in Parsl's words; those know nothing of recoveries. */
  note(name: ParslStatus, atMs: number, number: number = this.tryCount): void {
    if (this.isRecovery) return;
    if (this.triedCall !== undefined) {
      return this.triedCall.note?.(name, atMs, this.attempt?.host ?? "");
    }
    // In the order in which it passed them, as tables are sorted by time.
    this.#notedAtMs = Math.max(atMs, this.#notedAtMs + TICK_MS);
    this.statuses ??= [];
    this.statuses.push({ name, atMs: this.#notedAtMs, try: number });
  }

  /** The row of a try is new or has changed. */
  touch(attempt: Attempt): void {
    this.attempts ??= [];
    if (!this.attempts.includes(attempt)) this.attempts.push(attempt);
  }
}
