/** Simulated time: callbacks in order of their instant, then of their scheduling. */

import { type Heap, newHeap, popHeap, pushHeap } from "../../shared/heap.ts";

/** Time that jumps to the next thing that happens. */
export class Clock {
  nowMs = 0;
  #order = 0;
  readonly #queue: Heap<{ atMs: number; order: number; run: () => void }> = newHeap((a, b) =>
    a.atMs !== b.atMs ? a.atMs < b.atMs : a.order < b.order
  );

  /** Runs `run` in `delayMs`. */
  after(delayMs: number, run: () => void): void {
    pushHeap(this.#queue, { atMs: this.nowMs + delayMs, order: this.#order++, run });
  }

  /** Runs the next callback; false when there is none. */
  advance(): boolean {
    const next = popHeap(this.#queue);
    if (next === undefined) return false;
    this.nowMs = next.atMs;
    next.run();
    return true;
  }
}
