/** What managers of this process say to a person while they run: on stderr, and in their logs. */

import process from "node:process";

import { plainText } from "../shared/plain_text.ts";

/** Names and reasons from elsewhere may be in it. */
const MESSAGE_CHARS_MAX = 4_000;

const listeners = new Set<(message: string) => void>();

/** Says it on one line. */
export function tell(message: string): void {
  process.stderr.write(`tendril: ${plainText(message, MESSAGE_CHARS_MAX)}\n`);
  for (const listener of listeners) listener(message);
}

/** Calls `listener` with what is said from now on; gives back how to stop. */
export function onTold(listener: (message: string) => void): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}
