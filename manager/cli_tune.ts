/** `tendril tune`: other policies. With `--json` `{ version: 1, policies, notes }`. */

import process from "node:process";

import { UsageError } from "../shared/command_line.ts";
import { command, OPTIONS } from "./cli_client.ts";
import { type Call, type Command, print, printJson } from "./cli_command.ts";
import { POLICY_VALUES, readPolicyArguments } from "./cli_policy.ts";
import type { ClientConnection } from "./client.ts";
import { CLIENT_VERSION } from "./client_protocol.ts";
import { translateParameters } from "./tune_parameter.ts";

/** The command. */
export const TUNE_COMMAND: Command = command(
  {
    name: "tune",
    usage: "tendril tune NAME=VALUE...",
    summary: "change policies of a running manager",
    example: "tendril tune transfersPerWorker=4 peerTransfers=false",
    options: OPTIONS,
    operands: { values: POLICY_VALUES },
  },
  tune,
  (call) => void policiesOf(call),
);

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

function policiesOf({ spec, given }: Call): Readonly<Record<string, string | number | boolean>> {
  if (given.positionals.length === 0) {
    throw new UsageError(`Cannot tune without a policy: expected ${spec.usage}`);
  }
  return readPolicyArguments(given.positionals);
}
