/** What may be an argument of a call: refused where the call is made, not where it would run. */

import { encodeArguments } from "../../shared/value.ts";
import { FileHandle } from "../file_handle.ts";
import { TaskHandle } from "../task_handle.ts";
import { isAwaitable } from "./dependency.ts";
import { File } from "./file.ts";
import { PlacedFile } from "./placed_file.ts";
import type { Recipe } from "./recipe.ts";
import { StoredValue } from "./stored_value.ts";

/**
 * Throws for what cannot travel to a worker, with its path in the arguments.
 *
 * @throws {TypeError | RangeError} When there is such a thing.
 */
export function checkTravels({ name, kind }: Recipe, args: readonly unknown[]): void {
  // The function of a command is called here: it may be given anything.
  if (kind === "command" || kind === "join") return;
  try {
    encodeArguments<object, object>(args, {
      onFile: (value) => standsForFile(value) ? value : undefined,
      onHandle: (value) => standsForValue(value) ? value : undefined,
    });
  } catch (error) {
    if (error instanceof TypeError) {
      throw new TypeError(`Cannot call "${name}": ${error.message}`, { cause: error });
    }
    throw error;
  }
}

function standsForFile(value: object): boolean {
  return value instanceof File || value instanceof PlacedFile || value instanceof FileHandle;
}

function standsForValue(value: object): boolean {
  return value instanceof StoredValue || value instanceof TaskHandle || isAwaitable(value);
}
