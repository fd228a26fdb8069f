/** Modules that are imported at run time into this process: from text, or anew from a file. */

import { pathToFileURL } from "node:url";

import type { Namespace } from "../module_function.ts";
import { libraryContext } from "../library_context.ts";
import { NdArray, Pickle } from "../nd_array.ts";

/** What value_source.ts has modules import for values that are classes of the library. */
const LIBRARY_IMPORT = '(await import("tendril"))';

/** Where a module of text finds them: outside a worker nobody resolves "tendril" for it. */
const LIBRARY: unique symbol = Symbol.for("tendril.moduleTextLibrary") as never;

/** Tells apart the copies of a module that are imported anew. */
let copyCount = 0;

/** Imports the module that `text` is, of JavaScript; it has no path to import others from. */
export async function importText(text: string): Promise<Namespace> {
  (globalThis as { [LIBRARY]?: object })[LIBRARY] ??= { NdArray, Pickle, libraryContext };
  const source = text.replaceAll(
    LIBRARY_IMPORT,
    () => 'globalThis[Symbol.for("tendril.moduleTextLibrary")]',
  );
  const encoded = new TextEncoder().encode(source).toBase64();
  return await import(`data:text/javascript;base64,${encoded}`) as Namespace;
}

/**
 * Imports the module at an absolute path once more, also when it is imported already: as at a worker,
 * what it does at its top level happens again, and nothing that it keeps is shared.
 */
export async function importAnew(path: string): Promise<Namespace> {
  copyCount += 1;
  const url = pathToFileURL(path);
  url.search = `copy=${copyCount}`;
  return await import(url.href) as Namespace;
}
