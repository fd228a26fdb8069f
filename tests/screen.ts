/** A terminal that keeps what is on it, as far as Tendril draws. */

import type { Terminal } from "../shared/terminal.ts";

/** What the terminal is like. */
export interface ScreenOptions {
  readonly isTTY?: boolean;
  readonly hasColours?: boolean;
  readonly columns?: number;
  readonly rows?: number;
}

/** Knows the end of a line, the way back to its start, and the erasing of a line or all below. */
export class Screen implements Terminal {
  readonly isTTY: boolean;
  readonly hasColours: boolean;
  columns: number;
  rows: number;
  /** All that was written. */
  text = "";
  #lines: string[] = [""];
  #row = 0;
  #column = 0;
  readonly #waiting: (() => void)[] = [];

  constructor({ isTTY = true, hasColours = false, columns = 80, rows = 24 }: ScreenOptions = {}) {
    this.isTTY = isTTY;
    this.hasColours = hasColours;
    this.columns = columns;
    this.rows = rows;
  }

  write(text: string): void {
    this.text += text;
    // deno-lint-ignore no-control-regex
    for (const [part] of text.matchAll(/\x1b\[\d*[A-Z]|[\r\n]|[^\r\n\x1b]+/g)) this.#take(part);
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** Lines as a person sees them, less empty ones at the end. */
  lines(): string[] {
    return this.#lines.join("\n").trimEnd().split("\n").filter((line, at) => at > 0 || line !== "");
  }

  /** Resolves when something more was written. */
  written(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #take(part: string): void {
    const line = this.#lines[this.#row] ?? "";
    const count = Number(/\d+/.exec(part)?.[0] ?? 1);
    if (part === "\r") this.#column = 0;
    else if (part === "\n") this.#moveDown(1, 0);
    else if (part.endsWith("\x1b[K")) this.#lines[this.#row] = line.slice(0, this.#column);
    else if (part.endsWith("\x1b[J")) {
      this.#lines.length = this.#row + 1;
      this.#lines[this.#row] = line.slice(0, this.#column);
    } else if (part.startsWith("\x1b") && part.endsWith("A")) this.#row -= count;
    else if (part.startsWith("\x1b") && part.endsWith("B")) this.#moveDown(count, this.#column);
    else {
      const end = this.#column + part.length;
      this.#lines[this.#row] = line.slice(0, this.#column).padEnd(this.#column) + part +
        line.slice(end);
      this.#column = end;
    }
  }

  #moveDown(count: number, column: number): void {
    this.#row += count;
    this.#column = column;
    while (this.#lines.length <= this.#row) this.#lines.push("");
  }
}
