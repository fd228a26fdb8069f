/** A search as its words, all of which must be found; alike for SQL and for a report's columns. */

/** Words of a search beyond these are left out. */
const WORDS_MAX = 16;

/** The words of `search`, in small letters where they are of ASCII, as LIKE of SQLite compares. */
export function searchWords(search: string | undefined): readonly string[] {
  // LIKE ends at NUL, which therefore separates words as a space does.
  const words = (search ?? "").split(/[\s\0]+/).filter((word) => word !== "");
  return words.slice(0, WORDS_MAX).map(lowerAscii);
}

/** Small letters for `A` to `Z` alone. */
export function lowerAscii(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

/** The number that a word can be, of a task or of a file. */
export function searchedNumber(word: string): number {
  return /^\d{1,15}$/.test(word) ? Number(word) : -1;
}

/** A pattern for `LIKE … ESCAPE '\'` that finds `word` as it stands. */
export function likePattern(word: string): string {
  return `%${word.replace(/[\\%_]/g, "\\$&")}%`;
}
