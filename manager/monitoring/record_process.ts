/**
 * The child of this program that writes a run's records: whoever waits for a disk there, the
 * manager does not. It is started when there is something to record, is asked over the same pipe,
 * and ends when the pipe does, with everything written that came through it.
 *
 * @module
 */

import { unreachable } from "../../shared/assert.ts";
import { PipedChild } from "../../shared/runtime/piped_child.ts";
import type { Question } from "../dashboard/api.ts";
import type { RunRecord } from "./record.ts";
import type { RecordOrder, RecordPlaces, RecordReply } from "./record_frame.ts";
import type { RecordWriter } from "./recorder.ts";

/** Unread records from which on only those are sent without which the others mean nothing. */
export const BACKLOG_BYTES_MAX: number = 64 * 1024 * 1024;

/** Times that: none are sent any more but the last. */
const FULL_FACTOR = 2;

/** Records of one frame: commands and messages among them may be long. */
const FRAME_RECORDS_MAX = 2_000;

/** Questions that wait at a time. */
const QUESTIONS_MAX = 100;

/** An answer is waited for that long. */
const ANSWER_MS_MAX = 30_000;

/** How long the process has for what is left when the run has ended. */
const CLOSE_MS_MAX = 30_000;

/** What a record process is started with. */
export interface RecordProcessOptions {
  /** Runs `runRecordCommand`: what `selfCommand(["internal-records"])` gives, or throws. */
  readonly command: () => readonly string[];
  /** Asked once, when there is something to record. */
  readonly places: () => RecordPlaces;
  /** Told of what is not recorded any more, one line each. */
  readonly onTrouble: (message: string) => void;
  /** Default `BACKLOG_BYTES_MAX` and 30 s. */
  readonly backlogBytesMax?: number;
  readonly closeMsMax?: number;
}

interface Asked {
  readonly resolve: (json: Uint8Array) => void;
  readonly reject: (error: Error) => void;
  readonly timer: ReturnType<typeof setTimeout>;
}

type Batch = Parameters<RecordWriter["write"]>[0];

/** Owner of the process and of the pipes to and from it. */
export class RecordProcess implements RecordWriter, AsyncDisposable {
  readonly #options: RecordProcessOptions;
  readonly #asked: Map<number, Asked> = new Map();
  #lastQuestionId = 0;
  #child: PipedChild<RecordOrder> | undefined;
  #isBroken = false;
  #isClosing = false;
  /** It was said that the end is not written. */
  #isTold = false;
  #recordedAtMs = 0;
  #leftOutCount = 0;
  /** Of these, those that the records say nothing of yet. */
  #untoldCount = 0;
  readonly #listeners: Set<(atMs: number) => void> = new Set();

  constructor(options: RecordProcessOptions) {
    this.#options = options;
  }

  /** The database holds everything up to then; 0 before it holds anything. */
  get recordedAtMs(): number {
    return this.#recordedAtMs;
  }

  /** Records that were left out so far, as nobody read them in time. */
  get leftOutCount(): number {
    return this.#leftOutCount;
  }

  /** Process id; undefined while there is none. */
  get processId(): number | undefined {
    return this.#child?.processId;
  }

  /** Calls `listener` when `recordedAtMs` has grown; gives back how to stop. */
  onRecorded(listener: (atMs: number) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  start(): void {
    if (this.#child !== undefined || this.#isBroken || this.#isClosing) return;
    try {
      this.#child = new PipedChild<RecordOrder, RecordReply>({
        command: this.#options.command(),
        onReply: (reply) => this.#hear(reply),
        onEnd: (reason) => {
          if (!this.#isClosing) this.#break(reason);
          this.#refuseAll();
        },
      });
      this.#send({ kind: "open", places: this.#options.places() });
    } catch (error) {
      this.#break(error instanceof Error ? error.message : String(error));
    }
  }

  write({ atMs, records }: Batch): void {
    for (let from = 0; from < records.length; from += FRAME_RECORDS_MAX) {
      const to = from + FRAME_RECORDS_MAX;
      this.#writePart({ atMs: atMs.slice(from, to), records: records.slice(from, to) });
    }
  }

  #writePart({ atMs, records }: Batch): void {
    const { backlogBytesMax = BACKLOG_BYTES_MAX } = this.#options;
    const unreadBytes = this.#child?.unreadBytes ?? 0;
    if (unreadBytes <= backlogBytesMax) {
      this.#tellLeftOut(atMs.at(-1) ?? 0);
      return this.#send({ kind: "records", atMs, records });
    }
    const isFull = unreadBytes > FULL_FACTOR * backlogBytesMax;
    const isKept = (record: RunRecord) => isFull ? isLast(record) : isEssential(record);
    const kept = records.flatMap((record, index) =>
      isKept(record) ? [[atMs[index] ?? 0, record] as const] : []
    );
    this.#leftOutCount += records.length - kept.length;
    this.#untoldCount += records.length - kept.length;
    if (kept.length === 0) return;
    const instants = kept.map(([at]) => at);
    this.#send({ kind: "records", atMs: instants, records: kept.map(([, record]) => record) });
  }

  /**
   * Asks what the records say, once all that was written is in them; the answer is JSON.
   *
   * @throws {Error} When nothing is recorded, too many wait, or no answer comes in time.
   */
  ask(question: Question): Promise<Uint8Array> {
    if (this.#child === undefined || this.#isBroken || this.#isClosing) {
      return Promise.reject(new Error("Cannot ask the records: there are none"));
    }
    if (this.#asked.size >= QUESTIONS_MAX) {
      const found = `${QUESTIONS_MAX} questions wait already`;
      return Promise.reject(new Error(`Cannot ask the records: ${found}`));
    }
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    this.#lastQuestionId += 1;
    const questionId = this.#lastQuestionId;
    const timer = setTimeout(() => {
      this.#asked.delete(questionId);
      reject(new Error(`Cannot ask the records: no answer in ${ANSWER_MS_MAX / 1000} s`));
    }, ANSWER_MS_MAX);
    this.#asked.set(questionId, { resolve, reject, timer });
    this.#send({ kind: "ask", questionId, question });
    return promise;
  }

  /** Waits until everything is written, within limits. */
  async close(): Promise<void> {
    this.#isClosing = true;
    const { closeMsMax = CLOSE_MS_MAX } = this.#options;
    const isWhole = await this.#child?.close(closeMsMax);
    if (isWhole !== false || this.#isTold) return;
    this.#isTold = true;
    this.#options.onTrouble(
      `Cannot record the end of the run: it was not written in ${closeMsMax / 1000} s`,
    );
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #send(order: RecordOrder): void {
    if (this.#child === undefined || this.#isBroken) return;
    const sizeBytes = this.#child.send(order);
    if (sizeBytes !== undefined) return;
    // It would end the records of all others.
    this.#options.onTrouble("Cannot record a part of the run: it is too large");
  }

  #tellLeftOut(atMs: number): void {
    if (this.#untoldCount === 0) return;
    const text = `${this.#untoldCount} details are not recorded: the disk was too slow for them`;
    this.#untoldCount = 0;
    const record = { kind: "note", noteKind: "records_left_out", subject: "", text } as const;
    this.#send({ kind: "records", atMs: [atMs], records: [record] });
  }

  #hear(reply: RecordReply): void {
    switch (reply.kind) {
      case "recorded":
        this.#recordedAtMs = reply.atMs;
        for (const listener of this.#listeners) listener(reply.atMs);
        return;
      case "answer":
        return this.#takeAsked(reply.questionId)?.resolve(reply.json);
      case "refused":
        return this.#takeAsked(reply.questionId)?.reject(new Error(reply.message));
      case "trouble":
        return this.#options.onTrouble(reply.message);
      default:
        return unreachable(reply);
    }
  }

  #takeAsked(questionId: number): Asked | undefined {
    const asked = this.#asked.get(questionId);
    this.#asked.delete(questionId);
    clearTimeout(asked?.timer);
    return asked;
  }

  #refuseAll(): void {
    for (const questionId of [...this.#asked.keys()]) {
      this.#takeAsked(questionId)?.reject(new Error("Cannot ask the records: they have ended"));
    }
  }

  #break(reason: string): void {
    if (this.#isBroken) return;
    this.#isBroken = true;
    this.#options.onTrouble(`Cannot record the run: ${reason}`);
  }
}

/** Without these nothing else can be told. */
function isEssential({ kind }: RunRecord): boolean {
  switch (kind) {
    case "task_submitted":
    case "task_ended":
    case "calls_submitted":
    case "calls_ended":
    case "apps_called":
    case "app_states":
    case "file_declared":
    case "worker_joined":
    case "worker_left":
    case "library_declared":
    case "note":
    case "sample":
      return true;
    default:
      return isLast({ kind });
  }
}

function isLast({ kind }: Pick<RunRecord, "kind">): boolean {
  return kind === "run_started" || kind === "run_ended";
}
