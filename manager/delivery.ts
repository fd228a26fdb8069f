/**
 * Contents on their way to the manager: small ones that rode in a result, larger ones that a
 * worker or a client PUTs with a ticket. Each is checked, written beside its target and renamed into place.
 */

import { createHash, randomBytes } from "node:crypto";
import { chmod, type FileHandle as OpenFile, mkdir, open, rm } from "node:fs/promises";
import process from "node:process";

import { dirname, join } from "@std/path";

import { unpackDirectory } from "./directory.ts";
import type { CacheName, FileId } from "../shared/ids.ts";
import { replace, ReplaceError } from "../shared/replace.ts";
import type { FileFacts } from "../shared/task.ts";
import type { TicketClaims } from "../shared/ticket.ts";
import type { ManagerEvent } from "./core/event.ts";
import type { ManagerInstruction } from "./core/instruction.ts";
import type { FileEntry } from "./file_entry.ts";
import type { FileStore } from "./file_store.ts";

/** A PUT that brings no bytes for this long is broken. */
const BODY_SILENCE_MS = 60_000;

/** What a desk is made of. */
export interface DeliveryOptions {
  readonly store: FileStore;
  /** Folder for contents that have no path of their own; made and removed by the manager. */
  readonly spool: string;
  readonly push: (event: ManagerEvent) => void;
}

/** An answer to a PUT: a status of HTTP and a line for the worker's log. */
export interface PutAnswer {
  readonly status: 204 | 404 | 409 | 422 | 503 | 507;
  readonly message: string;
}

/** One delivery from the instruction until it is in place, has failed, or is abandoned. */
interface Delivery {
  readonly deliveryId: number;
  readonly entry: FileEntry;
  readonly file: FileFacts;
  /** Who PUTs it, as the ticket says; absent when the contents came with the instruction. */
  source: string | undefined;
  /** That of the ticket. */
  readonly generation: number;
  /** Told of the end, with a message when it is none; by default the core is. */
  readonly onEnd?: ((message: string) => void) | undefined;
  isReceiving: boolean;
  readonly abort: AbortController;
}

/** Thrown for contents that are not what was announced. */
export class ContentsError extends Error {
  override readonly name = "ContentsError";
}

/** Thrown for contents that are others than those announced: damaged at the sender or on the way. */
class DigestError extends ContentsError {}

/** Takes deliveries in. */
export class DeliveryDesk {
  readonly #options: DeliveryOptions;
  readonly #deliveries: Map<number, Delivery> = new Map();
  /** The same by the names of their files: a PUT looks at those of its own name only. */
  readonly #byName: Map<CacheName, Set<Delivery>> = new Map();
  /** Writes under way, awaited by `close`. */
  readonly #writes: Set<Promise<unknown>> = new Set();

  constructor(options: DeliveryOptions) {
    this.#options = options;
  }

  /** Expects a PUT; asked again for one delivery, it expects it of the new worker. */
  expect(order: Extract<ManagerInstruction, { kind: "collect" }>): void {
    const { deliveryId, workerId, file, fileId } = order;
    const known = this.#deliveries.get(deliveryId);
    if (known !== undefined) {
      known.source = workerId;
      return;
    }
    this.#open({ deliveryId, fileId, file, source: workerId });
  }

  /** Expects contents that a client sends. */
  receive({ entry, file, from, onEnd }: {
    readonly entry: FileEntry;
    readonly file: FileFacts;
    readonly from: string;
    readonly onEnd: (message: string) => void;
  }): { readonly isReceiving: () => boolean; readonly abandon: () => void } {
    // The numbers of the core are above 0.
    const deliveryId = -entry.id;
    const delivery: Delivery = {
      deliveryId,
      entry,
      file,
      source: from,
      generation: entry.id,
      isReceiving: false,
      abort: new AbortController(),
      onEnd,
    };
    this.#add(delivery);
    return {
      isReceiving: () => delivery.isReceiving,
      abandon: () => this.abandon(deliveryId),
    };
  }

  /** Puts contents that came with a result in place. */
  store(order: Extract<ManagerInstruction, { kind: "store" }>): void {
    const { deliveryId, fileId, file, content } = order;
    const delivery = this.#open({ deliveryId, fileId, file, source: undefined });
    if (delivery === undefined) return;
    this.#track(this.#take(delivery, [content]));
  }

  /** Drops a delivery and what came of it. */
  abandon(deliveryId: number): void {
    const delivery = this.#deliveries.get(deliveryId);
    if (delivery !== undefined) this.#remove(delivery);
    delivery?.abort.abort(new ContentsError("Cannot deliver file: the manager gave it up"));
  }

  /** Takes the body of a PUT whose ticket holds. */
  async put(claims: TicketClaims, body: ReadableStream<Uint8Array> | null): Promise<PutAnswer> {
    const delivery = this.#find(claims);
    if (delivery === undefined) {
      if (this.#hasArrived(claims)) {
        return { status: 409, message: "Cannot take the file: it is here already" };
      }
      return { status: 404, message: "Cannot take the file: nobody waits for it" };
    }
    if (delivery.isReceiving) {
      return { status: 409, message: "Cannot take the file: it is being received already" };
    }
    return await this.#track(this.#take(delivery, body ?? []));
  }

  /** Drops all deliveries and waits until their temporary files are gone. */
  async close(): Promise<void> {
    for (const deliveryId of [...this.#deliveries.keys()]) this.abandon(deliveryId);
    await Promise.allSettled([...this.#writes]);
  }

  #open(
    order: Pick<Delivery, "deliveryId" | "file" | "source"> & { fileId: FileEntry["id"] },
  ): Delivery | undefined {
    const { deliveryId, file, source, fileId } = order;
    const entry = this.#options.store.get(fileId);
    if (entry === undefined) {
      this.#end({ deliveryId }, `Cannot deliver file ${fileId}: it was undeclared`);
      return undefined;
    }
    const abort = new AbortController();
    const { generation } = file;
    const delivery = { deliveryId, entry, file, source, generation, isReceiving: false, abort };
    this.#add(delivery);
    return delivery;
  }

  #add(delivery: Delivery): void {
    const { name } = delivery.file;
    this.#deliveries.set(delivery.deliveryId, delivery);
    const named = this.#byName.get(name) ?? new Set();
    this.#byName.set(name, named.add(delivery));
  }

  #remove(delivery: Delivery): void {
    const { name } = delivery.file;
    this.#deliveries.delete(delivery.deliveryId);
    const named = this.#byName.get(name);
    named?.delete(delivery);
    if (named?.size === 0) this.#byName.delete(name);
  }

  #find({ name, generation, source }: TicketClaims): Delivery | undefined {
    // What is no name of a file is none of the keys.
    for (const delivery of this.#byName.get(name as CacheName) ?? []) {
      if (delivery.generation === generation && delivery.source === source) return delivery;
    }
    return undefined;
  }

  /** True of contents that a client has sent before. */
  #hasArrived({ name, generation }: TicketClaims): boolean {
    // The ticket of an upload says which file it is by its generation.
    const entry = this.#options.store.get(generation as FileId);
    return entry?.source.kind === "upload" && entry.place !== undefined &&
      (entry.bound === undefined || entry.bound.name === name);
  }

  /** Receives, checks and places; answers the core unless the worker is to try again. */
  async #take(
    delivery: Delivery,
    chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  ): Promise<PutAnswer> {
    const { deliveryId, entry, file, abort } = delivery;
    // Until a user asks for it; what is the user's own stays.
    const isPassing = ["temp", "url", "mini_task", "kept"].includes(entry.source.kind);
    delivery.isReceiving = true;
    const target = this.#targetOf(delivery);
    const temporary = `${target}.tendril-${randomBytes(6).toString("hex")}`;
    try {
      await mkdir(dirname(target), { recursive: true });
      const checked = checkContents(chunks, file, abort.signal);
      if (file.isDirectory) await unpackDirectory(checked, temporary);
      else await writeFile(temporary, { chunks: checked, mode: modeOf(entry, file) });
      abort.signal.throwIfAborted();
      await replace(temporary, target);
      if (this.#deliveries.get(deliveryId) !== delivery) {
        if (entry.source.kind !== "local") await rm(target, { recursive: true, force: true });
        return { status: 404, message: "Cannot take the file: it is not wanted any more" };
      }
      const { sizeBytes, digest, isDirectory, generation } = file;
      const place = { path: target, sizeBytes, digest, isDirectory, generation };
      const replaced = this.#options.store.setPlace(entry, { ...place, isPassing });
      this.#remove(delivery);
      this.#end(delivery, "");
      await replaced;
      return { status: 204, message: "" };
    } catch (error) {
      await rm(temporary, { recursive: true, force: true }).catch(() => {
        // What cannot be removed either is of no use to report: the first error says why.
      });
      return this.#fail(delivery, error);
    } finally {
      delivery.isReceiving = false;
    }
  }

  #fail(delivery: Delivery, error: unknown): PutAnswer {
    const { deliveryId, entry, source, onEnd } = delivery;
    const code = codeOf(error);
    const isOurs = code !== undefined && code.startsWith("E") && !isConnectionCode(code);
    const what = entry.source.kind === "local" ? `"${entry.source.path}"` : `file ${entry.id}`;
    const found = error instanceof Error ? error.message : String(error);
    const message = `Cannot write ${what}: ${found}`;
    const isWanted = this.#deliveries.get(deliveryId) === delivery;
    if (!isWanted) return { status: 404, message: "Cannot take the file: it is not wanted" };
    // A body that broke off is the sender's to send again, or to give up with `send_failed`.
    const isDifferent = error instanceof ContentsError || error instanceof ReplaceError;
    // A worker looks at its copy, and sends again what was damaged on the way.
    const isWorkers = error instanceof DigestError && onEnd === undefined;
    const isFinal = isOurs || isDifferent && !isWorkers || source === undefined;
    if (isFinal) {
      this.#remove(delivery);
      this.#end(delivery, message);
    }
    return { status: isOurs ? 507 : isFinal || isDifferent ? 422 : 503, message };
  }

  #end({ deliveryId, onEnd }: Pick<Delivery, "deliveryId" | "onEnd">, message: string): void {
    if (onEnd !== undefined) return onEnd(message);
    const isDelivered = message === "";
    this.#options.push({ kind: "delivery_ended", deliveryId, isDelivered, message });
  }

  #targetOf({ deliveryId, entry, file }: Delivery): string {
    const { source } = entry;
    if (source.kind === "local") return source.path;
    // A copy that is being removed is at another path than the one that follows it.
    return join(this.#options.spool, `${entry.id}-${file.generation}-${deliveryId}`);
  }

  #track<T>(write: Promise<T>): Promise<T> {
    this.#writes.add(write);
    // Both outcomes are those of `write`, which its caller has.
    const forget = () => void this.#writes.delete(write);
    write.then(forget, forget);
    return write;
  }
}

/** Passes chunks on; throws when they are not those of `file`, or stop coming. */
export async function* checkContents(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  file: Pick<FileFacts, "sizeBytes" | "digest">,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const hash = createHash("sha256");
  let sizeBytes = 0;
  for await (const chunk of withinSilence(chunks, signal)) {
    sizeBytes += chunk.length;
    if (sizeBytes > file.sizeBytes) {
      throw new DigestError(`expected ${file.sizeBytes} bytes, found more`);
    }
    hash.update(chunk);
    yield chunk;
  }
  if (sizeBytes !== file.sizeBytes) {
    throw new Error(`expected ${file.sizeBytes} bytes, found ${sizeBytes}`);
  }
  const digest = hash.digest("hex");
  if (file.digest !== "" && digest !== file.digest) {
    throw new DigestError(`expected SHA-256 ${file.digest}, found ${digest}`);
  }
}

/** Passes chunks on until one does not come in time, or `signal` aborts. */
async function* withinSilence(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  // Rejects the wait for the chunk that is to come. Not one promise for all of them: what races
  // against it would be held, with its chunk, until it settles.
  let fail = (_error: unknown): void => {};
  let failure: { readonly error: unknown } | undefined;
  const stop = (error: unknown) => {
    failure ??= { error };
    fail(error);
  };
  const onAbort = () => stop(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  let lastAtMs = performance.now();
  const timer = setInterval(() => {
    if (performance.now() - lastAtMs >= BODY_SILENCE_MS) {
      stop(new Error(`no bytes came for ${BODY_SILENCE_MS} ms`));
    }
  }, BODY_SILENCE_MS / 4);
  const iterator = Symbol.asyncIterator in chunks
    ? chunks[Symbol.asyncIterator]()
    : chunks[Symbol.iterator]();
  try {
    while (true) {
      if (failure !== undefined) throw failure.error;
      const { promise, resolve, reject } = Promise.withResolvers<IteratorResult<Uint8Array>>();
      fail = reject;
      Promise.resolve(iterator.next()).then(resolve, reject);
      const next = await promise;
      if (next.done) return;
      lastAtMs = performance.now();
      yield next.value;
    }
  } finally {
    clearInterval(timer);
    signal.removeEventListener("abort", onAbort);
    // Not awaited: an iterator that waits for a dead peer would hold us too.
    Promise.resolve(iterator.return?.()).catch(() => {});
  }
}

export async function writeFile(
  path: string,
  options: { readonly chunks: AsyncIterable<Uint8Array>; readonly mode: number | undefined },
): Promise<void> {
  const file = await open(path, "wx", 0o666);
  try {
    for await (const chunk of options.chunks) await writeAll(file, chunk);
    if (options.mode !== undefined) await chmod(path, options.mode);
  } finally {
    await file.close();
  }
}

async function writeAll(file: OpenFile, chunk: Uint8Array): Promise<void> {
  for (let done = 0; done < chunk.length;) {
    const { bytesWritten } = await file.write(chunk, done);
    done += bytesWritten;
  }
}

/** What the user states, else runnable if the task made it so, else what the umask gives. */
function modeOf(entry: FileEntry, file: FileFacts): number | undefined {
  if (entry.mode !== undefined || file.isExecutable !== true) return entry.mode;
  return 0o777 & ~process.umask();
}

function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

/** Errors of the connection carry codes as those of the disk do. */
function isConnectionCode(code: string): boolean {
  return ["ECONNRESET", "EPIPE", "ECONNABORTED", "ETIMEDOUT", "ERR_STREAM_PREMATURE_CLOSE"]
    .includes(code);
}
