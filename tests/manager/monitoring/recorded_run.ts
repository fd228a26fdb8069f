/**
 * A made-up core whose facts are recorded: what happens in the fixture becomes records, and, where a
 * test asks for it, rows of a database.
 *
 * @module
 */

import type { ManagerEvent } from "../../../manager/core/event.ts";
import { RunDatabase } from "../../../manager/monitoring/database.ts";
import type { FileDescription } from "../../../manager/monitoring/fact_record.ts";
import { NO_SAMPLE } from "../../../manager/monitoring/performance_log.ts";
import type { RecordOf, RunRecord } from "../../../manager/monitoring/record.ts";
import { Recorder, type Summary } from "../../../manager/monitoring/recorder.ts";
import { ManagerFixture } from "../core/fixture.ts";

/** Instant 0 of the fixture's clock. */
export const EPOCH_MS = 1_800_000_000_000;

/** Of a manager that has nothing. */
export const NOTHING: Summary = NO_SAMPLE;

/** The beginning of a run whose records are written without a core. */
export const RUN_STARTED: RunRecord = {
  kind: "run_started",
  runId: "1",
  name: "test",
  version: "0",
  host: "here",
  user: "me",
  pid: 1,
  directory: "",
  startedAtMs: EPOCH_MS,
};

/** A core with a recorder; each step is 10 ms after the one before. */
export class RecordedCore extends ManagerFixture {
  readonly written: { readonly atMs: number; readonly record: RunRecord }[] = [];
  readonly tags: Map<number, string> = new Map();
  readonly descriptions: Map<number, FileDescription> = new Map();
  startCount = 0;
  /** As samples tell it. */
  dispatchedCount = 0;
  readonly recorder: Recorder = new Recorder({
    run: () => ({
      runId: "11111111-2222-4333-8444-555555555555",
      name: "test",
      version: "0",
      host: "here",
      user: "somebody",
      pid: 7,
      directory: "/runs/1",
      startedAtMs: EPOCH_MS,
    }),
    writer: {
      start: () => this.startCount += 1,
      write: ({ atMs, records }) => {
        for (const [index, record] of records.entries()) {
          this.written.push({ atMs: atMs[index] ?? Number.NaN, record });
        }
      },
    },
    summarize: () => ({ ...NOTHING, dispatched: this.dispatchedCount }),
    pulseMs: 1,
    tagOf: (taskId) => this.tags.get(taskId),
    describeFile: (fileId) => this.descriptions.get(fileId),
    epochMs: EPOCH_MS,
  });

  override feed(...events: ManagerEvent[]): void {
    this.nowMs += 10;
    super.feed(...events);
    // The first event comes before there is a recorder.
    if (this.facts.length > 0) this.recorder?.hear(this.facts, this.nowMs);
  }

  /** Kinds of the records so far, after all that was told. */
  get kinds(): string[] {
    this.recorder.flush();
    return this.written.map(({ record }) => record.kind);
  }

  /** The records of a kind so far. */
  of<Kind extends RunRecord["kind"]>(kind: Kind): RecordOf<Kind>[] {
    this.recorder.flush();
    const isOf = (record: RunRecord): record is RecordOf<Kind> => record.kind === kind;
    return this.written.map(({ record }) => record).filter(isOf);
  }

  /** Writes all of it into a new database, in `commits` parts of about the same size. */
  into(path: string, { commits = 1, outputs }: { commits?: number; outputs?: string } = {}): void {
    this.recorder.close();
    const database = new RunDatabase({ path, outputs });
    const size = Math.ceil(this.written.length / commits);
    for (const [index, { atMs, record }] of this.written.entries()) {
      database.apply(atMs, record);
      if ((index + 1) % size === 0) database.flush();
    }
    database.close();
  }
}
