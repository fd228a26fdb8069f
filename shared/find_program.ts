/** Programs by their names, as a shell finds them. */

import { accessSync, constants, statSync } from "node:fs";

import { isAbsolute, join } from "@std/path";

/** Path of the first of that name in `searchPath` which may be run; undefined when there is none. */
export function findProgram(name: string, searchPath: string): string | undefined {
  for (const directory of searchPath.split(":")) {
    // The others count from the directory of whoever starts it.
    if (!isAbsolute(directory)) continue;
    const path = join(directory, name);
    try {
      accessSync(path, constants.X_OK);
      if (statSync(path).isFile()) return path;
    } catch {
      // Not there, or not to be run: the next one may be.
    }
  }
  return undefined;
}
