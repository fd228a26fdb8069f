/**
 * What running tries add to their streams and files, told to the manager while they run.
 *
 * Nothing is looked at unless the manager asked for it, and nothing is read unless it has room for
 * it: what was read and not been taken is bounded by its credit. Of what is far behind a watch may
 * skip to the end. All watches end with the connection; the manager asks anew for what it lacks.
 *
 * @module
 */

import type { WatchId } from "../shared/ids.ts";
import {
  type ManagerMessage,
  PIECE_BYTES_MAX,
  WATCH_LAST_BYTES,
  type WatchEnd,
  type WorkerMessage,
} from "../shared/protocol.ts";
import type { TryId } from "../shared/task.ts";
import { type GrowingFile, mountedGrowing, openGrowing } from "./growing_file.ts";
import type { Sandbox } from "./sandbox.ts";

/** What the manager asks of a worker's tails. */
export type TailOrder = Extract<ManagerMessage, { kind: "watch" | "watch_credit" | "unwatch" }>;

/** Between two looks at one file. */
const LOOK_MS = 250;

/** What is read of all files together in that time. */
const LOOK_BYTES_MAX: number = 4 * 1024 * 1024;

/** A watch that may skip does so when it is further behind. */
export const BEHIND_BYTES_MAX: number = 1024 * 1024;

/** Watches at the same time, each with an open file. */
export const WATCHES_MAX = 256;

type Place = Pick<Sandbox, "directory" | "descriptor">;

interface Tail {
  readonly order: Extract<TailOrder, { kind: "watch" }>;
  /** Absent until the try has its sandbox. */
  file: GrowingFile | undefined;
  atByte: number;
  creditBytes: number;
  /** There was more than could be told. */
  isBehind: boolean;
}

/** True of what a worker's tails take. */
export function isTailOrder(message: ManagerMessage): message is TailOrder {
  const { kind } = message;
  return kind === "watch" || kind === "watch_credit" || kind === "unwatch";
}

/** Owner of the open files and of the timer. */
export class Tails {
  readonly #send: (messages: readonly WorkerMessage[]) => void;
  readonly #tails: Map<WatchId, Tail> = new Map();
  /** `{TASK.TRY: where it runs}`, undefined until it does. */
  readonly #places: Map<string, Place | undefined> = new Map();
  #timer: ReturnType<typeof setInterval> | undefined;
  #leftBytes: number = LOOK_BYTES_MAX;

  constructor(send: (messages: readonly WorkerMessage[]) => void) {
    this.#send = send;
  }

  /** Carries out what the manager asks. */
  take(order: TailOrder): void {
    if (order.kind === "watch") return this.#open(order);
    const tail = this.#tails.get(order.watchId);
    if (tail === undefined) return;
    if (order.kind === "unwatch") return this.#drop(tail);
    tail.creditBytes += order.bytes;
    if (tail.isBehind) this.#look(tail);
  }

  /** A try is about to get its sandbox; `forget` ends it. */
  expect(id: TryId): void {
    this.#places.set(keyOf(id), undefined);
  }

  /** A try runs in that sandbox until this is disposed, when what it wrote last is told. */
  attach(id: TryId, place: Place): Disposable {
    const key = keyOf(id);
    this.#places.set(key, place);
    for (const tail of this.#tailsOf(key)) this.#look(tail);
    return {
      [Symbol.dispose]: () => {
        for (const tail of this.#tailsOf(key)) this.#tellLast(tail);
        this.#places.delete(key);
      },
    };
  }

  /** A try is over, though it may never have run. */
  forget(id: TryId): void {
    const key = keyOf(id);
    this.#places.delete(key);
    for (const tail of this.#tailsOf(key)) this.#end(tail, "ended");
  }

  /** Looks at nothing any more: the connection of those who asked is closed. */
  clear(): void {
    for (const tail of [...this.#tails.values()]) this.#drop(tail);
  }

  #tailsOf(key: string): Tail[] {
    if (this.#tails.size === 0) return [];
    return [...this.#tails.values()].filter(({ order }) => keyOf(order) === key);
  }

  #open(order: Tail["order"]): void {
    const { watchId, fromByte: atByte, creditBytes } = order;
    if (this.#tails.has(watchId)) return;
    const tail: Tail = { order, file: undefined, atByte, creditBytes, isBehind: false };
    if (!this.#places.has(keyOf(order))) return this.#end(tail, "ended");
    if (this.#tails.size >= WATCHES_MAX) return this.#end(tail, "too_many");
    this.#tails.set(watchId, tail);
    this.#timer ??= setInterval(this.#tick, LOOK_MS);
    this.#look(tail);
  }

  readonly #tick = (): void => {
    this.#leftBytes = LOOK_BYTES_MAX;
    for (const tail of [...this.#tails.values()]) {
      if (this.#leftBytes <= 0) return;
      this.#look(tail);
      // Those that were not reached come first the next time.
      if (this.#tails.delete(tail.order.watchId)) this.#tails.set(tail.order.watchId, tail);
    }
  };

  #look(tail: Tail): void {
    const mostBytes = Math.min(tail.creditBytes, this.#leftBytes);
    const behindMax = tail.order.canSkip ? BEHIND_BYTES_MAX : Infinity;
    const reason = this.#tellNew(tail, { mostBytes, behindMax });
    if (reason !== undefined) this.#end(tail, reason);
  }

  /** What the try wrote last goes beyond the credit: there is no later time for it. */
  #tellLast(tail: Tail): void {
    const isShort = tail.order.canSkip;
    const mostBytes = isShort ? WATCH_LAST_BYTES : tail.creditBytes + WATCH_LAST_BYTES;
    const behindMax = isShort ? WATCH_LAST_BYTES : Infinity;
    this.#end(tail, this.#tellNew(tail, { mostBytes, behindMax }) ?? "ended");
  }

  /** Tells what is new, up to `mostBytes`; says why that is over when it is. */
  #tellNew(
    tail: Tail,
    { mostBytes, behindMax }: { readonly mostBytes: number; readonly behindMax: number },
  ): WatchEnd | undefined {
    try {
      const file = tail.file ??= this.#fileOf(tail.order);
      const growth = file?.look();
      if (file === undefined || growth === undefined || growth.kind === "missing") return undefined;
      if (growth.kind === "over") return growth.reason;
      const { sizeBytes } = growth;
      if (sizeBytes < tail.atByte) return "shrunk";
      if (mostBytes > 0 && sizeBytes - tail.atByte > behindMax) {
        tail.atByte = sizeBytes - WATCH_LAST_BYTES;
      }
      this.#tellUpTo(tail, { file, endByte: Math.min(sizeBytes, tail.atByte + mostBytes) });
      tail.isBehind = tail.atByte < sizeBytes;
      return undefined;
    } catch {
      // The task has shut it away, or the disk fails: the try goes on without being watched.
      return "unreadable";
    }
  }

  #tellUpTo(
    tail: Tail,
    { file, endByte }: { readonly file: GrowingFile; readonly endByte: number },
  ): void {
    const pieces: WorkerMessage[] = [];
    while (tail.atByte < endByte) {
      const { atByte, order: { watchId } } = tail;
      const bytes = file.read(atByte, Math.min(PIECE_BYTES_MAX, endByte - atByte));
      if (bytes.length === 0) break;
      pieces.push({ kind: "piece", watchId, atByte, bytes });
      tail.atByte += bytes.length;
      tail.creditBytes -= bytes.length;
      this.#leftBytes -= bytes.length;
    }
    if (pieces.length > 0) this.#send(pieces);
  }

  #fileOf(order: Tail["order"]): GrowingFile | undefined {
    const place = this.#places.get(keyOf(order));
    if (place === undefined) return undefined;
    const { source } = order;
    if (source.kind === "stream") return openGrowing(place.descriptor(source.stream));
    return mountedGrowing(place.directory, source.mount);
  }

  #end(tail: Tail, reason: WatchEnd): void {
    this.#drop(tail);
    this.#send([{ kind: "watch_ended", watchId: tail.order.watchId, reason }]);
  }

  #drop(tail: Tail): void {
    this.#tails.delete(tail.order.watchId);
    tail.file?.close();
    tail.file = undefined;
    if (this.#tails.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

function keyOf({ taskId, try: number }: TryId): string {
  return `${taskId}.${number}`;
}
