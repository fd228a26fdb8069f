/**
 * How late the event loop is: a timer tells it whenever it fires. Where nothing blocks the loop for
 * long that is about a millisecond.
 *
 * `monitorEventLoopDelay` of node:perf_hooks would do the same, but on Deno it always tells 0.
 *
 * @module
 */

/** Between two looks. */
const LOOK_MS = 500;

/** Looks at the event loop until it is disposed of; it keeps no process from ending. */
export class LoopDelay implements Disposable {
  readonly #note: (delayMs: number) => void;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(note: (delayMs: number) => void) {
    this.#note = note;
    this.#plan();
  }

  /** Looks no more. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  #plan(): void {
    const dueAtMs = performance.now() + LOOK_MS;
    // One after the other: an interval would catch up after a delay, and hide the next one.
    this.#timer = setTimeout(() => {
      const delayMs = Math.max(0, performance.now() - dueAtMs);
      this.#plan();
      this.#note(delayMs);
    }, LOOK_MS);
    this.#timer.unref?.();
  }
}
