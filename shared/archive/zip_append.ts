/**
 * Adds members to a zip file: a copy of it is written beside it, with the new members in the place of
 * its directory and a new directory behind them, and then renamed into place. So it is whole at every
 * instant. The bytes of members that were replaced stay in it, as no directory names them.
 *
 * Source: APPNOTE.TXT 6.3.10 of PKWARE, sections 4.3 to 4.5.
 */

import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { constants, createReadStream } from "node:fs";
import { copyFile, type FileHandle, mkdir, open, rename, rm, stat } from "node:fs/promises";
import { crc32, createDeflateRaw } from "node:zlib";

import { dirname, join } from "@std/path";

import { PATH_BYTES_MAX, PATH_DEPTH_MAX } from "../relative_path.ts";
import { transformed } from "./decompress.ts";
import { UNPACK_ENTRY_COUNT_MAX } from "./unpack.ts";
import { type ZipLimits, ZipReader } from "./zip_reader.ts";

/** A file that becomes a member. */
export interface ZipAddition {
  /** Its name in the archive. */
  readonly name: string;
  /** Where it is. */
  readonly path: string;
}

/** What is kept of an archive that is there. */
interface Base {
  /** Behind its last member. */
  readonly endByte: number;
  /** `{name: what the directory holds}` */
  readonly records: Map<string, Uint8Array>;
}

const READ_BYTES: number = 1024 * 1024;
/** In a field of 32 bits: the number is in the extra field of zip64. */
const IN_ZIP64 = 0xffffffff;
/** From here on sizes are written with zip64: deflated, a file may be a little larger. */
const BIG_BYTES = 0xf0000000;
const LOCAL_MAGIC = 0x04034b50;
const CENTRAL_MAGIC = 0x02014b50;
const END_MAGIC = 0x06054b50;
const ZIP64_LOCATOR_MAGIC = 0x07064b50;
const ZIP64_END_MAGIC = 0x06064b50;
const EXTRA_ZIP64 = 0x0001;
const FLAG_UTF8 = 0x0800;
const DEFLATED = 8;
const VERSION = 20;
const VERSION_ZIP64 = 45;
const UNIX = 3 << 8;
const REGULAR_FILE = 0o100000;

/** Limits of archives that are read without being unpacked. */
export const WHOLE_ZIP_LIMITS: ZipLimits = {
  entryCountMax: UNPACK_ENTRY_COUNT_MAX,
  bytesMax: Number.MAX_SAFE_INTEGER,
  pathBytesMax: PATH_BYTES_MAX,
  pathDepthMax: PATH_DEPTH_MAX,
};

/**
 * Adds files to the archive at `path`, which is made where there is none; a member of the same name is
 * replaced. Nobody else may do so meanwhile.
 */
export async function appendToZip(
  path: string,
  additions: readonly ZipAddition[],
  signal?: AbortSignal,
): Promise<void> {
  const folder = dirname(path);
  const temporary = join(folder, `.tendril-${randomBytes(8).toString("hex")}`);
  try {
    await mkdir(folder, { recursive: true });
    const { endByte, records } = await copyBase(path, temporary);
    const file = await open(temporary, endByte === 0 ? "wx" : "r+");
    try {
      await file.truncate(endByte);
      let atByte = endByte;
      for (const addition of additions) {
        signal?.throwIfAborted();
        const added = await writeMember(file, addition, atByte);
        // The newest comes last.
        records.delete(addition.name);
        records.set(addition.name, added.record);
        atByte = added.endByte;
      }
      await writeDirectory(file, [...records.values()], atByte);
      await file.sync();
    } finally {
      await file.close();
    }
    signal?.throwIfAborted();
    await rename(temporary, path);
    await syncFolder(folder);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Copies what is there, if anything is. */
async function copyBase(path: string, temporary: string): Promise<Base> {
  let found: { readonly size: number };
  try {
    found = await stat(path);
  } catch (error) {
    if ((error as { readonly code?: string }).code !== "ENOENT") throw error;
    return { endByte: 0, records: new Map() };
  }
  // As `open` leaves it behind that makes it.
  if (found.size === 0) return { endByte: 0, records: new Map() };
  await copyFile(path, temporary, constants.COPYFILE_FICLONE);
  const reader = new ZipReader(temporary, WHOLE_ZIP_LIMITS);
  try {
    const records = new Map(reader.entries.map(({ name, record }) => [name, record]));
    return { endByte: reader.directoryAtByte, records };
  } finally {
    await reader.close();
  }
}

async function writeMember(
  file: FileHandle,
  { name, path }: ZipAddition,
  atByte: number,
): Promise<{ readonly record: Uint8Array; readonly endByte: number }> {
  const nameBytes = Buffer.from(name, "utf8");
  const { size, mode, mtime } = await stat(path);
  const isBig = size >= BIG_BYTES;
  const dataAt = atByte + 30 + nameBytes.length + (isBig ? 20 : 0);
  let crc = 0;
  let sizeBytes = 0;
  async function* read(): AsyncGenerator<Uint8Array, void> {
    for await (const chunk of createReadStream(path, { highWaterMark: READ_BYTES })) {
      crc = crc32(chunk, crc);
      sizeBytes += chunk.length;
      yield chunk;
    }
  }
  let endByte = dataAt;
  for await (const packed of transformed("deflate", read(), createDeflateRaw())) {
    await writeAll(file, packed, endByte);
    endByte += packed.length;
  }
  if (sizeBytes >= BIG_BYTES && !isBig) throw new Error(`"${path}" grew while it was read`);
  const packedBytes = endByte - dataAt;
  const common = { nameBytes, crc, packedBytes, sizeBytes, mtime };
  await writeAll(file, localHeader(common, isBig), atByte);
  const record = centralRecord({ ...common, mode: mode & 0o777, atByte });
  return { record, endByte };
}

/** What both headers of a member say. */
interface MemberFacts {
  readonly nameBytes: Uint8Array;
  readonly crc: number;
  readonly packedBytes: number;
  readonly sizeBytes: number;
  readonly mtime: Date;
}

function localHeader(facts: MemberFacts, isBig: boolean): Uint8Array {
  const { nameBytes, packedBytes, sizeBytes } = facts;
  const extra = isBig ? zip64Field([sizeBytes, packedBytes]) : new Uint8Array();
  const header = Buffer.alloc(30);
  header.writeUInt32LE(LOCAL_MAGIC, 0);
  writeFacts(header.subarray(4), facts, isBig);
  header.writeUInt16LE(nameBytes.length, 26);
  header.writeUInt16LE(extra.length, 28);
  return Buffer.concat([header, nameBytes, extra]);
}

function centralRecord(
  facts: MemberFacts & { readonly mode: number; readonly atByte: number },
): Uint8Array {
  const { nameBytes, packedBytes, sizeBytes, mode, atByte } = facts;
  const isBig = sizeBytes >= BIG_BYTES;
  const isFar = atByte >= IN_ZIP64;
  const numbers = [...(isBig ? [sizeBytes, packedBytes] : []), ...(isFar ? [atByte] : [])];
  const extra = numbers.length === 0 ? new Uint8Array() : zip64Field(numbers);
  const record = Buffer.alloc(46);
  record.writeUInt32LE(CENTRAL_MAGIC, 0);
  record.writeUInt16LE(UNIX | VERSION_ZIP64, 4);
  writeFacts(record.subarray(6), facts, isBig || isFar);
  if (!isBig) {
    record.writeUInt32LE(packedBytes, 20);
    record.writeUInt32LE(sizeBytes, 24);
  }
  record.writeUInt16LE(nameBytes.length, 28);
  record.writeUInt16LE(extra.length, 30);
  record.writeUInt32LE(((REGULAR_FILE | mode) << 16) >>> 0, 38);
  record.writeUInt32LE(isFar ? IN_ZIP64 : atByte, 42);
  return Buffer.concat([record, nameBytes, extra]);
}

/** From the version that is needed to read it to its size. */
function writeFacts(
  at: Buffer,
  { crc, packedBytes, sizeBytes, mtime }: MemberFacts,
  isZip64: boolean,
): void {
  const year = Math.min(Math.max(mtime.getFullYear(), 1980), 2107);
  at.writeUInt16LE(isZip64 ? VERSION_ZIP64 : VERSION, 0);
  at.writeUInt16LE(FLAG_UTF8, 2);
  at.writeUInt16LE(DEFLATED, 4);
  at.writeUInt16LE(
    (mtime.getHours() << 11) | (mtime.getMinutes() << 5) | (mtime.getSeconds() >> 1),
    6,
  );
  at.writeUInt16LE(((year - 1980) << 9) | ((mtime.getMonth() + 1) << 5) | mtime.getDate(), 8);
  at.writeUInt32LE(crc, 10);
  at.writeUInt32LE(isZip64 ? IN_ZIP64 : packedBytes, 14);
  at.writeUInt32LE(isZip64 ? IN_ZIP64 : sizeBytes, 18);
}

function zip64Field(numbers: readonly number[]): Uint8Array {
  const field = Buffer.alloc(4 + 8 * numbers.length);
  field.writeUInt16LE(EXTRA_ZIP64, 0);
  field.writeUInt16LE(8 * numbers.length, 2);
  for (const [index, number] of numbers.entries()) {
    field.writeBigUInt64LE(BigInt(number), 4 + 8 * index);
  }
  return field;
}

async function writeDirectory(
  file: FileHandle,
  records: readonly Uint8Array[],
  atByte: number,
): Promise<void> {
  const directory = Buffer.concat(records);
  const [count, sizeBytes] = [records.length, directory.length];
  const isBig = count >= 0xffff || sizeBytes >= IN_ZIP64 || atByte >= IN_ZIP64;
  const end = Buffer.alloc(22);
  end.writeUInt32LE(END_MAGIC, 0);
  end.writeUInt16LE(isBig ? 0xffff : count, 8);
  end.writeUInt16LE(isBig ? 0xffff : count, 10);
  end.writeUInt32LE(isBig ? IN_ZIP64 : sizeBytes, 12);
  end.writeUInt32LE(isBig ? IN_ZIP64 : atByte, 16);
  const zip64 = isBig ? zip64End({ count, sizeBytes, atByte }) : new Uint8Array();
  await writeAll(file, Buffer.concat([directory, zip64, end]), atByte);
}

function zip64End(
  { count, sizeBytes, atByte }: { count: number; sizeBytes: number; atByte: number },
): Uint8Array {
  const end = Buffer.alloc(56 + 20);
  end.writeUInt32LE(ZIP64_END_MAGIC, 0);
  end.writeBigUInt64LE(44n, 4);
  end.writeUInt16LE(UNIX | VERSION_ZIP64, 12);
  end.writeUInt16LE(VERSION_ZIP64, 14);
  end.writeBigUInt64LE(BigInt(count), 24);
  end.writeBigUInt64LE(BigInt(count), 32);
  end.writeBigUInt64LE(BigInt(sizeBytes), 40);
  end.writeBigUInt64LE(BigInt(atByte), 48);
  end.writeUInt32LE(ZIP64_LOCATOR_MAGIC, 56);
  end.writeBigUInt64LE(BigInt(atByte + sizeBytes), 64);
  end.writeUInt32LE(1, 72);
  return end;
}

/** A write may take less than it is given. */
async function writeAll(file: FileHandle, bytes: Uint8Array, atByte: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, atByte + done);
    done += bytesWritten;
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
