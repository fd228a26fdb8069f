/**
 * Copies of Python packages, for workers to fetch. A copy is what it was when its library was
 * declared: Python itself writes `__pycache__` beside the sources that it runs on this machine,
 * which would be a change of the package for all who have fetched it.
 *
 * @module
 */

import { realpath } from "node:fs/promises";

import { join } from "@std/path";

import { formatSize } from "../shared/units.ts";
import type { BoundFile } from "./core/event.ts";
import { copyContents, describeDirectory, directoryName } from "./directory.ts";
import { messageOf } from "./file_binding.ts";
import type { FileEntry } from "./file_entry.ts";
import type { FileStore } from "./file_store.ts";

/** What Python makes of the sources again wherever they run. */
const COMPILED = "__pycache__";

/** Largest package: code, and no data. */
const PACKAGE_BYTES_MAX: number = 1024 ** 3;

/** The copies that one manager makes. */
export class PackageCopies {
  readonly #store: FileStore;
  readonly #folder: string;
  readonly #closing: AbortController = new AbortController();
  readonly #running: Set<Promise<void>> = new Set();
  #lastId = 0;

  /** `folder` is the manager's own, which removes it when it has closed this. */
  constructor(store: FileStore, folder: string) {
    this.#store = store;
    this.#folder = folder;
  }

  /** The file that the package at `path` becomes, named by its contents. */
  declare(path: string): FileEntry {
    const { promise, resolve, reject } = Promise.withResolvers<BoundFile>();
    // Whoever uses the file hears of a failure; until then nobody does.
    promise.catch(() => {});
    const source = { kind: "upload", arrival: promise } as const;
    const file = this.#store.declare({ source, level: "workflow", peerTransfer: true });
    const entry = this.#store.entryOf(file, "package");
    this.#lastId += 1;
    const target = join(this.#folder, `package-${this.#lastId}`);
    const running = this.#copy(path, target, entry).then(resolve, (cause) => {
      reject(
        new Error(`Cannot import "${path}" as a Python package: ${reasonOf(cause)}`, { cause }),
      );
    }).finally(() => this.#running.delete(running));
    this.#running.add(running);
    return entry;
  }

  /** Ends copying. */
  async close(): Promise<void> {
    this.#closing.abort(new Error("the manager is closing"));
    await Promise.all(this.#running);
  }

  async #copy(path: string, target: string, entry: FileEntry): Promise<BoundFile> {
    const source = await realpath(path);
    const { sizeBytes: packedBytes } = await describeDirectory(source, { isHashed: false });
    if (packedBytes > PACKAGE_BYTES_MAX) {
      throw new RangeError(
        `it has ${formatSize(packedBytes)}, at most ${formatSize(PACKAGE_BYTES_MAX)}; ` +
          "give its data as inputs of the library",
      );
    }
    const { signal } = this.#closing;
    await copyContents(source, target, { signal, isLeftOut: (name) => name === COMPILED });
    const found = await describeDirectory(target, { isHashed: true });
    const { sizeBytes, digest } = found;
    const facts = { sizeBytes, digest, isDirectory: true };
    await this.#store.setPlace(entry, { path: target, ...facts, generation: 0 });
    return { name: directoryName(found), ...facts, isExecutable: false };
  }
}

/** What went wrong; of what has gone in the same words on all runtimes. */
function reasonOf(cause: unknown): string {
  const isGone = cause instanceof Error && "code" in cause && cause.code === "ENOENT";
  return isGone ? "no such file or directory" : messageOf(cause);
}
