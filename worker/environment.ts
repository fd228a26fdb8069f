/** Environments unpacked where they will be used: unlike any other tree, right under one path only. */

import type { CacheLevel, FileFacts } from "../shared/task.ts";
import type { CacheName } from "../shared/ids.ts";
import { type CacheStore, sealTree } from "./cache_store.ts";
import type { Trees } from "./trees.ts";

/** About what an entry takes on a disk beside its contents. */
const ENTRY_BYTES = 512;

/** What to make an environment of. */
export interface EnvironmentOrder {
  readonly name: CacheName;
  readonly level: CacheLevel;
  readonly archivePath: string;
  /** What there is room for. */
  readonly bytesMax: number;
  readonly signal: AbortSignal;
}

/** Unpacks an environment and takes it into the cache, at the path for which it was made. */
export async function makeEnvironment(
  { cache, trees }: { readonly cache: CacheStore; readonly trees: Pick<Trees, "unpack"> },
  { name, level, archivePath, bytesMax, signal }: EnvironmentOrder,
): Promise<FileFacts> {
  const path = cache.newIncomingPath();
  const place = cache.reserve(name, level);
  try {
    const made = await trees.unpack(path, { path: archivePath, place, bytesMax, signal });
    await sealTree(path);
    signal.throwIfAborted();
    const { sizeBytes: contentBytes, fileCount, directoryCount, linkCount } = made;
    const sizeBytes = contentBytes + ENTRY_BYTES * (fileCount + directoryCount + linkCount);
    // It is never sent on, so that nobody would check a digest.
    const file = { name, generation: 0, sizeBytes, digest: "", isDirectory: true };
    cache.commit(path, file, level, place);
    return file;
  } catch (error) {
    cache.discard(path);
    cache.discard(place);
    throw error;
  }
}
