/**
 * Writes a made-up run into a `monitoring.db`, for tests of what reads it and to measure that: 100,000
 * tasks on 500 workers take a few seconds. Of Parsl's tables only `workflow` has a row.
 *
 * @module
 */

import { DatabaseSync, type SQLInputValue } from "node:sqlite";

import { SCHEMA, SCHEMA_VERSION } from "../../../manager/monitoring/schema.ts";
import type { SyntheticOptions } from "./synthetic_draft.ts";
import { planSyntheticRun } from "./synthetic_plan.ts";
import type { SyntheticPlan } from "./synthetic_rows.ts";
import { type SyntheticSample, takeSamples } from "./synthetic_samples.ts";

export type { SyntheticOptions } from "./synthetic_draft.ts";

/** What was written: rows as in the database, to count in them apart from SQL. */
export interface SyntheticRun extends SyntheticPlan {
  /** When the records end: the end of the run, or the part of it that was asked for. */
  readonly recordedAtMs: number;
  readonly samples: readonly SyntheticSample[];
}

/** Makes a run and writes it into a new database at `path`, which may be `:memory:`. */
export function writeSyntheticRun(path: string, options: SyntheticOptions): SyntheticRun {
  const db = new DatabaseSync(path);
  try {
    return fillSyntheticRun(db, options);
  } finally {
    db.close();
  }
}

/** Writes a run into an open, empty database. */
export function fillSyntheticRun(db: DatabaseSync, options: SyntheticOptions): SyntheticRun {
  const run = cut(planSyntheticRun(options), options.until ?? 1);
  db.exec("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF");
  db.exec("BEGIN");
  db.exec(SCHEMA);
  db.prepare("INSERT INTO tendril_schema VALUES (?)").run(SCHEMA_VERSION);
  writeRun(db, run, (options.until ?? 1) >= 1);
  insert(db, "task_detail", run.tasks);
  insert(db, "attempt", run.attempts);
  insert(db, "mount", run.mounts);
  insert(db, "file", run.files);
  insert(db, "replica", run.replicas);
  insert(db, "transfer", run.transfers);
  insert(db, "worker", run.workers);
  insert(db, "library_instance", run.instances);
  insert(db, "note", run.notes);
  insert(db, "sample", run.samples);
  insert(db, "library", [{
    name: "scoring",
    program: "bun",
    mode: "fork",
    slots: 1,
    cores: 1,
    memoryBytes: 1e9,
    declaredAtMs: run.startedAtMs,
  }]);
  db.exec("COMMIT");
  return run;
}

function writeRun(db: DatabaseSync, run: SyntheticRun, hasEnded: boolean): void {
  const { startedAtMs, endedAtMs, recordedAtMs } = run;
  insert(db, "run", [{
    runId: "synthetic",
    name: "synthetic.ts",
    tendrilVersion: "0.1.0",
    host: "head.example.org",
    user: "somebody",
    pid: 4242,
    directory: "/data/tendril-runs/synthetic",
    startedAtMs,
    endedAtMs: hasEnded ? endedAtMs : null,
    recordedAtMs,
  }]);
  insert(db, "workflow", [{
    runId: "synthetic",
    workflowName: "synthetic.ts",
    timeBegan: parslTime(startedAtMs),
    timeCompleted: hasEnded ? parslTime(endedAtMs) : null,
    host: "head.example.org",
    user: "somebody",
    rundir: "/data/tendril-runs/synthetic",
    tasksFailedCount: run.tasks.filter(isFailed).length,
    tasksCompletedCount: run.tasks.filter(({ outcome }) => outcome === "success").length,
  }]);
}

function isFailed({ outcome }: { readonly outcome: string | null }): boolean {
  return outcome !== null && outcome !== "success" && outcome !== "cancelled";
}

function parslTime(atMs: number): string {
  return `${new Date(atMs).toISOString().replace("T", " ").replace("Z", "")}000`;
}

/** Inserts rows whose keys are columns in camel case; all rows have the keys of the first. */
function insert(db: DatabaseSync, table: string, rows: readonly object[]): void {
  const [first] = rows;
  if (first === undefined) return;
  const keys = Object.keys(first);
  const columns = keys.map((key) => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`));
  const statement = db.prepare(
    `INSERT INTO ${table} (${columns.join(", ")}) VALUES (${keys.map(() => "?").join(", ")})`,
  );
  for (const row of rows as readonly { readonly [key: string]: SQLInputValue }[]) {
    statement.run(...keys.map((key) => row[key]!));
  }
}

/** What is known of the run when only that part of it has passed. */
function cut(plan: SyntheticPlan, until: number): SyntheticRun {
  const { startedAtMs, endedAtMs } = plan;
  const nowMs = until >= 1 ? endedAtMs : startedAtMs + until * (endedAtMs - startedAtMs);
  const before = (atMs: number | null): number | null =>
    atMs !== null && atMs <= nowMs ? atMs : null;
  const attempts = plan.attempts.filter(({ dispatchedAtMs }) => dispatchedAtMs <= nowMs);
  for (const row of attempts) {
    row.startedAtMs = before(row.startedAtMs);
    row.endedAtMs = before(row.endedAtMs);
    if (row.startedAtMs === null) row.lane = null;
    if (row.endedAtMs === null) row.outcome = row.message = null;
  }
  const tasks = plan.tasks.filter(({ submittedAtMs }) => submittedAtMs <= nowMs);
  reopen(tasks, attempts, nowMs);
  const transfers = plan.transfers.filter((row) => row.startedAtMs <= nowMs);
  for (const row of transfers) {
    if (before(row.endedAtMs) !== null) continue;
    Object.assign(row, { endedAtMs: null, state: "running", movedBytes: 0, message: null });
  }
  const replicas = plan.replicas.filter(({ readyAtMs }) => readyAtMs <= nowMs);
  for (const row of replicas) row.goneAtMs = before(row.goneAtMs);
  const known = new Set(replicas.map(({ fileId }) => fileId));
  for (const row of plan.files) {
    if (row.producerTaskId !== null && !known.has(row.fileId)) row.sizeBytes = null;
  }
  const workers = plan.workers.filter(({ joinedAtMs }) => joinedAtMs <= nowMs);
  for (const row of workers) {
    row.leftAtMs = before(row.leftAtMs);
    if (row.leftAtMs === null) row.reason = null;
  }
  const instances = plan.instances.filter(({ startingAtMs }) => startingAtMs <= nowMs);
  for (const row of instances) {
    row.readyAtMs = before(row.readyAtMs);
    row.endedAtMs = before(row.endedAtMs);
    if (row.endedAtMs === null) row.state = row.readyAtMs === null ? "starting" : "ready";
  }
  const submitted = new Set(tasks.map(({ taskId }) => taskId));
  const mounts = plan.mounts.filter(({ taskId }) => submitted.has(taskId));
  const files = plan.files.filter(({ producerTaskId }) =>
    producerTaskId === null || submitted.has(producerTaskId)
  );
  const rows = { ...plan, attempts, tasks, transfers, replicas, workers, instances, mounts, files };
  return { ...rows, recordedAtMs: nowMs, samples: takeSamples(rows, nowMs) };
}

/** Puts tasks that have not ended by then into the state that they are in. */
function reopen(
  tasks: SyntheticPlan["tasks"],
  attempts: SyntheticPlan["attempts"],
  nowMs: number,
): void {
  const last = new Map(attempts.map((row) => [row.taskId, row]));
  for (const task of tasks) {
    if (task.endedAtMs! <= nowMs) continue;
    const attempt = last.get(task.taskId);
    const isAtWorker = attempt !== undefined &&
      (attempt.endedAtMs === null || attempt.outcome === "success");
    Object.assign(task, {
      state: !isAtWorker
        ? "pending"
        : attempt.endedAtMs !== null
        ? "retrieving"
        : attempt.startedAtMs !== null
        ? "running"
        : "dispatched",
      outcome: null,
      message: "",
      tryCount: attempt?.try ?? 0,
      exitCode: null,
      signal: null,
      workerId: isAtWorker ? attempt.workerId : null,
      host: isAtWorker ? task.host : null,
      dispatchedAtMs: isAtWorker ? attempt.dispatchedAtMs : null,
      startedAtMs: isAtWorker ? attempt.startedAtMs : null,
      endedAtMs: null,
      stagedMs: null,
      ranMs: null,
      usedCores: null,
      usedMemoryBytes: null,
      usedDiskBytes: null,
      usedProcessCount: null,
      usedCpuMs: null,
      valueBytes: null,
      stdoutBytes: null,
      stderrBytes: null,
      stdoutTail: null,
      stderrTail: null,
    });
  }
}
