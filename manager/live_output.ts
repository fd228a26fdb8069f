/**
 * What tasks have written, for whoever looks now and then: of those that ended from the output log,
 * of those that run by a look at their worker, which stays open while somebody asks again.
 *
 * @module
 */

import type { TaskId } from "../shared/ids.ts";
import { STREAM_KEPT_BYTES } from "../shared/protocol.ts";
import { truncationNote } from "../shared/stream_note.ts";
import type { Catalog } from "./catalog.ts";
import type { LiveOutput } from "./dashboard/api.ts";
import type { OutputLog } from "./output_log.ts";
import type { Tail, TailDesk, TailPiece, TailSink } from "./tail_desk.ts";
import type { TaskStateName } from "./task_handle.ts";

/** Tasks that are looked at; the one that was asked for longest ago makes room. */
const LOOKS_MAX = 32;

/** A look that nobody has asked for so long is closed. */
const UNASKED_MS_MAX = 15_000;

/** Longest wait for the first that a worker tells, and for more after the last that it told. */
const FIRST_MS_MAX = 1_000;
const MORE_MS_MAX = 150;

/** What such a desk is made of. */
export interface LiveOutputsOptions {
  readonly catalog: Pick<Catalog, "get">;
  readonly output: Pick<OutputLog, "read">;
  readonly tails: Pick<TailDesk, "open">;
  readonly stateOf: (taskId: TaskId) => TaskStateName;
}

/** Reads what tasks wrote. */
export class LiveOutputs {
  readonly #options: LiveOutputsOptions;
  /** The one that was asked for longest ago first. */
  readonly #looks: Map<TaskId, Look> = new Map();
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(options: LiveOutputsOptions) {
    this.#options = options;
  }

  /** The ends of both streams; undefined of a task that is not remembered, or whose output is not. */
  async read(taskId: TaskId): Promise<LiveOutput | undefined> {
    const entry = this.#options.catalog.get(taskId);
    if (entry === undefined) return undefined;
    if (entry.ending === undefined) return await this.#readRunning(taskId);
    const kept = await this.#options.output.read(entry.ending.output);
    if (kept === undefined) return undefined;
    const [stdout, stderr] = [kept.stdout, kept.stderr].map(textOf) as [string, string];
    return { stdout, stderr, isRunning: false };
  }

  /** Looks at nothing any more. */
  close(): void {
    for (const look of this.#looks.values()) look.close();
    this.#looks.clear();
    clearInterval(this.#timer);
  }

  async #readRunning(taskId: TaskId): Promise<LiveOutput> {
    const state = this.#options.stateOf(taskId);
    const look = this.#looks.get(taskId) ?? this.#open(taskId);
    this.#looks.delete(taskId);
    this.#looks.set(taskId, look);
    look.askedAtMs = performance.now();
    if (state === "running") await look.settled;
    return { ...look.read(), isRunning: state === "running" };
  }

  #open(taskId: TaskId): Look {
    const [oldest] = this.#looks;
    if (oldest !== undefined && this.#looks.size >= LOOKS_MAX) this.#close(...oldest);
    this.#timer ??= setInterval(() => this.#sweep(), UNASKED_MS_MAX / 2);
    // Whoever looks does not keep a workflow from ending.
    this.#timer.unref?.();
    return new Look(this.#options.tails, taskId);
  }

  #sweep(): void {
    const longAgoMs = performance.now() - UNASKED_MS_MAX;
    for (const [taskId, look] of this.#looks) {
      if (look.isOver || look.askedAtMs < longAgoMs) this.#close(taskId, look);
    }
    if (this.#looks.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #close(taskId: TaskId, look: Look): void {
    this.#looks.delete(taskId);
    look.close();
  }
}

/** A look at both streams of one task. */
class Look {
  readonly #stdout: StreamEnd;
  readonly #stderr: StreamEnd;
  /** When what was there at first has come, or has had its time. */
  readonly settled: Promise<void>;
  askedAtMs = 0;

  constructor(tails: Pick<TailDesk, "open">, taskId: TaskId) {
    const { promise, resolve } = Promise.withResolvers<void>();
    let timer = setTimeout(resolve, FIRST_MS_MAX);
    const told = (): void => {
      clearTimeout(timer);
      timer = setTimeout(resolve, MORE_MS_MAX);
    };
    this.settled = promise;
    const [stdout, stderr] = (["stdout", "stderr"] as const).map((stream) => {
      const end = new StreamEnd(told);
      end.tail = tails.open({ taskId, source: { kind: "stream", stream }, canSkip: true }, end);
      return end;
    }) as [StreamEnd, StreamEnd];
    this.#stdout = stdout;
    this.#stderr = stderr;
  }

  /** The task has ended. */
  get isOver(): boolean {
    return this.#stdout.isOver;
  }

  read(): { readonly stdout: string; readonly stderr: string } {
    return { stdout: this.#stdout.read(), stderr: this.#stderr.read() };
  }

  close(): void {
    this.#stdout.tail?.close();
    this.#stderr.tail?.close();
  }
}

/** The end of what one stream of the running try holds. */
class StreamEnd implements TailSink {
  readonly #told: () => void;
  #pieces: Uint8Array[] = [];
  #heldBytes = 0;
  #sizeBytes = 0;
  isOver = false;
  tail: Tail | undefined;

  constructor(told: () => void) {
    this.#told = told;
  }

  begin(): boolean {
    this.#pieces = [];
    this.#heldBytes = 0;
    this.#sizeBytes = 0;
    return true;
  }

  piece({ atByte, bytes, skippedBytes }: TailPiece): void {
    if (skippedBytes > 0) this.begin();
    this.#pieces.push(bytes);
    this.#heldBytes += bytes.length;
    this.#sizeBytes = atByte + bytes.length;
    while (this.#heldBytes - (this.#pieces[0]?.length ?? 0) >= STREAM_KEPT_BYTES) {
      this.#heldBytes -= this.#pieces.shift()?.length ?? 0;
    }
    this.tail?.consumed(bytes.length);
    this.#told();
  }

  stopped(): void {
    this.#told();
  }

  end(): void {
    this.isOver = true;
    this.#told();
  }

  read(): string {
    const held = new Uint8Array(this.#heldBytes);
    let atByte = 0;
    for (const piece of this.#pieces) {
      held.set(piece, atByte);
      atByte += piece.length;
    }
    const kept = held.subarray(Math.max(0, held.length - STREAM_KEPT_BYTES));
    const isCut = kept.length < this.#sizeBytes;
    return (isCut ? truncationNote(this.#sizeBytes, kept.length) : "") + textOf(kept);
  }
}

/** What is no UTF-8 is shown as such; a page has no other way. */
function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
