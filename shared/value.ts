/**
 * Arguments and results of function calls as one byte string, which the manager passes on
 * without decoding it.
 *
 * The encoding is CBOR (RFC 8949) of definite lengths, so that any CBOR library reads it:
 *
 * | value | CBOR |
 * |---|---|
 * | null, undefined, true, false, string, array | the same |
 * | plain object | map with text keys |
 * | whole number up to 2^53 - 1 either way | integer |
 * | other number | float64; NaN, the infinities and -0 as float16 |
 * | bigint | tag 2 or 3 over bytes, however small, so that it is told from a number |
 * | Date | tag 1 over seconds |
 * | Map, Set | tag 259 over a map, tag 258 over an array |
 * | Uint8Array | bytes |
 * | other typed array | its tag of RFC 8746, little-endian, over bytes |
 * | NdArray | tag 40 of RFC 8746 over [dimensions, typed array or array of booleans] |
 * | Pickle | tag `PICKLE_TAG` over bytes |
 * | file | tag `FILE_TAG` over its index among the call's files |
 * | value kept in a file | tag `VALUE_FILE_TAG` over the index of that file |
 *
 * Read as well: other widths of floats, 64-bit integers (a bigint when a number cannot hold
 * them), tag 0 (a date as text), and maps whose keys are not all text, as a Map. Everything
 * else is refused, what the encoder refuses with its path. An object that is reached twice
 * becomes two; a hole of an array becomes undefined.
 *
 * A handle is a gap of one byte in the arguments: the manager closes it with the bytes of the
 * awaited result, or with `encodeValueFile`, once they are known.
 *
 * @module
 */

import { assert } from "./assert.ts";
import { readBytes } from "./value_reader.ts";
import { FILE_TAG, GAP_BYTE, VALUE_FILE_TAG } from "./value_tag.ts";
import { type ValueWriter, withWriter, writeGap, writeHead, writeValue } from "./value_writer.ts";

/** Largest encoded value, in bytes; data beyond it belongs in a file. */
export const ENCODED_BYTES_MAX: number = 64 * 1024 * 1024;

/** Larger results of calls are refused: they go from worker to worker, and are read whole there. */
export const RESULT_BYTES_MAX: number = 1024 * 1024 * 1024;

/** How `encodeValue` words its refusals and when it gives up. */
export interface EncodeOptions {
  /** What paths in errors start with. Default "value". */
  readonly root?: string;
  /** Default `ENCODED_BYTES_MAX`. */
  readonly bytesMax?: number;
}

/** How objects that are no values are told apart in arguments. */
export interface EncodeArgumentsOptions<F, H> {
  /** Returns what stands for a file argument; undefined for anything else. */
  onFile(value: object): F | undefined;
  /** Returns what stands for a handle argument; undefined for anything else. */
  onHandle(value: object): H | undefined;
  /** Default `ENCODED_BYTES_MAX`. */
  readonly bytesMax?: number;
}

/** Arguments as bytes, and what the bytes refer to. */
export interface EncodedArguments<F, H> {
  readonly bytes: Uint8Array;
  /** Files in the order of their indexes, each once. */
  readonly files: readonly F[];
  /** Gaps to close with `closeGaps`, by ascending offset. */
  readonly gaps: readonly { readonly offset: number; readonly handle: H }[];
}

/** Where `decodeArguments` finds files. */
export interface DecodeArgumentsOptions {
  /** Returns the absolute path of the file of that index. */
  fileAt(index: number): string;
  /** Returns the contents of the file of that index, which holds an encoded value. */
  readFile(index: number): Uint8Array;
}

/**
 * Returns `value` as bytes.
 *
 * @throws {TypeError} if it holds something that is no value, with its path.
 * @throws {RangeError} if it is too large.
 */
export function encodeValue(value: unknown, options: EncodeOptions = {}): Uint8Array {
  const { root = "value", bytesMax = ENCODED_BYTES_MAX } = options;
  return withWriter({ root, bytesMax }, (writer) => writeValue(writer, value, 0));
}

/**
 * Returns the value that `bytes` hold; the bytes may come from anywhere.
 *
 * @throws {TypeError} if they are not one value of this encoding, without references.
 */
export function decodeValue(bytes: Uint8Array): unknown {
  return readBytes(bytes, undefined);
}

/**
 * Returns the arguments of a call as bytes.
 *
 * @throws {TypeError} if they hold something that is no value, with its path.
 * @throws {RangeError} if they are too large.
 */
export function encodeArguments<F, H>(
  args: readonly unknown[],
  options: EncodeArgumentsOptions<F, H>,
): EncodedArguments<F, H> {
  const indexes = new Map<F, number>();
  const gaps: { offset: number; handle: H }[] = [];
  const { bytesMax = ENCODED_BYTES_MAX } = options;

  function writeReference(object: object, writer: ValueWriter): boolean {
    const file = options.onFile(object);
    if (file !== undefined) {
      const index = indexes.get(file) ?? indexes.size;
      indexes.set(file, index);
      writeHead(writer, 6, FILE_TAG);
      writeHead(writer, 0, index);
      return true;
    }
    const handle = options.onHandle(object);
    if (handle === undefined) return false;
    gaps.push({ offset: writeGap(writer), handle });
    return true;
  }

  const bytes = withWriter({ root: "arguments", bytesMax }, (writer) => {
    writer.onObject = writeReference;
    writeValue(writer, args, 0);
  });
  return { bytes, files: [...indexes.keys()], gaps };
}

/**
 * Returns arguments with `values[i]`, the bytes of a value, in the place of their i-th gap.
 * CBOR is a sequence of self-contained items, so this needs no decoding.
 */
export function closeGaps(
  args: { readonly bytes: Uint8Array; readonly gaps: readonly { readonly offset: number }[] },
  values: readonly Uint8Array[],
): Uint8Array {
  assert(
    values.length === args.gaps.length,
    `${values.length} values for ${args.gaps.length} gaps`,
  );
  let size = args.bytes.length;
  for (const value of values) size += value.length - 1;
  const closed = new Uint8Array(size);
  let [from, to] = [0, 0];
  for (const [index, { offset }] of args.gaps.entries()) {
    assert(args.bytes[offset] === GAP_BYTE, `No gap at offset ${offset}`);
    const value = values[index] ?? new Uint8Array(0);
    closed.set(args.bytes.subarray(from, offset), to);
    to += offset - from;
    closed.set(value, to);
    to += value.length;
    from = offset + 1;
  }
  closed.set(args.bytes.subarray(from), to);
  return closed;
}

/**
 * Returns the bytes of a value that is kept in a file: large arguments as a whole, or the
 * result of a handle. The file holds what `encodeValue` or `encodeArguments` made of it.
 *
 * @param index Index of the file among the files of the call.
 */
export function encodeValueFile(index: number): Uint8Array {
  return withWriter({ root: "value", bytesMax: ENCODED_BYTES_MAX }, (writer) => {
    writeHead(writer, 6, VALUE_FILE_TAG);
    writeHead(writer, 0, index);
  });
}

/**
 * Returns the arguments of a call; the bytes may come from anywhere.
 *
 * @throws {TypeError} if they are not an array of values and references of this encoding.
 */
export function decodeArguments(bytes: Uint8Array, options: DecodeArgumentsOptions): unknown[] {
  const fileAt = (index: number) => options.fileAt(index);
  // Arguments may be in a file, and an argument there in another: two levels, and no deeper,
  // so that a file which refers to itself ends.
  const inner = { fileAt, valueAt: (index: number) => decodeValue(options.readFile(index)) };
  const valueAt = (index: number) => readBytes(options.readFile(index), inner);
  const args = readBytes(bytes, { fileAt, valueAt });
  if (!Array.isArray(args)) {
    throw new TypeError(`Cannot read arguments as an array: ${typeof args}`);
  }
  return args;
}
