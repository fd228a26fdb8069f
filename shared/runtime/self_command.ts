/** How to start this program once more, as a child with a hidden subcommand. */

import { accessSync, constants } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** Folder of the modules inside a compiled binary. */
const COMPILED_ROOT = "/$bunfs/";

/** Where this module lies while it is not part of a bundle. */
const SOURCE_SUFFIX = "/shared/runtime/self_command.ts";

/** Keep Bun from taking variables and code from the directory that the child starts in. */
const BUN_FLAGS: readonly string[] = ["--no-env-file", "--config=/dev/null"];

/** Have a runtime load code, or look for it, where the program does not. */
const STEERING_VARIABLES: readonly string[] = ["NODE_OPTIONS", "NODE_PATH"];

/**
 * The argument vector that runs this program with `args`: compiled, bundled or from its source.
 *
 * On Deno, where only the manager runs, that is the binary: `TENDRIL_BIN`, else `dist/tendril` beside
 * the source or `tendril` beside the bundle, else `tendril` in `PATH`; an error says so when there is
 * none.
 */
export function selfCommand(args: readonly string[]): string[] {
  const url = import.meta.url;
  if ("Deno" in globalThis) return [findBinary(url), ...args];
  const path = fileURLToPath(url);
  if (path.startsWith(COMPILED_ROOT)) return [process.execPath, ...args];
  const program = path.endsWith(SOURCE_SUFFIX)
    ? fileURLToPath(new URL("../../mod.ts", url).href)
    : path;
  return [process.execPath, ...BUN_FLAGS, program, ...args];
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

/**
 * `env` for a child that is this program itself: also without what the user set for programs of the
 * other runtimes, which this one would take for its own. Certificates (`NODE_EXTRA_CA_CERTS`) stay.
 */
export function ownChildEnvironment(
  env: { readonly [name: string]: string | undefined },
): { [name: string]: string } {
  const kept = withoutRuntimeVariables(env);
  for (const name of Object.keys(kept)) {
    if (STEERING_VARIABLES.includes(name) || name.startsWith("DENO_")) delete kept[name];
  }
  return kept;
}

function findBinary(url: string): string {
  // What is set is used, whatever it is: falling back would run another program than was asked for.
  const configured = process.env["TENDRIL_BIN"];
  if (configured !== undefined && configured !== "") return configured;
  const folders = (process.env["PATH"] ?? "").split(":").filter((folder) => folder !== "");
  const candidates = folders.map((folder) => `${folder}/tendril`);
  // In a clone it is built; `tendril init` in the binary's own directory puts the bundle beside it.
  const near = url.endsWith(SOURCE_SUFFIX) ? "../../dist/tendril" : "./tendril";
  candidates.unshift(fileURLToPath(new URL(near, url).href));
  const found = candidates.find(isExecutable);
  if (found !== undefined) return found;
  throw new Error(
    'Cannot find the program "tendril" for a child process: not in TENDRIL_BIN, beside the library or in PATH; ' +
      "scripts/build makes it in a clone of the repository",
  );
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    // Not there or not ours to run: not the one.
    return false;
  }
}
