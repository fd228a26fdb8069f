/**
 * Files of a cluster that executors of this machine need as paths: each is fetched once for all tries
 * that have it at a time, and removed when the last of them has ended.
 */

import { mkdir, rm } from "node:fs/promises";

import { join } from "@std/path";

import type { PlacedFile } from "./placed_file.ts";

interface Fetched {
  readonly folder: string;
  readonly path: Promise<string>;
  userCount: number;
}

/** Owner of the copies. */
export class ScratchFiles {
  readonly #folder: () => string;
  /** `{what is placed: its copy}` */
  readonly #fetched: Map<object, Fetched> = new Map();
  #count = 0;

  /** Asks for the folder when there is something to fetch. */
  constructor(folder: () => string) {
    this.#folder = folder;
  }

  /** The path of a file, which stays until `release`. */
  async take(file: PlacedFile): Promise<string> {
    const { placement } = file;
    if (placement.kind === "path") return placement.path;
    const known = this.#fetched.get(placement.handle);
    const fetched = known ?? this.#fetch(file, placement.handle);
    fetched.userCount += 1;
    try {
      return await fetched.path;
    } catch (error) {
      this.release(file);
      throw error;
    }
  }

  /** Lets go of a file that was taken. */
  release({ placement }: PlacedFile): void {
    if (placement.kind === "path") return;
    const { handle } = placement;
    const fetched = this.#fetched.get(handle);
    if (fetched === undefined) return;
    fetched.userCount -= 1;
    if (fetched.userCount > 0) return;
    this.#fetched.delete(handle);
    void rm(fetched.folder, { recursive: true, force: true }).catch(() => {
      // It goes with the whole folder when its executor is closed.
    });
  }

  #fetch(file: PlacedFile, key: object): Fetched {
    this.#count += 1;
    const folder = join(this.#folder(), String(this.#count));
    const path = mkdir(folder, { recursive: true }).then(() => {
      return file.fetch(join(folder, file.name.replaceAll("/", "_") || "file"));
    });
    const fetched = { folder, path, userCount: 0 };
    this.#fetched.set(key, fetched);
    return fetched;
  }
}
