/**
 * `tendril libraries`: what instances of libraries there are, and what calls they have. With `--json`
 * `{ version: 1, libraries: LibraryRow[] }`; with `--watch` that again, on a line of its own, each
 * time that it has changed.
 *
 * @module
 */

import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";

import { command, OPTIONS } from "./cli_show.ts";
import { type Call, type Command, print, printJson } from "./cli_command.ts";
import type { ClientConnection } from "./client.ts";
import { CLIENT_VERSION, type LibraryRow } from "./client_protocol.ts";
import { type Column, formatTable } from "./table.ts";

/** How often a manager is asked that is watched. */
const WATCH_MS = 1_000;

/** Clears a terminal, and begins at its top; ECMA-48, 8.3.21 and 8.3.39. */
const CLEAR = "\x1b[H\x1b[2J";

/** The command. */
export const LIBRARIES_COMMAND: Command = command(
  {
    name: "libraries",
    usage: "tendril libraries",
    summary: "list libraries, their instances and calls",
    example: "tendril libraries --watch",
    options: { ...OPTIONS, watch: { help: "again whenever something has changed, until Ctrl-C" } },
  },
  libraries,
);

async function libraries(call: Call, connection: ClientConnection): Promise<number> {
  let shown = "";
  while (true) {
    const { libraries: rows } = await connection.ask({ kind: "libraries" });
    const found = JSON.stringify(rows);
    if (found !== shown) {
      shown = found;
      await show(call, rows);
    }
    if (!call.given.flag("watch")) return 0;
    await delay(WATCH_MS);
  }
}

async function show({ given }: Call, rows: readonly LibraryRow[]): Promise<void> {
  if (given.flag("json")) {
    const document = { version: CLIENT_VERSION, libraries: rows };
    if (given.flag("watch")) await print(`${JSON.stringify(document)}\n`);
    else await printJson(document);
    return;
  }
  const isCleared = given.flag("watch") && process.stdout.isTTY === true;
  await print(`${isCleared ? CLEAR : ""}${formatTable(COLUMNS, rows)}`);
}

const COLUMNS: readonly Column<LibraryRow>[] = [
  { title: "LIBRARY", text: ({ name }) => name },
  { title: "PROGRAM", text: ({ program }) => program },
  { title: "MODE", text: ({ mode }) => mode },
  { title: "SLOTS", isRight: true, text: ({ slots }) => String(slots) },
  { title: "STARTING", isRight: true, text: ({ instances }) => String(instances.starting) },
  { title: "READY", isRight: true, text: ({ instances }) => String(instances.ready) },
  { title: "RETIRING", isRight: true, text: ({ instances }) => String(instances.retiring) },
  { title: "WORKERS", isRight: true, text: ({ workers }) => String(workers) },
  { title: "WAITING", isRight: true, text: ({ calls }) => String(calls.waiting) },
  { title: "RUNNING", isRight: true, text: ({ calls }) => String(calls.running) },
  { title: "DONE", isRight: true, text: ({ calls }) => String(calls.done) },
  { title: "FAILED", isRight: true, text: ({ calls }) => String(calls.failed) },
  { title: "FAILED STARTS", isRight: true, text: ({ failedStarts }) => String(failedStarts) },
  { title: "STATE", text: ({ failure }) => failure === undefined ? "-" : `given up: ${failure}` },
];
