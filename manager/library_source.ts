/** The source that an instance of a library runs: a bundled module. */

import { bundleLibrary, findModule } from "./library_bundle.ts";

/** The module with what it imports, as one; see `LibraryOptions.module` and `from`. */
export async function moduleSource(
  module: string | URL,
  from: string | URL | undefined,
): Promise<Uint8Array> {
  return (await bundleLibrary(await findModule(module, from))).bytes;
}
