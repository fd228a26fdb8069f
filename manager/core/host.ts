/**
 * Hosts that get nothing for a while: blocked by hand, drained, or found to fail what others can do.
 *
 * Counted is what is the host's doing: tries that cannot start, inputs that do not come, full disks,
 * where tasks alike have run well elsewhere; and workers that are lost. So many of these, of as many
 * tasks, without a success between, block it, each time for twice as long.
 *
 * @module
 */

import { planLook } from "./deadline.ts";
import { isInLastMoment, planEnding, setBar, setEnding } from "./drain.ts";
import type { ManagerEvent } from "./event.ts";
import type { ManagerState, TryRecord, WorkerRecord } from "./state.ts";
import { sendAway } from "./worker.ts";

/** A host of which there is something to be said. */
export interface HostRecord {
  readonly host: string;
  /** 0 when it is not blocked; Infinity until somebody unblocks it. */
  blockedUntilMs: number;
  drainedAtMs: number | undefined;
  /** Why it was blocked or drained last. */
  reason: string;
  /** What failed since something went well: tasks and workers, by name. */
  readonly failures: Set<string>;
  lastFailureAtMs: number;
  /** How often it was blocked for its failures. */
  blockCount: number;
}

/** A blocked host is blocked for twice as long the next time, so often at most. */
const DOUBLINGS_MAX = 4;

/** The reason of a block that a user asked for. */
const BY_HAND = "its user blocked it";

/** The reason of a drain. */
const DRAINED_BY_HAND = "its user drains it";

/** Hosts among which none is looked for that can be forgotten. */
const HOSTS_KEPT = 1_000;

/** Nothing is given to the host until then, or something is again. */
export function changeHost(
  state: ManagerState,
  { host, change, forMs }: Extract<ManagerEvent, { kind: "host_changed" }>,
): void {
  if (change === "block") return blockHost(state, host, { forMs, reason: BY_HAND });
  if (change === "drain") return drainHost(state, host);
  const record = state.hosts.get(host);
  if (record === undefined) return;
  state.hosts.delete(host);
  state.facts.push({ kind: "host_unblocked", host });
  barWorkers(state, host);
}

/** Nothing is given to the host for so long; what it has may still be had from there. */
export function blockHost(
  state: ManagerState,
  host: string,
  { forMs, reason }: { readonly forMs: number; readonly reason: string },
): void {
  const record = recordOf(state, host);
  const isByHand = reason === BY_HAND;
  const untilMs = state.nowMs + forMs;
  // What a user has said is not undone by what fails there.
  record.reason = reason;
  record.blockedUntilMs = isByHand ? untilMs : Math.max(untilMs, record.blockedUntilMs);
  record.failures.clear();
  if (forMs < Infinity) planLook(state, { atMs: untilMs, kind: "host", host });
  const time = forMs < Infinity ? { forMs } : {};
  state.facts.push({ kind: "host_blocked", host, reason, isByHand, ...time });
  barWorkers(state, host);
}

/** The time of a block is over. */
export function endBlock(state: ManagerState, host: string): void {
  const record = state.hosts.get(host);
  if (record === undefined || record.blockedUntilMs > state.nowMs) return;
  if (record.blockedUntilMs === 0) return;
  record.blockedUntilMs = 0;
  state.facts.push({ kind: "host_unblocked", host });
  barWorkers(state, host);
}

/** What the worker's host has to do with what it is given. */
export function barByHost(state: ManagerState, worker: WorkerRecord): void {
  const record = state.hosts.get(worker.host);
  const isDrained = record?.drainedAtMs !== undefined;
  if (isDrained) return setBar(state, worker, "draining");
  if (record !== undefined && record.blockedUntilMs > state.nowMs) {
    if (worker.bar !== "draining") setBar(state, worker, "blocked");
    return;
  }
  if (worker.bar === "blocked") setBar(state, worker, undefined);
  // One whose time is over is not meant.
  if (worker.bar !== "draining" || isInLastMoment(state, worker)) return;
  setEnding(state, worker, false);
  setBar(state, worker, undefined);
  planEnding(state, worker);
}

/** A try there could not do what others alike could elsewhere. */
export function noteHostFailure(state: ManagerState, attempt: TryRecord, what: string): void {
  const { taskClass, worker, taskId } = attempt;
  const isElsewhere = taskClass.provenHost !== undefined && taskClass.provenHost !== worker.host;
  if (isElsewhere) countFailure(state, worker, { name: `task ${taskId}`, what });
}

/** A worker was lost there that did not say that it leaves. */
export function noteHostLoss(state: ManagerState, worker: WorkerRecord): void {
  const { workerId, incarnation } = worker;
  const name = `worker ${workerId} ${incarnation}`;
  countFailure(state, worker, { name, what: `worker ${workerId} was lost` });
}

/** A try ended well there. */
export function noteHostSuccess(state: ManagerState, { worker, taskClass }: TryRecord): void {
  taskClass.provenHost = worker.host;
  if (state.hosts.size === 0) return;
  const record = state.hosts.get(worker.host);
  if (record === undefined) return;
  record.failures.clear();
  record.blockCount = 0;
  forgetHost(state, record);
}

/** A worker that is too slow leaves, and its host rests. False of the last one that there is. */
export function expelSlow(state: ManagerState, worker: WorkerRecord, reason: string): boolean {
  const { host } = worker;
  if (!hasOther(state, host)) return false;
  sendAway(state, worker, reason);
  blockHost(state, host, { forMs: state.policies.slowHostTimeoutMs, reason });
  return true;
}

function drainHost(state: ManagerState, host: string): void {
  const record = recordOf(state, host);
  if (record.drainedAtMs !== undefined) return;
  record.drainedAtMs = state.nowMs;
  record.reason = DRAINED_BY_HAND;
  state.facts.push({ kind: "host_draining", host });
  barWorkers(state, host);
}

function countFailure(
  state: ManagerState,
  { host }: WorkerRecord,
  { name, what }: { readonly name: string; readonly what: string },
): void {
  const { hostFailures, hostBlockTimeMs } = state.policies;
  if (hostFailures === 0 || state.isClosed) return;
  const record = recordOf(state, host);
  if (record.blockedUntilMs > state.nowMs) return;
  // What was long ago has nothing to do with this.
  if (record.lastFailureAtMs < state.nowMs - hostBlockTimeMs) record.failures.clear();
  record.lastFailureAtMs = state.nowMs;
  record.failures.add(name);
  // Where nobody else could run anything, it is not shut out.
  if (record.failures.size < hostFailures || !hasOther(state, host)) return;
  const forMs = hostBlockTimeMs * 2 ** Math.min(record.blockCount, DOUBLINGS_MAX);
  record.blockCount += 1;
  const reason = `${hostFailures} things in a row failed there that go well elsewhere; the last: ` +
    what;
  blockHost(state, host, { forMs, reason });
}

/** True when a worker of another host may be given something. Linear in workers, and seldom asked. */
function hasOther(state: ManagerState, host: string): boolean {
  for (const worker of state.workers.values()) {
    const isOpen = worker.link.kind === "open" && !worker.isLeaving && worker.bar === undefined;
    if (isOpen && worker.host !== host) return true;
  }
  return false;
}

/** Linear in workers, and seldom: a person, or several failures, have asked for it. */
function barWorkers(state: ManagerState, host: string): void {
  for (const worker of state.workers.values()) {
    if (worker.host === host && !worker.isLeaving) barByHost(state, worker);
  }
}

function recordOf(state: ManagerState, host: string): HostRecord {
  const { hosts } = state;
  let record = hosts.get(host);
  if (record !== undefined) return record;
  if (hosts.size >= HOSTS_KEPT) { for (const old of hosts.values()) forgetHost(state, old); }
  record = {
    host,
    blockedUntilMs: 0,
    drainedAtMs: undefined,
    reason: "",
    failures: new Set(),
    lastFailureAtMs: 0,
    blockCount: 0,
  };
  hosts.set(host, record);
  return record;
}

/** Nothing is kept of a host that is neither blocked nor drained and did not fail lately. */
function forgetHost(state: ManagerState, record: HostRecord): void {
  const { host, blockedUntilMs, drainedAtMs, failures, lastFailureAtMs } = record;
  const isBarred = blockedUntilMs > state.nowMs || drainedAtMs !== undefined;
  const isRecent = failures.size > 0 &&
    lastFailureAtMs > state.nowMs - state.policies.hostBlockTimeMs;
  if (!isBarred && !isRecent) state.hosts.delete(host);
}
