/** `tendril files`: those declared. With `--json` `{ version: 1, files: FileRow[] }`. */

import { checkPositionals } from "../shared/command_line.ts";
import { CACHE_LEVELS } from "../shared/task.ts";
import { formatSize } from "../shared/units.ts";
import { OPTIONS } from "./cli_client.ts";
import type { Call, Command } from "./cli_command.ts";
import { readValues } from "./cli_values.ts";
import { type View, viewCommand } from "./cli_view.ts";
import type { ClientConnection } from "./client.ts";
import { CLIENT_VERSION, type FileRow } from "./client_protocol.ts";
import { FILE_KINDS } from "./file_entry.ts";
import { type FileQuery, fileRows } from "./rows.ts";
import { type Column, formatTable } from "./table.ts";

/** The command. */
export const FILES_COMMAND: Command = viewCommand(
  {
    name: "files",
    usage: "tendril files [--level LEVEL] [--kind KIND]",
    summary: "list declared files",
    example: "tendril files --name blast",
    options: {
      ...OPTIONS,
      level: {
        value: "LEVEL",
        isMultiple: true,
        values: CACHE_LEVELS,
        help: `how long workers keep it: ${CACHE_LEVELS.join(", ")}; repeatable`,
      },
      kind: {
        value: "KIND",
        isMultiple: true,
        values: FILE_KINDS,
        help: `one of ${FILE_KINDS.join(", ")}; repeatable`,
      },
    },
  },
  look,
  (call) => {
    checkPositionals(call.spec, call.given.positionals, 0);
    queryOf(call);
  },
);

async function look(call: Call, connection: ClientConnection): Promise<View> {
  const files = await fileRows(connection, queryOf(call));
  return {
    document: { version: CLIENT_VERSION, files },
    text: (size) => formatTable(COLUMNS, files, size),
  };
}

function queryOf({ given }: Call): FileQuery {
  return {
    levels: readValues(given, "level", CACHE_LEVELS),
    kinds: readValues(given, "kind", FILE_KINDS),
  };
}

const COLUMNS: readonly Column<FileRow>[] = [
  { title: "ID", isRight: true, text: ({ fileId }) => String(fileId) },
  { title: "KIND", text: ({ kind }) => kind },
  { title: "CACHE", text: ({ level }) => level },
  { title: "SIZE", isRight: true, text: ({ sizeBytes }) => sizeOf(sizeBytes) },
  { title: "COPIES", isRight: true, text: ({ replicas }) => String(replicas) },
  { title: "HERE", text: ({ isAtManager }) => isAtManager ? "yes" : "no" },
  {
    title: "NOTE",
    text: ({ isNondeterministic }) => isNondeterministic ? "nondeterministic" : "-",
  },
  {
    title: "SOURCE",
    isFlexible: true,
    text: ({ source, cacheName }) => source ?? cacheName ?? "-",
  },
];

function sizeOf(sizeBytes: number): string {
  return sizeBytes < 0 ? "-" : formatSize(sizeBytes);
}
