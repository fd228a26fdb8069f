/** Numbers of the value encoding that its writer and its reader share; value.ts describes it. */

/** Deepest nesting of a value, on either side. */
export const DEPTH_MAX = 128;

/** Longest bigint, in bytes of its magnitude. */
export const BIGINT_BYTES_MAX: number = 16 * 1024;

/** "TENF": the absolute path of a file, by its index. Not registered with IANA. */
export const FILE_TAG = 0x54454e46;

/** "TENV": the value encoded in a file, by the index of that file. Not registered with IANA. */
export const VALUE_FILE_TAG = 0x54454e56;

/** "TENP": a pickled value of Python, over its bytes. Not registered with IANA. */
export const PICKLE_TAG = 0x54454e50;

/** "TENC": contents by their digest, over [kind, SHA-256]. Not registered with IANA. */
export const CONTENT_TAG = 0x54454e43;

/** Of RFC 8746, section 3.1.1: an array of several dimensions, row-major. */
export const ND_ARRAY_TAG = 40;

/** Of RFC 8746: bytes as a typed array, where they must be one. */
export const UINT8_TAG = 64;

/** Tags of RFC 8949 and of its registry (258: set, 259: map). */
export const DATE_TEXT_TAG = 0;
export const DATE_TAG = 1;
export const BIGINT_TAG = 2;
export const NEGATIVE_BIGINT_TAG = 3;
export const SET_TAG = 258;
export const MAP_TAG = 259;

/** Stands where a handle's value will; simple value 0, unassigned, so that no reader takes it. */
export const GAP_BYTE = 0xe0;

/** Constructor of a typed array over a whole buffer. */
export type TypedArrayConstructor = {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBuffer): ArrayBufferView;
};

/** `{tag: typed array}`, of RFC 8746; a Uint8Array is plain bytes, but its tag is read. */
export const TYPED_ARRAYS: ReadonlyMap<number, TypedArrayConstructor> = new Map<
  number,
  TypedArrayConstructor
>([
  [UINT8_TAG, Uint8Array],
  [68, Uint8ClampedArray],
  [69, Uint16Array],
  [70, Uint32Array],
  [71, BigUint64Array],
  [72, Int8Array],
  [77, Int16Array],
  [78, Int32Array],
  [79, BigInt64Array],
  [84, Float16Array],
  [85, Float32Array],
  [86, Float64Array],
]);

/** `{name of a typed array: its tag}`. */
export const TYPED_ARRAY_TAGS: ReadonlyMap<string, number> = new Map(
  [...TYPED_ARRAYS].map(([tag, array]) => [(array as unknown as { name: string }).name, tag]),
);
