/** How tests wait: for a condition, never for a time. */

import { setTimeout as delay } from "node:timers/promises";

const LOOK_PAUSE_MS = 5;
const UNTIL_MS_MAX = 40_000;

/** Waits for `condition`; throws with `what` when it does not come true in time. */
export async function until(
  condition: () => unknown,
  what: string,
  withinMs: number = UNTIL_MS_MAX,
): Promise<void> {
  const endAtMs = performance.now() + withinMs;
  while (!await condition()) {
    if (performance.now() > endAtMs) {
      throw new Error(`Cannot wait longer than ${withinMs} ms until ${what}`);
    }
    await delay(LOOK_PAUSE_MS);
  }
}
