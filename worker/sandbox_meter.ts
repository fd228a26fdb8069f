/**
 * Looks at what running tasks have in their sandboxes, and instances in their directories. One that has just begun is left alone, so
 * that short tasks cost nothing; then each is looked at again before it could fill what it may have.
 *
 * @module
 */

import { LookSchedule } from "./look_schedule.ts";
import type { Sandbox } from "./sandbox.ts";

/** What to look at. */
export interface SandboxWatch {
  readonly sandbox: Pick<Sandbox, "measure">;
  /** `Infinity` is none. */
  readonly limitBytes: number;
  /** Told what was found. */
  readonly saw: (bytes: number) => void;
}

/** Looks are no closer to each other, and no further apart but for what they cost. */
const PAUSE_MS = { shortest: 50, longest: 1_000 } as const;

/** As fast a disk as there is: what a task may write between two looks. */
const WRITTEN_BYTES_PER_MS = 2e6;

/** How much faster than it did a task may go on. */
const HASTE = 4;

const SCHEDULE = { tickMs: PAUSE_MS.shortest, shareMax: 0.02, concurrencyMax: 2 } as const;

/** Owner of the looks. */
export class SandboxMeter {
  readonly #capacityBytes: number;
  readonly #schedule: LookSchedule = new LookSchedule(SCHEDULE);

  /** `capacityBytes` is the disk of the worker; 0 is not known. */
  constructor({ capacityBytes }: { readonly capacityBytes: number }) {
    this.#capacityBytes = capacityBytes > 0 ? capacityBytes : Infinity;
  }

  /** Looks at a sandbox from time to time until this is disposed. */
  watch({ sandbox, limitBytes, saw }: SandboxWatch): Disposable {
    let isOver = false;
    let last = { bytes: 0, atMs: performance.now() };
    const mostBytes = Math.min(limitBytes, this.#capacityBytes);
    const firstMs = pauseMs(mostBytes / WRITTEN_BYTES_PER_MS);
    const scheduled = this.#schedule.add(firstMs, async () => {
      const { bytes, costMs } = await sandbox.measure();
      const nowMs = performance.now();
      if (!isOver) saw(bytes);
      const grownBytes = Math.max(0, bytes - last.bytes);
      const bytesPerMs = grownBytes / Math.max(1, nowMs - last.atMs) * HASTE;
      last = { bytes, atMs: nowMs };
      // It may not have begun to write: one that is long still can fill a small disk at any time.
      const ownMs = Math.max(0, mostBytes - bytes) / WRITTEN_BYTES_PER_MS;
      const sharedMs = Math.max(0, this.#capacityBytes - bytes) / Math.max(1, bytesPerMs);
      return { costMs, pauseMs: pauseMs(Math.min(ownMs, sharedMs)) };
    });
    return {
      [Symbol.dispose]: () => {
        isOver = true;
        scheduled[Symbol.dispose]();
      },
    };
  }

  /** Looks no more. */
  close(): void {
    this.#schedule.close();
  }
}

function pauseMs(wantedMs: number): number {
  return Math.min(PAUSE_MS.longest, Math.max(PAUSE_MS.shortest, wantedMs));
}
