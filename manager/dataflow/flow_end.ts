/** The end of a flow: waiting for its calls, aloud, and what is said of those that failed. */

import type { Kernel } from "./kernel.ts";

/** After that time of waiting people are told for what, in milliseconds. */
const NOTE_AFTER_MS = 1_000;

/**
 * How long calls are waited for that nothing but the script itself could go on with: promises among
 * their arguments, and functions of joins. The block that had made them is over.
 */
const SCRIPT_WAIT_MS_MAX = 10 * 60_000;

/** Characters of a message on the line about failures. */
const MESSAGE_CHARS_MAX = 300;

/** How the end of a flow is told, and when. */
export interface FlowEndOptions {
  readonly write: (line: string) => void;
  /** Default `NOTE_AFTER_MS`; also how often is looked. */
  readonly noteAfterMs?: number;
  /** Default `SCRIPT_WAIT_MS_MAX`. */
  readonly scriptWaitMs?: number;
}

/**
 * Waits until all calls have ended. Those that wait for the script alone are cancelled after a
 * while: an error may have kept it from ever going on.
 */
export async function waitForCalls(kernel: Kernel, options: FlowEndOptions): Promise<void> {
  const { write, noteAfterMs = NOTE_AFTER_MS, scriptWaitMs = SCRIPT_WAIT_MS_MAX } = options;
  let isTold = false;
  let waitedMs = 0;
  const timer = setInterval(() => {
    if (!isTold) write(waitingLine(kernel));
    isTold = true;
    waitedMs = kernel.isWaitingForPromises ? waitedMs + noteAfterMs : 0;
    if (waitedMs < scriptWaitMs) return;
    kernel.cancelAll("the flow was closed, and what it waited for in the script did not come");
  }, noteAfterMs);
  try {
    await kernel.whenIdle();
  } finally {
    clearInterval(timer);
  }
}

/** Tells of failures that nobody saw; undefined where there is none. */
export function unseenLine({ failures: { count, first } }: Kernel): string | undefined {
  if (count === 0) return undefined;
  const [line = ""] = first?.message.split("\n") ?? [];
  const cut = line.length <= MESSAGE_CHARS_MAX ? line : `${line.slice(0, MESSAGE_CHARS_MAX - 1)}…`;
  return `tendril: ${callsOf(count)} failed that nobody awaited; the first one: ${cut}\n`;
}

function waitingLine(kernel: Kernel): string {
  const whose = kernel.isWaitingForPromises ? ", which wait for promises of the script" : "";
  return `tendril: waiting for ${callsOf(kernel.openCount)} of the flow${whose}; interrupt to ` +
    'cancel, or load({ exit: "cancel" })\n';
}

function callsOf(count: number): string {
  return count === 1 ? "1 call" : `${count} calls`;
}
