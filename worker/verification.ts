/**
 * Looks at the bytes of cached files whose replica is in doubt, a few at a time.
 *
 * A file that cannot be read is as bad as one that changed. Of one whose digest nobody knows, as of
 * an environment, only size and kind are looked at.
 *
 * @module
 */

import { lstatSync } from "node:fs";

import type { CacheName } from "../shared/ids.ts";
import type { CacheStore, Hold, StoredFile } from "./cache_store.ts";
import type { WorkerEvent } from "./core/event.ts";
import { measuring } from "./file_sink.ts";
import { measureFile } from "./task_output.ts";
import type { Trees } from "./trees.ts";

/** Files that are read at the same time; more wait their turn. */
const LOOKS_MAX = 2;

/** What verifications work with. */
export interface VerificationOptions {
  readonly cache: CacheStore;
  readonly trees: Pick<Trees, "read">;
  readonly push: (event: WorkerEvent) => void;
}

interface Doubt {
  readonly name: CacheName;
  readonly generation: number;
}

/** Owner of the looks under way. */
export class Verifications {
  readonly #options: VerificationOptions;
  readonly #waiting: Doubt[] = [];
  readonly #looks: Set<Promise<void>> = new Set();
  /** Shared directories that were looked at from outside. */
  readonly #seen: Set<CacheName> = new Set();
  #isClosed = false;

  constructor(options: VerificationOptions) {
    this.#options = options;
  }

  /** Looks at a file; answered by `file_verified`. */
  verify(doubt: Doubt): void {
    this.#waiting.push(doubt);
    this.#fill();
  }

  /** Begins no other look and waits for those under way. */
  async close(): Promise<void> {
    this.#isClosed = true;
    while (this.#looks.size > 0) await Promise.all(this.#looks);
  }

  #fill(): void {
    while (this.#looks.size < LOOKS_MAX && !this.#isClosed) {
      const doubt = this.#waiting.shift();
      if (doubt === undefined) return;
      const look = this.#look(doubt).finally(() => {
        this.#looks.delete(look);
        this.#fill();
      });
      this.#looks.add(look);
    }
  }

  async #look({ name, generation }: Doubt): Promise<void> {
    const { cache, push } = this.#options;
    const hold = cache.hold(name, generation);
    const isIntact = hold !== undefined && await this.#isIntact(hold);
    hold?.release();
    push({ kind: "file_verified", name, generation, isIntact });
  }

  /** What was found in the store is looked at from outside at first, and read when it is doubted. */
  async #isIntact(hold: Hold): Promise<boolean> {
    const { cache, trees } = this.#options;
    const { name } = hold.facts;
    if (!await cache.isIntact(name)) return false;
    const isFirst = hold.isShared === true && !hold.isOwn && !this.#seen.has(name);
    this.#seen.add(name);
    return isFirst || await isFileIntact(hold, trees);
  }
}

/** True when the bytes on the disk are those of the file's size and digest. */
export async function isFileIntact(
  { path, facts }: Pick<StoredFile, "path" | "facts">,
  trees: Pick<Trees, "read">,
): Promise<boolean> {
  const { isDirectory, sizeBytes, digest } = facts;
  try {
    const found = lstatSync(path);
    if (found.isDirectory() !== isDirectory) return false;
    if (!isDirectory && found.size !== sizeBytes) return false;
    if (digest === "") return true;
    const measured = isDirectory
      ? await measureChunks(trees.read(path, 0))
      : await measureFile(path);
    return measured.digest === digest;
  } catch {
    // What the disk does not give back is lost.
    return false;
  }
}

async function measureChunks(chunks: AsyncIterable<Uint8Array>): Promise<{ digest: string }> {
  const measured = measuring(chunks);
  for await (const _chunk of measured.chunks) { /* Its digest is all that is wanted. */ }
  return measured.measure();
}
