/**
 * The one encoding of a value: what is equal by structure has equal bytes, and nothing else has.
 *
 * It is the core deterministic encoding of RFC 8949, section 4.2.1, over the values of value.ts,
 * which has the table of tags: shortest heads, floats as short as they can be without loss, and
 * the keys of objects in the order of their encoded bytes. Beyond the RFC:
 *
 * - A number that is whole is an integer up to 2^53 - 1 either way, so that 1 and 1.0 are one; a
 *   bigint is tag 2 or 3 however small, so that 1n and 1 are two. NaN has one form; -0 is not 0.
 * - The order in which a Map or a Set was filled is no part of what it holds: entries and items are
 *   in the order of their bytes. A Map and an object of the same entries are two.
 * - Typed arrays are taken by their type and bytes, as is what was pickled: two pickles of equal
 *   objects may differ, which costs a hit and never gives a false one.
 * - What is named by its contents elsewhere is tag `CONTENT_TAG` over [kind, digest].
 *
 * @module
 */

import { assert, unreachable } from "./assert.ts";
import { decodeValue, ENCODED_BYTES_MAX } from "./value.ts";
import { CONTENT_TAG, DATE_TAG, MAP_TAG, SET_TAG } from "./value_tag.ts";
import {
  enterObject,
  enterProperty,
  isRecord,
  keysOf,
  refuse,
  refuseObject,
  reserve,
  type ValueWriter,
  withWriter,
  writeBigint,
  writeByte,
  writeBytes,
  writeHead,
  writeText,
  writeTyped,
} from "./value_writer.ts";

/** What stands for an object that is no value itself. */
export type Reference =
  /** Contents by their digest: a kind is a name space of its own. */
  | { readonly kind: "content"; readonly content: string; readonly sha256: string }
  /** The same as that value itself. */
  | { readonly kind: "value"; readonly value: unknown }
  /** The same as the value that `encodeValue` wrote so. */
  | { readonly kind: "encoded"; readonly bytes: Uint8Array };

/** What is done with objects that are no values, and how errors are worded. */
export interface CanonicalOptions {
  /** What paths in errors start with. Default "value". */
  readonly root?: string;
  /** Default `ENCODED_BYTES_MAX`. */
  readonly bytesMax?: number;
  /** Asked for every object but arrays and plain ones, before it is refused. */
  readonly referenceOf?: (object: object) => Reference | undefined;
}

/**
 * Returns the canonical bytes of `value`.
 *
 * @throws {TypeError} if it holds something that has none, with its path.
 * @throws {RangeError} if it is too large.
 */
export function canonicalBytes(value: unknown, options: CanonicalOptions = {}): Uint8Array {
  const { root = "value", bytesMax = ENCODED_BYTES_MAX, referenceOf } = options;
  return withWriter({ root, bytesMax, verb: "key" }, (writer) => {
    if (referenceOf !== undefined) {
      writer.onObject = (object, _, depth) => writeReference(writer, referenceOf(object), depth);
    }
    write(writer, value, 0);
  });
}

/** Writes `value`, which lies `depth` objects below the root. */
function write(writer: ValueWriter, value: unknown, depth: number): void {
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

/** Source: RFC 8949, section 4.2.2, with the numbers of JavaScript as the only kind. */
function writeNumber(writer: ValueWriter, value: number): void {
  if (Number.isSafeInteger(value) && !Object.is(value, -0)) {
    return value >= 0 ? writeHead(writer, 0, value) : writeHead(writer, 1, -1 - value);
  }
  reserve(writer, 9);
  const { bytes, view, at } = writer;
  if (value !== value) {
    // Whatever bits it has: this is the one of appendix A.
    bytes.set([0xf9, 0x7e, 0x00], at);
    writer.at = at + 3;
  } else if (Math.f16round(value) === value) {
    bytes[at] = 0xf9;
    view.setFloat16(at + 1, value);
    writer.at = at + 3;
  } else if (Math.fround(value) === value) {
    bytes[at] = 0xfa;
    view.setFloat32(at + 1, value);
    writer.at = at + 5;
  } else {
    bytes[at] = 0xfb;
    view.setFloat64(at + 1, value);
    writer.at = at + 9;
  }
}

function writeObject(writer: ValueWriter, object: object, depth: number): void {
  enterObject(writer, object, depth);
  if (Array.isArray(object)) {
    writeHead(writer, 4, object.length);
    for (let index = 0; index < object.length; index++) {
      writer.keys[depth] = index;
      write(writer, object[index], depth + 1);
    }
    return;
  }
  if (isRecord(object)) return writeRecord(writer, object, depth);
  if (writeTyped(writer, object, depth)) return;
  const prototype: unknown = Object.getPrototypeOf(object);
  if (prototype === Map.prototype) return writeMap(writer, object as Map<unknown, unknown>, depth);
  if (prototype === Set.prototype) return writeSet(writer, object as Set<unknown>, depth);
  if (prototype === Date.prototype) {
    writeHead(writer, 6, DATE_TAG);
    return writeNumber(writer, (object as Date).getTime() / 1000);
  }
  if (writer.onObject?.(object, writer, depth) === true) return;
  refuseObject(writer, object, depth);
}

function writeRecord(writer: ValueWriter, record: object, depth: number): void {
  const keys = keysOf(writer, record, depth);
  writeHead(writer, 5, keys.length);
  const starts: number[] = [];
  for (const key of keys) {
    starts.push(writer.at);
    const value = enterProperty(writer, { record, key, depth });
    writeText(writer, key, depth + 1);
    write(writer, value, depth + 1);
  }
  sortItems(writer, starts);
}

function writeMap(writer: ValueWriter, map: Map<unknown, unknown>, depth: number): void {
  writeHead(writer, 6, MAP_TAG);
  writeHead(writer, 5, map.size);
  const starts: number[] = [];
  for (const [key, value] of map) {
    writer.keys[depth] = `<key ${starts.length}>`;
    starts.push(writer.at);
    write(writer, key, depth + 1);
    writer.keys[depth] = `<value ${starts.length - 1}>`;
    write(writer, value, depth + 1);
  }
  sortItems(writer, starts);
}

function writeSet(writer: ValueWriter, set: Set<unknown>, depth: number): void {
  writeHead(writer, 6, SET_TAG);
  writeHead(writer, 4, set.size);
  const starts: number[] = [];
  for (const item of set) {
    writer.keys[depth] = `<item ${starts.length}>`;
    starts.push(writer.at);
    write(writer, item, depth + 1);
  }
  sortItems(writer, starts);
}

/**
 * Puts what was written since `starts[0]` into the order of its bytes. No item of CBOR is the
 * beginning of another one, so that entries in their order have their keys in it.
 */
function sortItems(writer: ValueWriter, starts: readonly number[]): void {
  const items = starts.map((start, index) => {
    return writer.bytes.subarray(start, starts[index + 1] ?? writer.at);
  });
  if (
    items.every((item, index) => index === 0 || compareBytes(items[index - 1] ?? item, item) <= 0)
  ) {
    return;
  }
  let at = starts[0] ?? writer.at;
  // Copies: they are written over.
  for (const item of items.map((item) => item.slice()).sort(compareBytes)) {
    writer.bytes.set(item, at);
    at += item.length;
  }
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let index = 0; index < length; index++) {
    const order = (a[index] ?? 0) - (b[index] ?? 0);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

function writeReference(
  writer: ValueWriter,
  reference: Reference | undefined,
  depth: number,
): boolean {
  switch (reference?.kind) {
    case undefined:
      return false;
    case "value":
      write(writer, reference.value, depth);
      return true;
    case "encoded":
      write(writer, decodeValue(reference.bytes), depth);
      return true;
    case "content":
      assert(/^[0-9a-f]{64}$/.test(reference.sha256), `"${reference.sha256}" is no digest`);
      writeHead(writer, 6, CONTENT_TAG);
      writeHead(writer, 4, 2);
      writeText(writer, reference.content, depth);
      writeBytes(writer, Uint8Array.fromHex(reference.sha256));
      return true;
    default:
      return unreachable(reference);
  }
}
