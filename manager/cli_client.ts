/**
 * What commands that ask a running manager have in common: how they find it, which tasks they are
 * about, and their words.
 *
 * @module
 */

import process from "node:process";

import { accessPath, type ManagerTarget } from "../shared/access_file.ts";
import {
  checkPositionals,
  type CommandArguments,
  type CommandSpec,
  type OptionSpec,
  UsageError,
} from "../shared/command_line.ts";
import type { ClientConnection } from "./client.ts";
import type { Call, Command } from "./cli_command.ts";
import type { TaskSelection } from "./client_protocol.ts";
import { connectClient } from "./find_manager.ts";
import { readSelector } from "./selector.ts";

/** Options by which the manager is found. */
export const TARGET_OPTIONS: { readonly [name: string]: OptionSpec } = {
  name: {
    value: "NAME",
    completes: "managers",
    help: "the manager; default: the only one that runs",
  },
  access: { value: "FILE", help: "its access file, where it is not found by name" },
};

/** The option of commands that print. */
export const JSON_OPTION: OptionSpec = {
  help: "print one JSON document; its field version says of which shape",
};

/** Of each of them. */
export const OPTIONS: CommandSpec["options"] = { ...TARGET_OPTIONS, json: JSON_OPTION };

/** What arguments of commands about tasks may be beside numbers. */
export const SELECTORS: readonly string[] = ["last", "all"];

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

/** The tasks that a command is about. */
export function selectionOf({ spec, given }: Call): TaskSelection {
  checkPositionals(spec, given.positionals, 1);
  const [selector] = given.positionals;
  if (selector !== undefined) return readSelector(selector);
  throw new UsageError(`Cannot tell which tasks are meant: expected ${spec.usage}`);
}

/** The same of a command that is about all unless it is said. */
export function optionalSelection(call: Call): TaskSelection {
  return call.given.positionals.length === 0 ? { kind: "all" } : selectionOf(call);
}

/** Connects, uses the connection and closes it. */
export async function withClient<T>(
  { spec, given }: Pick<Call, "spec" | "given">,
  use: (connection: ClientConnection) => Promise<T>,
  /** Time for a manager that is only starting. */
  waitMs: number = 0,
): Promise<T> {
  const target = { name: given.text("name"), access: given.text("access") };
  checkName(target.name);
  const onWait = (): void => {
    const which = describeTarget(target);
    process.stderr.write(`tendril ${spec.name}: waiting for ${which} to start\n`);
  };
  await using connection = await connectClient(target, { waitMs, onWait });
  return await use(connection);
}

/** A name that no manager can have is wrong usage: nothing is waited for. */
export function checkName(name: string | undefined): void {
  try {
    if (name !== undefined) accessPath(name);
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

function describeTarget({ name, access }: ManagerTarget): string {
  if (access !== undefined) return `the manager of "${access}"`;
  return name === undefined ? "a manager" : `manager "${name}"`;
}

/** The options by which the same manager was found, as they are written after a command. */
export function targetArguments(given: CommandArguments): string {
  return ["name", "access"].flatMap((name) => {
    const value = given.text(name);
    return value === undefined ? [] : [` --${name} ${shellQuote(value)}`];
  }).join("");
}

/** `text` as one word of a POSIX shell. */
export function shellQuote(text: string): string {
  if (/^[A-Za-z0-9_@%+=:,./-]+$/.test(text)) return text;
  return `'${text.replaceAll("'", "'\\''")}'`;
}
