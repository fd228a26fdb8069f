/** Libraries: code kept running at workers, and the calls of its functions. */

import { BATCH_PREFIX } from "../shared/library.ts";
import { decodeThrown, errorOfThrown, showStack } from "../shared/thrown.ts";
import { decodeValue } from "../shared/value.ts";
import type { LibraryCallOptions } from "./call_option.ts";
import type { TaskEnd } from "./core/instruction.ts";
import {
  callsOf,
  chunkSize,
  FAN_OUT_READERS,
  type FanOut,
  type FanOutOptions,
  ITEM_READERS,
  mapCalls,
  readEnds,
  reduceItems,
} from "./fan_out.ts";
import { readOptions } from "./option.ts";
import type { TaskHandle } from "./task_handle.ts";
import { TaskError, type TaskResult } from "./task_result.ts";
import type { CallFunction, CallMapOptions, MapFunction, ReduceFunction } from "./typed_call.ts";

/** What a library asks its manager for. */
export interface LibraryOwner {
  call(library: string, name: string, call: {
    readonly args: readonly unknown[];
    readonly options: LibraryCallOptions;
  }): TaskHandle<unknown>;
  /** Tasks that the manager wants besides those it has. */
  hungry(): number;
}

/** What a library is made of. */
export interface LibraryParts {
  readonly name: string;
  readonly owner: LibraryOwner;
  /** False of a command, whose protocol has no call of a function for many items. */
  readonly hasBatches: boolean;
  /** Of the calls. */
  readonly options: LibraryCallOptions;
}

/**
 * A declared library, which calls its functions. `Module` says what they are: the type of the
 * module, or an interface of functions; without it they are named by text.
 *
 * @example
 * ```ts
 * const options = { name: "digits", module: "./digits.ts" };
 * const digits = manager.library<typeof import("./digits.ts")>(options);
 * const accuracy: number = await digits.call("evaluate", 7).value();
 * ```
 */
export class Library<Module = unknown> {
  /**
   * Calls the exported function of that name with plain values; a file arrives as its absolute path,
   * the handle of a call as what it returned. It gives a handle: `value()` is what the function
   * returned. What cannot travel throws a TypeError, which says where it is in the arguments.
   *
   * @example
   * ```ts
   * const model = library.call("train", manager.file("table.csv"));
   * const score = await library.call<number>("score", model, 7).value();
   * ```
   */
  readonly call: CallFunction<Module>;
  /**
   * Calls the exported function of that name with each item; as many calls are pending at a time as
   * the workers have use for. It gives what the calls returned, in the order of the items; a
   * `TaskError` when one fails, which ends all and says which item it was, or with `failures:
   * "collect"` in the place of what it would have returned.
   *
   * @example
   * ```ts
   * const scores = await library.map<number>("score", rows, { chunk: 100 });
   * ```
   */
  readonly map: MapFunction<Module>;
  /**
   * Combines the items to one by the exported function of that name, which takes two neighbours and
   * returns what takes their place; it should not matter which neighbours come first. It throws a
   * `TaskError` when a call fails, which ends all, and a TypeError when there is no item.
   *
   * @example
   * ```ts
   * const total = await library.treeReduce<number>("add", [1, 2, 3]);
   * ```
   */
  readonly treeReduce: ReduceFunction<Module>;
  readonly #parts: LibraryParts;

  /** Libraries are made by the manager's `library`. */
  constructor(parts: LibraryParts) {
    this.#parts = parts;
    // What a module's own type allows is a part of what these take.
    this.call = ((name: string, ...args: readonly unknown[]) => {
      checkCalled(name);
      return this.#call(name, args);
    }) as CallFunction<unknown> as CallFunction<Module>;
    this.map = ((name: string, items: Iterable<unknown>, options: CallMapOptions = {}) => {
      return this.#map(name, items, options);
    }) as MapFunction<unknown> as MapFunction<Module>;
    this.treeReduce = ((name: string, items: Iterable<unknown>, options: FanOutOptions = {}) => {
      return this.#treeReduce(name, items, options);
    }) as ReduceFunction<unknown> as ReduceFunction<Module>;
  }

  /** Unique within its manager. */
  get name(): string {
    return this.#parts.name;
  }

  /**
   * The same library with options for the calls made through what this returns.
   *
   * @param options Wrong ones are refused by `call`.
   *
   * @example
   * ```ts
   * const drawing = library.with({ timeout: "1m", outputs: { plot: manager.file("plot.svg") } });
   * await drawing.call("draw", 7).value();
   * ```
   */
  with(options: LibraryCallOptions): Library<Module> {
    return new Library({ ...this.#parts, options: { ...this.#parts.options, ...options } });
  }

  #call(name: string, args: readonly unknown[]): TaskHandle<unknown> {
    const { name: library, owner, options } = this.#parts;
    return owner.call(library, name, { args, options });
  }

  async #map(
    name: string,
    items: Iterable<unknown>,
    options: CallMapOptions,
  ): Promise<unknown[]> {
    const { failures, signal, chunk = 1 } = readOptions<CallMapOptions>(options, "map", {
      ...ITEM_READERS,
      chunk: chunkSize,
    });
    if (chunk > 1 && !this.#parts.hasBatches) {
      throw new TypeError(
        `Cannot take chunk of map "${chunk}" as more than 1: library "${this.name}" is a command, ` +
          "which is called for each item",
      );
    }
    const fanOut = chunk === 1 ? this.#oneByOne(name) : this.#batches(name, failures !== "collect");
    const read = { ...(failures && { failures }), ...(signal && { signal }), chunkSize: chunk };
    return await mapCalls(fanOut, callsOf(items), read);
  }

  async #treeReduce(
    name: string,
    items: Iterable<unknown>,
    options: FanOutOptions,
  ): Promise<unknown> {
    const read = readOptions<FanOutOptions>(options, "treeReduce", FAN_OUT_READERS);
    return await reduceItems(this.#oneByOne(name), items, { ...read, arity: 2 });
  }

  /** A task for each call. */
  #oneByOne(name: string): FanOut {
    return {
      hungry: () => this.#parts.owner.hungry(),
      submit: ([args = []]) => {
        const task = this.#call(name, args);
        return { task, ended: task.value().then((value) => [{ isOk: true, value }]) };
      },
    };
  }

  /** A task for the calls of each chunk. */
  #batches(name: string, stopsAtFailure: boolean): FanOut {
    return {
      hungry: () => this.#parts.owner.hungry(),
      submit: (calls) => {
        const task = this.#call(`${BATCH_PREFIX}${name}`, [calls, stopsAtFailure]);
        return { task, ended: task.value().then((ends) => readEnds(task, ends)) };
      },
    };
  }
}

/** What a call that succeeded returned. */
export function readCallValue(bytes: Uint8Array): unknown {
  return bytes.length === 0 ? undefined : decodeValue(bytes);
}

/** The error of a call whose function threw, with the function's own message and stack. */
export function readCallError(end: TaskEnd, result: TaskResult): Error | undefined {
  const value = end.result?.value;
  if (end.outcome !== "call_error" || value === undefined) return undefined;
  const cause = errorOfThrown(decodeThrown(value));
  const error = new TaskError(result, `${cause.name}: ${cause.message}`, { cause });
  if (cause.stack !== undefined) showStack(error, cause.stack);
  return error;
}

/** Throws for what the host of a library would take for a batch. */
function checkCalled(name: unknown): void {
  if (typeof name !== "string" || !name.startsWith(BATCH_PREFIX)) return;
  throw new RangeError(`Cannot call "${name}" as a function: a name does not begin with "*"`);
}
