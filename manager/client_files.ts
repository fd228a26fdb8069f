/**
 * Files that clients declare. They belong to the client: some minutes after its last connection
 * has closed they are given up, so that a client which died leaves nothing behind for ever.
 *
 * Contents that a client sends come by `PUT` with a ticket. Tasks that have them wait; when they
 * do not come in time the file fails, and with it the tasks.
 *
 * @module
 */

import { isAbsolute } from "@std/path";

import { assert } from "../shared/assert.ts";
import type { CacheName, FileId } from "../shared/ids.ts";
import type { FileFacts } from "../shared/task.ts";
import type { Asker } from "./client_link.ts";
import { miniOptionsOf } from "./client_options.ts";
import type { ClientAnswer, ClientFile, ClientRequest, FileTicket } from "./client_protocol.ts";
import type { BoundFile } from "./core/event.ts";
import type { DeliveryDesk } from "./delivery.ts";
import { hashText } from "./file_binding.ts";
import type { FileEntry } from "./file_entry.ts";
import type { FileHandle } from "./file_handle.ts";
import {
  bufferSpec,
  type FileOptions,
  localSpec,
  replicaCount,
  tempSpec,
  uploadSpec,
  urlSpec,
} from "./file_options.ts";
import { miniTaskSpec, recipeSpec } from "./mini_task.ts";
import type { FileSpec, FileStore } from "./file_store.ts";
import type { Tickets } from "./tickets.ts";

/** A client that is gone for this long does not come back: its files are given up. */
export const CLIENT_GRACE_MS: number = 10 * 60_000;

/** Contents that nobody has begun to send after this long will not come. */
export const UPLOAD_WAIT_MS: number = 10 * 60_000;

/** Files of all clients. */
const FILES_MAX = 250_000;

/** Uploads that are waited for, of all clients. */
const UPLOADS_MAX = 10_000;

/** Requests for contents under way, of all clients. */
const FETCHES_MAX = 1000;

type Wish<K extends ClientRequest["kind"]> = Extract<ClientRequest, { kind: K }>;
type Upload = Extract<ClientFile, { kind: "upload" }>;

/** What the files are made of. */
export interface ClientFilesOptions {
  readonly store: FileStore;
  readonly desk: DeliveryDesk;
  readonly tickets: Tickets;
  readonly onBug: (error: unknown) => void;
  /** Default `CLIENT_GRACE_MS`. */
  readonly graceMs?: number | undefined;
  /** Default `UPLOAD_WAIT_MS`. */
  readonly uploadWaitMs?: number | undefined;
}

interface OwnedFile {
  readonly handle: FileHandle;
  readonly clientId: string;
  /** Submissions under way that have it: it is given up after them. */
  holdCount: number;
  isGivenUp: boolean;
}

interface Owner {
  connectionCount: number;
  readonly fileIds: Set<FileId>;
  /** Runs while it is gone. */
  goneTimer: ReturnType<typeof setTimeout> | undefined;
}

/** The files of all clients of one manager. */
export class ClientFiles {
  readonly #options: ClientFilesOptions;
  readonly #owners: Map<string, Owner> = new Map();
  readonly #files: Map<FileId, OwnedFile> = new Map();
  /** `{file: gives its upload up}`, while it is waited for. */
  readonly #uploads: Map<FileId, (message: string) => void> = new Map();
  /** `{file: its contents on their way here}`: once, however often they are asked for. */
  readonly #offers: Map<FileId, Promise<FileFacts>> = new Map();
  #fetchCount = 0;

  constructor(options: ClientFilesOptions) {
    this.#options = options;
  }

  /** A connection of the client was opened: its files stay. */
  joined(clientId: string): void {
    const owner = this.#ownerOf(clientId);
    owner.connectionCount += 1;
    clearTimeout(owner.goneTimer);
  }

  /** A connection of the client was closed. */
  left(clientId: string): void {
    const owner = this.#ownerOf(clientId);
    owner.connectionCount -= 1;
    if (owner.connectionCount > 0) return;
    if (owner.fileIds.size === 0) return void this.#owners.delete(clientId);
    owner.goneTimer = setTimeout(() => {
      this.#owners.delete(clientId);
      for (const fileId of owner.fileIds) this.#giveUp(fileId);
    }, this.#options.graceMs ?? CLIENT_GRACE_MS);
    owner.goneTimer.unref?.();
  }

  /** Declares a file; throws when it cannot be one. */
  declare(wish: Wish<"declare">, asker: Asker): ClientAnswer {
    const { requestId, file, level, mode } = wish;
    const { peerTransfer = file.kind !== "mini_task" } = wish;
    if (this.#files.size >= FILES_MAX) {
      throw new Error(`Cannot declare a file: clients have ${FILES_MAX} already`);
    }
    const options = { cache: level, peerTransfer, ...(mode === undefined ? {} : { mode }) };
    if (file.kind === "upload") {
      const { fileId, upload } = this.#expect(file, { options, asker });
      return { kind: "declared", requestId, fileId, upload };
    }
    const { id: fileId } = this.#keep(this.#specOf(file, options), asker);
    return { kind: "declared", requestId, fileId };
  }

  /** Gives a file of this client up. */
  undeclare({ requestId, fileId }: Wish<"undeclare">, asker: Asker): ClientAnswer {
    if (this.#find(fileId).clientId !== asker.clientId) {
      throw new TypeError(`Cannot undeclare file ${fileId}: it is another client's`);
    }
    this.#giveUp(fileId);
    return { kind: "done", requestId };
  }

  /** Has that many copies made and kept. */
  replicate({ requestId, fileId, count }: Wish<"replicate">): ClientAnswer {
    const { store } = this.#options;
    const copyCount = replicaCount(count, "count of replicate");
    store.replicate(store.entryOf(this.#find(fileId).handle, `file ${fileId}`), copyCount);
    return { kind: "done", requestId };
  }

  /** Removes copies; fails when something waits for the file, or it could not be had again. */
  async prune({ requestId, fileId }: Wish<"prune">): Promise<ClientAnswer> {
    const { store } = this.#options;
    await store.prune(store.entryOf(this.#find(fileId).handle, `file ${fileId}`));
    return { kind: "done", requestId };
  }

  /** Brings contents to the manager and says how to get them from there. */
  async fetch({ requestId, fileId }: Wish<"fetch">, asker: Asker): Promise<ClientAnswer> {
    const { store, tickets } = this.#options;
    const entry = store.entryOf(this.#find(fileId).handle, `file ${fileId}`);
    if (this.#fetchCount >= FETCHES_MAX) {
      throw new Error(`Cannot fetch file ${fileId}: ${FETCHES_MAX} are fetched already`);
    }
    this.#fetchCount += 1;
    try {
      const facts = await whileAsked(this.#offer(entry), asker.signal);
      const { name, sizeBytes, digest, isDirectory } = facts;
      const ticket = tickets.get(facts, { from: "manager", to: partyOf(asker.clientId) });
      const file: FileTicket = { name, ticket, sizeBytes, digest, isDirectory };
      return { kind: "fetched", requestId, file };
    } finally {
      this.#fetchCount -= 1;
    }
  }

  #offer(entry: FileEntry): Promise<FileFacts> {
    const known = this.#offers.get(entry.id);
    if (known !== undefined) return known;
    const offer = this.#options.store.offer(entry);
    this.#offers.set(entry.id, offer);
    const forget = (): void => void this.#offers.delete(entry.id);
    offer.then(forget, forget);
    return offer;
  }

  /** The handle of a file that a client declared, to be used in a task. */
  handleOf(fileId: FileId): FileHandle {
    return this.#find(fileId).handle;
  }

  /** Keeps files from being given up until the returned function is called. */
  hold(fileIds: Iterable<FileId>): () => void {
    const held = [...fileIds].map((fileId) => ({ fileId, file: this.#find(fileId) }));
    for (const { file } of held) file.holdCount += 1;
    return () => {
      for (const { fileId, file } of held) {
        file.holdCount -= 1;
        if (file.isGivenUp && file.holdCount === 0) this.#undeclare(fileId, file);
      }
    };
  }

  /** Waits for nothing any more. */
  close(): void {
    for (const { goneTimer } of this.#owners.values()) clearTimeout(goneTimer);
    for (const giveUp of [...this.#uploads.values()]) giveUp("the manager is closing");
  }

  #specOf(file: Exclude<ClientFile, Upload>, options: FileOptions): FileSpec {
    switch (file.kind) {
      case "local":
        if (isAbsolute(file.path)) return localSpec(file.path, options);
        throw new TypeError(`Cannot declare "${file.path}" as a file: expected an absolute path`);
      case "buffer":
        return bufferSpec(undefined, options);
      case "temp":
        return tempSpec({
          ...options,
          ...(file.replicas === undefined ? {} : { replicas: file.replicas }),
          release: file.isReleasedByUse === true ? "auto" : "manual",
        });
      case "url":
        if (file.sha256 === undefined) return urlSpec(file.url, options);
        return urlSpec(file.url, { ...options, sha256: file.sha256 });
      case "unpack":
      case "environment": {
        const { handle } = this.#find(file.archive);
        const archive = this.#options.store.entryOf(handle, "archive");
        return recipeSpec(file.kind, archive, options);
      }
      case "mini_task": {
        const task = { options: miniOptionsOf(file.task, this), mount: file.mount };
        return miniTaskSpec(task, options, this.#options.store);
      }
    }
  }

  #keep(spec: FileSpec, { clientId }: Asker): FileHandle {
    const handle = this.#options.store.declare(spec);
    this.#files.set(handle.id, { handle, clientId, holdCount: 0, isGivenUp: false });
    this.#ownerOf(clientId).fileIds.add(handle.id);
    return handle;
  }

  /** Declares contents that are to come by PUT, and waits for them. */
  #expect(
    file: Upload,
    { options, asker }: { readonly options: FileOptions; readonly asker: Asker },
  ): { readonly fileId: FileId; readonly upload: FileTicket } {
    if (this.#uploads.size >= UPLOADS_MAX) {
      throw new Error(`Cannot take an upload: ${UPLOADS_MAX} are waited for already`);
    }
    const { store, desk, tickets, uploadWaitMs = UPLOAD_WAIT_MS } = this.#options;
    const { promise, resolve, reject } = Promise.withResolvers<BoundFile>();
    // Whoever uses the file hears of a failure; until then nobody does.
    promise.catch(() => {});
    const { sizeBytes, digest, isDirectory, isExecutable } = file;
    const bound: BoundFile = { name: nameOf(file), sizeBytes, digest, isDirectory, isExecutable };
    const { id: fileId } = this.#keep(uploadSpec(promise, options), asker);
    const entry = store.get(fileId);
    assert(entry, `File ${fileId} must be declared`);
    const from = partyOf(asker.clientId);
    const facts: FileFacts = { ...bound, generation: 0 };
    let timer: ReturnType<typeof setTimeout> | undefined;
    const end = (message: string): void => {
      clearTimeout(timer);
      if (!this.#uploads.delete(fileId)) return;
      if (message === "") resolve(bound);
      else reject(new Error(`Cannot have the contents of file ${fileId}: ${message}`));
    };
    const upload = desk.receive({ entry, file: facts, from, onEnd: end });
    const giveUp = (message: string): void => {
      upload.abandon();
      end(message);
    };
    this.#uploads.set(fileId, giveUp);
    const look = (): void => {
      if (upload.isReceiving()) timer = setTimeout(look, uploadWaitMs);
      else giveUp(`its client has not sent them within ${uploadWaitMs} ms`);
    };
    timer = setTimeout(look, uploadWaitMs);
    const { name } = bound;
    const ticket = tickets.put({ name, generation: fileId, sizeBytes, digest }, from);
    return { fileId, upload: { name, ticket, sizeBytes, digest, isDirectory } };
  }

  #giveUp(fileId: FileId): void {
    const file = this.#files.get(fileId);
    if (file === undefined) return;
    this.#files.delete(fileId);
    this.#owners.get(file.clientId)?.fileIds.delete(fileId);
    this.#uploads.get(fileId)?.("its client went away");
    file.isGivenUp = true;
    if (file.holdCount === 0) this.#undeclare(fileId, file);
  }

  #undeclare(fileId: FileId, { handle }: OwnedFile): void {
    const { store, onBug } = this.#options;
    store.undeclare(store.entryOf(handle, `file ${fileId}`)).catch(onBug);
  }

  #find(fileId: FileId): OwnedFile {
    const file = this.#files.get(fileId);
    if (file !== undefined) return file;
    throw new TypeError(`Cannot take file ${fileId}: no client has declared it, or not any more`);
  }

  #ownerOf(clientId: string): Owner {
    let owner = this.#owners.get(clientId);
    if (owner === undefined) {
      owner = { connectionCount: 0, fileIds: new Set(), goneTimer: undefined };
      this.#owners.set(clientId, owner);
    }
    return owner;
  }
}

/** What `promise` gives, unless nobody asks any more. */
async function whileAsked<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: gone, reject } = Promise.withResolvers<never>();
  const leave = (): void => reject(new Error("Cannot answer: the client has gone"));
  signal.addEventListener("abort", leave, { once: true });
  try {
    return await Promise.race([promise, gone]);
  } finally {
    signal.removeEventListener("abort", leave);
  }
}

/** A client in a ticket. */
function partyOf(clientId: string): string {
  return `client-${clientId}`;
}

/** By the contents: what was sent before is in the workers' caches already. */
function nameOf({ digest, isDirectory, isExecutable }: Upload): CacheName {
  const name = isDirectory
    ? `tree-${hashText(digest)}`
    : `file-sha256-${digest}${isExecutable ? "-x" : ""}`;
  return name as CacheName;
}
