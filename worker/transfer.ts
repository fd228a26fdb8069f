/**
 * Files on their way: into the cache from wherever the manager says, made from others, and back
 * to the manager. Each order ends in one event at most; nothing is committed that was not checked.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";

import { ArchiveError } from "../shared/archive/archive_error.ts";
import { unreachable } from "../shared/assert.ts";
import type { CacheName, TransferId } from "../shared/ids.ts";
import type { ManagerMessage } from "../shared/protocol.ts";
import { requestBody } from "../shared/runtime/file_body.ts";
import { pinnedFetch } from "../shared/runtime/fetch.ts";
import type { FileFacts } from "../shared/task.ts";
import { ticketHeader } from "../shared/ticket.ts";
import { validatorOf } from "../shared/validator.ts";
import { type CacheStore, type Hold, sealTree } from "./cache_store.ts";
import type { WorkerEvent } from "./core/event.ts";
import { download, DownloadError } from "./download.ts";
import { type Measured, measuring, writeMeasured } from "./file_sink.ts";
import { readLocalUrl } from "./local_url.ts";
import { adoptIntact, type MadeFile, MakeError, makeFile, RoomError } from "./make_file.ts";
import { type Part, Parts } from "./parts.ts";
import { PeerAddresses } from "./peer_addresses.ts";
import type { Runner } from "./runner.ts";
import { isDiskFull } from "./task_output.ts";
import type { Trees } from "./trees.ts";
import { isFileIntact } from "./verification.ts";

type FetchOrder = Extract<ManagerMessage, { kind: "fetch" }>;
type MakeOrder = Extract<ManagerMessage, { kind: "make" }>;
type SendOrder = Extract<ManagerMessage, { kind: "send" }>;

/** What transfers work with. */
export interface TransferOptions {
  readonly cache: CacheStore;
  readonly trees: Trees;
  /** Runs the commands of recipes. */
  readonly runner: Pick<Runner, "make">;
  /** Base url of the manager's HTTP side; undefined while there is no connection. */
  readonly managerUrl: () => string | undefined;
  /** PEM: the only certificate accepted there; undefined when it speaks no TLS. */
  readonly managerCertificate?: () => string | undefined;
  readonly push: (event: WorkerEvent) => void;
}

/** Transfers at the same time; more wait their turn. The manager's own limits are lower. */
const TRANSFERS_MAX = 32;

/** An address of a peer or of the manager that takes no connection for so long is given up. */
const CONNECT_MS_MAX = 2_000;

/** Attempts at a url whose server does not let a broken transfer resume. */
const URL_TRIES = 3;

/** Attempts at sending a file to the manager. */
const SEND_TRIES = 3;
const SEND_DELAY_MS = 200;

/** The manager's answer to contents that are not those that it was told of. */
const CONTENTS_DIFFER = 422;

/** Text of an answer that is read for a message. */
const ANSWER_CHARS_MAX = 200;

/** What one transfer works with. */
interface Context extends TransferOptions {
  readonly addresses: PeerAddresses;
  readonly parts: Parts;
}

interface Job {
  readonly transferId: TransferId;
  readonly controller: AbortController;
  readonly run: (signal: AbortSignal) => Promise<void>;
}

/** A transfer is stopped for another one of the same file, which goes on with what has come. */
class MovedError extends Error {
  override readonly name = "MovedError";
}

/** Owner of every transfer under way. */
export class Transfers {
  readonly #options: Context;
  readonly #jobs: Map<TransferId, Job> = new Map();
  readonly #waiting: Job[] = [];
  readonly #ends: Set<Promise<void>> = new Set();
  /** `{file: the end of the fetch that was ordered for it last}`, until it is over. */
  readonly #fetchEnds: Map<CacheName, Promise<void>> = new Map();
  #runningCount = 0;

  constructor(options: TransferOptions) {
    const parts = new Parts(options.cache);
    this.#options = { ...options, addresses: new PeerAddresses(), parts };
  }

  /** Brings a file of at most `bytesMax` into the cache; answered by `transfer_ended`. */
  fetch(order: FetchOrder, bytesMax: number): void {
    const { transferId, name, generation, source } = order;
    // Small, and already here: not worth a turn of the loop.
    if (source.kind === "inline" && !order.isDirectory) {
      return this.#takeInline(order, source.bytes);
    }
    // One that is stopped for this one has to leave what has come.
    const before = this.#fetchEnds.get(name);
    const end = Promise.withResolvers<void>();
    this.#fetchEnds.set(name, end.promise);
    this.#start(transferId, async (signal) => {
      await before;
      const { parts } = this.#options;
      const part = parts.take(order);
      let movedBytes = part.untoldBytes;
      const count = (sizeBytes: number) => movedBytes += sizeBytes;
      const how = { part, signal, count };
      const outcome = await findOrFetch(this.#options, { ...order, bytesMax }, how).then(
        readyAs,
        (error) => {
          const isMoved = signal.reason instanceof MovedError;
          part.untoldBytes = isMoved ? movedBytes : 0;
          const isGood = signal.aborted ? isMoved : isPassing(error);
          const keptBytes = isGood ? parts.hold(order, part) : 0;
          if (keptBytes === 0) this.#options.cache.discard(part.path);
          const kept = keptBytes > 0 ? { keptBytes } : {};
          return { ...failureOf(name, error, canFetchAgain(order, error)), ...kept };
        },
      );
      end.resolve();
      if (this.#fetchEnds.get(name) === end.promise) this.#fetchEnds.delete(name);
      this.#options.push({
        kind: "transfer_ended",
        transferId,
        name,
        generation,
        movedBytes,
        outcome,
      });
    });
  }

  /** Makes a file of at most `bytesMax` from others; answered by `transfer_ended`. */
  make(order: MakeOrder, bytesMax: number): void {
    const { transferId, name } = order;
    const generation = 0;
    const run: Job["run"] = async (signal) => {
      const modified: CacheName[] = [];
      const outcome = await makeFile(this.#options, { ...order, bytesMax }, { signal, modified })
        .then(readyAs, (error) => {
          const canRetry = signal.aborted || error instanceof MakeError && error.canRetry;
          return failureOf(name, error, canRetry);
        });
      const movedBytes = 0;
      const ended = { transferId, name, generation, movedBytes, outcome, modified };
      this.#options.push({ kind: "transfer_ended", ...ended });
    };
    // The core counts the room of commands: they need no turn among those who wait for bytes.
    if (order.recipe.kind === "command") this.#begin(this.#newJob(transferId, run));
    else this.#start(transferId, run);
  }

  /** Sends a file to the manager; only a failure is answered, by `send_failed`. */
  put(order: SendOrder): void {
    const { transferId, name } = order;
    this.#start(transferId, async (signal) => {
      try {
        await sendFile(this.#options, order, signal);
      } catch (error) {
        const message = `Cannot send file "${name}" to the manager: ${describe(error)}`;
        this.#options.push({ kind: "send_failed", transferId, message });
      }
    });
  }

  /**
   * Ends a transfer; what it owes as an answer still comes. One that `goesOn` leaves what has come to
   * the next one of the same file.
   */
  stop(transferId: TransferId, { goesOn = false }: { readonly goesOn?: boolean } = {}): void {
    const reason = goesOn
      ? new MovedError("another source was named")
      : new Error("it was stopped");
    this.#jobs.get(transferId)?.controller.abort(reason);
  }

  /** Removes what has come of a file whose transfer failed. */
  forgetPart(name: CacheName): void {
    this.#options.parts.forget(name);
  }

  /** Removes what has come of all such files. */
  forgetParts(): void {
    this.#options.parts.clear();
  }

  /** Ends all of them and waits for it. */
  async close(): Promise<void> {
    for (const transferId of this.#jobs.keys()) this.stop(transferId);
    while (this.#ends.size > 0) await Promise.all(this.#ends);
    this.forgetParts();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #start(transferId: TransferId, run: Job["run"]): void {
    this.#waiting.push(this.#newJob(transferId, run));
    this.#fill();
  }

  #newJob(transferId: TransferId, run: Job["run"]): Job {
    const job: Job = { transferId, controller: new AbortController(), run };
    this.#jobs.set(transferId, job);
    return job;
  }

  #begin(job: Job): Promise<void> {
    const end = job.run(job.controller.signal).finally(() => {
      this.#ends.delete(end);
      if (this.#jobs.get(job.transferId) === job) this.#jobs.delete(job.transferId);
    });
    this.#ends.add(end);
    return end;
  }

  #fill(): void {
    while (this.#runningCount < TRANSFERS_MAX) {
      const job = this.#waiting.shift();
      if (job === undefined) return;
      this.#runningCount += 1;
      this.#begin(job).finally(() => {
        this.#runningCount -= 1;
        this.#fill();
      });
    }
  }

  #takeInline(order: FetchOrder, bytes: Uint8Array): void {
    const { transferId, name, generation, level, isExecutable } = order;
    const { cache, push } = this.#options;
    const path = cache.newIncomingPath();
    let outcome: TransferOutcome;
    try {
      const digest = createHash("sha256").update(bytes).digest("hex");
      const measured = { sizeBytes: bytes.length, digest };
      checkMeasured(order, measured);
      writeFileSync(path, bytes, { mode: isExecutable ? 0o555 : 0o444, flag: "wx" });
      const file = { name, generation, ...measured, ...kindOf(order) };
      cache.commit(path, file, level);
      outcome = { kind: "ready", file };
    } catch (error) {
      cache.discard(path);
      outcome = failureOf(name, error, true);
    }
    const movedBytes = bytes.length;
    push({ kind: "transfer_ended", transferId, name, generation, movedBytes, outcome });
  }
}

type TransferOutcome = Extract<WorkerEvent, { kind: "transfer_ended" }>["outcome"];

function kindOf({ isDirectory, isExecutable }: FetchOrder) {
  return { isDirectory, ...(isExecutable ? { isExecutable } : {}) };
}

function readyAs({ file, isFound }: MadeFile): TransferOutcome {
  return { kind: "ready", file, ...(isFound ? { isFound } : {}) };
}

/** What arrived is not what was asked for. */
class MismatchError extends Error {
  override readonly name = "MismatchError";
}

/** One attempt to have a file come, or several of one source. */
interface Receiving {
  readonly part: Part;
  readonly signal: AbortSignal;
  /** Told of bytes as they come. */
  readonly count: (sizeBytes: number) => void;
}

/** A file that is kept for ever may have come to another worker of this host meanwhile. */
async function findOrFetch(
  options: Context,
  order: FetchOrder & { readonly bytesMax: number },
  how: Receiving,
): Promise<MadeFile> {
  const { name, level, generation, digest } = order;
  const kept = level === "forever" ? await adoptIntact(options.cache, name) : undefined;
  const isSame = kept?.generation === generation && (digest === "" || kept.digest === digest);
  if (kept !== undefined && isSame) {
    options.cache.discard(how.part.path);
    return { file: kept, isFound: true };
  }
  // One that is damaged has to be gone before another takes its place.
  await options.cache.settled(name);
  const file = await fetchFile(options, order, how);
  await options.cache.settled(name);
  return { file, isFound: false };
}

async function fetchFile(
  options: Context,
  order: FetchOrder & { readonly bytesMax: number },
  { part, signal, count }: Receiving,
): Promise<FileFacts> {
  const triesMax = order.source.kind === "url" ? URL_TRIES : 1;
  let isResumed = part.written.sizeBytes > 0;
  for (let tryCount = 1;; tryCount++) {
    try {
      return await fetchOnce(options, order, { part, signal, count });
    } catch (error) {
      if (isResumed && error instanceof MismatchError && !signal.aborted) {
        // What the source before this one sent may be what is wrong.
        options.parts.renew(order, part);
        isResumed = false;
        continue;
      }
      if (!isPassing(error) || tryCount >= triesMax || signal.aborted) throw error;
      if (part.progress.etag === "" || order.isDirectory) options.parts.renew(order, part);
    }
  }
}

async function fetchOnce(
  options: Context,
  order: FetchOrder & { readonly bytesMax: number },
  { part, signal, count }: Receiving,
): Promise<FileFacts> {
  signal.throwIfAborted();
  const bytes = counting(openSource(options, order, { part, signal }), {
    count,
    // What is known is checked against the order.
    bytesMax: order.sizeBytes < 0 ? order.bytesMax - part.progress.offset : Infinity,
  });
  const measured = await receive(options.trees, { order, part, chunks: bytes });
  signal.throwIfAborted();
  checkMeasured(order, measured);
  const { name, generation, level } = order;
  const file = { name, generation, ...measured, ...kindOf(order) };
  options.cache.commit(part.path, file, level);
  return file;
}

/** True of a failure of the connection, after which what has come is good. */
function isPassing(error: unknown): boolean {
  return error instanceof DownloadError &&
    (error.kind === "broken" || error.kind === "unreachable");
}

/** The bytes of a source, in order. */
function openSource(
  options: Context,
  order: FetchOrder,
  { part: { progress }, signal }: { readonly part: Part; readonly signal: AbortSignal },
): AsyncIterable<Uint8Array> {
  const { source, sizeBytes, name, isDirectory } = order;
  const path = `/files/${encodeURIComponent(name)}`;
  const known = { sizeBytes, silenceMsMax: order.stallMs, progress };
  switch (source.kind) {
    case "inline":
      return once(source.bytes);
    case "manager": {
      const base = options.managerUrl();
      if (base === undefined) throw new DownloadError("broken", "the connection is lost");
      return download({
        urls: [base + path],
        certificate: options.managerCertificate?.(),
        connectMsMax: CONNECT_MS_MAX,
        headers: { Authorization: ticketHeader(source.ticket) },
        etag: validatorOf(order),
        ...known,
      }, signal);
    }
    case "worker": {
      const { addresses } = options;
      const { workerId } = source;
      return download({
        urls: addresses.sort(workerId, source.urls).map((base) => base + path),
        certificate: source.certificate,
        connectMsMax: CONNECT_MS_MAX,
        answered: (url) => addresses.remember(workerId, url.slice(0, -path.length)),
        headers: { Authorization: ticketHeader(source.ticket) },
        etag: validatorOf(order),
        ...known,
      }, signal);
    }
    case "url":
      if (source.url.startsWith("file:")) {
        const tree = isDirectory ? (path: string) => options.trees.read(path, 0) : undefined;
        return readLocalUrl(source.url, { tree, signal });
      }
      return download(
        { urls: [source.url], connectMsMax: 0, headers: {}, etag: "", ...known },
        signal,
      );
    default:
      return unreachable(source);
  }
}

/** Writes what arrives: a file, or the directory that a tar stream says. */
async function receive(
  trees: Trees,
  { order, part, chunks }: {
    readonly order: FetchOrder;
    readonly part: Part;
    readonly chunks: AsyncIterable<Uint8Array>;
  },
): Promise<Measured> {
  const { path, written } = part;
  if (!order.isDirectory) {
    return await writeMeasured(path, { chunks, isExecutable: order.isExecutable, written });
  }
  const measured = measuring(chunks);
  await trees.write(path, measured.chunks);
  await sealTree(path);
  return measured.measure();
}

async function sendFile(
  options: TransferOptions,
  order: SendOrder,
  signal: AbortSignal,
): Promise<void> {
  const hold = options.cache.hold(order.name, order.generation);
  if (hold === undefined) throw new Error("this worker has no such file");
  const { name, generation } = order;
  try {
    if (hold.isPlaced) throw new Error("an environment is of no use elsewhere");
    for (let tryCount = 1;; tryCount++) {
      try {
        return await putOnce(options, order, { hold, signal });
      } catch (error) {
        if (error instanceof DownloadError || signal.aborted) throw error;
        const isLast = tryCount >= SEND_TRIES;
        // What is damaged here need not be sent again; what was damaged on the way may.
        const isInDoubt = isLast || error instanceof MismatchError;
        if (isInDoubt && !await isFileIntact(hold, options.trees)) {
          options.push({ kind: "file_verified", name, generation, isIntact: false });
          throw new Error("it is not what it was when it came here, and is dropped");
        }
        if (isLast) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, SEND_DELAY_MS * tryCount));
    }
  } finally {
    hold.release();
  }
}

async function putOnce(
  options: TransferOptions,
  order: SendOrder,
  { hold, signal }: { hold: Hold; signal: AbortSignal },
): Promise<void> {
  const base = options.managerUrl();
  if (base === undefined) throw new Error("the connection is lost");
  const { facts, path } = hold;
  const headers: Record<string, string> = {
    Authorization: ticketHeader(order.ticket),
    "Content-Type": "application/octet-stream",
    "Content-Length": String(facts.sizeBytes),
  };
  const body = facts.isDirectory
    ? streamOf(options.trees.read(path, 0))
    : await requestBody(path, facts.sizeBytes);
  const url = `${base}/files/${encodeURIComponent(order.name)}`;
  const init = { method: "PUT", headers, body, signal };
  const response = await pinnedFetch(url, init, options.managerCertificate?.());
  const text = (await response.text()).slice(0, ANSWER_CHARS_MAX);
  if (response.ok) return;
  const message = `the manager answered ${response.status} ${text}`.trimEnd();
  if (response.status === CONTENTS_DIFFER) throw new MismatchError(message);
  if (response.status >= 500) throw new Error(message);
  throw new DownloadError("refused", message);
}

/** `chunks` as a stream that is read as fast as it is asked for. */
export function streamOf(chunks: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  const iterator = chunks[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const next = await iterator.next();
      if (next.done) controller.close();
      else controller.enqueue(next.value);
    },
    async cancel() {
      await iterator.return?.();
    },
  });
}

/** Size always, digest when it is known. */
function checkMeasured(order: FetchOrder, measured: Measured): void {
  if (order.sizeBytes >= 0 && measured.sizeBytes !== order.sizeBytes) {
    throw new MismatchError(
      `it has ${measured.sizeBytes} bytes where ${order.sizeBytes} were expected`,
    );
  }
  if (order.digest !== "" && measured.digest !== order.digest) {
    throw new MismatchError(
      `its contents have digest ${measured.digest} where ${order.digest} was expected`,
    );
  }
}

function failureOf(name: CacheName, error: unknown, canRetry: boolean): TransferOutcome {
  const message = `Cannot bring file "${name}" into the cache: ${describe(error)}`;
  const kind = error instanceof DownloadError ? error.kind : undefined;
  const isCorrupt = error instanceof MismatchError || kind === "wrong";
  return {
    kind: "failed",
    message,
    canRetry: canRetry || isDiskFull(error),
    ...(kind === "unreachable" ? { isUnreachable: true } : {}),
    ...(kind === "broken" ? { isSourceFault: true } : {}),
    ...(isCorrupt ? { isCorrupt } : {}),
    ...(isDiskFull(error) || isTooLarge(error) ? { isDiskFull: true } : {}),
  };
}

/** What a url's server refuses it refuses every worker; peers and the manager may change. */
function canFetchAgain(order: FetchOrder, error: unknown): boolean {
  if (isTooLarge(error)) return false;
  const isRefused = error instanceof DownloadError && error.kind === "refused";
  return !(isRefused && order.source.kind === "url");
}

/** No time or place on this disk would do for it. */
function isTooLarge(error: unknown): boolean {
  return error instanceof RoomError || error instanceof ArchiveError && error.isTooLarge;
}

function describe(error: unknown): string {
  // What is unpacked names the entry.
  if (isDiskFull(error) && !(error instanceof ArchiveError)) {
    return "the disk of the worker is full";
  }
  return error instanceof Error ? error.message : String(error);
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, void> {
  yield await Promise.resolve(bytes);
}

async function* counting(
  chunks: AsyncIterable<Uint8Array>,
  { count, bytesMax }: { count: (sizeBytes: number) => void; bytesMax: number },
): AsyncGenerator<Uint8Array, void, void> {
  let sizeBytes = 0;
  for await (const chunk of chunks) {
    count(chunk.length);
    sizeBytes += chunk.length;
    if (sizeBytes > bytesMax) {
      throw new RoomError(
        `it has more than the ${bytesMax} bytes that this worker's disk has room for`,
      );
    }
    yield chunk;
  }
}
