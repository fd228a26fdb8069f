/** The manager's commands: `run`, `init`, `status`; and the hidden one that bundles for Deno. */

import process from "node:process";

import {
  checkPositionals,
  type CommandArguments,
  commandHelp,
  type CommandSpec,
  EXIT_FAILURE,
  EXIT_USAGE,
  readArguments,
  UsageError,
} from "../shared/command_line.ts";
import { runBundle } from "../shared/runtime/bundle.ts";
import { guardProcess } from "../shared/runtime/process_guard.ts";
import { runScript, ScriptError } from "../shared/runtime/script.ts";
import { initDirectory } from "./cli_init.ts";
import { askStatus } from "./client.ts";
import { ACCESS_COMMAND, runAccess } from "./cli_access.ts";
import { LISTEN_OPTIONS, readListenOptions } from "./cli_listen.ts";
import {
  type ManagerOptions,
  type PolicyOptions,
  readManagerOptions,
  readPolicies,
} from "./config.ts";
import { DEFAULT_POLICIES } from "./core/policy.ts";
import { embeddedLibrary } from "./embedded.ts";
import { Manager } from "./manager.ts";
import { closeManagers, onManagerOpened, setDefaultManagerOptions } from "./open_managers.ts";
import { describeProgress, Progress } from "./progress.ts";
import { beforeOutput, standardError } from "./terminal.ts";

interface Command {
  readonly spec: CommandSpec;
  readonly run: (call: Call) => Promise<number>;
}

interface Call {
  readonly spec: CommandSpec;
  readonly given: CommandArguments;
  /** What a script imports as "tendril". */
  readonly library: Library;
}

/** What a script imports as "tendril". */
type Library = Readonly<Record<string, unknown>>;

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
        ...LISTEN_OPTIONS,
        policy: { value: "NAME=VALUE", isMultiple: true, help: "a policy; repeatable" },
        "run-directory": { value: "DIR", help: "where the logs of local workers go" },
        quiet: { help: "show no progress" },
      },
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
    },
    run: init,
  },
  {
    spec: {
      name: "status",
      usage: "tendril status [--name NAME] [--json]",
      summary: "show what a running manager does",
      example: "tendril status --name blast --json",
      options: {
        name: { value: "NAME", help: "the manager; default: the only one that runs" },
        json: { help: "print one JSON document; its field version says of which shape" },
      },
      hasVariables: true,
    },
    run: status,
  },
  { spec: ACCESS_COMMAND, run: ({ given }) => runAccess(given) },
];

/** The manager's commands, for `tendril help`. */
export const MANAGER_COMMANDS: readonly CommandSpec[] = COMMANDS.map(({ spec }) => spec);

/** Runs the manager's command `name`; undefined when there is none of that name. */
export function runManagerCommand(
  name: string,
  { args, library }: { readonly args: readonly string[]; readonly library: Library },
): Promise<number> | undefined {
  if (name === "internal-bundle") return runBundle(args[0] ?? "");
  const command = COMMANDS.find(({ spec }) => spec.name === name);
  return command && runCommand(command, { args, library });
}

async function runCommand(
  { spec, run }: Command,
  { args, library }: { readonly args: readonly string[]; readonly library: Library },
): Promise<number> {
  try {
    const given = readArguments(spec, args, process.env);
    if (given.isHelp) return print(commandHelp(spec));
    return await run({ spec, given, library });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    process.stderr.write(`tendril ${spec.name}: ${message}\n`);
    return error instanceof UsageError ? EXIT_USAGE : EXIT_FAILURE;
  }
}

async function run({ spec, given, library }: Call): Promise<number> {
  const [script, ...args] = given.positionals;
  if (script === undefined) {
    throw new UsageError(`Cannot run a workflow without a script: expected ${spec.usage}`);
  }
  // Before there is a secret in memory; where it cannot be had, a manager is as others are.
  await guardProcess();
  setDefaultManagerOptions(readRunOptions(given));
  if (!given.flag("quiet")) {
    onManagerOpened((manager) => {
      if (!(manager instanceof Manager)) return;
      const status = () => manager.status();
      const progress = new Progress({ status, terminal: standardError(), beforeOutput });
      manager.onClosed(() => progress[Symbol.dispose]());
    });
  }
  try {
    await runScript(script, args, library);
  } catch (error) {
    if (error instanceof ScriptError) throw new UsageError(error.message);
    await closeManagers();
    process.stderr.write(`${describeUncaught(error)}\n`);
    return EXIT_FAILURE;
  }
  await closeManagers();
  return process.exitCode === undefined ? 0 : Number(process.exitCode);
}

/** The error with its stack, as a runtime shows what nobody caught. */
function describeUncaught(error: unknown): string {
  if (!(error instanceof Error)) return `Uncaught ${String(error)}`;
  return error.stack?.includes(error.message) ? error.stack : `${error.name}: ${error.message}`;
}

/** The options of `Manager.start` that the command line states, checked before the script runs. */
function readRunOptions(given: CommandArguments): ManagerOptions {
  const [workers, name] = ["workers", "name"].map((option) => given.text(option));
  const runDirectory = given.text("run-directory");
  const policies = given.texts("policy");
  const options = {
    ...(workers === undefined ? {} : { workers: readWorkerCount(workers) }),
    ...(name === undefined ? {} : { name }),
    ...readListenOptions(given),
    ...(runDirectory === undefined ? {} : { runDirectory }),
    ...(policies.length === 0 ? {} : { policies: readPolicyArguments(policies) }),
  };
  checkUsage(() => readManagerOptions(options));
  return options;
}

function readWorkerCount(text: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw new UsageError(`Cannot read --workers "${text}" as a number of workers`);
}

function readPolicyArguments(texts: readonly string[]): PolicyOptions {
  const policies: Record<string, unknown> = {};
  for (const text of texts) {
    const match = /^([A-Za-z]+)=(.+)$/s.exec(text);
    if (match?.[1] === undefined || match[2] === undefined) {
      throw new UsageError(`Cannot read --policy "${text}" as a policy: expected NAME=VALUE`);
    }
    const [, name, value] = match;
    policies[name] = readPolicyValue(value);
  }
  checkUsage(() => readPolicies(policies, DEFAULT_POLICIES));
  return policies;
}

function checkUsage(check: () => void): void {
  try {
    check();
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

function readPolicyValue(text: string): unknown {
  if (text === "true" || text === "false") return text === "true";
  return /^\d+(\.\d+)?$/.test(text) ? Number(text) : text;
}

// deno-lint-ignore require-await -- every command returns a promise
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
  return print(names.map((name) => `wrote ${name}\n`).join("") || "nothing to write\n");
}

async function status({ spec, given }: Call): Promise<number> {
  checkPositionals(spec, given.positionals, 0);
  const found = await askStatus(given.text("name"));
  if (given.flag("json")) return print(`${JSON.stringify(found, undefined, 2)}\n`);
  return print(`manager: ${found.name} at ${found.url}\n${describeProgress(found, Date.now())}\n`);
}

function print(text: string): number {
  process.stdout.write(text);
  return 0;
}
