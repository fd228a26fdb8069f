/**
 * Looks at what running tasks have in their sandboxes. One that has just begun is left alone, so
 * that short tasks cost nothing; the others are looked at the more seldom the longer it takes, so
 * that all of it together takes a small part of the worker's time.
 *
 * @module
 */

import type { TryId } from "../shared/task.ts";
import type { Sandbox } from "./sandbox.ts";

/** A sandbox is first looked at when it is so old, and then so often at most. */
const YOUNG_MS = 2_000;
const PAUSE_MS = 1_000;

/** Between two looks for sandboxes that are due. */
const TICK_MS = 250;

/** What all looks together take of the control loop's time at most. */
const SHARE_MAX = 0.02;

interface Watched {
  readonly id: TryId;
  readonly sandbox: Pick<Sandbox, "measure">;
  dueAtMs: number;
}

/** Owner of the timer and of the look under way. */
export class SandboxMeter {
  readonly #told: (id: TryId, bytes: number) => void;
  readonly #watched: Set<Watched> = new Set();
  #timer: ReturnType<typeof setInterval> | undefined;
  #isLooking = false;
  #isClosed = false;

  /** `told` hears of each sandbox what was found in it. */
  constructor(told: (id: TryId, bytes: number) => void) {
    this.#told = told;
  }

  /** Looks at a sandbox from time to time until this is disposed. */
  watch(id: TryId, sandbox: Pick<Sandbox, "measure">): Disposable {
    const watched = { id, sandbox, dueAtMs: performance.now() + YOUNG_MS };
    this.#watched.add(watched);
    // It goes on from task to task: starting and ending it with each would cost more.
    if (!this.#isClosed) this.#timer ??= setInterval(this.#tick, TICK_MS);
    return { [Symbol.dispose]: () => void this.#watched.delete(watched) };
  }

  /** Looks no more. */
  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  readonly #tick = (): void => {
    if (this.#watched.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
      return;
    }
    if (!this.#isLooking) void this.#lookAtDue();
  };

  /** One after another: `measure` throws nothing. */
  async #lookAtDue(): Promise<void> {
    this.#isLooking = true;
    for (const watched of this.#watched) {
      if (this.#isClosed) return;
      if (watched.dueAtMs > performance.now()) continue;
      const { bytes, costMs } = await watched.sandbox.measure();
      const pauseMs = Math.max(PAUSE_MS, costMs * this.#watched.size / SHARE_MAX);
      watched.dueAtMs = performance.now() + pauseMs;
      if (this.#watched.has(watched)) this.#told(watched.id, bytes);
    }
    this.#isLooking = false;
  }
}
