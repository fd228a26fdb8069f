/**
 * The tar format: headers to bytes and back, with no input or output.
 *
 * Written: ustar headers, with a pax header in front where one does not hold the entry. Read: v7,
 * ustar, pax and GNU. Sources: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Header Block";
 * GNU tar 1.34, src/tar.h and src/list.c; libarchive, archive_read_support_format_tar.c.
 */

import { ArchiveError } from "./archive_error.ts";
import { withSparseRecord } from "./tar_sparse.ts";
import type { PaxSparse } from "./tar_sparse.ts";

/** Everything in a tar stream comes in blocks of this many bytes. */
export const BLOCK_BYTES = 512;
/** Bytes that end a stream: two blocks of zeros. */
export const END_BYTES: number = 2 * BLOCK_BYTES;

/** Where the type flag of a header is. */
export const TYPE_AT = 156;

/** The largest number that an 11 digit octal field holds. */
const OCTAL_MAX = 0o77777777777;
/** The field for a name, in bytes. */
const NAME_BYTES = 100;
/** Records of one pax header; real ones have fewer than 20. */
const PAX_RECORDS_MAX = 10_000;

const NAME_AT = 0;
const MODE_AT = 100;
const OWNER_AT = 108;
const GROUP_AT = 116;
const SIZE_AT = 124;
const TIME_AT = 136;
const CHECKSUM_AT = 148;
const LINK_AT = 157;
const MAGIC_AT = 257;
const PREFIX_AT = 345;
const PREFIX_BYTES = 155;

/** What the keys of pax records about sparse files begin with. */
const SPARSE_KEY = "GNU.sparse.";

const SPACE = 0x20;
const ZERO = 0x30;
const SLASH = 0x2f;
/** Type flags of links. */
const HARD_LINK = 0x31;
const SYMLINK = 0x32;

const NO_BYTES = new Uint8Array(0);

/** One header block as it stands, before long names and pax records are applied to it. */
export interface TarHeader {
  /** The prefix field, where there is one, is joined to it. */
  readonly nameBytes: Uint8Array;
  /** Empty for what is no link. */
  readonly linkBytes: Uint8Array;
  /** The type flag as a character, "0" for the NUL of old archives. */
  readonly type: string;
  /** All twelve permission bits. */
  readonly mode: number;
  /** Bytes of data that follow, before padding. Zero or above. */
  readonly sizeBytes: number;
  readonly mtimeMs: number;
}

/** What a pax header may change about entries; a field absent from it changes nothing. */
export interface PaxRecords {
  readonly path?: string;
  readonly linkPath?: string;
  readonly sizeBytes?: number;
  /** Milliseconds, with a fraction when the archive has one. */
  readonly mtimeMs?: number;
  /** Any GNU.sparse record: the data that follow are pieces, not the contents. */
  readonly sparse?: PaxSparse;
}

/** An entry to be written. */
export interface TarEntry {
  readonly kind: "file" | "directory" | "symlink" | "hard_link";
  /** Relative, in normal form, no slash at its end. */
  readonly path: string;
  readonly isExecutable: boolean;
  /** The twelve permission bits; absent where all that is kept is whether it is executable. */
  readonly mode?: number;
  /** Zero for all but files. */
  readonly sizeBytes: number;
  /** Whole milliseconds. */
  readonly mtimeMs: number;
  /** Of a symbolic link, or the path that a hard link is another name of; else empty. */
  readonly target: string;
}

/** The type flag of each kind of entry. */
const TYPES: Readonly<Record<TarEntry["kind"], string>> = {
  file: "0",
  "hard_link": "1",
  symlink: "2",
  directory: "5",
};

const encoder = new TextEncoder();
// A byte order mark at the start of a name is part of the name.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Returns how many bytes of padding follow `sizeBytes` bytes of data. */
export function paddingBytes(sizeBytes: number): number {
  return (BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES;
}

/** Returns the header blocks of `entry`: 512 bytes, or more with a pax header. */
export function encodeHeader(entry: TarEntry): Uint8Array {
  const pax = paxBody(entry);
  const name = entry.kind === "directory" ? `${entry.path}/` : entry.path;
  const blocks = new Uint8Array(headerLength(pax));
  let at = 0;
  if (pax !== undefined) {
    const fields = { name: "././@PaxHeader", mode: 0o644, type: "x", link: "" };
    writeBlock(blocks, { ...fields, sizeBytes: pax.length, seconds: 0 });
    blocks.set(pax, BLOCK_BYTES);
    at = blocks.length - BLOCK_BYTES;
  }
  const hasPlainMode = entry.kind === "file" && !entry.isExecutable;
  writeBlock(blocks.subarray(at), {
    name: cutToField(name),
    mode: entry.mode ?? (hasPlainMode ? 0o644 : entry.kind === "symlink" ? 0o777 : 0o755),
    type: TYPES[entry.kind],
    link: cutToField(entry.target),
    sizeBytes: entry.sizeBytes > OCTAL_MAX ? 0 : entry.sizeBytes,
    seconds: fitsTimeField(entry.mtimeMs) ? Math.floor(entry.mtimeMs / 1000) : 0,
  });
  return blocks;
}

/** Returns the length of `encodeHeader(entry)` without building it. */
export function encodedHeaderBytes(entry: TarEntry): number {
  return headerLength(paxBody(entry));
}

function headerLength(pax: Uint8Array | undefined): number {
  if (pax === undefined) return BLOCK_BYTES;
  return 2 * BLOCK_BYTES + pax.length + paddingBytes(pax.length);
}

/** The records for what the ustar header of `entry` cannot hold; undefined when it holds all. */
function paxBody(entry: TarEntry): Uint8Array | undefined {
  let records = "";
  const name = entry.kind === "directory" ? `${entry.path}/` : entry.path;
  if (!fitsNameField(name)) records += paxRecord("path", name);
  if (!fitsNameField(entry.target)) records += paxRecord("linkpath", entry.target);
  if (entry.sizeBytes > OCTAL_MAX) records += paxRecord("size", String(entry.sizeBytes));
  if (entry.mtimeMs % 1000 !== 0 || !fitsTimeField(entry.mtimeMs)) {
    records += paxRecord("mtime", decimalSeconds(entry.mtimeMs));
  }
  return records === "" ? undefined : encoder.encode(records);
}

function paxRecord(key: string, value: string): string {
  const rest = encoder.encode(` ${key}=${value}\n`).length;
  let length = rest + String(rest).length;
  // The length counts its own digits, which may be one more than first thought.
  if (rest + String(length).length !== length) length = rest + String(length).length;
  return `${length} ${key}=${value}\n`;
}

function decimalSeconds(timeMs: number): string {
  const whole = Math.trunc(timeMs / 1000);
  const rest = Math.abs(timeMs % 1000);
  const sign = timeMs < 0 ? "-" : "";
  return `${sign}${Math.abs(whole)}.${String(rest).padStart(3, "0")}`;
}

function fitsTimeField(timeMs: number): boolean {
  return timeMs >= 0 && timeMs / 1000 <= OCTAL_MAX;
}

function fitsNameField(name: string): boolean {
  // Readers disagree about what a byte above 127 means in a ustar header, not in a pax one.
  // deno-lint-ignore no-control-regex
  return name.length <= NAME_BYTES && /^[\x01-\x7f]*$/.test(name);
}

/** For readers that know no pax: something readable, as long as fits. */
function cutToField(name: string): string {
  return fitsNameField(name) ? name : name.replace(/[^\x20-\x7e]/g, "_").slice(0, NAME_BYTES);
}

interface BlockFields {
  readonly name: string;
  readonly mode: number;
  readonly type: string;
  readonly link: string;
  readonly sizeBytes: number;
  readonly seconds: number;
}

function writeBlock(block: Uint8Array, fields: BlockFields): void {
  encoder.encodeInto(fields.name, block.subarray(NAME_AT, NAME_AT + NAME_BYTES));
  writeOctal(block, MODE_AT, 7, fields.mode);
  writeOctal(block, OWNER_AT, 7, 0);
  writeOctal(block, GROUP_AT, 7, 0);
  writeOctal(block, SIZE_AT, 11, fields.sizeBytes);
  writeOctal(block, TIME_AT, 11, fields.seconds);
  block[TYPE_AT] = fields.type.charCodeAt(0);
  encoder.encodeInto(fields.link, block.subarray(LINK_AT, LINK_AT + NAME_BYTES));
  encoder.encodeInto("ustar\x0000", block.subarray(MAGIC_AT));
  writeOctal(block, CHECKSUM_AT, 6, checksum(block));
  block[CHECKSUM_AT + 6] = 0;
  block[CHECKSUM_AT + 7] = SPACE;
}

function writeOctal(block: Uint8Array, at: number, digits: number, value: number): void {
  let rest = value;
  for (let index = at + digits - 1; index >= at; index--) {
    block[index] = ZERO + (rest % 8);
    rest = Math.floor(rest / 8);
  }
}

/** The sum of a block's bytes with the checksum field taken as spaces. */
function checksum(block: Uint8Array): number {
  // Four bytes at a time, in two sums of 16 bits each, which 256 bytes do not overflow.
  const words = wordsOf(block);
  let sums = 0;
  for (let index = 0; index < words.length; index++) {
    const word = words[index] ?? 0;
    sums += (word & 0xff00ff) + ((word >>> 8) & 0xff00ff);
  }
  let sum = (sums >>> 16) + (sums & 0xffff);
  for (let index = CHECKSUM_AT; index < CHECKSUM_AT + 8; index++) {
    sum += SPACE - (block[index] ?? 0);
  }
  return sum;
}

function wordsOf(block: Uint8Array): Int32Array {
  // Copied by a constructor, because the `slice` of a Buffer copies nothing.
  const { buffer, byteOffset } = block.byteOffset % 4 === 0 ? block : new Uint8Array(block);
  return new Int32Array(buffer, byteOffset, BLOCK_BYTES / 4);
}

/** Bytes of a block that are negative when they are taken as signed ones, the checksum aside. */
function highCount(block: Uint8Array): number {
  let count = 0;
  for (let index = 0; index < BLOCK_BYTES; index++) {
    const isChecksum = index >= CHECKSUM_AT && index < CHECKSUM_AT + 8;
    if (!isChecksum && (block[index] ?? 0) > 127) count++;
  }
  return count;
}

/** Tells whether `block`, which has 512 bytes, is a header: what its checksum says. */
export function isHeader(block: Uint8Array): boolean {
  let expected: number;
  try {
    expected = decodeNumber(block, CHECKSUM_AT, 8, "checksum");
  } catch {
    // No number there means no header.
    return false;
  }
  const sum = checksum(block);
  // A sum of zero is of no header at all. Some old writers summed their bytes as signed ones.
  return expected > 0 && (expected === sum || expected === sum - 256 * highCount(block));
}

/** Tells whether `block` is all zeros, as the two at the end of a stream are. */
export function isZeroBlock(block: Uint8Array): boolean {
  for (let index = 0; index < BLOCK_BYTES; index++) if (block[index] !== 0) return false;
  return true;
}

/** Reads a header block of 512 bytes, throwing `ArchiveError` where it is not a sound one. */
export function decodeHeader(block: Uint8Array): TarHeader {
  if (!isHeader(block)) {
    throw new ArchiveError("Cannot read a block of the archive as a tar header: wrong checksum");
  }
  const typeByte = block[TYPE_AT] ?? 0;
  const isLink = typeByte === HARD_LINK || typeByte === SYMLINK;
  const sizeBytes = decodeNumber(block, SIZE_AT, 12, "size");
  if (sizeBytes < 0) throw numberFault("size", String(sizeBytes));
  return {
    nameBytes: joinPrefix(block, fieldBytes(block, NAME_AT, NAME_BYTES)),
    linkBytes: isLink ? fieldBytes(block, LINK_AT, NAME_BYTES) : NO_BYTES,
    type: typeByte === 0 ? "0" : String.fromCharCode(typeByte),
    mode: decodeNumber(block, MODE_AT, 8, "mode") & 0o7777,
    sizeBytes,
    mtimeMs: decodeNumber(block, TIME_AT, 12, "mtime") * 1000,
  };
}

/** The bytes of a field up to its first NUL, as a view of the block. */
function fieldBytes(block: Uint8Array, at: number, length: number): Uint8Array {
  const end = block.indexOf(0, at);
  return block.subarray(at, end === -1 ? at + length : Math.min(end, at + length));
}

/** Only POSIX headers have a prefix; GNU ones ("ustar" and two spaces) keep times there. */
function joinPrefix(block: Uint8Array, name: Uint8Array): Uint8Array {
  const isPosix = block[MAGIC_AT] === 0x75 && block[MAGIC_AT + 4] === 0x72 &&
    block[MAGIC_AT + 5] === 0;
  if (!isPosix || block[PREFIX_AT] === 0) return name;
  const prefix = fieldBytes(block, PREFIX_AT, PREFIX_BYTES);
  const joined = new Uint8Array(prefix.length + 1 + name.length);
  joined.set(prefix);
  joined[prefix.length] = SLASH;
  joined.set(name, prefix.length + 1);
  return joined;
}

/** Reads a field of a header: octal text between spaces or NULs, or GNU's base 256 when the first bit is set. */
export function decodeNumber(block: Uint8Array, at: number, length: number, field: string): number {
  if ((block[at] ?? 0) >= 0x80) return readBase256(block.subarray(at, at + length), field);
  const end = at + length;
  let index = at;
  while (index < end && block[index] === SPACE) index++;
  let value = 0;
  for (; index < end; index++) {
    const digit = (block[index] ?? 0) - ZERO;
    if (digit < 0 || digit > 7) break;
    value = value * 8 + digit;
  }
  const stop = block[index];
  if (index === end || stop === 0 || stop === SPACE) return value;
  throw numberFault(field, String.fromCharCode(...block.subarray(at, end)));
}

/** Two's complement, big end first; of the first byte 7 bits are the number's. */
function readBase256(bytes: Uint8Array, field: string): number {
  const first = bytes[0] ?? 0;
  let value = (first & 0x40) === 0 ? first & 0x3f : (first & 0x3f) - 0x40;
  for (const byte of bytes.subarray(1)) value = value * 256 + byte;
  if (!Number.isSafeInteger(value)) throw numberFault(field, "a number beyond 2^53");
  return value;
}

function numberFault(field: string, found: string): ArchiveError {
  return new ArchiveError(`Cannot read the ${field} of an entry as a tar number: "${found}"`);
}

/** Returns a name from a header or a long-name entry, throwing where it is not UTF-8. */
export function decodeName(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return decodeText(end === -1 ? bytes : bytes.subarray(0, end));
}

function decodeText(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch (cause) {
    // One character a byte, so that what could be read of the name is in the message.
    const shown = JSON.stringify(String.fromCharCode(...bytes.subarray(0, 200)));
    throw new ArchiveError(`Cannot read the name ${shown} as UTF-8: it has other bytes`, {
      entry: shown,
      cause,
    });
  }
}

/** Reads the body of a pax header; records that change nothing here are passed over. */
export function decodePax(body: Uint8Array): PaxRecords {
  const records: PaxDraft = {};
  let at = 0;
  for (let count = 0; at < body.length; count++) {
    if (count === PAX_RECORDS_MAX) throw paxFault(`more than ${PAX_RECORDS_MAX} records`);
    // Some writers pad with NULs what should end at its stated size.
    if (body[at] === 0) break;
    const space = body.indexOf(SPACE, at);
    const digits = String.fromCharCode(...body.subarray(at, Math.min(space, at + 8)));
    const length = Number.parseInt(digits, 10);
    const end = at + length;
    if (space === -1 || !/^\d{1,7}$/.test(digits) || end > body.length || end <= space + 1) {
      throw paxFault("a record of a wrong length");
    }
    const equals = body.indexOf(0x3d, space);
    if (equals === -1 || equals >= end || body[end - 1] !== 0x0a) {
      throw paxFault("a record without a key or without an end");
    }
    const key = String.fromCharCode(...body.subarray(space + 1, Math.min(equals, space + 101)));
    applyRecord(records, key, body.subarray(equals + 1, end - 1));
    at = end;
  }
  return records;
}

type PaxDraft = { -readonly [Key in keyof PaxRecords]: PaxRecords[Key] };

function applyRecord(records: PaxDraft, key: string, value: Uint8Array): void {
  if (key.startsWith(SPARSE_KEY)) {
    const text = paxText(value) ?? "";
    records.sparse = withSparseRecord(records.sparse, key.slice(SPARSE_KEY.length), text);
  }
  // An empty value takes back an earlier record (POSIX); the header's own field holds then.
  if (key === "path") replace(records, "path", paxText(value));
  else if (key === "linkpath") replace(records, "linkPath", paxText(value));
  else if (key === "size") replace(records, "sizeBytes", paxSize(paxText(value)));
  else if (key === "mtime") replace(records, "mtimeMs", paxTime(paxText(value)));
}

function replace<Key extends keyof PaxRecords>(
  records: PaxDraft,
  key: Key,
  value: PaxDraft[Key] | undefined,
): void {
  if (value === undefined) delete records[key];
  else records[key] = value;
}

/** NULs at the end are stripped (CVE-2026-59875); one inside is refused with the path. */
function paxText(value: Uint8Array): string | undefined {
  let end = value.length;
  while (end > 0 && value[end - 1] === 0) end--;
  return end === 0 ? undefined : decodeText(value.subarray(0, end));
}

function paxSize(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const sizeBytes = Number(text);
  // Only digits: a sign would let a size be negative (CVE-2026-59874).
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(sizeBytes)) throw numberFault("size", text);
  return sizeBytes;
}

function paxTime(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const match = /^(-?)(\d{1,13})(?:\.(\d*))?$/.exec(text);
  if (match === null) throw numberFault("mtime", text);
  // The fraction is cut before it is added: 0.9999999999 must not become the next second.
  const fractionMs = Number(`0.${(match[3] ?? "").slice(0, 6)}`) * 1000;
  const timeMs = Number(match[2]) * 1000 + fractionMs;
  return match[1] === "-" ? -timeMs : timeMs;
}

function paxFault(found: string): ArchiveError {
  return new ArchiveError(`Cannot read a pax header of the archive: ${found}`);
}
