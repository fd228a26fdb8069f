/** Exact numbers of bytes out of a stream of chunks of any size. */

import { ArchiveError } from "./archive_error.ts";

/** Reads a stream of chunks; what it hands out are views of them wherever that is possible. */
export class ByteReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #bytesMax: number;
  #chunk: Uint8Array = new Uint8Array(0);
  #at = 0;
  #arrivedBytes = 0;

  /** Refuses to read more than `bytesMax` bytes in all. Chunks must not be changed afterwards. */
  constructor(source: AsyncIterable<Uint8Array>, bytesMax: number) {
    this.#chunks = source[Symbol.asyncIterator]();
    this.#bytesMax = bytesMax;
  }

  /** Returns the next `length` bytes, or undefined when the stream ended before the first. */
  async take(length: number): Promise<Uint8Array | undefined> {
    if (this.#chunk.length - this.#at >= length) return this.#view(length);
    if (this.#at === this.#chunk.length && !(await this.#advance())) return undefined;
    if (this.#chunk.length - this.#at >= length) return this.#view(length);
    const joined = new Uint8Array(length);
    for (let filled = 0; filled < length;) {
      const part = await this.takeSome(length - filled);
      if (part === undefined) throw new ArchiveError("Cannot read the archive: it ends too soon");
      joined.set(part, filled);
      filled += part.length;
    }
    return joined;
  }

  /** Returns at least one and at most `lengthMax` bytes, or undefined at the end of the stream. */
  async takeSome(lengthMax: number): Promise<Uint8Array | undefined> {
    if (this.#at === this.#chunk.length && !(await this.#advance())) return undefined;
    return this.#view(Math.min(lengthMax, this.#chunk.length - this.#at));
  }

  /** Ends the source, so that a file or a decoder behind it is closed. */
  async close(): Promise<void> {
    this.#chunk = new Uint8Array(0);
    this.#at = 0;
    await this.#chunks.return?.();
  }

  #view(length: number): Uint8Array {
    const view = this.#chunk.subarray(this.#at, this.#at + length);
    this.#at += length;
    return view;
  }

  async #advance(): Promise<boolean> {
    for (;;) {
      const next = await this.#chunks.next();
      if (next.done) return false;
      this.#arrivedBytes += next.value.length;
      if (this.#arrivedBytes > this.#bytesMax) {
        throw new ArchiveError(
          `Cannot read the archive: it holds more than ${this.#bytesMax} bytes`,
        );
      }
      if (next.value.length === 0) continue;
      this.#chunk = next.value;
      this.#at = 0;
      return true;
    }
  }
}
