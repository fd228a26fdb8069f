/**
 * Files on their way: into the cache from wherever the manager says, made from others, and back
 * to the manager. Each order ends in one event at most; nothing is committed that was not checked.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";

import { unreachable } from "../shared/assert.ts";
import type { CacheName, TransferId } from "../shared/ids.ts";
import type { FetchSource, ManagerMessage, SendTarget } from "../shared/protocol.ts";
import { requestBody } from "../shared/runtime/file_body.ts";
import { pinnedFetch } from "../shared/runtime/fetch.ts";
import type { FileFacts } from "../shared/task.ts";
import { ticketHeader } from "../shared/ticket.ts";
import { shownUrl } from "../shared/url/address.ts";
import { downloadUrl } from "../shared/url/download.ts";
import { UrlError } from "../shared/url/request.ts";
import { type CacheStore, type Hold, sealTree } from "./cache_store.ts";
import type { WorkerEvent } from "./core/event.ts";
import { download, DownloadError } from "./download.ts";
import { type Measured, measuring, writeMeasured } from "./file_sink.ts";
import { openLocalUrl } from "./local_url.ts";
import { MakeError, makeFile, RoomError } from "./make_file.ts";
import { PeerAddresses } from "./peer_addresses.ts";
import type { Runner } from "./runner.ts";
import { streamOf } from "./stream.ts";
import type { Trees } from "./trees.ts";
import { storeAtUrl } from "./url_store.ts";
import { isFileIntact } from "./verification.ts";

type FetchOrder = Extract<ManagerMessage, { kind: "fetch" }>;
type MakeOrder = Extract<ManagerMessage, { kind: "make" }>;
type SendOrder = Extract<ManagerMessage, { kind: "send" }>;

type UrlTarget = Extract<SendTarget, { kind: "url" }>;
type TicketOrder = SendOrder & { readonly ticket: string };

/** With the bytes that there is room for, where the size is not known. */
type BoundedFetch = FetchOrder & { readonly bytesMax: number };

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

/** Attempts at sending a file to the manager. */
const SEND_TRIES = 3;
const SEND_DELAY_MS = 200;

/** How the names of files begin that are named by their contents. */
const CONTENTS_PREFIX = "file-sha256-";

/** The manager's answer to contents that are not those that it was told of. */
const CONTENTS_DIFFER = 422;

/** Text of an answer that is read for a message. */
const ANSWER_CHARS_MAX = 200;

/** What one transfer works with. */
interface Context extends TransferOptions {
  readonly addresses: PeerAddresses;
}

interface Job {
  /** Of the newest order for it. */
  transferId: TransferId;
  readonly controller: AbortController;
  readonly run: (signal: AbortSignal) => Promise<void>;
}

/** Owner of every transfer under way. */
export class Transfers {
  readonly #options: Context;
  readonly #jobs: Map<TransferId, Job> = new Map();
  readonly #waiting: Job[] = [];
  /** By what is stored where. */
  readonly #stores: Map<string, Job> = new Map();
  readonly #ends: Set<Promise<void>> = new Set();
  #runningCount = 0;

  constructor(options: TransferOptions) {
    this.#options = { ...options, addresses: new PeerAddresses() };
  }

  /** Brings a file of at most `bytesMax` into the cache; answered by `transfer_ended`. */
  fetch(order: FetchOrder, bytesMax: number): void {
    const { transferId, name, generation, source } = order;
    // Small, and already here: not worth a turn of the loop.
    if (source.kind === "inline" && !order.isDirectory) {
      return this.#takeInline(order, source.bytes);
    }
    this.#start(transferId, async (signal) => {
      let movedBytes = 0;
      const count = (sizeBytes: number) => movedBytes += sizeBytes;
      const outcome = await fetchFile(this.#options, { ...order, bytesMax }, { signal, count })
        .then(
          ready,
          (error) => failureOf(name, error, canFetchAgain(order, error)),
        );
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
        .then(ready, (error) => {
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

  /** Sends a file; a failure is answered by `send_failed`, a url that has it by `stored`. */
  put(order: SendOrder): void {
    const { transferId, name, to } = order;
    if (to.kind === "url") return this.#store(order, to);
    const { ticket } = to;
    this.#start(transferId, async (signal) => {
      try {
        await sendFile(this.#options, { ...order, ticket }, signal);
      } catch (error) {
        const message = `Cannot send file "${name}" to the manager: ${describe(error)}`;
        this.#options.push({ kind: "send_failed", transferId, message, isFinal: false });
      }
    });
  }

  /** Ends a transfer; what it owes as an answer still comes. */
  stop(transferId: TransferId): void {
    this.#jobs.get(transferId)?.controller.abort(new Error("it was stopped"));
  }

  /** Ends all of them and waits for it. */
  async close(): Promise<void> {
    for (const transferId of this.#jobs.keys()) this.stop(transferId);
    while (this.#ends.size > 0) await Promise.all(this.#ends);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** An order that is repeated, as its answer may be lost, has the file stored once. */
  #store(order: SendOrder, target: UrlTarget): void {
    const { transferId, name, generation } = order;
    const key = JSON.stringify([name, generation, target.url]);
    const known = this.#stores.get(key);
    if (known !== undefined && !known.controller.signal.aborted) {
      this.#jobs.delete(known.transferId);
      known.transferId = transferId;
      this.#jobs.set(transferId, known);
      return;
    }
    const job = this.#start(transferId, async (signal) => {
      const failure = await storeFile(this.#options, { order, target, signal });
      if (this.#stores.get(key) === job) this.#stores.delete(key);
      const { transferId } = job;
      if (failure === undefined) this.#options.push({ kind: "stored", transferId });
      else this.#options.push({ kind: "send_failed", transferId, ...failure });
    });
    this.#stores.set(key, job);
  }

  #start(transferId: TransferId, run: Job["run"]): Job {
    const job = this.#newJob(transferId, run);
    this.#waiting.push(job);
    this.#fill();
    return job;
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

function ready(file: FileFacts): TransferOutcome {
  return { kind: "ready", file };
}

/** What arrived is not what was asked for. */
class MismatchError extends Error {
  override readonly name = "MismatchError";
}

interface FetchControl {
  readonly signal: AbortSignal;
  /** Told of bytes that come. */
  readonly count: (sizeBytes: number) => void;
}

async function fetchFile(
  options: Context,
  order: BoundedFetch,
  control: FetchControl,
): Promise<FileFacts> {
  const { source, sizeBytes } = order;
  const { signal } = control;
  if (source.kind !== "url") {
    const chunks = openSource(options, order, { source, signal });
    return await takeIn(options, order, { ...control, chunks });
  }
  const { url, validator = "" } = source;
  if (!url.startsWith("file:")) {
    return await downloadUrl({ url, validator, sizeBytes }, signal, (chunks) => {
      return takeIn(options, order, { ...control, chunks });
    });
  }
  const tree = (path: string) => options.trees.read(path, 0);
  const { chunks, ...kind } = await openLocalUrl(url, { validator, tree, signal });
  return await takeIn(options, { ...order, ...kind }, { ...control, chunks });
}

/** Commits what comes, if it is what was asked for. */
async function takeIn(
  options: Context,
  order: BoundedFetch,
  { signal, count, chunks }: FetchControl & { readonly chunks: AsyncIterable<Uint8Array> },
): Promise<FileFacts> {
  const path = options.cache.newIncomingPath();
  try {
    // What is known is checked against the order.
    const bytesMax = order.sizeBytes < 0 ? order.bytesMax : Infinity;
    const counted = counting(chunks, { count, bytesMax });
    const measured = await receive(options.trees, { order, path, chunks: counted });
    signal.throwIfAborted();
    checkMeasured(order, measured);
    const { name, generation, level } = order;
    const file = { name, generation, ...measured, ...kindOf(order) };
    options.cache.commit(path, file, level);
    return file;
  } catch (error) {
    options.cache.discard(path);
    throw error;
  }
}

/** The bytes of a file of the manager or a peer, in order. */
function openSource(
  options: Context,
  { sizeBytes, digest, name }: FetchOrder,
  { source, signal }: {
    readonly source: Exclude<FetchSource, { kind: "url" }>;
    readonly signal: AbortSignal;
  },
): AsyncIterable<Uint8Array> {
  const path = `/files/${encodeURIComponent(name)}`;
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
        sizeBytes,
        digest,
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
        sizeBytes,
        digest,
      }, signal);
    }
    default:
      return unreachable(source);
  }
}

/** Writes what arrives to `path`: a file, or the directory that a tar stream says. */
async function receive(
  trees: Trees,
  { order, path, chunks }: { order: FetchOrder; path: string; chunks: AsyncIterable<Uint8Array> },
): Promise<Measured> {
  if (!order.isDirectory) {
    return await writeMeasured(path, { chunks, isExecutable: order.isExecutable });
  }
  const measured = measuring(chunks);
  await trees.write(path, measured.chunks);
  await sealTree(path);
  return measured.measure();
}

async function sendFile(
  options: TransferOptions,
  order: TicketOrder,
  signal: AbortSignal,
): Promise<void> {
  const { name, generation } = order;
  const hold = holdToSend(options, order);
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

function holdToSend({ cache }: TransferOptions, { name, generation }: SendOrder): Hold {
  const hold = cache.hold(name, generation);
  if (hold === undefined) throw new Error("this worker has no such file");
  return hold;
}

/** Stores a file at a url; returns why it is not there, if it is not. */
async function storeFile(
  options: TransferOptions,
  { order, target, signal }: {
    readonly order: SendOrder;
    readonly target: UrlTarget;
    readonly signal: AbortSignal;
  },
): Promise<{ readonly message: string; readonly isFinal: boolean } | undefined> {
  let hold: Hold | undefined;
  try {
    hold = holdToSend(options, order);
    await storeAtUrl(hold, target, { trees: options.trees, signal });
    return undefined;
  } catch (error) {
    const what = `Cannot store file "${order.name}" at "${shownUrl(target.url)}"`;
    const isDamaged = error instanceof UrlError && error.kind === "wrong";
    if (isDamaged) {
      const { name, generation } = order;
      options.push({ kind: "file_verified", name, generation, isIntact: false });
    }
    const isFinal = error instanceof UrlError && error.kind === "refused";
    return { message: `${what}: ${describe(error)}`, isFinal };
  } finally {
    hold?.release();
  }
}

async function putOnce(
  options: TransferOptions,
  order: TicketOrder,
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

/** Size always, digest when it is known. */
function checkMeasured(order: FetchOrder, measured: Measured): void {
  const { sizeBytes, digest } = order;
  const fault = sizeBytes >= 0 && measured.sizeBytes !== sizeBytes
    ? `it has ${measured.sizeBytes} bytes where ${sizeBytes} were expected`
    : digest !== "" && measured.digest !== digest
    ? `its contents have digest ${measured.digest} where ${digest} was expected`
    : undefined;
  if (fault === undefined) return;
  if (order.source.kind !== "url") throw new MismatchError(fault);
  // Nobody need have had what is named by a digest that was stated.
  const isStated = order.name.startsWith(CONTENTS_PREFIX);
  const what = isStated ? "is not what it is stated to be" : "has changed";
  const message = `"${shownUrl(order.source.url)}" ${what}: ${fault}`;
  throw new UrlError(isStated ? "wrong" : "changed", message);
}

function failureOf(name: CacheName, error: unknown, canRetry: boolean): TransferOutcome {
  const message = `Cannot bring file "${name}" into the cache: ${describe(error)}`;
  const isUnreachable = error instanceof DownloadError && error.kind === "unreachable";
  const isCorrupt = error instanceof MismatchError ||
    error instanceof DownloadError && error.kind === "wrong";
  return {
    kind: "failed",
    message,
    canRetry: canRetry || isDiskFull(error),
    ...(isUnreachable ? { isUnreachable } : {}),
    ...(isCorrupt ? { isCorrupt } : {}),
    ...(isDiskFull(error) || error instanceof RoomError ? { isDiskFull: true } : {}),
    ...(error instanceof UrlError && error.kind === "changed" ? { isModified: true } : {}),
  };
}

/** What a url's server refuses it refuses every worker; peers and the manager may change. */
function canFetchAgain({ source }: FetchOrder, error: unknown): boolean {
  if (error instanceof RoomError) return false;
  return source.kind !== "url" || !(error instanceof UrlError) || error.kind === "broken";
}

function isDiskFull(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "ENOSPC" || code === "EDQUOT";
}

function describe(error: unknown): string {
  if (isDiskFull(error)) return "the disk of the worker is full";
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
