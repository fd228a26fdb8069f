/** Rows of workers and of what they keep running: Parsl's `node`, and ours. */

import type { DatabaseSync, StatementSync } from "node:sqlite";

import type { Resources } from "../../shared/resources.ts";
import type { RecordOf } from "./record.ts";
import { sqlTime } from "./sql_time.ts";
import { insertInto } from "./statement.ts";

type Joined = RecordOf<"worker_joined" | "worker_reconnected">;

interface WorkerRow {
  readonly joinedAtMs: number;
  readonly host: string;
  readonly resources: Resources;
}

/** What is written of workers and libraries. */
export class WorkerTables {
  readonly #run: { readonly runId: string; readonly version: string };
  readonly #insertWorker: StatementSync;
  readonly #meetWorker: StatementSync;
  readonly #leaveWorker: StatementSync;
  readonly #insertNode: StatementSync;
  readonly #insertLibrary: StatementSync;
  readonly #insertInstance: StatementSync;
  readonly #changeInstance: StatementSync;
  readonly #endInstances: StatementSync;
  /** Those that are there. */
  readonly #workers: Map<string, WorkerRow> = new Map();
  /** `{library: cores that one of its calls keeps busy}` */
  readonly #coresPerSlot: Map<string, number> = new Map();

  constructor(database: DatabaseSync, run: { readonly runId: string; readonly version: string }) {
    this.#run = run;
    this.#insertWorker = insertInto(database, "worker", WORKER_COLUMNS);
    this.#meetWorker = database.prepare(
      "UPDATE worker SET address = ?, pid = ? WHERE worker_id = ? AND joined_at_ms = ?",
    );
    this.#leaveWorker = database.prepare(
      "UPDATE worker SET left_at_ms = ?, reason = ? WHERE worker_id = ? AND joined_at_ms = ?",
    );
    this.#insertNode = insertInto(database, "node", NODE_COLUMNS);
    this.#insertLibrary = insertInto(database, "library", LIBRARY_COLUMNS);
    this.#insertInstance = insertInto(database, "library_instance", INSTANCE_COLUMNS);
    this.#changeInstance = database.prepare(
      "UPDATE library_instance SET state = ?, ready_at_ms = coalesce(?, ready_at_ms), " +
        "ended_at_ms = coalesce(?, ended_at_ms) WHERE instance_id = ?",
    );
    this.#endInstances = database.prepare(
      "UPDATE library_instance SET state = ?, ended_at_ms = ? " +
        "WHERE worker_id = ? AND ended_at_ms IS NULL",
    );
  }

  /** Cores that a call of the library keeps busy. */
  coresPerSlot(library: string): number {
    return this.#coresPerSlot.get(library) ?? 0;
  }

  join(atMs: number, { workerId, host, pid, resources, features, urls }: Joined): void {
    const known = this.#workers.get(workerId);
    const [url] = urls;
    const address = url === undefined ? null : addressOf(url);
    if (known !== undefined) {
      this.#meetWorker.run(address, pid, workerId, known.joinedAtMs);
      return;
    }
    const row = { joinedAtMs: atMs, host, resources };
    this.#workers.set(workerId, row);
    this.#insertWorker.run(
      workerId,
      atMs,
      null,
      null,
      host,
      pid,
      address,
      resources.cores,
      Math.round(resources.memoryBytes),
      Math.round(resources.diskBytes),
      Math.round(resources.gpus),
      JSON.stringify(features),
    );
    this.#writeNode(atMs, workerId, row, true);
  }

  leave(atMs: number, { workerId, reason }: RecordOf<"worker_left">): void {
    const row = this.#leave(atMs, { workerId, reason, instanceState: "died" });
    if (row !== undefined) this.#writeNode(atMs, workerId, row, false);
  }

  /**
   * The run has ended: workers that are there leave it. As in Parsl, whose plots add up all rows of
   * nodes, one that stayed to the end has no second row.
   */
  end(atMs: number): void {
    for (const workerId of [...this.#workers.keys()]) {
      this.#leave(atMs, { workerId, reason: "the run ended", instanceState: "stopped" });
    }
  }

  declare(atMs: number, record: RecordOf<"library_declared">): void {
    const { name, program, mode, slots, resources } = record;
    this.#coresPerSlot.set(name, resources.cores / Math.max(1, slots));
    const memoryBytes = Math.round(resources.memoryBytes);
    this.#insertLibrary.run(name, program, mode, slots, resources.cores, memoryBytes, atMs);
  }

  change(atMs: number, record: RecordOf<"library_instance">): void {
    const { instanceId, library, workerId, change } = record;
    if (change === "starting") {
      this.#insertInstance.run(instanceId, library, workerId, change, atMs, null, null);
      return;
    }
    const isOver = change === "stopped" || change === "start_failed" || change === "died";
    const readyAtMs = change === "ready" ? atMs : null;
    this.#changeInstance.run(change, readyAtMs, isOver ? atMs : null, instanceId);
  }

  #leave(
    atMs: number,
    { workerId, reason, instanceState }: {
      readonly workerId: string;
      readonly reason: string;
      readonly instanceState: "died" | "stopped";
    },
  ): WorkerRow | undefined {
    const row = this.#workers.get(workerId);
    if (row === undefined) return undefined;
    this.#workers.delete(workerId);
    this.#leaveWorker.run(atMs, reason, workerId, row.joinedAtMs);
    this.#endInstances.run(instanceState, atMs, workerId);
    return row;
  }

  /** Parsl has a row when a node comes, and when it is lost or was sent away. */
  #writeNode(atMs: number, workerId: string, row: WorkerRow, isActive: boolean): void {
    const { cores, memoryBytes } = row.resources;
    const { runId, version } = this.#run;
    this.#insertNode.run(
      runId,
      row.host,
      workerId,
      "",
      Math.round(cores),
      Math.round(memoryBytes),
      isActive ? 1 : 0,
      Math.round(cores),
      `tendril ${version}`,
      sqlTime(row.joinedAtMs),
      sqlTime(atMs),
    );
  }
}

const WORKER_COLUMNS: readonly string[] = [
  "worker_id",
  "joined_at_ms",
  "left_at_ms",
  "reason",
  "host",
  "pid",
  "address",
  "cores",
  "memory_bytes",
  "disk_bytes",
  "gpus",
  "features",
];

const NODE_COLUMNS: readonly string[] = [
  "run_id",
  "hostname",
  "uid",
  "block_id",
  "cpu_count",
  "total_memory",
  "active",
  "worker_count",
  "python_v",
  "timestamp",
  "last_heartbeat",
];

const LIBRARY_COLUMNS: readonly string[] = [
  "name",
  "program",
  "mode",
  "slots",
  "cores",
  "memory_bytes",
  "declared_at_ms",
];

const INSTANCE_COLUMNS: readonly string[] = [
  "instance_id",
  "library",
  "worker_id",
  "state",
  "starting_at_ms",
  "ready_at_ms",
  "ended_at_ms",
];

/** Host and port of a url. */
function addressOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : url;
}
