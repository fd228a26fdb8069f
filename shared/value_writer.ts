/**
 * Writes values as bytes; value.ts describes the encoding.
 *
 * Hot: a function call's arguments pass here once and its result once. Hence one growing
 * buffer that is kept from value to value, and a path that is noted as two array stores an
 * element and made into text only for an error.
 *
 * @module
 */

import { NdArray, Pickle } from "./nd_array.ts";
import {
  BIGINT_BYTES_MAX,
  BIGINT_TAG,
  DATE_TAG,
  DEPTH_MAX,
  GAP_BYTE,
  MAP_TAG,
  ND_ARRAY_TAG,
  NEGATIVE_BIGINT_TAG,
  PICKLE_TAG,
  SET_TAG,
  TYPED_ARRAY_TAGS,
  UINT8_TAG,
} from "./value_tag.ts";

/** A value being written. */
export interface ValueWriter {
  bytes: Uint8Array<ArrayBuffer>;
  view: DataView;
  /** Where the next byte goes. */
  at: number;
  bytesMax: number;
  /** What paths in errors start with. */
  root: string;
  /** What errors say that cannot be done: to "send" it as a value. */
  verb: string;
  /** Objects around the current one, outermost first; longer than the current depth at times. */
  readonly ancestors: object[];
  /** Key of the current element in the ancestor of the same index. */
  readonly keys: (string | number)[];
  /** Writes an object that is no value, or returns false. */
  onObject: ((object: object, writer: ValueWriter, depth: number) => boolean) | undefined;
}

/** Buffer a writer starts with, and the largest that is kept for the next one, in bytes. */
const BUFFER_BYTES = 4096;
const KEPT_BUFFER_BYTES_MAX: number = 1024 * 1024;

/** Up to this length a text is copied by hand, which beats a call into the encoder. */
const SHORT_TEXT_LENGTH_MAX = 48;

/** Longest path shown in an error. */
const PATH_LENGTH_MAX = 300;

const UTF8 = new TextEncoder();

/** The writer that nobody uses now; a second one is made while a first is at work. */
let spare: ValueWriter | undefined;

/** Returns the bytes that `write` puts into a writer. */
export function withWriter(
  options: { readonly root: string; readonly bytesMax: number; readonly verb?: string },
  write: (writer: ValueWriter) => void,
): Uint8Array {
  const writer = spare ?? newWriter();
  spare = undefined;
  writer.root = options.root;
  writer.verb = options.verb ?? "send";
  writer.bytesMax = options.bytesMax;
  writer.at = 0;
  try {
    write(writer);
    if (writer.at > writer.bytesMax) refuseSize(writer);
    return writer.bytes.slice(0, writer.at);
  } finally {
    writer.ancestors.length = 0;
    writer.keys.length = 0;
    writer.onObject = undefined;
    if (writer.bytes.length <= KEPT_BUFFER_BYTES_MAX) spare = writer;
  }
}

/** Writes `value`, which lies `depth` objects below the root. */
export function writeValue(writer: ValueWriter, value: unknown, depth: number): void {
  switch (typeof value) {
    case "string":
      return writeText(writer, value, depth);
    case "number":
      return writeNumber(writer, value);
    case "boolean":
      return writeByte(writer, value ? 0xf5 : 0xf4);
    case "undefined":
      return writeByte(writer, 0xf7);
    case "bigint":
      return writeBigint(writer, value, depth);
    case "object":
      if (value === null) return writeByte(writer, 0xf6);
      return writeObject(writer, value, depth);
    default:
      return refuse(writer, depth, `a ${typeof value}`);
  }
}

/** Writes a head: a major type of CBOR and its number, of at most 2^53 - 1. */
export function writeHead(writer: ValueWriter, major: number, number: number): void {
  reserve(writer, 9);
  const { bytes, view, at } = writer;
  const type = major << 5;
  if (number < 24) {
    bytes[at] = type | number;
    writer.at = at + 1;
  } else if (number < 0x100) {
    bytes[at] = type | 24;
    bytes[at + 1] = number;
    writer.at = at + 2;
  } else if (number < 0x10000) {
    bytes[at] = type | 25;
    view.setUint16(at + 1, number);
    writer.at = at + 3;
  } else if (number < 0x100000000) {
    bytes[at] = type | 26;
    view.setUint32(at + 1, number);
    writer.at = at + 5;
  } else {
    bytes[at] = type | 27;
    view.setUint32(at + 1, Math.floor(number / 0x100000000));
    view.setUint32(at + 5, number >>> 0);
    writer.at = at + 9;
  }
}

/** Leaves a gap of one byte for another value and returns its offset. */
export function writeGap(writer: ValueWriter): number {
  writeByte(writer, GAP_BYTE);
  return writer.at - 1;
}

function newWriter(): ValueWriter {
  const bytes = new Uint8Array(BUFFER_BYTES);
  const view = new DataView(bytes.buffer);
  const [ancestors, keys]: [object[], string[]] = [[], []];
  const texts = { root: "", verb: "" };
  return { bytes, view, at: 0, bytesMax: 0, ...texts, ancestors, keys, onObject: undefined };
}

/** Writes one byte. */
export function writeByte(writer: ValueWriter, byte: number): void {
  reserve(writer, 1);
  writer.bytes[writer.at++] = byte;
}

function writeNumber(writer: ValueWriter, value: number): void {
  if (Number.isSafeInteger(value) && (value !== 0 || 1 / value > 0)) {
    return value >= 0 ? writeHead(writer, 0, value) : writeHead(writer, 1, -1 - value);
  }
  reserve(writer, 9);
  const { view, at } = writer;
  if (value !== value || value === 0 || value === Infinity || value === -Infinity) {
    const half = value !== value ? 0x7e00 : value === 0 ? 0x8000 : value > 0 ? 0x7c00 : 0xfc00;
    writer.bytes[at] = 0xf9;
    view.setUint16(at + 1, half);
    writer.at = at + 3;
    return;
  }
  writer.bytes[at] = 0xfb;
  view.setFloat64(at + 1, value);
  writer.at = at + 9;
}

/** Writes text. */
export function writeText(writer: ValueWriter, text: string, depth: number): void {
  const length = text.length;
  if (length <= SHORT_TEXT_LENGTH_MAX && writeShortAscii(writer, text)) return;
  if (!text.isWellFormed()) refuse(writer, depth, "text with half of a surrogate pair");
  // A UTF-16 unit is at most 3 bytes of UTF-8. The head is made for the largest case and the
  // text moved to it, so that the text is encoded once.
  reserve(writer, 9 + length * 3);
  const start = writer.at + 9;
  const { written } = UTF8.encodeInto(text, writer.bytes.subarray(start));
  writeHead(writer, 3, written);
  writer.bytes.copyWithin(writer.at, start, start + written);
  writer.at += written;
}

/** Writes `text` if it is ASCII. */
function writeShortAscii(writer: ValueWriter, text: string): boolean {
  const length = text.length;
  reserve(writer, 2 + length);
  const bytes = writer.bytes;
  let at = writer.at;
  if (length < 24) bytes[at++] = 0x60 | length;
  else {
    bytes[at++] = 0x78;
    bytes[at++] = length;
  }
  for (let index = 0; index < length; index++) {
    const code = text.charCodeAt(index);
    if (code > 0x7f) return false;
    bytes[at++] = code;
  }
  writer.at = at;
  return true;
}

/** Writes a bigint, however small. */
export function writeBigint(writer: ValueWriter, value: bigint, depth: number): void {
  const hex = (value < 0n ? -1n - value : value).toString(16);
  const size = (hex.length + 1) >> 1;
  if (size > BIGINT_BYTES_MAX) refuse(writer, depth, `a bigint of ${size} bytes`);
  writeHead(writer, 6, value < 0n ? NEGATIVE_BIGINT_TAG : BIGINT_TAG);
  writeBytes(writer, Uint8Array.fromHex(hex.length % 2 === 0 ? hex : `0${hex}`));
}

/** Writes bytes, with their head. */
export function writeBytes(writer: ValueWriter, contents: Uint8Array): void {
  writeHead(writer, 2, contents.length);
  reserve(writer, contents.length);
  writer.bytes.set(contents, writer.at);
  writer.at += contents.length;
}

function writeObject(writer: ValueWriter, object: object, depth: number): void {
  enterObject(writer, object, depth);
  if (Array.isArray(object)) return writeArray(writer, object, depth);
  if (isRecord(object)) return writeRecord(writer, object, depth);
  if (writeTyped(writer, object, depth)) return;
  const prototype: unknown = Object.getPrototypeOf(object);
  if (prototype === Map.prototype) {
    return writeMap(writer, object as Map<unknown, unknown>, depth);
  }
  if (prototype === Set.prototype) return writeSet(writer, object as Set<unknown>, depth);
  if (prototype === Date.prototype) {
    writeHead(writer, 6, DATE_TAG);
    return writeNumber(writer, (object as Date).getTime() / 1000);
  }
  if (writer.onObject?.(object, writer, depth) === true) return;
  refuseObject(writer, object, depth);
}

/** Notes that what comes is in `object`; refuses one that is too deep, or contains itself. */
export function enterObject(writer: ValueWriter, object: object, depth: number): void {
  if (depth >= DEPTH_MAX) refuse(writer, depth, `something more than ${DEPTH_MAX} objects deep`);
  for (let index = 0; index < depth; index++) {
    if (writer.ancestors[index] === object) refuse(writer, depth, "an object that contains itself");
  }
  writer.ancestors[depth] = object;
}

/** True of an object that is a map with text keys. */
export function isRecord(object: object): object is Record<string, unknown> {
  const prototype: unknown = Object.getPrototypeOf(object);
  return prototype === Object.prototype || prototype === null;
}

/** Writes an object that is bytes or items of one type, or returns false. */
export function writeTyped(writer: ValueWriter, object: object, depth: number): boolean {
  if (ArrayBuffer.isView(object)) writeView(writer, object, depth);
  else if (object instanceof NdArray) writeNdArray(writer, object, depth);
  else if (object instanceof Pickle) {
    writeHead(writer, 6, PICKLE_TAG);
    writeBytes(writer, object.bytes);
  } else return false;
  return true;
}

/** Refuses an object that is no value. */
export function refuseObject(writer: ValueWriter, object: object, depth: number): never {
  return refuse(writer, depth, `an instance of ${className(object)}`);
}

function writeArray(writer: ValueWriter, array: readonly unknown[], depth: number): void {
  const length = array.length;
  writeHead(writer, 4, length);
  for (let index = 0; index < length; index++) {
    writer.keys[depth] = index;
    writeValue(writer, array[index], depth + 1);
  }
}

function writeRecord(writer: ValueWriter, record: Record<string, unknown>, depth: number): void {
  const keys = keysOf(writer, record, depth);
  writeHead(writer, 5, keys.length);
  for (const key of keys) {
    const value = enterProperty(writer, { record, key, depth });
    writeText(writer, key, depth + 1);
    writeValue(writer, value, depth + 1);
  }
}

/** Returns the keys of `record`, as they stand in it. */
export function keysOf(writer: ValueWriter, record: object, depth: number): string[] {
  if (Object.getOwnPropertySymbols(record).length > 0) {
    refuse(writer, depth, "an object with a symbol as a key");
  }
  return Object.keys(record);
}

/** Notes that what comes is a property, and returns its value. */
export function enterProperty(
  writer: ValueWriter,
  { record, key, depth }: {
    readonly record: object;
    readonly key: string;
    readonly depth: number;
  },
): unknown {
  writer.keys[depth] = key;
  const property = Object.getOwnPropertyDescriptor(record, key);
  if (property === undefined || !("value" in property)) {
    return refuse(writer, depth + 1, "an accessor");
  }
  return property.value;
}

function writeMap(writer: ValueWriter, map: Map<unknown, unknown>, depth: number): void {
  writeHead(writer, 6, MAP_TAG);
  writeHead(writer, 5, map.size);
  let index = 0;
  for (const [key, value] of map) {
    writer.keys[depth] = `<key ${index}>`;
    writeValue(writer, key, depth + 1);
    writer.keys[depth] = `<value ${index}>`;
    writeValue(writer, value, depth + 1);
    index++;
  }
}

function writeSet(writer: ValueWriter, set: Set<unknown>, depth: number): void {
  writeHead(writer, 6, SET_TAG);
  writeHead(writer, 4, set.size);
  let index = 0;
  for (const item of set) {
    writer.keys[depth] = `<item ${index++}>`;
    writeValue(writer, item, depth + 1);
  }
}

function writeView(writer: ValueWriter, view: ArrayBufferView, depth: number): void {
  const name = (view as { [Symbol.toStringTag]?: string })[Symbol.toStringTag] ?? "";
  const tag = TYPED_ARRAY_TAGS.get(name);
  if (tag === undefined) return refuse(writer, depth, `an instance of ${className(view)}`);
  if (name !== "Uint8Array") writeHead(writer, 6, tag);
  writeBytes(writer, new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
}

function writeNdArray(writer: ValueWriter, { shape, data }: NdArray, depth: number): void {
  writeHead(writer, 6, ND_ARRAY_TAG);
  writeHead(writer, 4, 2);
  writeHead(writer, 4, shape.length);
  for (const size of shape) writeHead(writer, 0, size);
  if (Array.isArray(data)) return writeArray(writer, data, depth);
  // Here they must not be mere bytes.
  if (data instanceof Uint8Array) writeHead(writer, 6, UINT8_TAG);
  writeView(writer, data as ArrayBufferView, depth);
}

/** Makes room for `size` more bytes. */
export function reserve(writer: ValueWriter, size: number): void {
  const needed = writer.at + size;
  if (needed <= writer.bytes.length) return;
  if (writer.at > writer.bytesMax) refuseSize(writer);
  const grown = new Uint8Array(Math.max(needed, writer.bytes.length * 2));
  grown.set(writer.bytes.subarray(0, writer.at));
  writer.bytes = grown;
  writer.view = new DataView(grown.buffer);
}

function refuseSize(writer: ValueWriter): never {
  throw new RangeError(
    `Cannot ${writer.verb} "${writer.root}" as a value: more than ${writer.bytesMax} bytes`,
  );
}

/** Refuses what lies there. */
export function refuse(writer: ValueWriter, depth: number, found: string): never {
  throw new TypeError(`Cannot ${writer.verb} "${pathOf(writer, depth)}" as a value: ${found}`);
}

/** `arguments[0].a[2]` */
function pathOf(writer: ValueWriter, depth: number): string {
  let path = writer.root;
  for (const key of writer.keys.slice(0, depth)) {
    if (typeof key === "number") path += `[${key}]`;
    else if (/^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(key)) path += `.${key}`;
    else if (/^<(key|value|item) \d+>$/.test(key)) path += key;
    else path += `[${JSON.stringify(key)}]`;
  }
  return path.length <= PATH_LENGTH_MAX ? path : `${path.slice(0, PATH_LENGTH_MAX)}…`;
}

function className(object: object): string {
  const constructor: unknown = (object as { constructor?: unknown }).constructor;
  return typeof constructor === "function" && constructor.name !== ""
    ? constructor.name
    : "an unnamed class";
}
