/**
 * Tells when an access file comes, goes or changes, so that nobody has to look for it all the time.
 *
 * It watches the folder, as a file that is not there or is replaced cannot be watched; while the
 * folder is not there either, the nearest one above it. A shared file system tells only what this
 * host did to it, and a watch begins a moment after it was asked for: whoever watches looks by
 * himself as well, often at first and then now and then.
 *
 * @module
 */

import { existsSync, type FSWatcher, watch } from "node:fs";

import { basename, dirname } from "@std/path";

/** Owner of the watch on one file. */
export class AccessWatch {
  readonly #path: string;
  readonly #changed: () => void;
  #watcher: FSWatcher | undefined;
  #isClosed = false;

  /** Calls `changed` after each change to the file at `path`; too often rather than too seldom. */
  constructor(path: string, changed: () => void) {
    this.#path = path;
    this.#changed = changed;
    this.#arm();
  }

  close(): void {
    this.#isClosed = true;
    this.#watcher?.close();
    this.#watcher = undefined;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #arm(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
    const [folder, name] = nearestFolder(this.#path);
    const isNear = folder === dirname(this.#path);
    const hear = (_event: string, changed: string | Uint8Array | null): void => {
      // The folder itself may have been replaced: it is told under its own name.
      const isOurs = changed === null || String(changed) === name;
      if (this.#isClosed || !(isOurs || String(changed) === basename(folder))) return;
      if (!isNear || !isOurs) this.#arm();
      this.#changed();
    };
    try {
      this.#watcher = watch(folder, { persistent: false }, hear);
      this.#watcher.on("error", () => this.close());
    } catch {
      // Gone since, or the system has no watches left: then there is only looking now and then.
      return;
    }
    // What was made between the look and the watch is told by neither.
    if (!isNear && nearestFolder(this.#path)[0] !== folder) this.#arm();
  }
}

/** The lowest folder that is there on the way to `path`, and what is looked for in it. */
function nearestFolder(path: string): [folder: string, name: string] {
  let [folder, name] = [dirname(path), basename(path)];
  while (!existsSync(folder) && dirname(folder) !== folder) {
    [folder, name] = [dirname(folder), basename(folder)];
  }
  return [folder, name];
}
