/** Pieces of a line that have a colour where the terminal has some; a pipe gets their text alone. */

import { cutText, textWidth } from "./text_width.ts";

/** What a colour says; each place that uses one says it in words too. */
export type Tone = "bad" | "good" | "quiet";

/** A piece of a line. */
export interface Span {
  readonly text: string;
  readonly tone?: Tone | undefined;
}

/** Codes of ECMA-48, 8.3.117: red, green, faint. */
const CODES: { readonly [T in Tone]: number } = { bad: 31, good: 32, quiet: 2 };

/** The spans as text for a terminal that has colours, or has none. */
export function renderSpans(spans: readonly Span[], hasColours: boolean): string {
  return spans.map(({ text, tone }) => {
    const isPlain = tone === undefined || !hasColours || text === "";
    return isPlain ? text : `\x1b[${CODES[tone]}m${text}\x1b[0m`;
  }).join("");
}

/** The beginning of the spans that fits `columns`. */
export function cutSpans(spans: readonly Span[], columns: number): readonly Span[] {
  const cut: Span[] = [];
  let left = columns;
  const total = spans.reduce((width, { text }) => width + textWidth(text), 0);
  if (total <= columns) return spans;
  for (const span of spans) {
    const width = textWidth(span.text);
    // The mark of the cut needs room of its own.
    if (width >= left) {
      cut.push({ ...span, text: cutText(`${span.text} `, left) });
      break;
    }
    cut.push(span);
    left -= width;
  }
  return cut;
}
