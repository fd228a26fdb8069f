/**
 * Contents that come to the manager: outputs of tasks, what users ask for, and what is on its
 * way to a worker that no holder can serve. Outputs that go to urls are ended here as well.
 *
 * @module
 */

import type { TransferId } from "../../shared/ids.ts";
import type { FileFacts, TryResult } from "../../shared/task.ts";
import { ORDERED_AGAIN, tellCallOff, tellEnd, tellFailure, tellStart } from "./delivery_fact.ts";
import type { ManagerEvent, WorkerReport } from "./event.ts";
import { isInPlace, outputFiles, releaseIfUnneeded, updateAvailability } from "./file.ts";
import { checkGiven, noteLie } from "./lie.ts";
import { recoverIfWanted } from "./recovery.ts";
import { addSpool, isHere, keepSpool, reviewSpool } from "./spool.ts";
import {
  type DeliveryRecord,
  type FileRecord,
  type ManagerState,
  nextId,
  type TaskRecord,
  type WorkerRecord,
} from "./state.ts";
import { failStranded, supplyStranded } from "./transfer.ts";
import { failRetrieval, finishRetrieval, loseRetrieval } from "./try.ts";
import { leaveStore, offerStore, orderStore, queueStore, stopStore } from "./url_output.ts";

/** Attempts to get one file from its workers; to a url each of them is several requests. */
const ATTEMPTS_MAX = { manager: 6, url: 3 } as const;

const FIRST = { attemptCount: 0, butNot: undefined };

/** Begins to put in place what `task` made for the manager or urls; returns the deliveries' numbers. */
export function deliverOutputs(
  state: ManagerState,
  made: { readonly task: TaskRecord; readonly worker: WorkerRecord; readonly result: TryResult },
): Set<number> {
  const pending = new Set<number>();
  const { task, worker, result } = made;
  for (const { file } of outputFiles(state, task)) {
    const goal = file.origin.kind;
    if (goal !== "manager" && goal !== "url" || isInPlace(file)) continue;
    const output = result.outputs.find(({ name }) => name === file.bound?.name);
    if (output === undefined) continue;
    const { content, ...facts } = output;
    const delivery = addDelivery(state, { goal, file, facts, task, worker });
    pending.add(delivery.deliveryId);
    if (goal === "url") {
      queueStore(state, delivery);
      continue;
    }
    if (content === undefined) {
      enqueue(state, delivery);
      continue;
    }
    worker.deliveries.delete(delivery);
    const { deliveryId } = delivery;
    state.instructions.push({
      kind: "store",
      deliveryId,
      fileId: file.fileId,
      file: facts,
      content,
    });
  }
  return pending;
}

/** A user wants the contents at the manager. */
export function requestFile(
  state: ManagerState,
  event: Extract<ManagerEvent, { kind: "file_requested" }>,
): void {
  const { fileId, requestId } = event;
  const file = state.files.get(fileId);
  if (file === undefined) {
    // Its user gave it up and asked for it at the same time.
    const message = `Cannot fetch file ${fileId}: it was undeclared`;
    const answer = {
      kind: "file_delivered",
      requestId,
      fileId,
      isDelivered: false,
      message,
    } as const;
    state.instructions.push(answer);
    return;
  }
  file.requests.add(requestId);
  if (file.failure !== undefined) return failRequests(state, file, file.failure.message);
  if (state.isClosed) return failRequests(state, file, "The workflow is over");
  if (file.isAvailable) return bringHome(state, file);
  recoverIfWanted(state, file);
}

/** Brings a file whose contents can be had here, for whoever waits for that. */
export function bringHome(
  state: ManagerState,
  file: FileRecord,
  { attemptCount, butNot }: { attemptCount: number; butNot: WorkerRecord | undefined } = FIRST,
): void {
  const isStranded = state.stranded.has(file);
  if (file.requests.size === 0 && !isStranded) return;
  if (isHere(state, file)) {
    if (file.requests.size > 0) keepSpool(state, file);
    supplyStranded(state, file);
    answerRequests(state, file, { isDelivered: true, message: "" });
    // Who asked while it was only at its worker need not wait for a copy of its own.
    return callOffHome(state, file);
  }
  if (file.readyCount === 0) {
    const message = `Cannot fetch file ${file.fileId} as contents: no worker has it`;
    return answerRequests(state, file, { isDelivered: false, message });
  }
  if (file.homeDelivery !== undefined) return;
  // As an output it comes in any case.
  if (file.requests.size === 0 && isRetrieved(state, file)) return;
  const holder = holderOf(file, butNot);
  const facts = holder?.replicas.get(file.bound?.name ?? "" as never)?.facts;
  if (holder === undefined || facts === undefined) return;
  const wanted = { goal: "manager", file, facts, task: undefined, worker: holder } as const;
  file.homeDelivery = addDelivery(state, wanted);
  file.homeDelivery.attemptCount = attemptCount;
  enqueue(state, file.homeDelivery);
}

/** Calls the way here off when nobody waits for it any more. */
export function callOffHome(state: ManagerState, file: FileRecord): void {
  const delivery = file.homeDelivery;
  if (delivery === undefined || file.requests.size > 0 || state.stranded.has(file)) return;
  removeDelivery(state, delivery);
  state.instructions.push({ kind: "abandon", deliveryId: delivery.deliveryId });
  collectQueued(state);
}

/** Answers the requests for a file that cannot be had. */
export function failRequests(state: ManagerState, file: FileRecord, message: string): void {
  answerRequests(state, file, { isDelivered: false, message });
}

/** The shell has put the contents in place, or could not. */
export function endDelivery(
  state: ManagerState,
  event: Extract<ManagerEvent, { kind: "delivery_ended" }>,
): void {
  const delivery = state.deliveries.get(event.deliveryId);
  if (delivery !== undefined) finishDelivery(state, delivery, event);
}

/** A worker has stored an output at its url. */
export function endStore(state: ManagerState, worker: WorkerRecord, transferId: TransferId): void {
  const delivery = deliveryOf(worker, transferId);
  if (delivery === undefined) return checkGiven(state, worker, transferId);
  if (delivery.goal !== "url") {
    return noteLie(state, worker, "what the manager waits for is stored");
  }
  finishDelivery(state, delivery, { isDelivered: true, message: "" });
}

function finishDelivery(
  state: ManagerState,
  delivery: DeliveryRecord,
  { isDelivered, message }: { readonly isDelivered: boolean; readonly message: string },
): void {
  if (isDelivered) tellEnd(state, delivery);
  else tellFailure(state, delivery, message);
  removeDelivery(state, delivery);
  const { file, task, deliveryId } = delivery;
  if (isDelivered) placeDelivery(state, delivery);
  if (task === undefined) answerRequests(state, file, { isDelivered, message });
  else if (isDelivered) finishRetrieval(state, task, deliveryId);
  else failRetrieval(state, task, message);
  if (task === undefined && !isDelivered) failStranded(state, file, message);
  // Another making may be wanted by now.
  else if (file.isAvailable) bringHome(state, file);
  reviewSpool(state, file);
  collectQueued(state);
  offerStore(state, delivery);
}

/**
 * The contents are in place: at their url, or here, for good if they are the manager's, else for as
 * long as they are needed.
 */
function placeDelivery(state: ManagerState, delivery: DeliveryRecord): void {
  const { goal, file, facts } = delivery;
  if (goal === "url") {
    state.counters.workerToUrlBytes += facts.sizeBytes;
    file.isStored = true;
    updateAvailability(state, file);
    return supplyStranded(state, file);
  }
  state.counters.workerToManagerBytes += facts.sizeBytes;
  if (file.origin.kind === "manager") file.isAtManager = true;
  else addSpool(state, file, { facts, isRequested: file.requests.size > 0 });
  updateAvailability(state, file);
}

/** A worker could not send: again, from another holder if there is one, or the end of it. */
export function retryDelivery(
  state: ManagerState,
  worker: WorkerRecord,
  message: Extract<WorkerReport, { kind: "send_failed" }>,
): void {
  const delivery = deliveryOf(worker, message.transferId);
  if (delivery === undefined) return checkGiven(state, worker, message.transferId);
  tellFailure(state, delivery, message.message);
  delivery.attemptCount += 1;
  const { deliveryId, goal } = delivery;
  if (delivery.attemptCount < ATTEMPTS_MAX[goal] && message.isFinal !== true) {
    if (delivery.task !== undefined) return orderAgain(state, delivery, message.message);
    return moveDelivery(state, delivery);
  }
  if (goal === "manager") state.instructions.push({ kind: "abandon", deliveryId });
  finishDelivery(state, delivery, { isDelivered: false, message: message.message });
}

function deliveryOf(worker: WorkerRecord, transferId: TransferId): DeliveryRecord | undefined {
  for (const delivery of worker.deliveries) {
    if (delivery.transferId === transferId) return delivery;
  }
  return undefined;
}

/** An output that its worker found damaged has to be made again. */
function orderAgain(state: ManagerState, delivery: DeliveryRecord, message: string): void {
  const { file, facts, worker, task } = delivery;
  const replica = worker && file.replicas.get(worker);
  const isThere = replica?.state === "ready" && replica.generation === facts.generation;
  if (isThere || task === undefined) return order(state, delivery);
  loseRetrieval(state, task, message);
}

/** What a user asked for may be had from another holder; if from none, it is waited for. */
function moveDelivery(state: ManagerState, delivery: DeliveryRecord): void {
  const { file, attemptCount, worker } = delivery;
  removeDelivery(state, delivery);
  state.instructions.push({ kind: "abandon", deliveryId: delivery.deliveryId });
  if (file.isAvailable) bringHome(state, file, { attemptCount, butNot: worker });
  else recoverIfWanted(state, file);
  collectQueued(state);
}

/** Tells a worker that came back what it has to send. */
export function repeatDeliveries(state: ManagerState, worker: WorkerRecord): void {
  for (const delivery of worker.deliveries) {
    if (delivery.transferId !== undefined) order(state, delivery);
  }
}

/** Calls off what a task was putting in place. */
export function abandonDeliveries(state: ManagerState, pending: Iterable<number>): void {
  const abandoned: DeliveryRecord[] = [];
  for (const deliveryId of pending) {
    const delivery = state.deliveries.get(deliveryId);
    if (delivery === undefined) continue;
    abandoned.push(delivery);
    removeDelivery(state, delivery);
    if (delivery.goal === "url") stopStore(state, delivery);
    else state.instructions.push({ kind: "abandon", deliveryId });
    // Transfers counted on it.
    if (state.stranded.has(delivery.file)) bringHome(state, delivery.file);
  }
  collectQueued(state);
  for (const delivery of abandoned) offerStore(state, delivery);
}

/** A worker is gone: requests for contents go to another holder, or wait for a recovery. */
export function loseDeliveries(state: ManagerState, worker: WorkerRecord): void {
  for (const delivery of [...worker.deliveries]) {
    // Outputs of a task end with its try.
    if (delivery.task !== undefined) continue;
    removeDelivery(state, delivery);
    state.instructions.push({ kind: "abandon", deliveryId: delivery.deliveryId });
    if (delivery.file.isAvailable) bringHome(state, delivery.file);
    else recoverIfWanted(state, delivery.file);
  }
  collectQueued(state);
}

function addDelivery(
  state: ManagerState,
  wanted: {
    readonly goal: DeliveryRecord["goal"];
    readonly file: FileRecord;
    readonly facts: FileFacts;
    readonly task: TaskRecord | undefined;
    readonly worker: WorkerRecord;
  },
): DeliveryRecord {
  const delivery: DeliveryRecord = {
    deliveryId: nextId(state),
    ...wanted,
    transferId: undefined,
    isMoving: false,
    attemptCount: 0,
  };
  state.deliveries.set(delivery.deliveryId, delivery);
  wanted.worker.deliveries.add(delivery);
  return delivery;
}

function enqueue(state: ManagerState, delivery: DeliveryRecord): void {
  state.deliveryQueue.add(delivery);
  collectQueued(state);
}

function collectQueued(state: ManagerState): void {
  for (const delivery of state.deliveryQueue) {
    if (state.collectingCount >= state.policies.transfersToManager) return;
    state.deliveryQueue.delete(delivery);
    state.collectingCount += 1;
    collect(state, delivery);
  }
}

/** Tells the worker, perhaps again, what it has to send. */
function order(state: ManagerState, delivery: DeliveryRecord): void {
  if (delivery.goal === "url") orderStore(state, delivery);
  else collect(state, delivery);
}

function collect(state: ManagerState, delivery: DeliveryRecord): void {
  const { deliveryId, worker, file, facts } = delivery;
  if (worker === undefined) return;
  tellFailure(state, delivery, ORDERED_AGAIN);
  delivery.transferId = nextId(state) as TransferId;
  tellStart(state, delivery);
  // A worker in grace is told when it is back.
  if (worker.link.kind !== "open") return;
  state.instructions.push({
    kind: "collect",
    deliveryId,
    transferId: delivery.transferId,
    workerId: worker.workerId,
    session: worker.link.session,
    fileId: file.fileId,
    file: facts,
  });
}

function removeDelivery(state: ManagerState, delivery: DeliveryRecord): void {
  tellCallOff(state, delivery);
  state.deliveries.delete(delivery.deliveryId);
  if (delivery.file.homeDelivery === delivery) delivery.file.homeDelivery = undefined;
  delivery.worker?.deliveries.delete(delivery);
  if (delivery.goal === "url") return leaveStore(state, delivery);
  state.deliveryQueue.delete(delivery);
  if (delivery.transferId !== undefined) state.collectingCount -= 1;
}

/** True while the task that made the file brings it here. */
function isRetrieved(state: ManagerState, file: FileRecord): boolean {
  const { producer, origin } = file;
  if (origin.kind !== "manager" || producer?.state.kind !== "retrieving") return false;
  for (const deliveryId of producer.state.pending) {
    if (state.deliveries.get(deliveryId)?.file === file) return true;
  }
  return false;
}

function answerRequests(
  state: ManagerState,
  file: FileRecord,
  answer: { readonly isDelivered: boolean; readonly message: string },
): void {
  const requests = [...file.requests];
  file.requests.clear();
  for (const requestId of requests) {
    state.instructions.push({ kind: "file_delivered", requestId, fileId: file.fileId, ...answer });
  }
  releaseIfUnneeded(state, file);
}

/** A holder that is connected, else one that may come back; `butNot` only when there is no other. */
function holderOf(file: FileRecord, butNot: WorkerRecord | undefined): WorkerRecord | undefined {
  let last: WorkerRecord | undefined;
  for (const [worker, replica] of file.replicas) {
    if (replica.state !== "ready") continue;
    if (worker.link.kind === "open" && worker !== butNot) return worker;
    if (last === undefined || last === butNot) last = worker;
  }
  return last;
}
