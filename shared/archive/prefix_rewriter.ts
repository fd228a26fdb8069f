/**
 * Prefixes in one file replaced by another, in place and piece by piece, whatever its size.
 *
 * The file stays the same inode with its mode and time: hard links of it see the same contents, and
 * compiled Python beside it stays fresh. Nothing else may read or write the file meanwhile.
 * The rules are those of conda_pack/prefixes.py, `text_replace` and `binary_replace`.
 */

import {
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  fchmodSync,
  ftruncateSync,
  futimesSync,
  lstatSync,
  openSync,
  readSync,
  unlinkSync,
  writeSync,
} from "node:fs";

import { dirname } from "@std/path";

import { tooLarge } from "./archive_error.ts";
import { fixShebang } from "./shebang.ts";
import { timeSeconds } from "./tree_plan.ts";

/** What to replace, and how. */
export interface PrefixRewrite {
  /** Without repetitions; where two begin at the same byte the longer one is meant. */
  readonly placeholders: readonly Uint8Array[];
  readonly prefix: Uint8Array;
  /** The strings of a binary file end with a NUL, and what they get shorter is filled with NULs. */
  readonly mode: "text" | "binary";
  /** Only where the placeholder is a whole path or the directories that one begins with. */
  readonly isWholePath: boolean;
}

/** What files may grow by: the new prefix may be longer than the old one, and stand there often. */
export interface GrowthRoom {
  /** Lessened by what they grow by. */
  leftBytes: number;
  /** Of the whole tree; for the message. */
  readonly bytesMax: number;
}

/** Bytes of a file looked at together; a file up to this size is read whole. */
const WINDOW_BYTES = 1024 * 1024;
/** Bytes of output written together. */
const OUTPUT_BYTES = 256 * 1024;
/** A first line that is longer is no line for the kernel to read. */
const SHEBANG_BYTES_MAX = 4_096;
/** By this much at most a first line becomes longer, on top of the difference of the prefixes. */
const SHEBANG_GROWTH_MAX = 64;
/** Bytes before a match that are looked at to judge it. */
const LOOK_BACK_BYTES = 3;

const NO_BYTES: Uint8Array = new Uint8Array(0);
const NUL = 0;
const NEWLINE = 10;
const PERMISSION_BITS = 0o7777;
const OWNER_WRITE_BIT = 0o200;

/**
 * Replaces prefixes in the file at `path`, and returns whether there were any.
 *
 * Throws what the disk answers, or that there is no room; the file is then good for nothing.
 */
export function rewritePrefixes(path: string, rewrite: PrefixRewrite, room: GrowthRoom): boolean {
  const { size, mode, mtimeNs } = lstatSync(path, { bigint: true });
  const permissions = Number(mode) & PERMISSION_BITS;
  const isClosed = (permissions & OWNER_WRITE_BIT) === 0;
  if (isClosed) chmodSync(path, permissions | OWNER_WRITE_BIT);
  const file = openSync(path, constants.O_RDWR | constants.O_NOFOLLOW);
  let source = file;
  try {
    const sizeBytes = Number(size);
    // What grows would be written over what is not read yet.
    if (sizeBytes > WINDOW_BYTES && canGrow(rewrite)) source = openCopy(path);
    const output = new Output(file, { sizeBytes, room });
    const rewriter = new Rewriter({ source, output, sizeBytes, rewrite });
    const isChanged = rewriter.run();
    if (isChanged) {
      output.flush();
      if (output.atByte !== sizeBytes) ftruncateSync(file, output.atByte);
      room.leftBytes -= output.atByte - sizeBytes;
      const seconds = timeSeconds(Number(mtimeNs / 1000n) / 1000);
      futimesSync(file, seconds, seconds);
    }
    if (isClosed) fchmodSync(file, permissions);
    return isChanged;
  } finally {
    if (source !== file) closeSync(source);
    closeSync(file);
  }
}

/** What the first line grows is less than what is read before any of it is written. */
function canGrow({ mode, placeholders, prefix }: PrefixRewrite): boolean {
  return mode === "text" && placeholders.some(({ length }) => length < prefix.length);
}

/** A copy that has no name, and goes when it is closed. */
function openCopy(path: string): number {
  const copy = `${dirname(path)}/.${crypto.randomUUID()}`;
  copyFileSync(path, copy, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  try {
    return openSync(copy, constants.O_RDONLY | constants.O_NOFOLLOW);
  } finally {
    unlinkSync(copy);
  }
}

/** What is written, over a file that has the same bytes up to the first change. */
class Output {
  /** Where the next byte goes. */
  atByte = 0;
  readonly #file: number;
  /** Made when there is something to write: conda-pack names every text file, changed or not. */
  #buffer: Uint8Array = NO_BYTES;
  #usedBytes = 0;
  readonly #room: GrowthRoom;
  readonly #sizeBytesMax: number;

  constructor(
    file: number,
    { sizeBytes, room }: { readonly sizeBytes: number; readonly room: GrowthRoom },
  ) {
    this.#file = file;
    this.#room = room;
    this.#sizeBytesMax = sizeBytes + room.leftBytes;
  }

  /** Takes bytes of the input, which need no writing while nothing before them was moved. */
  keep(bytes: Uint8Array, inputAtByte: number): void {
    if (inputAtByte !== this.atByte) return this.write(bytes);
    this.flush();
    this.atByte += bytes.length;
  }

  write(bytes: Uint8Array): void {
    if (this.#buffer === NO_BYTES) this.#buffer = new Uint8Array(OUTPUT_BYTES);
    for (let at = 0; at < bytes.length;) {
      if (this.#usedBytes === OUTPUT_BYTES) this.flush();
      const part = bytes.subarray(at, at + OUTPUT_BYTES - this.#usedBytes);
      this.#buffer.set(part, this.#usedBytes);
      this.#usedBytes += part.length;
      this.atByte += part.length;
      at += part.length;
      if (this.atByte > this.#sizeBytesMax) throw tooLarge(this.#room.bytesMax);
    }
  }

  fill(byteCount: number): void {
    const zeros = new Uint8Array(Math.min(byteCount, OUTPUT_BYTES));
    for (let left = byteCount; left > 0; left -= zeros.length) {
      this.write(zeros.subarray(0, Math.min(left, zeros.length)));
    }
  }

  flush(): void {
    const startByte = this.atByte - this.#usedBytes;
    for (let at = 0; at < this.#usedBytes;) {
      at += writeSync(this.#file, this.#buffer, at, this.#usedBytes - at, startByte + at);
    }
    this.#usedBytes = 0;
  }
}

interface RewriterOptions {
  readonly source: number;
  readonly output: Output;
  readonly sizeBytes: number;
  readonly rewrite: PrefixRewrite;
}

/** A match in the window. */
interface Match {
  readonly at: number;
  readonly length: number;
}

/** One pass over a file. */
class Rewriter {
  readonly #options: RewriterOptions;
  readonly #window: Buffer<ArrayBuffer>;
  /** Bytes beyond a match's start that must be in the window to judge it. */
  readonly #lookAheadBytes: number;
  /** {index of a placeholder: where in the window it is next, from `#at` on} */
  readonly #next: number[];
  /** Where in the file the window begins. */
  #windowAtByte = 0;
  #filledBytes = 0;
  /** Index in the window of the first byte that has not been dealt with. */
  #at = 0;
  /** Where in the window the next NUL is, from `#at` on; -1 when that is not known. */
  #nextNul = -1;
  /** NULs that the string under way ends with, on top of its own; undefined outside of one. */
  #owedBytes: number | undefined;
  #isChanged = false;

  constructor(options: RewriterOptions) {
    const { sizeBytes, rewrite: { placeholders } } = options;
    this.#options = options;
    const longest = Math.max(...placeholders.map(({ length }) => length));
    this.#lookAheadBytes = longest + 1 + SHEBANG_GROWTH_MAX;
    this.#window = Buffer.allocUnsafe(Math.min(sizeBytes, WINDOW_BYTES));
    this.#next = placeholders.map(() => -1);
  }

  run(): boolean {
    const { mode } = this.#options.rewrite;
    const endByte = mode === "binary" ? this.#lastNulAt() + 1 : this.#options.sizeBytes;
    for (let isFirst = true;; isFirst = false) {
      const isEnd = this.#fill();
      const limit = isEnd ? this.#filledBytes : this.#filledBytes - this.#lookAheadBytes;
      if (isFirst && mode === "text") this.#rewriteShebang();
      // Strings that no NUL ends are none: nothing is replaced in them.
      const stringsEnd = Math.min(limit, endByte - this.#windowAtByte);
      while (this.#at < stringsEnd) this.#step(stringsEnd);
      this.#pass(Math.max(this.#at, limit));
      if (isEnd) return this.#isChanged;
    }
  }

  /** Moves on to the next match or the end of a string, at most to `limit`. */
  #step(limit: number): void {
    const match = this.#nextMatch(limit);
    const matchAt = match?.at ?? limit;
    if (this.#owedBytes !== undefined) {
      if (this.#nextNul < this.#at) this.#nextNul = this.#find(NUL, this.#at);
      if (this.#nextNul < matchAt) return this.#endString(this.#nextNul, this.#owedBytes);
    }
    this.#pass(matchAt);
    if (match !== undefined) this.#replace(match);
  }

  /** Takes the bytes up to `end` as they are. */
  #pass(end: number): void {
    if (end <= this.#at) return;
    const bytes = this.#window.subarray(this.#at, end);
    this.#options.output.keep(bytes, this.#windowAtByte + this.#at);
    this.#at = end;
  }

  #replace(match: Match): void {
    const { output, rewrite: { prefix, mode } } = this.#options;
    output.write(prefix);
    this.#isChanged = true;
    if (mode === "binary") {
      this.#owedBytes = (this.#owedBytes ?? 0) + match.length - prefix.length;
    }
    this.#at = match.at + match.length;
  }

  #endString(nulAt: number, owedBytes: number): void {
    this.#pass(nulAt);
    this.#options.output.fill(owedBytes);
    this.#owedBytes = undefined;
    this.#pass(nulAt + 1);
  }

  /** The next place before `limit` to put the prefix. */
  #nextMatch(limit: number): Match | undefined {
    const { placeholders, isWholePath } = this.#options.rewrite;
    for (let from = this.#at;;) {
      let found: Match | undefined;
      for (const [index, placeholder] of placeholders.entries()) {
        const at = this.#nextOf(index, { placeholder, from });
        const { length } = placeholder;
        if (at >= limit || (found !== undefined && at > found.at)) continue;
        if (found === undefined || at < found.at || length > found.length) found = { at, length };
      }
      if (found === undefined || !isWholePath || this.#isWhole(found)) return found;
      from = found.at + 1;
    }
  }

  #nextOf(index: number, { placeholder, from }: { placeholder: Uint8Array; from: number }): number {
    const known = this.#next[index] ?? -1;
    if (known >= from) return known;
    return this.#next[index] = this.#find(placeholder, from);
  }

  /** Index in the window, infinite when it is not in there. */
  #find(wanted: Uint8Array | number, from: number): number {
    const at = this.#window.subarray(0, this.#filledBytes).indexOf(wanted, from);
    return at === -1 ? Infinity : at;
  }

  #isWhole({ at, length }: Match): boolean {
    if (at + length < this.#filledBytes && isNameByte(this.#window[at + length])) return false;
    if (!isNameByte(this.#window[at - 1])) return true;
    // Flags of compilers have no blank before the path.
    const flag = this.#window.subarray(Math.max(0, at - 2), at).toString("latin1");
    return ["-I", "-L"].includes(flag) && !isNameByte(this.#window[at - 3]);
  }

  /** The kernel reads no long line, and no name with a blank. */
  #rewriteShebang(): void {
    const { output, rewrite: { prefix } } = this.#options;
    const start = this.#window.subarray(0, this.#filledBytes);
    if (start[0] !== HASH || start[1] !== BANG) return;
    const end = start.subarray(0, SHEBANG_BYTES_MAX).indexOf(NEWLINE);
    if (end === -1) return;
    const match = this.#nextMatch(end);
    if (match === undefined) return;
    const [head, tail] = [
      start.subarray(0, match.at),
      start.subarray(match.at + match.length, end),
    ];
    const line = fixShebang(head.toString("latin1"), {
      prefix: Buffer.from(prefix).toString("latin1"),
      rest: tail.toString("latin1"),
    });
    if (line === undefined) return;
    output.write(Buffer.from(line, "latin1"));
    this.#isChanged = true;
    this.#at = end;
  }

  /** Moves what is left to the front of the window and reads on; returns whether that was all. */
  #fill(): boolean {
    const { source, sizeBytes } = this.#options;
    const keptBytes = Math.min(LOOK_BACK_BYTES, this.#at);
    const start = this.#at - keptBytes;
    this.#window.copyWithin(0, start, this.#filledBytes);
    this.#windowAtByte += start;
    this.#filledBytes -= start;
    this.#at = keptBytes;
    this.#next.fill(-1);
    this.#nextNul = -1;
    while (this.#filledBytes < this.#window.length) {
      const atByte = this.#windowAtByte + this.#filledBytes;
      const room = this.#window.length - this.#filledBytes;
      const readBytes = readSync(source, this.#window, this.#filledBytes, room, atByte);
      if (readBytes === 0) return true;
      this.#filledBytes += readBytes;
    }
    return this.#windowAtByte + this.#filledBytes >= sizeBytes;
  }

  /** Where in the file the last NUL is, -1 when there is none. */
  #lastNulAt(): number {
    const { source, sizeBytes } = this.#options;
    const part = new Uint8Array(Math.min(sizeBytes, WINDOW_BYTES));
    for (let endByte = sizeBytes; endByte > 0;) {
      const startByte = Math.max(0, endByte - part.length);
      const readBytes = readSync(source, part, 0, endByte - startByte, startByte);
      if (readBytes === 0) return -1;
      const at = part.subarray(0, readBytes).lastIndexOf(NUL);
      if (at !== -1) return startByte + at;
      endByte = startByte;
    }
    return -1;
  }
}

const HASH = 0x23;
const BANG = 0x21;

/** Letters, digits, "-", "." and "_", and all beyond ASCII: what goes on is another name. */
function isNameByte(byte: number | undefined): boolean {
  if (byte === undefined) return false;
  const isLetter = (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7a;
  const isDigit = byte >= 0x30 && byte <= 0x39;
  return isLetter || isDigit || byte >= 0x80 || [0x2d, 0x2e, 0x5f].includes(byte);
}
