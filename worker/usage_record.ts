/**
 * What one try has used: the most of each resource, and how it changed where that is asked for.
 *
 * @module
 */

import { SERIES_SAMPLES_MAX } from "../shared/protocol.ts";
import type { Usage, UsageSample } from "../shared/task.ts";

/** First pause between two samples; it doubles each time that there are too many of them. */
export const SAMPLE_PAUSE_MS = 100;

/** What was found of a try's processes. */
export interface TreeUse {
  readonly memoryBytes: number;
  /** The most that one of its processes had in memory of files, which is no part of the above. */
  readonly fileBytes: number;
  readonly processCount: number;
  /** So far, of those that live and those they have waited for. */
  readonly cpuMs: number;
}

/** How a try ended, as far as it matters here. */
export interface UsageEnd {
  readonly ranMs: number;
  /** As the kernel counted them; 0 of memory when it did not. */
  readonly cpuMs: number;
  readonly memoryBytes: number;
  /** Known to have been written. */
  readonly diskBytes: number;
  /** Found as it was ended: looks between may have missed what came and went fast. */
  readonly processCount?: number;
}

/** Peaks and samples of one try. */
export class UsageRecord {
  readonly #hasSeries: boolean;
  #memoryBytesMax = 0;
  #fileBytesMax = 0;
  #processCountMax = 1;
  #cpuMsMax = 0;
  #diskBytesMax = 0;
  #diskBytes = 0;
  #samples: UsageSample[] = [];
  #samplePauseMs: number = SAMPLE_PAUSE_MS;

  constructor({ hasSeries }: { readonly hasSeries: boolean }) {
    this.#hasSeries = hasSeries;
  }

  /** The most that was found in memory so far. */
  get memoryBytesMax(): number {
    return this.#memoryBytesMax;
  }

  /**
   * The same once it has ended and one of its processes had `endBytes`: it may have had more than was
   * found between two looks, but with the files that it had mapped.
   */
  memoryPeak(endBytes: number): number {
    return Math.max(this.#memoryBytesMax, endBytes - this.#fileBytesMax);
  }

  /** When the next sample is due, since the start of the try; `Infinity` where none is wanted. */
  get nextSampleAtMs(): number {
    if (!this.#hasSeries) return Infinity;
    const last = this.#samples.at(-1);
    return last === undefined ? 0 : last.atMs + this.#samplePauseMs;
  }

  /** Takes in a look at the processes, `atMs` after the start of the try. */
  sawTree(atMs: number, { memoryBytes, fileBytes, processCount, cpuMs }: TreeUse): void {
    this.#memoryBytesMax = Math.max(this.#memoryBytesMax, memoryBytes);
    this.#fileBytesMax = Math.max(this.#fileBytesMax, fileBytes);
    this.#processCountMax = Math.max(this.#processCountMax, processCount);
    // What nobody waited for is gone with its process.
    this.#cpuMsMax = Math.max(this.#cpuMsMax, cpuMs);
    if (atMs < this.nextSampleAtMs) return;
    const diskBytes = this.#diskBytes;
    this.#samples.push({ atMs, cpuMs: this.#cpuMsMax, memoryBytes, diskBytes, processCount });
    if (this.#samples.length < SERIES_SAMPLES_MAX) return;
    this.#samples = this.#samples.filter((_, index) => index % 2 === 0);
    this.#samplePauseMs *= 2;
  }

  /** Takes in a look at the sandbox. */
  sawDisk(bytes: number): void {
    this.#diskBytes = bytes;
    this.#diskBytesMax = Math.max(this.#diskBytesMax, bytes);
  }

  /** All of it, once the try has ended. */
  total(end: UsageEnd): { readonly used: Usage; readonly series?: readonly UsageSample[] } {
    const cpuMs = Math.max(this.#cpuMsMax, end.cpuMs);
    const used = {
      cores: end.ranMs > 0 ? cpuMs / end.ranMs : 0,
      memoryBytes: this.memoryPeak(end.memoryBytes),
      diskBytes: Math.max(this.#diskBytesMax, end.diskBytes),
      processCount: Math.max(this.#processCountMax, end.processCount ?? 0),
      cpuMs,
    };
    return this.#hasSeries ? { used, series: this.#samples } : { used };
  }
}
