/** Values as JavaScript source, for what a function that is sent by value takes along. */

import { NdArray, Pickle } from "./nd_array.ts";
import { encodeValue } from "./value.ts";

/**
 * Returns an expression that makes `value` anew, at the top level of a module.
 *
 * @param root What the path in an error starts with.
 * @throws {TypeError} if it holds something that is no value, with its path.
 */
export function sourceOfValue(value: unknown, root: string): string {
  // The encoder knows what a value is; from here on only values are seen, and no cycles.
  encodeValue(value, { root });
  return expressionOf(value);
}

function expressionOf(value: unknown): string {
  switch (typeof value) {
    case "number":
      return Object.is(value, -0) ? "-0" : String(value);
    case "bigint":
      return `${value}n`;
    case "undefined":
      return "undefined";
    case "object":
      return value === null ? "null" : expressionOfObject(value);
    default:
      return JSON.stringify(value);
  }
}

function expressionOfObject(object: object): string {
  if (Array.isArray(object)) return listOf(object);
  if (object instanceof Date) return `new Date(${object.getTime()})`;
  if (object instanceof Map) return `new Map(${listOf([...object])})`;
  if (object instanceof Set) return `new Set(${listOf([...object])})`;
  if (object instanceof NdArray) {
    return madeOf("NdArray", `${listOf(object.shape)}, ${expressionOf(object.data)}`);
  }
  if (object instanceof Pickle) return madeOf("Pickle", expressionOf(object.bytes));
  if (ArrayBuffer.isView(object)) {
    const bytes = new Uint8Array(object.buffer, object.byteOffset, object.byteLength);
    const made = `Uint8Array.fromBase64("${bytes.toBase64()}")`;
    const name = (object as { [Symbol.toStringTag]?: string })[Symbol.toStringTag];
    return name === "Uint8Array" ? made : `new ${name}(${made}.buffer)`;
  }
  // In brackets, because a plain `__proto__:` would set the prototype.
  const entries = Object.entries(object).map(([key, value]) =>
    `[${JSON.stringify(key)}]: ${expressionOf(value)}`
  );
  return `{${entries.join(", ")}}`;
}

/** An instance of a class of the library, which every process that runs modules has. */
function madeOf(name: string, args: string): string {
  return `new (await import("tendril")).${name}(${args})`;
}

function listOf(items: readonly unknown[]): string {
  return `[${Array.from(items, expressionOf).join(", ")}]`;
}
