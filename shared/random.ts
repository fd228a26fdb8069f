/** A seeded generator: one seed is one run, in production and in simulation. */

/** State of a generator: plain data, so that it can be kept inside a core's state. */
export interface RandomState {
  /** 32 bits. */
  value: number;
}

/** Makes a generator from `seed`, of which 32 bits are used. */
export function newRandom(seed: number): RandomState {
  return { value: seed >>> 0 };
}

/**
 * Returns the next number in [0, 1).
 *
 * Source: mulberry32, Tommy Ettinger, public domain.
 */
export function nextRandom(state: RandomState): number {
  state.value = (state.value + 0x6d2b79f5) >>> 0;
  let mixed = Math.imul(state.value ^ (state.value >>> 15), state.value | 1);
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
}

/** Returns the next whole number in [0, `bound`); `bound` is at least 1. */
export function nextRandomBelow(state: RandomState, bound: number): number {
  return Math.floor(nextRandom(state) * bound);
}
