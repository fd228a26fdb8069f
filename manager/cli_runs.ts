/**
 * `tendril runs`: the runs whose records are in a folder, and their removal.
 *
 * With `--json` it prints one document of version 1: `list` `{ version, directory, latest, runs:
 * RunSummary[] }`, the oldest first, where `latest` is the name of the newest or null; `remove`
 * `{ version, removed: string[] }`.
 *
 * @module
 */

import { stat } from "node:fs/promises";
import process from "node:process";

import { join, resolve } from "@std/path";

import {
  type CommandArguments,
  type CommandSpec,
  EXIT_FAILURE,
  UsageError,
} from "../shared/command_line.ts";
import { plainText } from "../shared/plain_text.ts";
import { formatDuration, formatSize } from "../shared/units.ts";
import { JSON_OPTION } from "./cli_client.ts";
import { type Call, type Command, print, printJson } from "./cli_command.ts";
import { readDuration } from "./cli_values.ts";
import { readRunDirectoryText } from "./records_option.ts";
import { RUNS_DIRECTORY } from "./run_directory.ts";
import { readRunFile } from "./run_file.ts";
import {
  listRuns,
  mendLatest,
  type Removal,
  removeRun,
  type RunSummary,
  sweepRemoved,
} from "./run_list.ts";
import { type Column, formatTable, outputSize } from "./table.ts";

/** Of the documents that `--json` prints. */
const RUNS_VERSION = 1;

/** Characters of what a message shows of an argument. */
const ARGUMENT_CHARS_MAX = 200;

const SPEC: CommandSpec = {
  name: "runs",
  usage: "tendril runs [list | remove RUN... | remove --older-than TIME | remove --keep N]",
  summary: "list runs by their records, and remove old ones",
  example: "tendril runs remove --older-than 7d",
  options: {
    directory: { value: "DIR", help: `folder of the runs; default: ${RUNS_DIRECTORY}` },
    "older-than": { value: "TIME", help: "remove: runs that ended before that, as 7d or 12h" },
    keep: { value: "N", help: "remove: all but the newest N; with --older-than, what both say" },
    json: JSON_OPTION,
  },
  operands: { values: ["list", "remove"] },
  notes: [
    "What has not ended stays. TENDRIL_RUN_DIRECTORY names another default folder.",
    "More: tendril runs --json",
    "      tendril runs remove --keep 10",
  ],
};

/** The command. */
export const RUNS_COMMAND: Command = { spec: SPEC, run };

async function run({ given }: Call): Promise<number> {
  const [action = "list", ...names] = given.positionals;
  const selection = readSelection(given);
  const directory = await findDirectory(given);
  if (action === "list") {
    const extra = names[0] ?? (selection === undefined ? undefined : "--older-than and --keep");
    if (extra !== undefined) throw new UsageError(`Cannot list "${extra}": list takes no such`);
    return await list(given, directory);
  }
  if (action !== "remove") {
    throw new UsageError(`Cannot run "runs ${action}" as a command: expected list or remove`);
  }
  if ((selection === undefined) === (names.length === 0)) {
    throw new UsageError(
      "Cannot remove without knowing which: expected runs, or --older-than and --keep",
    );
  }
  const isJson = given.flag("json");
  if (selection === undefined) return await remove(directory, new Set(names), isJson);
  const old = selectRuns(await listRuns(directory.path), selection, Date.now());
  return await remove(directory, new Set(old.map(({ run }) => run)), isJson);
}

/** The runs that a rule says to remove: none that has not ended. */
export function selectRuns(
  runs: readonly RunSummary[],
  { olderThanMs = 0, keepCount = 0 }: RunSelection,
  nowMs: number,
): RunSummary[] {
  const rest = keepCount === 0 ? runs : runs.slice(0, -keepCount);
  return rest.filter(({ state, startedAtMs, endedAtMs }) => {
    return state !== "running" && (endedAtMs ?? startedAtMs) <= nowMs - olderThanMs;
  });
}

/** Which runs are old; what is left out says nothing. */
export interface RunSelection {
  /** Since their end. */
  readonly olderThanMs?: number;
  /** So many of the newest are not. */
  readonly keepCount?: number;
}

/** Where runs are looked for. */
interface RunsFolder {
  readonly path: string;
  /** There is such a folder. */
  readonly exists: boolean;
}

function readSelection(given: CommandArguments): RunSelection | undefined {
  const [age, keep] = [given.text("older-than"), given.text("keep")];
  if (age === undefined && keep === undefined) return undefined;
  if (keep !== undefined && !/^\d{1,9}$/.test(keep)) {
    throw new UsageError(`Cannot read --keep "${keep}" as a number of runs`);
  }
  return {
    ...(age === undefined ? {} : { olderThanMs: readDuration(age, "older-than") }),
    ...(keep === undefined ? {} : { keepCount: Number(keep) }),
  };
}

/** Where nobody has said which, there may be none yet. */
async function findDirectory(given: CommandArguments): Promise<RunsFolder> {
  const stated = given.text("directory");
  const usual = readRunDirectoryText(process.env["TENDRIL_RUN_DIRECTORY"]) || RUNS_DIRECTORY;
  const path = resolve(stated ?? usual);
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory() === true) return { path, exists: true };
  if (found === undefined && stated === undefined) return { path, exists: false };
  const what = found === undefined ? "there is none" : "it is no folder";
  throw new Error(`Cannot read "${path}" as a folder of runs: ${what}`);
}

async function list(given: CommandArguments, { path, exists }: RunsFolder): Promise<number> {
  const runs = exists ? await listRuns(path) : [];
  if (!given.flag("json")) return await print(formatTable(COLUMNS, runs, outputSize()));
  const latest = runs.at(-1)?.run ?? null;
  return await printJson({ version: RUNS_VERSION, directory: path, latest, runs });
}

async function remove(
  { path, exists }: RunsFolder,
  names: ReadonlySet<string>,
  isJson: boolean,
): Promise<number> {
  const removed: string[] = [];
  let isFailed = false;
  try {
    for (const name of names) {
      const removal = exists ? await removeRun(path, name) : "no_run";
      if (removal === "removed") {
        removed.push(name);
        if (!isJson) await print(`${name}\n`);
        continue;
      }
      isFailed = true;
      const shown = plainText(name, ARGUMENT_CHARS_MAX);
      const why = await describeRefusal(join(path, name), removal);
      process.stderr.write(`tendril runs: Cannot remove "${shown}": ${why}\n`);
    }
  } finally {
    if (exists) {
      await sweepRemoved(path);
      await mendLatest(path);
    }
  }
  if (isJson) await printJson({ version: RUNS_VERSION, removed });
  return isFailed ? EXIT_FAILURE : 0;
}

async function describeRefusal(path: string, removal: Removal): Promise<string> {
  if (removal !== "running") return "there is no run of that name";
  const file = await readRunFile(path);
  return `it has not ended${file === undefined ? "" : `: process ${file.pid} on ${file.host}`}`;
}

const COLUMNS: readonly Column<RunSummary>[] = [
  { title: "RUN", text: ({ run }) => run },
  { title: "MANAGER", text: ({ name }) => name },
  { title: "STATE", text: ({ state }) => state },
  { title: "TIME", isRight: true, text: durationOf },
  { title: "DONE", isRight: true, text: ({ succeeded }) => countText(succeeded) },
  { title: "FAILED", isRight: true, text: ({ failed }) => countText(failed) },
  { title: "SIZE", isRight: true, text: ({ sizeBytes }) => formatSize(sizeBytes) },
];

function durationOf({ state, startedAtMs, endedAtMs }: RunSummary): string {
  const endMs = state === "running" ? Date.now() : endedAtMs;
  return endMs === null ? "-" : formatDuration(Math.max(0, endMs - startedAtMs));
}

function countText(count: number | null): string {
  return count === null ? "-" : String(count);
}
