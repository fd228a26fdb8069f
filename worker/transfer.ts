/**
 * Files on their way: into the cache from wherever the manager says, made from others, and back
 * to the manager. Each order ends in one event at most; nothing is committed that was not checked.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";

import { ArchiveError } from "../shared/archive/archive_error.ts";
import type { CacheName, TransferId } from "../shared/ids.ts";
import type { ManagerMessage, SendTarget } from "../shared/protocol.ts";
import { shownUrl } from "../shared/url/address.ts";
import { UrlError } from "../shared/url/request.ts";
import type { CacheStore } from "./cache_store.ts";
import type { WorkerEvent } from "./core/event.ts";
import { DownloadError } from "./download.ts";
import {
  checkMeasured,
  type FetchContext,
  findOrFetch,
  isPassing,
  kindOf,
  MismatchError,
} from "./fetch_file.ts";
import { type MadeFile, MakeError, makeFile, type MakeRoom, RoomError } from "./make_file.ts";
import { Parts } from "./parts.ts";
import { PeerAddresses } from "./peer_addresses.ts";
import type { Runner } from "./runner.ts";
import { sendFile, storeFile } from "./send_file.ts";
import { isDiskFull } from "./task_output.ts";
import type { Trees } from "./trees.ts";

type FetchOrder = Extract<ManagerMessage, { kind: "fetch" }>;
type MakeOrder = Extract<ManagerMessage, { kind: "make" }>;
type SendOrder = Extract<ManagerMessage, { kind: "send" }>;
type UrlTarget = Extract<SendTarget, { kind: "url" }>;

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

/** What one transfer works with. */
type Context = TransferOptions & FetchContext;

interface Job {
  /** Of the newest order for it. */
  transferId: TransferId;
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
  /** By what is stored where. */
  readonly #stores: Map<string, Job> = new Map();
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
  make(order: MakeOrder, { bytesMax, devices }: MakeRoom): void {
    const { transferId, name } = order;
    const given = { ...order, bytesMax, devices };
    const generation = 0;
    const run: Job["run"] = async (signal) => {
      const modified: CacheName[] = [];
      const outcome = await makeFile(this.#options, given, { signal, modified })
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
      const failure = await storeFile(this.#options, { order, target, signal })
        .then(() => undefined, (error: unknown) => storeFailure(order, target, error));
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

function readyAs({ file, isFound }: MadeFile): TransferOutcome {
  return { kind: "ready", file, ...(isFound ? { isFound } : {}) };
}

function failureOf(name: CacheName, error: unknown, canRetry: boolean): TransferOutcome {
  const message = `Cannot bring file "${name}" into the cache: ${describe(error)}`;
  const isKnown = error instanceof DownloadError || error instanceof UrlError;
  const kind = isKnown ? error.kind : undefined;
  const isCorrupt = error instanceof MismatchError || kind === "wrong";
  return {
    kind: "failed",
    message,
    canRetry: canRetry || isDiskFull(error),
    ...(kind === "unreachable" ? { isUnreachable: true } : {}),
    ...(kind === "broken" ? { isSourceFault: true } : {}),
    ...(kind === "changed" ? { isModified: true } : {}),
    ...(isCorrupt ? { isCorrupt } : {}),
    ...(isDiskFull(error) || isTooLarge(error) ? { isDiskFull: true } : {}),
  };
}

function storeFailure({ name }: SendOrder, { url }: UrlTarget, error: unknown) {
  const isFinal = error instanceof UrlError && error.kind === "refused";
  const what = `Cannot store file "${name}" at "${shownUrl(url)}"`;
  return { message: `${what}: ${describe(error)}`, isFinal };
}

/** What a url's server refuses it refuses every worker; peers and the manager may change. */
function canFetchAgain({ source }: FetchOrder, error: unknown): boolean {
  if (isTooLarge(error)) return false;
  return source.kind !== "url" || !(error instanceof UrlError) || error.kind === "broken";
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
