/**
 * Writes the records of a run into `monitoring.db`. What may change soon is kept and written when
 * the next commit comes, so that a task that took no longer costs one write for each of its rows.
 *
 * With a rollback journal, and not with a write-ahead log, it can be read while it is written, from
 * another host too: https://www.sqlite.org/wal.html, section 1. What is not committed stays in this
 * process, so that readers are kept out only while a commit takes.
 *
 * @module
 */

import { existsSync, rmSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";

import { unreachable } from "../../shared/assert.ts";
import { AppLife } from "./app_life.ts";
import { AppTables } from "./app_tables.ts";
import { Attempts } from "./attempts.ts";
import { FileTables } from "./file_tables.ts";
import type { RecordOf, RecordSink, RunRecord } from "./record.ts";
import { RunTables } from "./run_tables.ts";
import { SCHEMA, SCHEMA_VERSION } from "./schema.ts";
import { TaskLife } from "./task_life.ts";
import { TaskTables } from "./task_tables.ts";
import { WorkerTables } from "./worker_tables.ts";

/** How long a commit waits for those who read; after that it comes with the next one. */
const BUSY_MS_MAX = 250;

/** How long a transaction waits for others who write; after that nothing is recorded any more. */
const WRITERS_MS_MAX = 20_000;

/** Tasks that are written between two looks at the clock. */
const TASKS_PER_LOOK = 16;

/** Where a database goes, and what it refers to. */
export interface RunDatabaseOptions {
  readonly path: string;
  /** Folder of what failed tasks wrote. */
  readonly outputs?: string | undefined;
}

/** The database of a run that goes on. */
export class RunDatabase implements RecordSink {
  /** For questions; what was written can be read here before it is committed. */
  readonly connection: DatabaseSync;
  readonly #outputs: string | undefined;
  readonly #attempts: Attempts = new Attempts();
  #tables: Tables | undefined;
  #isInTransaction = false;
  /** Of the newest record, and of the newest that is committed. */
  #atMs = 0;
  #committedAtMs = 0;

  /**
   * Makes a new database.
   *
   * @throws {Error} When there is one already, or it cannot be made.
   */
  constructor({ path, outputs }: RunDatabaseOptions) {
    // Whatever is in a file of that name, it is not of this run.
    if (existsSync(path)) throw new Error(`Cannot make database "${path}": it exists`);
    this.#outputs = outputs;
    this.connection = new DatabaseSync(path);
    try {
      this.connection.exec(
        `PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = NORMAL; ` +
          `PRAGMA busy_timeout = ${BUSY_MS_MAX}; PRAGMA cache_spill = OFF; ` +
          `PRAGMA cache_size = -${CACHE_KIB}; PRAGMA temp_store = MEMORY; BEGIN; ${SCHEMA} ` +
          `INSERT INTO tendril_schema VALUES (${SCHEMA_VERSION}); COMMIT;`,
      );
    } catch (error) {
      this.connection.close();
      rmSync(path, { force: true });
      throw error;
    }
  }

  /** The database holds everything up to then. */
  get committedAtMs(): number {
    return this.#committedAtMs;
  }

  /** Tasks and calls of apps that wait to be written. */
  get dirtyTaskCount(): number {
    return this.#tables === undefined ? 0 : dirtyCountOf(this.#tables);
  }

  /** Tasks and calls of apps that are remembered, as they have not ended or are not written. */
  get openTaskCount(): number {
    return this.#tables === undefined
      ? 0
      : this.#tables.life.openCount + this.#tables.calls.openCount;
  }

  apply(atMs: number, record: RunRecord): void {
    this.#begin();
    if (atMs > this.#atMs) this.#atMs = atMs;
    if (record.kind === "run_started") {
      this.#start(record);
      // Whatever happens in the next second, it is known whose records these are.
      this.commit();
    } else if (this.#tables !== undefined) this.#take(this.#tables, atMs, record);
  }

  /** Writes what waits until `untilMs` of `performance.now()`; true when nothing is left. */
  write(untilMs: number = Infinity): boolean {
    const tables = this.#tables;
    if (tables === undefined) return true;
    // Whatever is taken begins a transaction: nothing waits, and nobody is to be kept out for it.
    if (!this.#isInTransaction && dirtyCountOf(tables) === 0) return true;
    this.#begin();
    tables.files.write();
    for (let count = 1;; count++) {
      const call = tables.calls.takeDirty();
      const task = tables.life.takeDirty();
      if (call !== undefined) tables.apps.write(call);
      if (task !== undefined) tables.tasks.write(task);
      if (call === undefined && task === undefined) return true;
      if (count % TASKS_PER_LOOK === 0 && performance.now() > untilMs) return false;
    }
  }

  /** Makes what was written last; false when others are in the way for now. */
  commit(): boolean {
    if (!this.#isInTransaction) return true;
    const isWhole = this.#tables !== undefined && dirtyCountOf(this.#tables) === 0;
    if (isWhole) this.#tables?.run.record(this.#atMs, this.#tables.endedCounts());
    try {
      this.connection.exec("COMMIT");
    } catch (error) {
      if (isBusy(error)) return false;
      throw error;
    }
    this.#isInTransaction = false;
    if (isWhole) this.#committedAtMs = this.#atMs;
    return true;
  }

  flush(): void {
    this.write();
    this.commit();
  }

  close(): void {
    const untilMs = performance.now() + CLOSE_BUSY_MS_MAX;
    this.write();
    while (!this.commit()) {
      if (performance.now() > untilMs) throw new Error("others did not let go of it");
    }
    // What is left of the journal: it is empty.
    this.connection.exec("PRAGMA journal_mode = DELETE");
    this.connection.close();
  }

  /** Writes no more, where that fails: what is committed stays, and can be asked for. */
  abandon(): void {
    try {
      this.connection.exec("ROLLBACK");
    } catch {
      // SQLite has done so itself, or it is as broken as that.
    }
  }

  #begin(): void {
    if (this.#isInTransaction) return;
    // Now, and not with the first change, which cannot wait: somebody may be writing there himself.
    this.connection.exec(
      `PRAGMA busy_timeout = ${WRITERS_MS_MAX}; BEGIN IMMEDIATE; ` +
        `PRAGMA busy_timeout = ${BUSY_MS_MAX}`,
    );
    this.#isInTransaction = true;
  }

  #start(run: RecordOf<"run_started">): void {
    const { runId, version } = run;
    const { connection } = this;
    const attempts = this.#attempts;
    const files = new FileTables(connection);
    const workers = new WorkerTables(connection, { runId, version });
    const calls = new AppLife();
    const life = new TaskLife(attempts, {
      triedCall: (callId, taskId) => calls.triedBy(callId, taskId),
      producersOf: (fileId) => files.producersOf(fileId),
      coresPerSlot: (library) => workers.coresPerSlot(library),
    });
    this.#tables = {
      run: new RunTables(connection, run),
      tasks: new TaskTables(connection, { runId, attempts, outputs: this.#outputs }),
      files,
      workers,
      life,
      apps: new AppTables(connection, { runId }),
      calls,
      endedCounts: () => ({
        failed: life.failedCount + calls.failedCount,
        succeeded: life.succeededCount + calls.doneCount,
      }),
    };
  }

  #take(tables: Tables, atMs: number, record: RunRecord): void {
    const { life, files, workers, run, calls } = tables;
    switch (record.kind) {
      case "apps_called":
        return calls.call(record);
      case "app_states":
        return calls.move(record);
      case "task_submitted":
        life.submit(atMs, record);
        for (const { role, fileId } of record.mounts) {
          if (role === "output") files.produce(record.taskId, fileId);
        }
        return;
      case "calls_submitted":
        return life.submitCalls(record);
      case "calls_ended":
        return life.endCalls(record);
      case "try_dispatched":
        return life.dispatch(atMs, record);
      case "try_started":
        return life.start(atMs, record);
      case "try_returned":
        return life.giveBack(atMs, record);
      case "try_ended":
        return life.endTry(atMs, record);
      case "task_ended":
        return life.end(atMs, record);
      case "outputs_lost":
        return life.loseOutputs(atMs, record);
      case "recovery_started":
        return life.startRecovery(atMs, record);
      case "recovery_ended":
        return life.endRecovery(atMs, record);
      case "worker_joined":
      case "worker_reconnected": {
        const { workerId, host, resources: { memoryBytes } } = record;
        this.#attempts.join(workerId, { host, memoryBytes });
        return workers.join(atMs, record);
      }
      case "worker_left":
        life.leave(atMs, record.workerId, record.reason);
        return workers.leave(atMs, record);
      case "library_declared":
        return workers.declare(atMs, record);
      case "library_instance":
        return workers.change(atMs, record);
      case "sample": {
        const observed = { ...this.#attempts.sample(atMs), calls: life.endedCallCount };
        return run.sample(atMs, record, observed);
      }
      case "note":
        return run.note(atMs, record.noteKind, record);
      case "nondeterministic":
        files.vary(record);
        return noteFile(run, atMs, record);
      case "replica_damaged":
        return noteFile(run, atMs, record);
      case "run_ended":
        workers.end(atMs);
        return run.end(atMs);
      case "run_started":
      case "category_declared":
        return;
      default:
        return takeFile(files, atMs, record);
    }
  }
}

/** The parts of the database, once the run is known. */
interface Tables {
  readonly run: RunTables;
  readonly tasks: TaskTables;
  readonly files: FileTables;
  readonly workers: WorkerTables;
  readonly life: TaskLife;
  readonly apps: AppTables;
  readonly calls: AppLife;
  readonly endedCounts: () => { readonly failed: number; readonly succeeded: number };
}

function dirtyCountOf({ life, calls }: Tables): number {
  return life.dirtyCount + calls.dirtyCount;
}

/** Pages that stay in memory between commits. */
const CACHE_KIB: number = 16 * 1024;

/** How long the last commit waits for those who read. */
const CLOSE_BUSY_MS_MAX = 10_000;

/** What a person should know of a file. */
function noteFile(
  run: RunTables,
  atMs: number,
  record: RecordOf<"nondeterministic"> | RecordOf<"replica_damaged">,
): void {
  const { kind, fileId } = record;
  const text = kind === "replica_damaged"
    ? `Worker ${record.workerId} found its copy of file ${fileId} damaged`
    : `Task ${record.taskId} made file ${fileId} again, and not the same`;
  run.note(atMs, kind, { subject: String(fileId), text });
}

type FileRecord = RecordOf<
  | "file_declared"
  | "file_bound"
  | "file_merged"
  | "file_forgotten"
  | "replica_ready"
  | "replica_gone"
  | "transfer_started"
  | "transfer_ended"
  | "transfer_failed"
  | "transfer_called_off"
>;

function takeFile(files: FileTables, atMs: number, record: FileRecord): void {
  switch (record.kind) {
    case "file_declared":
      return files.declare(atMs, record);
    case "file_bound":
      return files.bind(record);
    case "file_merged":
      return files.merge(record);
    case "file_forgotten":
      return files.forget(atMs, record);
    case "replica_ready":
      return files.ready(atMs, record);
    case "replica_gone":
      return files.gone(atMs, record);
    case "transfer_started":
    case "transfer_ended":
    case "transfer_failed":
    case "transfer_called_off":
      return files.move(atMs, record);
    default:
      return unreachable(record);
  }
}

function isBusy(error: unknown): boolean {
  // What SQLite says of SQLITE_BUSY; not both runtimes tell the code.
  return error instanceof Error && error.message.includes("database is locked");
}
