/**
 * Serializers: how objects of classes travel as arguments and results of apps. A plug point, given to
 * `load` as `serializers`.
 *
 * An object becomes `{ "tendril:class": name, value: plain }` where it leaves, and an object again
 * where a function of JavaScript is called, or somebody awaits it. Functions of Python are given it in
 * that form, as a dictionary, and may return such a one.
 *
 * @module
 */

import { existsSync } from "node:fs";

import { codeMissing, codePaths } from "../code_path.ts";
import {
  type AnyFunction,
  type FunctionContext,
  functionsExpression,
} from "../../shared/function_source.ts";
import { show } from "../option.ts";
import type { AppBody } from "./executor.ts";

/** Objects of any class as plain values. */
export interface AnySerializer {
  /** Unique in the flow; it travels with each value. */
  readonly name: string;
  /** Whether it is for that object. */
  readonly is: (value: object) => boolean;
  /** The object as a value that can travel. */
  readonly encode: (value: never) => unknown;
  /** The object again. */
  readonly decode: (plain: never) => object;
  /** What these three use by name: they travel as their source, as functions of apps do. */
  readonly context?: FunctionContext;
  /**
   * In place of that: the module that exports this very object, and under which name. Workers import
   * it, with the classes that it uses; apps of modules that import the same class have the same one.
   */
  readonly module?: {
    /** As `app` takes it. */
    readonly path: string | URL;
    /** A name that can be imported. */
    readonly export: string;
    /** What a relative path starts from: `import.meta.url`. */
    readonly from?: string | URL;
  };
}

/**
 * Objects of a class as plain values.
 *
 * @example
 * ```ts
 * const urls: Serializer<URL, string> = {
 *   name: "URL",
 *   is: (value) => value instanceof URL,
 *   encode: (url) => url.href,
 *   decode: (href) => new URL(href),
 * };
 * await using flow = await load({ serializers: [urls] });
 * ```
 */
export interface Serializer<T extends object, Plain> extends AnySerializer {
  /** The object as a value that can travel. */
  readonly encode: (value: T) => Plain;
  /** The object again. */
  readonly decode: (plain: Plain) => T;
}

type Codec = Pick<AnySerializer, "name" | "is" | "encode" | "decode">;

/** Objects of these classes in arrays and plain objects, as values; it travels as its source. */
export function pack(value: unknown, codecs: readonly Codec[], depth = 0): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (depth > 64) throw new RangeError("Cannot take a value that is nested more than 64 deep");
  for (const { name, is, encode } of codecs) {
    if (!is(value)) continue;
    return { "tendril:class": name, value: pack(encode(value as never), codecs, depth + 1) };
  }
  if (Array.isArray(value)) return value.map((item) => pack(item, codecs, depth + 1));
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return value;
  const entries = Object.entries(value);
  return Object.fromEntries(entries.map(([key, item]) => [key, pack(item, codecs, depth + 1)]));
}

/** What `pack` was given; it travels as its source. */
export function unpack(value: unknown, codecs: readonly Codec[]): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => unpack(item, codecs));
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return value;
  const entries = Object.entries(value).map(([key, item]) => [key, unpack(item, codecs)] as const);
  const whole: { [key: string]: unknown } = Object.fromEntries(entries);
  const name = Object.hasOwn(whole, "tendril:class") ? whole["tendril:class"] : undefined;
  if (name === undefined) return whole;
  const codec = codecs.find((one) => one.name === name);
  if (codec !== undefined) return codec.decode(whole["value"] as never);
  throw new TypeError(`Cannot read a value of class "${String(name)}": it has no serializer`);
}

/** The same code, whose arguments are unpacked before it is called, and whose result is packed. */
export function packedBody(
  body: Extract<AppBody, { readonly kind: "javascript" }>,
  serializers: readonly AnySerializer[],
): AppBody {
  const imports: string[] = [];
  const codecs = serializers.map((one, index) => {
    const { name, is, encode, decode, context = {}, module } = one;
    if (module === undefined) {
      const functions = { is, encode, decode } as { readonly [name: string]: AnyFunction };
      return `{ name: ${JSON.stringify(name)}, ...${functionsExpression(functions, context)} }`;
    }
    const path = JSON.stringify(findCode(module.path, module.from));
    imports.push(`import { ${module.export} as codec${index} } from ${path};\n`);
    return `codec${index}`;
  });
  const name = JSON.stringify(body.function);
  const text = `${imports.join("")}${sourceOf(body)}
const codecs = [${codecs.join(", ")}];
const { pack, unpack } = ${functionsExpression({ pack, unpack })};
const called = async (...args) => pack(await app[${name}](...unpack(args, codecs)), codecs);
export { called as ${body.function} };
`;
  return { kind: "javascript", code: "text", function: body.function, text };
}

/** Declares `app`, which has the function. */
function sourceOf(body: Extract<AppBody, { readonly kind: "javascript" }>): string {
  switch (body.code) {
    case "value":
      return `const app = ${functionsExpression({ [body.function]: body.fn }, body.context)};`;
    case "module":
      return `import * as app from ${JSON.stringify(findCode(body.module, body.from))};`;
    default:
      throw new TypeError("Cannot pack the values of code that is packed already");
  }
}

function findCode(module: string | URL, from: string | URL | undefined): string {
  const paths = codePaths(module, from);
  const path = paths.find((one) => existsSync(one));
  if (path !== undefined) return path;
  throw codeMissing(module, paths);
}

/** Throws for what is no serializer, or has the name of another one. */
export function checkSerializers(given: unknown, what: string): readonly AnySerializer[] {
  const names = new Set<string>();
  for (const one of Array.isArray(given) ? given : [given]) {
    const { name, is, encode, decode } = (one ?? {}) as Partial<AnySerializer>;
    const isWhole = [is, encode, decode].every((each) => typeof each === "function");
    if (typeof name !== "string" || name === "" || !isWhole) {
      throw new TypeError(
        `Cannot take ${what} "${show(one)}" as a serializer: expected { name, is, encode, decode }`,
      );
    }
    if (names.has(name)) {
      throw new RangeError(`Cannot take serializer "${name}": another one has that name`);
    }
    names.add(name);
  }
  return given as readonly AnySerializer[];
}

/** Errors, with their name, message and stack. */
export const errorSerializer: Serializer<
  Error,
  { readonly name: string; readonly message: string; readonly stack: string }
> = {
  name: "Error",
  is: (value) => value instanceof Error,
  encode: ({ name, message, stack }) => ({ name, message, stack: stack ?? "" }),
  decode: ({ name, message, stack }) => {
    const error = new Error(message);
    const described = { configurable: true, writable: true };
    Object.defineProperty(error, "name", { value: name, ...described });
    Object.defineProperty(error, "stack", { value: stack, ...described });
    return error;
  },
};

/** Urls. */
export const urlSerializer: Serializer<URL, string> = {
  name: "URL",
  is: (value) => value instanceof URL,
  encode: (url) => url.href,
  decode: (href) => new URL(href),
};
