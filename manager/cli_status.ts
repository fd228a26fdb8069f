/** `tendril status`: what a manager does, in a few lines. With `--json` a `ManagerStatus`. */

import { cutSpans, renderSpans, type Span } from "../shared/span.ts";
import { OPTIONS } from "./cli_client.ts";
import type { Call, Command } from "./cli_command.ts";
import type { AppRow } from "./dashboard/call_api.ts";
import { type View, viewCommand } from "./cli_view.ts";
import type { ClientConnection } from "./client.ts";
import { describeProgress, viewOf } from "./progress_text.ts";
import type { ManagerStatus } from "./status.ts";
import { describeUnplaceable } from "./unplaceable_note.ts";

/** The command. */
export const STATUS_COMMAND: Command = viewCommand(
  {
    name: "status",
    usage: "tendril status",
    summary: "show what a running manager does",
    example: "tendril status --name blast --json",
    options: OPTIONS,
  },
  look,
);

async function look(_call: Call, connection: ClientConnection): Promise<View> {
  const { status } = await connection.ask({ kind: "status" });
  return {
    document: status,
    text: ({ columns, hasColours }) => {
      return linesOf(status, columns).map((line) => `${renderSpans(line, hasColours)}\n`).join("");
    },
  };
}

function linesOf(status: ManagerStatus, columns: number): (readonly Span[])[] {
  const refusedCount = Object.values(status.refused).reduce((sum, count) => sum + count, 0);
  const others = status.urls.slice(1);
  const texts = [
    ...(status.apps ?? []).map(describeApp),
    ...status.unplaceable.map(describeUnplaceable),
    ...describeRecoveries(status),
    ...(refusedCount === 0 ? [] : [`refused: ${refusedCount}, see --json`]),
  ];
  return [
    [{ text: `manager: ${status.name} at ${status.url}` }],
    ...(others.length === 0 ? [] : [[{ text: `also at: ${others.join(", ")}` }]]),
    describeProgress(viewOf(status), { nowMs: Date.now(), columns }),
    ...texts.map((text) => [{ text }]),
  ].map((line) => cutSpans(line, columns));
}

/** As `app align: 12 calls, 9 exec_done, 3 memo_done`: states by Parsl's names. */
function describeApp({ app, calls, states }: AppRow): string {
  const told = Object.entries(states).map(([state, count]) => `, ${count} ${state}`).join("");
  return `app ${app}: ${calls} ${calls === 1 ? "call" : "calls"}${told}`;
}

function describeRecoveries({ tasks, damaged }: ManagerStatus): readonly string[] {
  const { recoveries, recoveriesWaiting, recoveriesRunning, nondeterministic } = tasks;
  if (recoveries + nondeterministic + damaged === 0) return [];
  const now = `${recoveriesWaiting} waiting, ${recoveriesRunning} running`;
  const others = nondeterministic === 0 ? "" : `; ${nondeterministic} nondeterministic, see files`;
  const lost = damaged === 0 ? "" : `; ${damaged} damaged copies dropped`;
  return [`recoveries: ${recoveries}, ${now}${others}${lost}`];
}
