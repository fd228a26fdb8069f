/**
 * `tendril block`, `unblock` and `drain`: hosts that are to get nothing for a while, or nothing more.
 *
 * With `--json` each prints `{ version: 1, host, change }`.
 *
 * @module
 */

import { checkPositionals, UsageError } from "../shared/command_line.ts";
import { parseDuration } from "../shared/units.ts";
import type { ClientConnection } from "./client.ts";
import { type Call, type Command, print, printJson } from "./cli_command.ts";
import { command, OPTIONS } from "./cli_client.ts";
import { CLIENT_VERSION } from "./client_protocol.ts";
import type { HostChangeKind } from "./host_change.ts";

/** The commands of this module. */
export const HOST_COMMANDS: readonly Command[] = [
  hostCommand({
    name: "block",
    usage: "tendril block HOST [--for TIME]",
    summary: "give a host nothing until it is unblocked, or for a time",
    example: "tendril block node17 --for 30m",
    options: { ...OPTIONS, for: { value: "TIME", help: "as 30m" } },
  }),
  hostCommand({
    name: "unblock",
    usage: "tendril unblock HOST",
    summary: "give a host tasks again that was blocked or drained",
    example: "tendril unblock node17",
    options: OPTIONS,
  }),
  hostCommand({
    name: "drain",
    usage: "tendril drain HOST",
    summary: "give a host nothing more; its workers go when what they run has ended",
    example: "tendril drain node17",
    options: OPTIONS,
  }),
];

/** What is said once a host is changed. */
const DONE: { readonly [Change in HostChangeKind]: string } = {
  block: "blocked",
  unblock: "unblocked",
  drain: "draining",
};

function hostCommand(
  spec: Parameters<typeof command>[0] & { readonly name: HostChangeKind },
): Command {
  const run = (call: Call, connection: ClientConnection) => change(call, connection, spec.name);
  return command(spec, run, (call) => void readChange(call));
}

async function change(
  call: Call,
  connection: ClientConnection,
  change: HostChangeKind,
): Promise<number> {
  const { host, forMs } = readChange(call);
  const time = forMs === undefined ? {} : { forMs };
  await connection.ask({ kind: "host", host, change, ...time });
  if (!call.given.flag("json")) return await print(`${DONE[change]} host ${host}\n`);
  return await printJson({ version: CLIENT_VERSION, host, change });
}

function readChange({ spec, given }: Call): { host: string; forMs: number | undefined } {
  checkPositionals(spec, given.positionals, 1);
  const [host] = given.positionals;
  if (host === undefined || host === "") {
    throw new UsageError(`Cannot tell which host is meant: expected ${spec.usage}`);
  }
  // Others have no such option.
  const time = "for" in spec.options ? given.text("for") : undefined;
  try {
    return { host, forMs: time === undefined ? undefined : parseDuration(time, "--for") };
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}
