/**
 * Files that are kept for ever, shared by all workers of this user on this host.
 *
 * An entry is a folder with the file and its record, made apart and put in place by one rename, so
 * that it is there whole or not at all, whoever adds or removes it at the same time. Workers take
 * hard links of the files into their caches: what is removed here stays where it is in use.
 * Directories are not shared, as a link made of a file in them would look like a task's doing; they
 * stay in the cache of the workspace that they came to.
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

import { join } from "@std/path";

import { checkCacheName } from "../shared/cache_name.ts";
import type { CacheName } from "../shared/ids.ts";
import type { FileFacts } from "../shared/task.ts";

/** One file of the store. */
export interface SharedFile {
  readonly facts: FileFacts;
  /** Epoch milliseconds. */
  readonly addedAtMs: number;
}

/** What an entry's folder holds beside the file. */
interface SharedRecord extends SharedFile {
  /** Nanoseconds, of the file when it was added: another one means that somebody wrote to it. */
  readonly mtimeNs: string;
}

const PRIVATE_DIRECTORY = 0o700;

/** How far the mtime of a file that is added lies in the past; see linked_inputs.ts. */
const AGED_SECONDS = 1;

/** What was begun this long ago is of a process that died over it. */
const UNFINISHED_MS_MAX: number = 24 * 60 * 60_000;

/** The store in one folder; it needs no closing. */
export class SharedStore {
  readonly #entriesPath: string;
  /** What is being added, and what is being removed. */
  readonly #passingPath: string;

  /** Opens the store at `path`, an absolute one, on the file system of the workspaces. */
  constructor(path: string) {
    this.#entriesPath = join(path, "entries");
    this.#passingPath = join(path, "passing");
    for (const each of [path, this.#entriesPath, this.#passingPath]) {
      mkdirSync(each, { recursive: true, mode: PRIVATE_DIRECTORY });
    }
    this.#sweep();
  }

  /** The files that are there and were not written to. */
  files(): SharedFile[] {
    return readdirSync(this.#entriesPath).flatMap((name) => {
      const record = this.#read(name);
      return record === undefined ? [] : [{ facts: record.facts, addedAtMs: record.addedAtMs }];
    });
  }

  /** Adds the file at `path`, which nobody writes to any more, unless one of its name is there. */
  add(path: string, facts: FileFacts): void {
    const passing = this.#newPassingPath();
    mkdirSync(passing, { mode: PRIVATE_DIRECTORY });
    try {
      linkSync(path, join(passing, "data"));
      // Old enough that any later write moves it, and that no worker sets it back.
      const seconds = Math.floor(Date.now() / 1000) - AGED_SECONDS;
      utimesSync(path, seconds, seconds);
      const mtimeNs = String(lstatSync(path, { bigint: true }).mtimeNs);
      const record: SharedRecord = { facts, addedAtMs: Date.now(), mtimeNs };
      writeFileSync(join(passing, "record.json"), JSON.stringify(record));
      if (this.#read(facts.name) === undefined) this.remove(facts.name);
      renameSync(passing, join(this.#entriesPath, facts.name));
    } catch (error) {
      rmSync(passing, { recursive: true, force: true });
      // Another worker has added it meanwhile.
      if (!["ENOTEMPTY", "EEXIST"].includes(codeOf(error))) throw error;
    }
  }

  /** Links the file of that name to `path`; false when it is gone, or was written to. */
  link(name: CacheName, path: string): boolean {
    if (this.#read(name) === undefined) return false;
    try {
      linkSync(join(this.#entriesPath, name, "data"), path);
      return true;
    } catch (error) {
      if (codeOf(error) === "ENOENT") return false;
      throw error;
    }
  }

  /** Removes the file of that name, or what is left of one; false when there is none. */
  remove(name: CacheName): boolean {
    const passing = this.#newPassingPath();
    try {
      renameSync(join(this.#entriesPath, name), passing);
    } catch (error) {
      if (codeOf(error) === "ENOENT") return false;
      throw error;
    }
    rmSync(passing, { recursive: true, force: true });
    return true;
  }

  #read(name: string): SharedRecord | undefined {
    const path = join(this.#entriesPath, name);
    try {
      const record: unknown = JSON.parse(readFileSync(join(path, "record.json"), "utf8"));
      if (!isRecord(record) || checkCacheName(record.facts.name) !== name) return undefined;
      const found = lstatSync(join(path, "data"), { bigint: true });
      const isIntact = found.isFile() && Number(found.size) === record.facts.sizeBytes &&
        String(found.mtimeNs) === record.mtimeNs;
      return isIntact ? record : undefined;
    } catch {
      // It is being removed, or was damaged: as good as none.
      return undefined;
    }
  }

  #newPassingPath(): string {
    return join(this.#passingPath, crypto.randomUUID());
  }

  #sweep(): void {
    for (const name of readdirSync(this.#passingPath)) {
      const path = join(this.#passingPath, name);
      const found = lstatSync(path, { throwIfNoEntry: false });
      if (found === undefined || Date.now() - found.mtimeMs < UNFINISHED_MS_MAX) continue;
      rmSync(path, { recursive: true, force: true });
    }
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

function isRecord(value: unknown): value is SharedRecord {
  if (typeof value !== "object" || value === null) return false;
  const { facts, addedAtMs, mtimeNs } = value as Record<string, unknown>;
  if (typeof facts !== "object" || facts === null) return false;
  const { name, generation, sizeBytes, digest, isDirectory } = facts as Record<string, unknown>;
  return typeof name === "string" && Number.isSafeInteger(generation) &&
    Number.isSafeInteger(sizeBytes) && typeof digest === "string" && isDirectory === false &&
    typeof addedAtMs === "number" && typeof mtimeNs === "string";
}
