/** How far long work is: one line that is redrawn on a terminal; elsewhere a line now and then. */

import { cutSpans, renderSpans, type Span } from "./span.ts";
import { beforeOutput, type ClearLine, type Terminal } from "./terminal.ts";

/** Between two lines in a log, at the least. */
const LINE_MS = 5_000;

/**
 * Removes the line, however many rows it takes by now. The cursor waits at its start: a terminal
 * that wraps lines anew when it is made narrower takes the cursor along to the first of these rows,
 * and one that does not has but one. ECMA-48, 8.3.39.
 */
const CLEAR = "\r\x1b[J";

/** What is left of the line before goes, and the cursor goes back to the start; 8.3.41. */
const END = "\x1b[K\r";

/** What to show in so many columns. */
export type FitLine = (columns: number) => readonly Span[];

/** How a line is shown. */
export interface ProgressLineOptions {
  /** Calls `clear` before anything else is written to the terminal; returns how to stop. */
  readonly beforeOutput?: (clear: ClearLine) => () => void;
  /** When the first line goes to a log; default as long as between two. */
  readonly firstLineMs?: number;
}

/** One line about work under way; what else this process writes does not run into it. */
export class ProgressLine implements Disposable {
  readonly #terminal: Terminal;
  readonly #release: () => void;
  #shown = "";
  /** Of the terminal when the line was drawn. */
  #columns = 0;
  /** Somebody else's line has no end yet. */
  #isLineOpen = false;
  #lineAtMs: number;

  constructor(terminal: Terminal, options: ProgressLineOptions = {}) {
    const { beforeOutput: before = beforeOutput, firstLineMs = LINE_MS } = options;
    this.#terminal = terminal;
    this.#lineAtMs = performance.now() + firstLineMs;
    this.#release = terminal.isTTY
      ? before((isLineOpen) => {
        this.hide();
        this.#isLineOpen = isLineOpen;
      })
      : () => {};
  }

  /** Shows `line` in place of the last one; in a log only when some time has passed. */
  show(line: string | FitLine): void {
    const fit: FitLine = typeof line === "string" ? () => [{ text: line }] : line;
    if (this.#terminal.isTTY) return this.#redraw(fit);
    const nowMs = performance.now();
    if (nowMs < this.#lineAtMs) return;
    this.#lineAtMs = nowMs + LINE_MS;
    this.#terminal.write(`${renderSpans(fit(Infinity), false)}\n`);
  }

  /** Removes the line until it is shown again. */
  hide(): void {
    if (this.#shown === "") return;
    this.#shown = "";
    this.#terminal.write(CLEAR);
  }

  /** Writes whole lines where the line is. */
  print(text: string): void {
    this.hide();
    this.#terminal.write(this.#isLineOpen ? `\n${text}` : text);
    this.#isLineOpen = false;
  }

  /** Removes the line. */
  [Symbol.dispose](): void {
    this.hide();
    this.#release();
  }

  #redraw(fit: FitLine): void {
    if (this.#isLineOpen) return;
    const { columns, hasColours } = this.#terminal;
    // A line of all columns wraps on some terminals.
    const shown = renderSpans(cutSpans(fit(columns - 1), columns - 1), hasColours);
    if (shown === this.#shown && columns === this.#columns) return;
    const isWrapped = this.#shown !== "" && columns < this.#columns;
    this.#shown = shown;
    this.#columns = columns;
    this.#terminal.write(`${isWrapped ? CLEAR : ""}\r${shown}${END}`);
  }
}
