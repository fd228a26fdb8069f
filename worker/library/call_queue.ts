/** The calls of an instance that no process has: in order, but for those that come back first. */

import type { HeldCall } from "./slot_calls.ts";

/** A line of calls. One that has ended stays in it until its turn, and is passed over then. */
export class CallQueue {
  readonly #hasEnded: (call: HeldCall) => boolean;
  #calls: HeldCall[] = [];
  #next = 0;

  constructor(hasEnded: (call: HeldCall) => boolean) {
    this.#hasEnded = hasEnded;
  }

  /** True when nobody waits. */
  get isEmpty(): boolean {
    return this.first() === undefined;
  }

  /** Puts a call behind all others. */
  push(call: HeldCall): void {
    this.#calls.push(call);
  }

  /** Puts calls before all others. */
  putBack(calls: readonly HeldCall[]): void {
    this.#calls.splice(this.#next, 0, ...calls);
  }

  /** The call whose turn it is. */
  first(): HeldCall | undefined {
    for (; this.#next < this.#calls.length; this.#next++) {
      const call = this.#calls[this.#next];
      if (call !== undefined && !this.#hasEnded(call)) return call;
    }
    this.#calls.length = 0;
    this.#next = 0;
    return undefined;
  }

  /** Takes that call. */
  shift(): void {
    this.#next++;
  }
}
