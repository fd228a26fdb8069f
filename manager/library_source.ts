/** The files that a library's code becomes, for its instances to run. */

import { readFile } from "node:fs/promises";

import { unreachable } from "../shared/assert.ts";
import type { FileId } from "../shared/ids.ts";
import { type LibraryProgram, moduleFiles } from "../shared/library.ts";
import { messageOf } from "./file_binding.ts";
import type { FileEntry } from "./file_entry.ts";
import type { FileSpec, FileStore } from "./file_store.ts";
import { bundleLibrary, findModule } from "./library_bundle.ts";
import type { LibraryCode } from "./library_option.ts";
import type { PackageCopies } from "./package_copy.ts";
import type { PythonModule } from "./python_module.ts";

/** Where the files of libraries are kept. */
export interface SourceStores {
  readonly store: FileStore;
  readonly packages: PackageCopies;
}

/** The program of a library, with its files declared. */
export function declareProgram(code: LibraryCode, stores: SourceStores): LibraryProgram<FileId> {
  switch (code.kind) {
    case "javascript": {
      const module = declareBytes(moduleSource(code.module, code.from), stores.store);
      return { kind: "javascript", module: module.id };
    }
    case "javascript_text": {
      const bundle = bundleLibrary(code.path, code.text).then(({ bytes }) => bytes);
      return { kind: "javascript", module: declareBytes(bundle, stores.store).id };
    }
    case "functions": {
      const module = declareBytes(new TextEncoder().encode(code.text), stores.store);
      return { kind: "javascript", module: module.id };
    }
    case "python": {
      const { module, isPickling } = code;
      const { id } = declarePython(module, stores);
      const pickling = isPickling ? { isPickling } : {};
      return { kind: "python", module: id, moduleName: module.name, ...pickling };
    }
    case "command":
      return code;
    default:
      return unreachable(code);
  }
}

/** Declares code that the manager itself ships, named by its contents. */
export function declareBytes(
  bytes: Uint8Array | Promise<Uint8Array>,
  store: FileStore,
): FileEntry {
  // Whoever uses the file hears of a failure; this keeps it from being unhandled until then.
  if (bytes instanceof Promise) bytes.catch(() => {});
  return store.entryOf(store.declare(bytesSpec(bytes)), "module");
}

/** Code, or arguments, that the manager itself ships. */
export function bytesSpec(bytes: Uint8Array | Promise<Uint8Array>): FileSpec {
  return { source: { kind: "buffer", bytes }, level: "workflow", peerTransfer: true };
}

/** The entries of the files that a program is made of. */
export function programEntries(program: LibraryProgram<FileId>, store: FileStore): FileEntry[] {
  return moduleFiles(program).flatMap((id) => store.get(id) ?? []);
}

function declarePython(module: PythonModule, { store, packages }: SourceStores): FileEntry {
  switch (module.kind) {
    case "text":
      return declareBytes(new TextEncoder().encode(module.text), store);
    case "file":
      return declareBytes(readSource(module.path), store);
    case "package":
      return packages.declare(module.path);
    default:
      return unreachable(module);
  }
}

/** The module with what it imports, as one; see `LibraryOptions.module` and `from`. */
async function moduleSource(
  module: string | URL,
  from: string | URL | undefined,
): Promise<Uint8Array> {
  return (await bundleLibrary(await findModule(module, from))).bytes;
}

async function readSource(path: string): Promise<Uint8Array> {
  try {
    return new Uint8Array(await readFile(path));
  } catch (cause) {
    throw new Error(`Cannot import "${path}" as a Python module: ${messageOf(cause)}`, { cause });
  }
}
