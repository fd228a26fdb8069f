/** `tendril tasks`: those that fit. With `--json` `{ version: 1, tasks: TaskRow[], hasMore }`. */

import process from "node:process";

import { OUTCOMES } from "../shared/task.ts";
import { formatDuration, formatSize } from "../shared/units.ts";
import { optionalSelection, OPTIONS, SELECTORS } from "./cli_client.ts";
import type { Call, Command } from "./cli_command.ts";
import { readLimit } from "./cli_limit.ts";
import { readValues } from "./cli_values.ts";
import { type View, viewCommand } from "./cli_view.ts";
import type { ClientConnection } from "./client.ts";
import {
  CLIENT_VERSION,
  SORTED_ROWS_MAX,
  TASK_SORTS,
  type TaskRow,
  type TaskRowFilter,
} from "./client_protocol.ts";
import { type TaskQuery, taskTable } from "./rows.ts";
import { type Column, formatTable } from "./table.ts";
import { TASK_STATES } from "./task_handle.ts";

/** The command. */
export const TASKS_COMMAND: Command = viewCommand(
  {
    name: "tasks",
    usage: "tendril tasks [SEL] [options]",
    summary: "list tasks",
    example: "tendril tasks last --failed",
    options: {
      ...OPTIONS,
      state: {
        value: "STATE",
        isMultiple: true,
        values: TASK_STATES,
        help: `one of ${TASK_STATES.join(", ")}; repeatable`,
      },
      failed: { help: "only those that failed" },
      outcome: {
        value: "OUTCOME",
        isMultiple: true,
        values: OUTCOMES,
        help: "only those that ended so, as timeout; repeatable",
      },
      category: { value: "NAME", help: "only those of this category" },
      tag: { value: "NAME", help: "only those that were given this tag" },
      worker: { value: "ID", help: "only those whose last try was at this worker, or host" },
      sort: {
        value: "KEY",
        values: TASK_SORTS,
        help: `those with most first: ${TASK_SORTS.join(", ")}`,
      },
      limit: { value: "N", help: `so many; default all, of sorted ones ${SORTED_ROWS_MAX}` },
    },
    operands: { values: SELECTORS },
  },
  look,
  (call) => void queryOf(call),
);

async function look(call: Call, connection: ClientConnection): Promise<View> {
  const query = queryOf(call);
  const { rows, hasMore } = await taskTable(connection, query);
  const isCut = hasMore && query.limit === undefined;
  if (isCut) process.stderr.write(`tendril tasks: only the first ${rows.length} are listed\n`);
  return {
    document: { version: CLIENT_VERSION, tasks: rows, hasMore },
    text: (size) => formatTable(columnsFor(rows), rows, size),
  };
}

function queryOf(call: Call): TaskQuery {
  const { given } = call;
  const [sort] = readValues(given, "sort", TASK_SORTS).slice(-1);
  return {
    selection: optionalSelection(call),
    states: readValues(given, "state", TASK_STATES),
    isFailed: given.flag("failed"),
    filter: filterOf(call),
    limit: readLimit(call, "tasks"),
    sort,
  };
}

function filterOf({ given }: Call): TaskRowFilter {
  const labels = (["category", "tag", "worker"] as const).flatMap((name) => {
    const text = given.text(name);
    return text === undefined ? [] : [[name, text]];
  });
  return { ...Object.fromEntries(labels), outcomes: readValues(given, "outcome", OUTCOMES) };
}

/** Apps are told where there are any. */
function columnsFor(rows: readonly TaskRow[]): readonly Column<TaskRow>[] {
  const hasApps = rows.some(({ app }) => app !== undefined);
  return hasApps ? COLUMNS.toSpliced(1, 0, ...APP_COLUMNS) : COLUMNS;
}

const APP_COLUMNS: readonly Column<TaskRow>[] = [
  { title: "APP", text: ({ app }) => app ?? "-" },
  {
    title: "CALL",
    isRight: true,
    text: ({ callId }) => callId === undefined ? "-" : String(callId),
  },
];

const COLUMNS: readonly Column<TaskRow>[] = [
  { title: "ID", isRight: true, text: ({ id }) => String(id) },
  { title: "STATE", text: ({ state, recovery }) => recovery === undefined ? state : "recovering" },
  {
    title: "OUTCOME",
    text: ({ outcome }) => outcome ?? "-",
    tone: ({ outcome }) => outcome === undefined || outcome === "success" ? undefined : "bad",
  },
  { title: "TRY", isRight: true, text: (row) => String(row.try) },
  { title: "HOST", text: ({ host }) => host ?? "-" },
  { title: "TIME", isRight: true, text: timeOf },
  { title: "MEMORY", isRight: true, text: ({ used }) => used ? formatSize(used.memoryBytes) : "-" },
  { title: "COMMAND", isFlexible: true, text: ({ command }) => command },
  { title: "MESSAGE", isFlexible: true, text: ({ message }) => message },
];

/** How long it ran, or has run so far. */
function timeOf({ startedAtMs, endedAtMs }: TaskRow): string {
  if (startedAtMs === 0) return "-";
  const endAtMs = endedAtMs === 0 ? Date.now() : endedAtMs;
  // Clocks of hosts differ.
  return formatDuration(Math.max(0, endAtMs - startedAtMs));
}
