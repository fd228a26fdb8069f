/**
 * The library as files to hand out, for `tendril init`. scripts/build.ts puts the texts in their
 * place when it compiles the binary; from source there is only what it left in `dist/`.
 *
 * @module
 */

import { existsSync, readFileSync } from "node:fs";

import { fromFileUrl } from "@std/path";

/** What makes `import … from "tendril"` work in a directory. */
export interface EmbeddedLibrary {
  /** Contents of `tendril.mjs`: the library for Bun and Deno, with all it depends on. */
  readonly code: string;
  /** Contents of `tendril.d.ts`: its types. */
  readonly declarations: string;
}

/** Gives the library as files; undefined when nothing was built yet. */
export function embeddedLibrary(): EmbeddedLibrary | undefined {
  const [code, declarations] = ["tendril.mjs", "tendril.d.ts"].map((name) =>
    fromFileUrl(new URL(`../dist/${name}`, import.meta.url))
  ).map((path) => existsSync(path) ? readFileSync(path, "utf8") : undefined);
  return code !== undefined && declarations !== undefined ? { code, declarations } : undefined;
}
