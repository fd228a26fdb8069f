/** `tendril access`: an access file with fewer secrets, to be given to whoever needs no more. */

import { type AccessFile, describeLack, findAccessFile } from "../shared/access_file.ts";
import { checkPositionals, type CommandSpec, UsageError } from "../shared/command_line.ts";
import { type Role, ROLES, type Secrets } from "../shared/handshake.ts";
import { writeAccessCopy } from "./access.ts";
import { checkName } from "./cli_client.ts";
import { type Call, type Command, printJson } from "./cli_command.ts";

const SPEC: CommandSpec = {
  name: "access",
  usage: "tendril access --role ROLE [--name NAME] -o FILE",
  summary: "write an access file for workers, clients or viewers only",
  example: "tendril access --name blast --role worker -o blast-worker.json",
  options: {
    name: {
      value: "NAME",
      completes: "managers",
      help: "the manager; default: the only one that runs",
    },
    access: { value: "FILE", help: "the access file to take from, instead of a name" },
    role: {
      value: "ROLE",
      isMultiple: true,
      values: ROLES,
      help: "worker, client or viewer; repeatable",
    },
    output: { value: "FILE", short: "o", help: "where to write it; - is stdout" },
  },
};

/** The command `access`. */
export const ACCESS_COMMAND: Command = { spec: SPEC, run: access };

async function access({ given }: Call): Promise<number> {
  checkPositionals(SPEC, given.positionals, 0);
  const roles = given.texts("role").map(readRole);
  const output = given.text("output");
  if (roles.length === 0) {
    throw new UsageError(
      `Cannot write an access file without --role: expected ${ROLES.join(", ")}`,
    );
  }
  if (output === undefined) {
    throw new UsageError("Cannot write an access file without -o FILE: - is stdout");
  }
  checkName(given.text("name"));
  const from = await findAccessFile({ name: given.text("name"), access: given.text("access") });
  const part = { ...from, secrets: secretsOf(from, roles) };
  if (output === "-") return await printJson(part);
  await writeAccessCopy(output, part);
  return 0;
}

function secretsOf(from: AccessFile, roles: readonly Role[]): Secrets {
  const kept: { [R in Role]?: string } = {};
  for (const role of roles) {
    const secret = from.secrets[role];
    if (secret === undefined) {
      const found = describeLack(from, role);
      throw new Error(`Cannot give the ${role} secret of manager "${from.name}": ${found}`);
    }
    kept[role] = secret;
  }
  return kept;
}

function readRole(text: string): Role {
  const role = ROLES.find((known) => known === text);
  if (role !== undefined) return role;
  throw new UsageError(`Cannot read --role "${text}" as a role: expected ${ROLES.join(", ")}`);
}
