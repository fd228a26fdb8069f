/**
 * How many columns of a terminal a text takes: letters of East Asia and pictures take two, marks
 * that go over a letter none; Unicode Standard Annex 11.
 */

/** Two columns each. Half-width Katakana is left out: it is as narrow as it says. */
const WIDE =
  /[\p{Emoji_Presentation}\p{Script=Han}\p{Script=Hiragana}\p{Script=Hangul}\u30a0-\u30ff\u3000-\u303e\u3100-\u312f\uff01-\uff60\uffe0-\uffe6]/u;

/** None: marks, joiners, and what picks a variant of the character before it. */
const NO_WIDTH = /[\p{M}\p{Cf}\ufe00-\ufe0f]/u;

/** Of printable ASCII nothing has to be looked at. */
const PLAIN = /^[\x20-\x7e]*$/;

/** Columns that `text`, which has no control characters, takes. */
export function textWidth(text: string): number {
  if (PLAIN.test(text)) return text.length;
  let width = 0;
  for (const character of text) width += characterWidth(character);
  return width;
}

/** The beginning of `text` that fits `columns`; what is cut off leaves a mark. */
export function cutText(text: string, columns: number): string {
  if (textWidth(text) <= columns) return text;
  let width = 0;
  let cut = "";
  for (const character of text) {
    width += characterWidth(character);
    if (width > columns - 1) break;
    cut += character;
  }
  return columns > 0 ? `${cut}…` : "";
}

function characterWidth(character: string): number {
  if (NO_WIDTH.test(character)) return 0;
  return WIDE.test(character) ? 2 : 1;
}
