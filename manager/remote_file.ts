/** Files that a client declares: what a script holds of them, and how they come to be known. */

import process from "node:process";

import { resolve } from "@std/path";

import { unreachable } from "../shared/assert.ts";
import type { FileId } from "../shared/ids.ts";
import type { CacheLevel } from "../shared/task.ts";
import type { AnswerTo, ClientConnection } from "./client.ts";
import type { ClientFile, FileTicket } from "./client_protocol.ts";
import {
  bytesContents,
  type Contents,
  pathContents,
  readContents,
  saveContents,
  sendContents,
} from "./client_transfer.ts";
import type { FileKind } from "./file_entry.ts";

/** What a handle asks its manager for. */
interface RemoteReader {
  contents(file: RemoteFile): Promise<Uint8Array>;
}

/** A file of a manager elsewhere: pass it to tasks, or ask for its contents. */
export class RemoteFile {
  /** What it was declared as. */
  readonly kind: FileKind;
  readonly #reader: RemoteReader;

  /** Handles are made by the `file`, `url`, `buffer`, `temp` and their like of a remote manager. */
  constructor(kind: FileKind, reader: RemoteReader) {
    this.kind = kind;
    this.#reader = reader;
  }

  /**
   * The contents, brought here by way of the manager.
   *
   * @throws {Error} When they cannot be had, or the file is a directory.
   */
  contents(): Promise<Uint8Array> {
    return this.#reader.contents(this);
  }

  /** The contents as UTF-8 text; see `contents`. */
  async text(): Promise<string> {
    return new TextDecoder().decode(await this.contents());
  }
}

/** Where the contents of a declared file come from, or go. */
export type RemoteSource =
  | { readonly kind: "local"; readonly path: string }
  | { readonly kind: "url"; readonly url: string; readonly sha256: string }
  | {
    readonly kind: "temp";
    readonly replicas: number | undefined;
    readonly isReleasedByUse: boolean;
  }
  | { readonly kind: "buffer"; readonly bytes: Uint8Array | undefined }
  /** Declares what it is made of, and gives what the manager is told. */
  | { readonly kind: "mini_task"; readonly toClientFile: () => Promise<ClientFile> };

/** How a file is declared. */
export interface RemoteFileSpec {
  readonly source: RemoteSource;
  readonly level: CacheLevel;
  readonly mode: number | undefined;
  readonly peerTransfer: boolean;
}

interface Entry extends RemoteFileSpec {
  /** Once it is used: the first use decides what a path stands for. */
  id: Promise<FileId> | undefined;
  /** A path of this host where the manager cannot write: it is brought here. */
  isBrought: boolean;
  isUndeclared: boolean;
}

/** The files of one client. */
export class RemoteFiles {
  readonly #connection: ClientConnection;
  /** True when paths of this host are paths of the manager. */
  readonly #isLocal: boolean;
  readonly #entries: WeakMap<RemoteFile, Entry> = new WeakMap();

  constructor(connection: ClientConnection, isLocal: boolean) {
    this.#connection = connection;
    this.#isLocal = isLocal;
  }

  /** Makes a handle; the manager hears of it when it is used. */
  declare(spec: RemoteFileSpec): RemoteFile {
    const file = new RemoteFile(spec.source.kind, this);
    const entry = { ...spec, id: undefined, isBrought: false, isUndeclared: false };
    this.#entries.set(file, entry);
    return file;
  }

  /** Throws TypeError for what is no file of this manager. */
  check(file: unknown, what: string): RemoteFile {
    const entry = file instanceof RemoteFile ? this.#entries.get(file) : undefined;
    if (entry === undefined || !(file instanceof RemoteFile)) {
      throw new TypeError(`Cannot take ${what} as a file: it is no file of this remote manager`);
    }
    if (entry.isUndeclared) throw new TypeError(`Cannot take ${what}: it was undeclared`);
    return file;
  }

  /** The number of an input, whose contents the manager has, or knows where to have. */
  input(file: RemoteFile): Promise<FileId> {
    return this.#declared(file, "input");
  }

  /** The number of an output. */
  output(file: RemoteFile): Promise<FileId> {
    return this.#declared(file, "output");
  }

  /** Brings an output to its path on this host, if that is not the manager's to do. */
  async deliver(file: RemoteFile): Promise<void> {
    const { source, isBrought } = this.#entryOf(file);
    if (isBrought && source.kind === "local") await this.save(file, source.path);
  }

  /** Brings the contents to `path`; returns where they are. */
  async save(file: RemoteFile, path: string): Promise<string> {
    const entry = this.#entryOf(file);
    const target = resolve(process.cwd(), path);
    const ticket = await this.#fetch(file);
    await saveContents(this.#connection, ticket, { path: target, mode: entry.mode });
    return target;
  }

  /** See `RemoteFile`. */
  async contents(file: RemoteFile): Promise<Uint8Array> {
    const ticket = await this.#fetch(file);
    if (!ticket.isDirectory) return await readContents(this.#connection, ticket);
    throw new Error("Cannot read the contents of a directory: fetch it to a path");
  }

  /** Has that many copies kept at workers. */
  async replicate(file: RemoteFile, count: number): Promise<void> {
    const fileId = await this.#declared(file, "input");
    await this.#connection.ask({ kind: "replicate", fileId, count });
  }

  /** Has the copies removed from the workers. */
  async prune(file: RemoteFile): Promise<void> {
    const { id } = this.#entryOf(file);
    // Of what was never used there are none.
    if (id !== undefined) await this.#connection.ask({ kind: "prune", fileId: await id });
  }

  /** Gives the file up. */
  async undeclare(file: RemoteFile): Promise<void> {
    const entry = this.#entryOf(file);
    entry.isUndeclared = true;
    if (entry.id === undefined) return;
    await this.#connection.ask({ kind: "undeclare", fileId: await entry.id });
  }

  #entryOf(file: RemoteFile): Entry {
    const entry = this.#entries.get(this.check(file, "file"));
    if (entry === undefined) throw new TypeError("Cannot take file: it is of another manager");
    return entry;
  }

  async #fetch(file: RemoteFile): Promise<FileTicket> {
    const fileId = await this.#declared(file, "input");
    return (await this.#connection.ask({ kind: "fetch", fileId })).file;
  }

  /** The first use decides what is declared; a use that failed may be tried again. */
  #declared(file: RemoteFile, role: "input" | "output"): Promise<FileId> {
    const entry = this.#entryOf(file);
    if (entry.id !== undefined) return entry.id;
    const id = this.#tell(entry, role);
    entry.id = id;
    id.catch(() => {
      // Who asked hears of it.
      entry.id = undefined;
    });
    return id;
  }

  async #tell(entry: Entry, role: "input" | "output"): Promise<FileId> {
    const { source } = entry;
    switch (source.kind) {
      case "local":
        return await this.#tellPath(entry, { path: source.path, role });
      case "buffer":
        if (source.bytes !== undefined) return await this.#send(entry, bytesContents(source.bytes));
        return await this.#ask(entry, { kind: "buffer" });
      case "temp":
        return await this.#ask(entry, {
          kind: "temp",
          ...(source.replicas === undefined ? {} : { replicas: source.replicas }),
          ...(source.isReleasedByUse ? { isReleasedByUse: true } : {}),
        });
      case "url":
        return await this.#tellUrl(entry, source);
      case "mini_task":
        return await this.#ask(entry, await source.toClientFile());
      default:
        return unreachable(source);
    }
  }

  async #tellUrl(
    entry: Entry,
    { url, sha256 }: Extract<RemoteSource, { kind: "url" }>,
  ): Promise<FileId> {
    return await this.#ask(entry, { kind: "url", url, ...(sha256 === "" ? {} : { sha256 }) });
  }

  async #tellPath(
    entry: Entry,
    { path, role }: { readonly path: string; readonly role: "input" | "output" },
  ): Promise<FileId> {
    if (this.#isLocal) return await this.#ask(entry, { kind: "local", path });
    if (role === "input") return await this.#send(entry, await pathContents(path));
    entry.isBrought = true;
    return await this.#ask(entry, { kind: "buffer" });
  }

  async #ask(entry: Entry, file: ClientFile): Promise<FileId> {
    return (await this.#declare(entry, file)).fileId;
  }

  /** Declares what this client has, and sends it unless the manager has it already. */
  async #send(entry: Entry, contents: Contents): Promise<FileId> {
    const { sizeBytes, digest, isDirectory, isExecutable } = contents;
    const file: ClientFile = { kind: "upload", sizeBytes, digest, isDirectory, isExecutable };
    const { fileId, upload } = await this.#declare(entry, file);
    try {
      if (upload !== undefined) await sendContents(this.#connection, upload, contents);
      return fileId;
    } catch (error) {
      // The manager need not wait for what does not come; it forgets files of clients in any case.
      this.#connection.ask({ kind: "undeclare", fileId }).catch(() => {});
      throw error;
    }
  }

  async #declare(
    { level, mode, peerTransfer }: Entry,
    file: ClientFile,
  ): Promise<AnswerTo<"declare">> {
    return await this.#connection.ask({
      kind: "declare",
      file,
      level,
      ...(mode === undefined ? {} : { mode }),
      peerTransfer,
    });
  }
}
