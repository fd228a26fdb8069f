/** Tables: columns as wide as what is in them; on a terminal as narrow as that is. */

import { plainText } from "../shared/plain_text.ts";
import { cutSpans, renderSpans, type Span, type Tone } from "../shared/span.ts";
import { standardOutput } from "../shared/terminal.ts";
import { cutText, textWidth } from "../shared/text_width.ts";

/** One column. */
export interface Column<Row> {
  readonly title: string;
  readonly isRight?: boolean;
  /** Made narrower where the table does not fit. */
  readonly isFlexible?: boolean;
  readonly text: (row: Row) => string;
  readonly tone?: (row: Row) => Tone | undefined;
}

/** What a table is written to. */
export interface TableSize {
  /** `Infinity` of a pipe, for which nothing is cut. */
  readonly columns: number;
  readonly hasColours: boolean;
}

/** Of what is read by programs. */
export const PIPE: TableSize = { columns: Infinity, hasColours: false };

/** What standard output is. */
export function outputSize(): TableSize {
  const { isTTY, columns, hasColours } = standardOutput();
  return isTTY ? { columns, hasColours } : PIPE;
}

/** Characters of one cell. */
const CELL_CHARS_MAX = 100;

/** A flexible column is not made narrower than this. */
const FLEXIBLE_COLUMNS_MIN = 10;

const GAP = "  ";

/** The rows as lines under their titles, each with its end. */
export function formatTable<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  { columns: room, hasColours }: TableSize = PIPE,
): string {
  const head = columns.map(({ title }): Span => ({ text: title }));
  const cells = rows.map((row) =>
    columns.map(({ text, tone }): Span => {
      return { text: plainText(text(row), CELL_CHARS_MAX), tone: tone?.(row) };
    })
  );
  const lines = [head, ...cells];
  const widths = fitWidths(columns, { widths: widthsOf(columns.length, lines), room });
  return lines.map((line) => {
    const spans = line.flatMap((cell, index) => {
      const { isRight = false } = columns[index] ?? {};
      const isLast = index === columns.length - 1;
      return [...pad(cell, { width: widths[index] ?? 0, isRight }), { text: isLast ? "" : GAP }];
    });
    return `${renderSpans(trimEnd(cutSpans(spans, room)), hasColours)}\n`;
  }).join("");
}

function widthsOf(count: number, lines: readonly (readonly Span[])[]): number[] {
  const widths = new Array<number>(count).fill(0);
  for (const line of lines) {
    for (const [index, { text }] of line.entries()) {
      widths[index] = Math.max(widths[index] ?? 0, textWidth(text));
    }
  }
  return widths;
}

/** Takes from the widest of the flexible columns until the table fits or nothing can be taken. */
function fitWidths(
  columns: readonly Column<never>[],
  { widths, room }: { readonly widths: readonly number[]; readonly room: number },
): readonly number[] {
  const fitted = [...widths];
  const gaps = GAP.length * (columns.length - 1);
  let excess = fitted.reduce((sum, width) => sum + width, gaps) - room;
  while (excess > 0) {
    const widest = columns.reduce((best, { isFlexible }, index) => {
      return isFlexible === true && (fitted[index] ?? 0) > (fitted[best] ?? 0) ? index : best;
    }, -1);
    const width = fitted[widest] ?? 0;
    if (width <= FLEXIBLE_COLUMNS_MIN) break;
    fitted[widest] = width - 1;
    excess -= 1;
  }
  return fitted;
}

function pad(
  { text, tone }: Span,
  { width, isRight }: { readonly width: number; readonly isRight: boolean },
): Span[] {
  const shown = cutText(text, width);
  const space = { text: " ".repeat(Math.max(0, width - textWidth(shown))) };
  return isRight ? [space, { text: shown, tone }] : [{ text: shown, tone }, space];
}

function trimEnd(spans: readonly Span[]): Span[] {
  const trimmed = [...spans];
  for (let last = trimmed.pop(); last !== undefined; last = trimmed.pop()) {
    const text = last.text.trimEnd();
    if (text === "") continue;
    return [...trimmed, { ...last, text }];
  }
  return [];
}
