/**
 * `tendril libraries`: what instances of libraries there are, and what calls they have. With `--json`
 * `{ version: 1, libraries: LibraryRow[] }`.
 *
 * @module
 */

import { checkPositionals } from "../shared/command_line.ts";
import { OPTIONS } from "./cli_client.ts";
import type { Call, Command } from "./cli_command.ts";
import { type View, viewCommand } from "./cli_view.ts";
import type { ClientConnection } from "./client.ts";
import { CLIENT_VERSION, type LibraryRow } from "./client_protocol.ts";
import { type Column, formatTable } from "./table.ts";

/** The command. */
export const LIBRARIES_COMMAND: Command = viewCommand(
  {
    name: "libraries",
    usage: "tendril libraries [LIBRARY]",
    summary: "list libraries, their instances and calls",
    example: "tendril libraries --watch",
    options: OPTIONS,
  },
  look,
  ({ spec, given }) => checkPositionals(spec, given.positionals, 1),
);

async function look({ given }: Call, connection: ClientConnection): Promise<View> {
  const [name] = given.positionals;
  const asked = name === undefined ? {} : { name };
  const { libraries } = await connection.ask({ kind: "libraries", ...asked });
  return {
    document: { version: CLIENT_VERSION, libraries },
    text: (size) => formatTable(COLUMNS, libraries, size),
  };
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
  {
    title: "STATE",
    isFlexible: true,
    tone: ({ failure }) => failure === undefined ? undefined : "bad",
    text: ({ failure }) => failure === undefined ? "-" : `given up: ${failure}`,
  },
];
