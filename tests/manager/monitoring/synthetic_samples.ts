/** The samples that a manager would have taken of a made-up run, once a second and at its end. */

import type { SyntheticPlan } from "./synthetic_rows.ts";

/** A row of `sample`. */
export type SyntheticSample = Record<(typeof COLUMNS)[number], number>;

const COLUMNS = [
  "atMs",
  "waiting",
  "ready",
  "dispatched",
  "running",
  "retrieving",
  "submittedTotal",
  "succeededTotal",
  "failedTotal",
  "cancelledTotal",
  "callsTotal",
  "workersConnected",
  "workersAway",
  "cores",
  "coresCommitted",
  "coresBusy",
  "diskBytes",
  "diskUsedBytes",
  "files",
  "transfers",
  "recoveriesTotal",
  "managerToWorkerBytes",
  "workerToWorkerBytes",
  "workerToManagerBytes",
  "urlToWorkerBytes",
  "workerToUrlBytes",
  "schedulingMs",
  "loopDelayMs",
] as const;

/** How a column changes at an instant. */
type Change = readonly [atMs: number, column: (typeof COLUMNS)[number], by: number];

/** Samples of the rows until `nowMs`. */
export function takeSamples(rows: SyntheticPlan, nowMs: number): readonly SyntheticSample[] {
  const count = Math.max(1, Math.ceil((nowMs - rows.startedAtMs) / 1_000));
  const atMs = Array.from(
    { length: count },
    (_, index) => index + 1 === count ? nowMs : rows.startedAtMs + 1_000 * (index + 1),
  );
  const samples = atMs.map((at) => {
    const sample = Object.fromEntries(COLUMNS.map((column) => [column, 0])) as SyntheticSample;
    sample.atMs = at;
    sample.loopDelayMs = 0.2;
    return sample;
  });
  for (const [at, column, by] of changesOf(rows)) {
    if (at > nowMs) continue;
    const index = Math.max(0, Math.ceil((at - rows.startedAtMs) / 1_000) - 1);
    samples[Math.min(index, count - 1)]![column] += by;
  }
  for (let index = 1; index < count; index++) {
    for (const column of COLUMNS) {
      if (column === "atMs" || column === "loopDelayMs") continue;
      samples[index]![column] += samples[index - 1]![column];
    }
  }
  return samples;
}

function* changesOf(rows: SyntheticPlan): Generator<Change> {
  const firstTry = new Map<number, number>();
  for (const row of rows.attempts) {
    if (row.try === 1) firstTry.set(row.taskId, row.dispatchedAtMs);
  }
  yield* changesOfTasks(rows, firstTry);
  for (const row of rows.attempts) {
    if (row.try > 1) yield [row.dispatchedAtMs, "ready", -1];
    yield [row.dispatchedAtMs, "dispatched", 1];
    yield [row.dispatchedAtMs, "coresCommitted", 1];
    yield [row.dispatchedAtMs, "schedulingMs", 0.02];
    if (row.startedAtMs !== null) {
      yield [row.startedAtMs, "dispatched", -1];
      yield [row.startedAtMs, "running", 1];
      yield [row.startedAtMs, "coresBusy", 1];
    }
    if (row.endedAtMs === null) continue;
    yield [row.endedAtMs, row.startedAtMs === null ? "dispatched" : "running", -1];
    if (row.startedAtMs !== null) yield [row.endedAtMs, "coresBusy", -1];
    yield [row.endedAtMs, "coresCommitted", -1];
  }
  for (const row of rows.workers) {
    yield [row.joinedAtMs, "workersConnected", 1];
    yield [row.joinedAtMs, "cores", row.cores];
    yield [row.joinedAtMs, "diskBytes", row.diskBytes];
    if (row.leftAtMs === null) continue;
    yield [row.leftAtMs, "workersConnected", -1];
    yield [row.leftAtMs, "cores", -row.cores];
    yield [row.leftAtMs, "diskBytes", -row.diskBytes];
  }
  yield* changesOfData(rows);
}

/** What waits, and what has ended: by the end of the last try, else by that of the task. */
function* changesOfTasks(
  rows: SyntheticPlan,
  firstTry: ReadonlyMap<number, number>,
): Generator<Change> {
  const lastTry = new Map(rows.attempts.map((row) => [row.taskId, row]));
  for (const row of rows.attempts) {
    // Between two tries it is ready.
    if (row.endedAtMs !== null && lastTry.get(row.taskId) !== row) {
      yield [row.endedAtMs, "ready", 1];
    }
  }
  for (const task of rows.tasks) {
    yield [task.submittedAtMs, "submittedTotal", 1];
    if (task.kind === "call") yield [task.submittedAtMs, "callsTotal", 1];
    yield [task.submittedAtMs, "waiting", 1];
    const begun = firstTry.get(task.taskId) ?? task.endedAtMs;
    if (begun !== null) yield [begun, "waiting", -1];
    const last = lastTry.get(task.taskId);
    if (last !== undefined && last.endedAtMs !== null) {
      const isOver = task.endedAtMs !== null || task.state === "retrieving";
      yield [last.endedAtMs, isOver ? "retrieving" : "ready", 1];
      if (task.endedAtMs !== null) yield [task.endedAtMs, "retrieving", -1];
    }
    if (task.endedAtMs === null) continue;
    const column = task.outcome === "success"
      ? "succeededTotal"
      : task.outcome === "cancelled"
      ? "cancelledTotal"
      : "failedTotal";
    yield [task.endedAtMs, column, 1];
  }
}

function* changesOfData(rows: SyntheticPlan): Generator<Change> {
  for (const row of rows.files) yield [row.declaredAtMs, "files", 1];
  for (const row of rows.replicas) {
    yield [row.readyAtMs, "diskUsedBytes", row.sizeBytes];
    if (row.goneAtMs !== null) yield [row.goneAtMs, "diskUsedBytes", -row.sizeBytes];
  }
  for (const row of rows.transfers) {
    yield [row.startedAtMs, "transfers", 1];
    if (row.endedAtMs === null) continue;
    yield [row.endedAtMs, "transfers", -1];
    const column = row.target === "manager"
      ? "workerToManagerBytes"
      : row.source === "manager"
      ? "managerToWorkerBytes"
      : row.source === "url"
      ? "urlToWorkerBytes"
      : "workerToWorkerBytes";
    yield [row.endedAtMs, column, row.movedBytes];
  }
}
