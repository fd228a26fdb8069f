/**
 * Finds out when the server's side of a WebSocket has said its last word, from the bytes that it
 * sends: the head of its answer, then frames as RFC 6455 section 5.2 has them.
 *
 * @module
 */

const OPCODE_BITS = 0x0f;
const OPCODE_CLOSE = 0x8;
const LENGTH_BITS = 0x7f;
/** Lengths that say how many bytes have the length instead: 2 and 8. */
const LENGTH_OF_2 = 126;
const LENGTH_OF_8 = 127;

const END_OF_HEAD: readonly number[] = [13, 10, 13, 10];

/** Watches one connection; bytes that came are not kept. */
export class CloseWatch {
  /** Of `END_OF_HEAD`, how many bytes came last. */
  #headMatch = 0;
  /** The beginning of a frame, as far as it has come. */
  #begun: number[] = [];
  /** Of the content of a frame, what is still to come. */
  #contentBytes = 0;

  /** Takes the next bytes; true when a frame that closes begins in them. */
  take(chunk: Uint8Array): boolean {
    let at = this.#passHead(chunk);
    while (at < chunk.length) {
      const skippedBytes = Math.min(this.#contentBytes, chunk.length - at);
      at += skippedBytes;
      this.#contentBytes -= skippedBytes;
      const next = chunk[at];
      if (next === undefined) return false;
      at += 1;
      this.#begun.push(next);
      if (this.#isBegun()) {
        const [first = 0] = this.#begun;
        if ((first & OPCODE_BITS) === OPCODE_CLOSE) return true;
        this.#contentBytes = this.#lengthOfContent();
        this.#begun = [];
      }
    }
    return false;
  }

  /** Where the frames begin in `chunk`. */
  #passHead(chunk: Uint8Array): number {
    let at = 0;
    for (; this.#headMatch < END_OF_HEAD.length && at < chunk.length; at++) {
      const isNext = chunk[at] === END_OF_HEAD[this.#headMatch];
      this.#headMatch = isNext ? this.#headMatch + 1 : chunk[at] === END_OF_HEAD[0] ? 1 : 0;
    }
    return at;
  }

  #isBegun(): boolean {
    const [, second] = this.#begun;
    if (second === undefined) return false;
    const length = second & LENGTH_BITS;
    const more = length === LENGTH_OF_8 ? 8 : length === LENGTH_OF_2 ? 2 : 0;
    return this.#begun.length === 2 + more;
  }

  /** What servers send is not masked. */
  #lengthOfContent(): number {
    const [, second = 0, ...length] = this.#begun;
    if (length.length === 0) return second & LENGTH_BITS;
    return length.reduce((sum, byte) => sum * 256 + byte, 0);
  }
}
