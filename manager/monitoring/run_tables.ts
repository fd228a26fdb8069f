/** Rows of the run as a whole: Parsl's `workflow`, and `run`, `sample` and `note`. */

import type { DatabaseSync, StatementSync } from "node:sqlite";

import type { RecordOf, Sample } from "./record.ts";
import { sqlTime } from "./sql_time.ts";
import { insertInto, wholeOrNull } from "./statement.ts";

/** What a sample has beside what the manager tells. */
export interface Observed {
  readonly coresBusy: number;
  readonly running: number;
  /** Calls that have ended. */
  readonly calls: number;
}

/** How many tasks have ended so far. */
export interface EndedCounts {
  readonly failed: number;
  readonly succeeded: number;
}

/** What is written of the run. */
export class RunTables {
  readonly #runId: string;
  readonly #insertSample: StatementSync;
  readonly #insertNote: StatementSync;
  readonly #record: StatementSync;
  readonly #end: StatementSync;
  readonly #count: StatementSync;
  readonly #complete: StatementSync;

  /** Writes the rows of a run that has begun. */
  constructor(database: DatabaseSync, run: RecordOf<"run_started">) {
    const { runId, name, version, host, user, directory, startedAtMs } = run;
    this.#runId = runId;
    insertInto(database, "run", [
      "run_id",
      "name",
      "tendril_version",
      "host",
      "user",
      "pid",
      "directory",
      "started_at_ms",
      "recorded_at_ms",
    ]).run(runId, name, version, host, user, run.pid, directory, startedAtMs, startedAtMs);
    insertInto(database, "workflow", [
      "run_id",
      "workflow_name",
      "workflow_version",
      "time_began",
      "host",
      "user",
      "rundir",
      "tasks_failed_count",
      "tasks_completed_count",
    ]).run(runId, name, version, sqlTime(startedAtMs), host, user, directory, 0, 0);
    this.#insertSample = insertInto(database, "sample", SAMPLE_COLUMNS);
    this.#insertNote = insertInto(database, "note", ["at_ms", "kind", "subject", "text"]);
    const [ofRun, ofWorkflow] = ["run", "workflow"].map((table) => (changes: string) =>
      database.prepare(`UPDATE ${table} SET ${changes} WHERE run_id = ?`)
    ) as [(changes: string) => StatementSync, (changes: string) => StatementSync];
    this.#record = ofRun("recorded_at_ms = max(recorded_at_ms, ?)");
    this.#end = ofRun("ended_at_ms = ?");
    this.#count = ofWorkflow("tasks_failed_count = ?, tasks_completed_count = ?");
    this.#complete = ofWorkflow("time_completed = ?");
  }

  note(atMs: number, noteKind: string, { subject, text }: { subject: string; text: string }): void {
    this.#insertNote.run(atMs, noteKind, subject, text);
  }

  sample(atMs: number, sample: Sample, { coresBusy, running, calls }: Observed): void {
    this.#insertSample.run(
      atMs,
      sample.waiting,
      sample.ready,
      // Those that run are told apart here.
      Math.max(0, sample.dispatched - running),
      Math.min(running, sample.dispatched),
      sample.retrieving,
      sample.submittedTotal,
      sample.succeededTotal,
      sample.failedTotal,
      sample.cancelledTotal,
      calls,
      sample.workersConnected,
      sample.workersAway,
      sample.cores,
      sample.coresCommitted,
      Math.min(coresBusy, Math.max(sample.cores, sample.coresCommitted)),
      wholeOrNull(sample.diskBytes) ?? 0,
      wholeOrNull(sample.diskUsedBytes) ?? 0,
      sample.files,
      sample.transfers,
      sample.recoveriesTotal,
      sample.managerToWorkerBytes,
      sample.workerToWorkerBytes,
      sample.workerToManagerBytes,
      sample.urlToWorkerBytes,
      sample.workerToUrlBytes,
      sample.schedulingMs,
      sample.loopDelayMs,
    );
  }

  /** Everything up to then is in the database with the next commit. */
  record(atMs: number, { failed, succeeded }: EndedCounts): void {
    this.#record.run(atMs, this.#runId);
    this.#count.run(failed, succeeded, this.#runId);
  }

  end(atMs: number): void {
    this.#end.run(atMs, this.#runId);
    this.#complete.run(sqlTime(atMs), this.#runId);
  }
}

const SAMPLE_COLUMNS: readonly string[] = [
  "at_ms",
  "waiting",
  "ready",
  "dispatched",
  "running",
  "retrieving",
  "submitted_total",
  "succeeded_total",
  "failed_total",
  "cancelled_total",
  "calls_total",
  "workers_connected",
  "workers_away",
  "cores",
  "cores_committed",
  "cores_busy",
  "disk_bytes",
  "disk_used_bytes",
  "files",
  "transfers",
  "recoveries_total",
  "manager_to_worker_bytes",
  "worker_to_worker_bytes",
  "worker_to_manager_bytes",
  "url_to_worker_bytes",
  "worker_to_url_bytes",
  "scheduling_ms",
  "loop_delay_ms",
];
