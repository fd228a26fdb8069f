/** `tendril workers`: what they have and do. With `--json` `{ version: 1, workers: WorkerRow[] }`. */

import { amountOf } from "../shared/resources.ts";
import { formatSize } from "../shared/units.ts";
import { OPTIONS } from "./cli_client.ts";
import type { Call, Command } from "./cli_command.ts";
import { type View, viewCommand } from "./cli_view.ts";
import type { ClientConnection } from "./client.ts";
import { CLIENT_VERSION, type WorkerRow } from "./client_protocol.ts";
import { type Column, formatTable } from "./table.ts";

/** The command. */
export const WORKERS_COMMAND: Command = viewCommand(
  {
    name: "workers",
    usage: "tendril workers [--host HOST]",
    summary: "list workers",
    example: "tendril workers --json",
    options: { ...OPTIONS, host: { value: "HOST", help: "only those on this host" } },
  },
  look,
);

async function look({ given }: Call, connection: ClientConnection): Promise<View> {
  const host = given.text("host");
  const asked = host === undefined ? {} : { host };
  const { workers } = await connection.ask({ kind: "workers", ...asked });
  return {
    document: { version: CLIENT_VERSION, workers },
    text: (size) => formatTable(COLUMNS, workers, size),
  };
}

const COLUMNS: readonly Column<WorkerRow>[] = [
  { title: "WORKER", text: ({ workerId }) => workerId },
  { title: "HOST", text: ({ host }) => host },
  {
    title: "STATE",
    text: ({ state }) => state,
    tone: ({ state }) => state === "connected" ? undefined : "bad",
  },
  { title: "CORES", isRight: true, text: (row) => share(row, "cores", String) },
  { title: "MEMORY", isRight: true, text: (row) => share(row, "memoryBytes", formatSize) },
  { title: "DISK", isRight: true, text: (row) => share(row, "diskBytes", formatSize) },
  { title: "DISK USED", isRight: true, text: diskUse },
  { title: "GPUS", isRight: true, text: (row) => share(row, "gpus", String) },
  { title: "OTHERS", isFlexible: true, text: customUse },
  { title: "TASKS", isRight: true, text: ({ tasks }) => String(tasks) },
  { title: "FILES", isRight: true, text: ({ replicas }) => String(replicas) },
  { title: "CACHED", isRight: true, text: ({ cachedBytes }) => formatSize(cachedBytes) },
  { title: "FEATURES", isFlexible: true, text: ({ features }) => features.join(",") },
];

/** What is set aside, of what there is. */
function share(
  { committed, resources }: WorkerRow,
  name: Exclude<keyof WorkerRow["resources"], "custom">,
  format: (amount: number) => string,
): string {
  const total = resources[name];
  return total === 0 ? "-" : `${format(committed[name])}/${format(total)}`;
}

/** The same of resources that the site has names for. */
function customUse({ committed, resources }: WorkerRow): string {
  const uses = Object.entries(resources.custom ?? {}).map(([name, total]) => {
    return `${name} ${amountOf(committed, name)}/${total}`;
  });
  return uses.join(",") || "-";
}

/** What is in use, of what there is. */
function diskUse({ diskUsedBytes, resources: { diskBytes } }: WorkerRow): string {
  return diskBytes === 0 ? "-" : `${formatSize(diskUsedBytes)}/${formatSize(diskBytes)}`;
}
