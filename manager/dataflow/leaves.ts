/** Arrays and plain objects, and the leaves in them. */

/** Deeper is refused: such a value could not travel either. */
const DEPTH_MAX = 64;

/** True of objects that are made of their properties alone. */
export function isPlainObject(value: object): value is { readonly [name: string]: unknown } {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/**
 * `value` with what `map` returns for each object in it that is neither array nor plain object;
 * what holds no such object stays the same object, uncopied.
 *
 * @throws {RangeError} When arrays and objects are nested too deeply, as in a cycle.
 */
export function mapLeaves(value: unknown, map: (leaf: object) => unknown, depth = 0): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (depth > DEPTH_MAX) {
    throw new RangeError(`Cannot take a value that is nested more than ${DEPTH_MAX} deep`);
  }
  if (Array.isArray(value)) return mapArray(value, map, depth);
  if (!isPlainObject(value)) return map(value);
  let copy: Record<string, unknown> | undefined;
  for (const key of Object.keys(value)) {
    const item = value[key];
    const mapped = mapLeaves(item, map, depth + 1);
    if (mapped === item) continue;
    copy ??= { ...value };
    // Defined, as a plain `__proto__` would set the prototype.
    Object.defineProperty(copy, key, {
      value: mapped,
      enumerable: true,
      configurable: true,
      writable: true,
    });
  }
  return copy ?? value;
}

function mapArray(
  array: readonly unknown[],
  map: (leaf: object) => unknown,
  depth: number,
): readonly unknown[] {
  let copy: unknown[] | undefined;
  for (let index = 0; index < array.length; index++) {
    const item = array[index];
    if (typeof item !== "object" || item === null) continue;
    const mapped = mapLeaves(item, map, depth + 1);
    if (mapped === item) continue;
    copy ??= [...array];
    copy[index] = mapped;
  }
  return copy ?? array;
}
