/**
 * A directory tree as one canonical tar stream, whose length is known before it is read.
 *
 * The same tree gives the same bytes on every host: entries in the order of `readTree`, modes 0644
 * and 0755, no owners, times in whole milliseconds. So a transfer that broke resumes at its offset,
 * from this host or from any other that has the tree, since unpacking keeps all that is in the stream.
 */

import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";

import { forEachBounded } from "../bounded.ts";
import { ArchiveError, quoteName } from "./archive_error.ts";
import { encodedHeaderBytes, encodeHeader, END_BYTES, paddingBytes } from "./tar_format.ts";
import { readTree, wholeMtimeMs } from "./tree.ts";
import type { TreeEntry } from "./tree.ts";

/** Bytes of the stream made at a time. */
const PART_BYTES = 256 * 1024;
/** Files read at one time for one part. */
const READS_MAX = 16;

/** What a stream will be, decided from a look at every entry of the tree. */
export interface PackPlan {
  readonly root: string;
  /** Length of the stream. */
  readonly sizeBytes: number;
  /** Sum of the files' sizes. */
  readonly contentBytes: number;
  readonly entries: readonly PlannedEntry[];
}

/** An entry and its place in the stream. */
export interface PlannedEntry extends TreeEntry {
  /** Where its header begins in the stream. */
  readonly atByte: number;
  /** Length of its header, after which its contents begin. */
  readonly headerBytes: number;
}

/** Looks at every entry of the tree below `root` and plans its stream; no contents are read. */
export async function planPack(root: string): Promise<PackPlan> {
  let atByte = 0;
  let contentBytes = 0;
  const entries: PlannedEntry[] = [];
  for (const entry of await readTree(root)) {
    const headerBytes = encodedHeaderBytes(entry);
    entries.push({ ...entry, atByte, headerBytes });
    atByte += headerBytes + entry.sizeBytes + paddingBytes(entry.sizeBytes);
    contentBytes += entry.sizeBytes;
  }
  return { root, sizeBytes: atByte + END_BYTES, contentBytes, entries };
}

/** The bytes of a stream that are wanted; what is left out is its start or its end. */
export interface ByteRange {
  readonly startByte?: number;
  /** One after the last. */
  readonly endByte?: number;
}

/**
 * Returns the stream of `plan`, or the bytes of `range` in it: nothing else is read.
 *
 * It fails with `ArchiveError` naming the file when one is not as it was when it was planned.
 */
export function openPackStream(
  plan: PackPlan,
  range: ByteRange = {},
): ReadableStream<Uint8Array> {
  const endByte = range.endByte ?? plan.sizeBytes;
  let atByte = range.startByte ?? 0;
  if (!(atByte >= 0 && atByte <= endByte && endByte <= plan.sizeBytes)) {
    throw new RangeError(
      `Cannot open bytes ${atByte} to ${endByte} of a stream of ${plan.sizeBytes}: not in it`,
    );
  }
  const reader = new PackReader(plan);
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (atByte === endByte) {
        await reader.close();
        controller.close();
        return;
      }
      try {
        const part = await reader.read(atByte, Math.min(atByte + PART_BYTES, endByte));
        atByte += part.length;
        controller.enqueue(part);
      } catch (error) {
        await reader.close();
        throw error;
      }
    },
    async cancel() {
      await reader.close();
    },
  });
}

/** Returns the SHA-256 in hex of the whole stream of `plan`, which stands for the tree on the wire. */
export async function hashPack(plan: PackPlan): Promise<string> {
  const hash = createHash("sha256");
  for await (const part of openPackStream(plan)) hash.update(part);
  return hash.digest("hex");
}

/** A piece of a file that belongs into a part of the stream. */
interface Piece {
  readonly entry: PlannedEntry;
  /** Where in the file the piece begins. */
  readonly fileAtByte: number;
  /** The place to read it into: a view of the part. */
  readonly into: Uint8Array;
}

/** Reads ranges of the stream; keeps the one file open that goes on in the next range. */
class PackReader {
  readonly #plan: PackPlan;
  #isClosed = false;
  #reading: Promise<void> = Promise.resolve();
  #kept: { readonly path: string; readonly file: FileHandle } | undefined;

  constructor(plan: PackPlan) {
    this.#plan = plan;
  }

  /** Returns bytes `start` to `end` of the stream. */
  async read(start: number, end: number): Promise<Uint8Array> {
    const part = new Uint8Array(end - start);
    const pieces: Piece[] = [];
    const { entries } = this.#plan;
    for (let index = entryAt(entries, start); index < entries.length; index++) {
      const entry = entries[index];
      if (entry === undefined || entry.atByte >= end) break;
      const contentAt = entry.atByte + entry.headerBytes;
      if (contentAt > start) copyInto(part, encodeHeader(entry), entry.atByte - start);
      const from = Math.max(contentAt, start);
      const to = Math.min(contentAt + entry.sizeBytes, end);
      if (from >= to) continue;
      const into = part.subarray(from - start, to - start);
      pieces.push({ entry, fileAtByte: from - contentAt, into });
    }
    this.#reading = forEachBounded(pieces, READS_MAX, (piece) => this.#readPiece(piece));
    await this.#reading;
    return part;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#reading.catch(() => {
      // Whoever asked for the part is told; here only its end matters.
    });
    const kept = this.#kept;
    this.#kept = undefined;
    await kept?.file.close();
  }

  async #readPiece({ entry, fileAtByte, into }: Piece): Promise<void> {
    const isLast = fileAtByte + into.length === entry.sizeBytes;
    const file = await this.#openFile(entry);
    let isKept = false;
    try {
      await readEntryBytes(entry, { file, fileAtByte, into });
      isKept = !isLast && !this.#isClosed;
    } finally {
      // Of the pieces of one part only the last can go on in the next part.
      if (isKept) this.#kept = { path: entry.path, file };
      else await file.close();
    }
  }

  async #openFile(entry: PlannedEntry): Promise<FileHandle> {
    const kept = this.#kept;
    if (kept !== undefined && kept.path === entry.path) {
      this.#kept = undefined;
      return kept.file;
    }
    return await openEntry(this.#plan.root, entry);
  }
}

/** Opens the file of `entry` below `root`; throws `ArchiveError` when it cannot be. */
export async function openEntry(root: string, entry: TreeEntry): Promise<FileHandle> {
  // A link put in the file's place is not followed, a pipe not waited for.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  try {
    return await open(`${root}/${entry.path}`, flags);
  } catch (cause) {
    throw changed(entry, messageOf(cause), cause);
  }
}

/**
 * Fills `into` from the open file of `entry`, from byte `fileAtByte` on.
 *
 * Throws `ArchiveError` when the file ends before, or is not as it was once its last byte is read:
 * looked at before anything of it is sent, so that no change goes unnoticed.
 */
export async function readEntryBytes(
  entry: TreeEntry,
  { file, fileAtByte, into }: { file: FileHandle; fileAtByte: number; into: Uint8Array },
): Promise<void> {
  try {
    for (let filled = 0; filled < into.length;) {
      const left = into.length - filled;
      const { bytesRead } = await file.read(into, filled, left, fileAtByte + filled);
      if (bytesRead === 0) throw changed(entry, "it has become shorter");
      filled += bytesRead;
    }
    if (fileAtByte + into.length === entry.sizeBytes) await checkUnchanged(entry, file);
  } catch (cause) {
    throw cause instanceof ArchiveError ? cause : changed(entry, messageOf(cause), cause);
  }
}

async function checkUnchanged(entry: TreeEntry, file: FileHandle): Promise<void> {
  const status = await file.stat({ bigint: true });
  if (!status.isFile()) throw changed(entry, "it is no file any more");
  if (status.size !== BigInt(entry.sizeBytes)) {
    throw changed(entry, `its size went from ${entry.sizeBytes} to ${status.size} bytes`);
  }
  if (wholeMtimeMs(status) !== entry.mtimeMs) throw changed(entry, "it was written to");
}

/** Index of the last entry that begins at or before `atByte`; zero when there is none. */
function entryAt(entries: readonly PlannedEntry[], atByte: number): number {
  let low = 0;
  let high = entries.length;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if ((entries[middle]?.atByte ?? 0) <= atByte) low = middle;
    else high = middle;
  }
  return low;
}

/** Copies what of `bytes` falls into `part` when they begin at `at`, which may be before it. */
function copyInto(part: Uint8Array, bytes: Uint8Array, at: number): void {
  const from = Math.max(0, -at);
  const to = Math.min(bytes.length, part.length - at);
  part.set(bytes.subarray(from, to), Math.max(0, at));
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function changed(entry: TreeEntry, found: string, cause?: unknown): ArchiveError {
  const message = `Cannot pack file ${quoteName(entry.path)} as it was planned: ${found}`;
  return new ArchiveError(message, { entry: entry.path, cause });
}
