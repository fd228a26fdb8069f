/**
 * Files and directories that are kept for ever, shared by all workers of this user on this host.
 *
 * An entry is a folder with the data and its record. A file is put in place by one rename, so that
 * it is there whole or not at all; workers take hard links of it into their caches, and what is
 * removed here stays where it is in use. A directory is used where it lies, under the path that it
 * may have been made for. Whoever uses one leaves a mark in its entry first and looks for its record
 * then, and whoever removes one takes the record away first and looks for marks then: so one of both
 * sees the other. A mark names a workspace; it counts while that is locked, and so ends however its
 * process does. An entry without a record is being added, or belongs to nobody.
 *
 * @module
 */

import {
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

import { dirname, join } from "@std/path";

import { checkCacheName } from "../shared/cache_name.ts";
import type { CacheName } from "../shared/ids.ts";
import type { FileFacts } from "../shared/task.ts";
import { removeTree } from "./trash.ts";
import { stampTree } from "./tree_stamp.ts";
import { isWorkspaceUsed, lockFile } from "./workspace.ts";

/** One file or directory of the store. */
export interface SharedFile {
  readonly facts: FileFacts;
  /** True of a directory that is right under its path only. */
  readonly isPlaced: boolean;
  /** Epoch milliseconds. */
  readonly addedAtMs: number;
  /** Epoch milliseconds; to about a minute. */
  readonly usedAtMs: number;
}

/** What became of a wish to remove. */
export type Removal = "removed" | "missing" | "used";

/** What an entry's folder holds beside the data. */
interface SharedRecord {
  readonly facts: FileFacts;
  readonly addedAtMs: number;
  /** Of a file: its mtime in nanoseconds when it was added. Of a directory: `stampTree`. */
  readonly stamp: string;
  /** Where a directory lies that is right under that path only. */
  readonly place?: string;
}

const PRIVATE_DIRECTORY = 0o700;

/** How far the mtime of a file that is added lies in the past; see linked_inputs.ts. */
const AGED_SECONDS = 1;

/** So long after its last write a directory is stamped: any later write moves an mtime. */
const SETTLE_MS = 50;

/** What was begun this long ago is of a process that died over it. */
const UNFINISHED_MS_MAX: number = 24 * 60 * 60_000;

/** Uses are noted this often at most. */
const USE_NOTED_MS = 60_000;

/** Between two looks whether another worker is done with making the same. */
const LOCK_PAUSE_MS = 100;

/** So long is waited for another worker's making; then this one makes its own as well. */
const LOCK_MS_MAX: number = 60 * 60_000;

/** How the store is used. */
export interface SharedStoreOptions {
  /** Name of this process's workspace, beside the store; absent for who only looks. */
  readonly user?: string;
}

/** The store in one folder; it needs no closing. */
export class SharedStore {
  readonly #path: string;
  readonly #entriesPath: string;
  /** What is being added, and what is being removed. */
  readonly #passingPath: string;
  readonly #user: string;
  readonly #notedAtMs: Map<CacheName, number> = new Map();

  /** Opens the store at `path`, an absolute one, on the file system of the workspaces. */
  constructor(path: string, { user = "" }: SharedStoreOptions = {}) {
    this.#path = path;
    this.#entriesPath = join(path, "entries");
    this.#passingPath = join(path, "passing");
    this.#user = user;
    for (const each of [path, this.#entriesPath, this.#passingPath]) {
      mkdirSync(each, { recursive: true, mode: PRIVATE_DIRECTORY });
    }
    this.#sweepPassing();
  }

  /** What is there and, as far as a look from outside can tell, was not written to. */
  files(): SharedFile[] {
    return readdirSync(this.#entriesPath).flatMap((name) => {
      const found = this.#read(name);
      return found === undefined ? [] : [toShared(found)];
    });
  }

  /** One of them. */
  find(name: CacheName): SharedFile | undefined {
    const found = this.#read(name);
    return found && toShared(found);
  }

  /** Adds the file at `path`, which nobody writes to any more, unless one of its name is there. */
  add(path: string, facts: FileFacts): void {
    const passing = this.#newPassingPath();
    mkdirSync(passing, { mode: PRIVATE_DIRECTORY });
    try {
      linkSync(path, join(passing, "data"));
      ageFile(path);
      const stamp = String(lstatSync(path, { bigint: true }).mtimeNs);
      writeRecord(passing, { facts, addedAtMs: Date.now(), stamp });
      const damaged = this.#read(facts.name) === undefined && this.#moveAway(facts.name);
      if (damaged) rmSync(damaged, { recursive: true, force: true });
      renameSync(passing, this.#entryPath(facts.name));
    } catch (error) {
      rmSync(passing, { recursive: true, force: true });
      // Another worker has added it meanwhile.
      if (!isTaken(error)) throw error;
    }
  }

  /** Links the file of that name to `path`; false when it is gone, or was written to. */
  link(name: CacheName, path: string): boolean {
    if (this.#read(name) === undefined) return false;
    try {
      linkSync(join(this.#entryPath(name), "data"), path);
      return true;
    } catch (error) {
      if (codeOf(error) === "ENOENT") return false;
      throw error;
    }
  }

  /**
   * Keeps the place for a directory of that name; `keepTree` or `leaveTree` follows. Undefined when
   * one lies there, or is being added.
   */
  reserveTree(name: CacheName): string | undefined {
    const passing = this.#newPassingPath();
    mkdirSync(join(passing, "users"), { recursive: true, mode: PRIVATE_DIRECTORY });
    mkdirSync(join(passing, "data"), { mode: PRIVATE_DIRECTORY });
    this.#mark(passing);
    try {
      renameSync(passing, this.#entryPath(name));
      return this.treePath(name);
    } catch (error) {
      rmSync(passing, { recursive: true, force: true });
      if (isTaken(error)) return undefined;
      throw error;
    }
  }

  /** Where the directory of that name lies: known before it is there, for what is made for a path. */
  treePath(name: CacheName): string {
    return join(this.#entryPath(name), "data");
  }

  /** Lets others find the directory that was put at its reserved place, once it has settled. */
  async keepTree(facts: FileFacts, { isPlaced }: { readonly isPlaced: boolean }): Promise<void> {
    const path = this.treePath(facts.name);
    await delay(SETTLE_MS);
    const stamp = await stampTree(path);
    const place = isPlaced ? { place: path } : {};
    writeRecord(this.#entryPath(facts.name), { facts, addedAtMs: Date.now(), stamp, ...place });
  }

  /** Says that this process uses the directory of that name; undefined when there is none. */
  claimTree(name: CacheName): SharedFile | undefined {
    const entry = this.#entryPath(name);
    if (this.#read(name)?.record.facts.isDirectory !== true) return undefined;
    try {
      this.#mark(entry);
    } catch (error) {
      if (codeOf(error) === "ENOENT") return undefined;
      throw error;
    }
    const found = this.find(name);
    if (found === undefined) this.#unmark(name);
    return found;
  }

  /** True when nothing in the directory was written to, added or removed since it was kept. */
  async isTreeIntact(name: CacheName): Promise<boolean> {
    const found = this.#read(name);
    if (found === undefined) return false;
    try {
      return await stampTree(this.treePath(name)) === found.record.stamp;
    } catch {
      // What cannot be read through is of no use.
      return false;
    }
  }

  /** Lets nobody find it any more; who uses it goes on with it. */
  hide(name: CacheName): void {
    rmSync(join(this.#entryPath(name), "record.json"), { force: true });
  }

  /** This process uses the directory no more. One that nobody finds goes with its last user. */
  async leaveTree(name: CacheName): Promise<void> {
    this.#unmark(name);
    if (this.#read(name) === undefined) await this.#removeUnused(name);
  }

  /** Notes that it is used. */
  touch(name: CacheName): void {
    const nowMs = Date.now();
    if (nowMs - (this.#notedAtMs.get(name) ?? 0) < USE_NOTED_MS) return;
    this.#notedAtMs.set(name, nowMs);
    try {
      utimesSync(join(this.#entryPath(name), "record.json"), nowMs / 1000, nowMs / 1000);
    } catch {
      // It was removed, which does not keep it from being used.
    }
  }

  /** Removes the file, or the directory unless a running worker uses it, of that name. */
  async remove(name: CacheName): Promise<Removal> {
    const entry = this.#entryPath(name);
    if (lstatSync(entry, { throwIfNoEntry: false }) === undefined) return "missing";
    const record = join(entry, "record.json");
    const hidden = join(entry, "hidden.json");
    try {
      renameSync(record, hidden);
    } catch (error) {
      if (codeOf(error) !== "ENOENT") throw error;
    }
    if (await this.#isUsed(name)) {
      try {
        renameSync(hidden, record);
      } catch {
        // It had none: it is being added, or somebody hid it.
      }
      return "used";
    }
    const passing = this.#moveAway(name);
    if (passing === undefined) return "missing";
    await removeTree(passing);
    rmSync(this.#lockPath(name), { force: true });
    return "removed";
  }

  /**
   * Removes the directories that nobody finds and nobody uses: what processes that died left. For
   * one that has just started.
   */
  async sweep(): Promise<void> {
    for (const name of readdirSync(this.#entriesPath)) {
      if (this.#read(name) !== undefined || !isName(name)) continue;
      // Of an earlier process in this workspace.
      this.#unmark(name);
      await this.#removeUnused(name);
    }
  }

  /**
   * Waits until no other worker of the host makes the file of that name, and keeps others waiting
   * until it is closed. The system frees what a dead worker held.
   */
  async lock(name: CacheName, signal: AbortSignal): Promise<{ close(): void }> {
    const path = this.#lockPath(name);
    mkdirSync(dirname(path), { recursive: true, mode: PRIVATE_DIRECTORY });
    const untilMs = performance.now() + LOCK_MS_MAX;
    while (performance.now() < untilMs) {
      signal.throwIfAborted();
      const lock = await lockFile(path);
      if (lock !== undefined) return lock;
      // No event of another process tells.
      await delay(LOCK_PAUSE_MS, undefined, { signal });
    }
    return { close: () => {} };
  }

  #entryPath(name: string): string {
    return join(this.#entriesPath, name);
  }

  #lockPath(name: CacheName): string {
    return join(this.#path, "making", name);
  }

  #mark(entry: string): void {
    if (this.#user !== "") writeFileSync(join(entry, "users", this.#user), "");
  }

  #unmark(name: CacheName): void {
    if (this.#user === "") return;
    rmSync(join(this.#entryPath(name), "users", this.#user), { force: true });
  }

  async #removeUnused(name: CacheName): Promise<void> {
    if (await this.#isUsed(name)) return;
    const passing = this.#moveAway(name);
    if (passing !== undefined) await removeTree(passing);
  }

  /** True while the workspace of one of the marks is locked. */
  async #isUsed(name: CacheName): Promise<boolean> {
    for (const user of namesIn(join(this.#entryPath(name), "users"))) {
      if (await isWorkspaceUsed(join(dirname(this.#path), user))) return true;
    }
    return false;
  }

  /** Takes an entry out of sight; returns where it is then. */
  #moveAway(name: CacheName): string | undefined {
    const passing = this.#newPassingPath();
    try {
      renameSync(this.#entryPath(name), passing);
      return passing;
    } catch (error) {
      if (codeOf(error) === "ENOENT") return undefined;
      throw error;
    }
  }

  #read(
    name: string,
  ): { readonly record: SharedRecord; readonly usedAtMs: number } | undefined {
    const entry = this.#entryPath(name);
    const path = join(entry, "record.json");
    try {
      const record: unknown = JSON.parse(readFileSync(path, "utf8"));
      if (!isRecord(record) || checkCacheName(record.facts.name) !== name) return undefined;
      const { facts, place, stamp } = record;
      const dataPath = join(entry, "data");
      // The store was moved, and what was made for its old path is wrong under the new one.
      if (place !== undefined && place !== dataPath) return undefined;
      const found = lstatSync(dataPath, { bigint: true });
      const isIntact = facts.isDirectory
        ? found.isDirectory()
        : found.isFile() && Number(found.size) === facts.sizeBytes &&
          String(found.mtimeNs) === stamp;
      return isIntact ? { record, usedAtMs: lstatSync(path).mtimeMs } : undefined;
    } catch {
      // It is being removed, or was damaged: as good as none.
      return undefined;
    }
  }

  #newPassingPath(): string {
    return join(this.#passingPath, crypto.randomUUID());
  }

  #sweepPassing(): void {
    for (const name of readdirSync(this.#passingPath)) {
      const path = join(this.#passingPath, name);
      const found = lstatSync(path, { throwIfNoEntry: false });
      if (found === undefined || Date.now() - found.mtimeMs < UNFINISHED_MS_MAX) continue;
      rmSync(path, { recursive: true, force: true });
    }
  }
}

/**
 * Has the time of a file be so old that any later write moves it, and that no worker sets it back.
 * One that is old stays as it is: tasks that read it under another name would be told that one of
 * them has written to it.
 */
function ageFile(path: string): void {
  if (freshMs(path) === 0) return;
  const seconds = Math.floor(Date.now() / 1000) - AGED_SECONDS;
  utimesSync(path, seconds, seconds);
}

/**
 * How long it takes until the file at `path` was written `agedMs` ago, after which it can be added as
 * it is; Infinity when its time is yet to come.
 */
export function freshMs(path: string, agedMs: number = AGED_SECONDS * 1000): number {
  const ageMs = Date.now() - lstatSync(path).mtimeMs;
  return ageMs < 0 ? Infinity : Math.max(0, agedMs - ageMs);
}

function toShared(
  { record: { facts, addedAtMs, place }, usedAtMs }: {
    readonly record: SharedRecord;
    readonly usedAtMs: number;
  },
): SharedFile {
  return { facts, addedAtMs, usedAtMs, isPlaced: place !== undefined };
}

/** By rename, so that a crash leaves none or a whole one. */
function writeRecord(entry: string, record: SharedRecord): void {
  const path = join(entry, `${crypto.randomUUID()}.new`);
  writeFileSync(path, JSON.stringify(record));
  renameSync(path, join(entry, "record.json"));
}

function namesIn(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    // Of a file: it has none.
    return [];
  }
}

function isName(name: string): name is CacheName {
  try {
    return checkCacheName(name) === name;
  } catch {
    return false;
  }
}

function isTaken(error: unknown): boolean {
  return ["ENOTEMPTY", "EEXIST"].includes(codeOf(error));
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

function isRecord(value: unknown): value is SharedRecord {
  if (typeof value !== "object" || value === null) return false;
  const { facts, addedAtMs, stamp, place } = value as Record<string, unknown>;
  if (typeof facts !== "object" || facts === null) return false;
  const { name, generation, sizeBytes, digest, isDirectory } = facts as Record<string, unknown>;
  return typeof name === "string" && Number.isSafeInteger(generation) &&
    Number.isSafeInteger(sizeBytes) && typeof digest === "string" &&
    typeof isDirectory === "boolean" && typeof addedAtMs === "number" &&
    typeof stamp === "string" && (place === undefined || typeof place === "string");
}
