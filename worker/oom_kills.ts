/**
 * Processes that the kernel ended because there was no memory left, on this host or in the container
 * that the worker is in: a counter, whose change says that one was ended lately.
 *
 * @module
 */

import { readFileSync } from "node:fs";

/** The counter is read no more often than this. */
const FRESH_MS = 1_000;

/** Owner of what the counter was. */
export class OomKills {
  readonly #read: () => string;
  #count: number;
  #readAtMs: number = performance.now();

  /** `read` gives lines of `NAME VALUE`, `oom_kill` one of them; by default those of this host. */
  constructor(read: () => string = () => readFileSync("/proc/vmstat", "latin1")) {
    this.#read = read;
    this.#count = this.#find();
  }

  /** Called from time to time while tries run, so that what `hasRisen` tells is of late. */
  refresh(): void {
    if (performance.now() - this.#readAtMs >= FRESH_MS) this.hasRisen();
  }

  /** True when it has risen since it was read last. */
  hasRisen(): boolean {
    const before = this.#count;
    this.#count = this.#find();
    this.#readAtMs = performance.now();
    return this.#count > before;
  }

  #find(): number {
    try {
      return Number(/^oom_kill (\d+)$/m.exec(this.#read())?.[1] ?? 0);
    } catch {
      // Not Linux.
      return 0;
    }
  }
}
