/**
 * Runs a user's workflow script inside this process, as if it had been started by itself: `tendril`
 * is this very library, whatever a `tsconfig.json` beside the script says, and the script's own npm
 * packages come from a `node_modules` beside it. Bun alone can do so, from source and compiled.
 *
 * @module
 */

import { readFileSync, realpathSync, statSync } from "node:fs";
import process from "node:process";

import { extname } from "@std/path";

type Loader = "ts" | "tsx" | "js" | "jsx";

/** `{extension: how Bun reads such a file}`. A CommonJS file has no `import.meta` to set. */
const LOADERS: Readonly<Record<string, Loader>> = {
  ".ts": "ts",
  ".mts": "ts",
  ".tsx": "tsx",
  ".js": "js",
  ".mjs": "js",
  ".jsx": "jsx",
};

/** Thrown when there is no script to run; what the script itself throws is passed on as it is. */
export class ScriptError extends Error {
  override readonly name = "ScriptError";
}

/**
 * Imports the script at `path` with `process.argv` of [binary, script, ...args] and
 * `import.meta.main` true in it alone; its `import … from "tendril"` gives `library`.
 *
 * @returns when the module has been evaluated; what it left running goes on.
 * @throws ScriptError when `path` names no script, and on Deno; whatever the script throws.
 */
export async function runScript(
  path: string,
  args: readonly string[],
  library: Readonly<Record<string, unknown>>,
): Promise<void> {
  const script = findScript(path);
  if (!("Bun" in globalThis)) throw refusal(path, `Deno runs it with "deno run -A ${path}"`);
  Bun.plugin({
    name: "tendril",
    setup(build) {
      build.module("tendril", () => ({ exports: library, loader: "object" }));
      const filter = new RegExp(`^${RegExp.escape(script.path)}$`);
      build.onLoad({ filter }, () => ({
        contents: asMain(readFileSync(script.path, "utf8")),
        loader: script.loader,
      }));
    },
  });
  process.argv.splice(0, process.argv.length, process.execPath, script.path, ...args);
  Bun.argv.splice(0, Bun.argv.length, ...process.argv);
  Object.assign(Bun, { main: script.path });
  await import(script.path);
}

/** Links are followed, as the runtime does when it names a module. */
function findScript(path: string): { path: string; loader: Loader } {
  let realPath: string;
  try {
    realPath = realpathSync(path);
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === "ENOENT";
    throw refusal(path, isMissing ? "no such file" : (error as Error).message);
  }
  if (!statSync(realPath).isFile()) throw refusal(path, "it is not a file");
  const loader = LOADERS[extname(realPath)];
  if (loader) return { path: realPath, loader };
  throw refusal(path, `its name ends in none of ${Object.keys(LOADERS).join(" ")}`);
}

function refusal(path: string, found: string): ScriptError {
  return new ScriptError(`Cannot run script "${path}" as a workflow: ${found}`);
}

/** On the first line of code, so that line numbers of the script stay what they are. */
function asMain(source: string): string {
  const shebang = /^#!.*\n?/.exec(source)?.[0] ?? "";
  const define = `Object.defineProperty(import.meta, "main", { value: true });`;
  return (shebang && `//${shebang}`) + define + source.slice(shebang.length);
}
