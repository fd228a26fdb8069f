/**
 * The members of a zip file, in the order in which they lie in it.
 *
 * Only what the central directory and the headers of the entries agree on is taken, and no byte of
 * the file belongs to two entries: what is left is the same for every reader.
 */

import { Buffer } from "node:buffer";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { crc32, createInflateRaw, inflateRawSync } from "node:zlib";

import { ArchiveError, codeOf, tooLarge } from "./archive_error.ts";
import { transformed } from "./decompress.ts";
import { checkPath, checkTarget, TARGET_BYTES_MAX, unfit } from "./member.ts";
import type { Member, MemberLimits, MemberReader } from "./member.ts";
import {
  checkLocalHeader,
  decodeCentral,
  decodeEnd,
  decodeZip64End,
  decodeZip64Locator,
  END_RECORD_BYTES,
  fault,
  findEnd,
  isZip64Locator,
  lie,
  LOCAL_HEADER_BYTES,
  localNameBytes,
  ZIP64_END_BYTES,
  ZIP64_LOCATOR_BYTES,
} from "./zip_format.ts";
import type { ZipEnd, ZipEntry } from "./zip_format.ts";

/** Bytes of the central directory: 2,000,000 entries with names of 100 bytes. */
const CENTRAL_BYTES_MAX = 512 * 1024 ** 2;
/** The end record and the longest comment behind it. */
const TAIL_BYTES_MAX: number = END_RECORD_BYTES + 0xffff;
/** Bytes read at a time. */
const READ_BYTES = 1024 * 1024;
/** An entry up to this size is inflated at once. */
const SMALL_ENTRY_BYTES = 128 * 1024;
const STORED = 0;
const DEFLATED = 8;
const TYPE_BITS = 0o170000;
const TYPE_FILE = 0o100000;
const TYPE_DIRECTORY = 0o040000;
const TYPE_SYMLINK = 0o120000;
const TYPE_PIPE = 0o010000;

/** Bounds on the members of one zip file. */
export interface ZipLimits extends MemberLimits {
  /** Of all contents. */
  readonly bytesMax: number;
}

/** Reads the members of the zip file at a path. */
export class ZipReader implements MemberReader {
  readonly #file: number;
  readonly #limits: ZipLimits;
  /** In the order of their places. */
  readonly entries: readonly ZipEntry[];
  /** Where its directory begins, behind the last entry. */
  readonly directoryAtByte: number;
  /** {place of an entry: where what comes after it begins} */
  readonly #ends = new Map<number, number>();
  #nextIndex = 0;
  #parts: AsyncGenerator<Uint8Array, void> | undefined;

  /** Reads the directory of the file, which stays open until `close()`. */
  constructor(path: string, limits: ZipLimits) {
    this.#limits = limits;
    this.#file = openSync(path, "r");
    try {
      const end = this.#findDirectory();
      this.directoryAtByte = end.atByte;
      this.entries = this.#readEntries(end);
    } catch (error) {
      closeSync(this.#file);
      throw error;
    }
  }

  async next(): Promise<Member | undefined> {
    await this.#parts?.return();
    const entry = this.entries[this.#nextIndex++];
    if (entry === undefined) return undefined;
    this.#parts = this.contents(entry);
    const { name, mtimeMs } = entry;
    const path = checkPath(name, this.#limits);
    const type = (entry.mode ?? 0) & TYPE_BITS;
    const permissions = (entry.mode ?? 0) & 0o7777;
    if (name.endsWith("/") || type === TYPE_DIRECTORY) {
      if (entry.sizeBytes > 0) throw lie(entry, "it is a directory and has contents");
      return { kind: "directory", path, mtimeMs, mode: permissions || 0o755 };
    }
    if (path === "") throw unfit(name, "a file", "it names the root of the tree");
    if (type === TYPE_SYMLINK) {
      return { kind: "symlink", path, mtimeMs, mode: 0o777, target: await this.#target(entry) };
    }
    // What `zip` packs from its standard input has the type of the pipe, and contents.
    const isFile = type === 0 || type === TYPE_FILE || type === TYPE_PIPE && entry.sizeBytes > 0;
    if (!isFile) throw unfit(name, "a file", "it is a device or a pipe");
    const mode = entry.mode === undefined || entry.mode === 0 ? 0o644 : permissions;
    return { kind: "file", path, mtimeMs, mode, sizeBytes: entry.sizeBytes };
  }

  async data(): Promise<Uint8Array> {
    const part = await this.someData();
    if (part === undefined) return new Uint8Array(0);
    const parts = [part];
    for (let more = await this.someData(); more !== undefined; more = await this.someData()) {
      parts.push(more);
    }
    return parts.length === 1 ? part : Buffer.concat(parts);
  }

  async someData(): Promise<Uint8Array | undefined> {
    const next = await this.#parts?.next();
    return next?.value ?? undefined;
  }

  async drain(): Promise<void> {
    // Every entry has been checked by then, and between them is nothing.
  }

  async close(): Promise<void> {
    await this.#parts?.return();
    closeSync(this.#file);
  }

  /** Yields the contents of an entry; the last part comes only when size and checksum are right. */
  async *contents(entry: ZipEntry): AsyncGenerator<Uint8Array, void> {
    const atByte = this.#dataAt(entry);
    let crc = 0;
    let doneBytes = 0;
    let held: Uint8Array | undefined;
    for await (const part of this.#unpacked(entry, atByte)) {
      if (held !== undefined) yield held;
      held = part;
      crc = crc32(part, crc);
      doneBytes += part.length;
      if (doneBytes > entry.sizeBytes) {
        throw lie(entry, `it is longer than ${entry.sizeBytes} bytes`);
      }
    }
    if (doneBytes !== entry.sizeBytes) {
      throw lie(entry, `it has ${doneBytes} bytes and should have ${entry.sizeBytes}`);
    }
    if (crc !== entry.crc) throw lie(entry, "its checksum is wrong");
    if (held !== undefined) yield held;
  }

  async *#unpacked(entry: ZipEntry, atByte: number): AsyncGenerator<Uint8Array, void> {
    if (entry.method === STORED) {
      yield* this.#chunks(atByte, entry.packedBytes);
      return;
    }
    if (entry.method !== DEFLATED) {
      throw lie(entry, `it is compressed by method ${entry.method}, and 0 and 8 are known`);
    }
    try {
      if (Math.max(entry.sizeBytes, entry.packedBytes) > SMALL_ENTRY_BYTES) {
        const decoder = createInflateRaw({ chunkSize: READ_BYTES });
        yield* transformed("deflate", this.#chunks(atByte, entry.packedBytes), decoder);
      } else {
        const packed = this.#read(atByte, entry.packedBytes);
        // One more than wanted, so that what is too long is found to be so.
        yield inflateRawSync(packed, { maxOutputLength: entry.sizeBytes + 1 });
      }
    } catch (cause) {
      const isTooLong = codeOf(cause) === "ERR_BUFFER_TOO_LARGE";
      const found = cause instanceof Error ? cause.message : String(cause);
      throw lie(entry, isTooLong ? `it is longer than ${entry.sizeBytes} bytes` : found);
    }
  }

  async *#chunks(atByte: number, sizeBytes: number): AsyncGenerator<Uint8Array, void> {
    for (let doneBytes = 0; doneBytes < sizeBytes;) {
      const part = this.#read(atByte + doneBytes, Math.min(READ_BYTES, sizeBytes - doneBytes));
      doneBytes += part.length;
      yield part;
    }
  }

  async #target(entry: ZipEntry): Promise<string> {
    if (entry.sizeBytes > TARGET_BYTES_MAX) {
      throw unfit(entry.name, "a symbolic link", `its target is longer than ${TARGET_BYTES_MAX}`);
    }
    try {
      return checkTarget(
        entry.name,
        new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await this.data()),
      );
    } catch (cause) {
      if (cause instanceof ArchiveError) throw cause;
      throw unfit(entry.name, "a symbolic link", "its target is not UTF-8");
    }
  }

  /** Where the data of an entry begin, once its own header agrees and they fit where they are. */
  #dataAt(entry: ZipEntry): number {
    const end = this.#ends.get(entry.atByte) ?? 0;
    if (entry.atByte + LOCAL_HEADER_BYTES > end) throw lie(entry, "there is no entry at its place");
    const header = this.#read(entry.atByte, LOCAL_HEADER_BYTES);
    const nameBytes = Math.min(localNameBytes(header), end - entry.atByte - LOCAL_HEADER_BYTES);
    const name = this.#read(entry.atByte + LOCAL_HEADER_BYTES, nameBytes);
    const atByte = entry.atByte + checkLocalHeader(header, name, entry);
    if (atByte + entry.packedBytes > end) throw lie(entry, "it overlaps with another");
    return atByte;
  }

  #findDirectory(): ZipEnd {
    const fileBytes = fstatSync(this.#file).size;
    const tail = this.#read(
      Math.max(0, fileBytes - TAIL_BYTES_MAX),
      Math.min(fileBytes, TAIL_BYTES_MAX),
    );
    const endAt = findEnd(tail);
    if (endAt === undefined) throw fault("it ends too soon");
    const recordAt = fileBytes - tail.length + endAt;
    const end = decodeEnd(tail.subarray(endAt, endAt + END_RECORD_BYTES));
    const locator = this.#read(Math.max(0, recordAt - ZIP64_LOCATOR_BYTES), ZIP64_LOCATOR_BYTES);
    // Some writers have both records, the first with numbers that would fit into the second.
    if (end !== undefined && !isZip64Locator(locator)) return checkPlace(end, recordAt);
    const zip64At = decodeZip64Locator(locator);
    return checkPlace(decodeZip64End(this.#read(zip64At, ZIP64_END_BYTES)), zip64At);
  }

  #readEntries(end: ZipEnd): ZipEntry[] {
    const { entryCountMax, bytesMax } = this.#limits;
    if (end.sizeBytes > CENTRAL_BYTES_MAX) {
      throw fault(`its directory has more than ${CENTRAL_BYTES_MAX} bytes`);
    }
    if (end.entryCount > entryCountMax) {
      throw new ArchiveError(`Cannot unpack more than ${entryCountMax} entries: there are more`);
    }
    const directory = this.#read(end.atByte, end.sizeBytes);
    const entries = [...decodeCentral(directory, end.entryCount)];
    entries.sort((left, right) => left.atByte - right.atByte);
    let sumBytes = 0;
    const paths = new Set<string>();
    for (const [index, entry] of entries.entries()) {
      sumBytes += entry.sizeBytes;
      if (sumBytes > bytesMax) throw tooLarge(bytesMax, entry.name);
      const path = checkPath(entry.name, this.#limits);
      if (paths.has(path)) throw lie(entry, "there are two of that name");
      paths.add(path);
      const next = entries[index + 1]?.atByte ?? end.atByte;
      if (next === entry.atByte) throw lie(entry, "it overlaps with another");
      this.#ends.set(entry.atByte, next);
    }
    return entries;
  }

  #read(atByte: number, sizeBytes: number): Uint8Array {
    if (atByte < 0) throw fault("it ends too soon");
    const bytes = new Uint8Array(sizeBytes);
    let doneBytes = 0;
    while (doneBytes < sizeBytes) {
      const count = readSync(
        this.#file,
        bytes,
        doneBytes,
        sizeBytes - doneBytes,
        atByte + doneBytes,
      );
      if (count === 0) throw fault("it ends too soon");
      doneBytes += count;
    }
    return bytes;
  }
}

/** The directory lies right before the record that says where it is. */
function checkPlace(end: ZipEnd, recordAt: number): ZipEnd {
  if (end.atByte + end.sizeBytes === recordAt) return end;
  throw fault("its directory is not where it should be");
}
