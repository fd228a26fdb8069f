/**
 * Which worker cannot reach which: noted as transfers fail, forgotten as one of the two connects
 * anew, as a transfer succeeds, or with time. What is kept is bounded for each worker.
 *
 * @module
 */

import type { ManagerState, Reach, WorkerRecord } from "./state.ts";

/** A worker that could not reach a holder is not sent there again for this long. */
const UNREACHED_MS = 300_000;

/** Holders noted for one worker: one that cannot reach so many is not sent to peers at all. */
const UNREACHED_MAX = 16;

/** Workers in a row that could not reach a holder: then nobody is sent there, for a while. */
const MISSES_MAX = 3;

/** How long a holder that several could not reach is taken to be reached by nobody. */
const HIDDEN_MS = 60_000;

/** Of a worker of which nothing is known yet. */
export function newReach(): Reach {
  return { unreached: new Map(), unreachedBy: new Set(), missCount: 0, hiddenUntilMs: 0 };
}

/** False when `worker` would probably not reach `holder`. */
export function canReach(
  state: ManagerState,
  worker: WorkerRecord,
  holder: WorkerRecord,
): boolean {
  if (!holder.isServing || holder.reach.hiddenUntilMs > state.nowMs) return false;
  const { unreached } = worker.reach;
  if (unreached.size === 0) return true;
  for (const [other, untilMs] of unreached) {
    // In order of their instants.
    if (untilMs > state.nowMs) break;
    forgetPair(worker, other);
  }
  return unreached.size < UNREACHED_MAX && !unreached.has(holder);
}

/** A transfer found that `worker` cannot reach `holder`. */
export function noteUnreached(
  state: ManagerState,
  worker: WorkerRecord,
  holder: WorkerRecord,
): void {
  const { unreached } = worker.reach;
  forgetPair(worker, holder);
  for (const oldest of unreached.keys()) {
    if (unreached.size < UNREACHED_MAX) break;
    forgetPair(worker, oldest);
  }
  unreached.set(holder, state.nowMs + UNREACHED_MS);
  state.reachTroubleUntilMs = state.nowMs + UNREACHED_MS;
  holder.reach.unreachedBy.add(worker);
  holder.reach.missCount += 1;
  if (holder.reach.missCount < MISSES_MAX) return;
  holder.reach.hiddenUntilMs = state.nowMs + HIDDEN_MS;
  // Once it is asked again, one that misses it is enough.
  holder.reach.missCount = MISSES_MAX - 1;
}

/** True while who reaches whom is to be looked at as tasks are placed. */
export function hasTrouble({ reachTroubleUntilMs, unservingCount, nowMs }: ManagerState): boolean {
  return unservingCount > 0 || reachTroubleUntilMs > nowMs;
}

/** The worker has addresses for its peers, or has none; one that goes is as if it had some. */
export function setServing(state: ManagerState, worker: WorkerRecord, isServing: boolean): void {
  if (worker.isServing === isServing) return;
  worker.isServing = isServing;
  state.unservingCount += isServing ? -1 : 1;
}

/** A transfer shows that `worker` reaches `holder`: it is not hidden, whatever others say. */
export function noteReached(worker: WorkerRecord, holder: WorkerRecord): void {
  forgetPair(worker, holder);
  holder.reach.missCount = 0;
  holder.reach.hiddenUntilMs = 0;
}

/** What was known of `worker` is void: it connected anew, or is gone. */
export function forgetReach(worker: WorkerRecord): void {
  const { reach } = worker;
  for (const holder of reach.unreached.keys()) holder.reach.unreachedBy.delete(worker);
  for (const other of reach.unreachedBy) other.reach.unreached.delete(worker);
  reach.unreached.clear();
  reach.unreachedBy.clear();
  reach.missCount = 0;
  reach.hiddenUntilMs = 0;
}

function forgetPair(worker: WorkerRecord, holder: WorkerRecord): void {
  worker.reach.unreached.delete(holder);
  holder.reach.unreachedBy.delete(worker);
}
