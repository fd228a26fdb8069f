/**
 * What goes over the pipes between this program and a child of it: frames of four bytes of length,
 * little endian, and as many of CBOR. Both ends are this program, so that shapes are not checked;
 * sizes are, as a pipe that lost its place must not fill the memory.
 *
 * @module
 */

import { Encoder } from "cbor-x/encode";

import { CBOR_OPTIONS } from "./codec.ts";

/** A frame at most: an answer of all rows that a page may ask for is far smaller. */
export const FRAME_BYTES_MAX: number = 256 * 1024 * 1024;

const HEADER_BYTES = 4;

/** Both ends are of one program: what stands often is described once. */
const cbor = new Encoder({ ...CBOR_OPTIONS, useRecords: true });

/** One frame. */
export function writeFrame(message: object): Uint8Array {
  const payload = cbor.encode(message);
  const frame = new Uint8Array(HEADER_BYTES + payload.length);
  new DataView(frame.buffer).setUint32(0, payload.length, true);
  frame.set(payload, HEADER_BYTES);
  return frame;
}

/** Puts frames together from what comes out of a pipe. */
export class FrameReader<Message extends object> {
  /** What came and is not read yet; `#sizeBytes` in all. */
  #parts: Uint8Array[] = [];
  #sizeBytes = 0;
  /** Header and payload of the next frame, once its header is there. */
  #wantedBytes = 0;

  /**
   * Adds what came, and gives the frames that are whole now, one at a time.
   *
   * @throws {RangeError} When a frame says that it is larger than any is.
   */
  *read(chunk: Uint8Array): Generator<Message, void> {
    this.#parts.push(chunk);
    this.#sizeBytes += chunk.length;
    while (this.#sizeBytes >= Math.max(HEADER_BYTES, this.#wantedBytes)) {
      const [bytes, ...others] = this.#parts;
      const joined = others.length === 0 && bytes !== undefined ? bytes : this.#join();
      if (this.#wantedBytes === 0) this.#wantedBytes = HEADER_BYTES + sizeOf(joined);
      if (this.#sizeBytes < this.#wantedBytes) return;
      const payload = joined.subarray(HEADER_BYTES, this.#wantedBytes);
      this.#parts = [joined.subarray(this.#wantedBytes)];
      this.#sizeBytes -= this.#wantedBytes;
      this.#wantedBytes = 0;
      yield cbor.decode(payload) as Message;
    }
  }

  #join(): Uint8Array {
    const joined = new Uint8Array(this.#sizeBytes);
    let position = 0;
    for (const part of this.#parts) {
      joined.set(part, position);
      position += part.length;
    }
    this.#parts = [joined];
    return joined;
  }
}

function sizeOf(frame: Uint8Array): number {
  const size = new DataView(frame.buffer, frame.byteOffset).getUint32(0, true);
  if (size > FRAME_BYTES_MAX) {
    throw new RangeError(`Cannot read ${size} bytes as a frame: ${FRAME_BYTES_MAX} at most`);
  }
  return size;
}
