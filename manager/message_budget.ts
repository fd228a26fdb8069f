/** How much one connection of a worker may say: enough for any honest one, too little to harm others. */

import type { WorkerMessage } from "../shared/protocol.ts";

/**
 * What may be said each second for any length of time. Calls of libraries, the shortest work that
 * there is, end at 50,000 a second on all workers together, and each may be told to have started.
 */
const PER_SECOND = 100_000;

/** What may be said at once, after a pause of either side. */
const BURST = 200_000;

/** What one connection has left to say. */
export class MessageBudget {
  #left: number = BURST;
  #atMs: number;

  constructor(nowMs: number) {
    this.#atMs = nowMs;
  }

  /** Takes what `messages` cost; false when it is more than there is. */
  spend(messages: readonly WorkerMessage[], nowMs: number): boolean {
    const grown = this.#left + (nowMs - this.#atMs) / 1_000 * PER_SECOND;
    this.#left = Math.min(BURST, grown) - costOf(messages);
    this.#atMs = nowMs;
    return this.#left >= 0;
  }
}

/** One for each message, and for each try that a message tells of. */
function costOf(messages: readonly WorkerMessage[]): number {
  let cost = messages.length;
  for (const message of messages) {
    if (message.kind === "tries_started") cost += message.tries.length;
    else if (message.kind === "results") cost += message.results.length;
  }
  return cost;
}
