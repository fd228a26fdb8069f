/**
 * Workers that are kept for tasks which would wait for ever else: what needs much of a worker finds
 * none with that much free while smaller tasks take whatever one gives back.
 *
 * Source of the rule: the reservation of backfilling batch schedulers, as of EASY (D. Lifka, 1995).
 *
 * @module
 */

import { visitFreest } from "./capacity_index.ts";
import { type CategoryRecord, isFull } from "./category.ts";
import { reviewAhead } from "./instance_ahead.ts";
import { reviewClaims } from "./instance_turn.ts";
import { lastingObstacleAt } from "./placement.ts";
import { isPassedOver } from "./start_failure.ts";
import type { ManagerState, TaskClass, WorkerRecord } from "./state.ts";
import { headOf } from "./turn.ts";
import { wakeUpkeep } from "./upkeep.ts";

/** Workers that are looked at, freest first, for one to keep. */
const WORKERS_PROBED = 64;

/** One worker of so many is kept at most, or one of fewer. */
const WORKERS_PER_RESERVATION = 4;

/**
 * A class has found no room. Where its category has nothing at any worker, one of them takes no
 * tasks of other classes until it has room for one of these.
 */
export function reserveFor(state: ManagerState, taskClass: TaskClass): void {
  const { category, library } = taskClass;
  if (category.runningCount === 0 && library === undefined) keepFreest(state, taskClass);
}

/** Keeps a worker for the class at which no instances have calls, the freest of those that it fits. */
export function keepFreest(state: ManagerState, taskClass: TaskClass): void {
  const { reservations, index } = state;
  const { library } = taskClass;
  if (reservations.has(taskClass) || hasAllReserved(state)) return;
  let probedCount = 0;
  visitFreest(index, (worker) => {
    probedCount += 1;
    const isFree = worker.reservedFor === undefined && !isServing(worker) &&
      lastingObstacleAt(state, worker, taskClass) === undefined &&
      (library === undefined || !isPassedOver(state, library, worker));
    return isFree ? keepFor(state, taskClass, worker) : probedCount >= WORKERS_PROBED;
  });
}

/** Keeps the worker for the class, unless as many are kept as may be. */
export function keepFor(
  state: ManagerState,
  taskClass: TaskClass,
  worker: WorkerRecord,
): boolean {
  if (hasAllReserved(state)) return false;
  worker.reservedFor = taskClass;
  state.reservations.set(taskClass, worker);
  return true;
}

function hasAllReserved({ reservations, index }: ManagerState): boolean {
  return reservations.size >= Math.max(1, index.count / WORKERS_PER_RESERVATION);
}

/** True while instances there have calls: when they make way is instance_turn.ts's business. */
function isServing({ services }: WorkerRecord): boolean {
  for (const { callCount } of services.values()) if (callCount > 0) return true;
  return false;
}

/** The class was given a worker, or has no task left: others may go where it was awaited. */
export function endReservation(state: ManagerState, taskClass: TaskClass): void {
  const worker = state.reservations.get(taskClass);
  if (worker === undefined) return;
  state.reservations.delete(taskClass);
  worker.reservedFor = undefined;
  // There may be room for others, whom the pass that is under way has passed over.
  for (const other of state.busyClasses) other.isBlocked = false;
  reviewClaims(state);
  reviewAhead(state);
  wakeUpkeep(state, state.nowMs);
}

/** The category has as many tries as it may have: what is kept for others of it is of no use now. */
export function endReservationsOfFull(state: ManagerState, category: CategoryRecord): void {
  if (state.reservations.size === 0 || !isFull(category)) return;
  for (const taskClass of state.reservations.keys()) {
    if (taskClass.category === category) endReservation(state, taskClass);
  }
}

/** The class asks for another amount: a worker that has less is not kept for it. */
export function reviewReservation(state: ManagerState, taskClass: TaskClass): void {
  const worker = state.reservations.get(taskClass);
  if (worker === undefined) return;
  if (lastingObstacleAt(state, worker, taskClass) !== undefined) endReservation(state, taskClass);
}

/** The worker takes no tasks any more. */
export function loseReservation(state: ManagerState, { reservedFor }: WorkerRecord): void {
  if (reservedFor !== undefined) endReservation(state, reservedFor);
}

/** True when a try of the class has to leave the worker to another one, of no lower priority. */
export function isReserved({ reservedFor }: WorkerRecord, taskClass: TaskClass): boolean {
  if (reservedFor === undefined || reservedFor === taskClass) return false;
  const mine = headOf(taskClass)?.definition.priority ?? -Infinity;
  const other = headOf(reservedFor)?.definition.priority ?? -Infinity;
  return mine <= other;
}
