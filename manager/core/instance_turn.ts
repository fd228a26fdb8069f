/**
 * Turns of libraries: instances that are busy without end make way for what could run in no other
 * room, and come back by the same rule. What has nothing at any worker has a claim; once it has
 * waited for the time of the policy `libraryTurn`, and the instances of some worker have served for
 * as long (longer where they take long to start), just enough of them retire there, and the worker
 * is kept for whom they left. Instances whose waiting calls are more urgent do not make way.
 *
 * @module
 */

import { nextRandomBelow } from "../../shared/random.ts";
import { isServed } from "./call_room.ts";
import { isFull } from "./category.ts";
import {
  heldByInstances,
  heldForLong,
  justEnough,
  makeWay,
  neededAt,
  spareInstances,
} from "./instance_yield.ts";
import { canStart, isActive } from "./library.ts";
import type { InstanceRecord, LibraryRecord, ServiceRecord } from "./library_record.ts";
import { lastingObstacleAt } from "./placement.ts";
import { keepFor, keepFreest } from "./reservation.ts";
import { isOpen } from "./room.ts";
import { isPassedOver } from "./start_failure.ts";
import type { ManagerState, TaskClass, WorkerRecord } from "./state.ts";
import { headOf } from "./turn.ts";
import { wakeUpkeep } from "./upkeep.ts";

/** A turn is at least as many times what the start of an instance takes. */
const STARTS_PER_TURN = 2;

/** Claims that are pressed in one pass. */
const CLAIMS_PRESSED = 16;

/** Workers that are looked at for one claim in one pass. */
const WORKERS_PROBED = 64;

/** How long the others wait, of claims or workers, where there are more. */
const LOOK_MS = 20;

/** That is doubled with each look at a part of the workers, this many times at most. */
const LOOK_DOUBLINGS_MAX = 6;

/** A class that has nothing at any worker, and no room. */
export interface Claim {
  readonly sinceMs: number;
  /** Nothing can be done for it before that. */
  lookAtMs: number;
  /** Looks at a part of the workers, since something has changed. */
  lookCount: number;
}

/** What would have to leave a worker, and from when on it may be told to. */
export interface Plan {
  readonly worker: WorkerRecord;
  readonly leaving: readonly InstanceRecord[];
  readonly atMs: number;
}

/** A class found no room. */
export function noteClaim(state: ManagerState, taskClass: TaskClass): void {
  if (state.libraries.size === 0 || state.claims.has(taskClass)) return;
  if (isIdle(taskClass) && lacksInstance(state, taskClass)) {
    const { nowMs } = state;
    state.claims.set(taskClass, { sinceMs: nowMs, lookAtMs: nowMs, lookCount: 0 });
  }
}

/** Does for those with a claim what can be done now. */
export function pressClaims(state: ManagerState): void {
  const pressed: [TaskClass, Claim][] = [];
  for (const [taskClass, claim] of state.claims) {
    const isDue = claim.lookAtMs <= state.nowMs;
    if (!isIdle(taskClass) || isDue && !lacksInstance(state, taskClass)) {
      state.claims.delete(taskClass);
      continue;
    }
    // One that is to be looked at again, as a worker is not kept any more, has waited as long.
    if (!isDue || !taskClass.isBlocked) continue;
    if (pressed.length >= CLAIMS_PRESSED) {
      wakeUpkeep(state, state.nowMs + LOOK_MS);
      continue;
    }
    pressed.push([taskClass, claim]);
    claim.lookAtMs = press(state, taskClass, claim);
    if (claim.lookAtMs < Infinity) wakeUpkeep(state, claim.lookAtMs);
  }
  if (pressed.length < CLAIMS_PRESSED) return;
  // The next look begins with those that this one does not come to.
  for (const [taskClass, claim] of pressed) {
    state.claims.delete(taskClass);
    state.claims.set(taskClass, claim);
  }
}

/** Something has changed that claims may have waited for. */
export function reviewClaims(state: ManagerState): void {
  for (const claim of state.claims.values()) {
    claim.lookAtMs = Math.min(claim.lookAtMs, state.nowMs);
    claim.lookCount = 0;
  }
}

/** The service has an instance that is ready: its turn has begun. */
export function noteServing(state: ManagerState, { library }: ServiceRecord): void {
  const atMs = state.nowMs + turnMs(state, library);
  for (const claim of state.claims.values()) {
    if (claim.lookAtMs <= atMs) continue;
    claim.lookAtMs = atMs;
    wakeUpkeep(state, atMs);
  }
}

/** How long the instances of a library serve at a worker, at least, before they make way. */
export function turnMs({ policies }: ManagerState, { startMs }: LibraryRecord): number {
  return Math.max(policies.libraryTurnMs, STARTS_PER_TURN * startMs);
}

/** True of a class that waits, and has nothing that others of it could follow. */
function isIdle({ readyCount, runningCount, category }: TaskClass): boolean {
  return readyCount > 0 && runningCount === 0 && !isFull(category);
}

/** True of tasks, and of calls that no instance serves. */
function lacksInstance(state: ManagerState, taskClass: TaskClass): boolean {
  const { library } = taskClass;
  return library === undefined ||
    library.failure === undefined && !isServed(state, taskClass, library);
}

/** Has instances make way if it is time for that; returns when to look at the claim again. */
function press(state: ManagerState, taskClass: TaskClass, claim: Claim): number {
  const { sinceMs } = claim;
  const { nowMs, policies: { libraryTurnMs } } = state;
  const { library } = taskClass;
  // It is looked at again when they are there.
  if (library !== undefined && !canStart(state, library)) return Infinity;
  // The same when those have left.
  if (taskClass.leavingCount >= taskClass.readyCount) return Infinity;
  const turnAtMs = sinceMs + libraryTurnMs;
  // Those for whom a library has made way have their turn before it is back. Among tasks, others
  // wait for a worker of their own only where a library does, which would always come before them.
  const keepAtMs = library !== undefined
    ? library.madeWayAtMs + libraryTurnMs
    : hasLibraryClaim(state)
    ? turnAtMs
    : Infinity;
  if (nowMs >= keepAtMs) keepFreest(state, taskClass);
  const lookAtMs = nowMs >= keepAtMs ? Infinity : keepAtMs;
  const kept = state.reservations.get(taskClass);
  if (kept !== undefined) {
    const plan = planAt(state, kept, taskClass);
    return plan === undefined ? Infinity : carryOut(state, taskClass, plan);
  }
  if (nowMs < turnAtMs) return Math.min(lookAtMs, turnAtMs);
  const plan = soonestPlan(state, taskClass, someHosting(state));
  if (plan === undefined || plan.atMs > nowMs) {
    return Math.min(lookAtMs, plan?.atMs ?? Infinity, nextLookMs(state, claim));
  }
  // As many workers are kept as may be: it is looked at again when one of them is not any more.
  if (!keepFor(state, taskClass, plan.worker)) return lookAtMs;
  return carryOut(state, taskClass, plan);
}

/**
 * What has to leave for the class, and when; undefined where it has no claim, or nothing that leaves
 * would help it. Looks at all workers with instances: for who asks, not for the scheduling pass.
 */
export function expectedTurn(state: ManagerState, taskClass: TaskClass): Plan | undefined {
  const claim = state.claims.get(taskClass);
  if (claim === undefined) return undefined;
  const kept = state.reservations.get(taskClass);
  if (kept !== undefined) return planAt(state, kept, taskClass);
  const plan = soonestPlan(state, taskClass, state.hosting);
  if (plan === undefined) return undefined;
  const { policies: { libraryTurnMs } } = state;
  return { ...plan, atMs: Math.max(plan.atMs, claim.sinceMs + libraryTurnMs) };
}

function hasLibraryClaim({ claims }: ManagerState): boolean {
  for (const { library } of claims.keys()) if (library !== undefined) return true;
  return false;
}

function carryOut(state: ManagerState, taskClass: TaskClass, { leaving, atMs }: Plan): number {
  if (atMs > state.nowMs) return atMs;
  makeWay(state, taskClass, leaving);
  return Infinity;
}

/** When others are looked at of many workers: one of them may be sooner. */
function nextLookMs({ hosting, nowMs }: ManagerState, claim: Claim): number {
  if (hosting.size <= WORKERS_PROBED) return Infinity;
  claim.lookCount += 1;
  return nowMs + LOOK_MS * 2 ** Math.min(claim.lookCount, LOOK_DOUBLINGS_MAX);
}

/** Where instances may make way for the class first, of as many workers as are looked at. */
function soonestPlan(
  state: ManagerState,
  taskClass: TaskClass,
  hosting: Iterable<WorkerRecord>,
): Plan | undefined {
  let soonest: Plan | undefined;
  for (const worker of hosting) {
    if (!isOpen(worker) || worker.reservedFor !== undefined) continue;
    const plan = planAt(state, worker, taskClass);
    if (plan === undefined || plan.leaving.length === 0) continue;
    if (soonest === undefined || plan.atMs < soonest.atMs) soonest = plan;
  }
  return soonest;
}

/** Some of the workers that have instances; others with each look, however many claims there are. */
function someHosting({ hosting, random }: ManagerState): Iterable<WorkerRecord> {
  if (hosting.size <= WORKERS_PROBED) return hosting;
  const all = [...hosting];
  const start = nextRandomBelow(random, all.length);
  const some = all.slice(start, start + WORKERS_PROBED);
  return some.concat(all.slice(0, WORKERS_PROBED - some.length));
}

/** What has to leave the worker; undefined where the class could not run in any case. */
function planAt(
  state: ManagerState,
  worker: WorkerRecord,
  taskClass: TaskClass,
): Plan | undefined {
  const { library, ownAllocation } = taskClass;
  // A call that only lacks what it states itself is served by the instance that is there.
  const kept = library !== undefined && ownAllocation !== undefined &&
      (worker.services.get(library)?.slotCount ?? 0) > 0
    ? library
    : undefined;
  const more = kept === undefined ? neededAt(state, worker, taskClass) : ownAllocation?.held;
  if (more === undefined || lastingObstacleAt(state, worker, taskClass) !== undefined) {
    return undefined;
  }
  if (library !== undefined && isPassedOver(state, library, worker)) return undefined;
  // Of a service with more than it needs the others are in use.
  const spare = new Set(spareInstances(state, worker));
  const ends = new Map<InstanceRecord, number>();
  for (const instance of worker.instances.values()) {
    if (!isActive(instance) || instance.library === kept) continue;
    const endMs = spare.has(instance) ? state.nowMs : turnEndMs(state, instance, taskClass);
    ends.set(instance, endMs);
  }
  // Of those of one service the newest is the least busy.
  const instances = [...ends.keys()].reverse();
  instances.sort((a, b) => (ends.get(a) ?? 0) - (ends.get(b) ?? 0));
  // If that is not enough, tasks there end, and no others follow while the worker is kept.
  const leaving = justEnough(worker, { used: heldForLong(worker), more }, instances) ??
    justEnough(worker, { used: heldByInstances(worker), more }, instances);
  if (leaving === undefined) return undefined;
  const last = leaving.at(-1);
  const atMs = last === undefined ? state.nowMs : ends.get(last) ?? state.nowMs;
  return { worker, leaving, atMs };
}

/** When an instance may be told to make way for the class; Infinity while it starts. */
function turnEndMs(
  state: ManagerState,
  { library, worker }: InstanceRecord,
  taskClass: TaskClass,
): number {
  const service = worker.services.get(library);
  if (service === undefined) return state.nowMs;
  const { servesSinceMs = Infinity } = service;
  const lengthMs = turnMs(state, library);
  const endsAtMs = Math.max(state.nowMs, servesSinceMs + lengthMs);
  const priority = headOf(taskClass)?.definition.priority ?? -Infinity;
  // The more urgent calls may be done by then.
  return hasMoreUrgent(state, service, priority)
    ? Math.max(endsAtMs, state.nowMs + lengthMs)
    : endsAtMs;
}

/** True while calls of a higher priority wait for the service. */
function hasMoreUrgent(
  { busyClasses }: ManagerState,
  { library, worker }: ServiceRecord,
  priority: number,
): boolean {
  for (const other of busyClasses) {
    if (other.library !== library) continue;
    if ((headOf(other)?.definition.priority ?? -Infinity) > priority) return true;
  }
  for (const { taskClass, task, isEnded } of worker.unstarted) {
    if (taskClass.library !== library || isEnded) continue;
    if (task.definition.priority > priority) return true;
  }
  return false;
}
