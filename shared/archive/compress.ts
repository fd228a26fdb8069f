/**
 * A stream compressed on all cores: blocks of it are compressed apart from each other, in the
 * runtime's own threads, and come out in order.
 *
 * gzip blocks end at a byte and lean on nothing before them, so all of them are ONE member, as pigz
 * and conda-pack write (RFC 1951, section 3.2.4: an empty stored block; RFC 1952). zstd blocks are
 * frames, one after the other (RFC 8878, section 3).
 */

import { Buffer } from "node:buffer";
import { promisify } from "node:util";
import { constants, crc32, deflateRaw, zstdCompress } from "node:zlib";

import { mapInOrder } from "../bounded.ts";

/** A compression, or none of it. */
export type CompressionName = "none" | "gzip" | "zstd";

/** How to compress. */
export interface CompressOptions {
  readonly compression: CompressionName;
  /** One of the compression's own; without a meaning for none. */
  readonly level: number;
  /** Blocks compressed at a time. */
  readonly threads: number;
}

/** Bytes of one block: a longer one is smaller, a shorter one leaves no thread without work. */
const BLOCK_BYTES: Readonly<Record<CompressionName, number>> = {
  none: 1024 * 1024,
  gzip: 1024 * 1024,
  zstd: 4 * 1024 * 1024,
};

/** RFC 1952, section 2.3: no name, no time, made on Unix. */
const GZIP_START: readonly number[] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
/** The last block of deflate, without contents. */
const DEFLATE_END: readonly number[] = [3, 0];

const deflateBlock = promisify<Uint8Array, object, Uint8Array>(deflateRaw);
const zstdBlock = promisify<Uint8Array, object, Uint8Array>(zstdCompress);

/** Yields `chunks` compressed; a chunk may be changed once the next one is asked for. */
export async function* compress(
  chunks: AsyncIterable<Uint8Array>,
  options: CompressOptions,
): AsyncGenerator<Uint8Array, void> {
  const { compression, level, threads } = options;
  const blocks = inBlocks(chunks, BLOCK_BYTES[compression]);
  // One more than the threads, so that none waits while the first in line is written.
  const limit = threads + 1;
  if (compression === "none") yield* blocks;
  else if (compression === "gzip") yield* gzip(blocks, { level, limit });
  else {
    const params = {
      [constants.ZSTD_c_compressionLevel]: level,
      [constants.ZSTD_c_checksumFlag]: 1,
    };
    yield* mapInOrder(blocks, limit, (block) => zstdBlock(block, { params }));
  }
}

async function* gzip(
  blocks: AsyncIterable<Uint8Array>,
  { level, limit }: { readonly level: number; readonly limit: number },
): AsyncGenerator<Uint8Array, void> {
  let crc = 0;
  let sizeBytes = 0;
  yield Buffer.from(GZIP_START);
  const finishFlush = constants.Z_FULL_FLUSH;
  yield* mapInOrder(blocks, limit, async (block) => {
    crc = crc32(block, crc);
    sizeBytes += block.length;
    return await deflateBlock(block, { level, finishFlush });
  });
  const end = Buffer.alloc(DEFLATE_END.length + 8);
  end.set(DEFLATE_END);
  end.writeUInt32LE(crc, DEFLATE_END.length);
  end.writeUInt32LE(sizeBytes % 2 ** 32, DEFLATE_END.length + 4);
  yield end;
}

/** Copies `chunks` into blocks of `blockBytes`, of which the last may be shorter. */
async function* inBlocks(
  chunks: AsyncIterable<Uint8Array>,
  blockBytes: number,
): AsyncGenerator<Uint8Array, void> {
  let block = Buffer.allocUnsafeSlow(blockBytes);
  let filled = 0;
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length;) {
      const part = chunk.subarray(at, at + blockBytes - filled);
      block.set(part, filled);
      at += part.length;
      filled += part.length;
      if (filled < blockBytes) continue;
      yield block;
      block = Buffer.allocUnsafeSlow(blockBytes);
      filled = 0;
    }
  }
  if (filled > 0) yield block.subarray(0, filled);
}
