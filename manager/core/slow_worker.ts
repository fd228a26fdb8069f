/**
 * Slow workers put aside, with the policy `slowWorkerFactor`: a try that runs for much longer than the
 * mean of its class is taken back, uncounted, and given to another worker. A worker from which two in a
 * row were taken is sent away, and its host gets nothing for a while.
 *
 * Source of the rules: `disconnect_slow_workers` of CCTools 8.0.0.
 *
 * @module
 */

import { isIndexed } from "./capacity_index.ts";
import { planLook } from "./deadline.ts";
import { expelSlow } from "./host.ts";
import { type ManagerState, tryKey, type TryRecord } from "./state.ts";
import { waitOrQueue } from "./task.ts";
import { endAttempt } from "./try.ts";

/** Tries of a class that have to have ended well before its mean says anything. */
const ENDED_MIN = 10;

/** Tries in a row that are taken from a worker before it is sent away. */
const HITS_MAX = 2;

/** Shorter means count as this: what is added by the way to a worker is no slowness. */
const MEAN_MS_MIN = 50;

/** How many times as long or as short as others of its class one try may seem. */
const SLOWNESS_MAX = 16;

/** Tries that are shorter say nothing of their workers. */
const SHORTEST_MS = 1;

/** Weight of the newest try in the moving mean of durations. */
const MEAN_WEIGHT = 0.1;

/** A try has started: it is looked at when it has run for too long. */
export function watchTry(state: ManagerState, attempt: TryRecord): void {
  const { taskClass } = attempt;
  if (state.policies.slowWorkerFactor === 0 || taskClass.library !== undefined) return;
  if (taskClass.endedCount < ENDED_MIN) taskClass.unwatched.add(attempt);
  else planLook(state, { atMs: limitAtMs(state, attempt), kind: "slow", attempt });
}

/** A try of the class ended well: its mean may be known by now. */
export function noteEnded(state: ManagerState, { taskClass, worker }: TryRecord): void {
  taskClass.endedCount += 1;
  worker.slowCount = 0;
  if (taskClass.endedCount !== ENDED_MIN) return;
  for (const attempt of taskClass.unwatched) watchTry(state, attempt);
  taskClass.unwatched.clear();
}

/** A try ended well after that time: how long those of its class take, and at its worker. */
export function learnDuration({ taskClass, worker }: TryRecord, ranMs: number): void {
  const { meanRanMs } = taskClass;
  // None follows it there; by what is learnt of it one may wait elsewhere.
  if (worker.reservedFor !== undefined) taskClass.isBlocked = false;
  if (meanRanMs !== undefined) {
    const times = Math.max(ranMs, SHORTEST_MS) / Math.max(meanRanMs, SHORTEST_MS);
    const slowness = Math.min(SLOWNESS_MAX, Math.max(1 / SLOWNESS_MAX, times));
    worker.slowness += (slowness - worker.slowness) * MEAN_WEIGHT;
  }
  // More of what is short may wait at workers, also where there seemed to be no room.
  if (meanRanMs === undefined) taskClass.isBlocked = false;
  taskClass.meanRanMs = meanRanMs === undefined
    ? ranMs
    : meanRanMs + (ranMs - meanRanMs) * MEAN_WEIGHT;
}

/** The try is off the tables. */
export function unwatchTry(attempt: TryRecord): void {
  const { taskClass } = attempt;
  if (taskClass.unwatched.size > 0) taskClass.unwatched.delete(attempt);
}

/** The policy may be on now, or another one: what runs is looked at too. Linear in tries, and seldom. */
export function watchAll(state: ManagerState): void {
  if (state.policies.slowWorkerFactor === 0) return;
  for (const worker of state.workers.values()) {
    for (const attempt of worker.tries.values()) if (attempt.isStarted) watchTry(state, attempt);
  }
}

/** The try runs still, when it should have ended. */
export function takeSlow(state: ManagerState, attempt: TryRecord): void {
  const { task, worker, taskClass } = attempt;
  if (state.policies.slowWorkerFactor === 0) return;
  const atMs = limitAtMs(state, attempt);
  // The mean has grown since.
  if (state.nowMs < atMs) return planLook(state, { atMs, kind: "slow", attempt });
  // Where there is no other worker, nobody could do better.
  if (state.index.count - (isIndexed(worker) ? 1 : 0) === 0) {
    const againAtMs = state.nowMs + Math.max(taskClass.meanRanMs ?? 0, MEAN_MS_MIN);
    return planLook(state, { atMs: againAtMs, kind: "slow", attempt });
  }
  task.slow = { count: (task.slow?.count ?? 0) + 1, worker };
  endAttempt(state, attempt);
  waitOrQueue(state, task);
  worker.slowCount += 1;
  if (worker.slowCount < HITS_MAX) return;
  const reason =
    `${HITS_MAX} tasks in a row took more than ${state.policies.slowWorkerFactor} times ` +
    `as long at worker ${worker.workerId} as tasks alike do`;
  expelSlow(state, worker, reason);
}

/** True of a try that needs no more looks. */
export function isUnwatched(attempt: TryRecord): boolean {
  return attempt.isEnded || !attempt.worker.tries.has(tryKey(attempt));
}

/** Each time that it was taken back, a task may run for another mean. */
function limitAtMs(
  { policies }: ManagerState,
  { taskClass: { meanRanMs = 0 }, task, startedAtMs }: TryRecord,
): number {
  // Means of no time at all say nothing of hosts.
  const meanMs = Math.max(meanRanMs, MEAN_MS_MIN);
  return startedAtMs + meanMs * (policies.slowWorkerFactor + (task.slow?.count ?? 0));
}
