/** Tables for a terminal or a pipe: columns as wide as what is in them. */

import { plainText } from "../shared/plain_text.ts";

/** One column. */
export interface Column<Row> {
  readonly title: string;
  readonly isRight?: boolean;
  readonly text: (row: Row) => string;
}

/** Characters of one cell. */
const CELL_CHARS_MAX = 100;

/** The rows as lines under their titles, each with its end. */
export function formatTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const cells = rows.map((row) => columns.map(({ text }) => plainText(text(row), CELL_CHARS_MAX)));
  const lines = [columns.map(({ title }) => title), ...cells];
  const widths = columns.map((_, index) => {
    let width = 0;
    for (const line of lines) width = Math.max(width, line[index]?.length ?? 0);
    return width;
  });
  return lines.map((line) => {
    const padded = line.map((cell, index) => {
      const width = widths[index] ?? 0;
      return columns[index]?.isRight === true ? cell.padStart(width) : cell.padEnd(width);
    });
    return `${padded.join("  ").trimEnd()}\n`;
  }).join("");
}
