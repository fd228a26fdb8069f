/**
 * `tendril submit`: tasks without writing code.
 *
 * With `--json` it prints `{ version: 1, ids, count }`, where `ids` is a selector, and, when it
 * waits, `counts` and `failures` as `tendril wait` does.
 *
 * @module
 */

import { access, constants } from "node:fs/promises";

import { forEachBounded } from "../shared/bounded.ts";
import { type CommandArguments, type CommandSpec, UsageError } from "../shared/command_line.ts";
import type { TaskId } from "../shared/ids.ts";
import { parseFileUrl } from "../shared/url/address.ts";
import { type ArrayMember, memberPath, readMembers } from "./array.ts";
import type { ClientConnection } from "./client.ts";
import { CLIENT_VERSION, type TaskSelection } from "./client_protocol.ts";
import { JSON_OPTION, shellQuote, TARGET_OPTIONS, withClient } from "./cli_client.ts";
import { type Call, type Command, print, printJson } from "./cli_command.ts";
import { readPairs, readTaskOptions, TASK_OPTIONS } from "./cli_task_option.ts";
import { exitCodeOf, reportDocument, tellInterrupted, tellReport } from "./cli_wait.ts";
import type { RemoteFile } from "./remote_file.ts";
import { RemoteManager } from "./remote_manager.ts";
import type { RemoteTaskOptions } from "./remote_task_options.ts";
import { taskRows } from "./rows.ts";
import { describeIds, rangesOf } from "./selector.ts";
import { waitForTasks } from "./wait_report.ts";

/** Time for a manager that was started in the background just before. */
const START_MS_MAX = 10_000;

/** Outputs that are brought here at the same time. */
const FETCHES_MAX = 8;

const SPEC: CommandSpec = {
  name: "submit",
  usage: "tendril submit [options] -- COMMAND...",
  summary: "submit a command, or an array of them, to a running manager",
  example: "tendril submit --wait --array 1-20 -- 'echo $TENDRIL_ARRAY_ID'",
  options: {
    wait: { help: "wait until all have ended; fail unless all succeeded" },
    progress: { help: "wait, and show how far they are" },
    array: { value: "NUMBERS", help: "a task for each of 1-100, 1-10:2 or 1,3,5-8" },
    "each-line": { value: "FILE", help: "a task for each line, in $TENDRIL_ENTRY" },
    input: { value: "NAME=PATH", isMultiple: true, help: "a file, directory or url; repeatable" },
    output: {
      value: "NAME=PATH",
      isMultiple: true,
      help: "a file that is left, there or at a url; %{ARRAY_ID} stands for the number",
    },
    environment: { value: "FILE", isMultiple: true, help: "packed software to run in; repeatable" },
    ...TASK_OPTIONS,
    ...TARGET_OPTIONS,
    json: JSON_OPTION,
  },
  hasVariables: true,
  operands: { completes: "files" },
  endsAtPositional: true,
};

/** The command `submit`. */
export const SUBMIT_COMMAND: Command = { spec: SPEC, run: submit };

/** What was asked for, before it is submitted. */
interface Wanted {
  readonly members: readonly ArrayMember[];
  /** Mount and path; the path may have a place for the number. */
  readonly outputs: readonly (readonly [mount: string, path: string])[];
}

async function submit(call: Call): Promise<number> {
  const { given } = call;
  // All that can be wrong with the arguments alone is found before a manager is looked for.
  const command = readCommand(call);
  const options = readTaskOptions(given);
  const [inputs, outputs] = [readPairs(given, "input"), readPairs(given, "output")];
  for (const [name, path] of inputs) await checkThere(path, `--input ${name}`);
  for (const path of given.texts("environment")) await checkThere(path, "--environment");
  const [array, eachLine] = [given.text("array"), given.text("each-line")];
  const members = await readMembers({ array, eachLine });
  for (const [name, path] of outputs) {
    members.forEach((one) => memberPath(path, one, members.length));
    if (isUrl(path)) checkUrl(path, `--output ${name}`);
  }
  return await withClient(call, async (connection) => {
    checkOutputs(call, connection, outputs.some(([, path]) => !isUrl(path)));
    const manager = new RemoteManager(connection);
    const task: RemoteTaskOptions = {
      ...options,
      command,
      inputs: Object.fromEntries(inputs.map(([name, path]) => [name, declare(manager, path)])),
      environment: given.texts("environment").map((path) => {
        return manager.environment(declare(manager, path));
      }),
    };
    const { isLocal } = connection;
    const wanted = { members, outputs };
    const submitted = await submitMembers(manager, { task, wanted, isLocal });
    return await follow(call, { connection, manager, submitted });
  }, START_MS_MAX);
}

/** True of what workers fetch, or store, themselves. */
function isUrl(path: string): boolean {
  return /^(?:https?|file):\/\//i.test(path);
}

function checkUrl(path: string, what: string): void {
  try {
    parseFileUrl(path);
  } catch (cause) {
    const found = cause instanceof Error ? cause.message : String(cause);
    throw new UsageError(`Cannot take ${what}: ${found}`, { cause });
  }
}

function declare(manager: RemoteManager, path: string): RemoteFile {
  return isUrl(path) ? manager.url(path) : manager.file(path);
}

/** What is not there now would only be missed by the tasks. */
async function checkThere(path: string, what: string): Promise<void> {
  if (isUrl(path)) return checkUrl(path, what);
  try {
    await access(path, constants.R_OK);
  } catch (cause) {
    const found = cause instanceof Error ? cause.message : String(cause);
    throw new UsageError(`Cannot read ${what} "${path}": ${found}`, { cause });
  }
}

/** Where the manager cannot write to this host, somebody must wait and bring the files. */
function checkOutputs({ given }: Call, { isLocal, host }: ClientConnection, isAny: boolean): void {
  if (isLocal || !isAny || isWaiting(given)) return;
  throw new UsageError(
    `Cannot write outputs here without waiting for them: the manager runs on "${host}"; use --wait`,
  );
}

function isWaiting(given: CommandArguments): boolean {
  return given.flag("wait") || given.flag("progress");
}

/** Files that are brought here by this command, under their ids. */
interface Submitted {
  readonly ids: readonly TaskId[];
  /** `{index of a member: [file, path] of its outputs}`; empty when the manager writes them. */
  readonly fetched: readonly (readonly (readonly [RemoteFile, string])[])[];
}

async function submitMembers(
  manager: RemoteManager,
  { task, wanted: { members, outputs }, isLocal }: {
    readonly task: RemoteTaskOptions;
    readonly wanted: Wanted;
    readonly isLocal: boolean;
  },
): Promise<Submitted> {
  const fetched: (readonly [RemoteFile, string])[][] = [];
  const ids = await manager.submitArray(
    task,
    members.map((member) => {
      const files: [RemoteFile, string][] = [];
      const pairs = outputs.map(([mount, pattern]) => {
        const path = memberPath(pattern, member, members.length);
        if (isLocal || isUrl(path)) return [mount, declare(manager, path)] as const;
        const file = manager.buffer();
        files.push([file, path]);
        return [mount, file] as const;
      });
      if (!isLocal) fetched.push(files);
      return { env: member.env, outputs: Object.fromEntries(pairs) };
    }),
  );
  return { ids, fetched };
}

/** Tells of what was submitted and, if that is wanted, waits for it. */
async function follow(
  call: Call,
  { connection, manager, submitted }: {
    readonly connection: ClientConnection;
    readonly manager: RemoteManager;
    readonly submitted: Submitted;
  },
): Promise<number> {
  const { given } = call;
  const { ids } = submitted;
  const document = { version: CLIENT_VERSION, ids: describeIds(ids), count: ids.length };
  const isJson = given.flag("json");
  if (!isJson) await print(`submitted ${ids.length === 1 ? "task" : "tasks"} ${document.ids}\n`);
  if (!isWaiting(given)) return isJson ? await printJson(document) : 0;
  const selection = toSelection(ids);
  const isShown = given.flag("progress");
  const report = await waitForTasks(connection, { selection, isShown });
  if (report === undefined) return tellInterrupted(call, document.ids);
  await bringOutputs(connection, manager, submitted);
  if (isJson) await printJson({ ...document, ...reportDocument(report) });
  else tellReport(call, report);
  return exitCodeOf(report);
}

/** Brings the outputs of tasks that succeeded to this host. */
async function bringOutputs(
  connection: ClientConnection,
  manager: RemoteManager,
  { ids, fetched }: Submitted,
): Promise<void> {
  if (fetched.length === 0) return;
  const rows = await taskRows(connection, { selection: toSelection(ids), states: ["done"] });
  const good = new Set(rows.filter(({ outcome }) => outcome === "success").map(({ id }) => id));
  const files = fetched.flatMap((some, index) => {
    const id = ids[index];
    return id !== undefined && good.has(id) ? some : [];
  });
  await forEachBounded(files, FETCHES_MAX, async ([file, path]) => {
    await manager.fetch(file, path);
  });
}

/** One argument is shell text as it is; several are words. */
function readCommand({ spec, given: { positionals } }: Call): string {
  const [first, ...others] = positionals;
  if (first === undefined || (others.length === 0 && first.trim() === "")) {
    throw new UsageError(`Cannot submit a task without a command: expected ${spec.usage}`);
  }
  return others.length === 0 ? first : positionals.map(shellQuote).join(" ");
}

function toSelection(ids: readonly TaskId[]): TaskSelection {
  return { kind: "ids", ranges: rangesOf(ids) };
}
