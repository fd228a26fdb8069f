/** The manager's commands: `run`, `init`, `status`; and the hidden one that bundles for Deno. */

import process from "node:process";
import { parseArgs } from "node:util";

import { runBundle } from "../shared/runtime/bundle.ts";
import { runScript, ScriptError } from "../shared/runtime/script.ts";
import { initDirectory } from "./cli_init.ts";
import { askStatus } from "./client.ts";
import { readManagerOptions, readPolicies } from "./config.ts";
import { DEFAULT_POLICIES } from "./core/policy.ts";
import { embeddedLibrary } from "./embedded.ts";
import { Manager } from "./manager.ts";
import { closeManagers, onManagerOpened, setDefaultManagerOptions } from "./open_managers.ts";
import { describeProgress, Progress } from "./progress.ts";

const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;

/** Arguments that cannot be read: the command ends with code 2. */
class UsageError extends Error {
  override readonly name = "UsageError";
}

type Values = { readonly [name: string]: string | boolean | (string | boolean)[] | undefined };

interface Option {
  /** Placeholder of the value; absent for a switch. */
  readonly value?: string;
  readonly isMultiple?: boolean;
  readonly help: string;
}

interface Command {
  readonly usage: string;
  readonly summary: string;
  readonly example: string;
  readonly options: { readonly [name: string]: Option };
  readonly run: (call: Call) => Promise<number>;
}

interface Call {
  readonly values: Values;
  readonly positionals: readonly string[];
  /** What a script imports as "tendril". */
  readonly library: Readonly<Record<string, unknown>>;
}

const COMMANDS: { readonly [name: string]: Command } = {
  run: {
    usage: "tendril run [options] SCRIPT [ARGS...]",
    summary: "run a workflow script as manager",
    example: "tendril run --workers 4 workflow.ts --seed 7",
    options: {
      workers: { value: "N", help: "local workers to start" },
      name: { value: "NAME", help: "the manager's name, by which workers find it" },
      listen: { value: "HOST:PORT", help: "address to listen on; default 127.0.0.1:0" },
      policy: { value: "NAME=VALUE", isMultiple: true, help: "a policy; repeatable" },
      "run-directory": { value: "DIR", help: "where the logs of local workers go" },
      quiet: { help: "show no progress" },
    },
    run,
  },
  init: {
    usage: "tendril init [DIR]",
    summary: "write a starter workflow, the library and its types",
    example: "tendril init my-workflow",
    options: {},
    run: init,
  },
  status: {
    usage: "tendril status [--name NAME] [--json]",
    summary: "show what a running manager does",
    example: "tendril status --name blast --json",
    options: {
      name: { value: "NAME", help: "the manager; default: the only one that runs" },
      json: { help: "print one JSON document" },
    },
    run: status,
  },
};

/** One line for each command of the manager, for `tendril help`. */
export function managerHelp(): string[] {
  return Object.values(COMMANDS).map(({ usage, summary }) => `${usage.padEnd(42)} ${summary}`);
}

/** Runs the manager's command `name`; undefined when there is none of that name. */
export function runManagerCommand(
  name: string,
  { args, library }: {
    readonly args: readonly string[];
    readonly library: Readonly<Record<string, unknown>>;
  },
): Promise<number> | undefined {
  if (name === "internal-bundle") return runBundle(args[0] ?? "");
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  return command && runCommand(name, command, { args, library });
}

async function runCommand(
  name: string,
  command: Command,
  { args, library }: {
    readonly args: readonly string[];
    readonly library: Readonly<Record<string, unknown>>;
  },
): Promise<number> {
  try {
    const { values, positionals } = readArguments(name, command, args);
    if (values["help"] === true) return print(helpOf(command));
    return await command.run({ values, positionals, library });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    process.stderr.write(`tendril ${name}: ${message}\n`);
    return error instanceof UsageError ? EXIT_USAGE : EXIT_FAILURE;
  }
}

/** Options of `run` end at the script: what follows is the script's own. */
function readArguments(
  name: string,
  command: Command,
  args: readonly string[],
): { values: Values; positionals: string[] } {
  const options = Object.fromEntries(
    Object.entries({ ...command.options, help: { help: "" } as Option })
      .map(([option, { value, isMultiple }]) => [option, {
        type: value === undefined ? "boolean" as const : "string" as const,
        multiple: isMultiple ?? false,
      }]),
  );
  const end = name === "run" ? endOfOptions(command, args) : args.length;
  try {
    const { values, positionals } = parseArgs({
      args: args.slice(0, end),
      options,
      allowPositionals: true,
      strict: true,
    });
    return { values, positionals: [...positionals, ...args.slice(end)] };
  } catch (error) {
    const found = error instanceof Error ? error.message.split(/\. |\n/)[0] : String(error);
    throw new UsageError(`Cannot read the options: ${found}; see "tendril ${name} --help"`);
  }
}

/** Index of the first argument that is neither an option nor the value of one. */
function endOfOptions(command: Command, args: readonly string[]): number {
  let index = 0;
  while (index < args.length) {
    const argument = args[index] ?? "";
    if (argument === "--") return index + 1;
    if (!argument.startsWith("--")) return index;
    const option = command.options[argument.slice(2)];
    index += option?.value === undefined ? 1 : 2;
  }
  return args.length;
}

function helpOf(command: Command): string {
  const options = Object.entries(command.options).map(([name, { value, help }]) => {
    return `  --${name}${value === undefined ? "" : ` ${value}`}`.padEnd(26) + help;
  });
  const lines = [command.usage, "", command.summary];
  if (options.length > 0) lines.push("", ...options);
  return [...lines, "", `Example: ${command.example}`, ""].join("\n");
}

async function run({ values, positionals, library }: Call): Promise<number> {
  const [script, ...args] = positionals;
  if (script === undefined) {
    throw new UsageError('Cannot run a workflow: no script is named; see "tendril run --help"');
  }
  setDefaultManagerOptions(readRunOptions(values));
  const shown: Progress[] = [];
  if (values["quiet"] !== true) {
    onManagerOpened((manager) => {
      if (!(manager instanceof Manager)) return;
      const progress = new Progress(() => manager.status(), process.stderr);
      shown.push(progress);
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
function readRunOptions(values: Values): object {
  const { workers, name, listen, policy } = values;
  const runDirectory = values["run-directory"];
  const policies = Array.isArray(policy) ? readPolicyArguments(policy.map(String)) : undefined;
  const options = {
    ...(workers === undefined ? {} : { workers: readWorkerCount(String(workers)) }),
    ...(name === undefined ? {} : { name: String(name) }),
    ...(listen === undefined ? {} : { listen: String(listen) }),
    ...(runDirectory === undefined ? {} : { runDirectory: String(runDirectory) }),
    ...(policies === undefined ? {} : { policies }),
  };
  try {
    readManagerOptions(options);
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
  return options;
}

function readWorkerCount(text: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw new UsageError(`Cannot read --workers "${text}" as a number of workers`);
}

function readPolicyArguments(texts: readonly string[]): Record<string, unknown> {
  const policies: Record<string, unknown> = {};
  for (const text of texts) {
    const match = /^([A-Za-z]+)=(.+)$/s.exec(text);
    if (match?.[1] === undefined || match[2] === undefined) {
      throw new UsageError(`Cannot read --policy "${text}" as a policy: expected NAME=VALUE`);
    }
    const [, name, value] = match;
    policies[name] = readPolicyValue(value);
  }
  try {
    readPolicies(policies, DEFAULT_POLICIES);
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
  return policies;
}

function readPolicyValue(text: string): unknown {
  if (text === "true" || text === "false") return text === "true";
  return /^\d+(\.\d+)?$/.test(text) ? Number(text) : text;
}

// deno-lint-ignore require-await -- every command returns a promise
async function init({ positionals }: Call): Promise<number> {
  const [directory = ".", ...others] = positionals;
  if (others.length > 0) throw new UsageError(`Cannot write to "${others[0]}" too: one DIR only`);
  const embedded = embeddedLibrary();
  if (embedded === undefined) {
    throw new Error(
      'Cannot write the library: this program carries none; "scripts/build" makes it',
    );
  }
  const names = initDirectory(directory, embedded);
  return print(names.map((name) => `wrote ${name}\n`).join("") || "nothing to write\n");
}

async function status({ values, positionals }: Call): Promise<number> {
  if (positionals.length > 0) {
    throw new UsageError(
      `Cannot read "${positionals[0]}" as an option: see "tendril status --help"`,
    );
  }
  const name = values["name"] ?? process.env["TENDRIL_NAME"];
  const found = await askStatus(name === undefined ? undefined : String(name));
  if (values["json"] === true) return print(`${JSON.stringify(found, undefined, 2)}\n`);
  return print(`manager: ${found.name} at ${found.url}\n${describeProgress(found, Date.now())}\n`);
}

function print(text: string): number {
  process.stdout.write(text);
  return 0;
}
