/** Exact numbers of bytes out of a stream of chunks of any size. */

import { ArchiveError, tooLarge } from "./archive_error.ts";

/** Reads a stream of chunks; what it hands out are views of them wherever that is possible. */
export class ByteReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #bytesMax: number;
  readonly #signal: AbortSignal | undefined;
  #chunk: Uint8Array = new Uint8Array(0);
  #at = 0;
  #arrivedBytes = 0;

  /**
   * Refuses to read more than `bytesMax` bytes in all, and on once `signal` is aborted. Chunks must
   * not be changed after they were given.
   */
  constructor(source: AsyncIterable<Uint8Array>, bytesMax: number, signal?: AbortSignal) {
    this.#chunks = source[Symbol.asyncIterator]();
    this.#bytesMax = bytesMax;
    this.#signal = signal;
  }

  /** Returns the next `length` bytes if all of them are here already: for `take` without waiting. */
  takeNow(length: number): Uint8Array | undefined {
    return this.#chunk.length - this.#at >= length ? this.#view(length) : undefined;
  }

  /** Returns `length` bytes from `atByte` on of what comes next, if they are here; all of it stays. */
  peekNow(atByte: number, length: number): Uint8Array | undefined {
    const start = this.#at + atByte;
    return start + length <= this.#chunk.length
      ? this.#chunk.subarray(start, start + length)
      : undefined;
  }

  /** Passes over the next `length` bytes if all of them are here already; false where they are not. */
  skipNow(length: number): boolean {
    if (this.#chunk.length - this.#at < length) return false;
    this.#at += length;
    return true;
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

  /** Bytes that have come so far, with those charged. */
  get arrivedBytes(): number {
    return this.#arrivedBytes;
  }

  /** Counts bytes that the archive stands for, as the holes of a sparse file, as if they were in it. */
  charge(sizeBytes: number): void {
    this.#arrivedBytes += sizeBytes;
    if (this.#arrivedBytes <= this.#bytesMax) return;
    throw tooLarge(this.#bytesMax);
  }

  /** Ends the source, so that a file or a decoder behind it is closed. */
  async close(): Promise<void> {
    this.#chunk = new Uint8Array(0);
    this.#at = 0;
    const closed = this.#chunks.return?.();
    if (this.#signal?.aborted) {
      // A stalled source may never answer, and whoever aborted does not wait for it.
      closed?.catch(() => {});
    } else {
      await closed;
    }
  }

  #view(length: number): Uint8Array {
    const view = this.#chunk.subarray(this.#at, this.#at + length);
    this.#at += length;
    return view;
  }

  async #advance(): Promise<boolean> {
    for (;;) {
      const next = await this.#next();
      if (next.done) return false;
      this.charge(next.value.length);
      if (next.value.length === 0) continue;
      this.#chunk = next.value;
      this.#at = 0;
      return true;
    }
  }

  /** The next chunk, or the reason of an abort, whichever comes first. */
  async #next(): Promise<IteratorResult<Uint8Array>> {
    const signal = this.#signal;
    if (signal === undefined) return await this.#chunks.next();
    signal.throwIfAborted();
    const aborted = Promise.withResolvers<never>();
    const onAbort = (): void => aborted.reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      return await Promise.race([this.#chunks.next(), aborted.promise]);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }
}
