/**
 * One reader of what a task writes: what came and was not read waits here, within a bound. At the
 * end it is given what the result kept of the stream and was not seen.
 *
 * @module
 */

import {
  type GrowingSource,
  WATCH_CREDIT_BYTES,
  WATCH_LAST_BYTES,
  type WatchEnd,
} from "../shared/protocol.ts";
import { readKept } from "../shared/stream_note.ts";
import type { TryResult } from "../shared/task.ts";
import type { TaskEnd } from "./core/instruction.ts";
import type { Tail, TailPiece, TailSink } from "./tail_desk.ts";

/** What a reader is given next. */
export interface FollowPart extends TailPiece {
  /** Why nothing more of this try follows, though it runs. */
  readonly stopped?: WatchEnd | undefined;
}

/** What waits at most: one credit, and the last words of some tries. */
const WAITING_BYTES_MAX: number = WATCH_CREDIT_BYTES + 4 * WATCH_LAST_BYTES;

const NO_BYTES = new Uint8Array();

/** What waits for a reader. */
export class Follower implements TailSink, Disposable {
  readonly #source: GrowingSource;
  #parts: FollowPart[] = [];
  #waitingBytes = 0;
  /** Where what came last ends. */
  #try: number;
  #atByte: number;
  #isOver = false;
  #tail: Tail | undefined;
  #wake: (() => void) | undefined;

  /** `seen` is what its reader has of the task. */
  constructor(source: GrowingSource, seen: { readonly try: number; readonly byte: number }) {
    this.#source = source;
    this.#try = seen.try;
    this.#atByte = seen.byte;
  }

  /** Where what was read, and waits to be, comes from. */
  set tail(tail: Tail) {
    this.#tail = tail;
  }

  /** The next part; undefined when the task has ended and all was read. */
  async next(): Promise<FollowPart | undefined> {
    while (true) {
      const part = this.#parts.shift();
      if (part !== undefined) {
        this.#waitingBytes -= part.bytes.length;
        this.#tail?.consumed(part.bytes.length);
        return part;
      }
      if (this.#isOver) return undefined;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
  }

  /** Ends it, whoever waits for more. */
  [Symbol.dispose](): void {
    this.#tail?.close();
    this.#parts = [];
    this.#over();
  }

  /** See `TailSink`. */
  begin(number: number): boolean {
    if (number === this.#try) return true;
    this.#try = number;
    this.#atByte = 0;
    return true;
  }

  /** See `TailSink`. */
  piece(piece: TailPiece): void {
    this.#add(piece);
  }

  /** See `TailSink`. */
  stopped(reason: WatchEnd): void {
    const skippedBytes = 0;
    const part = { try: this.#try, atByte: this.#atByte, bytes: NO_BYTES, skippedBytes };
    this.#add({ ...part, stopped: reason });
  }

  /** See `TailSink`. */
  end(end: TaskEnd | undefined): void {
    if (end?.result !== undefined) this.#addRest(end.result);
    this.#over();
  }

  /** What the try that ended the task wrote and was not seen, as far as it is kept. */
  #addRest(result: TryResult): void {
    const { try: number } = result;
    const seen = number === this.#try ? this.#atByte : 0;
    const rest = restOf(result, { source: this.#source, try: number, seenBytes: seen });
    if (rest !== undefined) this.#add(rest);
  }

  #add(part: FollowPart): void {
    this.#try = part.try;
    this.#atByte = part.atByte + part.bytes.length;
    this.#parts.push(part);
    this.#waitingBytes += part.bytes.length;
    while (this.#waitingBytes > WAITING_BYTES_MAX) this.#skipOldest();
    this.#wake?.();
    this.#wake = undefined;
  }

  #skipOldest(): void {
    const [oldest, next] = this.#parts;
    if (oldest === undefined || next === undefined) return;
    this.#parts.shift();
    const { length } = oldest.bytes;
    this.#waitingBytes -= length;
    this.#tail?.consumed(length);
    const skippedBytes = next.skippedBytes + oldest.skippedBytes + length;
    this.#parts[0] = { ...next, skippedBytes };
  }

  #over(): void {
    this.#isOver = true;
    this.#wake?.();
    this.#wake = undefined;
  }
}

/** What is kept of a stream beyond what was seen of that try; undefined when nothing is. */
export function restOf(
  output: { readonly stdout: Uint8Array; readonly stderr: Uint8Array },
  { source, try: number, seenBytes }: {
    readonly source: GrowingSource;
    readonly try: number;
    readonly seenBytes: number;
  },
): FollowPart | undefined {
  if (source.kind === "mount") return undefined;
  const { fromByte, bytes } = readKept(output[source.stream]);
  const atByte = Math.max(seenBytes, fromByte);
  const rest = bytes.subarray(atByte - fromByte);
  if (rest.length === 0) return undefined;
  return { try: number, atByte, bytes: rest, skippedBytes: atByte - seenBytes };
}
