/**
 * Dependency resolvers: what among the arguments of a call is awaited. A plug point.
 *
 * @module
 */

import { FileHandle } from "../file_handle.ts";
import { TaskHandle } from "../task_handle.ts";
import { AppFuture, DataFuture } from "./future.ts";
import { mapLeaves } from "./leaves.ts";

/** Something that a call can depend on: a future of an app or a file, or any promise. */
export type Awaitable = PromiseLike<unknown>;

/** Finds what a call depends on, and puts what it gave in its place. */
export interface DependencyResolver {
  /**
   * Replaces each object in `value` that may be awaited, or is a file, by what `map` returns of it.
   * Called to find them, when `map` returns the object itself and so does this, and to replace them.
   */
  map(value: unknown, map: (found: object) => unknown): unknown;
}

/** Looks into arrays and plain objects, however deep. The default. */
export const DEEP_RESOLVER: DependencyResolver = {
  map: (value, map) => mapLeaves(value, map),
};

/** Looks at the arguments themselves alone. */
export const SHALLOW_RESOLVER: DependencyResolver = {
  map: (value, map) => {
    if (!Array.isArray(value)) return value;
    // Whoever wrote the resolver knows that the arguments are a list.
    const items: readonly unknown[] = value;
    const mapped = items.map((item) => isObject(item) && !Array.isArray(item) ? map(item) : item);
    return mapped.every((item, index) => item === items[index]) ? items : mapped;
  },
};

/** True of what is awaited: handles of tasks and files are given to executors as they are. */
export function isAwaitable(value: object): value is Awaitable {
  if (value instanceof AppFuture || value instanceof DataFuture) return true;
  if (value instanceof TaskHandle || value instanceof FileHandle) return false;
  return "then" in value && typeof value.then === "function";
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}
