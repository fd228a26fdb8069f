/** Text from outside as a terminal or a log may show it. */

/**
 * One line without control characters, cut where it is long: what tasks and hosts say must not
 * move the cursor, nor make a line look like another.
 */
export function plainText(text: string, charsMax: number): string {
  const plain = stripControls(text.slice(0, charsMax * 4).replaceAll(/\s+/g, " ")).trim();
  return plain.length <= charsMax ? plain : `${plain.slice(0, charsMax - 1)}…`;
}

/** `text` without control characters, but for the ends of lines and tabs. */
export function stripControls(text: string): string {
  // Format characters among them turn the direction of text.
  return text.replaceAll(/(?![\n\t])[\p{Cc}\p{Cf}]/gu, "");
}

/** `value` as JSON, in which no character is left that moves a cursor or turns text around. */
export function plainJson(value: object, indent?: number): string {
  return JSON.stringify(value, undefined, indent).replaceAll(/(?!\n)[\p{Cc}\p{Cf}]/gu, (found) => {
    const units = Array.from({ length: found.length }, (_, index) => found.charCodeAt(index));
    return units.map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`).join("");
  });
}
