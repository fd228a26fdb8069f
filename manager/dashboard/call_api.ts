/** What the dashboard's pages ask of calls of apps, and are answered. */

import type { AppKind, AppState } from "../core/fact.ts";

/** Every state of a call of an app, in the order in which it passes them. */
export const APP_STATES: readonly AppState[] = [
  "pending",
  "launched",
  "running",
  "joining",
  "fail_retryable",
  "exec_done",
  "memo_done",
  "failed",
  "dep_fail",
  "cancelled",
];

/** By what tables of calls can be sorted. */
export const CALL_SORTS = ["id", "app", "state", "try", "host", "called", "ran"] as const;

/** One of these. */
export type CallSort = typeof CALL_SORTS[number];

/** Which calls are wanted. */
export interface CallFilter {
  /** Words that must all be in the app, label, arguments, message, host, memo key or number. */
  readonly search?: string;
  readonly states?: readonly AppState[];
  readonly app?: string;
}

/** What is asked of calls of apps. */
export type CallQuestion =
  | CallFilter & {
    readonly kind: "calls";
    readonly sort: CallSort;
    readonly isDescending: boolean;
    readonly offset: number;
    /** At most `ROWS_MAX`. */
    readonly limit: number;
  }
  | { readonly kind: "call"; readonly callId: number }
  | { readonly kind: "apps" };

/** One call in a table. */
export interface CallRow {
  readonly callId: number;
  readonly app: string;
  readonly appKind: AppKind;
  readonly label: string | null;
  /** Label of the executor; empty of a join, which runs in the script's process. */
  readonly executor: string;
  readonly state: AppState;
  /** Number of the last try; 0 when there was none. */
  readonly try: number;
  /** The arguments, shortened. */
  readonly argumentText: string;
  /** Of one that failed or will be tried again: why. */
  readonly message: string;
  readonly host: string | null;
  /** The task that its last try is; null where another executor than the manager ran it. */
  readonly taskId: number | null;
  readonly calledAtMs: number;
  readonly launchedAtMs: number | null;
  readonly endedAtMs: number | null;
  /** From its launch to its end. */
  readonly ranMs: number | null;
  readonly memoKey: string | null;
}

/** One call, with all that is recorded of it. */
export interface CallDetail extends CallRow {
  readonly category: string | null;
  readonly isMemoized: boolean;
  readonly failCost: number;
  /** Calls that it waited for; each list at most `ROWS_MAX`. */
  readonly depends: readonly number[];
  /** Calls that it joined. */
  readonly joins: readonly number[];
  readonly outputs: readonly string[];
  readonly stdout: string | null;
  readonly stderr: string | null;
  readonly tries: readonly CallTryRow[];
  /** Of one that failed as others did: from what it waited for to the call that failed itself. */
  readonly causes: readonly Pick<CallRow, "callId" | "app" | "message">[];
  /** It is from a report that had no room for more than its row of the table. */
  readonly isPartial: boolean;
}

/** One try of a call. */
export interface CallTryRow {
  readonly try: number;
  readonly executor: string;
  readonly host: string | null;
  /** The task that it is. */
  readonly taskId: number | null;
  readonly launchedAtMs: number;
  readonly endedAtMs: number | null;
  /** Why it failed. */
  readonly message: string | null;
}

/** All calls of one app. */
export interface AppRow {
  /** The name of the app. */
  readonly app: string;
  /** Calls of it so far. */
  readonly calls: number;
  /** `{state: how many}`, of those that there are. */
  readonly states: { readonly [State in AppState]?: number };
}

/** Answers to these questions. */
export interface CallAnswers {
  readonly calls: CallRows;
  readonly call: CallDetail | null;
  readonly apps: readonly AppRow[];
}

/** A part of the table of calls. */
export interface CallRows {
  /** Of all that fit, of which `rows` is a part. */
  readonly total: number;
  readonly rows: readonly CallRow[];
}
