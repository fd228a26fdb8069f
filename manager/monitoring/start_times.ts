/** When things began of which the end is usually told, and sometimes not. */

/** Beginnings that are remembered; the oldest are forgotten first. */
const BEGINNINGS_MAX = 100_000;

/** The beginnings of what goes on, by key. */
export class StartTimes<Key> {
  readonly #startedAtMs: Map<Key, number> = new Map();

  /** It began. */
  begin(key: Key, atMs: number): void {
    this.#startedAtMs.delete(key);
    this.#startedAtMs.set(key, atMs);
    if (this.#startedAtMs.size <= BEGINNINGS_MAX) return;
    const [oldest] = this.#startedAtMs.keys();
    if (oldest !== undefined) this.#startedAtMs.delete(oldest);
  }

  /** When it began, if that is known; it is over, and forgotten. */
  take(key: Key): number | undefined {
    const startedAtMs = this.#startedAtMs.get(key);
    this.#startedAtMs.delete(key);
    return startedAtMs;
  }
}
