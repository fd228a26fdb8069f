/** Which of the bars of its worker a try is drawn as: the first one that is free when it starts. */

/** Bars of a worker at most; what is beyond them has none. */
const LANES_MAX = 1_024;

/** What two clocks differ by at most: so much later than it is told a try may have its bar. */
const SLACK_MS = 2;

/** A try that has ended: when it can have started, and how long it took. */
export interface Span {
  readonly earliestMs: number;
  readonly latestMs: number;
  readonly ranMs: number;
}

/** The bars of one worker. */
export class Lanes {
  /** Until when each is taken; `Infinity` while nobody knows. */
  readonly #untilMs: number[] = [];

  /** Takes the first bar that is free from `startMs` on; undefined when there are too many. */
  take(startMs: number): number | undefined {
    const lanes = this.#untilMs;
    const lane = this.#find(startMs);
    if (lane !== undefined) lanes[lane] = Infinity;
    return lane;
  }

  /** Takes the first bar that is free in time for what has ended, and says from when on. */
  place(
    { earliestMs, latestMs, ranMs }: Span,
  ): { readonly lane: number | undefined; readonly startMs: number } {
    const lane = this.#find(latestMs + SLACK_MS);
    if (lane === undefined) return { lane, startMs: latestMs };
    const startMs = Math.max(earliestMs, this.#untilMs[lane] ?? 0);
    this.#untilMs[lane] = startMs + ranMs;
    return { lane, startMs };
  }

  /** The bar is free from then on. */
  free(lane: number, atMs: number): void {
    this.#untilMs[lane] = atMs;
  }

  #find(byMs: number): number | undefined {
    const lanes = this.#untilMs;
    let lane = 0;
    while (lane < lanes.length && (lanes[lane] ?? 0) > byMs) lane += 1;
    return lane < LANES_MAX ? lane : undefined;
  }
}
