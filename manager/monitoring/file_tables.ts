/**
 * Rows of files, their copies and their transfers. What came since the last write is kept until
 * then, as most of it changes at once; later changes go to the rows that are there.
 *
 * @module
 */

import type { DatabaseSync, StatementSync } from "node:sqlite";

import { unreachable } from "../../shared/assert.ts";
import type { RecordOf, TransferRecord } from "./record.ts";
import { insertInto, type SqlValue } from "./statement.ts";

interface FileRow {
  readonly fileId: number;
  readonly kind: string;
  readonly source: string | null;
  readonly level: string;
  readonly declaredAtMs: number;
  cacheName: string | null;
  sizeBytes: number | null;
  isDirectory: 0 | 1;
  producer: number | null;
  isNondeterministic: 0 | 1;
  mergedInto: number | null;
  forgottenAtMs: number | null;
}

interface ReplicaRow {
  readonly fileId: number;
  readonly workerId: string;
  readonly readyAtMs: number;
  readonly generation: number;
  readonly sizeBytes: number;
}

interface TransferRow {
  readonly started: TransferRecord;
  readonly startedAtMs: number;
  last: TransferRecord;
  endedAtMs: number | null;
}

/** Files of files that are followed to the tasks which make them. */
const DEPTH_MAX = 16;

/** What is written of data. */
export class FileTables {
  readonly #statements: ReturnType<typeof prepare>;
  /** Rows that are not written yet. */
  readonly #files: Map<number, FileRow> = new Map();
  readonly #replicas: Map<string, ReplicaRow> = new Map();
  readonly #transfers: Map<number, TransferRow> = new Map();
  /** `{file: task that makes it}` and `{file: files it is made of}`, of those that are there. */
  readonly #producers: Map<number, number> = new Map();
  readonly #recipes: Map<number, readonly number[]> = new Map();

  constructor(database: DatabaseSync) {
    this.#statements = prepare(database);
  }

  /** Tasks that make the file, or what it is made of. */
  producersOf(fileId: number, depth: number = 0): readonly number[] {
    const producer = this.#producers.get(fileId);
    if (producer !== undefined) return [producer];
    if (depth >= DEPTH_MAX) return [];
    const inputs = this.#recipes.get(fileId) ?? [];
    return inputs.flatMap((input) => this.producersOf(input, depth + 1));
  }

  declare(atMs: number, record: RecordOf<"file_declared">): void {
    const { fileId, fileKind, source, level, inputs, producer } = record;
    if (inputs.length > 0) this.#recipes.set(fileId, inputs);
    if (producer !== undefined) this.#producers.set(fileId, producer);
    this.#files.set(fileId, {
      fileId,
      kind: fileKind,
      source: source ?? null,
      level,
      declaredAtMs: atMs,
      cacheName: null,
      sizeBytes: null,
      isDirectory: 0,
      producer: producer ?? null,
      isNondeterministic: 0,
      mergedInto: null,
      forgottenAtMs: null,
    });
  }

  /** A task has these files as outputs. */
  produce(taskId: number, fileId: number): void {
    this.#producers.set(fileId, taskId);
    const row = this.#files.get(fileId);
    if (row === undefined) this.#statements.produce.run(taskId, fileId);
    else row.producer = taskId;
  }

  bind(record: RecordOf<"file_bound">): void {
    const { fileId, cacheName, sizeBytes = null, isDirectory } = record;
    this.#know(fileId, { cacheName, sizeBytes, isDirectory });
  }

  merge({ fileId, into }: RecordOf<"file_merged">): void {
    const producer = this.#producers.get(fileId);
    this.#drop(fileId);
    if (producer !== undefined && !this.#producers.has(into)) this.#producers.set(into, producer);
    const row = this.#files.get(fileId);
    if (row === undefined) this.#statements.merge.run(into, fileId);
    else row.mergedInto = into;
  }

  forget(atMs: number, { fileId }: RecordOf<"file_forgotten">): void {
    this.#drop(fileId);
    const row = this.#files.get(fileId);
    if (row === undefined) this.#statements.forget.run(atMs, fileId);
    else row.forgottenAtMs = atMs;
  }

  vary({ fileId }: RecordOf<"nondeterministic">): void {
    const row = this.#files.get(fileId);
    if (row === undefined) this.#statements.vary.run(fileId);
    else row.isNondeterministic = 1;
  }

  ready(atMs: number, record: RecordOf<"replica_ready">): void {
    const { fileId, workerId, cacheName, generation, sizeBytes, isDirectory } = record;
    this.#know(fileId, { cacheName, sizeBytes, isDirectory });
    const row = { fileId, workerId, readyAtMs: atMs, generation, sizeBytes };
    const key = `${fileId} ${workerId}`;
    const before = this.#replicas.get(key);
    // The same copy, told again: it has been there all along.
    if (before !== undefined) this.#writeReplica(before, atMs);
    else this.#statements.goneReplica.run(atMs, fileId, workerId);
    this.#replicas.set(key, row);
  }

  gone(atMs: number, { fileId, workerId }: RecordOf<"replica_gone">): void {
    const key = `${fileId} ${workerId}`;
    const row = this.#replicas.get(key);
    this.#replicas.delete(key);
    if (row === undefined) this.#statements.goneReplica.run(atMs, fileId, workerId);
    else this.#writeReplica(row, atMs);
  }

  move(atMs: number, record: TransferRecord): void {
    const { transferId, kind } = record;
    if (kind === "transfer_started") {
      this.#transfers.set(transferId, {
        started: record,
        startedAtMs: atMs,
        last: record,
        endedAtMs: null,
      });
      return;
    }
    const row = this.#transfers.get(transferId);
    if (row !== undefined) {
      row.last = record;
      row.endedAtMs = atMs;
      return;
    }
    const { movedBytes, message } = record;
    const said = message === "" ? null : message;
    this.#statements.endTransfer.run(stateOf(kind), atMs, movedBytes, said, transferId);
  }

  /** Writes what waits. */
  write(): void {
    for (const row of this.#files.values()) this.#writeFile(row);
    for (const row of this.#replicas.values()) this.#writeReplica(row, null);
    for (const row of this.#transfers.values()) this.#writeTransfer(row);
    this.#files.clear();
    this.#replicas.clear();
    this.#transfers.clear();
  }

  #know(
    fileId: number,
    { cacheName, sizeBytes, isDirectory }: {
      readonly cacheName: string;
      readonly sizeBytes: number | null;
      readonly isDirectory: boolean;
    },
  ): void {
    const row = this.#files.get(fileId);
    if (row === undefined) {
      this.#statements.bind.run(cacheName, sizeBytes, isDirectory ? 1 : 0, fileId);
      return;
    }
    row.cacheName = cacheName;
    row.sizeBytes = sizeBytes ?? row.sizeBytes;
    row.isDirectory = isDirectory ? 1 : 0;
  }

  #drop(fileId: number): void {
    this.#producers.delete(fileId);
    this.#recipes.delete(fileId);
  }

  #writeFile(row: FileRow): void {
    this.#statements.file.run(
      row.fileId,
      row.kind,
      row.source,
      row.cacheName,
      row.level,
      row.sizeBytes,
      row.isDirectory,
      row.producer,
      row.isNondeterministic,
      row.mergedInto,
      row.declaredAtMs,
      row.forgottenAtMs,
    );
  }

  #writeReplica(row: ReplicaRow, goneAtMs: number | null): void {
    const { fileId, workerId, readyAtMs, generation, sizeBytes } = row;
    this.#statements.replica.run(fileId, workerId, readyAtMs, goneAtMs, generation, sizeBytes);
  }

  #writeTransfer({ started, startedAtMs, last, endedAtMs }: TransferRow): void {
    const { transferId, fileId, from, sourceId = null, to, workerId } = started;
    const { movedBytes, message } = last;
    const values: SqlValue[] = [transferId, fileId, from, sourceId, to, workerId];
    values.push(stateOf(last.kind), startedAtMs, endedAtMs, movedBytes);
    this.#statements.transfer.run(...values, message === "" ? null : message);
  }
}

function stateOf(kind: TransferRecord["kind"]): string {
  switch (kind) {
    case "transfer_started":
      return "running";
    case "transfer_ended":
      return "done";
    case "transfer_failed":
      return "failed";
    case "transfer_called_off":
      return "called_off";
    default:
      return unreachable(kind);
  }
}

function prepare(database: DatabaseSync): {
  readonly [
    Name in
      | "file"
      | "bind"
      | "produce"
      | "merge"
      | "forget"
      | "vary"
      | "replica"
      | "goneReplica"
      | "transfer"
      | "endTransfer"
  ]: StatementSync;
} {
  const change = (sql: string) => database.prepare(`UPDATE file SET ${sql} WHERE file_id = ?`);
  return {
    file: insertInto(database, "file", [
      "file_id",
      "kind",
      "source",
      "cache_name",
      "level",
      "size_bytes",
      "is_directory",
      "producer_task_id",
      "is_nondeterministic",
      "merged_into",
      "declared_at_ms",
      "forgotten_at_ms",
    ]),
    bind: change("cache_name = ?, size_bytes = coalesce(?, size_bytes), is_directory = ?"),
    produce: change("producer_task_id = ?"),
    merge: change("merged_into = ?"),
    forget: change("forgotten_at_ms = ?"),
    vary: change("is_nondeterministic = 1"),
    replica: insertInto(database, "replica", [
      "file_id",
      "worker_id",
      "ready_at_ms",
      "gone_at_ms",
      "generation",
      "size_bytes",
    ]),
    goneReplica: database.prepare(
      "UPDATE replica SET gone_at_ms = ? WHERE file_id = ? AND worker_id = ? AND gone_at_ms IS NULL",
    ),
    transfer: insertInto(database, "transfer", [
      "transfer_id",
      "file_id",
      "source",
      "source_id",
      "target",
      "worker_id",
      "state",
      "started_at_ms",
      "ended_at_ms",
      "moved_bytes",
      "message",
    ]),
    endTransfer: database.prepare(
      "UPDATE transfer SET state = ?, ended_at_ms = ?, moved_bytes = ?, message = ? " +
        "WHERE transfer_id = ?",
    ),
  };
}
