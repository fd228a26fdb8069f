/** Rows of calls of apps and their tries: Parsl's `task`, `try` and `status`, and `app_call`. */

import type { DatabaseSync, StatementSync } from "node:sqlite";

import type { Called, CallTry, OpenCall } from "./open_call.ts";
import { sqlTime, sqlTimeOrNull } from "./sql_time.ts";
import { insertInto, instantOrNull, type SqlValue, updateOf } from "./statement.ts";
import { StatusTable } from "./status_table.ts";

/** What Parsl calls the executor of joins, which run in the process of the script. */
const JOIN_EXECUTOR = "_parsl_internal";

/** What is written of calls of apps. */
export class AppTables {
  readonly #runId: string;
  readonly #statuses: StatusTable;
  readonly #insertCall: StatementSync;
  readonly #updateCall: StatementSync;
  readonly #insertTask: StatementSync;
  readonly #updateTask: StatementSync;
  readonly #insertTry: StatementSync;

  constructor(database: DatabaseSync, { runId }: { readonly runId: string }) {
    this.#runId = runId;
    this.#statuses = new StatusTable(database, runId);
    this.#insertCall = insertInto(database, "app_call", [...FIXED_COLUMNS, ...CHANGING_COLUMNS]);
    this.#updateCall = updateOf(database, "app_call", {
      columns: CHANGING_COLUMNS,
      key: "call_id = ?",
    });
    this.#insertTask = insertInto(database, "task", [...TASK_COLUMNS, ...TASK_ENDS]);
    this.#updateTask = updateOf(database, "task", {
      columns: TASK_ENDS,
      key: "task_id = ? AND run_id = ?",
    });
    this.#insertTry = insertInto(database, "try", TRY_COLUMNS);
  }

  /** Writes what of a call is not written, or has changed. */
  write(call: OpenCall): void {
    if (call.called === undefined) {
      this.#updateCall.run(...changingValues(call), call.callId);
      this.#updateTask.run(...taskEnd(call), call.callId, this.#runId);
    } else this.#insert(call, call.called);
    for (const one of call.tries ?? []) this.#writeTry(call.callId, one);
    this.#statuses.write(call.callId, call.takeStatuses());
    call.called = undefined;
    call.tries = undefined;
  }

  #insert(call: OpenCall, { sort, argumentText, dependsOn, detail = {} }: Called): void {
    const { callId, calledAtMs } = call;
    const { label, category, outputs, stdout, stderr } = detail;
    const depends = listOrNull(dependsOn);
    const made = listOrNull(outputs ?? []);
    this.#insertCall.run(
      callId,
      sort.app,
      sort.appKind,
      label ?? null,
      category ?? sort.app,
      sort.isMemoized ? 1 : 0,
      depends,
      argumentText,
      made,
      stdout ?? null,
      stderr ?? null,
      calledAtMs,
      ...changingValues(call),
    );
    this.#insertTask.run(
      callId,
      this.#runId,
      depends ?? "",
      sort.app,
      sort.isMemoized ? "True" : "False",
      argumentText,
      made,
      stdout ?? null,
      stderr ?? null,
      sqlTime(calledAtMs),
      ...taskEnd(call),
    );
  }

  #writeTry(callId: number, one: CallTry): void {
    const { executor, failHistory, joins, runningAtMs, returnedAtMs } = one;
    this.#insertTry.run(
      one.try - 1,
      callId,
      this.#runId,
      one.host === "" ? null : one.host,
      executor === "" ? JOIN_EXECUTOR : executor,
      sqlTime(one.launchedAtMs),
      runningAtMs === 0 ? null : sqlTime(runningAtMs),
      returnedAtMs === 0 ? null : sqlTime(returnedAtMs),
      failHistory === "" ? null : failHistory,
      listOrNull(joins),
    );
  }
}

const FIXED_COLUMNS: readonly string[] = [
  "call_id",
  "app",
  "kind",
  "label",
  "category",
  "is_memoized",
  "depends",
  "argument_text",
  "outputs",
  "stdout",
  "stderr",
  "called_at_ms",
];

const CHANGING_COLUMNS: readonly string[] = [
  "executor",
  "state",
  "memo_key",
  "is_memo_hit",
  "try_count",
  "fail_count",
  "fail_cost",
  "joins",
  "message",
  "launched_at_ms",
  "started_at_ms",
  "ended_at_ms",
  "host",
  "task_id",
  "earlier_tasks",
];

const TASK_COLUMNS: readonly string[] = [
  "task_id",
  "run_id",
  "task_depends",
  "task_func_name",
  "task_memoize",
  "task_inputs",
  "task_outputs",
  "task_stdout",
  "task_stderr",
  "task_time_invoked",
];

const TASK_ENDS: readonly string[] = [
  "task_hashsum",
  "task_time_returned",
  "task_fail_count",
  "task_fail_cost",
];

const TRY_COLUMNS: readonly string[] = [
  "try_id",
  "task_id",
  "run_id",
  "hostname",
  "task_executor",
  "task_try_time_launched",
  "task_try_time_running",
  "task_try_time_returned",
  "task_fail_history",
  "task_joins",
];

/** The values of `CHANGING_COLUMNS`. */
function changingValues(call: OpenCall): SqlValue[] {
  const { lastTry, joins } = call;
  const { host = "", taskId = 0, executor = call.executor } = lastTry ?? {};
  return [
    executor,
    call.state,
    call.memoKey ?? null,
    call.state === "memo_done" ? 1 : 0,
    call.tryCount,
    call.failCount,
    call.failCost,
    listOrNull(joins),
    call.message,
    instantOrNull(call.launchedAtMs),
    instantOrNull(lastTry?.runningAtMs ?? 0),
    instantOrNull(call.endedAtMs),
    host === "" ? null : host,
    taskId === 0 ? null : taskId,
    listOrNull(call.earlierTasks ?? []),
  ];
}

/** The values of `TASK_ENDS`. */
function taskEnd({ memoKey, endedAtMs, failCount, failCost }: OpenCall): SqlValue[] {
  const returned = endedAtMs === 0 ? undefined : endedAtMs;
  return [memoKey ?? null, sqlTimeOrNull(returned), failCount, failCost];
}

function listOrNull(list: readonly (number | string)[]): string | null {
  return list.length === 0 ? null : list.join(",");
}
