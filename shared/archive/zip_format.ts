/**
 * The central directory of a zip file: bytes to entries, with no input or output.
 *
 * Sources: APPNOTE.TXT 6.3.10 of PKWARE, sections 4.3 to 4.6; Info-ZIP, proginfo/extrafld.txt.
 */

import { crc32 } from "node:zlib";

import { ArchiveError, quoteName } from "./archive_error.ts";

/** Length of a local header before its name. */
export const LOCAL_HEADER_BYTES = 30;
/** Length of the end record before its comment. */
export const END_RECORD_BYTES = 22;
/** Length of the record before the end record that says where the one of zip64 is. */
export const ZIP64_LOCATOR_BYTES = 20;
/** Length of the end record of zip64 that is read. */
export const ZIP64_END_BYTES = 56;

const CENTRAL_HEADER_BYTES = 46;
const LOCAL_MAGIC = 0x04034b50;
const CENTRAL_MAGIC = 0x02014b50;
const END_MAGIC = 0x06054b50;
const ZIP64_LOCATOR_MAGIC = 0x07064b50;
const ZIP64_END_MAGIC = 0x06064b50;
/** In a field of 32 bits: the number is in the extra field of zip64. */
const IN_ZIP64 = 0xffffffff;
const EXTRA_ZIP64 = 0x0001;
const EXTRA_TIMES = 0x5455;
const EXTRA_UNICODE_PATH = 0x7075;
const FLAG_ENCRYPTED = 0x2041;
const FLAG_SIZES_FOLLOW = 0x0008;
const FLAG_UTF8 = 0x0800;
/** Systems whose external attributes begin with a Unix mode: Unix and macOS. */
const UNIX_SYSTEMS: readonly number[] = [3, 19];

/** Characters 128 to 255 of code page 437, which names are in that say nothing else. */
const CP437 = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐" +
  "└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0";

/** What the central directory says about an entry. */
export interface ZipEntry {
  readonly name: string;
  readonly nameBytes: Uint8Array;
  readonly flags: number;
  /** 0 for stored, 8 for deflated. */
  readonly method: number;
  readonly crc: number;
  readonly packedBytes: number;
  readonly sizeBytes: number;
  readonly mtimeMs: number;
  /** The Unix mode with the type of the file; undefined where another system made the entry. */
  readonly mode: number | undefined;
  /** Where its local header begins. */
  readonly atByte: number;
  /** What the directory holds of it, as it stands there. */
  readonly record: Uint8Array;
}

/** Where the central directory is. */
export interface ZipEnd {
  readonly entryCount: number;
  readonly atByte: number;
  readonly sizeBytes: number;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Returns where in `tail`, the last bytes of a file, the end record begins; undefined if nowhere.
 *
 * NULs may follow it: into a pipe bsdtar writes whole blocks, of a zip file too.
 */
export function findEnd(tail: Uint8Array): number | undefined {
  const view = viewOf(tail);
  const filledBytes = tail.findLastIndex((byte) => byte !== 0) + 1;
  for (let at = tail.length - END_RECORD_BYTES; at >= 0; at--) {
    if (view.getUint32(at, true) !== END_MAGIC) continue;
    const endByte = at + END_RECORD_BYTES + view.getUint16(at + 20, true);
    if (endByte >= filledBytes && endByte <= tail.length) return at;
  }
  return undefined;
}

/** Reads the end record; undefined where the one of zip64 has to be asked. */
export function decodeEnd(record: Uint8Array): ZipEnd | undefined {
  const view = viewOf(record);
  const entryCount = view.getUint16(10, true);
  const sizeBytes = view.getUint32(12, true);
  const atByte = view.getUint32(16, true);
  if (entryCount === 0xffff || sizeBytes === IN_ZIP64 || atByte === IN_ZIP64) return undefined;
  if (view.getUint16(4, true) !== 0 || view.getUint16(8, true) !== entryCount) throw manyDisks();
  return { entryCount, sizeBytes, atByte };
}

/** Tells whether `record` says where the end record of zip64 is. */
export function isZip64Locator(record: Uint8Array): boolean {
  return viewOf(record).getUint32(0, true) === ZIP64_LOCATOR_MAGIC;
}

/** Reads the record that says where the end record of zip64 begins. */
export function decodeZip64Locator(record: Uint8Array): number {
  const view = viewOf(record);
  if (view.getUint32(0, true) !== ZIP64_LOCATOR_MAGIC) {
    throw fault("the record of zip64 is missing");
  }
  return wholeNumber(view, 8);
}

/** Reads the end record of zip64. */
export function decodeZip64End(record: Uint8Array): ZipEnd {
  const view = viewOf(record);
  if (view.getUint32(0, true) !== ZIP64_END_MAGIC) throw fault("the record of zip64 is missing");
  const entryCount = wholeNumber(view, 32);
  if (view.getUint32(16, true) !== 0 || wholeNumber(view, 24) !== entryCount) throw manyDisks();
  return { entryCount, sizeBytes: wholeNumber(view, 40), atByte: wholeNumber(view, 48) };
}

/** Yields the entries of a central directory, which must be exactly as many as it should hold. */
export function* decodeCentral(bytes: Uint8Array, entryCount: number): Generator<ZipEntry, void> {
  const view = viewOf(bytes);
  let at = 0;
  for (let index = 0; index < entryCount; index++) {
    if (at + CENTRAL_HEADER_BYTES > bytes.length || view.getUint32(at, true) !== CENTRAL_MAGIC) {
      throw fault(`its directory holds ${index} entries and not ${entryCount}`);
    }
    const nameAt = at + CENTRAL_HEADER_BYTES;
    const extraAt = nameAt + view.getUint16(at + 28, true);
    const commentAt = extraAt + view.getUint16(at + 30, true);
    const end = commentAt + view.getUint16(at + 32, true);
    if (end > bytes.length) throw fault("its directory ends too soon");
    const nameBytes = bytes.subarray(nameAt, extraAt);
    const entry = decodeEntry(view, at, nameBytes, bytes.subarray(extraAt, commentAt));
    yield { ...entry, record: bytes.subarray(at, end) };
    at = end;
  }
  if (at !== bytes.length) throw fault("its directory holds more than its entries");
}

function decodeEntry(
  view: DataView,
  at: number,
  nameBytes: Uint8Array,
  extra: Uint8Array,
): Omit<ZipEntry, "record"> {
  const flags = view.getUint16(at + 8, true);
  const fields = extraFields(extra);
  const isUnix = UNIX_SYSTEMS.includes(view.getUint8(at + 5));
  const isUtf8 = isUnix || (flags & FLAG_UTF8) !== 0;
  const name = decodeZipName(nameBytes, isUtf8, fields.get(EXTRA_UNICODE_PATH));
  const zip64 = zip64Numbers(fields.get(EXTRA_ZIP64));
  const number = (offset: number): number => {
    const value = view.getUint32(at + offset, true);
    return value === IN_ZIP64 ? zip64() ?? value : value;
  };
  // In this order, in which those that need it are in the extra field.
  const sizeBytes = number(24);
  const packedBytes = number(20);
  const atByte = number(42);
  return {
    name,
    nameBytes,
    flags,
    method: view.getUint16(at + 10, true),
    crc: view.getUint32(at + 16, true),
    packedBytes,
    sizeBytes,
    atByte,
    mtimeMs: timeOf(fields.get(EXTRA_TIMES)) ??
      dosTimeMs(view.getUint16(at + 14, true), view.getUint16(at + 12, true)),
    mode: isUnix ? view.getUint32(at + 38, true) >>> 16 : undefined,
  };
}

/**
 * Reads a local header; returns where the data of `entry` begin, counted from that header.
 *
 * Throws `ArchiveError` where it says something else than the directory does: what one reader takes
 * from here and another from there is not to be trusted.
 */
export function checkLocalHeader(header: Uint8Array, name: Uint8Array, entry: ZipEntry): number {
  const view = viewOf(header);
  if (view.getUint32(0, true) !== LOCAL_MAGIC) throw lie(entry, "there is no entry at its place");
  if (name.length !== entry.nameBytes.length || name.some((b, at) => b !== entry.nameBytes[at])) {
    throw lie(entry, "its own header has another name");
  }
  const flags = view.getUint16(6, true);
  if (((flags | entry.flags) & FLAG_ENCRYPTED) !== 0) throw lie(entry, "it is encrypted");
  if (view.getUint16(8, true) !== entry.method) {
    throw lie(entry, "its own header has another compression");
  }
  const expected = [entry.crc, entry.packedBytes, entry.sizeBytes];
  const areSame = expected.every((value, index) => {
    const own = view.getUint32(14 + 4 * index, true);
    const isElsewhere = (flags & FLAG_SIZES_FOLLOW) !== 0 && own === 0;
    return own === value || isElsewhere || (index > 0 && own === IN_ZIP64);
  });
  if (!areSame) throw lie(entry, "its own header has another size or checksum");
  return LOCAL_HEADER_BYTES + view.getUint16(26, true) + view.getUint16(28, true);
}

/** Returns the length of the name in a local header. */
export function localNameBytes(header: Uint8Array): number {
  return viewOf(header).getUint16(26, true);
}

/** Names made on Unix are bytes, which are UTF-8 there without saying so. */
function decodeZipName(
  bytes: Uint8Array,
  isUtf8: boolean,
  unicode: Uint8Array | undefined,
): string {
  const name = isUtf8 || bytes.every((byte) => byte < 0x80) ? bytes : unicodePath(bytes, unicode);
  if (name === undefined) {
    return Array.from(bytes, (byte) => {
      return byte < 0x80 ? String.fromCharCode(byte) : CP437.charAt(byte - 0x80);
    }).join("");
  }
  try {
    return utf8.decode(name);
  } catch (cause) {
    const shown = JSON.stringify(String.fromCharCode(...bytes.subarray(0, 200)));
    throw new ArchiveError(`Cannot read the name ${shown} as UTF-8: it has other bytes`, {
      entry: shown,
      cause,
    });
  }
}

/** The name in Info-ZIP's extra field, which holds as long as it belongs to the other name. */
function unicodePath(bytes: Uint8Array, field: Uint8Array | undefined): Uint8Array | undefined {
  if (field === undefined || field.length < 5 || field[0] !== 1) return undefined;
  return viewOf(field).getUint32(1, true) === crc32(bytes) ? field.subarray(5) : undefined;
}

/** {kind of an extra field: its bytes} */
function extraFields(extra: Uint8Array): Map<number, Uint8Array> {
  const view = viewOf(extra);
  const fields = new Map<number, Uint8Array>();
  for (let at = 0; at + 4 <= extra.length;) {
    const end = at + 4 + view.getUint16(at + 2, true);
    if (end > extra.length) break;
    fields.set(view.getUint16(at, true), extra.subarray(at + 4, end));
    at = end;
  }
  return fields;
}

/** Returns what gives the numbers of the extra field of zip64 one after the other. */
function zip64Numbers(field: Uint8Array | undefined): () => number | undefined {
  let at = 0;
  return () => {
    if (field === undefined || at + 8 > field.length) return undefined;
    at += 8;
    return wholeNumber(viewOf(field), at - 8);
  };
}

function timeOf(field: Uint8Array | undefined): number | undefined {
  if (field === undefined || field.length < 5 || ((field[0] ?? 0) & 1) === 0) return undefined;
  return viewOf(field).getInt32(1, true) * 1000;
}

/** Time of the clock on the wall where the archive was made; taken for the one here, as all do. */
function dosTimeMs(date: number, time: number): number {
  const [year, month, day] = [1980 + (date >> 9), ((date >> 5) & 15) - 1, date & 31];
  return new Date(year, month, day, time >> 11, (time >> 5) & 63, 2 * (time & 31)).getTime();
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function wholeNumber(view: DataView, at: number): number {
  const value = Number(view.getBigUint64(at, true));
  if (!Number.isSafeInteger(value)) throw fault("a number of it is beyond 2^53");
  return value;
}

function manyDisks(): ArchiveError {
  return fault("it is one part of several");
}

/** Returns the failure of a zip file of which no single entry is at fault. */
export function fault(found: string): ArchiveError {
  return new ArchiveError(`Cannot read the archive as zip: ${found}`);
}

/** Returns the failure of an entry. */
export function lie(entry: ZipEntry, found: string): ArchiveError {
  const message = `Cannot unpack entry ${quoteName(entry.name)} of the zip file: ${found}`;
  return new ArchiveError(message, { entry: entry.name });
}
