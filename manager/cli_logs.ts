/**
 * `logs`: what tasks wrote, or with `--follow` what they write.
 *
 * With `--json` it prints one document of version 1, `{ version, logs: TaskLogs[] }`, with texts.
 *
 * @module
 */

import process from "node:process";

import { EXIT_FAILURE, UsageError } from "../shared/command_line.ts";
import type { TaskId } from "../shared/ids.ts";
import type { GrowingSource } from "../shared/protocol.ts";
import type { ClientConnection } from "./client.ts";
import { ClientError } from "./client_error.ts";
import { CLIENT_VERSION, type TaskLogs, type TaskRow } from "./client_protocol.ts";
import { type Call, type Command, print, printJson } from "./cli_command.ts";
import { command, OPTIONS, selectionOf, SELECTORS } from "./cli_client.ts";
import { withTexts } from "./cli_wait.ts";
import { followTexts } from "./follow_text.ts";
import { followRemote } from "./remote_follow.ts";
import { taskRows } from "./rows.ts";

/** Requests for logs under way. */
const LOGS_ASKED_MAX = 64;

/** Tasks that are followed at the same time; a further one when one of them has ended. */
const FOLLOWED_MAX = 32;

/** Of a line that has no end yet; a longer one is printed in pieces. */
const LINE_CHARS_MAX: number = 64 * 1024;

/** The command. */
export const LOGS_COMMAND: Command = command(
  {
    name: "logs",
    usage: "tendril logs SEL [--stderr] [--follow]",
    summary: "print what tasks wrote, or write",
    example: "tendril logs last --follow",
    options: {
      ...OPTIONS,
      stderr: { help: "standard error, not standard output" },
      follow: { help: `until they have ended, ${FOLLOWED_MAX} at a time, those that run first` },
    },
    operands: { values: SELECTORS },
  },
  logs,
  (call) => {
    selectionOf(call);
    if (!call.given.flag("follow") || !call.given.flag("json")) return;
    throw new UsageError("Cannot follow with --json: one document has an end");
  },
);

async function logs(call: Call, connection: ClientConnection): Promise<number> {
  const { given } = call;
  const rows = await taskRows(connection, { selection: selectionOf(call) });
  if (rows.length === 0) {
    throw new Error(`Cannot show logs of "${given.positionals[0]}": there are no such tasks`);
  }
  const missingCount = given.flag("follow")
    ? await followAll(rows, { connection, stream: given.flag("stderr") ? "stderr" : "stdout" })
    : await showAll(rows, { given, connection });
  return missingCount === 0 ? 0 : EXIT_FAILURE;
}

/** Prints what the tasks wrote, in the order of their numbers; returns of how many it is not kept. */
async function showAll(
  rows: readonly TaskRow[],
  { given, connection }: Pick<Call, "given"> & { readonly connection: ClientConnection },
): Promise<number> {
  const documents: object[] = [];
  let missingCount = 0;
  for (let at = 0; at < rows.length; at += LOGS_ASKED_MAX) {
    const part = rows.slice(at, at + LOGS_ASKED_MAX);
    const answers = await Promise.all(
      part.map(({ id }) => connection.ask({ kind: "logs", taskId: id })),
    );
    for (const { logs } of answers) {
      if (given.flag("json")) documents.push(withTexts(logs));
      else if (logs.isKept) await print(given.flag("stderr") ? logs.stderr : logs.stdout);
      else missingCount += tellMissing(logs);
    }
  }
  if (given.flag("json")) await printJson({ version: CLIENT_VERSION, logs: documents });
  return missingCount;
}

function tellMissing({ taskId, state }: TaskLogs): number {
  const found = state === "done" ? "what it wrote is not kept any more" : "it has not ended";
  process.stderr.write(`tendril logs: Cannot show logs of task ${taskId}: ${found}\n`);
  return 1;
}

/** Prints what the tasks write until they have ended; returns of how many it cannot be had. */
async function followAll(
  rows: readonly TaskRow[],
  { connection, stream }: {
    readonly connection: ClientConnection;
    readonly stream: "stdout" | "stderr";
  },
): Promise<number> {
  const source: GrowingSource = { kind: "stream", stream };
  const waiting = [...rows].sort((a, b) => rankOf(a) - rankOf(b)).values();
  let missingCount = 0;
  const work = async (): Promise<void> => {
    for (const { id } of waiting) {
      const printTask = rows.length === 1 ? print : linePrinter(id);
      try {
        const parts = followRemote(connection, { taskId: id, source });
        for await (const text of followTexts(parts)) await printTask(text);
        await printTask("");
      } catch (error) {
        if (!(error instanceof ClientError) || error.code === "gone") throw error;
        process.stderr.write(`tendril logs: ${error.message}\n`);
        missingCount += 1;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(FOLLOWED_MAX, rows.length) }, work));
  return missingCount;
}

/** What has ended is printed at once, and what runs is not held up by what waits. */
function rankOf({ state }: TaskRow): number {
  if (state === "done") return 0;
  return state === "waiting" || state === "ready" ? 2 : 1;
}

/** Prints whole lines of a task with its number before them; empty text is its end. */
function linePrinter(id: TaskId): (text: string) => Promise<unknown> {
  let begun = "";
  return async (text) => {
    const lines = (begun + text).split("\n");
    begun = text === "" ? "" : lines.pop() ?? "";
    while (begun.length > LINE_CHARS_MAX) {
      lines.push(begun.slice(0, LINE_CHARS_MAX));
      begun = begun.slice(LINE_CHARS_MAX);
    }
    if (text === "" && lines.at(-1) === "") lines.pop();
    await print(lines.map((line) => `${id}: ${line}\n`).join(""));
  };
}
