/**
 * A directory tree out of an archive that is not trusted.
 *
 * Either all of the archive is in the target afterwards, or the target is not there and the error
 * names the entry at fault. Big archives are unpacked by `worker/unpack.ts` in a process of its own;
 * this is what runs in it, and what takes in the directories that another host sends.
 */

import { constants } from "node:fs";
import { open } from "node:fs/promises";

import { PATH_BYTES_MAX, PATH_DEPTH_MAX } from "../relative_path.ts";
import { unreachable } from "../assert.ts";
import { ArchiveError, quoteName } from "./archive_error.ts";
import { readChunks, readChunksInTurn, tarChunks } from "./archive_source.ts";
import { ByteReader } from "./byte_reader.ts";
import { condaParts, CondaReader } from "./conda_reader.ts";
import { COMPRESSIONS, startsWith } from "./decompress.ts";
import { DirectTreeWriter } from "./direct_tree_writer.ts";
import type { Member, MemberReader } from "./member.ts";
import type { MemberWriter } from "./member_writer.ts";
import { checkPlace, relocateTree } from "./relocate.ts";
import { TarReader } from "./tar_reader.ts";
import { TreeWriter } from "./tree_writer.ts";
import type { ZipLimits } from "./zip_reader.ts";
import { ZipReader } from "./zip_reader.ts";

/** Entries of one archive; the largest environments seen have 300,000. */
export const UNPACK_ENTRY_COUNT_MAX = 2_000_000;
/** Bytes of one archive, decompressed. */
export const UNPACK_BYTES_MAX: number = 256 * 1024 ** 3;

/** A file up to this size is written whole, many at a time; a larger one part by part, alone. */
const SMALL_FILE_BYTES = 128 * 1024;

/** Bytes read from an archive at a time when nothing but its unpacking is to be done. */
const PLAIN_PART_BYTES = 1024 * 1024;
/** As above of a compressed one: where a part ends, its decoder stands still for a moment. */
const PACKED_PART_BYTES = 4 * 1024 * 1024;

/** First bytes of a zip file, and of one without entries. */
const ZIP_MAGICS: readonly (readonly number[])[] = [
  [0x50, 0x4b, 0x03, 0x04],
  [0x50, 0x4b, 0x05, 0x06],
];

/** Bounds on what is unpacked; what is left out is the constant of that meaning. */
export interface UnpackLimits {
  readonly entryCountMax?: number;
  /** Bytes of the decompressed stream, headers and padding included. */
  readonly bytesMax?: number;
  readonly pathBytesMax?: number;
  readonly pathDepthMax?: number;
}

/** How to unpack. */
export interface UnpackOptions extends UnpackLimits {
  /** Ends the unpacking, also while the source stalls. */
  readonly signal?: AbortSignal;
}

/** What was unpacked. */
export interface UnpackResult {
  readonly fileCount: number;
  readonly directoryCount: number;
  /** Symbolic and hard links. */
  readonly linkCount: number;
  /** Of the files' contents as they are now; a hard link adds nothing. */
  readonly sizeBytes: number;
}

/**
 * Unpacks the tar in `source`, compressed or not, into the directory `target`, which must not exist.
 *
 * It never blocks its thread for long. Throws `ArchiveError` and leaves nothing behind when any entry
 * cannot be had or trusted.
 */
export async function unpackTree(
  source: AsyncIterable<Uint8Array>,
  target: string,
  options: UnpackOptions = {},
): Promise<UnpackResult> {
  return await unpackMembers(target, options, {
    newReader: () => tarReader(source, options),
    newWriter: () => TreeWriter.create(target, limitsOf(options).entryCountMax),
    finish: (writer) => writer.finish(),
  });
}

/**
 * Unpacks the archive at `path` into the directory `target`, which must not exist, as fast as it can:
 * in a process that has nothing else to do.
 *
 * Throws `ArchiveError` and leaves nothing behind when any entry cannot be had or trusted.
 */
export async function unpackFile(
  path: string,
  target: string,
  options: UnpackOptions = {},
): Promise<UnpackResult> {
  return await unpackMembers(target, options, {
    newReader: () => fileReader(path, options),
    newWriter: () => new DirectTreeWriter(target, limitsOf(options).entryCountMax),
    finish: (writer) => writer.finish(),
  });
}

/**
 * Unpacks the archive of an environment as `unpackFile` does, for use at the absolute path `place`.
 *
 * Links to absolute paths are kept, as those of a virtual environment to its interpreter are, and
 * what leads to the packer's place leads to `place` afterwards (relocate.ts).
 */
export async function unpackEnvironment(
  path: string,
  target: string,
  { place, ...options }: UnpackOptions & { readonly place: string },
): Promise<UnpackResult> {
  checkPlace(place);
  const { bytesMax } = limitsOf(options);
  let grownBytes = 0;
  const result = await unpackMembers(target, options, {
    newReader: () => fileReader(path, options),
    newWriter: () => new DirectTreeWriter(target, limitsOf(options).entryCountMax),
    finish: async (writer, { sizeBytes }) => {
      writer.settle();
      const roomBytes = Math.max(0, bytesMax - sizeBytes);
      const room = { leftBytes: roomBytes, bytesMax };
      writer.finish(await relocateTree(target, { place, room, signal: options.signal }));
      grownBytes = roomBytes - room.leftBytes;
    },
  });
  return { ...result, sizeBytes: result.sizeBytes + grownBytes };
}

function tarReader(source: AsyncIterable<Uint8Array>, options: UnpackOptions): MemberReader {
  const limits = limitsOf(options);
  return new TarReader(
    new ByteReader(tarChunks(source), limits.bytesMax, options.signal),
    limits,
  );
}

async function fileReader(path: string, options: UnpackOptions): Promise<MemberReader> {
  const start = await firstBytes(path);
  if (ZIP_MAGICS.some((magic) => startsWith(start, magic))) {
    const limits = limitsOf(options);
    const zip = new ZipReader(path, limits);
    const parts = condaParts(zip.entries);
    if (parts === undefined) return zip;
    const { signal } = options;
    return new CondaReader(zip, parts, signal === undefined ? limits : { ...limits, signal });
  }
  const compression = COMPRESSIONS.find(({ isStart }) => isStart(start));
  const keepsChunks = start.length === 0 || compression?.keepsChunks === true;
  const read = keepsChunks ? readChunks : readChunksInTurn;
  const partBytes = compression === undefined ? PLAIN_PART_BYTES : PACKED_PART_BYTES;
  return tarReader(read(path, partBytes), options);
}

/** Looks only at a file proper, since of a pipe they would be lost. */
async function firstBytes(path: string): Promise<Uint8Array> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    if (!(await file.stat()).isFile()) return new Uint8Array(0);
    const { bytesRead, buffer } = await file.read(new Uint8Array(8), 0, 8, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

function limitsOf(options: UnpackOptions): ZipLimits {
  return {
    entryCountMax: options.entryCountMax ?? UNPACK_ENTRY_COUNT_MAX,
    bytesMax: options.bytesMax ?? UNPACK_BYTES_MAX,
    pathBytesMax: options.pathBytesMax ?? PATH_BYTES_MAX,
    pathDepthMax: options.pathDepthMax ?? PATH_DEPTH_MAX,
  };
}

interface Ends<Writer> {
  readonly newReader: () => MemberReader | Promise<MemberReader>;
  readonly newWriter: () => Writer | Promise<Writer>;
  /** Makes the tree complete once all members are written. */
  readonly finish: (writer: Writer, result: UnpackResult) => void | Promise<void>;
}

async function unpackMembers<Writer extends MemberWriter>(
  target: string,
  options: UnpackOptions,
  { newReader, newWriter, finish }: Ends<Writer>,
): Promise<UnpackResult> {
  const reader = await newReader();
  let writer: Writer | undefined;
  try {
    writer = await createTarget(target, newWriter);
    const result = await writeMembers(reader, writer, options.signal);
    await finish(writer, result);
    return result;
  } catch (error) {
    try {
      await writer?.discard();
    } catch (cause) {
      throw new ArchiveError(`Cannot remove the unfinished tree "${target}": ${cause}`, {
        cause: error,
      });
    }
    throw error;
  } finally {
    await reader.close();
  }
}

async function createTarget<Writer>(
  target: string,
  newWriter: () => Writer | Promise<Writer>,
): Promise<Writer> {
  try {
    return await newWriter();
  } catch (cause) {
    const found = cause instanceof Error ? cause.message : String(cause);
    throw new ArchiveError(`Cannot unpack into "${target}" as a new directory: ${found}`, {
      cause,
    });
  }
}

async function writeMembers(
  reader: MemberReader,
  writer: MemberWriter,
  signal: AbortSignal | undefined,
): Promise<UnpackResult> {
  let fileCount = 0;
  let directoryCount = 0;
  let linkCount = 0;
  let sizeBytes = 0;
  let member: Member | undefined;
  let isWriting = false;
  try {
    for (;;) {
      signal?.throwIfAborted();
      isWriting = false;
      const reading = reader.next();
      const next = reading instanceof Promise ? await reading : reading;
      if (next === undefined) {
        await reader.drain();
        return { fileCount, directoryCount, linkCount, sizeBytes };
      }
      member = next;
      isWriting = true;
      const writing = writeMember(reader, writer, member);
      if (writing !== undefined) await writing;
      if (member.kind === "directory") directoryCount++;
      else if (member.kind !== "file") linkCount++;
      else {
        fileCount++;
        sizeBytes += member.sizeBytes;
      }
    }
  } catch (error) {
    throw member === undefined ? error : located(error, isWriting ? "in" : "after", member.path);
  }
}

/** Says where in the archive a failure was met that names no entry. */
function located(error: unknown, where: "in" | "after", path: string): unknown {
  if (!(error instanceof ArchiveError) || error.entry !== undefined) return error;
  const message = `${error.message}, ${where} entry ${quoteName(path)}`;
  const { cause, isTooLarge } = error;
  return new ArchiveError(message, { entry: path, isTooLarge, cause });
}

/** Waits only where there is something to wait for: a promise for each member would be felt. */
function writeMember(
  reader: MemberReader,
  writer: MemberWriter,
  member: Member,
): void | Promise<void> {
  switch (member.kind) {
    case "directory":
      return writer.directory(member);
    case "symlink":
      return writer.symlink(member, member.target);
    case "hard_link":
      return writer.hardLink(member, member.target);
    case "file":
      if (member.sparse !== undefined || member.sizeBytes > SMALL_FILE_BYTES) {
        return writer.bigFile(member, parts(reader), member.sparse);
      }
      return writeSmallFile(reader, writer, member);
    default:
      return unreachable(member);
  }
}

function writeSmallFile(
  reader: MemberReader,
  writer: MemberWriter,
  member: Member,
): void | Promise<void> {
  const data = reader.data();
  if (!(data instanceof Promise)) return writer.file(member, data);
  return data.then((contents) => writer.file(member, contents));
}

async function* parts(reader: MemberReader): AsyncGenerator<Uint8Array, void> {
  for (;;) {
    const part = await reader.someData();
    if (part === undefined) return;
    yield part;
  }
}
