/** Workers: what each has, did and holds. */

import type { DatabaseSync } from "node:sqlite";

import {
  type Committed,
  type Rows,
  ROWS_MAX,
  type TaskRow,
  type WorkerDetail,
  type WorkerRow,
} from "../api.ts";
import { all, first, tuples } from "./statement.ts";
import { TASK_COLUMNS } from "./tasks.ts";

/** The latest session of each worker: the other columns are of the row of the maximum. */
const LATEST = `SELECT worker_id AS workerId, host, round(max(joined_at_ms)) AS joinedAtMs,
  round(left_at_ms) AS leftAtMs, reason, cores, memory_bytes AS memoryBytes,
  disk_bytes AS diskBytes, gpus, features, pid, address FROM worker`;

type Sums = Pick<
  WorkerRow,
  | "committed"
  | "running"
  | "done"
  | "failed"
  | "replicas"
  | "cachedBytes"
  | "instances"
  | "receivedBytes"
  | "sentBytes"
>;

type Session =
  & Omit<WorkerRow, keyof Sums | "isConnected" | "features">
  & Pick<WorkerDetail, "pid" | "address">
  & { readonly features: string };

/** Answers `workers`: those that are connected first. */
export function answerWorkers(db: DatabaseSync): Rows<WorkerRow> {
  const sessions = all<Session>(
    db,
    `${LATEST} GROUP BY worker_id ORDER BY left_at_ms IS NOT NULL, joinedAtMs, worker_id LIMIT ?`,
    ROWS_MAX,
  );
  const count = first<{ total: number }>(
    db,
    "SELECT count(DISTINCT worker_id) AS total FROM worker",
  );
  const sums = sumsOf(db);
  return {
    total: count?.total ?? 0,
    rows: sessions.map(({ pid: _pid, address: _address, ...session }) => rowOf(session, sums)),
  };
}

function rowOf(
  { features, ...session }: Omit<Session, "pid" | "address">,
  sums: ReadonlyMap<string, Sums>,
): WorkerRow {
  return {
    ...session,
    isConnected: session.leftAtMs === null,
    features: readFeatures(features),
    ...(sums.get(session.workerId) ?? newSums()),
  };
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };
type NewSums = Mutable<Omit<Sums, "committed">> & { readonly committed: Mutable<Committed> };

function newSums(): NewSums {
  return {
    committed: { cores: 0, memoryBytes: 0, diskBytes: 0, gpus: 0 },
    running: 0,
    done: 0,
    failed: 0,
    replicas: 0,
    cachedBytes: 0,
    instances: 0,
    receivedBytes: 0,
    sentBytes: 0,
  };
}

/**
 * What workers tried, hold and moved; all, or one of them. The rows are added up here: grouping in
 * SQLite sorts them all by text first, which took three times as long.
 */
function sumsOf(db: DatabaseSync, workerId?: string): ReadonlyMap<string, Sums> {
  const byWorker = new Map<string, NewSums>();
  const of = (worker: string): NewSums => {
    const known = byWorker.get(worker) ?? newSums();
    byWorker.set(worker, known);
    return known;
  };
  const only = workerId === undefined ? [] : [workerId];
  const where = workerId === undefined ? "TRUE" : "worker_id = ?";
  const tries = tuples<[worker: string, running: number, outcome: string | null]>(
    db,
    `SELECT worker_id, started_at_ms IS NOT NULL AND ended_at_ms IS NULL, outcome FROM attempt
     WHERE ${where}`,
    ...only,
  );
  for (const [worker, running, outcome] of tries) {
    const sums = of(worker);
    sums.running += running;
    if (outcome === "success") sums.done++;
    else if (outcome !== null && outcome !== "cancelled") sums.failed++;
  }
  const replicas = tuples<[worker: string, bytes: number]>(
    db,
    `SELECT worker_id, size_bytes FROM replica WHERE gone_at_ms IS NULL AND ${where}`,
    ...only,
  );
  for (const [worker, bytes] of replicas) {
    const sums = of(worker);
    sums.replicas++;
    sums.cachedBytes += bytes;
  }
  const instances = tuples<[worker: string]>(
    db,
    `SELECT worker_id FROM library_instance WHERE ended_at_ms IS NULL AND ${where}`,
    ...only,
  );
  for (const [worker] of instances) of(worker).instances++;
  addCommitted(db, of, workerId);
  addMoved(db, of, workerId);
  return byWorker;
}

/** Calls are given nothing of their own: they have what their library has. */
function addCommitted(
  db: DatabaseSync,
  of: (worker: string) => NewSums,
  workerId: string | undefined,
): void {
  const where = workerId === undefined ? "TRUE" : "worker_id = ?1";
  const given = tuples<[worker: string, ...amounts: (number | null)[]]>(
    db,
    `SELECT attempt.worker_id, allocated_cores, allocated_memory_bytes, allocated_disk_bytes,
       allocated_gpus
     FROM attempt JOIN task_detail ON task_detail.task_id = attempt.task_id
     WHERE attempt.ended_at_ms IS NULL AND allocated_cores IS NOT NULL AND ${
      workerId === undefined ? "TRUE" : "attempt.worker_id = ?1"
    }
     UNION ALL
     SELECT worker_id, cores, memory_bytes, 0, 0
     FROM library_instance JOIN library ON library.name = library_instance.library
     WHERE ended_at_ms IS NULL AND ${where}`,
    ...(workerId === undefined ? [] : [workerId]),
  );
  for (const [worker, cores, memoryBytes, diskBytes, gpus] of given) {
    const { committed } = of(worker);
    committed.cores += cores ?? 0;
    committed.memoryBytes += memoryBytes ?? 0;
    committed.diskBytes += diskBytes ?? 0;
    committed.gpus += gpus ?? 0;
  }
}

function addMoved(
  db: DatabaseSync,
  of: (worker: string) => NewSums,
  workerId: string | undefined,
): void {
  const moves = tuples<[worker: string, peer: string | null, target: string, bytes: number]>(
    db,
    `SELECT worker_id, source_id, target, moved_bytes FROM transfer
     WHERE ${workerId === undefined ? "TRUE" : "? IN (worker_id, source_id)"}`,
    ...(workerId === undefined ? [] : [workerId]),
  );
  for (const [worker, peer, target, bytes] of moves) {
    if (target === "worker") of(worker).receivedBytes += bytes;
    else of(worker).sentBytes += bytes;
    if (target === "worker" && peer !== null) of(peer).sentBytes += bytes;
  }
}

/** What else stands there than a list of names was not written by us. */
function readFeatures(text: string): readonly string[] {
  try {
    const list: unknown = JSON.parse(text);
    return Array.isArray(list) ? list.filter((name) => typeof name === "string") : [];
  } catch {
    return [];
  }
}

/** Answers `worker`. */
export function answerWorker(db: DatabaseSync, workerId: string): WorkerDetail | null {
  const found = first<Session>(
    db,
    `${LATEST} WHERE worker_id = ? GROUP BY worker_id`,
    workerId,
  );
  if (found === undefined) return null;
  const { pid, address, ...session } = found;
  return {
    ...rowOf(session, sumsOf(db, workerId)),
    pid,
    address,
    runningTasks: all<TaskRow>(
      db,
      `SELECT ${TASK_COLUMNS} FROM task_detail
       WHERE worker_id = ? AND state <> 'done' ORDER BY task_id LIMIT ?`,
      workerId,
      ROWS_MAX,
    ),
    cache: all<WorkerDetail["cache"][number]>(
      db,
      `SELECT replica.file_id AS fileId, kind, source, level, replica.size_bytes AS sizeBytes,
         round(ready_at_ms) AS readyAtMs
       FROM replica JOIN file ON file.file_id = replica.file_id
       WHERE worker_id = ? AND gone_at_ms IS NULL
       ORDER BY replica.size_bytes DESC, replica.file_id LIMIT ?`,
      workerId,
      ROWS_MAX,
    ),
    libraries: all<WorkerDetail["libraries"][number]>(
      db,
      `SELECT instance_id AS instanceId, library, state, round(starting_at_ms) AS startingAtMs,
         round(ready_at_ms) AS readyAtMs, round(ended_at_ms) AS endedAtMs
       FROM library_instance WHERE worker_id = ? ORDER BY instance_id DESC LIMIT ?`,
      workerId,
      ROWS_MAX,
    ),
    sessions: all<WorkerDetail["sessions"][number]>(
      db,
      `SELECT round(joined_at_ms) AS joinedAtMs, round(left_at_ms) AS leftAtMs, reason
       FROM worker WHERE worker_id = ? ORDER BY joined_at_ms DESC LIMIT ?`,
      workerId,
      ROWS_MAX,
    ),
    isPartial: false,
  };
}
