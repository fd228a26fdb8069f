/** How fast tasks end: over the last minute, not since the start, and not while there was no work. */

/** How far back it looks. */
const WINDOW_MS = 60_000;

/** It looks further back until it sees so many ends, so that tasks of minutes have a pace too. */
const ENDS_MIN = 10;

/** Between two samples, at the least: some 70 are kept. */
const SAMPLE_MS = 1_000;

/** How many tasks had ended at a time. */
interface Sample {
  readonly atMs: number;
  readonly ended: number;
}

/** Where the work stands. */
export interface PaceCounts {
  /** So far. */
  readonly ended: number;
  /** Submitted and not ended. */
  readonly pending: number;
}

/** The pace of one manager, or of one selection of tasks. */
export class Pace {
  /** Oldest first, never empty. */
  #samples: Sample[];
  #ended: number;
  #isIdle = true;

  constructor({ ended }: PaceCounts, atMs: number) {
    this.#samples = [{ atMs, ended }];
    this.#ended = ended;
  }

  /** Notes where the work stands now. */
  note({ ended, pending }: PaceCounts, atMs: number): void {
    if (this.#isIdle && (pending > 0 || ended > this.#ended)) {
      this.#samples = [{ atMs, ended: this.#ended }];
    }
    this.#isIdle = pending === 0;
    if (ended === this.#ended) return;
    const last = this.#samples.at(-1);
    if (last === undefined || atMs - last.atMs >= SAMPLE_MS) this.#samples.push({ atMs, ended });
    this.#ended = ended;
    this.#prune(atMs);
  }

  /** Ends in a second. */
  perSecond(atMs: number): number {
    this.#prune(atMs);
    const first = this.#samples[0];
    if (first === undefined || first.ended === this.#ended) return 0;
    return (this.#ended - first.ended) * 1_000 / Math.max(atMs - first.atMs, 1);
  }

  #prune(atMs: number): void {
    const isEnough = ({ atMs: thenMs, ended }: Sample): boolean => {
      return thenMs <= atMs - WINDOW_MS && this.#ended - ended >= ENDS_MIN;
    };
    for (let next = this.#samples[1]; next && isEnough(next); next = this.#samples[1]) {
      this.#samples.shift();
    }
  }
}
