/** What each slot of each worker did when, as bars. */

import type { DatabaseSync } from "node:sqlite";

import type { BarKind, Question, Timeline } from "../api.ts";
import { type Bar, mergeBars, spreadOverLanes } from "../timeline_bars.ts";
import { runSpan } from "./run.ts";
import { all, tuples } from "./statement.ts";

type TimelineQuestion = Extract<Question, { readonly kind: "timeline" }>;
type Lane = Timeline["lanes"][number];

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
  readonly slots: Bar<BarKind>[][];
  readonly instances: Bar<BarKind>[];
  readonly transfers: Bar<BarKind>[];
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
  const lanes: Lane[] = [];
  const bars: (readonly Bar<BarKind>[])[] = [];
  for (const { workerId, host, slots, instances, transfers } of workers.values()) {
    const add = (kind: Lane["kind"], added: readonly (readonly Bar<BarKind>[] | undefined)[]) => {
      for (let index = 0; index < added.length; index++) {
        const within = (added[index] ?? []).filter((bar) =>
          bar.startMs <= toMs && bar.endMs >= fromMs
        );
        lanes.push({ workerId, host, kind, index });
        bars.push(within);
      }
    };
    for (const slot of slots) slot?.sort(byStart);
    add("slot", slots);
    add("library", spreadOverLanes(instances.sort(byStart), LIBRARY_LANES_MAX));
    add("transfer", spreadOverLanes(transfers.sort(byStart), TRANSFER_LANES_MAX));
  }
  const merged = mergeBars(bars, toMs - fromMs, question.barsMax);
  return { fromMs, toMs, lanes, ...labelled(db, merged) };
}

function byStart(a: Bar<BarKind>, b: Bar<BarKind>): number {
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
  const rows = tuples<
    [workerId: string, id: number, start: number, end: number | null, bad: number]
  >(
    db,
    `SELECT worker_id, instance_id, starting_at_ms, ended_at_ms, state IN ('died', 'start_failed')
     FROM library_instance`,
  );
  for (const [workerId, id, start, end, bad] of rows) {
    workers.get(workerId)?.instances.push(newBar("library", id, start, end, toMs, bad !== 0));
  }
}

function addTransfers(
  db: DatabaseSync,
  workers: ReadonlyMap<string, WorkerBars>,
  toMs: number,
): void {
  const rows = tuples<
    [workerId: string, id: number, start: number, end: number | null, bad: number]
  >(
    db,
    `SELECT worker_id, transfer_id, started_at_ms, ended_at_ms, state = 'failed' FROM transfer`,
  );
  for (const [workerId, id, start, end, bad] of rows) {
    workers.get(workerId)?.transfers.push(newBar("transfer", id, start, end, toMs, bad !== 0));
  }
}

function newBar(
  kind: BarKind,
  id: number,
  start: number,
  end: number | null,
  toMs: number,
  isFailed: boolean,
): Bar<BarKind> {
  const startMs = Math.round(start);
  const endMs = end === null ? Math.max(toMs, startMs) : Math.round(end);
  return {
    startMs,
    endMs,
    kind,
    id,
    count: 1,
    label: 0,
    state: isFailed ? 1 : end === null ? 2 : 0,
  };
}

/** Names are read for what is left after merging alone. */
function labelled(
  db: DatabaseSync,
  lanes: readonly (readonly Bar<BarKind>[])[],
): Pick<Timeline, "bars" | "labels"> {
  const bars = lanes.flatMap((lane) => lane);
  const idsOf = (kind: BarKind): string =>
    JSON.stringify(bars.filter((bar) => bar.kind === kind).map(({ id }) => id));
  const named = (sql: string, kind: BarKind): ReadonlyMap<number, readonly [string, string]> =>
    new Map(
      tuples<[id: number, label: string, kind: string]>(db, sql, LABEL_CHARS_MAX, idsOf(kind))
        .map(([id, label, detail]) => [id, [label, detail]]),
    );
  const names = {
    task: named(
      `SELECT task_id, substr(name, 1, ?), kind FROM task_detail
       WHERE task_id IN (SELECT value FROM json_each(?))`,
      "task",
    ),
    library: named(
      `SELECT instance_id, substr(library, 1, ?), '' FROM library_instance
       WHERE instance_id IN (SELECT value FROM json_each(?))`,
      "library",
    ),
    transfer: named(
      `SELECT transfer_id, substr(coalesce(file.source, cache_name, ''), 1, ?), ''
       FROM transfer LEFT JOIN file ON file.file_id = transfer.file_id
       WHERE transfer_id IN (SELECT value FROM json_each(?))`,
      "transfer",
    ),
  };
  const labels = new Map<string, number>();
  const labelOf = (label: string): number => {
    const known = labels.get(label) ?? labels.size;
    labels.set(label, known);
    return known;
  };
  const shown = bars.map(({ kind, id }) => names[kind === "call" ? "task" : kind].get(id));
  return {
    bars: {
      lane: lanes.flatMap((lane, index) => lane.map(() => index)),
      startMs: bars.map(({ startMs }) => startMs),
      endMs: bars.map(({ endMs }) => endMs),
      kind: bars.map(({ kind }, index) => shown[index]?.[1] === "call" ? "call" : kind),
      id: bars.map(({ id }) => id),
      count: bars.map(({ count }) => count),
      label: shown.map((name) => labelOf(name?.[0] ?? "")),
      state: bars.map(({ state }) => state),
    },
    labels: [...labels.keys()],
  };
}
