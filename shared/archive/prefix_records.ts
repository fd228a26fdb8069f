/**
 * Which files of an environment hold the path that it was packed at, as `bin/conda-unpack` says.
 *
 * That is a program; only the list in it is read, as data: Python tuples of string literals, as
 * `repr` writes them (conda_pack/core.py, `_conda_unpack_template`). Anything else is refused.
 */

import { findPathFault, utf8Length } from "../relative_path.ts";
import { ArchiveError, quoteName } from "./archive_error.ts";

/** Where conda-pack writes the program with the records. */
export const RECORDS_PATH = "bin/conda-unpack";

/** Bytes of that program; of the largest environments seen it has a tenth of that. */
export const RECORDS_BYTES_MAX: number = 64 * 1024 * 1024;
/** Records of one environment. */
export const RECORD_COUNT_MAX = 500_000;
/** UTF-8 bytes of a prefix: PATH_MAX of Linux, less its NUL. */
export const PLACEHOLDER_BYTES_MAX = 4_095;

/** One file with a prefix in it. */
export interface PrefixRecord {
  /** Relative and in normal form. */
  readonly path: string;
  /** The prefix that is in the file; absolute, and more than "/". */
  readonly placeholder: string;
  /** Whether its strings end with a NUL, and must not become longer. */
  readonly mode: "text" | "binary";
}

/** The records, and where in the program they stand. */
export interface PrefixRecords {
  readonly records: readonly PrefixRecord[];
  /** The program without its records: with nothing more to do. */
  readonly emptied: string;
}

const LIST_START = /^_prefix_records[ \t]*=[ \t]*\[/m;

/** Simple escapes of Python's string literals (The Python Language Reference, 2.4.1). */
const ESCAPES: Readonly<Record<string, string>> = {
  "\n": "",
  "\\": "\\",
  "'": "'",
  '"': '"',
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};

/** {letter: hex digits after it} */
const HEX_ESCAPES: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };

/** What a literal is made of up to the next escape or its end. */
const PLAIN = { "'": /[^'\\\n]*/y, '"': /[^"\\\n]*/y } as const;
/** Blanks and line ends. */
const BLANK = /[ \t\r\n]*/y;

/** Returns the records in the text of a `bin/conda-unpack`; throws `ArchiveError` on any other. */
export function readPrefixRecords(text: string): PrefixRecords {
  const start = LIST_START.exec(text);
  if (start === null) throw unreadable('no line begins with "_prefix_records = ["');
  const reader = new TupleReader(text, start.index + start[0].length);
  const records: PrefixRecord[] = [];
  while (!reader.takes("]")) {
    if (records.length === RECORD_COUNT_MAX) {
      throw unreadable(`there are more than ${RECORD_COUNT_MAX}`);
    }
    records.push(checkRecord(reader.tuple()));
    if (reader.takes(",")) continue;
    reader.take("]");
    break;
  }
  const emptied = text.slice(0, start.index + start[0].length) + text.slice(reader.at - 1);
  return { records, emptied };
}

function checkRecord([path = "", placeholder = "", mode = ""]: readonly string[]): PrefixRecord {
  const fault = findPathFault(path);
  if (fault !== undefined) throw unreadable(`of the path ${quoteName(path)}, ${fault}`);
  const found = findPrefixFault(placeholder);
  if (found !== undefined) {
    throw unreadable(`of the prefix ${quoteName(placeholder)} in ${quoteName(path)}, ${found}`);
  }
  if (mode === "text" || mode === "binary") return { path, placeholder, mode };
  throw unreadable(`the mode of ${quoteName(path)} is ${quoteName(mode)}, not "text" or "binary"`);
}

/** Returns why `prefix` cannot be one that files are searched for, or undefined when it can. */
export function findPrefixFault(prefix: string): string | undefined {
  if (prefix === "") return "it is empty";
  if (!prefix.startsWith("/")) return "it is not absolute";
  if (/^\/+$/.test(prefix)) return "it is the root of all paths";
  if (prefix.includes("\0")) return "it has a NUL character";
  if (!prefix.isWellFormed()) return "it is not UTF-8";
  if (utf8Length(prefix) > PLACEHOLDER_BYTES_MAX) {
    return `it is longer than ${PLACEHOLDER_BYTES_MAX} bytes`;
  }
  return undefined;
}

/** Reads Python's tuples of three strings, one after the other. */
class TupleReader {
  readonly #text: string;
  /** Index of what is read next. */
  at: number;

  constructor(text: string, at: number) {
    this.#text = text;
    this.at = at;
  }

  tuple(): string[] {
    this.take("(");
    const strings = [this.#string()];
    for (let index = 1; index < 3; index++) {
      this.take(",");
      strings.push(this.#string());
    }
    this.takes(",");
    this.take(")");
    return strings;
  }

  take(wanted: string): void {
    if (!this.takes(wanted)) throw this.#unexpected(`"${wanted}"`);
  }

  takes(wanted: string): boolean {
    this.#skipBlanks();
    if (this.#text[this.at] !== wanted) return false;
    this.at += 1;
    return true;
  }

  /** Literals one after the other are one string. */
  #string(): string {
    let value = "";
    for (let count = 0;; count++) {
      this.#skipBlanks();
      const quote = this.#text[this.at];
      if (quote !== "'" && quote !== '"') {
        if (count === 0) throw this.#unexpected("a string");
        return value;
      }
      if (this.#text.startsWith(quote.repeat(3), this.at)) {
        throw this.#unexpected("a string without triple quotes");
      }
      this.at += 1;
      value += this.#literal(quote);
      // A path and a prefix are as long as this at most, and what is longer need not be read on.
      if (value.length > PLACEHOLDER_BYTES_MAX) throw this.#unexpected("a shorter string");
    }
  }

  #literal(quote: "'" | '"'): string {
    let value = "";
    for (;;) {
      const plain = PLAIN[quote];
      plain.lastIndex = this.at;
      value += plain.exec(this.#text)?.[0] ?? "";
      this.at = plain.lastIndex;
      const next = this.#text[this.at];
      if (next === quote) {
        this.at += 1;
        return value;
      }
      if (next !== "\\") throw this.#unexpected("the end of a string");
      this.at += 1;
      value += this.#escape();
    }
  }

  #escape(): string {
    const letter = this.#text[this.at] ?? "";
    const simple = ESCAPES[letter];
    if (simple !== undefined) {
      this.at += 1;
      return simple;
    }
    const octal = /^[0-7]{1,3}/.exec(this.#text.slice(this.at, this.at + 3))?.[0];
    if (octal !== undefined) {
      this.at += octal.length;
      return String.fromCharCode(parseInt(octal, 8));
    }
    const digitCount = HEX_ESCAPES[letter];
    if (digitCount === undefined) throw this.#unexpected("an escape of Python");
    const digits = this.#text.slice(this.at + 1, this.at + 1 + digitCount);
    const code = /^[0-9a-fA-F]+$/.test(digits) ? parseInt(digits, 16) : Infinity;
    if (digits.length !== digitCount || code > 0x10ffff) throw this.#unexpected("hex digits");
    this.at += 1 + digitCount;
    return String.fromCodePoint(code);
  }

  /** Comments too. */
  #skipBlanks(): void {
    for (;;) {
      BLANK.lastIndex = this.at;
      BLANK.exec(this.#text);
      this.at = BLANK.lastIndex;
      if (this.#text[this.at] !== "#") return;
      const end = this.#text.indexOf("\n", this.at);
      this.at = end === -1 ? this.#text.length : end;
    }
  }

  #unexpected(wanted: string): ArchiveError {
    const found = this.at < this.#text.length
      ? JSON.stringify(this.#text.slice(this.at, this.at + 20))
      : "the end of the file";
    return unreadable(`${found} stands at character ${this.at}, where ${wanted} is expected`);
  }
}

/** Returns the failure of records that cannot be read or trusted. */
export function unreadable(found: string): ArchiveError {
  const message = `Cannot read entry "${RECORDS_PATH}" as the records of conda-pack: ${found}`;
  return new ArchiveError(message, { entry: RECORDS_PATH });
}
