/**
 * When to look at what: each thing has an instant at which its next look is due, and all looks
 * together take a small share of the worker's time, the pauses growing with what they cost.
 *
 * @module
 */

/** What one look cost of the worker's time, and how long the next one may wait. */
export interface LookEnd {
  readonly costMs: number;
  readonly pauseMs: number;
}

/** How a schedule goes about it. */
export interface LookScheduleOptions {
  /** Between two times at which looks are begun; no pause is shorter. */
  readonly tickMs: number;
  /** What all looks together take of one core at most. */
  readonly shareMax: number;
  /** Looks under way at a time. */
  readonly concurrencyMax: number;
}

interface Entry {
  readonly look: () => Promise<LookEnd>;
  dueAtMs: number;
  isLooking: boolean;
}

/** Owner of the timer. */
export class LookSchedule {
  readonly #options: LookScheduleOptions;
  readonly #entries: Set<Entry> = new Set();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #wakeAtMs = Infinity;
  #lookingCount = 0;
  #isClosed = false;

  constructor(options: LookScheduleOptions) {
    this.#options = options;
  }

  /** Has `look` called after `firstMs` and from time to time until this is disposed; it never rejects. */
  add(firstMs: number, look: () => Promise<LookEnd>): Disposable {
    const entry = { look, dueAtMs: performance.now() + firstMs, isLooking: false };
    this.#entries.add(entry);
    this.#wake(entry.dueAtMs);
    return { [Symbol.dispose]: () => void this.#entries.delete(entry) };
  }

  /** Looks no more. */
  close(): void {
    this.#isClosed = true;
    this.#entries.clear();
    clearTimeout(this.#timer);
  }

  /** A timer set for an entry that is gone finds nothing: setting it anew each time would cost more. */
  #wake(atMs: number): void {
    if (this.#isClosed || atMs >= this.#wakeAtMs) return;
    clearTimeout(this.#timer);
    this.#wakeAtMs = atMs;
    this.#timer = setTimeout(this.#tick, Math.max(this.#options.tickMs, atMs - performance.now()));
  }

  readonly #tick = (): void => {
    this.#wakeAtMs = Infinity;
    const nowMs = performance.now();
    let nextAtMs = Infinity;
    for (const entry of this.#entries) {
      if (entry.isLooking) continue;
      if (entry.dueAtMs > nowMs) nextAtMs = Math.min(nextAtMs, entry.dueAtMs);
      // Whoever is done first begins the next of those that are due.
      else if (this.#lookingCount < this.#options.concurrencyMax) void this.#look(entry);
    }
    this.#wake(nextAtMs);
  };

  async #look(entry: Entry): Promise<void> {
    entry.isLooking = true;
    this.#lookingCount += 1;
    const { costMs, pauseMs } = await entry.look();
    this.#lookingCount -= 1;
    entry.isLooking = false;
    const dearMs = costMs * this.#entries.size / this.#options.shareMax;
    entry.dueAtMs = performance.now() + Math.max(pauseMs, dearMs);
    const isCrowded = this.#lookingCount === this.#options.concurrencyMax - 1;
    this.#wake(isCrowded ? performance.now() : entry.dueAtMs);
  }
}
