/**
 * Cached files that are mounted in the directories of a try or of an instance: what they share with
 * the cache, and whether somebody wrote to them through a mount.
 *
 * @module
 */

import { lstatSync } from "node:fs";

import type { CacheName } from "../shared/ids.ts";
import type { CacheStore } from "./cache_store.ts";
import { LinkedInputs } from "./linked_inputs.ts";
import { type Input, type Link, mountInput, type MountPoint, releaseLink } from "./mount.ts";
import { Pacer } from "./pacer.ts";
import { measureFile } from "./task_output.ts";

/** What all mounts of a worker have in common. */
export type Mounts = Pick<MountPoint, "links" | "fileSystem">;

/** Mounts whose cached files may have been changed. */
export interface InputCheck<I extends Input = Input> {
  readonly modified: readonly I[];
  /** Changed in no way that is seen, but touched: their digests have to tell. */
  readonly suspect: readonly I[];
}

/** Returns what the mounts of a worker have in common, before there is any. */
export function newMounts(): Mounts {
  return { links: new LinkedInputs(), fileSystem: { canReflink: true } };
}

/** Owner of the mounts of one try or instance. */
export class MountedInputs<I extends Input = Input> {
  readonly #mounts: Mounts;
  #links: (Link & { readonly input: I })[] = [];
  readonly #clones: Set<number> = new Set();

  constructor(mounts: Mounts) {
    this.#mounts = mounts;
  }

  /** Puts an input in place below `directory`. */
  async mount(directory: string, input: I): Promise<void> {
    const point = { ...this.#mounts, directory, clones: this.#clones };
    for (const link of await mountInput(point, input)) this.#links.push({ ...link, input });
  }

  /** Inode numbers of what the cache has in any case. */
  get sharedInodes(): Set<number> {
    const shared = new Set(this.#clones);
    for (const { path } of this.#links) {
      const inode = this.#mounts.links.inodeOf(path);
      if (inode !== undefined) shared.add(inode);
    }
    return shared;
  }

  /**
   * Says which cached files may have been changed, and lets go of them. Called when no process is
   * left that sees them, and before the cache may drop the files.
   */
  async release(): Promise<InputCheck<I>> {
    const modified = new Set<I>();
    const suspect = new Set<I>();
    const pacer = new Pacer();
    for (const link of this.#links.splice(0)) {
      const release = releaseLink(this.#mounts.links, link);
      const state = typeof release === "string" ? release : await release;
      if (state === "modified") modified.add(link.input);
      if (state === "suspect") suspect.add(link.input);
      if (pacer.isDue()) await pacer.pause();
    }
    return { modified: [...modified], suspect: [...suspect.difference(modified)] };
  }
}

/** True if what was mounted from `path`, and touched in some way, has its contents still. */
export async function hasSameContents(
  cache: CacheStore,
  { name, path }: { readonly name: CacheName; readonly path: string },
): Promise<boolean> {
  const stored = cache.get(name);
  // Other workers' links to what is in a shared tree move the times that made it suspect.
  if (stored?.isShared === true) return true;
  if (stored === undefined || stored.facts.isDirectory || stored.facts.digest === "") return false;
  try {
    // Whatever may be there by now: only a file ends when it is read.
    const { sizeBytes, digest } = stored.facts;
    const found = lstatSync(path);
    if (!found.isFile() || found.size !== sizeBytes) return false;
    return (await measureFile(path)).digest === digest;
  } catch {
    // It was removed, or shut: nobody can read the contents it had.
    return false;
  }
}
