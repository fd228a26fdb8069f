/** What each slot of each worker did when, as bars. */

import type { DatabaseSync } from "node:sqlite";

import type { BarKind, Question, Timeline } from "../api.ts";
import {
  type Bar,
  type BarName,
  type DrawnLane,
  drawTimeline,
  spreadOverLanes,
} from "../timeline_bars.ts";
import { runSpan } from "./run.ts";
import { all, tuples } from "./statement.ts";

type TimelineQuestion = Extract<Question, { readonly kind: "timeline" }>;

/** Transfers of one worker that are drawn beside each other; more overlap. */
const TRANSFER_LANES_MAX = 2;
/** As many instances of libraries. */
const LIBRARY_LANES_MAX = 64;
/** Slots of a worker beyond these share the last lane. */
const SLOT_LANES_MAX = 1_024;
/** Of the name of a file or task, for a bar. */
const LABEL_CHARS_MAX = 60;

/** What one worker did. */
interface WorkerBars {
  readonly workerId: string;
  readonly host: string;
  readonly slots: Bar[][];
  readonly instances: Bar[];
  readonly transfers: Bar[];
}

/** Answers `timeline`. Lanes are the same for every span of time, so that zooming moves none. */
export function answerTimeline(db: DatabaseSync, question: TimelineQuestion): Timeline {
  const { startedAtMs, atMs } = runSpan(db);
  const fromMs = question.fromMs ?? Math.min(startedAtMs, question.toMs ?? startedAtMs);
  const toMs = question.toMs ?? Math.max(atMs, fromMs);
  const workers = workersOf(db, question.workerIds);
  addAttempts(db, workers, toMs);
  addInstances(db, workers, toMs);
  addTransfers(db, workers, toMs);
  const lanes: DrawnLane[] = [];
  for (const { workerId, host, slots, instances, transfers } of workers.values()) {
    const add = (kind: DrawnLane["kind"], added: readonly (readonly Bar[] | undefined)[]): void => {
      for (let index = 0; index < added.length; index++) {
        lanes.push({ workerId, host, kind, index, bars: added[index] ?? [] });
      }
    };
    for (const slot of slots) slot?.sort(byStart);
    add("slot", slots);
    add("library", spreadOverLanes(instances.sort(byStart), LIBRARY_LANES_MAX));
    add("transfer", spreadOverLanes(transfers.sort(byStart), TRANSFER_LANES_MAX));
  }
  return drawTimeline(
    lanes,
    { fromMs, toMs, barsMax: question.barsMax },
    (bars) => namesOf(db, bars),
  );
}

function byStart(a: Bar, b: Bar): number {
  return a.startMs - b.startMs || a.id - b.id;
}

/** By when they first joined. */
function workersOf(
  db: DatabaseSync,
  workerIds: readonly string[] | undefined,
): ReadonlyMap<string, WorkerBars> {
  const rows = all<{ workerId: string; host: string }>(
    db,
    `SELECT worker_id AS workerId, host, min(joined_at_ms) AS joined FROM worker
     WHERE ?1 IS NULL OR worker_id IN (SELECT value FROM json_each(?1))
     GROUP BY worker_id ORDER BY joined, worker_id`,
    workerIds === undefined ? null : JSON.stringify(workerIds),
  );
  return new Map(rows.map(({ workerId, host }) => [
    workerId,
    { workerId, host, slots: [], instances: [], transfers: [] },
  ]));
}

/** Tries without a lane have not started, or ended before they did. */
function addAttempts(
  db: DatabaseSync,
  workers: ReadonlyMap<string, WorkerBars>,
  toMs: number,
): void {
  const rows = tuples<
    [workerId: string, lane: number, id: number, start: number, end: number | null, ok: number]
  >(
    db,
    `SELECT worker_id, lane, task_id, started_at_ms, ended_at_ms,
       outcome IS NULL OR outcome IN ('success', 'cancelled')
     FROM attempt WHERE lane IS NOT NULL AND started_at_ms IS NOT NULL`,
  );
  for (const [workerId, lane, id, start, end, ok] of rows) {
    const slots = workers.get(workerId)?.slots;
    if (slots === undefined) continue;
    const bar = newBar("task", id, start, end, toMs, ok === 0);
    (slots[Math.min(lane, SLOT_LANES_MAX - 1)] ??= []).push(bar);
  }
}

function addInstances(
  db: DatabaseSync,
  workers: ReadonlyMap<string, WorkerBars>,
  toMs: number,
): void {
  const sql =
    `SELECT worker_id, instance_id, starting_at_ms, ended_at_ms, state IN ('died', 'start_failed')
     FROM library_instance`;
  for (const [workerId, bar] of barsOf(db, "library", sql, toMs)) {
    workers.get(workerId)?.instances.push(bar);
  }
}

function addTransfers(
  db: DatabaseSync,
  workers: ReadonlyMap<string, WorkerBars>,
  toMs: number,
): void {
  const sql =
    `SELECT worker_id, transfer_id, started_at_ms, ended_at_ms, state = 'failed' FROM transfer`;
  for (const [workerId, bar] of barsOf(db, "transfer", sql, toMs)) {
    workers.get(workerId)?.transfers.push(bar);
  }
}

/** Bars with their workers, of a query for worker, id, start, end and whether it went wrong. */
function* barsOf(
  db: DatabaseSync,
  kind: BarKind,
  sql: string,
  toMs: number,
): Generator<[workerId: string, bar: Bar]> {
  const rows = tuples<
    [workerId: string, id: number, start: number, end: number | null, bad: number]
  >(db, sql);
  for (const [workerId, id, start, end, bad] of rows) {
    yield [workerId, newBar(kind, id, start, end, toMs, bad !== 0)];
  }
}

function newBar(
  kind: BarKind,
  id: number,
  start: number,
  end: number | null,
  toMs: number,
  isFailed: boolean,
): Bar {
  const startMs = Math.round(start);
  const endMs = end === null ? Math.max(toMs, startMs) : Math.round(end);
  return {
    startMs,
    endMs,
    kind,
    id,
    count: 1,
    state: isFailed ? 1 : end === null ? 2 : 0,
  };
}

/** Names are read for what is left after merging alone. */
function namesOf(db: DatabaseSync, bars: readonly Bar[]): readonly BarName[] {
  const named = (kind: BarKind, sql: string): ReadonlyMap<number, BarName> => {
    const ids = bars.filter((bar) => bar.kind === kind).map(({ id }) => id);
    const rows = tuples<[id: number, label: string, kind: BarKind]>(
      db,
      sql,
      LABEL_CHARS_MAX,
      JSON.stringify(ids),
    );
    return new Map(rows.map(([id, label, kind]) => [id, { label, kind }]));
  };
  const tasks = named(
    "task",
    `SELECT task_id, substr(name, 1, ?), CASE kind WHEN 'call' THEN kind ELSE 'task' END
     FROM task_detail WHERE task_id IN (SELECT value FROM json_each(?))`,
  );
  const instances = named(
    "library",
    `SELECT instance_id, substr(library, 1, ?), 'library' FROM library_instance
     WHERE instance_id IN (SELECT value FROM json_each(?))`,
  );
  const transfers = named(
    "transfer",
    `SELECT transfer_id, substr(coalesce(file.source, cache_name, ''), 1, ?), 'transfer'
     FROM transfer LEFT JOIN file ON file.file_id = transfer.file_id
     WHERE transfer_id IN (SELECT value FROM json_each(?))`,
  );
  const names = { task: tasks, call: tasks, library: instances, transfer: transfers };
  return bars.map(({ kind, id }) => names[kind].get(id) ?? { label: "", kind });
}
