/** What commands that ask a running manager have in common: how they find it, and its words. */

import process from "node:process";

import type { CommandArguments, OptionSpec } from "../shared/command_line.ts";
import type { ClientConnection } from "./client.ts";
import type { Call } from "./cli_command.ts";
import { connectClient } from "./find_manager.ts";

/** Options by which the manager is found. */
export const TARGET_OPTIONS: { readonly [name: string]: OptionSpec } = {
  name: { value: "NAME", help: "the manager; default: the only one that runs" },
  access: { value: "FILE", help: "its access file, where it is not found by name" },
};

/** The option of commands that print. */
export const JSON_OPTION: OptionSpec = {
  help: "print one JSON document; its field version says of which shape",
};

/** Connects, uses the connection and closes it. */
export async function withClient<T>(
  { spec, given }: Pick<Call, "spec" | "given">,
  use: (connection: ClientConnection) => Promise<T>,
  /** Time for a manager that is only starting. */
  waitMs: number = 0,
): Promise<T> {
  const target = { name: given.text("name"), access: given.text("access") };
  const meant = target.name ?? target.access;
  const onWait = (): void => {
    const which = meant === undefined ? "a manager" : `manager "${meant}"`;
    process.stderr.write(`tendril ${spec.name}: waiting for ${which} to start\n`);
  };
  await using connection = await connectClient(target, { waitMs, onWait });
  return await use(connection);
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
