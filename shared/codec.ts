/**
 * Frames of the wire: one byte of flags and a payload, which is CBOR of an array of messages.
 *
 * The bytes are scanned before they are decoded (cbor_scan.ts), on both sides: what one side
 * sends is within the limits of the other, and a message that is not fails where it was made.
 *
 * @module
 */

import { deflateRawSync, inflateRawSync } from "node:zlib";

import { Encoder } from "cbor-x/encode";
import { deflateSync, Inflate } from "fflate";

import { scanCbor } from "./cbor_scan.ts";
import { FrameError } from "./frame_error.ts";

/** A frame at most. `Bun.serve` closes a socket at 16 MB. */
export const FRAME_BYTES_MAX: number = 8 * 1024 * 1024;

/** Messages share a frame up to this size, so that a heartbeat never waits behind megabytes. */
export const FRAME_BYTES_SHARED: number = 1024 * 1024;

/**
 * Values and keys in a frame at most: 64 MiB as objects, when each is as small as can be. One item
 * takes a byte or more, so messages that share a frame never reach it; a single one may.
 */
export const FRAME_ITEMS_MAX: number = FRAME_BYTES_SHARED;

/** What a receiver allows. */
export interface FrameLimits {
  /** Of the frame as it arrives, and of its payload when inflated. */
  readonly bytesMax: number;
  readonly itemsMax: number;
}

/** Limits of an authenticated connection. */
export const FRAME_LIMITS: FrameLimits = {
  bytesMax: FRAME_BYTES_MAX,
  itemsMax: FRAME_ITEMS_MAX,
};

/** How a sender writes frames. */
export interface EncodeOptions {
  /** Deflates payloads of 1 KiB and more, when that makes them smaller. */
  readonly compress: boolean;
}

const IS_DEFLATED = 1;
const DEFLATE_BYTES_MIN = 1024;
/** Up to this size fflate deflates and inflates, above it node:zlib; the format is the same. */
const FFLATE_BYTES_MAX: number = 256 * 1024;
/** One push to fflate may emit a thousand times its input: a slice bounds what a bomb can do. */
const INFLATE_SLICE_BYTES = 1024;
/** Flags, and the largest header of the array. */
const HEADER_BYTES_MAX = 6;

// "cbor-x/encode" and not "cbor-x", because the latter loads a native add-on when one is there.
// `int64AsNumber` is missing in its types.
/** Plain CBOR: no records, tags or bundles. */
export const CBOR_OPTIONS = {
  useRecords: false,
  mapsAsObjects: true,
  variableMapSize: true,
  tagUint8Array: false,
  copyBuffers: true,
  int64AsNumber: true,
};
const cbor = new Encoder(CBOR_OPTIONS);

/** Writes `messages` as frames, in order; throws FrameError for one that no frame can carry. */
export function encodeFrame(
  messages: readonly { readonly kind: string }[],
  options: EncodeOptions,
): Uint8Array[] {
  const frames: Uint8Array[] = [];
  let parts: Uint8Array[] = [];
  let sizeBytes = HEADER_BYTES_MAX;
  for (const message of messages) {
    const part = encodeMessage(message);
    if (parts.length > 0 && sizeBytes + part.length > FRAME_BYTES_SHARED) {
      frames.push(joinFrame(parts, sizeBytes, options));
      parts = [];
      sizeBytes = HEADER_BYTES_MAX;
    }
    parts.push(part);
    sizeBytes += part.length;
  }
  if (parts.length > 0) frames.push(joinFrame(parts, sizeBytes, options));
  return frames;
}

/** Reads the messages of a frame, whose kinds and shapes are still unknown. */
export function decodeFrame(frame: Uint8Array, limits: FrameLimits = FRAME_LIMITS): unknown[] {
  if (frame.length > limits.bytesMax) throw tooLarge(frame.length, limits.bytesMax);
  const flags = frame[0];
  if (flags === undefined) throw new FrameError("malformed", "Cannot read a frame: it is empty");
  if (flags > IS_DEFLATED) {
    throw new FrameError("malformed", `Cannot read a frame: flags ${flags} are not known`);
  }
  // A plain view, never a Buffer: byte strings inside are to be copies of type Uint8Array.
  const body = new Uint8Array(frame.buffer, frame.byteOffset + 1, frame.length - 1);
  const payload = flags === IS_DEFLATED ? inflate(body, limits.bytesMax) : body;
  scanCbor(payload, { depth: 0, itemsMax: limits.itemsMax, rewriteIntegers: false });
  const messages: unknown = decodeCbor(payload);
  if (!Array.isArray(messages)) {
    throw new FrameError("malformed", "Cannot read a frame: its payload is not an array");
  }
  return messages;
}

/** One message as CBOR, in a buffer that the encoder goes on using behind it. */
function encodeMessage(message: { readonly kind: string }): Uint8Array {
  try {
    const bytes = cbor.encode(message);
    if (bytes.length + HEADER_BYTES_MAX > FRAME_BYTES_MAX) {
      throw tooLarge(bytes.length, FRAME_BYTES_MAX);
    }
    const itemsMax = FRAME_ITEMS_MAX - 1;
    scanCbor(bytes, { depth: 1, itemsMax, rewriteIntegers: true });
    return bytes;
  } catch (error) {
    const reason = error instanceof FrameError ? error.reason : "forbidden";
    const found = error instanceof Error ? error.message : String(error);
    throw new FrameError(
      reason,
      `Cannot write message "${message.kind}" as a frame: ${found}`,
      { cause: error },
    );
  }
}

/** One frame of `parts`; `sizeBytes` is at least its size. */
function joinFrame(
  parts: readonly Uint8Array[],
  sizeBytes: number,
  options: EncodeOptions,
): Uint8Array {
  const room = new Uint8Array(sizeBytes);
  let position = writeArrayHeader(room, parts.length);
  for (const part of parts) {
    room.set(part, position);
    position += part.length;
  }
  const plain = room.subarray(0, position);
  const payloadBytes = position - 1;
  if (!options.compress || payloadBytes < DEFLATE_BYTES_MIN) return plain;
  const deflated = deflate(plain.subarray(1));
  if (deflated.length >= payloadBytes) return plain;
  const frame = new Uint8Array(deflated.length + 1);
  frame[0] = IS_DEFLATED;
  frame.set(deflated, 1);
  return frame;
}

/** Writes flags and the header of an array of `count`; returns where its items start. */
function writeArrayHeader(frame: Uint8Array, count: number): number {
  if (count < 24) {
    frame[1] = 0x80 | count;
    return 2;
  }
  if (count < 0x1_0000) {
    frame.set([0x99, count >> 8, count & 255], 1);
    return 4;
  }
  frame.set([0x9a, count >>> 24, (count >> 16) & 255, (count >> 8) & 255, count & 255], 1);
  return 6;
}

function deflate(payload: Uint8Array): Uint8Array {
  if (payload.length <= FFLATE_BYTES_MAX) return deflateSync(payload, { level: 1 });
  return deflateRawSync(payload, { level: 1 });
}

/** Inflates at most `bytesMax`; a bomb costs no more than that and one slice's output. */
function inflate(body: Uint8Array, bytesMax: number): Uint8Array {
  try {
    if (body.length <= FFLATE_BYTES_MAX) return inflateInSlices(body, bytesMax);
    const inflated = inflateRawSync(body, { maxOutputLength: bytesMax });
    return new Uint8Array(inflated.buffer, inflated.byteOffset, inflated.length);
  } catch (error) {
    if (error instanceof FrameError) throw error;
    // node:zlib says "ERR_BUFFER_TOO_LARGE" when the limit is reached.
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ERR_BUFFER_TOO_LARGE") throw tooLarge(Infinity, bytesMax);
    const found = error instanceof Error ? error.message : String(error);
    throw new FrameError("malformed", `Cannot inflate a frame: ${found}`, { cause: error });
  }
}

function inflateInSlices(body: Uint8Array, bytesMax: number): Uint8Array {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  const stream = new Inflate((chunk) => {
    sizeBytes += chunk.length;
    if (sizeBytes > bytesMax) throw tooLarge(sizeBytes, bytesMax);
    if (chunk.length > 0) chunks.push(chunk);
  });
  for (let at = 0; at < body.length; at += INFLATE_SLICE_BYTES) {
    const next = at + INFLATE_SLICE_BYTES;
    stream.push(body.subarray(at, next), next >= body.length);
  }
  if (chunks.length === 1) return chunks[0] as Uint8Array;
  const inflated = new Uint8Array(sizeBytes);
  let position = 0;
  for (const chunk of chunks) {
    inflated.set(chunk, position);
    position += chunk.length;
  }
  return inflated;
}

function decodeCbor(payload: Uint8Array): unknown {
  try {
    return cbor.decode(payload);
  } catch (error) {
    const found = error instanceof Error ? error.message : String(error);
    throw new FrameError("malformed", `Cannot decode a frame: ${found}`, { cause: error });
  }
}

function tooLarge(found: number, bytesMax: number): FrameError {
  const size = Number.isFinite(found) ? `${found} bytes` : "more";
  return new FrameError("too_large", `Cannot take a frame above ${bytesMax} bytes: ${size}`);
}
