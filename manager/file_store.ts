/**
 * The declared files of one manager: their names, and where their contents are on this machine.
 * The core decides what happens to a file; this table only knows what the core cannot look at.
 */

import { randomBytes } from "node:crypto";
import { readFile, rm } from "node:fs/promises";

import { unreachable } from "../shared/assert.ts";
import { isSameStamp, stampOf } from "../shared/file_stamp.ts";
import type { CacheName, FileId, TaskId } from "../shared/ids.ts";
import type { CacheLevel, FileFacts } from "../shared/task.ts";
import type { BoundFile, ManagerEvent } from "./core/event.ts";
import { valueFileId } from "./core/value_file.ts";
import { BindQueue } from "./bind_queue.ts";
import { bindBytes, bindLocal, bindRecipe, FileMissingError } from "./file_binding.ts";
import {
  type FileEntry,
  type FilePlace,
  type FileSource,
  newEntry,
  originOf,
} from "./file_entry.ts";
import { FileHandle, type FileReader } from "./file_handle.ts";
import { tell } from "./notice.ts";
import { PathUse } from "./path_use.ts";
import { bindUrl } from "./url_binding.ts";

/** Files that are named at the same time: each may be one that is read and hashed. */
const BINDINGS_MAX = 8;

/** Urls of which servers are asked at the same time: each may be slow to answer. */
const URL_BINDINGS_MAX = 16;

/** The owner may run it. */
const OWNER_EXECUTES = 0o100;

/** Contents that can be served: bytes in memory, or a file or directory on disk. */
export type FileContents =
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  | {
    readonly kind: "path";
    readonly path: string;
    readonly sizeBytes: number;
    readonly isDirectory: boolean;
  };

/** Contents with what a receiver checks them against. */
export interface ServedFile {
  readonly contents: FileContents;
  /** Hexadecimal; empty when not known. */
  readonly digest: string;
  /** 0 for files that are not made by tasks. */
  readonly generation: number;
}

/** What a file store is made of. */
export interface FileStoreOptions {
  /** Part of the names of files that belong to this workflow alone. */
  readonly workflowId: string;
  readonly push: (event: ManagerEvent) => void;
  /** Has the core bring the contents of a file here; rejects when they cannot be had. */
  readonly request: (id: FileId) => Promise<void>;
  /** Has the core remove copies at workers; rejects when they must stay. */
  readonly prune: (id: FileId) => Promise<void>;
  /** How many workers have the file. */
  readonly countReplicas: (id: FileId) => number;
}

/** How a file is declared; `FileEntry` has the meanings. */
export interface FileSpec {
  readonly source: FileSource;
  readonly level: CacheLevel;
  readonly peerTransfer: boolean;
  readonly mode?: number | undefined;
  readonly pathName?: string | undefined;
  readonly replicas?: number | undefined;
  readonly isReleasedByUse?: boolean;
  readonly path?: string;
  /** See `LocalOptions.unlinkWhenDone`. */
  readonly isUnlinkedWhenDone?: boolean;
}

/** The table of declared files. */
export class FileStore implements FileReader {
  readonly #options: FileStoreOptions;
  readonly #entries: Map<FileId, FileEntry> = new Map();
  /** Of two files of one name the later: they have the same contents. */
  readonly #byName: Map<CacheName, FileEntry> = new Map();
  readonly #handles: WeakMap<FileHandle, FileEntry> = new WeakMap();
  readonly #bindQueue: BindQueue = new BindQueue(BINDINGS_MAX);
  /** Others need not wait until a server answers. */
  readonly #urlQueue: BindQueue = new BindQueue(URL_BINDINGS_MAX);
  readonly #paths: PathUse = new PathUse();
  readonly #closing: AbortController = new AbortController();
  readonly #salt: Uint8Array = randomBytes(16);
  #lastId = 0;
  #isClosed = false;

  constructor(options: FileStoreOptions) {
    this.#options = options;
  }

  /** Adds a file; the core hears of it when a task first uses it. */
  declare(spec: FileSpec): FileHandle {
    this.#lastId += 1;
    const id = this.#lastId as FileId;
    const entry = newEntry(id, spec);
    this.#entries.set(id, entry);
    if (spec.path !== undefined) this.#paths.add(spec.path, spec.isUnlinkedWhenDone ?? false);
    const handle = new FileHandle(id, spec.source.kind, this);
    this.#handles.set(handle, entry);
    return handle;
  }

  /** Adds the file that the value of a call is, of which the core knows already. */
  adoptValue(taskId: TaskId, { name, sizeBytes, digest }: FileFacts): FileHandle {
    const id = valueFileId(taskId);
    const bound = { name, sizeBytes, digest, isDirectory: false, isExecutable: false };
    const source = { kind: "temp" } as const;
    const spec = { source, level: "workflow", peerTransfer: true } as const;
    const entry: FileEntry = { ...newEntry(id, spec), role: "output", bound };
    this.#entries.set(id, entry);
    this.#byName.set(name, entry);
    const handle = new FileHandle(id, "temp", this);
    this.#handles.set(handle, entry);
    return handle;
  }

  /**
   * The entry of a handle of this manager.
   *
   * @throws {TypeError} When `value` is no such handle, or was undeclared; names `what`.
   */
  entryOf(value: unknown, what: string): FileEntry {
    if (!(value instanceof FileHandle)) {
      throw new TypeError(
        `Cannot take ${what} "${String(value)}" as a file: declare it with manager.file() first`,
      );
    }
    const entry = this.#handles.get(value);
    if (entry === undefined) {
      throw new TypeError(`Cannot take ${what} as a file of this manager: it is of another one`);
    }
    if (entry.isUndeclared) {
      throw new TypeError(`Cannot take ${what} as a file: it was undeclared`);
    }
    return entry;
  }

  /** The entry of that id, if it is still known. */
  get(id: FileId): FileEntry | undefined {
    return this.#entries.get(id);
  }

  /** All that are known, by id: values of calls come last, whichever came first. */
  entries(): Iterable<FileEntry> {
    return [...this.#entries.values()].sort((a, b) => a.id - b.id);
  }

  /** The entry of that name, if it is still known. */
  byName(name: CacheName): FileEntry | undefined {
    return this.#byName.get(name);
  }

  /** Throws unless a new task may have `entry` as an input. */
  checkInput(entry: FileEntry, what: string): void {
    const { source } = entry;
    if (source.kind === "mini_task") {
      const part = source.recipe.kind === "command" ? "an input" : "the archive";
      for (const input of source.inputs) {
        if (input.isUndeclared && entry.role === "unused") {
          throw new TypeError(`Cannot take ${what} as an input: ${part} of it was undeclared`);
        }
        this.checkInput(input, `${part} of ${what}`);
      }
    }
    if (source.kind === "buffer" && source.bytes === undefined && entry.role !== "output") {
      throw new TypeError(
        `Cannot take ${what} as an input: the buffer has no contents and no task makes it`,
      );
    }
    if (source.kind === "temp" && entry.role !== "output") {
      throw new TypeError(`Cannot take ${what} as an input: no task makes the temp file`);
    }
  }

  /** Throws unless a new task may make `entry`. */
  checkOutput(entry: FileEntry, what: string): void {
    const { source } = entry;
    if (source.kind === "url" && source.sha256 !== "") {
      throw new TypeError(
        `Cannot take ${what} as an output: its sha256 is stated before a task makes it`,
      );
    }
    const isGiven = ["mini_task", "upload", "kept"].includes(source.kind) ||
      (source.kind === "buffer" && source.bytes !== undefined);
    if (isGiven) {
      throw new TypeError(`Cannot take ${what} as an output: it has contents already`);
    }
    if (entry.role === "input") {
      throw new TypeError(
        `Cannot take ${what} as an output: it is the input of a task; declare another file`,
      );
    }
    if (entry.producer !== undefined) {
      throw new TypeError(`Cannot take ${what} as an output: task ${entry.producer} makes it`);
    }
  }

  /** Tells the core of a file that a task reads, and starts to find its name. */
  useAsInput(entry: FileEntry): void {
    if (entry.role !== "unused") return;
    const { source } = entry;
    if (source.kind === "mini_task") { for (const input of source.inputs) this.useAsInput(input); }
    entry.role = "input";
    this.#tellDeclared(entry);
    if (source.kind === "buffer" && source.bytes instanceof Uint8Array) {
      this.#bind(entry, bindBytes(source.bytes));
    } else if (source.kind === "kept") {
      this.#bind(entry, source.bound);
    } else if (source.kind === "mini_task") {
      this.#whenAllSettled(source.inputs, () => this.#enqueue(entry));
    } else if (source.kind === "upload") {
      // Not in the queue: others need not wait until a client has sent its contents.
      this.#find(entry, source.arrival);
    } else {
      this.#enqueue(entry);
    }
  }

  /** Tells the core of a file that task `producer` makes; its name is known at once. */
  useAsOutput(entry: FileEntry, producer: TaskId): void {
    entry.producer = producer;
    if (entry.role === "output") return;
    entry.role = "output";
    entry.bound = {
      name: `temp-${this.#options.workflowId}-${entry.id}` as CacheName,
      sizeBytes: -1,
      digest: "",
      isDirectory: false,
      isExecutable: false,
    };
    this.#byName.set(entry.bound.name, entry);
    this.#tellDeclared(entry);
  }

  /** Calls `listener` once the name of `entry` is known or it failed; at once if it is. */
  #whenSettled(entry: FileEntry, listener: () => void): void {
    if (entry.bound !== undefined || entry.failure !== undefined) listener();
    else entry.onSettled.push(listener);
  }

  #whenAllSettled(entries: readonly FileEntry[], listener: () => void): void {
    let left = entries.length;
    if (left === 0) return listener();
    const settled = () => {
      left -= 1;
      if (left === 0) listener();
    };
    for (const entry of entries) this.#whenSettled(entry, settled);
  }

  /** Gives a file up; cached copies go when no task needs them. */
  async undeclare(entry: FileEntry): Promise<void> {
    entry.isUndeclared = true;
    if (entry.role === "unused") {
      this.#entries.delete(entry.id);
      return await this.#removePlace(entry);
    }
    // The entry stays until the core forgets the file: pending tasks, or lost temps that are
    // remade, may need it yet. A copy of it goes when the core says so.
    this.#options.push({ kind: "file_undeclared", fileId: entry.id });
  }

  /** Has copies of the file brought to that many workers, and kept there. */
  replicate(entry: FileEntry, count: number): void {
    if (entry.source.kind === "mini_task") {
      throw new TypeError(
        `Cannot replicate file ${entry.id}: each worker that needs it makes its own`,
      );
    }
    entry.replicas = count;
    // The core hears of a temp, or another output, when a task makes it.
    const { source } = entry;
    const isOutput = source.kind === "temp" ||
      (source.kind === "buffer" && source.bytes === undefined);
    if (entry.role === "unused" && isOutput) return;
    if (entry.role === "unused") return this.useAsInput(entry);
    this.#options.push({ kind: "file_replicated", fileId: entry.id, count });
  }

  /** Removes the copies of the file at workers, as nothing needs them for now. */
  async prune(entry: FileEntry): Promise<void> {
    if (entry.role !== "unused") await this.#options.prune(entry.id);
  }

  /** See `FileHandle.replicaCount`. */
  replicaCountOf(id: FileId): number {
    return this.#options.countReplicas(id);
  }

  /** See `FileHandle[Symbol.dispose]`. */
  release(id: FileId): void {
    const entry = this.#entries.get(id);
    if (entry === undefined || entry.isUndeclared) return;
    this.undeclare(entry).catch(() => {
      // A copy that cannot be removed is in the spool, which goes with the manager.
    });
  }

  /** Removes the copy of a file that lives at workers, if it is of that making. */
  async unspool(id: FileId, generation: number): Promise<void> {
    const entry = this.#entries.get(id);
    if (entry?.place?.generation === generation) await this.#removePlace(entry);
  }

  /** Lets go of a file that the core has forgotten. */
  async forget(id: FileId): Promise<void> {
    const entry = this.#entries.get(id);
    if (entry === undefined || !entry.isUndeclared) return;
    this.#entries.delete(id);
    const name = entry.bound?.name;
    if (name !== undefined && this.#byName.get(name) === entry) this.#byName.delete(name);
    await this.#removePlace(entry);
  }

  /** Contents at a local path are the user's, who may have said that they are done with then. */
  async #removePlace(entry: FileEntry): Promise<void> {
    const { path: local } = entry;
    const isDone = !this.#entries.has(entry.id) && local !== undefined;
    if (isDone && this.#paths.drop(local)) await unlinkDone(local);
    if (entry.source.kind === "local") return;
    if (entry.seenPath !== undefined) await rm(entry.seenPath, { force: true });
    if (entry.place === undefined) return;
    const { path } = entry.place;
    entry.place = undefined;
    await rm(path, { recursive: true, force: true });
  }

  /** Notes that contents of `entry` are in place at the manager; those of before go. */
  async setPlace(entry: FileEntry, place: FilePlace): Promise<void> {
    const before = entry.place;
    entry.place = place;
    if (before === undefined || before.path === place.path || entry.source.kind === "local") return;
    await rm(before.path, { recursive: true, force: true }).catch(() => {
      // It is in the spool, which goes with the manager.
    });
  }

  /**
   * What can be served of `entry` now.
   *
   * @throws {FileMissingError} When a local file is not what it was, after telling the core.
   */
  async openContents(entry: FileEntry): Promise<ServedFile | undefined> {
    const { source, place, bound } = entry;
    if (place !== undefined) {
      return {
        contents: { kind: "path", ...place },
        digest: place.digest,
        generation: place.generation,
      };
    }
    if (bound === undefined || entry.role !== "input") return undefined;
    const { digest } = bound;
    if (source.kind === "buffer") {
      const bytes = await source.bytes;
      return bytes && { contents: { kind: "bytes", bytes }, digest, generation: 0 };
    }
    if (source.kind !== "local") return undefined;
    await this.#checkUnchanged(entry, source.path);
    const { sizeBytes, isDirectory } = bound;
    const contents: FileContents = { kind: "path", path: source.path, sizeBytes, isDirectory };
    return { contents, digest, generation: 0 };
  }

  /** See `FileHandle.cacheName` and `FileHandle.size`. */
  boundOf(id: FileId): BoundFile | undefined {
    const entry = this.#entries.get(id);
    if (entry?.bound === undefined) return undefined;
    return { ...entry.bound, sizeBytes: entry.place?.sizeBytes ?? entry.bound.sizeBytes };
  }

  /** See `FileHandle.contents`. */
  async contents(id: FileId): Promise<Uint8Array> {
    const entry = this.#entries.get(id);
    if (entry === undefined) throw new Error(`Cannot read file ${id}: it was undeclared`);
    const { source } = entry;
    if (source.kind === "buffer" && source.bytes !== undefined) return await source.bytes;
    const path = await this.bring(entry);
    return await readFile(path);
  }

  /** See `FileHandle.seen`. */
  async seen(id: FileId): Promise<Uint8Array> {
    const entry = this.#entries.get(id);
    const path = entry?.place?.path ?? entry?.seenPath;
    if (path === undefined) throw new Error(`Cannot see file ${id}: no task has it as watched`);
    try {
      return await readFile(path);
    } catch (error) {
      // No try has started.
      if (error instanceof Error && "code" in error && error.code === "ENOENT") {
        return new Uint8Array();
      }
      throw error;
    }
  }

  /** Path of the contents on this machine, brought here where they are not. */
  async bring(entry: FileEntry): Promise<string> {
    const { source } = entry;
    if (source.kind === "local" && entry.role !== "output") return source.path;
    if (source.kind === "mini_task" && source.recipe.kind === "environment") {
      throw new Error(`Cannot fetch file ${entry.id}: an environment is of no use elsewhere`);
    }
    if (entry.role === "unused") {
      if (source.kind === "url" || source.kind === "mini_task") {
        throw new Error(`Cannot fetch file ${entry.id}: no task has used it, so no worker has it`);
      }
      throw new Error(`Cannot fetch file ${entry.id}: no task makes it`);
    }
    if (entry.place === undefined || entry.place.isPassing) await this.#options.request(entry.id);
    const { place } = entry;
    if (place === undefined) throw new Error(`Cannot fetch file ${entry.id}: it did not arrive`);
    return place.path;
  }

  /**
   * What the contents are, once they can be served from here.
   *
   * @throws {Error} When they cannot be had.
   */
  async offer(entry: FileEntry): Promise<FileFacts> {
    const { source } = entry;
    const isHere = source.kind === "local" || source.kind === "upload" ||
      (source.kind === "buffer" && source.bytes !== undefined);
    if (isHere && entry.role !== "output") await this.#nameInput(entry);
    else await this.bring(entry);
    const served = await this.openContents(entry);
    if (served === undefined || entry.bound === undefined) {
      throw new Error(entry.failure ?? `Cannot fetch file ${entry.id}: it did not arrive`);
    }
    const { contents, digest, generation } = served;
    const isBytes = contents.kind === "bytes";
    return {
      name: entry.bound.name,
      generation,
      sizeBytes: isBytes ? contents.bytes.length : contents.sizeBytes,
      digest,
      isDirectory: !isBytes && contents.isDirectory,
    };
  }

  async #nameInput(entry: FileEntry): Promise<void> {
    this.useAsInput(entry);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#whenSettled(entry, resolve);
    await promise;
  }

  /** Ends the naming of files. */
  close(): void {
    this.#isClosed = true;
    this.#bindQueue.close();
    this.#urlQueue.close();
    this.#closing.abort(new Error("the manager is closing"));
  }

  /** Removes what was to be removed when its user is done with it: all files are given up. */
  async unlinkAll(): Promise<void> {
    for (const path of this.#paths.dropAll()) await unlinkDone(path);
  }

  #tellDeclared(entry: FileEntry): void {
    const { id, level, peerTransfer, bound, replicas, isReleasedByUse } = entry;
    this.#options.push({
      kind: "file_declared",
      fileId: id,
      origin: originOf(entry),
      level,
      peerTransfer,
      ...(bound === undefined ? {} : { bound }),
      ...(replicas === undefined ? {} : { replicas }),
      ...(isReleasedByUse ? { isReleasedByUse } : {}),
    });
  }

  #enqueue(entry: FileEntry): void {
    const queue = entry.source.kind === "url" ? this.#urlQueue : this.#bindQueue;
    queue.add(() => this.#find(entry, this.#findName(entry)));
  }

  async #find(entry: FileEntry, name: Promise<BoundFile>): Promise<void> {
    let bound: BoundFile;
    try {
      bound = await name;
    } catch (error) {
      return this.fail(entry, "input_missing", messageOf(error));
    }
    this.#bind(entry, bound);
  }

  async #findName(entry: FileEntry): Promise<BoundFile> {
    const { source, level } = entry;
    switch (source.kind) {
      case "local": {
        const { bound, stamp } = await bindLocal(source.path, level);
        entry.stamp = stamp;
        return bound;
      }
      case "url":
        return await this.#findUrlName(entry, source);
      case "buffer":
        return bindBytes(await source.bytes ?? new Uint8Array());
      case "upload":
        return await source.arrival;
      case "kept":
        return source.bound;
      case "mini_task":
        return bindRecipe(source, { level, workflowId: this.#options.workflowId });
      case "temp":
        throw new FileMissingError(`Cannot name temp file ${entry.id}: no task makes it`);
      default:
        return unreachable(source);
    }
  }

  async #findUrlName(
    { id, level, mode = 0 }: FileEntry,
    { url, sha256, isFresh = false }: Extract<FileSource, { kind: "url" }>,
  ): Promise<BoundFile> {
    return await bindUrl({
      url,
      sha256,
      level,
      isExecutable: (mode & OWNER_EXECUTES) !== 0,
      // Under a name of its own nothing that is there is taken for it.
      workflowId: isFresh ? `${this.#options.workflowId}-${id}` : this.#options.workflowId,
      salt: this.#salt,
      signal: this.#closing.signal,
    });
  }

  #bind(entry: FileEntry, bound: BoundFile): void {
    // Nobody has needed it since.
    if (this.#isClosed || !this.#entries.has(entry.id)) return;
    entry.bound = bound;
    // Of a kept file there is nothing here: another one of its name may have contents.
    if (entry.source.kind !== "kept" || !this.#byName.has(bound.name)) {
      this.#byName.set(bound.name, entry);
    }
    this.#options.push({ kind: "file_bound", fileId: entry.id, bound });
    this.#tellSettled(entry);
  }

  /** Tells the core that `entry` cannot be had, and why. */
  fail(entry: FileEntry, outcome: "input_missing" | "input_modified", message: string): void {
    if (this.#isClosed || entry.failure !== undefined) return;
    entry.failure = message;
    this.#options.push({ kind: "file_failed", fileId: entry.id, outcome, message });
    this.#tellSettled(entry);
  }

  #tellSettled(entry: FileEntry): void {
    const listeners = entry.onSettled;
    entry.onSettled = [];
    for (const listener of listeners) listener();
  }

  async #checkUnchanged(entry: FileEntry, path: string): Promise<void> {
    let reason = "it changed since it was declared";
    try {
      const { stamp } = entry;
      if (stamp !== undefined && isSameStamp(stamp, await stampOf(path))) return;
    } catch (error) {
      reason = messageOf(error);
    }
    const message = `Cannot serve file "${path}": ${reason}`;
    this.fail(entry, "input_modified", message);
    throw new FileMissingError(message);
  }
}

/** Removes what its user is done with; what cannot be removed is told, and stays. */
async function unlinkDone(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true }).catch((error: unknown) => {
    tell(`Cannot unlink file "${path}": ${messageOf(error)}`);
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
