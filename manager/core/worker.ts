/** Workers: how they join, come back, leave and are lost. */

import { pushHeap } from "../../shared/heap.ts";
import type { SessionId } from "../../shared/ids.ts";
import { QUIET_CALL_MS } from "../../shared/library.ts";
import { payOwed } from "./acknowledgement.ts";
import { cancelTask } from "./cancel.ts";
import { newCapacityPlace, removeCapacity } from "./capacity_index.ts";
import { failRequests, loseDeliveries } from "./delivery.ts";
import { forgetDeparture, planEnding } from "./drain.ts";
import type { Hello, ManagerEvent } from "./event.ts";
import { indexDisk } from "./disk.ts";
import { updateAvailability } from "./file.ts";
import { barByHost, noteHostLoss } from "./host.ts";
import { reviewClaims } from "./instance_turn.ts";
import { endKeeps, loseKeeps } from "./keep.ts";
import { reviewKept } from "./kept_file.ts";
import { indexService, releaseLibrary, removeInstance, retireInstances } from "./library.ts";
import { LIES_MAX } from "./lie.ts";
import { forgetReach, newReach, setServing } from "./reach.ts";
import { passMaking } from "./recipe.ts";
import { reconcile } from "./reconcile.ts";
import { forgetReplica } from "./replica.ts";
import { noteLost } from "./recovery.ts";
import { indexWorker } from "./room.ts";
import {
  type FileRecord,
  type ManagerState,
  newSource,
  outboxOf,
  tell,
  type TryRecord,
  type WorkerRecord,
} from "./state.ts";
import { NO_RESOURCES } from "../../shared/resources.ts";
import { clearFaults } from "./source_fault.ts";
import { forgetStarts } from "./start_failure.ts";
import { waitOrQueue } from "./task.ts";
import { loseSource, offerSlots } from "./transfer.ts";
import { loseRetrieval, loseTry } from "./try.ts";
import { joinKind, kindOf, leaveKind } from "./worker_kind.ts";

/** The mean of a class may be so much more than that of its library, by which its worker goes. */
const SHORT_FACTOR = 4;

/** A worker said hello. The valid session wins; DESIGN section 5, Sessions. */
export function connectWorker(state: ManagerState, session: SessionId, hello: Hello): void {
  const known = state.workers.get(hello.workerId);
  const isSame = known !== undefined && known.incarnation === hello.incarnation;
  if (known !== undefined && !isSame && known.link.kind === "open") {
    const reason = `Cannot join as worker "${hello.workerId}": a worker of that identity is ` +
      "connected; another workspace would have another identity";
    state.instructions.push({ kind: "disconnect", workerId: hello.workerId, session, reason });
    return;
  }
  if (known !== undefined && !isSame) loseWorker(state, known, "it was started again");
  if (known !== undefined && isSame && known.link.kind === "open") {
    const { workerId, link } = known;
    const reason = "The worker has connected anew";
    state.instructions.push({ kind: "disconnect", workerId, session: link.session, reason });
    closeLink(state, known);
  }
  const { maxWorkers } = state.policies;
  if (maxWorkers > 0 && state.workers.size >= maxWorkers && !state.workers.has(hello.workerId)) {
    const reason = `Cannot join as one more worker: the policy maxWorkers allows ${maxWorkers}`;
    const { workerId } = hello;
    state.instructions.push({ kind: "disconnect", workerId, session, reason });
    return;
  }
  const worker = isSame && known !== undefined ? known : addWorker(state, session, hello);
  worker.link = { kind: "open", session };
  setServing(state, worker, hello.urls.length > 0);
  // Either end may be at another address now.
  forgetReach(worker);
  clearFaults(worker.source);
  worker.blamed.clear();
  worker.lieCount = 0;
  // It tells what is in use as soon as it knows what of it may stay.
  worker.diskUsedBytes = 0;
  worker.endsAtMs = state.nowMs + (hello.leftMs ?? Infinity);
  planEnding(state, worker);
  const { workerId } = worker;
  state.instructions.push({ kind: "welcome", workerId, session });
  const { host, pid, resources, features, urls } = hello;
  const kind = isSame ? "worker_reconnected" : "worker_joined";
  // One that has left stays so until it is gone.
  if (!worker.isLeaving) {
    state.facts.push({ kind, workerId, host, pid, resources, features, urls });
  }
  // What was collected for the old connection has no reader.
  state.outbox.delete(worker);
  reconcile(state, worker, hello);
  reviewKept(state);
  barByHost(state, worker);
  indexWorker(state, worker);
  state.changedWorkers.add(worker);
  for (const service of worker.services.values()) indexService(state, service);
  reviewClaims(state);
  offerSlots(state, worker.source, worker);
  if (state.isClosed) tell(state, worker, { kind: "release", reason: "The workflow is over" });
  // That it was sent away was lost with the connection before.
  else if (worker.isLeaving) tell(state, worker, { kind: "release", reason: "It was sent away" });
}

/** A connection is closed: the worker has some time to come back. */
export function disconnectWorker(
  state: ManagerState,
  event: Extract<ManagerEvent, { kind: "worker_disconnected" }>,
): void {
  const worker = state.workers.get(event.workerId);
  if (worker?.link.kind !== "open" || worker.link.session !== event.session) return;
  closeLink(state, worker);
  if (event.wasSilent) return loseWorker(state, worker, "it was silent for too long");
  if (worker.isLeaving || state.isClosed) return loseWorker(state, worker, "it left");
  const untilMs = state.nowMs + state.policies.reconnectGraceMs;
  worker.link = { kind: "grace", session: event.session, untilMs };
  pushHeap(state.deadlines, { atMs: untilMs, kind: "grace", worker });
}

/** The process of a local worker has ended: it need not be waited for. */
export function exitWorker(
  state: ManagerState,
  { workerId, incarnation }: Extract<ManagerEvent, { kind: "worker_exited" }>,
): void {
  const worker = state.workers.get(workerId);
  if (worker?.incarnation === incarnation) loseWorker(state, worker, "its process ended");
}

/** A worker says that it leaves: its tries go elsewhere at once and are not counted against tasks. */
export function leaveWorker(state: ManagerState, worker: WorkerRecord, reason: string): void {
  if (worker.isLeaving) return;
  worker.isLeaving = true;
  forgetDeparture(state, worker);
  leaveKind(state, worker);
  indexWorker(state, worker);
  removeCapacity(state.disks, worker.disk);
  state.facts.push({ kind: "worker_left", workerId: worker.workerId, reason });
  for (const service of worker.services.values()) indexService(state, service);
  payOwed(state, worker);
  for (const attempt of [...worker.tries.values()]) {
    if (attempt.isEnded) continue;
    attempt.isEnded = true;
    waitOrQueue(state, attempt.task);
  }
  worker.unstarted.clear();
  state.recallable.delete(worker);
  retireInstances(state, worker);
}

/** A worker is sent away; what it runs goes elsewhere, and is not counted against tasks. */
export function sendAway(state: ManagerState, worker: WorkerRecord, reason: string): void {
  tell(state, worker, { kind: "release", reason });
  leaveWorker(state, worker, reason);
}

/** Sends so many workers away that run nothing and have nothing to hand over. */
export function releaseIdle(state: ManagerState, count: number): void {
  let left = count;
  for (const worker of [...state.workers.values()]) {
    if (left === 0) return;
    const { link, isLeaving, tries, deliveries } = worker;
    if (link.kind !== "open" || isLeaving || tries.size + deliveries.size > 0) continue;
    left -= 1;
    sendAway(state, worker, "It ran nothing, and the user has no more use for it");
  }
}

/** A worker is gone for good: its tasks run elsewhere, its temps are had from others or made anew. */
export function loseWorker(state: ManagerState, worker: WorkerRecord, reason: string): void {
  closeLink(state, worker);
  state.workers.delete(worker.workerId);
  forgetDeparture(state, worker);
  state.outbox.delete(worker);
  state.recallable.delete(worker);
  if (!worker.isLeaving) {
    leaveKind(state, worker);
    state.facts.push({ kind: "worker_left", workerId: worker.workerId, reason });
    if (worker.bar !== "draining" && worker.tries.size > 0) noteHostLoss(state, worker);
  }
  const touched = new Set<FileRecord>();
  for (const replica of [...worker.replicas.values()]) {
    const file = state.filesByName.get(replica.name);
    replica.deletionCount = 0;
    forgetReplica(state, worker, replica);
    if (file !== undefined) touched.add(file);
  }
  loseRetrievals(state, worker, reason);
  for (const attempt of [...worker.tries.values()]) {
    const isCounted = !worker.isLeaving && !state.isClosed && mayHaveStarted(attempt);
    loseTry(state, attempt, isCounted);
  }
  for (const instance of [...worker.instances.values()]) removeInstance(state, instance);
  for (const service of [...worker.services.values()]) {
    service.slotCount = 0;
    service.callCount = 0;
    indexService(state, service);
  }
  for (const file of touched) {
    updateAvailability(state, file);
    noteLost(state, file);
  }
  for (const file of touched) passMaking(state, file);
  loseSource(state, worker.source);
  loseDeliveries(state, worker);
  loseKeeps(state, worker);
  removeCapacity(state.index, worker);
  removeCapacity(state.disks, worker.disk);
  state.upkeep.receivers.delete(worker);
  state.changedWorkers.delete(worker);
  forgetReach(worker);
  forgetStarts(state, worker);
  setServing(state, worker, true);
}

/** True of a try that started, and of a call so short that its worker may not have said so yet. */
function mayHaveStarted(
  { isStarted, taskClass: { library, meanRanMs = Infinity } }: TryRecord,
): boolean {
  return isStarted || (library !== undefined && meanRanMs < SHORT_FACTOR * QUIET_CALL_MS);
}

/** A worker that says too much that cannot be is lost to this manager. */
export function expelLiar(state: ManagerState, worker: WorkerRecord): void {
  if (worker.lieCount < LIES_MAX || worker.link.kind !== "open") return;
  const { workerId, lieCount, lastLie, link: { session } } = worker;
  const reason =
    `Cannot believe worker "${workerId}": it said ${lieCount} things that cannot be; ` +
    `the last: ${lastLie}`;
  state.instructions.push({ kind: "disconnect", workerId, session, reason });
  loseWorker(state, worker, reason);
}

/** The workflow is over: every worker is let go. */
export function releaseWorkers(state: ManagerState, reason: string): void {
  state.isClosed = true;
  // The newest first: none is to fail because another one that makes its input is cancelled.
  for (const [taskId, task] of [...state.tasks].toReversed()) {
    if (!task.isSettled) cancelTask(state, taskId);
  }
  for (const file of [...state.files.values()]) {
    if (file.requests.size > 0) failRequests(state, file, reason);
  }
  for (const library of state.libraries.values()) releaseLibrary(state, library);
  endKeeps(state);
  for (const worker of state.workers.values()) tell(state, worker, { kind: "release", reason });
}

function addWorker(state: ManagerState, session: SessionId, hello: Hello): WorkerRecord {
  const { workerId, incarnation, host } = hello;
  const kind = kindOf(state, hello);
  const worker: WorkerRecord = {
    place: newCapacityPlace(),
    workerId,
    incarnation,
    host,
    kind,
    reservedFor: undefined,
    resources: kind.resources,
    features: kind.features,
    endsAtMs: Infinity,
    link: { kind: "open", session },
    isLeaving: false,
    isCrowded: false,
    owed: [],
    paysAtMs: undefined,
    bar: undefined,
    isEnding: false,
    isServing: true,
    reach: newReach(),
    lieCount: 0,
    lastLie: "",
    tries: new Map(),
    unstarted: new Set(),
    committed: NO_RESOURCES,
    diskUsedBytes: 0,
    comingBytes: 0,
    slowness: 1,
    strictQueue: undefined,
    slowCount: 0,
    disk: { place: newCapacityPlace(), workerId },
    shiftable: undefined,
    replicas: new Map(),
    instances: new Map(),
    services: new Map(),
    source: newSource("worker"),
    blamed: new Set(),
    arriving: new Set(),
    keeps: new Set(),
    deliveries: new Set(),
  };
  state.workers.set(workerId, worker);
  joinKind(state, worker);
  indexDisk(state, worker);
  state.joinedCount += 1;
  outboxOf(state, worker);
  return worker;
}

/** Nothing is dispatched to a worker that is away, and nothing fetched from it. */
function closeLink(state: ManagerState, worker: WorkerRecord): void {
  // Of these the next hello speaks.
  worker.owed.length = 0;
  if (worker.link.kind === "open") {
    const { session } = worker.link;
    worker.link = { kind: "grace", session, untilMs: Infinity };
  }
  indexWorker(state, worker);
  for (const service of worker.services.values()) indexService(state, service);
}

/** Outputs that were on their way to the manager end with their worker, and so does the try. */
function loseRetrievals(state: ManagerState, worker: WorkerRecord, reason: string): void {
  for (const { task } of [...worker.deliveries]) {
    if (task?.state.kind !== "retrieving") continue;
    const message = `Worker ${worker.workerId} on ${worker.host} was lost before its outputs ` +
      `were here: ${reason}`;
    loseRetrieval(state, task, message);
  }
}
