/** The manager's commands; and the hidden ones that bundle for Deno. */

import { existsSync } from "node:fs";
import process from "node:process";

import { join, relative } from "@std/path";

import {
  checkPositionals,
  commandHelp,
  type CommandSpec,
  EXIT_FAILURE,
  EXIT_USAGE,
  readArguments,
  UsageError,
} from "../shared/command_line.ts";
import { stripControls } from "../shared/plain_text.ts";
import { runBundle } from "../shared/runtime/bundle.ts";
import { guardProcess } from "../shared/runtime/process_guard.ts";
import { runScript, ScriptError } from "../shared/runtime/script.ts";
import { beforeOutput, standardError } from "../shared/terminal.ts";
import { hasShownStack } from "../shared/thrown.ts";
import { initDirectory } from "./cli_init.ts";
import { ACCESS_COMMAND } from "./cli_access.ts";
import { CANCEL_COMMAND } from "./cli_cancel.ts";
import {
  type Call,
  type Command,
  EXIT_BROKEN_PIPE,
  isBrokenPipe,
  print,
  type ScriptLibrary,
} from "./cli_command.ts";
import { COMPLETIONS_COMMAND } from "./cli_completions.ts";
import { DASHBOARD_COMMAND, dashboardLine } from "./cli_dashboard.ts";
import { HOST_COMMANDS } from "./cli_host.ts";
import { MANAGER_COMMAND } from "./cli_manager.ts";
import { MANAGER_OPTIONS, readManagerArguments } from "./cli_options.ts";
import { EXPLAIN_COMMAND } from "./cli_explain.ts";
import { FILES_COMMAND } from "./cli_files.ts";
import { CALLS_COMMAND } from "./cli_calls.ts";
import { LIBRARIES_COMMAND } from "./cli_libraries.ts";
import { LOGS_COMMAND } from "./cli_logs.ts";
import { MEMO_COMMAND } from "./cli_memo.ts";
import { REPORT_COMMAND } from "./cli_report.ts";
import { RUNS_COMMAND } from "./cli_runs.ts";
import { STATUS_COMMAND } from "./cli_status.ts";
import { SUBMIT_COMMAND } from "./cli_submit.ts";
import { TASKS_COMMAND } from "./cli_tasks.ts";
import { TUNE_COMMAND } from "./cli_tune.ts";
import { WAIT_COMMAND } from "./cli_wait.ts";
import { WORKERS_COMMAND } from "./cli_workers.ts";
import { ClientError } from "./client_error.ts";
import { runPage } from "./dashboard/page_bundle.ts";
import { embeddedLibrary } from "./embedded.ts";
import type { FailedTask } from "./failure_news.ts";
import { Manager } from "./manager.ts";
import {
  endManagers,
  hasFailedUnseen,
  isProcessEnding,
  onManagerOpened,
  setDefaultManagerOptions,
} from "./open_managers.ts";
import { Progress } from "./progress.ts";

const COMMANDS: readonly Command[] = [
  {
    spec: {
      name: "run",
      usage: "tendril run [options] SCRIPT [ARGS...]",
      summary: "run a workflow script as manager",
      example: "tendril run --workers 4 workflow.ts --seed 7",
      options: {
        workers: { value: "N", help: "local workers to start, unless the script says" },
        name: { value: "NAME", help: "the manager's name, by which workers find it" },
        ...MANAGER_OPTIONS,
        quiet: { help: "show no progress" },
      },
      operands: { completes: "files" },
      hasVariables: true,
      endsAtPositional: true,
    },
    run,
  },
  {
    spec: {
      name: "init",
      usage: "tendril init [DIR]",
      summary: "write a starter workflow, the library and its types",
      example: "tendril init my-workflow",
      options: {},
      operands: { completes: "directories" },
    },
    run: init,
  },
  MANAGER_COMMAND,
  SUBMIT_COMMAND,
  WAIT_COMMAND,
  CANCEL_COMMAND,
  STATUS_COMMAND,
  TASKS_COMMAND,
  CALLS_COMMAND,
  WORKERS_COMMAND,
  FILES_COMMAND,
  LIBRARIES_COMMAND,
  LOGS_COMMAND,
  EXPLAIN_COMMAND,
  TUNE_COMMAND,
  ...HOST_COMMANDS,
  DASHBOARD_COMMAND,
  REPORT_COMMAND,
  ACCESS_COMMAND,
  RUNS_COMMAND,
  MEMO_COMMAND,
  COMPLETIONS_COMMAND,
];

/** The manager's commands, for `tendril help`. */
export const MANAGER_COMMANDS: readonly CommandSpec[] = COMMANDS.map(({ spec }) => spec);

/** Runs the manager's command `name`; undefined when there is none of that name. */
export function runManagerCommand(
  name: string,
  { args, library }: { readonly args: readonly string[]; readonly library: ScriptLibrary },
): Promise<number> | undefined {
  if (name === "internal-bundle") return runBundle(args);
  if (name === "internal-page") return runPage();
  const command = COMMANDS.find(({ spec }) => spec.name === name);
  return command && runCommand(command, { args, library });
}

async function runCommand(
  { spec, run }: Command,
  { args, library }: { readonly args: readonly string[]; readonly library: ScriptLibrary },
): Promise<number> {
  try {
    const given = readArguments(spec, args, process.env);
    if (given.isHelp) return await print(commandHelp(spec));
    return await run({ spec, given, library });
  } catch (error) {
    if (isBrokenPipe(error)) return EXIT_BROKEN_PIPE;
    const message = error instanceof Error ? error.message : String(error);
    // It may repeat what a manager, a file or an argument says.
    process.stderr.write(`tendril ${spec.name}: ${stripControls(message)}\n`);
    const isUsage = error instanceof UsageError ||
      (error instanceof ClientError && error.code === "usage");
    return isUsage ? EXIT_USAGE : EXIT_FAILURE;
  }
}

/** A line of a stack that tells where in the binary itself: no use to whoever wrote the script. */
const OWN_FRAME = /^ +at .*(?:\/\$bunfs\/root\/|\(native:)/;

/** Causes that are followed. */
const CAUSES_MAX = 4;

async function run({ spec, given, library }: Call): Promise<number> {
  const [script, ...args] = given.positionals;
  if (script === undefined) {
    throw new UsageError(`Cannot run a workflow without a script: expected ${spec.usage}`);
  }
  // Before there is a secret in memory; where it cannot be had, a manager is as others are.
  await guardProcess();
  setDefaultManagerOptions(readManagerArguments(given));
  if (!given.flag("quiet")) {
    onManagerOpened((manager) => {
      if (!(manager instanceof Manager)) return;
      process.stderr.write(dashboardLine(manager, process.stderr.isTTY === true) ?? "");
      const progress = new Progress({
        status: () => manager.status(),
        subscribe: (listener) => manager.subscribe(listener),
        appOf: (id) => manager.appOf(id),
        more: (task) => failedOutputPath(manager, task),
        isEnding: isProcessEnding,
        terminal: standardError(),
        beforeOutput,
      });
      manager.onClosed(() => progress[Symbol.dispose]());
    });
  }
  try {
    await runScript(script, args, library);
  } catch (error) {
    if (error instanceof ScriptError) throw new UsageError(error.message);
    await endManagers();
    process.stderr.write(`${describeUncaught(error)}\n`);
    return EXIT_FAILURE;
  }
  await endManagers();
  if (process.exitCode !== undefined) return Number(process.exitCode);
  return hasFailedUnseen() ? EXIT_FAILURE : 0;
}

/** File of the run's records with what a failed task wrote, from here; undefined without one. */
function failedOutputPath(
  { runDirectory }: Manager,
  { id, try: number }: FailedTask,
): string | undefined {
  if (runDirectory === undefined) return undefined;
  return ["stderr", "stdout"]
    .map((stream) => join(runDirectory, "outputs", `${id}-${number}.${stream}`))
    .filter((path) => existsSync(path))
    .map((path) => relative(process.cwd(), path))[0];
}

/** The error and its causes with their stacks, as a runtime shows what nobody caught. */
function describeUncaught(error: unknown): string {
  if (!(error instanceof Error)) return `Uncaught ${String(error)}`;
  // A set: an error may have taken the stack of its cause for its own.
  const told = new Set<string>();
  let next: unknown = error;
  for (let depth = 0; next instanceof Error && depth <= CAUSES_MAX; depth++) {
    const { message } = next;
    const text = describeError(next);
    // One line that an error before it has quoted adds nothing.
    const isQuoted = !text.includes("\n") &&
      [...told].some((one) => one.includes(`: ${message}`));
    if (!isQuoted) told.add(text);
    // One that has the stack of what was thrown elsewhere tells of that itself.
    next = hasShownStack(next) ? undefined : next.cause;
  }
  return [...told].join("\ncaused by: ");
}

/** The error with its stack, less what is in the binary. */
function describeError(error: Error): string {
  if (!error.stack?.includes(error.message)) return `${error.name}: ${error.message}`;
  return error.stack.split("\n").filter((line) => !OWN_FRAME.test(line)).join("\n");
}

async function init({ spec, given }: Call): Promise<number> {
  checkPositionals(spec, given.positionals, 1);
  const [directory = "."] = given.positionals;
  const embedded = embeddedLibrary();
  if (embedded === undefined) {
    throw new Error(
      'Cannot write the library: this program carries none; "scripts/build" makes it',
    );
  }
  const names = initDirectory(directory, embedded);
  return await print(names.map((name) => `wrote ${name}\n`).join("") || "nothing to write\n");
}
