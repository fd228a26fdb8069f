/** `tendril explain`: why tasks do not run. With `--json` `{ version, explanations, hasMore }`. */

import process from "node:process";

import { command, OPTIONS, selectionOf, SELECTORS } from "./cli_client.ts";
import { type Call, type Command, print, printJson } from "./cli_command.ts";
import type { ClientConnection } from "./client.ts";
import { CLIENT_VERSION } from "./client_protocol.ts";
import { describeExplanation, describeExplanations } from "./explanation_text.ts";
import { explanationsOf } from "./rows.ts";

/** Tasks that one command asks about. */
const TASKS_MAX = 10_000;

/** The command. */
export const EXPLAIN_COMMAND: Command = command(
  {
    name: "explain",
    usage: "tendril explain SEL",
    summary: "say why tasks do not run, tasks alike together; all: those that have not ended",
    example: "tendril explain last",
    options: OPTIONS,
    operands: { values: SELECTORS },
  },
  explain,
  selectionOf,
);

async function explain(call: Call, connection: ClientConnection): Promise<number> {
  const selection = selectionOf(call);
  const found = await explanationsOf(connection, { selection, most: TASKS_MAX });
  const { explanations, hasMore } = found;
  if (explanations.length === 0 && selection.kind === "ids") {
    const what = call.given.positionals[0];
    throw new Error(
      `Cannot explain "${what}": no task has that number, or it ended too long ago to be ` +
        'remembered; for calls of apps "tendril calls" has the numbers of their tasks',
    );
  }
  if (call.given.flag("json")) {
    const documents = explanations.map((explanation) => {
      return { ...explanation, lines: describeExplanation(explanation) };
    });
    return await printJson({ version: CLIENT_VERSION, explanations: documents, hasMore });
  }
  const lines = describeExplanations(explanations);
  await print(lines.map((line) => `${line}\n`).join("") || "no task waits or runs\n");
  if (hasMore) process.stderr.write(`tendril explain: only the first ${TASKS_MAX} are told of\n`);
  return 0;
}
