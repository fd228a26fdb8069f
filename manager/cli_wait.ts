/**
 * `tendril wait`, and what others say that wait for tasks. With `--json`
 * `{ version: 1, counts, failures }`.
 *
 * @module
 */

import process from "node:process";

import { EXIT_FAILURE } from "../shared/command_line.ts";
import { standardError } from "../shared/terminal.ts";
import { command, OPTIONS, selectionOf, SELECTORS, targetArguments } from "./cli_client.ts";
import { type Call, type Command, printJson } from "./cli_command.ts";
import type { ClientConnection } from "./client.ts";
import { CLIENT_VERSION, type ClientResult, type TaskLogs } from "./client_protocol.ts";
import { describeReport, waitForTasks, type WaitReport } from "./wait_report.ts";

/** Exit code of a wait that Ctrl-C ended: 128 and the number of SIGINT, as shells have it. */
export const EXIT_INTERRUPTED = 130;

/** The command. */
export const WAIT_COMMAND: Command = command(
  {
    name: "wait",
    usage: "tendril wait SEL",
    summary: "wait until tasks have ended; SEL: 5, 1-10, 1,3,5-8, last, all",
    example: "tendril wait 1-10 --progress",
    options: { ...OPTIONS, progress: { help: "show how far they are" } },
    operands: { values: SELECTORS },
  },
  wait,
  selectionOf,
);

async function wait(call: Call, connection: ClientConnection): Promise<number> {
  const { given } = call;
  const selection = selectionOf(call);
  const report = await waitForTasks(connection, { selection, isShown: given.flag("progress") });
  if (report === undefined) return tellInterrupted(call, given.positionals[0] ?? "");
  if (given.flag("json")) await printJson({ version: CLIENT_VERSION, ...reportDocument(report) });
  else tellReport(call, report);
  return exitCodeOf(report);
}

/** Says on standard error how tasks ended. */
export function tellReport({ given }: Call, report: WaitReport): void {
  const { hasColours } = standardError();
  const more = ({ id }: { readonly id: number }): string => {
    return `tendril logs ${id} --stderr${targetArguments(given)}`;
  };
  process.stderr.write(describeReport(report, { hasColours, more }));
}

/** Says that tasks go on whose wait was interrupted. */
export function tellInterrupted({ spec, given }: Call, selector: string): number {
  const cancel = `tendril cancel ${selector}${targetArguments(given)}`;
  process.stderr.write(`tendril ${spec.name}: the tasks go on; to end them: ${cancel}\n`);
  return EXIT_INTERRUPTED;
}

/** Fails unless all succeeded. */
export function exitCodeOf({ counts }: WaitReport): number {
  return counts.succeeded === counts.total ? 0 : EXIT_FAILURE;
}

/** A report as JSON has it. */
export function reportDocument({ counts, failures }: WaitReport): object {
  return { counts, failures: failures.map(withTexts) };
}

/** What tasks wrote, as text. */
export function withTexts<T extends ClientResult | TaskLogs>(found: T): object {
  const decoder = new TextDecoder();
  return {
    ...found,
    stdout: decoder.decode(found.stdout),
    stderr: decoder.decode(found.stderr),
  };
}
