/** How long whoever has lost its manager waits before it dials again; DESIGN section 5. */

/** Delays of the first rounds of dialling after a break. */
const DELAYS_MS: readonly number[] = [0, 100, 500, 1_000, 2_000];

/** Delay of every later round. */
const DELAY_MS_MAX = 5_000;

/** A delay is drawn from this part of it on, so that a thousand do not dial at once. */
const JITTER = 0.5;

/** The delay before that round of dialling, of which the first is 0; `random` is from 0 to 1. */
export function redialDelayMs(round: number, random: number): number {
  return (DELAYS_MS[round] ?? DELAY_MS_MAX) * (1 - JITTER * random);
}
