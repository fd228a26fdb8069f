/**
 * Shapes that turn what was decoded into typed messages, once, at the edge.
 *
 * A check answers undefined, or says what is wrong with a path in front, built only on failure.
 * Fields that a shape does not name are ignored, so that a newer side may say more.
 *
 * @module
 */

import { FrameError } from "./frame_error.ts";

/** Says what is wrong with a value (`.name is not text`), or undefined when it is a `T`. */
export interface Check<T> {
  (value: unknown): string | undefined;
  /** Never there: it ties `T` both ways, so that a check neither misses nor adds a literal. */
  readonly tied?: (value: T) => T;
}

/** A check for a field that may be absent. */
export interface OptionalCheck<T> {
  readonly optional: Check<T>;
}

/** A check for a field that has a usual value, with which it is filled in when it is left out. */
export interface UsualCheck<T> {
  readonly usual: Check<T>;
  readonly make: () => T;
}

/** A check for a list that may travel as a map of columns, which `unpack` makes it of. */
export interface PackedCheck<T> {
  readonly list: Check<T>;
  readonly columns: Check<never>;
  /** Text says what is wrong with them. */
  readonly unpack: (columns: never) => T | string;
}

/** One check for every field of `T`, optional for optional fields. */
export type Fields<T> = {
  readonly [K in keyof T]-?: Record<never, never> extends Pick<T, K>
    ? OptionalCheck<Exclude<T[K], undefined>>
    : Check<T[K]> | UsualCheck<T[K]> | PackedCheck<T[K]>;
};

/** The fields of every member of a union on `kind`, by kind. */
export type Kinds<T extends { readonly kind: string }> = {
  readonly [K in T["kind"]]: Fields<Omit<Extract<T, { readonly kind: K }>, "kind">>;
};

/** Marks a field as one that may be absent. */
export function optional<T>(check: Check<T>): OptionalCheck<T> {
  return { optional: check };
}

/** Marks a field that is left out on the wire when it is what `make` makes. */
export function usually<T>(check: Check<T>, make: () => T): UsualCheck<T> {
  return { usual: check, make };
}

/** Marks a list that may travel as columns. */
export function packed<T extends readonly unknown[], C>(
  list: Check<T>,
  columns: Check<C>,
  unpack: (columns: C) => T | string,
): PackedCheck<T> {
  // `unpack` is given nothing but what `columns` has accepted.
  return { list, columns: columns as unknown as Check<never>, unpack };
}

/** Text of at most `charsMax` UTF-16 units. */
export function text(charsMax: number): Check<string> {
  return (value) => {
    if (typeof value !== "string") return " is not text";
    return value.length <= charsMax ? undefined : ` is longer than ${charsMax} characters`;
  };
}

/** Text of at least one character, and at most `charsMax`. */
export function name(charsMax: number): Check<string> {
  const isText = text(charsMax);
  return (value) => value === "" ? " is empty" : isText(value);
}

/** Text that `pattern`, which has no flags, matches. */
export function matching(pattern: RegExp): Check<string> {
  return (value) => {
    if (typeof value !== "string") return " is not text";
    return pattern.test(value) ? undefined : ` does not match ${pattern}`;
  };
}

/** True or false. */
export const flag: Check<boolean> = (value) =>
  typeof value === "boolean" ? undefined : " is not true or false";

/** A finite number. */
export const finite: Check<number> = (value) =>
  Number.isFinite(value) ? undefined : " is not a finite number";

/** A finite number, 0 or more. */
export const amount: Check<number> = (value) =>
  Number.isFinite(value) && (value as number) >= 0 ? undefined : " is not a number from 0";

/** A number from 0 to `max`. */
export function atMost(max: number): Check<number> {
  return (value) =>
    amount(value) ?? ((value as number) <= max ? undefined : ` is more than ${max}`);
}

/** A safe integer. */
export const integer: Check<number> = (value) =>
  Number.isSafeInteger(value) ? undefined : " is not a safe integer";

/** A safe integer, 0 or more. */
export const natural: Check<number> = (value) =>
  Number.isSafeInteger(value) && (value as number) >= 0
    ? undefined
    : " is not a whole number from 0";

/** A safe integer, 1 or more. */
export const positive: Check<number> = (value) =>
  Number.isSafeInteger(value) && (value as number) >= 1
    ? undefined
    : " is not a whole number from 1";

/** A byte string of at most `bytesMax`. */
export function bytes(bytesMax: number): Check<Uint8Array> {
  return (value) => {
    if (!(value instanceof Uint8Array)) return " is not a byte string";
    return value.length <= bytesMax ? undefined : ` is longer than ${bytesMax} bytes`;
  };
}

/** One of `literals`. */
export function oneOf<const T extends string | number>(literals: readonly T[]): Check<T> {
  const known = new Set<unknown>(literals);
  return (value) => known.has(value) ? undefined : ` is not one of ${literals.join(", ")}`;
}

/** What `check` accepts, as the branded type `T`. */
export function branded<B, T extends B>(check: Check<B>): Check<T> {
  return (value) => check(value);
}

/** A list of what `check` accepts. */
export function list<T>(check: Check<T>): Check<readonly T[]> {
  return (value) => {
    if (!Array.isArray(value)) return " is not a list";
    for (let i = 0; i < value.length; i++) {
      const failure = check(value[i]);
      if (failure !== undefined) return `[${i}]${failure}`;
    }
    return undefined;
  };
}

/** A map from names to what `check` accepts. */
export function record<T>(check: Check<T>): Check<{ readonly [name: string]: T }> {
  return (value) => {
    if (!isMap(value)) return " is not a map";
    for (const key of Object.keys(value)) {
      const failure = check(value[key]);
      if (failure !== undefined) return `[${JSON.stringify(key)}]${failure}`;
    }
    return undefined;
  };
}

type Field =
  | Check<unknown>
  | OptionalCheck<unknown>
  | UsualCheck<unknown>
  | PackedCheck<unknown>;

/** How a field is checked, and filled in. */
interface FieldCheck {
  readonly check: Check<unknown>;
  readonly isOptional: boolean;
  readonly make: (() => unknown) | undefined;
  readonly packed: PackedCheck<unknown> | undefined;
}

/** A map with these fields, and perhaps others. */
export function shape<T>(fields: Fields<T>): Check<T> {
  const checks = Object.entries(fields).map(([key, field]) => {
    // `Fields` gives nothing but these.
    return { key, ...readField(field as Field) };
  });
  return (value) => {
    if (!isMap(value)) return " is not a map";
    for (const { key, check, isOptional, make, packed } of checks) {
      const field = value[key];
      // What was decoded belongs to nobody else yet: it is filled in, and unpacked, in place.
      if (field === undefined && isOptional) {
        if (make !== undefined) value[key] = make();
        continue;
      }
      const failure = packed !== undefined && isMap(field)
        ? unpackInto(value, key, packed)
        : check(field);
      if (failure !== undefined) return `.${key}${failure}`;
    }
    return undefined;
  };
}

function readField(field: Field): FieldCheck {
  const plain = { isOptional: false, make: undefined, packed: undefined };
  if (typeof field === "function") return { ...plain, check: field };
  if ("list" in field) return { ...plain, check: field.list, packed: field };
  if ("optional" in field) return { ...plain, check: field.optional, isOptional: true };
  return { ...plain, check: field.usual, isOptional: true, make: field.make };
}

/** Puts the list that columns hold into their place, or says what is wrong with them. */
function unpackInto(
  value: { [key: string]: unknown },
  key: string,
  { columns, unpack }: PackedCheck<unknown>,
): string | undefined {
  const failure = columns(value[key]);
  if (failure !== undefined) return failure;
  const list = unpack(value[key] as never);
  if (typeof list === "string") return list;
  value[key] = list;
  return undefined;
}

/** A map whose `kind` says which fields it has. */
export function kinds<T extends { readonly kind: string }>(shapes: Kinds<T>): Check<T> {
  const checks = new Map<unknown, Check<unknown>>();
  for (const [kind, fields] of Object.entries(shapes)) {
    checks.set(kind, shape(fields as Fields<unknown>));
  }
  return (value) => {
    if (!isMap(value)) return " is not a map";
    const check = checks.get(value["kind"]);
    return check === undefined ? ".kind is not known" : check(value);
  };
}

/** What `check` accepts and `rule`, which sees the typed value, has nothing against. */
export function ruled<T>(check: Check<T>, rule: (value: T) => string | undefined): Check<T> {
  return (value) => check(value) ?? rule(value as T);
}

/** Returns `values` as messages; throws FrameError naming the first field that is wrong. */
export function checkMessages<T>(check: Check<T>, values: readonly unknown[]): readonly T[] {
  for (const value of values) {
    const failure = check(value);
    if (failure !== undefined) throw wrongMessage(value, failure);
  }
  return values as readonly T[];
}

/** How much of a stranger's text an error repeats. */
const QUOTED_CHARS_MAX = 40;

function wrongMessage(value: unknown, failure: string): FrameError {
  const kind = isMap(value) ? value["kind"] : undefined;
  const quoted = typeof kind === "string" ? JSON.stringify(kind.slice(0, QUOTED_CHARS_MAX)) : "";
  const reason = failure === ".kind is not known" ? "unknown_kind" : "wrong_shape";
  return new FrameError(reason, `Cannot take message ${quoted}: message${failure}`);
}

function isMap(value: unknown): value is { [key: string]: unknown } {
  return typeof value === "object" && value !== null && !Array.isArray(value) &&
    !(value instanceof Uint8Array);
}
