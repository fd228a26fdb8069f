/**
 * Workers that are about to go, as the time of their allocation is nearly over or their host is
 * drained: they get nothing that they could not finish, what only they have is copied elsewhere,
 * and they are let go once they run nothing.
 *
 * @module
 */

import { planLook } from "./deadline.ts";
import { isSpent } from "./copy_policy.ts";
import { indexService, retireInstances } from "./library.ts";
import { isTimeLeft } from "./placement.ts";
import { indexWorker } from "./room.ts";
import { isHere } from "./spool.ts";
import type { ManagerState, WorkerRecord } from "./state.ts";
import { recall } from "./try.ts";
import { noteReplicas, wakeUpkeep } from "./upkeep.ts";
import { sendAway } from "./worker.ts";

/** Why nothing more is given to a worker, though it is connected and has room. */
export type Bar =
  /** Nothing that is known could end there in time. */
  | "time"
  /** Its host is blocked for a while, or until somebody unblocks it. */
  | "blocked"
  /** Its host is drained, or has no time left at all: it is let go. */
  | "draining";

/** How long before its end, at most, copies are made of what only a worker has. */
const ENDING_MS_MAX = 300_000;

/** The same as a part of the time that it had when it joined. */
const ENDING_SHARE = 0.1;

/** A worker gets nothing in its last moment, whatever is known of how long tries take. */
const LAST_MS = 1_000;

/** How long a worker of a drained host is kept for the sake of what only it has. */
const RESCUE_MS_MAX = 300_000;

/** Workers that one step looks at. */
const WORKERS_MAX = 16;

/** How often it is looked whether what a worker has is elsewhere by now. */
const LOOK_MS = 200;

/** A worker that has to end at some time has told when. */
export function planEnding(state: ManagerState, worker: WorkerRecord): void {
  const { endsAtMs } = worker;
  if (endsAtMs === Infinity) return;
  const leadMs = Math.min(ENDING_MS_MAX, (endsAtMs - state.nowMs) * ENDING_SHARE);
  planLook(state, { atMs: endsAtMs - leadMs, kind: "ending", worker });
}

/** The end is near: copies elsewhere are begun; and in the last moment it gets nothing more. */
export function approachEnd(state: ManagerState, worker: WorkerRecord): void {
  if (!isKnown(state, worker) || worker.isLeaving) return;
  const lastAtMs = worker.endsAtMs - LAST_MS;
  if (isInLastMoment(state, worker)) return setBar(state, worker, "draining");
  setEnding(state, worker, true);
  planLook(state, { atMs: lastAtMs, kind: "ending", worker });
  reviewTime(state, worker);
}

/** True of a worker that has no time left, whatever is asked of it. */
export function isInLastMoment({ nowMs }: ManagerState, { endsAtMs }: WorkerRecord): boolean {
  return nowMs >= endsAtMs - LAST_MS;
}

/** Whether copies at the worker count: not once it is about to go. */
export function setEnding(state: ManagerState, worker: WorkerRecord, isEnding: boolean): void {
  if (worker.isEnding === isEnding) return;
  worker.isEnding = isEnding;
  if (isEnding) state.ending.add(worker);
  else state.ending.delete(worker);
  noteReplicas(state, worker);
  indexWorker(state, worker);
  wakeUpkeep(state, state.nowMs);
}

/** Nothing more is given to the worker for that reason, or something is again. */
export function setBar(state: ManagerState, worker: WorkerRecord, bar: Bar | undefined): void {
  if (worker.bar === bar) return;
  worker.bar = bar;
  indexWorker(state, worker);
  for (const service of worker.services.values()) indexService(state, service);
  if (bar === "time") state.outOfTime.add(worker);
  else state.outOfTime.delete(worker);
  if (bar === undefined) {
    state.changedWorkers.add(worker);
    return;
  }
  if (bar === "draining") setEnding(state, worker, true);
  recallAll(state, worker);
  // Calls that come meanwhile are not to wait for instances that are given none.
  retireInstances(state, worker);
}

/** The worker has too little time for something: for nothing at all, perhaps. */
export function reviewTime(state: ManagerState, worker: WorkerRecord): void {
  if (worker.bar !== undefined || worker.endsAtMs === Infinity || worker.isLeaving) return;
  for (const taskClass of state.classes.values()) {
    if (isTimeLeft(state, worker, taskClass)) return;
  }
  setBar(state, worker, "time");
}

/** Tasks that take less time may have come: workers that were out of time are looked at again. */
export function reviewOutOfTime(state: ManagerState): void {
  for (const worker of [...state.outOfTime]) {
    for (const taskClass of state.classes.values()) {
      if (!isTimeLeft(state, worker, taskClass)) continue;
      setBar(state, worker, undefined);
      break;
    }
  }
}

/** Looks at what placement found short of time, and lets go who has nothing left to do. */
export function letGo(state: ManagerState): void {
  for (const worker of state.shortOfTime) reviewTime(state, worker);
  state.shortOfTime.clear();
  const { ending, counters: { waiting, ready } } = state;
  if (ending.size === 0 || state.nowMs < state.departureLookAtMs || state.isClosed) return;
  let left = WORKERS_MAX;
  for (const worker of [...ending]) {
    if (left === 0) break;
    left -= 1;
    // The next look begins with those that this one does not come to.
    ending.delete(worker);
    ending.add(worker);
    const { tries, link, isLeaving } = worker;
    if (tries.size > 0 || link.kind !== "open" || isLeaving) continue;
    reviewTime(state, worker);
    const { bar } = worker;
    const isToGo = bar === "time" || bar === "draining" || waiting + ready === 0;
    if (isToGo && isFree(state, worker)) sendAway(state, worker, whyLetGo(state, worker));
  }
  if (ending.size === 0) return;
  state.departureLookAtMs = state.nowMs + LOOK_MS;
  planLook(state, { atMs: state.departureLookAtMs, kind: "upkeep" });
}

/** The worker leaves, or is gone: until then what it has does not count as copies. */
export function forgetDeparture(state: ManagerState, worker: WorkerRecord): void {
  state.outOfTime.delete(worker);
  state.shortOfTime.delete(worker);
  if (!isKnown(state, worker)) state.ending.delete(worker);
}

function whyLetGo(state: ManagerState, { host }: WorkerRecord): string {
  return state.hosts.get(host)?.drainedAtMs === undefined
    ? "Nothing that waits could end before its time is over"
    : `Host "${host}" is drained, and it runs nothing`;
}

/** True when nothing is lost by its end that could be saved. */
function isFree(state: ManagerState, worker: WorkerRecord): boolean {
  const { deliveries, source } = worker;
  if (deliveries.size > 0 || source.active.size > 0) return false;
  for (const { name, state: kind } of worker.replicas.values()) {
    const file = kind === "ready" ? state.filesByName.get(name) : undefined;
    if (file?.origin.kind !== "temp" || isHere(state, file) || isSpent(state, file)) continue;
    let isElsewhere = false;
    for (const [holder, replica] of file.replicas) {
      isElsewhere ||= replica.state === "ready" && !holder.isEnding;
      if (isElsewhere) break;
    }
    if (!isElsewhere) return isGivenUp(state, worker);
  }
  return true;
}

/** True when what only the worker has is not waited for any more: it is remade, if that is needed. */
function isGivenUp(state: ManagerState, { host }: WorkerRecord): boolean {
  const drainedAtMs = state.hosts.get(host)?.drainedAtMs;
  // One whose time is over is kept until then.
  if (drainedAtMs === undefined) return false;
  return state.upkeep.receivers.size === 0 || state.nowMs >= drainedAtMs + RESCUE_MS_MAX;
}

/** What waits there, and has its inputs or gets them, goes to others. */
export function recallAll(state: ManagerState, worker: WorkerRecord): void {
  for (const attempt of worker.unstarted) if (!attempt.isRecalled) recall(state, attempt);
}

function isKnown(state: ManagerState, worker: WorkerRecord): boolean {
  return state.workers.get(worker.workerId) === worker;
}
