/**
 * The key of a call: what tells whether an earlier call was the same one. It is SHA-256 over the
 * canonical bytes (shared/canonical_cbor.ts) of everything that its result may depend on, under a
 * version, so that keys of another making never meet: a plug point, of which `memoKey` is the
 * default and `ownMemoKey` lets an app say what of its arguments counts.
 *
 * @module
 */

import { createHash } from "node:crypto";

import { canonicalBytes, type Reference } from "../../shared/canonical_cbor.ts";

/** Raised whenever the same parts get another key. */
const KEY_VERSION = 1;

/** What runs. */
export type MemoCode =
  /** A function: of JavaScript by its source or its bundle, of Python by its module or tree. */
  | {
    readonly kind: "javascript" | "python";
    readonly name: string;
    /** SHA-256 in hex of everything that is loaded to run it. */
    readonly sha256: string;
    /** What a function by value is given besides, as values. */
    readonly context?: unknown;
  }
  /** A command, as it was made of the arguments. */
  | { readonly kind: "command"; readonly command: string };

/** All that the result of a call may depend on. */
export interface MemoParts {
  /** Name of the app: for messages and own keys, no part of the key. */
  readonly app: string;
  /** What runs. */
  readonly code: MemoCode;
  /** With objects that are no values where `references` says what they stand for. */
  readonly args: readonly unknown[];
  /** `{object in the arguments, the context or the options: what it stands for}`. */
  readonly references?: ReadonlyMap<object, Reference>;
  /** Files beside the arguments: `{mount: contents}`. */
  readonly inputs?: { readonly [mount: string]: Reference };
  /** `{name: mount, or where else it is put}`. */
  readonly outputs?: { readonly [name: string]: unknown };
  /** Software that it runs with, in its order. */
  readonly environment?: readonly Reference[];
  /** Variables that it is given. */
  readonly env?: { readonly [name: string]: string };
  /** Other options that its result may depend on; none of resources, retries or places. */
  readonly options?: { readonly [name: string]: unknown };
  /** Arguments, by their positions, and options, by their names, that do not count. */
  readonly ignore?: readonly (number | string)[];
  /** Counts in the place of the arguments. */
  readonly ownKey?: string;
}

/**
 * Makes keys: 64 hexadecimal digits, or undefined for a call that is not remembered. Calls of which
 * one may give what the other would not must differ in their keys.
 *
 * @throws {TypeError} When something has no key, with its path.
 */
export type MemoKeyer = (parts: MemoParts) => Promise<string | undefined>;

/** What an own key is made of. */
export interface MemoCall {
  /** Name of the app. */
  readonly app: string;
  /** With the values of futures in their places. */
  readonly args: readonly unknown[];
}

/** An app's own key: text in the place of the arguments; undefined: it is not remembered. */
export type OwnKey = (call: MemoCall) => string | undefined | Promise<string | undefined>;

/**
 * The key of a call from all its parts.
 *
 * @throws {TypeError} When something in them has no canonical form, with its path.
 * @throws {RangeError} When the arguments are too large.
 */
// deno-lint-ignore require-await -- what cannot be keyed is a rejection, as for every keyer
export async function memoKey(parts: MemoParts): Promise<string> {
  const { code, ownKey, references, ignore = [] } = parts;
  const referenceOf = (object: object) => references?.get(object);
  const bytesOf = (value: unknown, root: string) => canonicalBytes(value, { root, referenceOf });
  // Items of CBOR end by themselves: one after the other they are as one.
  return createHash("sha256")
    .update(bytesOf(["tendril memo", KEY_VERSION, code], "code"))
    .update(bytesOf(ownKey !== undefined, "own"))
    .update(
      ownKey === undefined
        ? bytesOf(argumentsThatCount(parts.args, ignore), "arguments")
        : bytesOf(ownKey, "own"),
    )
    .update(canonicalOptions(parts, ignore))
    .digest("hex");
}

/** A keyer by which `own` makes the part of the arguments. */
export function ownMemoKey(own: OwnKey): MemoKeyer {
  return async (parts) => {
    const { app, args } = parts;
    const ownKey: unknown = await own({ app, args });
    if (ownKey === undefined) return undefined;
    if (typeof ownKey === "string") return await memoKey({ ...parts, ownKey });
    throw new TypeError(
      `Cannot take what the key function of app "${app}" returned as a key: expected text or ` +
        `undefined, found ${ownKey === null ? "null" : `a ${typeof ownKey}`}`,
    );
  };
}

/** Ignored ones leave a mark that no argument has, none at the end: they may be left out. */
function argumentsThatCount(
  args: readonly unknown[],
  ignore: readonly (number | string)[],
): unknown[] {
  const positions = new Set(ignore.filter((one) => typeof one === "number"));
  if (positions.size === 0) return [args];
  let count = args.length;
  while (count > 0 && positions.has(count - 1)) count -= 1;
  const ignored: number[] = [];
  const kept = args.slice(0, count).map((argument, index) => {
    if (!positions.has(index)) return argument;
    ignored.push(index);
    return undefined;
  });
  return ignored.length === 0 ? [kept] : [kept, ignored];
}

function canonicalOptions(parts: MemoParts, ignore: readonly (number | string)[]): Uint8Array {
  const { inputs = {}, outputs = {}, environment = [], env = {}, options = {} } = parts;
  const references = new Map<object, Reference>(parts.references);
  // Objects of their own, as references are no values.
  const standIn = (reference: Reference) => {
    const object = new StandIn();
    references.set(object, reference);
    return object;
  };
  const counted: Record<string, unknown> = {
    ...options,
    inputs: Object.fromEntries(
      Object.entries(inputs).map(([mount, reference]) => [mount, standIn(reference)]),
    ),
    outputs,
    environment: environment.map(standIn),
    env,
  };
  for (const name of ignore) if (typeof name === "string") delete counted[name];
  const referenceOf = (object: object) => references.get(object);
  return canonicalBytes(counted, { root: "options", referenceOf });
}

/** In the place of something that a reference says the contents of. */
class StandIn {}
