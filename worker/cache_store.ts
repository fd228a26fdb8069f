/**
 * The files of a worker's cache on its disk. A file comes in by one rename, so a
 * crash leaves no half file under a final name; it goes by way of the trash once
 * the last who serves it is done. Files that are kept for ever are shared with other
 * workers (shared_store.ts). A directory that outlives the process has a small record
 * beside it, without which what is found at start is removed.
 *
 * @module
 */

import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { chmod, readdir, stat } from "node:fs/promises";

import { join } from "@std/path";

import type { CacheName } from "../shared/ids.ts";
import { CACHE_LEVELS, type CacheLevel, type FileFacts } from "../shared/task.ts";
import type { SharedStore } from "./shared_store.ts";
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
}

/** Keeps a file's bytes where they are while they are read. */
export interface Hold extends StoredFile {
  /** Says that reading is over; further calls do nothing. */
  readonly release: () => void;
}

interface Entry extends StoredFile {
  holdCount: number;
  isDeleted: boolean;
}

/** Levels whose files are found again by the next process in the same workspace. */
const LASTING_LEVELS: readonly CacheLevel[] = ["forever"];

/** Any execute bit. */
const EXECUTE_BITS = 0o111;

/** Entries of a directory that are made read-only at the same time. */
const SEALS_AT_ONCE = 32;

/** Owner of the cache folder: its table, its incoming files and its trash. */
export class CacheStore {
  readonly #filesPath: string;
  readonly #recordsPath: string;
  readonly #incomingPath: string;
  readonly #trash: Trash;
  readonly #shared: SharedStore | undefined;
  readonly #entries: Map<CacheName, Entry> = new Map();
  #pathCount = 0;

  /** Opens the cache in `directory`, an absolute path, and removes what an earlier process left unfinished. */
  constructor(directory: string, shared?: SharedStore) {
    this.#shared = shared;
    this.#filesPath = join(directory, "files");
    this.#recordsPath = join(directory, "records");
    this.#incomingPath = join(directory, "incoming");
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    this.#trash = new Trash(join(directory, "trash"));
    this.#trash.take(this.#incomingPath);
    for (const path of [this.#filesPath, this.#recordsPath, this.#incomingPath]) {
      mkdirSync(path, { recursive: true, mode: 0o700 });
    }
    this.#findFiles();
    this.#findShared();
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

  /** Keeps the path free that a directory of that name is made for; `commit` or `discard` takes it back. */
  reserve(name: CacheName): string {
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
    const finalPath = place ?? this.#freePath(facts.name);
    const isPlaced = place !== undefined;
    renameSync(path, finalPath);
    if (this.#isShared(facts, level)) this.#share(finalPath, facts);
    else if (LASTING_LEVELS.includes(level)) this.#writeRecord(facts, level, place);
    const stored = { facts, level, path: finalPath, isOwn: true, isPlaced };
    const entry = { ...stored, holdCount: 0, isDeleted: false };
    this.#entries.set(facts.name, entry);
    return entry;
  }

  /** Removes what came in and is not wanted. */
  discard(path: string): void {
    this.#trash.take(path);
  }

  /** Resolves when what was deleted and discarded until now is off the disk. */
  emptied(): Promise<void> {
    return this.#trash.emptied();
  }

  /** Takes a file off the table at once; its space is freed when nobody reads it any more. */
  delete(name: CacheName, generation: number): void {
    const entry = this.#entries.get(name);
    if (entry === undefined || entry.facts.generation !== generation) return;
    this.#drop(entry);
    // It was evicted, or found damaged: nobody else shall find it.
    if (this.#isShared(entry.facts, entry.level)) this.#shared?.remove(name);
  }

  /** Keeps a file in place for a reader; undefined when there is no such file. */
  hold(name: CacheName, generation: number): Hold | undefined {
    const entry = this.#entries.get(name);
    if (entry === undefined || entry.facts.generation !== generation) return undefined;
    entry.holdCount += 1;
    let isReleased = false;
    const release = () => {
      if (isReleased) return;
      isReleased = true;
      entry.holdCount -= 1;
      if (entry.isDeleted && entry.holdCount === 0) this.#moveToTrash(entry);
    };
    const { facts, level, path, isOwn, isPlaced = false } = entry;
    return { facts, level, path, isOwn, isPlaced, release };
  }

  /** Deletes every file whose level is shorter than `keep`. */
  deleteBelow(keep: CacheLevel): void {
    const keptIndex = CACHE_LEVELS.indexOf(keep);
    for (const entry of [...this.#entries.values()]) {
      if (CACHE_LEVELS.indexOf(entry.level) < keptIndex) this.#drop(entry);
    }
  }

  /** Deletes what ends with this process; resolves once everything in the trash is gone. */
  close(): Promise<void> {
    this.deleteBelow("forever");
    // The store has them; links left here would keep what is removed there on the disk.
    for (const entry of [...this.#entries.values()]) {
      if (this.#isShared(entry.facts, entry.level)) this.#drop(entry);
    }
    return this.#trash.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #isShared({ isDirectory }: FileFacts, level: CacheLevel): boolean {
    return this.#shared !== undefined && level === "forever" && !isDirectory;
  }

  #share(path: string, facts: FileFacts): void {
    try {
      this.#shared?.add(path, facts);
    } catch {
      // No room for a record, or too many links: it is as good as any file, but not kept.
    }
  }

  /** Takes in what any worker of this user has left for ever. */
  #findShared(): void {
    for (const { facts } of this.#shared?.files() ?? []) {
      if (this.#entries.has(facts.name)) continue;
      const path = this.#freePath(facts.name);
      if (this.#shared?.link(facts.name, path) !== true) continue;
      const level = "forever";
      const entry = { facts, level, path, isOwn: false, holdCount: 0, isDeleted: false } as const;
      this.#entries.set(facts.name, { ...entry });
    }
  }

  #drop(entry: Entry): void {
    this.#entries.delete(entry.facts.name);
    entry.isDeleted = true;
    if (LASTING_LEVELS.includes(entry.level)) {
      rmSync(this.#recordPath(entry.facts.name), { force: true });
    }
    // A directory is read path by path, so it stays where it is until its readers are done.
    if (entry.holdCount === 0) this.#moveToTrash(entry);
  }

  #moveToTrash(entry: Entry): void {
    if (entry.facts.isDirectory) this.#trash.take(entry.path);
    else rmSync(entry.path, { force: true });
  }

  /** `files/NAME`, or another path while a deleted file of that name is still read. */
  #freePath(name: CacheName): string {
    const path = join(this.#filesPath, name);
    if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return path;
    return join(this.#filesPath, `${name}.${this.#pathCount++}`);
  }

  #recordPath(name: CacheName): string {
    return join(this.#recordsPath, `${name}.json`);
  }

  #writeRecord(facts: FileFacts, level: CacheLevel, place: string | undefined): void {
    const path = this.#recordPath(facts.name);
    const temporaryPath = this.newIncomingPath();
    writeFileSync(temporaryPath, JSON.stringify({ ...facts, level, place }));
    renameSync(temporaryPath, path);
  }

  #findFiles(): void {
    const kept = new Set<string>();
    for (const fileName of readdirSync(this.#recordsPath)) {
      const entry = this.#readRecord(fileName);
      if (entry === undefined) {
        rmSync(join(this.#recordsPath, fileName), { recursive: true, force: true });
        continue;
      }
      kept.add(entry.facts.name);
      this.#entries.set(entry.facts.name, entry);
    }
    for (const fileName of readdirSync(this.#filesPath)) {
      if (!kept.has(fileName)) this.#trash.take(join(this.#filesPath, fileName));
    }
  }

  #readRecord(fileName: string): Entry | undefined {
    let record: unknown;
    try {
      record = JSON.parse(readFileSync(join(this.#recordsPath, fileName), "utf8"));
    } catch {
      // A record that cannot be read is as good as none: its file is removed.
      return undefined;
    }
    if (!isRecord(record) || `${record.name}.json` !== fileName) return undefined;
    const { level, place, ...facts } = record;
    const path = join(this.#filesPath, facts.name);
    // The workspace was moved, and what was made for its old path is wrong under the new one.
    if (place !== undefined && place !== path) return undefined;
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found === undefined || found.isDirectory() !== facts.isDirectory) return undefined;
    if (found.isFile() && found.size !== facts.sizeBytes) return undefined;
    if (!found.isFile() && !found.isDirectory()) return undefined;
    const isPlaced = place !== undefined;
    return { facts, level, path, isOwn: false, isPlaced, holdCount: 0, isDeleted: false };
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

function isRecord(value: unknown): value is FileFacts & { level: CacheLevel; place?: string } {
  if (typeof value !== "object" || value === null) return false;
  const { name, generation, sizeBytes, digest, isDirectory, level, place } = value as Record<
    string,
    unknown
  >;
  return typeof name === "string" && Number.isSafeInteger(generation) &&
    Number.isSafeInteger(sizeBytes) && typeof digest === "string" &&
    (place === undefined || typeof place === "string") &&
    typeof isDirectory === "boolean" && LASTING_LEVELS.some((lasting) => lasting === level);
}
