/** Libraries: code kept running at workers, and the calls of its functions. */

import { decodeThrown, errorOfThrown } from "../shared/thrown.ts";
import { decodeValue } from "../shared/value.ts";
import { checkName } from "./call_arguments.ts";
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
import { anyText, count, type Reader, readOptions, text } from "./option.ts";
import {
  type CallOptions,
  type CheckedProcess,
  checkProcess,
  PROCESS_READERS,
  type ProcessOptions,
} from "./task_definition.ts";
import type { FileStore } from "./file_store.ts";
import type { TaskHandle } from "./task_handle.ts";
import { TaskError, type TaskResult } from "./task_result.ts";

/** Calls served at the same time by one instance, at most. */
const SLOTS_MAX = 1024;

/** Code kept running at workers. What it is given is what each instance of it has. */
export interface LibraryOptions extends ProcessOptions {
  /** Unique within the manager. */
  readonly name: string;
  /** JavaScript or TypeScript, bundled with what it imports. */
  readonly module: string | URL;
  /**
   * What a relative `module` starts from: `import.meta.url`. Default: the folder of the running
   * script, else the working directory.
   */
  readonly from?: string | URL;
  /** Name of the exported function that runs once when an instance starts. */
  readonly context?: string;
  /** Calls served at the same time by one instance. Default 1. */
  readonly slots?: number;
}

/** Checked options of a library. */
export interface CheckedLibrary extends CheckedProcess {
  readonly name: string;
  readonly module: string | URL;
  readonly from: string | URL | undefined;
  /** Empty when there is none. */
  readonly context: string;
  readonly slots: number;
}

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

const moduleOption: Reader<string | URL> = (value, what) => {
  if (value instanceof URL || (typeof value === "string" && value !== "")) return value;
  throw new TypeError(`Cannot take ${what} "${String(value)}" as a module: expected a path`);
};

/** Checks the options of `manager.library`. */
export function readLibrary(options: LibraryOptions, store: FileStore): CheckedLibrary {
  const read = readOptions<Required<LibraryOptions>>(options, "library", {
    name: text,
    module: moduleOption,
    from: moduleOption,
    context: anyText,
    slots: count(1, SLOTS_MAX),
    ...PROCESS_READERS,
  });
  if (read.name === undefined || read.module === undefined) {
    throw new TypeError("Cannot declare a library without name and module");
  }
  checkName(read.name, "library");
  return {
    name: read.name,
    module: read.module,
    from: read.from,
    context: read.context ?? "",
    slots: read.slots ?? 1,
    ...checkProcess(read, store),
  };
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
