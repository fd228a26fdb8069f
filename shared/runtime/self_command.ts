/** How to start this program once more, as a child with a hidden subcommand. */

import { fileURLToPath } from "node:url";

/** Folder of the modules inside a compiled binary. */
const COMPILED_ROOT = "/$bunfs/";

/** Where this module lies while it is not part of a bundle. */
const SOURCE_SUFFIX = "/shared/runtime/self_command.ts";

/** The argument vector that runs this program with `args`: compiled, bundled or from its source. */
export function selfCommand(args: readonly string[]): string[] {
  const url = import.meta.url;
  if (fileURLToPath(url).startsWith(COMPILED_ROOT)) return [process.execPath, ...args];
  const program = url.endsWith(SOURCE_SUFFIX) ? new URL("../../mod.ts", url).href : url;
  return [process.execPath, fileURLToPath(program), ...args];
}

/** `env` without the variables that would steer the runtime instead of the program. */
export function withoutRuntimeVariables(
  env: { readonly [name: string]: string | undefined },
): { [name: string]: string } {
  const kept: { [name: string]: string } = {};
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined && !name.startsWith("BUN_")) kept[name] = value;
  }
  return kept;
}
