/**
 * Walks CBOR bytes (RFC 8949) without building anything, so that a decoder only sees
 * what is complete, shallow and plain. It has no recursion and allocates nothing.
 *
 * What is let through: integers that are exact as JavaScript numbers, byte and text strings,
 * arrays, maps with text keys, floats, true, false, null and undefined. A key that comes twice
 * is let through: the last one wins, and nothing reads the bytes by other rules before that.
 * UTF-8 is not checked: the decoder puts U+FFFD, and a name is checked before it becomes a path.
 *
 * @module
 */

import { FrameError } from "./frame_error.ts";

/** Containers within containers at most; DESIGN section 5. */
export const CBOR_DEPTH_MAX = 16;

/** What a scan allows and does. */
export interface ScanOptions {
  /** Containers already open around the bytes. */
  readonly depth: number;
  /** Values and keys at most: an item of one byte can become an object of 64. */
  readonly itemsMax: number;
  /** Writes floats that are whole and safe as integers, in place: both take nine bytes. */
  readonly rewriteIntegers: boolean;
}

const UNSIGNED = 0;
const NEGATIVE = 1;
const TEXT = 3;
const ARRAY = 4;
const MAP = 5;
const TAG = 6;
const SIMPLE = 7;

/** Low five bits of an initial byte: the argument follows in 1, 2, 4, 8 bytes. */
const ONE_BYTE = 24;
const EIGHT_BYTES = 27;
const FLOAT64 = 0xfb;

/** Upper 32 bits of `Number.MAX_SAFE_INTEGER`. */
const SAFE_HIGH_MAX = 0x1f_ffff;

const PROTO_KEY: Uint8Array = new TextEncoder().encode("__proto__");

/** Items still missing in each open container, and whether it is a map. Scans never nest. */
const missing: Int32Array = new Int32Array(CBOR_DEPTH_MAX + 1);
const isMapAt: Uint8Array = new Uint8Array(CBOR_DEPTH_MAX + 1);

/** Where one float is turned into an integer; a view of its own would cost more than the rest. */
const float = new DataView(new ArrayBuffer(8));

/** Throws FrameError unless `bytes` are one CBOR value that the options allow. */
export function scanCbor(bytes: Uint8Array, options: ScanOptions): void {
  const { itemsMax, rewriteIntegers } = options;
  const end = bytes.length;
  let position = 0;
  let depth = options.depth;
  let left = 1;
  let isMap = 0;
  let items = 0;
  for (;;) {
    while (left === 0) {
      if (depth === options.depth) {
        if (position !== end) throw malformed(position, "bytes after the end");
        return;
      }
      depth--;
      left = missing[depth] as number;
      isMap = isMapAt[depth] as number;
    }
    if (position >= end) throw malformed(position, "the end");
    if (++items > itemsMax) throw tooMany(itemsMax);
    const at = position;
    const first = bytes[position++] as number;
    const major = first >> 5;
    if (isMap === 1 && (left & 1) === 0) checkKey(bytes, at, major);
    left--;
    let argument = first & 31;
    if (major === SIMPLE) {
      position = simpleEnd(bytes, at, end);
      if (rewriteIntegers && first === FLOAT64) rewriteInteger(bytes, at);
      continue;
    }
    if (argument >= ONE_BYTE) {
      const size = argumentSize(argument, at);
      if (size > end - position) throw malformed(at, "the end");
      argument = readArgument(bytes, at, size);
      position += size;
    }
    if (major === UNSIGNED || major === NEGATIVE) continue;
    if (major === TAG) throw forbidden(at, "a tag");
    if (major === ARRAY || major === MAP) {
      const count = major === MAP ? argument * 2 : argument;
      if (count > end - position) throw malformed(at, "a length beyond the end");
      if (depth >= CBOR_DEPTH_MAX) throw forbidden(at, `more than ${CBOR_DEPTH_MAX} levels`);
      missing[depth] = left;
      isMapAt[depth] = isMap;
      depth++;
      left = count;
      isMap = major === MAP ? 1 : 0;
      continue;
    }
    if (argument > end - position) throw malformed(at, "a length beyond the end");
    position += argument;
  }
}

/** Bytes that the argument of an initial byte takes. */
function argumentSize(code: number, at: number): number {
  if (code > EIGHT_BYTES) {
    throw forbidden(at, code === 31 ? "an indefinite length" : "a reserved byte");
  }
  return 1 << (code - ONE_BYTE);
}

/** Reads a big-endian argument behind the byte `at`; it is exact or refused. */
function readArgument(bytes: Uint8Array, at: number, size: number): number {
  if (size < 8) {
    let value = 0;
    for (let i = at + 1; i <= at + size; i++) value = value * 256 + (bytes[i] as number);
    return value;
  }
  const high = readArgument(bytes, at, 4);
  const low = readArgument(bytes, at + 4, 4);
  // -1 - n is safe only for n up to MAX_SAFE_INTEGER - 1.
  const isOneTooMany = (bytes[at] as number) >> 5 === NEGATIVE && low === 0xffff_ffff;
  if (high > SAFE_HIGH_MAX || (high === SAFE_HIGH_MAX && isOneTooMany)) {
    throw forbidden(at, "an integer or a length that is not exact");
  }
  return high * 0x1_0000_0000 + low;
}

/** Where the simple value or float at `at` ends. */
function simpleEnd(bytes: Uint8Array, at: number, end: number): number {
  const code = (bytes[at] as number) & 31;
  if (code >= 20 && code <= 23) return at + 1;
  if (code <= ONE_BYTE || code > EIGHT_BYTES) throw forbidden(at, "an unassigned simple value");
  const next = at + 1 + (1 << (code - ONE_BYTE));
  if (next > end) throw malformed(at, "the end");
  return next;
}

/** Keys are text, and not the one name that reaches an object's prototype. */
function checkKey(bytes: Uint8Array, at: number, major: number): void {
  if (major !== TEXT) throw forbidden(at, "a key that is not text");
  if (PROTO_KEY.length !== keyLength(bytes, at)) return;
  const start = at + (bytes[at] === 0x60 + PROTO_KEY.length ? 1 : 2);
  for (let i = 0; i < PROTO_KEY.length; i++) if (bytes[start + i] !== PROTO_KEY[i]) return;
  throw forbidden(at, 'the key "__proto__"');
}

/** The length of a short key; longer forms of a short length are not told apart from long keys. */
function keyLength(bytes: Uint8Array, at: number): number {
  const code = (bytes[at] as number) & 31;
  return code === ONE_BYTE ? bytes[at + 1] ?? 0 : code;
}

/** Turns the float64 at `at` into an integer of the same length where that loses nothing. */
function rewriteInteger(bytes: Uint8Array, at: number): void {
  for (let i = 0; i < 8; i++) float.setUint8(i, bytes[at + 1 + i] as number);
  const value = float.getFloat64(0);
  if (!Number.isSafeInteger(value)) return;
  const magnitude = value < 0 ? -1 - value : value;
  float.setUint32(0, Math.floor(magnitude / 0x1_0000_0000));
  float.setUint32(4, magnitude >>> 0);
  bytes[at] = value < 0 ? 0x3b : 0x1b;
  for (let i = 0; i < 8; i++) bytes[at + 1 + i] = float.getUint8(i);
}

function malformed(at: number, found: string): FrameError {
  return new FrameError("malformed", `Cannot read byte ${at} of a frame as CBOR: ${found}`);
}

function forbidden(at: number, found: string): FrameError {
  return new FrameError("forbidden", `Cannot read byte ${at} of a frame as plain CBOR: ${found}`);
}

function tooMany(itemsMax: number): FrameError {
  return new FrameError("too_large", `Cannot read a frame: more than ${itemsMax} items`);
}
