/** How far long work is: one line that is redrawn on a terminal; elsewhere a line now and then. */

import { beforeOutput, type Terminal } from "./terminal.ts";

/** Between two lines in a log, at the least. */
const LINE_MS = 5_000;

/** Puts the cursor at the start of a line that it empties. */
const CLEAR = "\r\x1b[K";

/** How a line is shown. */
export interface ProgressLineOptions {
  /** Calls `clear` before anything else is written to the terminal; returns how to stop. */
  readonly beforeOutput?: (clear: () => void) => () => void;
  /** When the first line goes to a log; default as long as between two. */
  readonly firstLineMs?: number;
}

/** One line about work under way; what else this process writes does not run into it. */
export class ProgressLine implements Disposable {
  readonly #terminal: Terminal;
  readonly #release: () => void;
  #shown = "";
  #lineAtMs: number;

  constructor(terminal: Terminal, options: ProgressLineOptions = {}) {
    const { beforeOutput: before = beforeOutput, firstLineMs = LINE_MS } = options;
    this.#terminal = terminal;
    this.#lineAtMs = performance.now() + firstLineMs;
    this.#release = terminal.isTTY ? before(() => this.#clear()) : () => {};
  }

  /** Shows `line` in place of the last one; in a log only when some time has passed. */
  show(line: string): void {
    if (this.#terminal.isTTY) return this.#redraw(line);
    const nowMs = performance.now();
    if (nowMs < this.#lineAtMs) return;
    this.#lineAtMs = nowMs + LINE_MS;
    this.#terminal.write(`${line}\n`);
  }

  /** Removes the line. */
  [Symbol.dispose](): void {
    this.#clear();
    this.#release();
  }

  #redraw(line: string): void {
    // A line of all columns wraps on some terminals, and a wrapped one is not cleared.
    const shown = line.slice(0, (this.#terminal.columns ?? 80) - 1);
    if (shown === this.#shown) return;
    this.#clear();
    this.#shown = shown;
    this.#terminal.write(shown);
  }

  #clear(): void {
    if (this.#shown === "") return;
    this.#shown = "";
    this.#terminal.write(CLEAR);
  }
}
