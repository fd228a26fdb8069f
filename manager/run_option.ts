/** Options of `Manager.run`, which ships a function by value. */

import type { AnyFunction, FunctionContext } from "../shared/function_source.ts";
import { checkOptionNames, type Reader, show } from "./option.ts";
import {
  CALL_READERS,
  type CallOptions,
  PROCESS_READERS,
  type ProcessOptions,
} from "./task_definition.ts";

/** A function with what it is run with; `Arguments` and `Result` are the function's. */
export interface RunOptions<Arguments extends unknown[] = never[], Result = unknown>
  extends Omit<CallOptions, keyof ProcessOptions>, ProcessOptions {
  /** Travels as its source. A promise that it returns is awaited at the worker. */
  readonly fn: (...args: Arguments) => Result;
  /**
   * What the function uses by name beside its arguments: plain values, and functions, which may use
   * the others. What differs from call to call belongs in its arguments: each context is shipped for
   * itself.
   */
  readonly context?: FunctionContext;
}

/** A function and its options, told apart; the values of options are checked where they are used. */
export interface ReadRun {
  readonly fn: AnyFunction;
  readonly context: FunctionContext;
  readonly process: ProcessOptions;
  readonly call: CallOptions;
}

/** An object of names and what they stand for. */
export const functionContext: Reader<FunctionContext> = (value, what) => {
  const prototype: unknown = typeof value === "object" && value !== null
    ? Object.getPrototypeOf(value)
    : undefined;
  if (prototype === Object.prototype || prototype === null) return value as FunctionContext;
  throw new TypeError(
    `Cannot take ${what} "${show(value)}" as an object: expected { name: value }`,
  );
};

/**
 * Tells a function from one with options.
 *
 * @throws {TypeError} When there is none, or an option is unknown.
 */
export function readRun(given: AnyFunction | RunOptions): ReadRun {
  if (typeof given === "function") return { fn: given, context: {}, process: {}, call: {} };
  const owner = "run";
  checkOptionNames(given, owner, { fn: 0, context: 0, ...CALL_READERS, ...PROCESS_READERS });
  const { fn, context = {}, ...options } = given;
  const process: Record<string, unknown> = {};
  const call: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(options)) {
    (Object.hasOwn(PROCESS_READERS, name) ? process : call)[name] = value;
  }
  return { fn, context: functionContext(context, `context of ${owner}`), process, call };
}
