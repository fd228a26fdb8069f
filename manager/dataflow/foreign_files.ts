/**
 * Files of other managers that tries of a manager read: brought here and declared to it, each once.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import type { FileHandle } from "../file_handle.ts";
import type { Manager } from "../manager.ts";
import type { AppTry } from "./executor.ts";
import { mapLeaves } from "./leaves.ts";
import { PlacedFile } from "./placed_file.ts";

/** Owner of the copies; they stay until it is closed, as their contents may be asked for again. */
export class ForeignFiles {
  readonly #manager: Manager;
  /** `{file there: the same one here}` */
  readonly #brought: Map<FileHandle, Promise<FileHandle>> = new Map();
  #folder: Promise<string> | undefined;

  constructor(manager: Manager) {
    this.#manager = manager;
  }

  /** The try with files of its own manager alone; undefined when it is so already. */
  bring(aTry: AppTry): Promise<AppTry> | undefined {
    let foreign: Set<PlacedFile> | undefined;
    const look = (leaf: object): object => {
      if (leaf instanceof PlacedFile && this.#isForeign(leaf)) (foreign ??= new Set()).add(leaf);
      return leaf;
    };
    mapLeaves(aTry.args, look);
    for (const file of Object.values(aTry.inputs)) look(file);
    // Only the looks assign it, which the compiler does not see.
    const found = foreign as Set<PlacedFile> | undefined;
    if (found === undefined) return undefined;
    const coming = Array.from(found, (file) => [file, this.#copy(file)] as const);
    return Promise.all(coming.map(async ([file, copy]) => [file, await copy] as const))
      .then((copies) => replaceFiles(aTry, new Map(copies)));
  }

  /** Removes the copies. */
  async close(): Promise<void> {
    if (this.#folder !== undefined) await rm(await this.#folder, { recursive: true, force: true });
  }

  #isForeign({ placement }: PlacedFile): boolean {
    return placement.kind === "handle" && placement.manager !== this.#manager;
  }

  async #copy(file: PlacedFile): Promise<PlacedFile> {
    const { placement, name } = file;
    if (placement.kind !== "handle") return file;
    let here = this.#brought.get(placement.handle);
    if (here === undefined) {
      here = this.#fetch(file, this.#brought.size);
      this.#brought.set(placement.handle, here);
      // The next try asks again.
      here.catch(() => this.#brought.delete(placement.handle));
    }
    return new PlacedFile({ kind: "handle", handle: await here, manager: this.#manager }, name);
  }

  async #fetch(file: PlacedFile, number: number): Promise<FileHandle> {
    this.#folder ??= mkdtemp(join(tmpdir(), "tendril-foreign-"));
    const path = join(await this.#folder, String(number));
    return this.#manager.file(await file.fetch(path));
  }
}

function replaceFiles(aTry: AppTry, copies: ReadonlyMap<PlacedFile, PlacedFile>): AppTry {
  const replace = (leaf: object): object => {
    return leaf instanceof PlacedFile ? copies.get(leaf) ?? leaf : leaf;
  };
  const inputs = Object.entries(aTry.inputs).map(([mount, file]) => {
    return [mount, copies.get(file) ?? file] as const;
  });
  return {
    ...aTry,
    args: mapLeaves(aTry.args, replace) as readonly unknown[],
    inputs: Object.fromEntries(inputs),
  };
}
