/** Libraries: code kept running at workers, and the calls of its functions. */

import { decodeThrown, errorOfThrown } from "../shared/thrown.ts";
import { decodeValue } from "../shared/value.ts";
import type { TaskEnd } from "./core/instruction.ts";
import {
  callsOf,
  FAN_OUT_READERS,
  type FanOut,
  type FanOutOptions,
  ITEM_READERS,
  type ItemOptions,
  mapCalls,
  reduceItems,
} from "./fan_out.ts";
import { readOptions } from "./option.ts";
import type { CallOptions } from "./task_definition.ts";
import type { TaskHandle } from "./task_handle.ts";
import { TaskError, type TaskResult } from "./task_result.ts";

/** What a library asks its manager for. */
export interface LibraryOwner {
  call(library: string, name: string, call: {
    readonly args: readonly unknown[];
    readonly options: CallOptions;
  }): TaskHandle<unknown>;
  /** Tasks that the manager wants besides those it has. */
  hungry(): number;
}

/** A declared library; its `call` submits a function call. */
export class Library {
  /** Unique within its manager. */
  readonly name: string;
  readonly #owner: LibraryOwner;
  readonly #options: CallOptions;

  /** Libraries are made by the manager's `library`. */
  constructor(name: string, owner: LibraryOwner, options: CallOptions = {}) {
    this.name = name;
    this.#owner = owner;
    this.#options = options;
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
  with(options: CallOptions): Library {
    return new Library(this.name, this.#owner, { ...this.#options, ...options });
  }

  /**
   * Calls the exported function `name`.
   *
   * @param args Plain values, or files, which arrive as absolute paths.
   * @returns A handle: `value()` gives what the function returned.
   * @throws {TypeError} When an argument cannot travel; the message says where in it.
   */
  // The result of a function that is named by text is whatever the caller says it is.
  call<T = unknown>(name: string, ...args: readonly unknown[]): TaskHandle<T> {
    return this.#owner.call(this.name, name, { args, options: this.#options }) as TaskHandle<T>;
  }

  /**
   * Calls the exported function `name` with each item; as many calls are pending at a time as the
   * workers have use for.
   *
   * @returns What the calls returned, in the order of the items.
   * @throws {TaskError} When one fails, which ends all; the message says which item it was.
   */
  async map<T = unknown>(
    name: string,
    items: Iterable<unknown>,
    options: ItemOptions = {},
  ): Promise<T[]> {
    const read = readOptions<ItemOptions>(options, "map", ITEM_READERS);
    const calls = callsOf(items);
    return await mapCalls(this.#fanOut(name), calls, { ...read, chunkSize: 1 }) as T[];
  }

  /**
   * Combines the items to one by the exported function `name`, which takes two neighbours and
   * returns what takes their place; it should not matter which neighbours come first.
   *
   * @throws {TaskError} When a call fails, which ends all; the message says which items it was of.
   * @throws {TypeError} When there is no item.
   */
  async treeReduce<T = unknown>(
    name: string,
    items: Iterable<unknown>,
    options: FanOutOptions = {},
  ): Promise<T> {
    const read = readOptions<FanOutOptions>(options, "treeReduce", FAN_OUT_READERS);
    return await reduceItems(this.#fanOut(name), items, { ...read, arity: 2 }) as T;
  }

  /** A task for each call. */
  #fanOut(name: string): FanOut {
    return {
      hungry: () => this.#owner.hungry(),
      submit: (calls) => {
        const [args = []] = calls;
        const task = this.call(name, ...args);
        return { task, ended: task.value().then((value) => [{ isOk: true, value }]) };
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
  if (cause.stack !== undefined) error.stack = cause.stack;
  return error;
}
