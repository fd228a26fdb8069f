/** `tendril cancel`: ends tasks. With `--json` `{ version: 1, cancelled }`. */

import { UsageError } from "../shared/command_line.ts";
import { command, OPTIONS, selectionOf, SELECTORS } from "./cli_client.ts";
import { type Call, type Command, print, printJson } from "./cli_command.ts";
import type { ClientConnection } from "./client.ts";
import { CLIENT_VERSION, type TaskSelection } from "./client_protocol.ts";

/** The command. */
export const CANCEL_COMMAND: Command = command(
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
    operands: { values: SELECTORS },
  },
  cancel,
  labelledOf,
);

async function cancel(call: Call, connection: ClientConnection): Promise<number> {
  const { count } = await connection.ask({ kind: "cancel", selection: labelledOf(call) });
  if (call.given.flag("json")) {
    return await printJson({ version: CLIENT_VERSION, cancelled: count });
  }
  return await print(`cancelled ${count} ${count === 1 ? "task" : "tasks"}\n`);
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
