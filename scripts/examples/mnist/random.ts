/** Seeded randomness of the example, which must run where the rest of the project is not. */

/**
 * Returns a function that gives the next number in [0, 1); 32 bits of `seed` are used.
 *
 * Source: mulberry32, Tommy Ettinger, public domain.
 */
export function newRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Returns 0 to `count` - 1 in random order (Fisher and Yates). */
export function shuffledIndexes(count: number, random: () => number): Uint32Array {
  const indexes = Uint32Array.from({ length: count }, (_, index) => index);
  for (let last = count - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    const swapped = indexes[last] ?? 0;
    indexes[last] = indexes[other] ?? 0;
    indexes[other] = swapped;
  }
  return indexes;
}
