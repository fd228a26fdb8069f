/** Lets long runs of small synchronous file calls share the control loop. */

import { setImmediate as nextTurn } from "node:timers/promises";

/** How long the loop may be held at a stretch. */
const STRETCH_MS = 2;

/** Steps between two looks at the clock. */
const STEPS_PER_LOOK = 16;

/** A clock of one run: after each step, `if (pacer.isDue()) await pacer.pause()`. */
export class Pacer {
  #steps = 0;
  #startAtMs: number = performance.now();

  /** True when the loop should have its turn. */
  isDue(): boolean {
    this.#steps += 1;
    return this.#steps % STEPS_PER_LOOK === 0 &&
      performance.now() - this.#startAtMs >= STRETCH_MS;
  }

  /** Waits for the next turn of the event loop. */
  async pause(): Promise<void> {
    await nextTurn();
    this.#startAtMs = performance.now();
  }
}
