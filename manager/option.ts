/**
 * Reads options given by a user's script: unknown names and wrong values are refused
 * with one error that names what was wrong and what would be right.
 */

import { parseDuration, parseMemory, parseSize } from "../shared/units.ts";

/** Checks one value; `what` names it in errors. */
export type Reader<T> = (value: unknown, what: string) => T;

/** A reader for each option of `T`. */
export type Readers<T> = { readonly [Name in keyof T]-?: Reader<Exclude<T[Name], undefined>> };

/**
 * The options of `value`, each checked by its reader; those left out or undefined stay out.
 *
 * @throws {TypeError} When `value` is not an object, or has an option without a reader.
 */
export function readOptions<T>(value: unknown, owner: string, readers: Readers<T>): Partial<T> {
  checkOptionNames(value, owner, readers);
  const options: Partial<T> = {};
  for (const [name, given] of Object.entries(value)) {
    if (given === undefined) continue;
    // The reader of a name gives the type of that name, which Object.entries cannot say.
    const key = name as keyof T;
    options[key] = readers[key](given, `${name} of ${owner}`) as Partial<T>[keyof T];
  }
  return options;
}

/** Throws unless `value` is an object with no other options than `readers` has. */
export function checkOptionNames(
  value: unknown,
  owner: string,
  readers: object,
): asserts value is object {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new TypeError(`Cannot read options of ${owner} from "${show(value)}" as an object`);
  }
  const unknown = Object.keys(value).find((name) => !Object.hasOwn(readers, name));
  if (unknown === undefined) return;
  const valid = Object.keys(readers).join(", ");
  throw new TypeError(`Cannot take "${unknown}" as an option of ${owner}: there are ${valid}`);
}

/** A size in bytes; text such as `"2GB"` counts. */
export const size: Reader<number> = parseSize;

/** Memory in bytes; text such as `"2GB"` counts, and a number that lacks its unit does not. */
export const memorySize: Reader<number> = parseMemory;

/** A duration in milliseconds; text such as `"10m"` counts. */
export const duration: Reader<number> = parseDuration;

const MOMENT_WANTED =
  'an instant: a Date, text such as "2026-05-01T06:00", or a time from now, "2h"';

/**
 * Milliseconds from now until an instant: a Date, its ISO text, or a duration from now. What is past
 * is below 0.
 */
export const moment: Reader<number> = (value, what) => {
  const isText = typeof value === "string" && /^\d{4}-\d\d-\d\d/.test(value);
  const atMs = isText || value instanceof Date ? new Date(value).getTime() : NaN;
  if (Number.isFinite(atMs)) return atMs - Date.now();
  try {
    return parseDuration(value, what);
  } catch (cause) {
    throw new RangeError(refusal(what, value, MOMENT_WANTED), { cause });
  }
};

/** True or false. */
export const flag: Reader<boolean> = (value, what) => {
  if (typeof value === "boolean") return value;
  throw new TypeError(refusal(what, value, "true or false"));
};

/** Text that is not empty. */
export const text: Reader<string> = (value, what) => {
  if (typeof value === "string" && value !== "") return value;
  throw new TypeError(refusal(what, value, "text that is not empty"));
};

/** Characters of a tag or a category: it is repeated wherever its tasks are told of. */
const LABEL_CHARS_MAX = 256;

/** A tag, or the name of a category. */
export const label: Reader<string> = (value, what) => {
  const known = text(value, what);
  if (known.length <= LABEL_CHARS_MAX) return known;
  const found = `${known.length} characters, of at most ${LABEL_CHARS_MAX}`;
  throw new RangeError(`Cannot take ${what} "${show(known)}": ${found}`);
};

/** Text, perhaps empty. */
export const anyText: Reader<string> = (value, what) => {
  if (typeof value === "string") return value;
  throw new TypeError(refusal(what, value, "text"));
};

/** A number of at least `least`, and at most `most`. */
export function amount(least: number, most: number = Number.MAX_SAFE_INTEGER): Reader<number> {
  return (value, what) => {
    if (typeof value === "number" && value >= least && value <= most) return value;
    throw new RangeError(refusal(what, value, `a number ${range(least, most)}`));
  };
}

/** A whole number of at least `least`, and at most `most`. */
export function count(least: number, most: number = Number.MAX_SAFE_INTEGER): Reader<number> {
  return (value, what) => {
    if (Number.isSafeInteger(value) && Number(value) >= least && Number(value) <= most) {
      return Number(value);
    }
    throw new RangeError(refusal(what, value, `a whole number ${range(least, most)}`));
  };
}

/** One of `choices`. */
export function oneOf<const T extends string>(...choices: readonly T[]): Reader<T> {
  return (value, what) => {
    const found = choices.find((choice) => choice === value);
    if (found !== undefined) return found;
    const wanted = choices.map((choice) => `"${choice}"`).join(" or ");
    throw new RangeError(refusal(what, value, wanted));
  };
}

/** Names and texts, as of environment variables. */
export const texts: Reader<{ readonly [name: string]: string }> = (value, what) => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new TypeError(refusal(what, value, "an object of texts"));
  }
  for (const [name, item] of Object.entries(value)) {
    if (name === "" || /[=\0]/.test(name)) {
      throw new TypeError(refusal(what, name, 'the name of a variable: expected one without "="'));
    }
    if (typeof item !== "string") {
      throw new TypeError(refusal(`"${name}" in ${what}`, item, "text"));
    }
  }
  return value as { readonly [name: string]: string };
};

/** What an error shows of a value: never much of it. */
export function show(value: unknown): string {
  if (typeof value === "string") return value.length > 60 ? `${value.slice(0, 57)}...` : value;
  if (typeof value === "object" && value !== null) {
    return Array.isArray(value) ? "array" : value.constructor?.name ?? "object";
  }
  return typeof value === "function" ? `function ${value.name}` : String(value);
}

function range(least: number, most: number): string {
  return most === Number.MAX_SAFE_INTEGER ? `from ${least} up` : `from ${least} to ${most}`;
}

function refusal(what: string, value: unknown, wanted: string): string {
  return `Cannot take ${what} "${show(value)}" as ${wanted}`;
}
