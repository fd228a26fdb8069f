/**
 * A directory tree out of an archive that is not trusted.
 *
 * Either all of the archive is in the target afterwards, or the target is not there and the error
 * names the entry at fault. Big archives are unpacked by `worker/unpack.ts` in a process of its own;
 * this is what runs in it, and what takes in the directories that another host sends.
 */

import { PATH_BYTES_MAX, PATH_DEPTH_MAX } from "../relative_path.ts";
import { unreachable } from "../assert.ts";
import { ArchiveError } from "./archive_error.ts";
import { readChunks, tarChunks } from "./archive_source.ts";
import { ByteReader } from "./byte_reader.ts";
import { DirectTreeWriter } from "./direct_tree_writer.ts";
import type { MemberWriter } from "./member_writer.ts";
import { TarReader } from "./tar_reader.ts";
import type { TarMember } from "./tar_reader.ts";
import { TreeWriter } from "./tree_writer.ts";

/** Entries of one archive; the largest environments seen have 300,000. */
export const UNPACK_ENTRY_COUNT_MAX = 2_000_000;
/** Bytes of one archive, decompressed. */
export const UNPACK_BYTES_MAX: number = 256 * 1024 ** 3;

/** A file up to this size is written whole, many at a time; a larger one part by part, alone. */
const SMALL_FILE_BYTES = 128 * 1024;

/** Bytes read from an archive at a time when nothing but its unpacking is to be done. */
const FILE_PART_BYTES = 1024 * 1024;

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
  /** Of the files' contents; a hard link adds nothing. */
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
  return await unpackTar(source, () => TreeWriter.create(target), target, options);
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
  return await unpackTar(
    readChunks(path, FILE_PART_BYTES),
    () => new DirectTreeWriter(target),
    target,
    options,
  );
}

async function unpackTar(
  source: AsyncIterable<Uint8Array>,
  newWriter: () => MemberWriter | Promise<MemberWriter>,
  target: string,
  options: UnpackOptions,
): Promise<UnpackResult> {
  const bytes = new ByteReader(
    tarChunks(source),
    options.bytesMax ?? UNPACK_BYTES_MAX,
    options.signal,
  );
  const reader = new TarReader(bytes, {
    entryCountMax: options.entryCountMax ?? UNPACK_ENTRY_COUNT_MAX,
    pathBytesMax: options.pathBytesMax ?? PATH_BYTES_MAX,
    pathDepthMax: options.pathDepthMax ?? PATH_DEPTH_MAX,
  });
  let writer: MemberWriter | undefined;
  try {
    writer = await createTarget(target, newWriter);
    const result = await writeMembers(reader, writer, options.signal);
    await reader.drain();
    await writer.finish();
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
    await bytes.close();
  }
}

async function createTarget(
  target: string,
  newWriter: () => MemberWriter | Promise<MemberWriter>,
): Promise<MemberWriter> {
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
  reader: TarReader,
  writer: MemberWriter,
  signal: AbortSignal | undefined,
): Promise<UnpackResult> {
  let fileCount = 0;
  let directoryCount = 0;
  let linkCount = 0;
  let sizeBytes = 0;
  for (;;) {
    signal?.throwIfAborted();
    const member = await reader.next();
    if (member === undefined) return { fileCount, directoryCount, linkCount, sizeBytes };
    await writeMember(reader, writer, member);
    if (member.kind === "directory") directoryCount++;
    else if (member.kind !== "file") linkCount++;
    else {
      fileCount++;
      sizeBytes += member.sizeBytes;
    }
  }
}

async function writeMember(
  reader: TarReader,
  writer: MemberWriter,
  member: TarMember,
): Promise<void> {
  switch (member.kind) {
    case "directory":
      return await writer.directory(member);
    case "symlink":
      return await writer.symlink(member, member.target);
    case "hard_link":
      return await writer.hardLink(member, member.target);
    case "file":
      if (member.sizeBytes > SMALL_FILE_BYTES) {
        return await writer.bigFile(member, parts(reader));
      }
      return await writer.file(member, await reader.data());
    default:
      return unreachable(member);
  }
}

async function* parts(reader: TarReader): AsyncGenerator<Uint8Array, void> {
  for (;;) {
    const part = await reader.someData();
    if (part === undefined) return;
    yield part;
  }
}
