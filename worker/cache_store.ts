/**
 * The files of a worker's cache on its disk. A file comes in by one rename, so a
 * crash leaves no half file under a final name; it goes by way of the trash once
 * the last who serves it is done. What is kept for ever is shared with other workers
 * (shared_store.ts): files by hard links, directories in place. All else ends with the
 * process.
 *
 * @module
 */

import { chmodSync, lstatSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { chmod, readdir, stat } from "node:fs/promises";

import { join } from "@std/path";

import type { CacheName } from "../shared/ids.ts";
import { CACHE_LEVELS, type CacheLevel, type FileFacts } from "../shared/task.ts";
import type { SharedFile, SharedStore } from "./shared_store.ts";
import { Trash } from "./trash.ts";

/** A committed file and where it lies. */
export interface StoredFile {
  readonly facts: FileFacts;
  readonly level: CacheLevel;
  /** Absolute. Read only. */
  readonly path: string;
  /** True when this process brought it, false of what it found. */
  readonly isOwn: boolean;
  /** True of a tree that is right under this path only, and that nobody else can have. */
  readonly isPlaced?: boolean;
  /** True of a tree that other workers use in place as well. */
  readonly isShared?: boolean;
}

/** Keeps a file's bytes where they are while they are read. */
export interface Hold extends StoredFile {
  /** Says that reading is over; further calls do nothing. */
  readonly release: () => void;
}

interface Entry extends StoredFile {
  level: CacheLevel;
  holdCount: number;
  isDeleted: boolean;
  /** Others are not to find it any more. */
  isHidden: boolean;
}

/** Any execute bit. */
const EXECUTE_BITS = 0o111;

/** Entries of a directory that are made read-only at the same time. */
const SEALS_AT_ONCE = 32;

/** Owner of the cache folder: its table, its incoming files and its trash. */
export class CacheStore {
  readonly #filesPath: string;
  readonly #incomingPath: string;
  readonly #trash: Trash;
  readonly #shared: SharedStore | undefined;
  readonly #entries: Map<CacheName, Entry> = new Map();
  /** Of places in the store that are reserved. */
  readonly #reserved: Map<string, CacheName> = new Map();
  /** {name: when others can find it} of directories that were just shared. */
  readonly #sharing: Map<CacheName, Promise<void>> = new Map();
  /** {name: when its place is free again} of directories that this process uses no more. */
  readonly #leaving: Map<CacheName, Promise<void>> = new Map();
  readonly #work: Set<Promise<void>> = new Set();
  #pathCount = 0;

  /** Opens the cache in `directory`, an absolute path, and removes what an earlier process left unfinished. */
  constructor(directory: string, shared?: SharedStore) {
    this.#shared = shared;
    this.#filesPath = join(directory, "files");
    this.#incomingPath = join(directory, "incoming");
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    this.#trash = new Trash(join(directory, "trash"));
    for (const path of [this.#filesPath, this.#incomingPath]) {
      this.#trash.take(path);
      mkdirSync(path, { recursive: true, mode: 0o700 });
    }
    for (const { facts: { name } } of shared?.files() ?? []) this.adopt(name);
  }

  /** Every committed file. */
  files(): StoredFile[] {
    return [...this.#entries.values()];
  }

  /** The file of that name, of any generation. */
  get(name: CacheName): StoredFile | undefined {
    return this.#entries.get(name);
  }

  /** A fresh path for bytes on their way in; `commit` or `discard` takes it back. */
  newIncomingPath(): string {
    return join(this.#incomingPath, String(this.#pathCount++));
  }

  /**
   * Keeps the path free that a directory of that name and level is made for: in the store, for one
   * that is kept for ever. `commit` or `discard` takes it back.
   */
  reserve(name: CacheName, level: CacheLevel): string {
    const shared = level === "forever" ? this.#shared?.reserveTree(name) : undefined;
    if (shared !== undefined) {
      this.#reserved.set(shared, name);
      return shared;
    }
    const place = this.#freePath(name);
    mkdirSync(place, { mode: 0o700 });
    return place;
  }

  /**
   * Takes in what lies at `path`, on the same file system; a directory was sealed before.
   * An older making does not take the place of a newer one, which is returned then.
   * A directory that was made for a reserved `place` goes there.
   */
  commit(path: string, facts: FileFacts, level: CacheLevel, place?: string): StoredFile {
    const previous = this.#entries.get(facts.name);
    if (previous !== undefined && previous.facts.generation > facts.generation) {
      this.discard(path);
      if (place !== undefined) this.discard(place);
      return previous;
    }
    if (!facts.isDirectory) sealFile(path);
    if (previous !== undefined) this.#drop(previous);
    const target = place ?? this.#placeFor(facts, level);
    try {
      renameSync(path, target);
    } catch (error) {
      if (facts.isDirectory) this.discard(target);
      throw error;
    }
    const isPlaced = place !== undefined;
    const isShared = this.#reserved.delete(target);
    const entry = { ...newEntry({ facts, level, path: target, isPlaced, isShared }), isOwn: true };
    this.#entries.set(facts.name, entry);
    if (isShared) this.#shareTree(entry);
    else if (level === "forever" && !facts.isDirectory) this.#shareFile(entry);
    return entry;
  }

  /**
   * Takes in what another worker has kept for ever under that name, if there is one. Where it is a
   * directory, look with `isIntact` before it is used.
   */
  adopt(name: CacheName): StoredFile | undefined {
    if (this.#entries.has(name)) return undefined;
    const found = this.#shared?.find(name);
    if (found === undefined) return undefined;
    const entry = found.facts.isDirectory ? this.#claimTree(name) : this.#linkFile(found);
    if (entry !== undefined) this.#entries.set(name, entry);
    return entry;
  }

  /** True unless a shared directory was written to since it was kept. */
  async isIntact(name: CacheName): Promise<boolean> {
    const entry = this.#entries.get(name);
    if (entry?.isShared !== true || this.#sharing.has(name)) return true;
    return await this.#shared?.isTreeIntact(name) === true;
  }

  /** Keeps other workers from making the same file that is kept for ever, while they can find none. */
  async lock(name: CacheName, signal: AbortSignal): Promise<{ close(): void } | undefined> {
    return await this.#shared?.lock(name, signal);
  }

  /** Resolves when others can find the directory of that name, or its place is free again. */
  async settled(name: CacheName): Promise<void> {
    await Promise.all([this.#sharing.get(name), this.#leaving.get(name)]);
  }

  /** Has a file that goes with the workflow stay as long as this process. */
  raise(name: CacheName): void {
    const entry = this.#entries.get(name);
    if (entry !== undefined && entry.level !== "forever") entry.level = "worker";
  }

  /** True when workers that come later find the file of that name, once `settled` has resolved. */
  isFound(name: CacheName): boolean {
    return this.#shared?.find(name) !== undefined;
  }

  /** Removes what came in and is not wanted, or gives a reserved place free. */
  discard(path: string): void {
    const name = this.#reserved.get(path);
    if (name === undefined) return this.#trash.take(path);
    this.#reserved.delete(path);
    this.#leave(name, { isHidden: false });
  }

  /** Resolves when what was deleted and discarded until now is off the disk. */
  emptied(): Promise<void> {
    return this.#trash.emptied();
  }

  /** Takes a file off the table at once; its space is freed when nobody reads it any more. */
  delete(name: CacheName, generation: number): void {
    const entry = this.#entries.get(name);
    if (entry === undefined || entry.facts.generation !== generation) return;
    // It was pruned, or found damaged: nobody else shall find it.
    entry.isHidden = true;
    const isFile = entry.level === "forever" && !entry.facts.isDirectory;
    if (isFile || entry.isShared === true) this.#shared?.hide(name);
    if (isFile) this.#leave(name, { isHidden: true });
    this.#drop(entry);
  }

  /** Keeps a file in place for a reader; undefined when there is no such file. */
  hold(name: CacheName, generation: number): Hold | undefined {
    const entry = this.#entries.get(name);
    if (entry === undefined || entry.facts.generation !== generation) return undefined;
    entry.holdCount += 1;
    if (entry.level === "forever") this.#shared?.touch(name);
    let isReleased = false;
    const release = () => {
      if (isReleased) return;
      isReleased = true;
      entry.holdCount -= 1;
      if (entry.isDeleted && entry.holdCount === 0) this.#moveToTrash(entry);
    };
    const { facts, level, path, isOwn, isPlaced = false, isShared = false } = entry;
    return { facts, level, path, isOwn, isPlaced, isShared, release };
  }

  /** Deletes every file whose level is shorter than `keep`. */
  deleteBelow(keep: CacheLevel): void {
    const keptIndex = CACHE_LEVELS.indexOf(keep);
    for (const entry of [...this.#entries.values()]) {
      if (CACHE_LEVELS.indexOf(entry.level) < keptIndex) this.#drop(entry);
    }
  }

  /** Deletes all but what the store keeps; resolves once everything in the trash is gone. */
  async close(): Promise<void> {
    // Links left here would keep what is removed from the store on the disk.
    for (const entry of [...this.#entries.values()]) this.#drop(entry);
    while (this.#work.size > 0) await Promise.all(this.#work);
    await this.#trash.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Where a directory that is kept for ever will lie, or a path of this cache. */
  #placeFor({ name, isDirectory }: FileFacts, level: CacheLevel): string {
    const isKept = isDirectory && level === "forever";
    return isKept ? this.reserve(name, level) : this.#freePath(name);
  }

  #shareFile({ path, facts }: Entry): void {
    try {
      this.#shared?.add(path, facts);
    } catch {
      // No room for a record, or too many links: it is as good as any file, but not kept.
    }
  }

  #shareTree({ facts, isPlaced = false }: Entry): void {
    const { name } = facts;
    const sharing = this.#track(async () => {
      try {
        await this.#shared?.keepTree(facts, { isPlaced });
      } catch {
        // No room for a record: it goes with its user.
      }
      if (this.#sharing.get(name) === sharing) this.#sharing.delete(name);
    });
    this.#sharing.set(name, sharing);
  }

  #claimTree(name: CacheName): Entry | undefined {
    const found = this.#shared?.claimTree(name);
    if (found === undefined || this.#shared === undefined) return undefined;
    const { facts, isPlaced } = found;
    const path = this.#shared.treePath(name);
    return newEntry({ facts, level: "forever", path, isPlaced, isShared: true });
  }

  #linkFile({ facts }: SharedFile): Entry | undefined {
    const path = this.#freePath(facts.name);
    if (this.#shared?.link(facts.name, path) !== true) return undefined;
    return newEntry({ facts, level: "forever", path, isPlaced: false, isShared: false });
  }

  #leave(name: CacheName, { isHidden }: { readonly isHidden: boolean }): void {
    const leaving = this.#track(async () => {
      // What lets others find it may still be on its way.
      await this.#sharing.get(name);
      if (isHidden) this.#shared?.hide(name);
      await this.#shared?.leaveTree(name);
      if (this.#leaving.get(name) === leaving) this.#leaving.delete(name);
    });
    this.#leaving.set(name, leaving);
  }

  #track(run: () => Promise<void>): Promise<void> {
    const work = run().catch(() => {
      // What cannot be removed now is found by the next worker that starts.
    }).finally(() => this.#work.delete(work));
    this.#work.add(work);
    return work;
  }

  #drop(entry: Entry): void {
    this.#entries.delete(entry.facts.name);
    entry.isDeleted = true;
    // A directory is read path by path, so it stays where it is until its readers are done.
    if (entry.holdCount === 0) this.#moveToTrash(entry);
  }

  #moveToTrash({ facts, path, isHidden, isShared = false }: Entry): void {
    if (isShared) this.#leave(facts.name, { isHidden });
    else if (facts.isDirectory) this.#trash.take(path);
    else this.#removeFile(path);
  }

  #removeFile(path: string): void {
    try {
      rmSync(path, { force: true });
    } catch {
      // A function was given the path, and put something else in its place.
      this.#trash.take(path);
    }
  }

  /** `files/NAME`, or another path while a deleted file of that name is still read. */
  #freePath(name: CacheName): string {
    const path = join(this.#filesPath, name);
    if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return path;
    return join(this.#filesPath, `${name}.${this.#pathCount++}`);
  }
}

/**
 * Makes the files of a tree read-only. Its directories stay writable for their owner,
 * else nobody but root could remove them; a write inside is found after each task.
 */
export async function sealTree(path: string): Promise<void> {
  const directories = [path];
  while (true) {
    const directory = directories.pop();
    if (directory === undefined) return;
    const entries = await readdir(directory, { withFileTypes: true });
    for (let start = 0; start < entries.length; start += SEALS_AT_ONCE) {
      const batch = entries.slice(start, start + SEALS_AT_ONCE);
      await Promise.all(batch.map(async (entry) => {
        const entryPath = join(directory, entry.name);
        if (entry.isDirectory()) directories.push(entryPath);
        else if (entry.isFile()) await chmod(entryPath, sealedMode((await stat(entryPath)).mode));
      }));
    }
  }
}

function sealFile(path: string): void {
  const { mode } = lstatSync(path);
  const wanted = sealedMode(mode);
  if ((mode & 0o7777) !== wanted) chmodSync(path, wanted);
}

function sealedMode(mode: number): number {
  return (mode & EXECUTE_BITS) !== 0 ? 0o555 : 0o444;
}

function newEntry(
  stored: Pick<Entry, "facts" | "level" | "path" | "isPlaced" | "isShared">,
): Entry {
  return { ...stored, isOwn: false, holdCount: 0, isDeleted: false, isHidden: false };
}
