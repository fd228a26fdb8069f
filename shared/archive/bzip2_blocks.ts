/**
 * The contents of a bzip2 stream, of one or many streams one after the other, block by block.
 *
 * The package decodes from a source that answers at once, so the input of a whole block is gathered
 * before it is asked for. Its parts are used and not its `decode()`, which holds all output.
 */

import { Buffer } from "node:buffer";

import type { Bunzip, BunzipClass } from "seek-bzip";

import { ArchiveError } from "./archive_error.ts";

/** Bytes that no block exceeds: 900,000 symbols of 20 bits, and the tables. */
const BLOCK_BYTES_MAX = 3 * 1024 * 1024;
/** Where the room for a block's contents starts; run lengths may make it grow to 46 MB. */
const CONTENT_BYTES_MIN = 1024 * 1024;

/** Yields what the bzip2 streams in `source` hold, each block and stream checked by its CRC. */
export async function* bunzip2(
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void> {
  // What a CommonJS package exports as a whole comes as the default, which its types do not name.
  const module = await import("seek-bzip") as unknown as { readonly default: BunzipClass };
  const Decoder = module.default;
  const chunks = source[Symbol.asyncIterator]();
  const input = new BlockInput();
  const output = new BlockOutput();
  let bunzip: Bunzip | undefined;
  try {
    for (let isEnded = false;;) {
      while (!isEnded && input.leftBytes < BLOCK_BYTES_MAX) {
        const next = await chunks.next();
        if (next.done) isEnded = true;
        else input.add(next.value);
      }
      if (bunzip === undefined) {
        if (input.leftBytes === 0) return;
        bunzip = new Decoder(input, output);
      }
      if (bunzip._init_block()) {
        bunzip._read_bunzip();
        yield output.take();
      } else {
        // Bits left over in the last byte are padding, and the next stream begins after it.
        const expected = bunzip.reader.read(32) >>> 0;
        if (expected !== bunzip.streamCRC >>> 0) throw new Error("wrong checksum");
        bunzip = undefined;
      }
    }
  } catch (cause) {
    if (cause instanceof ArchiveError) throw cause;
    const found = cause instanceof Error ? cause.message : String(cause);
    throw new ArchiveError(`Cannot decompress the archive as bzip2: ${found}`, { cause });
  } finally {
    await chunks.return?.();
  }
}

/** What has come of the compressed stream and is not decoded yet. */
class BlockInput {
  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;

  get leftBytes(): number {
    return this.#bytes.length - this.#at;
  }

  add(chunk: Uint8Array): void {
    this.#bytes = Buffer.concat([this.#bytes.subarray(this.#at), chunk]);
    this.#at = 0;
  }

  readByte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw new Error("it ends too soon");
    return byte;
  }

  read(into: Uint8Array, at: number, length: number): number {
    for (let index = 0; index < length; index++) into[at + index] = this.readByte();
    return length;
  }
}

/** The contents of one block as they are decoded. */
class BlockOutput {
  #bytes = new Uint8Array(CONTENT_BYTES_MIN);
  #length = 0;

  writeByte(byte: number): void {
    if (this.#length === this.#bytes.length) {
      const grown = new Uint8Array(2 * this.#length);
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    this.#bytes[this.#length++] = byte;
  }

  /** A copy, which stays as it is when the next block is decoded. */
  take(): Uint8Array {
    const taken = this.#bytes.slice(0, this.#length);
    this.#length = 0;
    return taken;
  }
}
