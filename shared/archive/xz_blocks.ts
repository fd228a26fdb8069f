/**
 * xz streams whose check is SHA-256, made into ones that the decoder of the package takes.
 *
 * It verifies the checks that it knows, CRC-32 and CRC-64, and refuses this one. Each block of such
 * a stream therefore becomes a stream of its own without a check, and its contents are hashed here
 * as they come out. Where a block ends is told by walking its LZMA2 chunks, without decoding them.
 * Source: The .xz File Format, version 1.2.1; of LZMA2, xz-embedded's linux/lib/xz/xz_dec_lzma2.c.
 */

import { Buffer } from "node:buffer";
import { createHash, type Hash } from "node:crypto";
import { crc32 } from "node:zlib";

import { ArchiveError } from "./archive_error.ts";
import { ByteReader } from "./byte_reader.ts";

const STREAM_MAGIC = Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]);
/** "YZ", at the end of a stream. */
const FOOTER_MAGIC = Buffer.from([0x59, 0x5a]);
/** Bytes of a stream's header, and of its footer. */
const HEADER_BYTES = 12;
/** Bytes of the check after each block, by the number of its kind. */
const CHECK_BYTES: readonly number[] = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64];
const SHA256 = 10;
const LZMA2 = 0x21;
/** Blocks of one stream; they have some 24 MB each where there are many. */
const BLOCK_COUNT_MAX = 1_000_000;
/** Bytes of a number in an index. */
const NUMBER_BYTES_MAX = 9;

/** The contents of one block on their way through the decoder. */
interface Block {
  readonly isHashed: boolean;
  /** Undefined while its end has not been read. */
  end?: { readonly sizeBytes: number; readonly digest: Buffer | undefined };
}

interface BlockSizes {
  /** Header, compressed data and, in an index, the check. */
  readonly unpaddedBytes: number;
  readonly contentBytes: number;
}

type Bytes = AsyncGenerator<Uint8Array, void>;

/** xz on both sides of its decoder. */
export class XzBlocks {
  readonly #reader: ByteReader;
  /** In order, from the one that is coming out on. */
  readonly #blocks: Block[] = [];
  /** Of what came out of the first of them. */
  #hash: Hash = createHash("sha256");
  #blockBytes = 0;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#reader = new ByteReader(source, Infinity);
  }

  /** Yields what is to be decoded. */
  async *encoded(): Bytes {
    try {
      for (let isFirst = true;; isFirst = false) {
        const header = isFirst ? await this.#need(HEADER_BYTES) : await this.#nextHeader();
        if (header === undefined) return;
        if ((header[7] ?? 0) === SHA256) yield* this.#hashedStream(header);
        else yield* this.#plainStream(header);
      }
    } finally {
      await this.#reader.close();
    }
  }

  /** Takes what came out, in order. */
  decoded(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length;) {
      this.#endBlocks();
      const [block] = this.#blocks;
      if (block === undefined) throw fault("more comes out than its blocks hold");
      const leftBytes = (block.end?.sizeBytes ?? Infinity) - this.#blockBytes;
      const part = chunk.subarray(at, Math.min(chunk.length, at + leftBytes));
      if (block.isHashed) this.#hash.update(part);
      this.#blockBytes += part.length;
      at += part.length;
    }
  }

  /** To be called once all has come out. */
  end(): void {
    this.#endBlocks();
    if (this.#blocks.length > 0) throw fault("a block of it has other contents than it states");
  }

  #endBlocks(): void {
    for (;;) {
      const [block] = this.#blocks;
      if (block?.end === undefined || block.end.sizeBytes !== this.#blockBytes) return;
      this.#blocks.shift();
      this.#blockBytes = 0;
      const { digest } = block.end;
      if (digest === undefined) continue;
      if (!this.#hash.digest().equals(digest)) throw fault("wrong checksum");
      this.#hash = createHash("sha256");
    }
  }

  /** Notes a block before any of it goes in: it may come out before its end is read. */
  #begin(isHashed: boolean): Block {
    this.#endBlocks();
    const block: Block = { isHashed };
    this.#blocks.push(block);
    return block;
  }

  /** The header of the stream after another; between them may be NULs, four at a time. */
  async #nextHeader(): Promise<Uint8Array | undefined> {
    for (;;) {
      const start = await this.#take(4);
      if (start === undefined) return undefined;
      if (start.some((byte) => byte !== 0)) {
        return Buffer.concat([start, await this.#need(HEADER_BYTES - 4)]);
      }
    }
  }

  /** A stream as it is. */
  async *#plainStream(header: Uint8Array): Bytes {
    yield header;
    const checkBytes = CHECK_BYTES[(header[7] ?? 0) & 0x0f] ?? 0;
    for (let blockCount = 0;; blockCount++) {
      const first = await this.#need(1);
      if ((first[0] ?? 0) === 0) {
        const { bytes } = await this.#readIndex(blockCount);
        yield bytes;
        yield await this.#need(HEADER_BYTES);
        return;
      }
      if (blockCount === BLOCK_COUNT_MAX) throw fault(`over ${BLOCK_COUNT_MAX} blocks`);
      const block = this.#begin(false);
      const { contentBytes } = yield* this.#block(first);
      block.end = { sizeBytes: contentBytes, digest: undefined };
      if (checkBytes > 0) yield await this.#need(checkBytes);
    }
  }

  /** Each block of a stream as one of its own, to be verified when it comes out. */
  async *#hashedStream(header: Uint8Array): Bytes {
    checkHeader(header);
    const blocks: BlockSizes[] = [];
    for (;;) {
      const first = await this.#need(1);
      if ((first[0] ?? 0) === 0) break;
      if (blocks.length === BLOCK_COUNT_MAX) throw fault(`over ${BLOCK_COUNT_MAX} blocks`);
      const block = this.#begin(true);
      yield streamHeader();
      const sizes = yield* this.#block(first);
      const digest = Buffer.from(await this.#need(CHECK_BYTES[SHA256] ?? 0));
      block.end = { sizeBytes: sizes.contentBytes, digest };
      blocks.push({ ...sizes, unpaddedBytes: sizes.unpaddedBytes + digest.length });
      yield streamEnd([sizes]);
    }
    if (blocks.length === 0) yield Buffer.concat([streamHeader(), streamEnd([])]);
    await this.#checkEnd(header, blocks);
  }

  /** Yields a block but for its check, and returns its sizes, as if it had none. */
  async *#block(first: Uint8Array): AsyncGenerator<Uint8Array, BlockSizes> {
    const headerBytes = ((first[0] ?? 0) + 1) * 4;
    const header = Buffer.concat([first, await this.#need(headerBytes - 1)]);
    checkFilters(header);
    yield header;
    let dataBytes = 0;
    let contentBytes = 0;
    for (let isEnded = false; !isEnded;) {
      const control = (await this.#need(1))[0] ?? 0;
      if (control > 2 && control < 0x80) throw fault("a chunk of it is of an unknown type");
      isEnded = control === 0;
      // Sizes of one less: of the contents, of the data where they are compressed; properties.
      const restBytes = isEnded ? 0 : control < 0x80 ? 2 : control < 0xc0 ? 4 : 5;
      const rest = Buffer.from(await this.#need(restBytes));
      yield Buffer.concat([Uint8Array.of(control), rest]);
      dataBytes += 1 + restBytes;
      if (isEnded) break;
      const high = control < 0x80 ? 0 : (control & 0x1f) << 16;
      const chunkBytes = high + rest.readUInt16BE(0) + 1;
      contentBytes += chunkBytes;
      const packedBytes = control < 0x80 ? chunkBytes : rest.readUInt16BE(2) + 1;
      yield await this.#need(packedBytes);
      dataBytes += packedBytes;
    }
    if (dataBytes % 4 !== 0) yield await this.#need(4 - dataBytes % 4);
    return { unpaddedBytes: headerBytes + dataBytes, contentBytes };
  }

  /**
   * The index of which the first byte, a zero, was read: its bytes, and what it says of blocks. It
   * is held, so it may not be longer than the blocks that came before it.
   */
  async #readIndex(blockCount: number): Promise<{ bytes: Buffer; blocks: BlockSizes[] }> {
    const numbers: number[] = [0];
    const number = async (): Promise<number> => {
      let value = 0;
      for (let digit = 0; digit < NUMBER_BYTES_MAX; digit++) {
        const byte = (await this.#need(1))[0] ?? 0;
        numbers.push(byte);
        value += (byte & 0x7f) * 2 ** (7 * digit);
        if (byte < 0x80) return value;
      }
      throw fault("a number of its index is too long");
    };
    if (await number() !== blockCount) throw fault("its index is not that of its blocks");
    const blocks: BlockSizes[] = [];
    for (let index = 0; index < blockCount; index++) {
      blocks.push({ unpaddedBytes: await number(), contentBytes: await number() });
    }
    const end = await this.#need((4 - numbers.length % 4) % 4 + 4);
    return { bytes: Buffer.concat([Buffer.from(numbers), end]), blocks };
  }

  /** Verifies the index and the footer, of which the index's first byte was read. */
  async #checkEnd(header: Uint8Array, blocks: readonly BlockSizes[]): Promise<void> {
    const index = await this.#readIndex(blocks.length);
    const footer = Buffer.from(await this.#need(HEADER_BYTES));
    const isSound = index.blocks.every(({ unpaddedBytes, contentBytes }, at) => {
      return blocks[at]?.unpaddedBytes === unpaddedBytes &&
        blocks[at]?.contentBytes === contentBytes;
    });
    if (!isSound) throw fault("its index is not that of its blocks");
    if (!index.bytes.equals(encodeIndex(blocks))) throw fault("its index has a wrong checksum");
    if (!footer.equals(encodeFooter(index.bytes.length, header.subarray(6, 8)))) {
      throw fault("its end is not that of its index");
    }
  }

  async #take(length: number): Promise<Uint8Array | undefined> {
    const now = this.#reader.takeNow(length);
    if (now !== undefined) return now;
    try {
      return await this.#reader.take(length);
    } catch (cause) {
      throw cause instanceof ArchiveError ? fault("it ends too soon") : cause;
    }
  }

  async #need(length: number): Promise<Uint8Array> {
    if (length === 0) return new Uint8Array(0);
    const bytes = await this.#take(length);
    if (bytes === undefined) throw fault("it ends too soon");
    return bytes;
  }
}

function checkHeader(header: Uint8Array): void {
  const expected = Buffer.alloc(HEADER_BYTES);
  STREAM_MAGIC.copy(expected);
  expected.set(header.subarray(6, 8), 6);
  expected.writeUInt32LE(crc32(expected.subarray(6, 8)), 8);
  if (!expected.equals(header)) throw fault("the start of a stream is none");
}

/** Refuses what is filtered by more than LZMA2, as xz does only when it is told to. */
function checkFilters(header: Buffer): void {
  const flags = header[1] ?? 0;
  let at = 2;
  const number = (): number => {
    let value = 0;
    for (let digit = 0; digit < NUMBER_BYTES_MAX; digit++) {
      const byte = header[at++] ?? 0;
      value += (byte & 0x7f) * 2 ** (7 * digit);
      if (byte < 0x80) break;
    }
    return value;
  };
  for (const flag of [0x40, 0x80]) if ((flags & flag) !== 0) number();
  let filter = 0;
  for (let index = 0; index <= (flags & 3); index++) {
    filter = number();
    const propertyBytes = number();
    at += propertyBytes;
  }
  // The package has no other filters; its refusal would not say so.
  if (filter !== LZMA2 || (flags & 3) !== 0) throw fault("it has a filter other than LZMA2");
}

/** The start of a stream without a check. */
function streamHeader(): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  STREAM_MAGIC.copy(header);
  header.writeUInt32LE(crc32(header.subarray(6, 8)), 8);
  return header;
}

/** Index and footer of a stream without a check that has `blocks`. */
function streamEnd(blocks: readonly BlockSizes[]): Buffer {
  const index = encodeIndex(blocks);
  return Buffer.concat([index, encodeFooter(index.length, new Uint8Array(2))]);
}

function encodeIndex(blocks: readonly BlockSizes[]): Buffer {
  const bytes: number[] = [0];
  const push = (value: number): void => {
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push(rest % 0x80 + 0x80);
    bytes.push(rest);
  };
  push(blocks.length);
  for (const { unpaddedBytes, contentBytes } of blocks) {
    push(unpaddedBytes);
    push(contentBytes);
  }
  while (bytes.length % 4 !== 0) bytes.push(0);
  const index = Buffer.alloc(bytes.length + 4);
  index.set(bytes);
  index.writeUInt32LE(crc32(index.subarray(0, bytes.length)), bytes.length);
  return index;
}

function encodeFooter(indexBytes: number, flags: Uint8Array): Buffer {
  const footer = Buffer.alloc(HEADER_BYTES);
  footer.writeUInt32LE(indexBytes / 4 - 1, 4);
  footer.set(flags, 8);
  footer.writeUInt32LE(crc32(footer.subarray(4, 10)), 0);
  FOOTER_MAGIC.copy(footer, 10);
  return footer;
}

function fault(found: string): ArchiveError {
  return new ArchiveError(`Cannot decompress the archive as xz: ${found}`);
}
