/** Which of the bars of its worker a try is drawn as: the first one that is free when it starts. */

/** Bars of a worker at most; what is beyond them has none. */
const LANES_MAX = 1_024;

/** The bars of one worker. */
export class Lanes {
  /** Until when each is taken; `Infinity` while nobody knows. */
  readonly #untilMs: number[] = [];

  /** Takes the first bar that is free from `startMs` on; undefined when there are too many. */
  take(startMs: number, untilMs: number = Infinity): number | undefined {
    const lanes = this.#untilMs;
    let lane = 0;
    while (lane < lanes.length && (lanes[lane] ?? 0) > startMs) lane += 1;
    if (lane >= LANES_MAX) return undefined;
    lanes[lane] = untilMs;
    return lane;
  }

  /** The bar is free from then on. */
  free(lane: number, atMs: number): void {
    this.#untilMs[lane] = atMs;
  }
}
