/** What a function threw, as it travels from the process of the function to the user's code. */

import { decodeValue, encodeValue } from "./value.ts";

/** An exception in plain words. */
export interface Thrown {
  /** Name of its class; "Error" when something else than an Error was thrown. */
  readonly name: string;
  readonly message: string;
  /** Name, message and frames, and those of its causes; in a format of the engine. */
  readonly stack: string;
}

/** Longest of each part that is kept, in UTF-16 units: the beginning. */
const PART_LENGTH_MAX: number = 16 * 1024;

/** The method by which an object says how it is printed, in Node, Bun and Deno. */
const INSPECT: symbol = Symbol.for("nodejs.util.inspect.custom");

/** Causes that are followed. */
const CAUSES_MAX = 4;

/** Returns what is known of a thrown value, which may be anything. */
export function thrownOf(value: unknown): Thrown {
  try {
    if (value instanceof Error) {
      const { name, message } = value;
      return cut({ name: `${name}`, message: `${message}`, stack: stackOf(value) });
    }
    const message = typeof value === "object"
      ? JSON.stringify(value) ?? "undefined"
      : String(value);
    return cut({ name: "Error", message, stack: "" });
  } catch {
    // Its own accessors threw; there is nothing more to learn of it.
    return { name: "Error", message: "a value that cannot be shown", stack: "" };
  }
}

/** Returns a thrown value as bytes, which take the place of a call's value. */
export function encodeThrown(thrown: Thrown): Uint8Array {
  const { name, message, stack } = cut(thrown);
  return encodeValue({ name, message, stack });
}

/**
 * Returns what `encodeThrown` was given; the bytes may come from anywhere.
 *
 * @throws {TypeError} if they hold something else.
 */
export function decodeThrown(bytes: Uint8Array): Thrown {
  const thrown = asThrown(decodeValue(bytes));
  if (thrown === undefined) throw new TypeError("Cannot read value as an error: other fields");
  return thrown;
}

/** Returns the error that a library process described: JSON of a Thrown, or any text. */
export function thrownOfText(text: string): Thrown {
  try {
    const thrown = asThrown(JSON.parse(text));
    if (thrown !== undefined) return cut(thrown);
  } catch {
    // Plain text is as good: a program need not know JSON to fail.
  }
  return cut({ name: "Error", message: text.trimEnd(), stack: "" });
}

/** Returns an Error with the name, the message and the stack of what was thrown elsewhere. */
export function errorOfThrown(thrown: Thrown): Error {
  const error = new Error(thrown.message);
  Object.defineProperty(error, "name", { value: thrown.name, configurable: true, writable: true });
  if (thrown.stack !== "") showStack(error, thrown.stack);
  return error;
}

/** True of an error that was given the stack of what was thrown elsewhere. */
export function hasShownStack(error: Error): boolean {
  return Object.hasOwn(error, INSPECT);
}

/** Gives an error the stack of what was thrown elsewhere, also where it is printed. */
export function showStack(error: Error, stack: string): void {
  error.stack = stack;
  // Bun would print the lines around the place where it was made here, and not this stack.
  Object.defineProperty(error, INSPECT, { value: () => error.stack, configurable: true });
}

function asThrown(value: unknown): Thrown | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { name, message, stack = "" } = value as Record<string, unknown>;
  if (typeof name !== "string" || typeof message !== "string") return undefined;
  return { name, message, stack: typeof stack === "string" ? stack : "" };
}

/** JavaScriptCore's `stack` has frames alone in some places, V8's begins with the message. */
function stackOf(error: Error): string {
  const lines: string[] = [];
  let current: unknown = error;
  for (let depth = 0; current instanceof Error && depth <= CAUSES_MAX; depth++) {
    const head = `${current.name}: ${current.message}`;
    const stack = `${current.stack ?? ""}`;
    const whole = stack.includes(current.message) ? stack : `${head}\n${stack}`;
    lines.push(depth === 0 ? whole : `Caused by ${whole}`);
    current = current.cause;
  }
  return lines.join("\n");
}

function cut(thrown: Thrown): Thrown {
  const { name, message, stack } = thrown;
  return { name: cutPart(name), message: cutPart(message), stack: cutPart(stack) };
}

function cutPart(part: string): string {
  return (part.length <= PART_LENGTH_MAX ? part : `${part.slice(0, PART_LENGTH_MAX)}…`)
    .toWellFormed();
}
