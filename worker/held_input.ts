/** What a try needs of the cache, kept in place while it runs. */

import type { CacheName } from "../shared/ids.ts";
import type { CacheStore, Hold } from "./cache_store.ts";
import type { WorkerInstruction } from "./core/instruction.ts";
import type { Input } from "./mount.ts";
import { MissingError } from "./verdict.ts";

type RunOrder = Extract<WorkerInstruction, { kind: "run_task" }>;

/** Finds the inputs and keeps them, and the environments, in place while the try runs. */
export function holdInputs(cache: CacheStore, { task, shape }: RunOrder, holds: Hold[]): Input[] {
  for (const name of shape.environments) {
    const stored = cache.get(name);
    const hold = stored && cache.hold(name, stored.facts.generation);
    if (hold !== undefined) holds.push(hold);
  }
  return task.inputs.map(({ mount, name, generation, isSymlink }) => {
    const hold = cache.hold(name, generation);
    if (hold === undefined) throw new MissingError(`Input "${mount}" is not in the cache`);
    holds.push(hold);
    return { mount, path: hold.path, isDirectory: hold.facts.isDirectory, isSymlink };
  });
}

/** Absolute paths of unpacked environments, which are used in place. */
export function environmentPaths(cache: CacheStore, names: readonly CacheName[]): string[] {
  return names.map((name) => {
    const stored = cache.get(name);
    if (stored === undefined) throw new MissingError(`Environment "${name}" is not in the cache`);
    return stored.path;
  });
}
