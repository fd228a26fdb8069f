/**
 * Main of the record process: reads records and questions from its standard input, writes the
 * database and the logs, and answers. It reads on while it writes, so that what the manager has said
 * is here, and not in the manager, when that is killed; it ends when its input does.
 *
 * @module
 */

import { mkdirSync } from "node:fs";
import { setPriority } from "node:os";
import process from "node:process";
import { setImmediate as nextTurn } from "node:timers/promises";

import { dirname } from "@std/path";

import { unreachable } from "../../shared/assert.ts";
import { FrameReader, writeFrame } from "../../shared/pipe_frame.ts";
import { descriptorStream } from "../../shared/runtime/descriptor_stream.ts";
import type { Question } from "../dashboard/api.ts";
import { answer } from "../dashboard/queries/answer.ts";
import { RunDatabase } from "./database.ts";
import type { RecordSink, RunRecord } from "./record.ts";
import type { RecordOrder, RecordPlaces, RecordReply } from "./record_frame.ts";
import { openVineLogs } from "./vine_logs.ts";

/**
 * Between two commits at least. With the moments that facts, and tries of calls that have just begun,
 * wait in the manager it is under a second after which whatever happened is in the database.
 */
const COMMIT_MS = 700;

/** Rows are written for this long before it is looked for what else came. */
const SLICE_MS = 20;

/** A commit comes after that much writing, though more waits. */
const WRITE_MS_MAX = 500;

/** Behind whoever works: what is written here nobody waits for. */
const NICENESS = 5;

/** Runs until the end of standard input; resolves to the exit code. */
export async function runRecordCommand(): Promise<number> {
  lowerPriority();
  const desk = new RecordDesk((reply) => {
    process.stdout.write(writeFrame(reply));
  });
  process.stdout.on("error", () => {
    // The manager is gone: what it has said is written all the same.
  });
  const reader = new FrameReader<RecordOrder>();
  try {
    for await (const chunk of descriptorStream(0)) {
      for (const order of reader.read(chunk)) desk.take(order);
    }
  } catch (error) {
    desk.fail(error);
  }
  desk.close();
  return 0;
}

function lowerPriority(): void {
  try {
    setPriority(NICENESS);
  } catch {
    // Then it is as others are.
  }
}

/** One who takes records, and what it is called where it fails. */
interface NamedSink {
  readonly name: string;
  readonly sink: RecordSink;
}

/** Takes orders, and writes when it is time. */
export class RecordDesk {
  readonly #reply: (reply: RecordReply) => void;
  #database: RunDatabase | undefined;
  #sinks: readonly NamedSink[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isWriting = false;
  /** By the clock of `performance`. */
  #committedAtMs = -Infinity;
  #isClosed = false;

  constructor(reply: (reply: RecordReply) => void) {
    this.#reply = reply;
  }

  take(order: RecordOrder): void {
    switch (order.kind) {
      case "open":
        return this.#open(order.places);
      case "records":
        return this.#takeRecords(order.atMs, order.records);
      case "ask":
        return this.#answer(order.questionId, order.question);
      default:
        return unreachable(order);
    }
  }

  /** What came cannot be read: what is here is kept, and nothing more is. */
  fail(error: unknown): void {
    this.#tell(`Cannot read what is to be recorded: ${messageOf(error)}`);
  }

  /** Writes everything. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    for (const { name } of this.#sinks) this.#try(name, (sink) => sink.close());
    this.#sinks = [];
    const database = this.#database;
    if (database !== undefined) this.#reply({ kind: "recorded", atMs: database.committedAtMs });
  }

  #open({ database: path, vineLogs, outputs }: RecordPlaces): void {
    if (path !== undefined) {
      this.#tryOpen(`database "${path}"`, (name) => {
        mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
        this.#database = new RunDatabase({ path, outputs });
        return [{ name, sink: this.#database }];
      });
    }
    if (vineLogs === undefined) return;
    this.#tryOpen(`logs "${vineLogs}"`, () => {
      return openVineLogs(vineLogs).map(({ path, sink }) => ({ name: `log "${path}"`, sink }));
    });
  }

  #tryOpen(name: string, open: (name: string) => readonly NamedSink[]): void {
    try {
      this.#sinks = [...this.#sinks, ...open(name)];
    } catch (error) {
      this.#tell(`Cannot write ${name}: ${messageOf(error)}; the run goes on without`);
    }
  }

  #takeRecords(atMs: readonly number[], records: readonly RunRecord[]): void {
    for (const { name } of this.#sinks) {
      this.#try(name, (sink) => {
        for (let index = 0; index < records.length; index++) {
          const record = records[index];
          if (record !== undefined) sink.apply(atMs[index] ?? 0, record);
        }
      });
    }
    this.#plan();
  }

  #plan(): void {
    if (this.#timer !== undefined || this.#isWriting || this.#isClosed) return;
    const restMs = this.#committedAtMs + COMMIT_MS - performance.now();
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#write().catch((error: unknown) => this.fail(error));
    }, Math.max(0, restMs));
  }

  /** Writes in slices, between which records and questions are taken, and commits. */
  async #write(): Promise<void> {
    this.#isWriting = true;
    const endMs = performance.now() + WRITE_MS_MAX;
    while (performance.now() < endMs && !this.#isClosed) {
      let isDone = true;
      const untilMs = performance.now() + SLICE_MS;
      this.#withDatabase((database) => isDone = database.write(untilMs));
      if (isDone) break;
      await nextTurn();
    }
    this.#isWriting = false;
    this.#committedAtMs = performance.now();
    if (this.#isClosed) return;
    for (const { name, sink } of this.#sinks) {
      if (sink !== this.#database) this.#try(name, () => sink.flush());
    }
    this.#withDatabase((database) => {
      const isCommitted = database.commit();
      if (isCommitted) this.#reply({ kind: "recorded", atMs: database.committedAtMs });
      if (!isCommitted || database.dirtyTaskCount > 0) this.#plan();
    });
  }

  #answer(questionId: number, question: Question): void {
    const refuse = (message: string) => this.#reply({ kind: "refused", questionId, message });
    this.#withDatabase((database) => void database.write());
    if (this.#database === undefined) return refuse("Cannot answer: there are no records");
    try {
      // What cannot be written any more can be read: whoever looks on is not to lose what there is.
      const found = answer(this.#database.connection, question);
      const json = new TextEncoder().encode(JSON.stringify(found));
      this.#reply({ kind: "answer", questionId, json });
    } catch (error) {
      refuse(`Cannot answer "${question.kind}": ${messageOf(error)}`);
    }
  }

  #withDatabase(work: (database: RunDatabase) => void): void {
    const database = this.#database;
    const named = this.#sinks.find(({ sink }) => sink === database);
    if (database !== undefined && named !== undefined) this.#try(named.name, () => work(database));
  }

  /** Whoever fails is left out from then on: a full disk is no reason for the others to stop. */
  #try(name: string, work: (sink: RecordSink) => void): void {
    const named = this.#sinks.find((one) => one.name === name);
    if (named === undefined) return;
    try {
      work(named.sink);
    } catch (error) {
      this.#sinks = this.#sinks.filter((one) => one !== named);
      if (named.sink === this.#database) this.#database.abandon();
      this.#tell(`Cannot write ${name} any more: ${messageOf(error)}; the run goes on without`);
    }
  }

  #tell(message: string): void {
    this.#reply({ kind: "trouble", message });
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
