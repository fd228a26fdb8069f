/**
 * The compressions that an archive may come in, told from its first bytes.
 *
 * All of them take several streams one after the other, and all verify the checksums they carry.
 * gzip and zstd are decoded in a thread of the runtime's own while what came before is unpacked.
 */

import type { Transform } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";

import { ArchiveError } from "./archive_error.ts";
import { bunzip2 } from "./bzip2_blocks.ts";
import { XzBlocks } from "./xz_blocks.ts";
import { wholeZstdFrames } from "./zstd_frames.ts";

/** Bytes that a decoder hands out at a time: few enough for memory, many enough to overlap. */
const INFLATED_BYTES = 2 * 1024 * 1024;

/** One compression. */
export interface Compression {
  readonly name: string;
  /** Tells it from the first bytes of an archive. */
  readonly isStart: (bytes: Uint8Array) => boolean;
  /** Whether it needs a chunk of its source still when it has asked for the next one. */
  readonly keepsChunks: boolean;
  readonly decode: (source: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>;
}

/** Those that can be unpacked. */
export const COMPRESSIONS: readonly Compression[] = [
  {
    name: "gzip",
    isStart: (bytes) => startsWith(bytes, [0x1f, 0x8b, 0x08]),
    keepsChunks: false,
    decode: (source) => transformed("gzip", source, createGunzip({ chunkSize: INFLATED_BYTES })),
  },
  {
    name: "zstd",
    isStart: (bytes) =>
      startsWith(bytes, [0x28, 0xb5, 0x2f, 0xfd]) ||
      (((bytes[0] ?? 0) & 0xf0) === 0x50 && startsWith(bytes.subarray(1), [0x2a, 0x4d, 0x18])),
    keepsChunks: false,
    decode: (source) => {
      const decoder = createZstdDecompress({ chunkSize: INFLATED_BYTES });
      return transformed("zstd", wholeZstdFrames(source), decoder);
    },
  },
  {
    name: "bzip2",
    isStart: (bytes) => startsWith(bytes, [0x42, 0x5a, 0x68]),
    keepsChunks: true,
    decode: bunzip2,
  },
  {
    name: "xz",
    isStart: (bytes) => startsWith(bytes, [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]),
    keepsChunks: true,
    decode: unxz,
  },
];

/** Tells whether `bytes` begin with `magic`. */
export function startsWith(bytes: Uint8Array, magic: readonly number[]): boolean {
  return magic.every((byte, index) => bytes[index] === byte);
}

/** Yields what `decoder` makes of `source`; its failures say that it is no sound `name`. */
export async function* transformed(
  name: string,
  source: AsyncIterable<Uint8Array>,
  decoder: Transform,
): AsyncGenerator<Uint8Array, void> {
  // A failure of the source is passed on to the decoder, whose reader below throws it.
  feed(source, decoder).catch((error: Error) => decoder.destroy(error));
  const chunks = decoder[Symbol.asyncIterator]();
  let ahead = chunks.next();
  try {
    for (;;) {
      const next = await ahead;
      if (next.done) return;
      // Asked for before this one is used, or the decoder would stand still meanwhile.
      ahead = chunks.next();
      yield next.value as Uint8Array;
    }
  } catch (cause) {
    throw fault(name, cause);
  } finally {
    ahead.catch(() => {
      // Thrown above, or nobody wants it any more.
    });
    decoder.destroy();
  }
}

/** Gives a decoder one chunk after the other; it is done with each before the next is asked for. */
async function feed(source: AsyncIterable<Uint8Array>, decoder: Transform): Promise<void> {
  for await (const chunk of source) {
    await new Promise<void>((resolve, reject) => {
      decoder.write(chunk, (error) => error ? reject(error) : resolve());
    });
  }
  decoder.end();
}

type XzModule = typeof import("xz-decompress");

async function* unxz(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  // Loaded when it is needed, like bzip2's; Deno has the exports of such a module under `default`.
  const module: XzModule & { readonly default?: XzModule } = await import("xz-decompress");
  const { XzReadableStream } = module.default ?? module;
  const blocks = new XzBlocks(source);
  const reader = new XzReadableStream(readable(blocks.encoded())).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      blocks.decoded(value);
      yield value;
    }
    blocks.end();
  } catch (cause) {
    throw fault("xz", cause);
  } finally {
    // Its decoder is one for all, and given back at the end or by this.
    await reader.cancel().catch(() => {});
  }
}

function readable(source: AsyncGenerator<Uint8Array, void>): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async pull(controller) {
      const next = await source.next();
      if (next.done) controller.close();
      else controller.enqueue(next.value);
    },
    async cancel() {
      await source.return();
    },
  });
}

function fault(name: string, cause: unknown): unknown {
  if (cause instanceof ArchiveError) return cause;
  const found = cause instanceof Error ? cause.message : String(cause);
  return new ArchiveError(`Cannot decompress the archive as ${name}: ${found}`, { cause });
}
