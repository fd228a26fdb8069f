/** Arrays of several dimensions and pickled values: what functions in Python give and take. */

/** Most dimensions of an array; source: NPY_MAXDIMS of numpy 2. */
export const DIMENSIONS_MAX = 64;

/** The items of an array of several dimensions, the last index running fastest. */
export type NdData =
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array
  | Float16Array
  | Float32Array
  | Float64Array
  | readonly boolean[];

/**
 * An array of several dimensions: what a function in Python returns as one of numpy's and what it is
 * given as such. Arrays of one dimension are typed arrays by themselves.
 *
 * @example
 * ```ts
 * const image = new NdArray([2, 3], Float32Array.of(1, 2, 3, 4, 5, 6));
 * const turned = await library.call<NdArray>("transpose", image).value();
 * console.log(turned.shape, turned.data); // [ 3, 2 ] Float32Array [ 1, 4, 2, 5, 3, 6 ]
 * ```
 */
export class NdArray<Data extends NdData = NdData> {
  /** How many items there are in each dimension; empty for a single item. */
  readonly shape: readonly number[];
  /** The items in row-major order: the last index runs fastest. Not copied. */
  readonly data: Data;

  /**
   * Makes an array of items that are there already.
   *
   * @param shape At most 64 dimensions.
   * @throws {RangeError} When the shape is none, or of another number of items than `data` has.
   * @throws {TypeError} When `data` is neither a typed array nor an array of booleans.
   */
  constructor(shape: readonly number[], data: Data) {
    const isTyped = ArrayBuffer.isView(data) && !(data instanceof DataView);
    if (!isTyped && !(Array.isArray(data) && data.every((item) => typeof item === "boolean"))) {
      throw new TypeError(
        "Cannot take data as that of an NdArray: expected a typed array, or an array of booleans",
      );
    }
    const problem = shapeProblem(shape, data.length);
    if (problem !== undefined) throw new RangeError(`Cannot make an NdArray: ${problem}`);
    this.shape = Object.freeze([...shape]);
    this.data = data;
  }
}

/**
 * A value that only Python can read, as bytes: what a library with `pickle: true` returns where it
 * has no other form, or a function marks by `tendril.pickled(…)`. It may be an argument of later
 * calls, which have the value itself.
 *
 * @example
 * ```ts
 * const model = await library.call<Pickle>("train", table).value();
 * const score = await library.call<number>("score", model).value();
 * ```
 */
export class Pickle {
  /** What Python's `pickle.loads` reads. */
  readonly bytes: Uint8Array;

  /**
   * Takes what Python's `pickle.dumps` made.
   *
   * @throws {TypeError} When it is given anything but bytes.
   */
  constructor(bytes: Uint8Array) {
    if (!(bytes instanceof Uint8Array)) {
      throw new TypeError("Cannot take a value as a pickle: expected a Uint8Array");
    }
    this.bytes = bytes;
  }
}

/** Why so many items have no such shape; undefined when they have. */
export function shapeProblem(shape: readonly number[], itemCount: number): string | undefined {
  if (!Array.isArray(shape) || shape.length > DIMENSIONS_MAX) {
    return `expected a shape of at most ${DIMENSIONS_MAX} dimensions`;
  }
  const wrong = shape.find((size) => !Number.isSafeInteger(size) || size < 0);
  if (wrong !== undefined) return `"${wrong}" is no number of items in a dimension`;
  // What overflows is no number of items that there are.
  const wanted = shape.includes(0) ? 0 : shape.reduce((count, size) => count * size, 1);
  if (wanted === itemCount) return undefined;
  return `a shape of ${wanted} items and ${itemCount} of them`;
}
