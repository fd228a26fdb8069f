/** The source that an instance of a library runs: a bundled module, or a function by value. */

import { readFile } from "node:fs/promises";

/** The module at `path` with what it imports, as one. */
export async function moduleSource(path: string): Promise<Uint8Array> {
  try {
    return new Uint8Array(await readFile(path));
  } catch (error) {
    const found = error instanceof Error ? error.message : String(error);
    throw new Error(`Cannot read module "${path}" of a library: ${found}`, { cause: error });
  }
}

/** A module that exports `fn` as `run`. */
export function functionModule(fn: (...args: never[]) => unknown): Uint8Array {
  return new TextEncoder().encode(`export const run = ${fn.toString()};\n`);
}
