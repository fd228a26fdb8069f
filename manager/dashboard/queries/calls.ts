/** Calls of apps: tables of them, one with all that is recorded, and how each app stands. */

import type { DatabaseSync, SQLInputValue } from "node:sqlite";

import type { AppState } from "../../core/fact.ts";
import { ROWS_MAX } from "../api.ts";
import {
  APP_STATES,
  type AppRow,
  type CallDetail,
  type CallFilter,
  type CallQuestion,
  type CallRow,
  type CallRows,
  type CallSort,
  type CallTryRow,
} from "../call_api.ts";
import { likePattern, searchedNumber, searchWords } from "../search_words.ts";
import { all, first, tuples } from "./statement.ts";

type CallsQuestion = Extract<CallQuestion, { readonly kind: "calls" }>;

/** Of arguments and messages a table tells that many characters; the call's page has all. */
const TEXT_CHARS_MAX = 400;

/** Calls that are followed from one that could not run to the one that failed. */
const CAUSES_MAX = 50;

const COLUMNS = `call_id AS callId, app, kind AS appKind, label, executor, state, try_count AS try,
  host, task_id AS taskId, round(called_at_ms) AS calledAtMs,
  round(launched_at_ms) AS launchedAtMs, round(ended_at_ms) AS endedAtMs,
  round(ended_at_ms - launched_at_ms, 3) AS ranMs, memo_key AS memoKey`;

/** `CallRow` of a table. */
const ROW_COLUMNS = `${COLUMNS}, substr(argument_text, 1, ${TEXT_CHARS_MAX}) AS argumentText,
  substr(message, 1, ${TEXT_CHARS_MAX}) AS message`;

const STATE_RANK = APP_STATES.map((state, rank) => `WHEN '${state}' THEN ${rank}`).join(" ");

const KEYS: { readonly [Sort in CallSort]: string } = {
  id: "call_id",
  app: "app",
  state: `CASE state ${STATE_RANK} END`,
  try: "try_count",
  host: "host",
  called: "round(called_at_ms)",
  ran: "round(ended_at_ms - launched_at_ms, 3)",
};

/** Answers `calls`; what is not known comes last in either direction. */
export function answerCalls(db: DatabaseSync, question: CallsQuestion): CallRows {
  const { sql, values } = conditionOf(question);
  const key = KEYS[question.sort];
  const direction = question.isDescending ? "DESC" : "ASC";
  const order = question.sort === "id"
    ? `call_id ${direction}`
    : `${key} IS NULL, ${key} ${direction}, call_id`;
  const rows = all<CallRow>(
    db,
    `SELECT ${ROW_COLUMNS} FROM app_call WHERE ${sql} ORDER BY ${order} LIMIT ? OFFSET ?`,
    ...values,
    question.limit,
    question.offset,
  );
  return { total: countCalls(db, sql, values), rows };
}

/** Answers `apps`: those that were called first come first. */
export function answerApps(db: DatabaseSync): readonly AppRow[] {
  const apps = new Map<string, { app: string; calls: number; states: Partial<Counts> }>();
  const rows = tuples<[app: string, state: AppState, count: number]>(
    db,
    "SELECT app, state, count(*) FROM app_call GROUP BY app, state ORDER BY min(call_id)",
  );
  for (const [app, state, count] of rows) {
    let known = apps.get(app);
    if (known === undefined) {
      if (apps.size === ROWS_MAX) continue;
      apps.set(app, known = { app, calls: 0, states: {} });
    }
    known.calls += count;
    known.states[state] = count;
  }
  return [...apps.values()];
}

type Counts = { [State in AppState]: number };

/** All calls, at most `max`, for a report: those that failed are not left out before others. */
export function allCalls(db: DatabaseSync, max: number): CallRows {
  const rows = all<CallRow>(
    db,
    `SELECT * FROM (
       SELECT ${ROW_COLUMNS} FROM app_call
       ORDER BY state NOT IN ('failed', 'dep_fail'), call_id LIMIT ?
     ) ORDER BY callId`,
    max,
  );
  return { total: countCalls(db, "TRUE", []), rows };
}

type Flat =
  & CallRow
  & Pick<CallDetail, "category" | "failCost" | "stdout" | "stderr">
  & {
    readonly isMemoized: number;
    readonly depends: string | null;
    readonly joins: string | null;
    readonly outputs: string | null;
    readonly exactLaunchedAtMs: number | null;
    readonly earlierTasks: string | null;
  };

/** Answers `call`. */
export function answerCall(db: DatabaseSync, callId: number): CallDetail | null {
  const flat = first<Flat>(
    db,
    `SELECT ${COLUMNS}, argument_text AS argumentText, message, category, is_memoized AS isMemoized,
       fail_cost AS failCost, depends, joins, outputs, stdout, stderr,
       launched_at_ms AS exactLaunchedAtMs, earlier_tasks AS earlierTasks
     FROM app_call WHERE call_id = ?`,
    callId,
  );
  if (flat === undefined) return null;
  const { exactLaunchedAtMs: launchedAtMs, earlierTasks, ...row } = flat;
  const tasks = [...idsOf(earlierTasks), row.taskId ?? 0];
  const depends = idsOf(row.depends);
  const joins = idsOf(row.joins);
  return {
    ...row,
    isMemoized: row.isMemoized !== 0,
    depends: depends.slice(0, ROWS_MAX),
    joins: joins.slice(0, ROWS_MAX),
    outputs: listOf(row.outputs),
    tries: triesOf(db, row, { launchedAtMs, tasks }),
    causes: causesOf(db, callId, [...depends, ...joins]),
    isPartial: false,
  };
}

/** What of a list of ids with commas is one. */
export function idsOf(list: string | null): readonly number[] {
  return listOf(list).map(Number);
}

function listOf(list: string | null): readonly string[] {
  return list === null || list === "" ? [] : list.split(",");
}

interface TryRowText {
  readonly tryId: number;
  readonly executor: string;
  readonly host: string | null;
  readonly launched: string;
  readonly returned: string | null;
  readonly failures: string | null;
}

/**
 * Parsl's table has them, in local time of where they were written: what that is beside ours is told
 * by the first launch, which both have.
 */
function triesOf(
  db: DatabaseSync,
  { callId, try: count }: CallRow,
  { launchedAtMs, tasks }: {
    readonly launchedAtMs: number | null;
    readonly tasks: readonly number[];
  },
): readonly CallTryRow[] {
  const rows = all<TryRowText>(
    db,
    `SELECT try_id AS tryId, task_executor AS executor, hostname AS host,
       task_try_time_launched AS launched, task_try_time_returned AS returned,
       task_fail_history AS failures
     FROM try WHERE try_id IN (SELECT value FROM json_each(?)) AND task_id = ? ORDER BY try_id`,
    JSON.stringify(Array.from({ length: Math.min(count, ROWS_MAX) }, (_, index) => index)),
    callId,
  );
  const [earliest] = rows;
  const offsetMs = earliest === undefined ? 0 : (launchedAtMs ?? 0) - localMs(earliest.launched);
  return rows.map(({ tryId, executor, host, launched, returned, failures }, index) => ({
    try: tryId + 1,
    executor,
    host,
    taskId: tasks[tryId] || null,
    launchedAtMs: Math.round(localMs(launched) + offsetMs),
    endedAtMs: returned === null ? null : Math.round(localMs(returned) + offsetMs),
    message: ownFailure(failures, rows[index - 1]?.failures ?? null),
  }));
}

/** A try says what went wrong up to its end: what it adds to the one before is its own. */
function ownFailure(all: string | null, before: string | null): string | null {
  if (all === before) return null;
  return before !== null && all?.startsWith(`${before}, `) ? all.slice(before.length + 2) : all;
}

/** An instant of Parsl's tables as if it were one of UTC: only what is between two of them counts. */
function localMs(text: string): number {
  return Date.parse(`${text.slice(0, 10)}T${text.slice(11, 23)}Z`);
}

/** From call to call along those that failed, until one that failed itself. */
function causesOf(
  db: DatabaseSync,
  callId: number,
  depends: readonly number[],
): CallDetail["causes"] {
  const causes: CallDetail["causes"][number][] = [];
  const seen = new Set([callId]);
  let wanted = depends;
  while (causes.length < CAUSES_MAX && wanted.length > 0) {
    const cause = first<
      { callId: number; app: string; message: string; depends: string | null; joins: string | null }
    >(
      db,
      `SELECT call_id AS callId, app, message, depends, joins FROM app_call
       WHERE call_id IN (SELECT value FROM json_each(?))
         AND state IN ('failed', 'dep_fail', 'cancelled')
       ORDER BY state = 'dep_fail', call_id LIMIT 1`,
      JSON.stringify(wanted),
    );
    if (cause === undefined || seen.has(cause.callId)) return causes;
    seen.add(cause.callId);
    const { depends: next, joins, ...told } = cause;
    causes.push(told);
    wanted = [...idsOf(next), ...idsOf(joins)];
  }
  return causes;
}

function countCalls(db: DatabaseSync, sql: string, values: readonly SQLInputValue[]): number {
  const row = first<{ count: number }>(
    db,
    `SELECT count(*) AS count FROM app_call WHERE ${sql}`,
    ...values,
  );
  return row?.count ?? 0;
}

const SEARCHED = ["app", "label", "argument_text", "message", "host", "memo_key"] as const;

/** The rows of `app_call` that a filter lets pass. */
function conditionOf({ states, app, search }: CallFilter): {
  readonly sql: string;
  readonly values: readonly SQLInputValue[];
} {
  const parts = ["TRUE"];
  const values: SQLInputValue[] = [];
  if (states !== undefined) {
    parts.push(`state IN (${states.map(() => "?").join(", ")})`);
    values.push(...states);
  }
  if (app !== undefined) {
    parts.push("app = ?");
    values.push(app);
  }
  for (const word of searchWords(search)) {
    const like = SEARCHED.map((column) => `${column} LIKE ? ESCAPE '\\'`);
    parts.push(`(${like.join(" OR ")} OR call_id = ?)`);
    values.push(...SEARCHED.map(() => likePattern(word)), searchedNumber(word));
  }
  return { sql: parts.join(" AND "), values };
}
