/**
 * Commands that show a running manager, and change it: `status`, `tasks`, `workers`, `files`,
 * `wait`, `cancel`, `tune`.
 *
 * With `--json` each prints one document of version 1 and nothing else: `status` a `ManagerStatus`;
 * `tasks`, `workers` and `files` `{ version, tasks: TaskRow[] }` and the like; `wait` `{ version, counts, failures }`; `cancel`
 * `{ version, cancelled }`; `tune` `{ version, policies, notes }`.
 *
 * @module
 */

import process from "node:process";

import {
  checkPositionals,
  type CommandSpec,
  EXIT_FAILURE,
  UsageError,
} from "../shared/command_line.ts";
import { amountOf } from "../shared/resources.ts";
import { formatDuration, formatSize } from "../shared/units.ts";
import type { ClientConnection } from "./client.ts";
import {
  CLIENT_VERSION,
  type ClientResult,
  type FileRow,
  type TaskLogs,
  type TaskRow,
  type TaskSelection,
  type WorkerRow,
} from "./client_protocol.ts";
import { JSON_OPTION, TARGET_OPTIONS, targetArguments, withClient } from "./cli_client.ts";
import { type Call, type Command, print, printJson } from "./cli_command.ts";
import { readPolicyArguments } from "./cli_policy.ts";
import { describeProgress } from "./progress.ts";
import { fileRows, taskRows } from "./rows.ts";
import { readSelector } from "./selector.ts";
import type { ManagerStatus } from "./status.ts";
import { type Column, formatTable } from "./table.ts";
import { TASK_STATES, type TaskStateName } from "./task_handle.ts";
import { translateParameters } from "./tune_parameter.ts";
import { describeUnplaceable } from "./unplaceable_note.ts";
import { describeReport, waitForTasks, type WaitReport } from "./wait_report.ts";

/** Exit code of a wait that Ctrl-C ended: 128 and the number of SIGINT, as shells have it. */
export const EXIT_INTERRUPTED = 130;

/** Of each of them. */
export const OPTIONS: CommandSpec["options"] = { ...TARGET_OPTIONS, json: JSON_OPTION };

/** A command that asks a manager. */
export function command(
  spec: Omit<CommandSpec, "hasVariables">,
  run: (call: Call, connection: ClientConnection) => Promise<number>,
  check: (call: Call) => void = ({ spec, given }) => checkPositionals(spec, given.positionals, 0),
): Command {
  return {
    spec: { ...spec, hasVariables: true },
    run: async (call) => {
      // Before anything is asked of a manager.
      check(call);
      return await withClient(call, (connection) => run(call, connection));
    },
  };
}

/** The commands of this module. */
export const SHOW_COMMANDS: readonly Command[] = [
  command(
    {
      name: "wait",
      usage: "tendril wait SEL",
      summary: "wait until tasks have ended; SEL: 5, 1-10, 1,3,5-8, last, all",
      example: "tendril wait 1-10 --progress",
      options: { ...OPTIONS, progress: { help: "show how far they are" } },
    },
    wait,
    selectionOf,
  ),
  command(
    {
      name: "cancel",
      usage: "tendril cancel [SEL | --tag T | --category C]",
      summary: "end tasks wherever they are",
      example: "tendril cancel last",
      options: {
        ...OPTIONS,
        tag: { value: "NAME", help: "those that were given this tag" },
        category: { value: "NAME", help: "those of this category" },
      },
    },
    cancel,
    labelledOf,
  ),
  command(
    {
      name: "tasks",
      usage: "tendril tasks [SEL] [--state S] [--failed]",
      summary: "list tasks",
      example: "tendril tasks last --failed",
      options: {
        ...OPTIONS,
        state: { value: "STATE", isMultiple: true, help: `one of ${TASK_STATES.join(", ")}` },
        failed: { help: "only those that failed" },
      },
    },
    tasks,
    (call) => void (checkStates(call), optionalSelection(call)),
  ),
  command(
    {
      name: "workers",
      usage: "tendril workers",
      summary: "list workers",
      example: "tendril workers --json",
      options: OPTIONS,
    },
    workers,
  ),
  command(
    {
      name: "files",
      usage: "tendril files",
      summary: "list declared files",
      example: "tendril files --name blast",
      options: OPTIONS,
    },
    files,
  ),
  command(
    {
      name: "status",
      usage: "tendril status",
      summary: "show what a running manager does",
      example: "tendril status --name blast --json",
      options: OPTIONS,
    },
    status,
  ),
  command(
    {
      name: "tune",
      usage: "tendril tune NAME=VALUE...",
      summary: "change policies of a running manager",
      example: "tendril tune transfersPerWorker=4 peerTransfers=false",
      options: OPTIONS,
    },
    tune,
    (call) => void policiesOf(call),
  ),
];

async function wait(call: Call, connection: ClientConnection): Promise<number> {
  const { given } = call;
  const selection = selectionOf(call);
  const startedAtMs = performance.now();
  const report = await waitForTasks(connection, { selection, isShown: given.flag("progress") });
  if (report === undefined) return tellInterrupted(call, given.positionals[0] ?? "");
  if (given.flag("json")) await printJson({ version: CLIENT_VERSION, ...reportDocument(report) });
  else process.stderr.write(describeReport(report, performance.now() - startedAtMs));
  return exitCodeOf(report);
}

/** Says that tasks go on whose wait was interrupted. */
export function tellInterrupted({ spec, given }: Call, selector: string): number {
  const cancel = `tendril cancel ${selector}${targetArguments(given)}`;
  process.stderr.write(`tendril ${spec.name}: the tasks go on; to end them: ${cancel}\n`);
  return EXIT_INTERRUPTED;
}

/** Fails unless all succeeded. */
export function exitCodeOf({ counts }: WaitReport): number {
  return counts.succeeded === counts.total ? 0 : EXIT_FAILURE;
}

/** A report as JSON has it. */
export function reportDocument({ counts, failures }: WaitReport): object {
  return { counts, failures: failures.map(withTexts) };
}

async function cancel(call: Call, connection: ClientConnection): Promise<number> {
  const { count } = await connection.ask({ kind: "cancel", selection: labelledOf(call) });
  if (call.given.flag("json")) {
    return await printJson({ version: CLIENT_VERSION, cancelled: count });
  }
  return await print(`cancelled ${count} ${count === 1 ? "task" : "tasks"}\n`);
}

async function tasks(call: Call, connection: ClientConnection): Promise<number> {
  const { given } = call;
  const selection = optionalSelection(call);
  const isFailed = given.flag("failed");
  const rows = await taskRows(connection, { selection, states: checkStates(call), isFailed });
  if (given.flag("json")) return await printJson({ version: CLIENT_VERSION, tasks: rows });
  return await print(formatTable(TASK_COLUMNS, rows));
}

async function workers(call: Call, connection: ClientConnection): Promise<number> {
  const { workers: rows } = await connection.ask({ kind: "workers" });
  if (call.given.flag("json")) return await printJson({ version: CLIENT_VERSION, workers: rows });
  return await print(formatTable(WORKER_COLUMNS, rows));
}

async function files(call: Call, connection: ClientConnection): Promise<number> {
  const rows = await fileRows(connection);
  if (call.given.flag("json")) return await printJson({ version: CLIENT_VERSION, files: rows });
  return await print(formatTable(FILE_COLUMNS, rows));
}

async function status({ given }: Call, connection: ClientConnection): Promise<number> {
  const { status: found } = await connection.ask({ kind: "status" });
  if (given.flag("json")) return await printJson(found);
  const refusedCount = Object.values(found.refused).reduce((sum, count) => sum + count, 0);
  const refused = refusedCount === 0 ? "" : `refused: ${refusedCount}, see --json\n`;
  const progress = describeProgress(found, Date.now());
  const others = found.urls.slice(1);
  const also = others.length === 0 ? "" : `also at: ${others.join(", ")}\n`;
  const remade = describeRecoveries(found);
  const stuck = found.unplaceable.map((tasks) => `${describeUnplaceable(tasks)}\n`).join("");
  const lines = `${also}${progress}\n${stuck}${remade}${refused}`;
  return await print(`manager: ${found.name} at ${found.url}\n${lines}`);
}

function describeRecoveries({ tasks, damaged }: ManagerStatus): string {
  const { recoveries, recoveriesWaiting, recoveriesRunning, nondeterministic } = tasks;
  if (recoveries + nondeterministic + damaged === 0) return "";
  const now = `${recoveriesWaiting} waiting, ${recoveriesRunning} running`;
  const others = nondeterministic === 0 ? "" : `; ${nondeterministic} nondeterministic, see files`;
  const lost = damaged === 0 ? "" : `; ${damaged} damaged copies dropped`;
  return `recoveries: ${recoveries}, ${now}${others}${lost}\n`;
}

async function tune(call: Call, connection: ClientConnection): Promise<number> {
  const policies = policiesOf(call);
  await connection.ask({ kind: "tune", policies });
  const { notes, policies: known } = translateParameters(policies);
  if (call.given.flag("json")) {
    return await printJson({ version: CLIENT_VERSION, policies: known, notes });
  }
  for (const note of notes) process.stderr.write(`tendril tune: ${note}\n`);
  const lines = Object.entries(known).map(([name, value]) => `${name} is ${value}\n`);
  return await print(lines.join(""));
}

/** The tasks that a command is about. */
export function selectionOf({ spec, given }: Call): TaskSelection {
  checkPositionals(spec, given.positionals, 1);
  const [selector] = given.positionals;
  if (selector !== undefined) return readSelector(selector);
  throw new UsageError(`Cannot tell which tasks are meant: expected ${spec.usage}`);
}

/** Tasks by their numbers, by a tag or by a category. */
function labelledOf(call: Call): TaskSelection {
  const { spec, given } = call;
  const labels = (["tag", "category"] as const).flatMap((kind) => {
    const label = given.text(kind);
    return label === undefined ? [] : [{ kind, label }];
  });
  const [first, ...others] = labels;
  if (first === undefined) return selectionOf(call);
  if (others.length === 0 && given.positionals.length === 0) return first;
  throw new UsageError(`Cannot tell which tasks are meant: expected ${spec.usage}`);
}

function optionalSelection(call: Call): TaskSelection {
  return call.given.positionals.length === 0 ? { kind: "all" } : selectionOf(call);
}

function checkStates({ given }: Call): readonly TaskStateName[] {
  return given.texts("state").map((text) => {
    const state = TASK_STATES.find((known) => known === text);
    if (state !== undefined) return state;
    throw new UsageError(`Cannot read --state "${text}" as one of ${TASK_STATES.join(", ")}`);
  });
}

function policiesOf({ spec, given }: Call): Readonly<Record<string, string | number | boolean>> {
  if (given.positionals.length === 0) {
    throw new UsageError(`Cannot tune without a policy: expected ${spec.usage}`);
  }
  return readPolicyArguments(given.positionals);
}

/** What tasks wrote, as text. */
export function withTexts<T extends ClientResult | TaskLogs>(found: T): object {
  const decoder = new TextDecoder();
  return {
    ...found,
    stdout: decoder.decode(found.stdout),
    stderr: decoder.decode(found.stderr),
  };
}

const TASK_COLUMNS: readonly Column<TaskRow>[] = [
  { title: "ID", isRight: true, text: ({ id }) => String(id) },
  { title: "STATE", text: ({ state, recovery }) => recovery === undefined ? state : "recovering" },
  { title: "OUTCOME", text: ({ outcome }) => outcome ?? "-" },
  { title: "TRY", isRight: true, text: (row) => String(row.try) },
  { title: "HOST", text: ({ host }) => host ?? "-" },
  { title: "TIME", isRight: true, text: timeOf },
  { title: "MEMORY", isRight: true, text: ({ used }) => used ? formatSize(used.memoryBytes) : "-" },
  { title: "COMMAND", text: ({ command }) => command },
  { title: "MESSAGE", text: ({ message }) => message },
];

const WORKER_COLUMNS: readonly Column<WorkerRow>[] = [
  { title: "WORKER", text: ({ workerId }) => workerId },
  { title: "HOST", text: ({ host }) => host },
  { title: "STATE", text: ({ state }) => state },
  { title: "CORES", isRight: true, text: (row) => share(row, "cores", String) },
  { title: "MEMORY", isRight: true, text: (row) => share(row, "memoryBytes", formatSize) },
  { title: "DISK", isRight: true, text: (row) => share(row, "diskBytes", formatSize) },
  { title: "DISK USED", isRight: true, text: diskUse },
  { title: "GPUS", isRight: true, text: (row) => share(row, "gpus", String) },
  { title: "OTHERS", text: customUse },
  { title: "TASKS", isRight: true, text: ({ tasks }) => String(tasks) },
  { title: "FILES", isRight: true, text: ({ replicas }) => String(replicas) },
  { title: "CACHED", isRight: true, text: ({ cachedBytes }) => formatSize(cachedBytes) },
  { title: "FEATURES", text: ({ features }) => features.join(",") },
];

const FILE_COLUMNS: readonly Column<FileRow>[] = [
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
  { title: "SOURCE", text: ({ source, cacheName }) => source ?? cacheName ?? "-" },
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

function sizeOf(sizeBytes: number): string {
  return sizeBytes < 0 ? "-" : formatSize(sizeBytes);
}

/** How long it ran, or has run so far. */
function timeOf({ startedAtMs, endedAtMs }: TaskRow): string {
  if (startedAtMs === 0) return "-";
  const endAtMs = endedAtMs === 0 ? Date.now() : endedAtMs;
  // Clocks of hosts differ.
  return formatDuration(Math.max(0, endAtMs - startedAtMs));
}
