/**
 * `tendril calls`: calls of apps, those that fit. With `--json`
 * `{ version: 1, calls: CallRow[], total }`.
 *
 * @module
 */

import { UsageError } from "../shared/command_line.ts";
import { formatDuration } from "../shared/units.ts";
import { OPTIONS } from "./cli_client.ts";
import type { Call, Command } from "./cli_command.ts";
import { readLimit } from "./cli_limit.ts";
import { readValues } from "./cli_values.ts";
import { type View, viewCommand } from "./cli_view.ts";
import type { ClientConnection } from "./client.ts";
import { CLIENT_VERSION } from "./client_protocol.ts";
import type { AppState } from "./core/fact.ts";
import { APP_STATES, type CallFilter, type CallRow } from "./dashboard/call_api.ts";
import { callTable } from "./rows.ts";
import { type Column, formatTable } from "./table.ts";

/** What `--failed` means. */
const FAILED_STATES: readonly AppState[] = ["failed", "dep_fail"];

/** The command. */
export const CALLS_COMMAND: Command = viewCommand(
  {
    name: "calls",
    usage: "tendril calls [options]",
    summary: "list calls of apps",
    example: "tendril calls --failed --app align",
    options: {
      ...OPTIONS,
      app: { value: "NAME", help: "only those of this app" },
      state: {
        value: "STATE",
        isMultiple: true,
        values: APP_STATES,
        help: `one of ${APP_STATES.join(", ")}; repeatable`,
      },
      failed: { help: "only those that failed, or did not run as others had" },
      search: {
        value: "WORDS",
        help: "only those with all of these words in what is told of them",
      },
      limit: { value: "N", help: "so many; default all" },
    },
  },
  look,
  (call) => {
    if (call.given.positionals.length > 0) {
      const [first = ""] = call.given.positionals;
      throw new UsageError(`Cannot read "${first}" as an option: calls takes no operands`);
    }
    filterOf(call);
    readLimit(call, "calls");
  },
);

async function look(call: Call, connection: ClientConnection): Promise<View> {
  const limit = readLimit(call, "calls");
  const { rows, total } = await callTable(connection, { ...filterOf(call), limit });
  return {
    document: { version: CLIENT_VERSION, calls: rows, total },
    text: (size) => formatTable(COLUMNS, rows, size),
  };
}

function filterOf({ given }: Call): CallFilter {
  const states = new Set(readValues(given, "state", APP_STATES));
  if (given.flag("failed")) { for (const state of FAILED_STATES) states.add(state); }
  const app = given.text("app");
  const search = given.text("search");
  return {
    ...(states.size === 0 ? {} : { states: [...states] }),
    ...(app === undefined ? {} : { app }),
    ...(search === undefined ? {} : { search }),
  };
}

const COLUMNS: readonly Column<CallRow>[] = [
  { title: "ID", isRight: true, text: ({ callId }) => String(callId) },
  { title: "APP", text: ({ app }) => app },
  {
    title: "STATE",
    text: ({ state }) => state,
    tone: ({ state }) => FAILED_STATES.includes(state) ? "bad" : undefined,
  },
  { title: "TRY", isRight: true, text: (row) => String(row.try) },
  { title: "TASK", isRight: true, text: ({ taskId }) => taskId === null ? "-" : String(taskId) },
  { title: "EXECUTOR", text: ({ executor }) => executor || "-" },
  { title: "HOST", text: ({ host }) => host ?? "-" },
  { title: "TIME", isRight: true, text: timeOf },
  { title: "ARGUMENTS", isFlexible: true, text: ({ argumentText }) => argumentText },
  { title: "MESSAGE", isFlexible: true, text: ({ message }) => message },
];

/** From its launch to its end, or so far. */
function timeOf({ launchedAtMs, endedAtMs }: CallRow): string {
  if (launchedAtMs === null) return "-";
  return formatDuration(Math.max(0, (endedAtMs ?? Date.now()) - launchedAtMs));
}
