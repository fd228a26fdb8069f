/** Tables of a manager that are asked for in parts. */

import type { CacheLevel } from "../shared/task.ts";
import type { ClientConnection } from "./client.ts";
import type { Explanation } from "./core/explanation.ts";
import {
  type FileRow,
  ROWS_MAX,
  type TaskRow,
  type TaskRowFilter,
  type TaskSelection,
  type TaskSort,
} from "./client_protocol.ts";
import type { CallFilter, CallRow } from "./dashboard/call_api.ts";
import type { FileKind } from "./file_entry.ts";
import type { TaskStateName } from "./task_handle.ts";

/** Which tasks are wanted. */
export interface TaskQuery {
  readonly selection: TaskSelection;
  /** Empty: in whatever state. */
  readonly states?: readonly TaskStateName[];
  /** Leaves out those that have not failed. */
  readonly isFailed?: boolean;
  readonly filter?: TaskRowFilter;
  /** Rows at most; default all. */
  readonly limit?: number | undefined;
  /** Those with most of it first, `SORTED_ROWS_MAX` at most; default by id. */
  readonly sort?: TaskSort | undefined;
}

/** Which files are wanted. */
export interface FileQuery {
  /** Empty: all. */
  readonly levels?: readonly CacheLevel[];
  readonly kinds?: readonly FileKind[];
}

/** Rows that fit, and whether there are more. */
export async function taskTable(
  connection: Pick<ClientConnection, "ask">,
  { selection, states = [], isFailed = false, filter, limit = Infinity, sort }: TaskQuery,
): Promise<{ readonly rows: TaskRow[]; readonly hasMore: boolean }> {
  const rows: TaskRow[] = [];
  for (let after = 0;;) {
    const left = limit - rows.length;
    const { tasks, hasMore } = await connection.ask({
      kind: "tasks",
      selection,
      states,
      isFailed,
      after,
      ...(filter === undefined ? {} : { filter }),
      ...(left === Infinity ? {} : { limit: left }),
      ...(sort === undefined ? {} : { sort }),
    });
    rows.push(...tasks);
    const last = tasks.at(-1)?.id ?? 0;
    // A part that does not go on would go on for ever.
    const isOver = sort !== undefined || rows.length >= limit || last <= after;
    if (!hasMore || isOver) return { rows, hasMore };
    after = last;
  }
}

/** Every row that fits, by id. */
export async function taskRows(
  connection: Pick<ClientConnection, "ask">,
  query: Omit<TaskQuery, "limit" | "sort">,
): Promise<TaskRow[]> {
  return (await taskTable(connection, query)).rows;
}

/** Calls of apps that fit, by id, so many at most; and how many there are in all. */
export async function callTable(
  connection: Pick<ClientConnection, "ask">,
  { limit = Infinity, ...filter }: CallFilter & { readonly limit?: number | undefined },
): Promise<{ readonly rows: readonly CallRow[]; readonly total: number }> {
  const rows: CallRow[] = [];
  while (true) {
    const wanted = Math.min(limit - rows.length, ROWS_MAX);
    const part = { kind: "calls", ...filter, offset: rows.length, limit: wanted } as const;
    const { calls, total } = await connection.ask(part);
    rows.push(...calls);
    if (calls.length < wanted || rows.length >= Math.min(limit, total)) return { rows, total };
  }
}

/** Every declared file that fits, by id. */
export async function fileRows(
  connection: Pick<ClientConnection, "ask">,
  query: FileQuery = {},
): Promise<FileRow[]> {
  const rows: FileRow[] = [];
  for (let after = 0;;) {
    const { files, hasMore } = await connection.ask({ kind: "files", after, ...query });
    rows.push(...files);
    const last = files.at(-1)?.fileId ?? 0;
    if (!hasMore || last <= after) return rows;
    after = last;
  }
}

/** Why tasks do not run, by id; of no more than `most`. */
export async function explanationsOf(
  connection: Pick<ClientConnection, "ask">,
  { selection, most }: { readonly selection: TaskSelection; readonly most: number },
): Promise<{ readonly explanations: readonly Explanation[]; readonly hasMore: boolean }> {
  const found: Explanation[] = [];
  for (let after = 0;;) {
    const page = await connection.ask({ kind: "explain", selection, after });
    found.push(...page.explanations);
    const last = found.at(-1)?.taskId ?? 0;
    const hasMore = page.hasMore || found.length > most;
    // A page that does not go on would go on for ever.
    if (!page.hasMore || found.length >= most || last <= after) {
      return { explanations: found.slice(0, most), hasMore };
    }
    after = last;
  }
}
