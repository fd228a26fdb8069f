/**
 * Where the frames of a zstd stream end: what tells a whole stream from one that was cut off.
 *
 * The decoder of node:zlib takes a stream that ends within a frame, or garbage after one, for a
 * sound one. The frames are therefore walked beside it, from block to block, without decoding.
 * Source: RFC 8878, sections 3.1.1 and 3.1.2.
 */

import { ArchiveError } from "./archive_error.ts";

const FRAME_MAGIC = 0xfd2fb528;
/** The lowest of the 16 numbers that begin a frame to be skipped. */
const SKIPPABLE_MAGIC = 0x184d2a50;
/** Bytes of a dictionary's name for each value of its flag. */
const DICTIONARY_BYTES: readonly number[] = [0, 1, 2, 4];
/** Bytes of the content size for each value of its flag; with one segment the first is 1. */
const CONTENT_SIZE_BYTES: readonly number[] = [0, 2, 4, 8];

/** What the next few bytes are. */
type Part = "magic" | "skippable" | "descriptor" | "block";

interface Walk {
  part: Part;
  /** Number made of the bytes of the part that have come, low end first. */
  value: number;
  cameBytes: number;
  /** Bytes to pass over before the part. */
  skipBytes: number;
  hasChecksum: boolean;
}

const PART_BYTES: Readonly<Record<Part, number>> = {
  magic: 4,
  skippable: 4,
  descriptor: 1,
  block: 3,
};

/** Passes on the chunks of a zstd stream, throwing `ArchiveError` where they are not whole frames. */
export async function* wholeZstdFrames(
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void> {
  const walk: Walk = { part: "magic", value: 0, cameBytes: 0, skipBytes: 0, hasChecksum: false };
  for await (const chunk of source) {
    walkChunk(walk, chunk);
    yield chunk;
  }
  if (walk.part !== "magic" || walk.cameBytes > 0 || walk.skipBytes > 0) {
    throw fault("it ends too soon");
  }
}

function walkChunk(walk: Walk, chunk: Uint8Array): void {
  for (let at = 0; at < chunk.length;) {
    if (walk.skipBytes > 0) {
      const skipped = Math.min(walk.skipBytes, chunk.length - at);
      walk.skipBytes -= skipped;
      at += skipped;
      continue;
    }
    walk.value += (chunk[at++] ?? 0) * 2 ** (8 * walk.cameBytes++);
    if (walk.cameBytes < PART_BYTES[walk.part]) continue;
    const { value } = walk;
    walk.value = 0;
    walk.cameBytes = 0;
    endPart(walk, value);
  }
}

function endPart(walk: Walk, value: number): void {
  if (walk.part === "magic") {
    const isSkippable = value - value % 16 === SKIPPABLE_MAGIC;
    if (!isSkippable && value !== FRAME_MAGIC) throw fault("there is something behind its end");
    walk.part = isSkippable ? "skippable" : "descriptor";
  } else if (walk.part === "skippable") {
    walk.skipBytes = value;
    walk.part = "magic";
  } else if (walk.part === "descriptor") {
    const isOneSegment = (value & 0x20) !== 0;
    const sizeFlag = value >> 6;
    const sizeBytes = sizeFlag === 0 && isOneSegment ? 1 : CONTENT_SIZE_BYTES[sizeFlag] ?? 0;
    walk.skipBytes = (isOneSegment ? 0 : 1) + (DICTIONARY_BYTES[value & 3] ?? 0) + sizeBytes;
    walk.hasChecksum = (value & 4) !== 0;
    walk.part = "block";
  } else {
    const type = (value >> 1) & 3;
    if (type === 3) throw fault("a block of it is of an unknown type");
    walk.skipBytes = type === 1 ? 1 : value >> 3;
    if ((value & 1) === 0) return;
    if (walk.hasChecksum) walk.skipBytes += 4;
    walk.part = "magic";
  }
}

function fault(found: string): ArchiveError {
  return new ArchiveError(`Cannot decompress the archive as zstd: ${found}`);
}
