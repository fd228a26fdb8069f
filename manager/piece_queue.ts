/**
 * Contents that come in several requests, joined into one stream.
 *
 * `Bun.serve` takes in a request's body as fast as it comes, however slowly it is read, so that
 * one request for gigabytes would hold gigabytes. A piece is answered when its bytes have been
 * taken, and only then is the next one sent.
 *
 * @module
 */

interface Piece {
  readonly chunks: AsyncIterable<Uint8Array>;
  readonly isLast: boolean;
  readonly taken: PromiseWithResolvers<void>;
}

/** The pieces of one file, in order. */
export class PieceQueue {
  #next: PromiseWithResolvers<Piece> = newSlot();
  #takenBytes = 0;

  /** Where the next piece starts. */
  get takenBytes(): number {
    return this.#takenBytes;
  }

  /** Adds the next piece, once the one before was taken; resolves when this one is. */
  add(chunks: AsyncIterable<Uint8Array>, isLast: boolean): Promise<void> {
    const taken = Promise.withResolvers<void>();
    this.#next.resolve({ chunks, isLast, taken });
    return taken.promise;
  }

  /** No further piece comes: who reads gets this error. */
  fail(error: Error): void {
    this.#next.reject(error);
  }

  /** The bytes of all pieces. */
  async *read(): AsyncGenerator<Uint8Array, void, void> {
    while (true) {
      const { chunks, isLast, taken } = await this.#next.promise;
      this.#next = newSlot();
      for await (const chunk of chunks) {
        this.#takenBytes += chunk.length;
        yield chunk;
      }
      if (isLast) return;
      taken.resolve();
    }
  }
}

function newSlot(): PromiseWithResolvers<Piece> {
  const slot = Promise.withResolvers<Piece>();
  // It may fail while nobody reads.
  slot.promise.catch(() => {});
  return slot;
}
