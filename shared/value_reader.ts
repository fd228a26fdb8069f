/**
 * Reads values from bytes that may come from anywhere; value.ts describes the encoding.
 *
 * What is read is bounded by the bytes: an array or map must have room for its elements
 * before it is begun, depth is limited, and a key `__proto__` is a property like any other.
 *
 * @module
 */

import { DIMENSIONS_MAX, NdArray, type NdData, Pickle, shapeProblem } from "./nd_array.ts";
import {
  BIGINT_BYTES_MAX,
  BIGINT_TAG,
  DATE_TAG,
  DATE_TEXT_TAG,
  DEPTH_MAX,
  FILE_TAG,
  MAP_TAG,
  ND_ARRAY_TAG,
  NEGATIVE_BIGINT_TAG,
  PICKLE_TAG,
  SET_TAG,
  TYPED_ARRAYS,
  type TypedArrayConstructor,
  VALUE_FILE_TAG,
} from "./value_tag.ts";

/** What references in arguments stand for. */
export interface References {
  /** Returns the absolute path of the file of that index. */
  fileAt(index: number): string;
  /** Returns the value encoded in the file of that index. */
  valueAt(index: number): unknown;
}

interface Reader {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  at: number;
  /** Absent where a value may hold no references, as in a result. */
  readonly references: References | undefined;
}

/** Up to this length ASCII text is read by hand, which beats a call into the decoder. */
const SHORT_TEXT_LENGTH_MAX = 24;

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Returns the value that `bytes` hold, all of them. */
export function readBytes(source: Uint8Array, references: References | undefined): unknown {
  // The `slice` of a Buffer, unlike that of other arrays, copies nothing.
  const bytes = new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const reader: Reader = { bytes, view, at: 0, references };
  const value = readValue(reader, 0);
  if (reader.at !== bytes.length) refuse(reader, `${bytes.length - reader.at} bytes after it`);
  return value;
}

function readValue(reader: Reader, depth: number): unknown {
  if (depth > DEPTH_MAX) refuse(reader, `more than ${DEPTH_MAX} values inside each other`);
  const first = reader.bytes[reader.at++];
  if (first === undefined) return refuse(reader, "the end of the bytes");
  const low = first & 31;
  switch (first >> 5) {
    case 0:
      return readUnsigned(reader, low);
    case 1: {
      const number = readUnsigned(reader, low);
      if (typeof number === "bigint") return -1n - number;
      return number < Number.MAX_SAFE_INTEGER ? -1 - number : -1n - BigInt(number);
    }
    case 2:
      return readContents(reader, low).slice();
    case 3:
      return readText(reader, low);
    case 4:
      return readArray(reader, low, depth);
    case 5:
      return readRecord(reader, low, depth);
    case 6:
      return readTagged(reader, readLength(reader, low), depth);
    default:
      return readSimple(reader, low);
  }
}

/** Reads the number of a head; a bigint when it is beyond 2^53 - 1. */
function readUnsigned(reader: Reader, low: number): number | bigint {
  if (low < 24) return low;
  const size = low === 24 ? 1 : low === 25 ? 2 : low === 26 ? 4 : low === 27 ? 8 : 0;
  if (size === 0) refuse(reader, low === 31 ? "an indefinite length" : `a head of kind ${low}`);
  const at = take(reader, size);
  if (size === 1) return reader.view.getUint8(at);
  if (size === 2) return reader.view.getUint16(at);
  if (size === 4) return reader.view.getUint32(at);
  const high = reader.view.getUint32(at);
  if (high > 0x1fffff) return reader.view.getBigUint64(at);
  return high * 0x100000000 + reader.view.getUint32(at + 4);
}

/** Reads a number that counts something. */
function readLength(reader: Reader, low: number): number {
  if (low < 24) return low;
  const length = readUnsigned(reader, low);
  return typeof length === "number" ? length : refuse(reader, `a length of ${length}`);
}

/** Passes over `size` bytes and returns where they start. */
function take(reader: Reader, size: number): number {
  const at = reader.at;
  if (size > reader.bytes.length - at) {
    refuse(reader, `${reader.bytes.length - at} bytes where ${size} were announced`);
  }
  reader.at = at + size;
  return at;
}

function readContents(reader: Reader, low: number): Uint8Array {
  const size = readLength(reader, low);
  const at = take(reader, size);
  return reader.bytes.subarray(at, at + size);
}

function readText(reader: Reader, low: number): string {
  const size = readLength(reader, low);
  const at = take(reader, size);
  if (size <= SHORT_TEXT_LENGTH_MAX) {
    let text = "";
    let index = at;
    for (; index < at + size; index++) {
      const code = reader.bytes[index] ?? 0x80;
      if (code > 0x7f) break;
      text += String.fromCharCode(code);
    }
    if (index === at + size) return text;
  }
  try {
    return UTF8.decode(reader.bytes.subarray(at, at + size));
  } catch {
    // The decoder says no more than that it is not UTF-8.
    return refuse(reader, "text that is not UTF-8");
  }
}

function readArray(reader: Reader, low: number, depth: number): unknown[] {
  const length = readLength(reader, low);
  checkRoom(reader, length);
  const array: unknown[] = [];
  for (let index = 0; index < length; index++) array.push(readValue(reader, depth + 1));
  return array;
}

/** Every element takes a byte at least, so a count beyond the bytes left is a lie. */
function checkRoom(reader: Reader, count: number): void {
  const left = reader.bytes.length - reader.at;
  if (count > left) refuse(reader, `${left} bytes where ${count} elements were announced`);
}

/** Reads a map as an object, or as a Map from the first key on that is not text. */
function readRecord(reader: Reader, low: number, depth: number): unknown {
  const size = readLength(reader, low);
  checkRoom(reader, size * 2);
  const record: Record<string, unknown> = {};
  for (let index = 0; index < size; index++) {
    const key = readValue(reader, depth + 1);
    if (typeof key !== "string") {
      const map = new Map<unknown, unknown>(Object.entries(record));
      map.set(key, readValue(reader, depth + 1));
      return readEntries(reader, map, size - index - 1, depth);
    }
    const value = readValue(reader, depth + 1);
    if (key === "__proto__") {
      const property = { value, enumerable: true, configurable: true, writable: true };
      Object.defineProperty(record, key, property);
    } else record[key] = value;
  }
  return record;
}

function readEntries(
  reader: Reader,
  map: Map<unknown, unknown>,
  count: number,
  depth: number,
): Map<unknown, unknown> {
  for (let index = 0; index < count; index++) {
    const key = readValue(reader, depth + 1);
    map.set(key, readValue(reader, depth + 1));
  }
  return map;
}

function readTagged(reader: Reader, tag: number, depth: number): unknown {
  const array = TYPED_ARRAYS.get(tag);
  if (array !== undefined) return readTyped(reader, array, tag);
  switch (tag) {
    case ND_ARRAY_TAG:
      return readNdArray(reader);
    case PICKLE_TAG:
      return new Pickle(readContents(reader, readHeadOf(reader, 2, tag)).slice());
    case MAP_TAG: {
      const size = readLength(reader, readHeadOf(reader, 5, tag));
      checkRoom(reader, size * 2);
      return readEntries(reader, new Map(), size, depth);
    }
    case SET_TAG:
      return new Set(readArray(reader, readHeadOf(reader, 4, tag), depth));
    case BIGINT_TAG:
    case NEGATIVE_BIGINT_TAG: {
      const contents = readContents(reader, readHeadOf(reader, 2, tag));
      if (contents.length > BIGINT_BYTES_MAX) {
        refuse(reader, `a bigint of ${contents.length} bytes`);
      }
      const magnitude = BigInt(`0x0${contents.toHex()}`);
      return tag === BIGINT_TAG ? magnitude : -1n - magnitude;
    }
    case DATE_TAG: {
      // Not another tag, however many of them: those would nest without a limit.
      const major = (reader.bytes[reader.at] ?? 0) >> 5;
      const seconds = major === 6 ? undefined : readValue(reader, depth);
      if (typeof seconds !== "number") return refuse(reader, "a date that is no number");
      return new Date(Math.round(seconds * 1000));
    }
    case DATE_TEXT_TAG:
      return new Date(readText(reader, readHeadOf(reader, 3, tag)));
    case FILE_TAG:
    case VALUE_FILE_TAG: {
      const index = readLength(reader, readHeadOf(reader, 0, tag));
      if (reader.references === undefined) return refuse(reader, "a reference to a file");
      return tag === FILE_TAG ? reader.references.fileAt(index) : reader.references.valueAt(index);
    }
    default:
      return refuse(reader, `the unknown tag ${tag}`);
  }
}

function readTyped(
  reader: Reader,
  array: TypedArrayConstructor,
  tag: number,
): ArrayBufferView {
  const contents = readContents(reader, readHeadOf(reader, 2, tag));
  if (contents.length % array.BYTES_PER_ELEMENT !== 0) {
    refuse(reader, `a typed array of ${contents.length} bytes`);
  }
  return new array(contents.slice().buffer);
}

function readNdArray(reader: Reader): NdArray {
  const partCount = readLength(reader, readHeadOf(reader, 4, ND_ARRAY_TAG));
  if (partCount !== 2) refuse(reader, `an array of several dimensions of ${partCount} parts`);
  const dimensionCount = readLength(reader, readHeadOf(reader, 4, ND_ARRAY_TAG));
  if (dimensionCount > DIMENSIONS_MAX) refuse(reader, `${dimensionCount} dimensions`);
  const shape: number[] = [];
  while (shape.length < dimensionCount) {
    shape.push(readLength(reader, readHeadOf(reader, 0, ND_ARRAY_TAG)));
  }
  const data = readNdData(reader);
  const problem = shapeProblem(shape, data.length);
  return problem === undefined ? new NdArray(shape, data) : refuse(reader, problem);
}

/** Reads a typed array, mere bytes, or an array of booleans. */
function readNdData(reader: Reader): NdData {
  const first = reader.bytes[reader.at++] ?? 0;
  const low = first & 31;
  switch (first >> 5) {
    case 2:
      return readContents(reader, low).slice();
    case 4:
      return readBooleans(reader, low);
    case 6: {
      const tag = readLength(reader, low);
      const array = TYPED_ARRAYS.get(tag);
      if (array === undefined) return refuse(reader, `tag ${tag} before the items of an array`);
      // Only typed arrays are in the table.
      return readTyped(reader, array, tag) as unknown as NdData;
    }
    default:
      return refuse(reader, "something else than the items of an array");
  }
}

function readBooleans(reader: Reader, low: number): boolean[] {
  const length = readLength(reader, low);
  checkRoom(reader, length);
  const items: boolean[] = [];
  while (items.length < length) {
    const item = reader.bytes[reader.at++];
    if (item !== 0xf4 && item !== 0xf5) refuse(reader, "an item that is neither true nor false");
    items.push(item === 0xf5);
  }
  return items;
}

/** Reads the first byte of what a tag stands before and returns the low bits of it. */
function readHeadOf(reader: Reader, major: number, tag: number): number {
  const first = reader.bytes[reader.at++];
  if (first === undefined || first >> 5 !== major) {
    return refuse(reader, `tag ${tag} before the wrong kind of value`);
  }
  return first & 31;
}

function readSimple(reader: Reader, low: number): unknown {
  switch (low) {
    case 20:
      return false;
    case 21:
      return true;
    case 22:
      return null;
    case 23:
      return undefined;
    case 25:
      return readHalf(reader.view.getUint16(take(reader, 2)));
    case 26:
      return reader.view.getFloat32(take(reader, 4));
    case 27:
      return reader.view.getFloat64(take(reader, 8));
    case 0:
      return refuse(reader, "a handle whose value is not there");
    default:
      return refuse(reader, `the unknown simple value ${low}`);
  }
}

/** Source: RFC 8949, appendix D. */
function readHalf(half: number): number {
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  const magnitude = exponent === 0
    ? fraction * 2 ** -24
    : exponent === 31
    ? (fraction === 0 ? Infinity : NaN)
    : (fraction + 1024) * 2 ** (exponent - 25);
  return half & 0x8000 ? -magnitude : magnitude;
}

function refuse(reader: Reader, found: string): never {
  throw new TypeError(`Cannot read byte ${reader.at} as part of a value: ${found}`);
}
