/**
 * How to start a module of this program in a thread of its own: on Bun, from source or compiled.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";

/** Modules that run in threads; each is a program of its own in the compiled binary. */
export const THREAD_MODULES = ["shared/archive/file_thread.ts"] as const;

/** Folder of the programs inside a compiled binary. */
const COMPILED_ROOT = "/$bunfs/root/";

/** Where this module lies while it is not part of a bundle. */
const SOURCE_SUFFIX = "/shared/runtime/thread.ts";

/**
 * Starts `module` in a thread that is given `data` and does not keep the process from ending;
 * undefined where there is no such thread: on Deno, and in a bundle, of which it is no part.
 *
 * A thread that cannot run does not say so. It is taken for one that has not started yet.
 */
export function startThread(
  module: typeof THREAD_MODULES[number],
  data: unknown,
): Worker | undefined {
  if (!("Bun" in globalThis)) return undefined;
  const url = import.meta.url;
  const path = fileURLToPath(url);
  let program: string;
  if (path.startsWith(COMPILED_ROOT)) program = COMPILED_ROOT + module.replace(/\.ts$/, ".js");
  else if (path.endsWith(SOURCE_SUFFIX)) {
    program = fileURLToPath(new URL(`../../${module}`, url).href);
  } else return undefined;
  const thread = new Worker(program, { workerData: data });
  thread.on("error", () => {
    // What uses it does without.
  });
  thread.unref();
  return thread;
}
