/** The run as curves, and what is slow or has failed in it. */

import type { DatabaseSync } from "node:sqlite";

import type { BytesByRoute, Counts, Overview, Question } from "../api.ts";
import { ratesOf } from "../series.ts";
import { answerApps } from "./calls.ts";
import { runSpan } from "./run.ts";
import { all, first, tuples } from "./statement.ts";

type OverviewQuestion = Extract<Question, { readonly kind: "overview" }>;

/** Categories that are told, the slowest. */
const CATEGORIES_MAX = 200;
/** The time left is told from the rate of that long. */
const RATE_MS = 60_000;

const COUNTS = `waiting, ready, dispatched, running, retrieving, submitted_total AS submitted,
  succeeded_total AS succeeded, failed_total AS failed, cancelled_total AS cancelled`;
const BYTES = `manager_to_worker_bytes AS managerToWorker,
  worker_to_worker_bytes AS workerToWorker, worker_to_manager_bytes AS workerToManager,
  url_to_worker_bytes AS urlToWorker, worker_to_url_bytes AS workerToUrl`;

/** Of a run in which nothing has happened. */
export const NO_COUNTS: Counts = {
  waiting: 0,
  ready: 0,
  dispatched: 0,
  running: 0,
  retrieving: 0,
  submitted: 0,
  succeeded: 0,
  failed: 0,
  cancelled: 0,
};

/** As much of bytes. */
export const NO_BYTES: BytesByRoute = {
  managerToWorker: 0,
  workerToWorker: 0,
  workerToManager: 0,
  urlToWorker: 0,
  workerToUrl: 0,
};

/** Answers `overview`. */
export function answerOverview(db: DatabaseSync, question: OverviewQuestion): Overview {
  const { startedAtMs, atMs } = runSpan(db);
  const last = "FROM sample ORDER BY at_ms DESC LIMIT 1";
  const now: Counts = { ...(first<Counts>(db, `SELECT ${COUNTS} ${last}`) ?? NO_COUNTS) };
  return {
    now,
    categories: categories(db),
    failures: failures(db),
    apps: answerApps(db),
    bytes: { ...(first<BytesByRoute>(db, `SELECT ${BYTES} ${last}`) ?? NO_BYTES) },
    leftMs: leftMs(db, now, { startedAtMs, atMs }),
    series: series(db, {
      fromMs: question.fromMs ?? startedAtMs,
      toMs: question.toMs ?? Math.max(atMs, startedAtMs),
      points: question.points,
      startedAtMs,
    }),
  };
}

/** As `Overview.categories`: values at the nearest rank. */
function categories(db: DatabaseSync): Overview["categories"] {
  const counts = all<{ name: string; count: number; failed: number }>(
    db,
    `SELECT category AS name, count(*) AS count,
       sum(outcome IS NOT NULL AND outcome NOT IN ('success', 'cancelled')) AS failed
     FROM task_detail GROUP BY category`,
  );
  const ranByCategory = new Map<string, number[]>();
  const rows = tuples<[category: string, ranMs: number]>(
    db,
    "SELECT category, ran_ms FROM task_detail WHERE ran_ms IS NOT NULL",
  );
  for (const [category, ranMs] of rows) {
    const known = ranByCategory.get(category);
    if (known === undefined) ranByCategory.set(category, [ranMs]);
    else known.push(ranMs);
  }
  return counts
    .map(({ name, count, failed }) => {
      const sorted = Float64Array.from(ranByCategory.get(name) ?? []).sort();
      return { name, count, failed, medianMs: ranked(sorted, 0.5), p90Ms: ranked(sorted, 0.9) };
    })
    .sort((a, b) => b.medianMs - a.medianMs || (a.name < b.name ? -1 : 1))
    .slice(0, CATEGORIES_MAX);
}

function ranked(sorted: Float64Array, part: number): number {
  const value = sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? 0;
  return Math.round(value * 1_000) / 1_000;
}

/** SQLite takes the other columns from the row of the maximum: lang_select.html, 2.5. */
function failures(db: DatabaseSync): Overview["failures"] {
  return all<Overview["failures"][number] & { latest: number }>(
    db,
    `SELECT outcome, count(*) AS count, task_id AS taskId, substr(message, 1, 400) AS message,
       max(ended_at_ms) AS latest
     FROM task_detail WHERE outcome NOT IN ('success', 'cancelled')
     GROUP BY outcome ORDER BY count DESC, outcome`,
  ).map(({ latest: _latest, ...failure }) => failure);
}

/** The last sample at or before an instant tells how it was then: none is taken while nothing changes. */
function leftMs(
  db: DatabaseSync,
  { submitted, succeeded, failed, cancelled }: Counts,
  { startedAtMs, atMs }: { startedAtMs: number; atMs: number },
): number | null {
  const ended = succeeded + failed + cancelled;
  if (ended >= submitted) return submitted === 0 ? null : 0;
  const fromMs = Math.max(startedAtMs, atMs - RATE_MS);
  const before = first<{ ended: number }>(
    db,
    `SELECT succeeded_total + failed_total + cancelled_total AS ended
     FROM sample WHERE at_ms <= ? ORDER BY at_ms DESC LIMIT 1`,
    fromMs,
  );
  const endedThen = before?.ended ?? 0;
  if (ended <= endedThen || atMs <= fromMs) return null;
  return Math.round((submitted - ended) * (atMs - fromMs) / (ended - endedThen));
}

type Series = Overview["series"];

const SERIES: readonly (readonly [Exclude<keyof Series, "atMs" | "rate">, string])[] = [
  ["waiting", "waiting"],
  ["ready", "ready"],
  ["dispatched", "dispatched"],
  ["running", "running"],
  ["retrieving", "retrieving"],
  ["succeeded", "succeeded_total"],
  ["failed", "failed_total"],
  ["cancelled", "cancelled_total"],
  ["workers", "workers_connected"],
  ["cores", "cores"],
  ["coresCommitted", "cores_committed"],
  ["coresBusy", "cores_busy"],
  ["managerToWorkerBytes", "manager_to_worker_bytes"],
  ["workerToWorkerBytes", "worker_to_worker_bytes"],
  ["workerToManagerBytes", "worker_to_manager_bytes"],
  ["urlToWorkerBytes", "url_to_worker_bytes"],
  ["workerToUrlBytes", "worker_to_url_bytes"],
];

/** The last sample of each of `points` equal parts of the time, and the rate between them. */
function series(
  db: DatabaseSync,
  { fromMs, toMs, points, startedAtMs }: {
    fromMs: number;
    toMs: number;
    points: number;
    startedAtMs: number;
  },
): Series {
  const partMs = Math.max((toMs - fromMs) / points, 1);
  const rows = tuples<number[]>(
    db,
    `SELECT round(max(at_ms)), ${SERIES.map(([, column]) => column).join(", ")} FROM sample
     WHERE at_ms >= ?1 - 0.5 AND at_ms < ?2 + 0.5
     GROUP BY min(CAST((round(at_ms) - ?1) / ?3 AS INTEGER), ?4) ORDER BY 1`,
    fromMs,
    toMs,
    partMs,
    points - 1,
  );
  const before = first<{ atMs: number; ended: number }>(
    db,
    `SELECT round(at_ms) AS atMs, succeeded_total + failed_total + cancelled_total AS ended
     FROM sample WHERE at_ms < ? - 0.5 ORDER BY at_ms DESC LIMIT 1`,
    fromMs,
  );
  const column = (index: number): number[] => rows.map((row) => row[index] ?? 0);
  const columns = Object.fromEntries(SERIES.map(([key], index) => [key, column(index + 1)]));
  // `SERIES` has every other key: what is missing of the type does not compile there.
  const rest = columns as unknown as Omit<Series, "atMs" | "rate">;
  const atMs = column(0);
  return {
    ...rest,
    atMs,
    rate: ratesOf({ ...rest, atMs }, before ?? { atMs: startedAtMs, ended: 0 }),
  };
}
