/** Lines of a terminal that are drawn anew in place, below what was there; no other screen is used. */

import type { Terminal } from "./terminal.ts";

/**
 * Removes the block. The cursor waits at its start, as in progress_line.ts: so it stays there when
 * the terminal is made narrower or lower. ECMA-48, 8.3.39.
 */
const CLEAR = "\r\x1b[J";

/** What is left of a line before goes; 8.3.41. */
const END_LINE = "\x1b[K";

/** A block of lines; what else is written to the terminal meanwhile spoils it. */
export class ScreenBlock implements Disposable {
  readonly #terminal: Terminal;
  #text = "";
  #lineCount = 0;
  /** Of the terminal when the block was drawn. */
  #columns = 0;
  #rows = 0;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  /** Shows lines that fit the width, those of them that fit the height, in place of the last ones. */
  show(lines: readonly string[]): void {
    const { columns, rows } = this.#terminal;
    const shown = cutLines(lines, rows - 1);
    const text = shown.join("\n");
    if (text === this.#text && columns === this.#columns && rows === this.#rows) return;
    const isMoved = columns !== this.#columns || rows !== this.#rows;
    const drawn = shown.map((line) => `${line}${END_LINE}`).join("\r\n");
    const up = shown.length > 1 ? `\x1b[${shown.length - 1}A` : "";
    // In one piece: nobody sees half of it.
    this.#terminal.write(`${isMoved ? CLEAR : "\r"}${drawn}\x1b[J${up}\r`);
    this.#text = text;
    this.#lineCount = shown.length;
    this.#columns = columns;
    this.#rows = rows;
  }

  /** Leaves the block where it is and goes on below it. */
  [Symbol.dispose](): void {
    if (this.#lineCount === 0) return;
    const down = this.#lineCount > 1 ? `\x1b[${this.#lineCount - 1}B` : "";
    this.#terminal.write(`${down}\r\n`);
    this.#lineCount = 0;
    this.#text = "";
  }
}

/** The last line says how many more there are. */
function cutLines(lines: readonly string[], rows: number): readonly string[] {
  const most = Math.max(1, rows);
  if (lines.length <= most) return lines;
  return [...lines.slice(0, most - 1), `… ${lines.length - most + 1} more`];
}
