/**
 * From the bytes of an archive to the tar stream inside it.
 *
 * The format is told from the first bytes, never from a name: what a url or a cache hands over has
 * none that can be trusted.
 */

import { Buffer } from "node:buffer";
import type { FileHandle } from "node:fs/promises";
import { open } from "node:fs/promises";

import { ArchiveError } from "./archive_error.ts";
import { COMPRESSIONS, startsWith } from "./decompress.ts";
import { BLOCK_BYTES, isHeader, isZeroBlock } from "./tar_format.ts";

/** Bytes read from a file at a time unless said. */
const READ_BYTES = 256 * 1024;

/** First bytes of formats that are known but not read from a stream, to name them in the refusal. */
const FOREIGN_FORMATS: readonly { readonly name: string; readonly magic: readonly number[] }[] = [
  { name: "zip", magic: [0x50, 0x4b] },
  { name: "squashfs", magic: [0x68, 0x73, 0x71, 0x73] },
];

/** Returns the chunks of the file at `path`; it is closed when the reading ends, however it ends. */
export async function* readChunks(
  path: string,
  chunkBytes: number = READ_BYTES,
): AsyncGenerator<Uint8Array, void> {
  const file: FileHandle = await open(path, "r");
  try {
    for (;;) {
      const buffer = Buffer.allocUnsafeSlow(chunkBytes);
      const { bytesRead } = await file.read(buffer, 0, chunkBytes, null);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

/**
 * Returns the chunks of the file at `path` from two buffers in turn, one being filled while the other
 * is in use: a chunk holds only until the next one is asked for.
 */
export async function* readChunksInTurn(
  path: string,
  chunkBytes: number,
): AsyncGenerator<Uint8Array, void> {
  const file: FileHandle = await open(path, "r");
  let reading: Promise<{ bytesRead: number; buffer: Uint8Array }> | undefined;
  try {
    const buffers = [Buffer.allocUnsafeSlow(chunkBytes), Buffer.allocUnsafeSlow(chunkBytes)];
    for (let turn = 0;; turn++) {
      const { bytesRead, buffer } =
        await (reading ?? file.read(pick(buffers, turn), 0, chunkBytes));
      if (bytesRead === 0) return;
      reading = file.read(pick(buffers, turn + 1), 0, chunkBytes, null);
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await reading?.catch(() => {
      // It was read ahead, and nobody wants it any more.
    });
    await file.close();
  }
}

function pick(buffers: readonly Uint8Array[], turn: number): Uint8Array {
  return buffers[turn % buffers.length] ?? new Uint8Array(0);
}

/**
 * Returns the tar stream in `source`, which may be compressed by any of `COMPRESSIONS`.
 *
 * Throws `ArchiveError` naming the format found when it is another one.
 */
export async function* tarChunks(
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void> {
  const outer = await readStart(source);
  try {
    const compression = COMPRESSIONS.find(({ isStart }) => isStart(outer.start));
    if (compression === undefined) {
      checkTar(outer.start);
      yield* allChunks(outer);
      return;
    }
    const inner = await readStart(compression.decode(allChunks(outer)));
    try {
      checkTar(inner.start);
      yield* allChunks(inner);
    } finally {
      await inner.rest.return?.();
    }
  } finally {
    await outer.rest.return?.();
  }
}

/** A source of which the start has been read. */
interface StartedSource {
  /** A block's worth, or all there is. */
  readonly start: Uint8Array;
  readonly rest: AsyncIterator<Uint8Array>;
}

/** Reads until a block's worth is there, which tells the format. */
async function readStart(source: AsyncIterable<Uint8Array>): Promise<StartedSource> {
  const rest = source[Symbol.asyncIterator]();
  let start: Uint8Array = new Uint8Array(0);
  while (start.length < BLOCK_BYTES) {
    const next = await rest.next();
    if (next.done) break;
    // A copy where another chunk is needed, after which this one may be another's.
    const isWhole = start.length === 0 && next.value.length >= BLOCK_BYTES;
    start = isWhole ? next.value : joined(start, next.value);
  }
  return { start, rest };
}

async function* allChunks({ start, rest }: StartedSource): AsyncGenerator<Uint8Array, void> {
  yield start;
  for (;;) {
    const next = await rest.next();
    if (next.done) return;
    yield next.value;
  }
}

function checkTar(start: Uint8Array): void {
  const block = start.subarray(0, BLOCK_BYTES);
  if (block.length === BLOCK_BYTES && (isHeader(block) || isZeroBlock(block))) return;
  const foreign = FOREIGN_FORMATS.find((format) => startsWith(start, format.magic));
  const found = foreign?.name ?? (start.length === 0 ? "nothing" : "an unknown format");
  throw new ArchiveError(`Cannot read the archive as tar: found ${found}`);
}

function joined(left: Uint8Array, right: Uint8Array): Uint8Array {
  const both = new Uint8Array(left.length + right.length);
  both.set(left);
  both.set(right, left.length);
  return both;
}
