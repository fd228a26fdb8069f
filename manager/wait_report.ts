/** Waits for tasks of a manager elsewhere, shows how far they are, and tells of those that failed. */

import process from "node:process";

import { plainText, stripControls } from "../shared/plain_text.ts";
import { ProgressLine } from "../shared/progress_line.ts";
import { standardError } from "../shared/terminal.ts";
import { formatDuration } from "../shared/units.ts";
import type { ClientConnection } from "./client.ts";
import type { ClientResult, TaskSelection, WaitCounts } from "./client_protocol.ts";

/** Between two counts that the manager sends. */
const PROGRESS_MS = 250;

/** Local workers have joined by then: when there is none, somebody must start one. */
const LONELY_MS = 3_000;

/** Failures that are shown, and lines of what each wrote last. */
const FAILURES_SHOWN_MAX = 5;
const LINES_SHOWN_MAX = 10;
const LINE_CHARS_MAX = 500;

/** How tasks ended. */
export interface WaitReport {
  readonly counts: WaitCounts;
  /** The first that did not succeed. */
  readonly failures: readonly ClientResult[];
}

/** What to wait for. */
export interface WaitOptions {
  readonly selection: TaskSelection;
  readonly isShown: boolean;
}

/** Waits until the tasks have ended; undefined when it is interrupted: they go on. */
export async function waitForTasks(
  connection: ClientConnection,
  { selection, isShown }: WaitOptions,
): Promise<WaitReport | undefined> {
  const { promise: interrupted, resolve: interrupt } = Promise.withResolvers<undefined>();
  const onSignal = (): void => interrupt(undefined);
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, onSignal);
  const lonely = setTimeout(() => {
    tellOfNoWorkers(connection).catch(() => {
      // Whoever waits hears of a manager that is gone.
    });
  }, LONELY_MS);
  const line = isShown ? new ProgressLine(standardError(), { firstLineMs: 0 }) : undefined;
  try {
    const waited = connection.ask(
      { kind: "wait", selection, progressMs: isShown ? PROGRESS_MS : 0 },
      { onProgress: (counts) => line?.show(describeCounts(counts)) },
    );
    return await Promise.race([waited, interrupted]);
  } finally {
    line?.[Symbol.dispose]();
    clearTimeout(lonely);
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.off(signal, onSignal);
  }
}

/** How tasks stand, in one line. */
export function describeCounts(counts: WaitCounts): string {
  const { total, pending, running, failed, cancelled } = counts;
  const done = total - pending - running;
  const parts = [`tasks: ${done}/${total} done`, `${pending} waiting`, `${running} running`];
  parts.push(`${failed} failed`);
  if (cancelled > 0) parts.push(`${cancelled} cancelled`);
  return parts.join(", ");
}

/** How tasks ended: a line, and of the first failures what they wrote last. */
export function describeReport({ counts, failures }: WaitReport, tookMs: number): string {
  const { succeeded, failed, cancelled } = counts;
  const parts = [`${succeeded} succeeded`];
  if (failed > 0) parts.push(`${failed} failed`);
  if (cancelled > 0) parts.push(`${cancelled} cancelled`);
  const summary = `tasks: ${parts.join(", ")}; in ${formatDuration(tookMs)}\n`;
  const shown = failures.filter(({ outcome }) => outcome !== "cancelled");
  const texts = shown.slice(0, FAILURES_SHOWN_MAX).map(describeFailure);
  const hiddenCount = failed - texts.length;
  if (hiddenCount > 0) texts.push(`and ${hiddenCount} more failed\n`);
  return [...texts, summary].join("");
}

function describeFailure({ id, outcome, message, stderr }: ClientResult): string {
  const found = message === "" ? "" : `: ${plainText(message, LINE_CHARS_MAX)}`;
  const text = stripControls(new TextDecoder().decode(stderr)).trimEnd();
  const lines = text === "" ? [] : text.split("\n").slice(-LINES_SHOWN_MAX);
  const said = lines.map((line) => `  ${line.slice(0, LINE_CHARS_MAX)}\n`);
  return [`task ${id} ended as ${outcome}${found}\n`, ...said].join("");
}

async function tellOfNoWorkers(connection: ClientConnection): Promise<void> {
  const { workers } = await connection.ask({ kind: "workers" });
  if (workers.length > 0) return;
  const command = `tendril worker --name ${connection.name}`;
  process.stderr.write(`no worker is connected: start one with "${command}"\n`);
}
