/**
 * A log that other programs read, line by line: lines are collected, sorted by their instants and
 * written together, whole ones only.
 *
 * @module
 */

import { closeSync, ftruncateSync, openSync, writeSync } from "node:fs";

/** Characters that are collected at most before they are written. */
const PENDING_CHARS_MAX: number = 4 * 1024 * 1024;

/** Bytes of one log, beyond which it takes only what is said to be essential. */
const LOG_BYTES_MAX: number = 1024 * 1024 * 1024;

/** Where a log is. */
export interface LogPlace {
  readonly path: string;
  /** Default 1 GiB. */
  readonly bytesMax?: number;
}

interface Line {
  readonly atMs: number;
  readonly text: string;
}

/** One log, which is there and empty from the start. What fails throws, and closes it. */
export class LogLines implements Disposable {
  readonly #place: LogPlace;
  #descriptor: number | undefined;
  #pending: Line[] = [];
  #pendingChars = 0;
  #bytes = 0;

  constructor(place: LogPlace) {
    this.#place = place;
    this.#descriptor = openSync(place.path, "w", 0o644);
  }

  /** True when nothing but what is essential is to be added any more. */
  get isFull(): boolean {
    return this.#bytes + this.#pendingChars >= (this.#place.bytesMax ?? LOG_BYTES_MAX);
  }

  /** Adds a line, without its end. */
  add(atMs: number, text: string): void {
    if (this.#descriptor === undefined) return;
    this.#pending.push({ atMs, text });
    this.#pendingChars += text.length + 1;
    if (this.#pendingChars >= PENDING_CHARS_MAX) this.flush();
  }

  /** Writes what was added. */
  flush(): void {
    const descriptor = this.#descriptor;
    if (descriptor === undefined || this.#pending.length === 0) return;
    // Records of many short calls come later than those of others. Sorting is stable.
    const lines = this.#pending.sort((a, b) => a.atMs - b.atMs);
    const bytes = new TextEncoder().encode(lines.map(({ text }) => `${text}\n`).join(""));
    this.#pending = [];
    this.#pendingChars = 0;
    try {
      for (let offset = 0; offset < bytes.length;) {
        offset += writeSync(descriptor, bytes, offset);
      }
      this.#bytes += bytes.length;
    } catch (error) {
      this.#cutOff(descriptor);
      throw error;
    }
  }

  /** Writes what was added, and lets go of the file. */
  [Symbol.dispose](): void {
    this.flush();
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }

  /** The disk was full in the middle of a line. */
  #cutOff(descriptor: number): void {
    try {
      ftruncateSync(descriptor, this.#bytes);
    } catch {
      // Nothing can be done for the reader of half a line.
    }
    closeSync(descriptor);
    this.#descriptor = undefined;
  }
}
