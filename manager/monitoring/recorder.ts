/**
 * Takes the facts of a run down: keeps what steps tell for a moment, makes records of it in slices
 * that the control loop does not feel, and hands them to whoever writes.
 *
 * Of a manager without a task or a worker nothing is recorded: it leaves no process and no folder.
 *
 * @module
 */

import { clearImmediate, setImmediate } from "node:timers";

import type { Fact } from "../core/fact.ts";
import { AppColumns } from "./app_columns.ts";
import { CallColumns, isPlainCall, isPlainEnd, isPlainTryEnd } from "./call_columns.ts";
import { type Informants, recordOf, sortOf } from "./fact_record.ts";
import type { RecordOf, RunRecord, Sample } from "./record.ts";

/** Facts wait this long for others, so that what belongs together is recorded together. */
const BATCH_MS = 150;

/** Records are made for this long in one turn of the event loop. */
const SLICE_MS = 2;

/** Facts between two looks at the clock. */
const FACTS_PER_LOOK = 32;

/** Facts that may wait; beyond it they are recorded at once, whoever waits for that. */
const QUEUE_FACTS_MAX = 200_000;

/** Facts that are recorded at once for somebody who waits. */
const HURRY_FACTS_MAX = 2_000;

/** Between two samples while tasks run and nothing changes: so far do the records go on. */
const PULSE_MS = 5_000;

/** Between two samples. */
const SAMPLE_MS = 1_000;

/** What is sampled of the manager beside what the recorder knows itself. */
export type Summary = Omit<Sample, "loopDelayMs">;

/** Takes batches of records; `RecordProcess` is one. */
export interface RecordWriter {
  /** Called once, before the first batch. */
  start(): void;
  write(batch: { readonly atMs: readonly number[]; readonly records: readonly RunRecord[] }): void;
}

/** What a recorder is made of. */
export interface RecorderOptions extends Informants {
  /** Asked once, when there is something to record. */
  readonly run: () => Omit<RecordOf<"run_started">, "kind">;
  readonly writer: RecordWriter;
  readonly summarize: () => Summary;
  /** Instant 0 of the facts' clock, epoch milliseconds. Default: that of `performance`. */
  readonly epochMs?: number;
  /** Default `PULSE_MS`. */
  readonly pulseMs?: number;
}

interface Told {
  readonly facts: readonly Fact[];
  readonly atMs: number;
}

/** The records of one manager. */
export class Recorder {
  readonly #options: RecorderOptions;
  readonly #epochMs: number;
  readonly #columns: CallColumns;
  readonly #apps: AppColumns;
  #queue: Told[] = [];
  #queuedCount = 0;
  /** Facts of the first of the queue that are recorded already. */
  #doneCount = 0;
  #isStarted = false;
  #isClosed = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timerDueMs = 0;
  #slice: ReturnType<typeof setImmediate> | undefined;
  #sampledAtMs = -Infinity;
  #pulse: ReturnType<typeof setTimeout> | undefined;
  #hasChanged = false;
  #loopDelayMs = 0;
  /** Of the newest fact that is recorded. */
  #atMs = 0;
  #instants: number[] = [];
  #records: RunRecord[] = [];

  constructor(options: RecorderOptions) {
    this.#options = options;
    this.#epochMs = options.epochMs ?? performance.timeOrigin;
    this.#columns = new CallColumns(this.#epochMs, sortOf);
    this.#apps = new AppColumns(this.#epochMs);
  }

  /** Takes the facts of a step; `atMs` is its time. They must not change. */
  hear(facts: readonly Fact[], atMs: number): void {
    if (this.#isClosed) return;
    this.#queue.push({ facts, atMs });
    this.#queuedCount += facts.length;
    if (this.#queuedCount > QUEUE_FACTS_MAX) return this.flush();
    if (this.#timer !== undefined || this.#slice !== undefined) return;
    if (!this.#isStarted && !facts.some(isWork)) return;
    this.#wait(BATCH_MS);
  }

  /** Facts that wait. */
  get waitingCount(): number {
    return this.#queuedCount;
  }

  /** Hands on what was told so far, for somebody who waits, unless it is more than a moment's work. */
  hurry(): void {
    if (this.#isStarted && this.#queuedCount <= HURRY_FACTS_MAX) this.flush();
  }

  /** Hands everything on that was told so far. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#slice !== undefined) clearImmediate(this.#slice);
    this.#slice = undefined;
    if (this.#queue.length === 0) return;
    this.#start();
    this.#take(Infinity);
    this.#endBatch({ isWhole: true });
  }

  /** Records what is left, and that the run has ended. Later facts are dropped. */
  close(): void {
    if (this.#isClosed) return;
    if (this.#isStarted || this.#queue.some(({ facts }) => facts.some(isWork))) {
      this.#start();
      this.flush();
      clearTimeout(this.#timer);
      this.#sample(performance.now());
      clearTimeout(this.#pulse);
      this.#put(performance.now() + this.#epochMs, { kind: "run_ended" });
      this.#send();
    }
    this.#isClosed = true;
    this.#queue = [];
    this.#queuedCount = 0;
  }

  #wait(durationMs: number): void {
    this.#timerDueMs = performance.now() + durationMs;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#loopDelayMs = Math.max(this.#loopDelayMs, performance.now() - this.#timerDueMs);
      this.#work();
    }, durationMs);
    this.#timer.unref();
  }

  /** Records a part of what waits, and the rest in further turns of the event loop. */
  #work(): void {
    this.#start();
    const isDone = this.#take(performance.now() + SLICE_MS);
    if (isDone) return this.#endBatch({ isWhole: false });
    this.#send();
    this.#slice = setImmediate(() => {
      this.#slice = undefined;
      this.#work();
    });
  }

  #start(): void {
    if (this.#isStarted) return;
    this.#isStarted = true;
    const { writer, run } = this.#options;
    writer.start();
    const started = run();
    this.#put(started.startedAtMs, { kind: "run_started", ...started });
    this.#send();
  }

  /** Makes records until `untilMs`; true when all facts have become some. */
  #take(untilMs: number): boolean {
    let index = 0;
    for (; index < this.#queue.length; index++) {
      const told = this.#queue[index];
      if (told === undefined) break;
      this.#atMs = told.atMs;
      this.#hasChanged = true;
      while (this.#doneCount < told.facts.length) {
        const fact = told.facts[this.#doneCount];
        this.#doneCount += 1;
        if (fact !== undefined) this.#hearOne(fact, told.atMs);
        if (this.#doneCount % FACTS_PER_LOOK === 0 && performance.now() > untilMs) {
          this.#queue.splice(0, index);
          return false;
        }
      }
      this.#doneCount = 0;
      this.#queuedCount -= told.facts.length;
    }
    this.#queue = [];
    return true;
  }

  /** Tries that began just now are left for the next batch, unless this has to be whole. */
  #endBatch({ isWhole }: { readonly isWhole: boolean }): void {
    const nowMs = performance.now();
    const tell = (atMs: number, record: RunRecord) => this.#put(this.#epochMs + atMs, record);
    const hasYoung = !isWhole && this.#columns.tellOld(nowMs, tell);
    if (isWhole) this.#columns.tellBegun(tell);
    const isEarly = nowMs - this.#sampledAtMs < SAMPLE_MS;
    if (this.#hasChanged && !isEarly) this.#sample(nowMs);
    this.#send();
    // The last change of all is sampled as well.
    if (this.#hasChanged || hasYoung) this.#wait(BATCH_MS);
  }

  #hearOne(fact: Fact, atMs: number): void {
    const columns = this.#columns;
    switch (fact.kind) {
      case "app_called":
        return this.#apps.call(atMs, fact);
      case "app_state":
        return this.#apps.move(atMs, fact);
      case "task_submitted":
        if (!isPlainCall(fact.definition)) break;
        return columns.submit(atMs, fact.definition, this.#options.tagOf(fact.taskId));
      case "try_dispatched":
        if (fact.allocated !== undefined) break;
        return columns.begin(atMs, fact);
      case "try_started":
        if (columns.start(atMs, fact.taskId)) return;
        break;
      case "try_ended":
        // The end of its task follows, and says it all.
        if (isPlainTryEnd(fact)) return;
        this.#tellBegun(fact.taskId);
        break;
      case "try_returned":
        this.#tellBegun(fact.taskId);
        break;
      case "task_ended":
        if (isPlainEnd(fact)) return columns.end(fact);
        this.#tellBegun(fact.taskId);
        break;
      case "worker_left":
        // It ends those that began there.
        columns.tellBegun((begunAtMs, record) => this.#put(this.#epochMs + begunAtMs, record));
        break;
    }
    const record = recordOf(fact, this.#options);
    if (record !== undefined) this.#put(this.#epochMs + atMs, record);
  }

  #tellBegun(taskId: number): void {
    this.#columns.tell(taskId, (atMs, record) => this.#put(this.#epochMs + atMs, record));
  }

  #sample(nowMs: number): void {
    this.#sampledAtMs = nowMs;
    this.#hasChanged = false;
    const loopDelayMs = this.#loopDelayMs;
    this.#loopDelayMs = 0;
    const summary = this.#options.summarize();
    this.#put(this.#epochMs + nowMs, { kind: "sample", ...summary, loopDelayMs });
    clearTimeout(this.#pulse);
    if (summary.dispatched === 0) return;
    this.#pulse = setTimeout(() => this.#beat(), this.#options.pulseMs ?? PULSE_MS);
    this.#pulse.unref();
  }

  /** Where a batch is under way, that has a sample of its own. */
  #beat(): void {
    if (this.#isClosed || this.#timer !== undefined || this.#slice !== undefined) return;
    this.#sample(performance.now());
    this.#send();
  }

  #put(atMs: number, record: RunRecord): void {
    this.#instants.push(atMs);
    this.#records.push(record);
  }

  /**
   * Calls come before what is told of some of them, and their ends after it; calls of apps before
   * those that are tries of them.
   */
  #send(): void {
    const { submitted, ended } = this.#columns.take();
    const { called, states } = this.#apps.take();
    const first = [called, states, submitted].filter((columns) => columns !== undefined);
    if (first.length > 0) {
      this.#instants.unshift(...first.map(() => this.#epochMs + this.#atMs));
      this.#records.unshift(...first);
    }
    if (ended !== undefined) this.#put(this.#epochMs + this.#atMs, ended);
    if (this.#records.length === 0) return;
    this.#options.writer.write({ atMs: this.#instants, records: this.#records });
    this.#instants = [];
    this.#records = [];
  }
}

/** What a run is recorded for. */
function isWork({ kind }: Fact): boolean {
  return kind === "task_submitted" || kind === "worker_joined" || kind === "app_called";
}
