/** Tries: from the dispatch to what the worker says of their end. */

import { AssertionError } from "../../shared/assert.ts";
import {
  type FileFacts,
  madeFiles,
  type Outcome,
  type TryId,
  type TryResult,
} from "../../shared/task.ts";
import { acknowledge, acknowledgeLater } from "./acknowledgement.ts";
import { countRunning, drawAgain } from "./category.ts";
import { abandonDeliveries, deliverOutputs } from "./delivery.ts";
import { largestDiskFor, nextDisk } from "./disk.ts";
import { afterExhaustion } from "./exhaustion.ts";
import { type Failure, failWithOutputs, finishFailed, giveUpRetrieval } from "./failure_output.ts";
import { inputFiles, isInPlace, outputFiles, updateAvailability } from "./file.ts";
import { freeCall, holdCall, indexService, takeBackInstances } from "./library.ts";
import { dropFollower, isMadeFor, leadGroup, promoteFollower } from "./group.ts";
import { noteHostFailure, noteHostSuccess } from "./host.ts";
import { noteShortage, noteUse } from "./learning.ts";
import { isOutputOf, noteLie, outputLie, tryAt } from "./lie.ts";
import { callOffMaking } from "./recipe.ts";
import { tryRecoveryAgain } from "./recovery.ts";
import { deleteReplica, ensureReplica, forgetReplica, isNeededAt, markReady } from "./replica.ts";
import { changeRoom, indexWorker, isOpen } from "./room.ts";
import { allocationFor } from "./ramp_down.ts";
import { endReservation, endReservationsOfFull } from "./reservation.ts";
import { isWorthRecall } from "./schedule.ts";
import { judgeFailure, noteLoss } from "./retry.ts";
import { learnDuration, noteEnded, unwatchTry, watchTry } from "./slow_worker.ts";
import { reviewSpool } from "./spool.ts";
import {
  type FileRecord,
  type ManagerState,
  outboxOf,
  type TaskRecord,
  tell,
  tryKey,
  type TryRecord,
  type WorkerRecord,
} from "./state.ts";
import { changeClass, finishTask, setState, waitOrQueue } from "./task.ts";
import { classOf, type Raise } from "./task_class.ts";
import { tellDispatch, tellEnd, tellReturn, tellStart } from "./try_fact.ts";
import { declareValue } from "./value_file.ts";

/** Repetitions of a try that may have read what another one wrote. */
const AMBIGUOUS_TRIES_MAX = 3;

/** How much longer a try may seem to have run than it was at its worker. */
const CLOCK_SLACK_MS = 1_000;

/** Workers, each with more disk than the one before, on which a task is tried for want of it. */
const FULL_TRIES_MAX = 5;

const NO_WORKERS: readonly WorkerRecord[] = [];

/** How a try ends that the manager has no use for. */
const STOPPED = { outcome: "cancelled" } as const;

/**
 * Gives a ready task to `worker`, which gets what it lacks; or one that waits for nothing but an
 * output of `awaits`, a try that is there.
 */
export function dispatch(
  state: ManagerState,
  task: TaskRecord,
  worker: WorkerRecord,
  awaits?: TryRecord,
): void {
  task.tryCount += 1;
  task.dispatchedAtMs = state.nowMs;
  const { definition: { taskId }, taskClass } = task;
  const { library } = taskClass;
  const allocation = library === undefined
    ? allocationFor(state, taskClass, worker)
    : taskClass.ownAllocation;
  const attempt: TryRecord = {
    taskId,
    try: task.tryCount,
    task,
    taskClass,
    allocation,
    worker,
    isEnded: false,
    isStarted: false,
    startedAtMs: 0,
    isRecalled: false,
    recalledFor: undefined,
    awaits,
    follower: undefined,
  };
  setState(state, task, { kind: "dispatched", attempt });
  worker.tries.set(tryKey(attempt), attempt);
  if (awaits === undefined) worker.unstarted.add(attempt);
  else awaits.follower = attempt;
  if (allocation !== undefined && awaits === undefined) {
    changeRoom(state, worker, allocation.held, 1);
  }
  if (library !== undefined) holdCall(state, library, worker);
  // One that awaits another one holds nothing yet.
  const cores = awaits === undefined ? allocation?.held.cores ?? 0 : 0;
  countRunning(state, taskClass, { cores, change: 1 });
  if (worker.committed.cores > worker.resources.cores) {
    if (isWorthRecall(taskClass)) state.recallable.add(worker);
    // An idle instance there may be all that is in the way.
    if (worker.services.size > 0) state.changedWorkers.add(worker);
  }
  for (const file of inputFiles(state, task)) {
    if (!isMadeFor(attempt, file)) ensureReplica(state, file, worker);
  }
  outboxOf(state, worker).dispatched.push(attempt);
  tellDispatch(state, attempt);
  endReservation(state, taskClass);
  endReservationsOfFull(state, taskClass.category);
  drawAgain(state, taskClass);
  leadGroup(state, attempt);
}

/** The worker started these tries. */
export function startTries(
  state: ManagerState,
  worker: WorkerRecord,
  tries: readonly TryId[],
): void {
  for (const id of tries) {
    const attempt = tryAt(state, worker, id);
    if (attempt === undefined || attempt.isStarted) continue;
    attempt.isStarted = true;
    attempt.startedAtMs = state.nowMs;
    countStarted(state, attempt, 1);
    watchTry(state, attempt);
    forgetUnstarted(state, attempt);
    // It had started when it was asked back: another one may wait here for the idle worker.
    const idle = attempt.recalledFor;
    if (idle !== undefined && isOpen(idle)) state.changedWorkers.add(idle);
    state.counters.triesStarted += 1;
    if (!attempt.isEnded) tellStart(state, attempt);
  }
}

/** The worker gave a try back before it started. */
export function returnTry(
  state: ManagerState,
  worker: WorkerRecord,
  id: TryId & { readonly isCrowded?: boolean },
): void {
  const attempt = tryAt(state, worker, id);
  if (attempt === undefined) return;
  // One that leaves hands back what it can.
  const isAsked = attempt.isRecalled || attempt.isEnded || worker.isLeaving;
  // Others have to be left, whose end makes room.
  const isCrowded = id.isCrowded === true && worker.tries.size > 1;
  if (!isAsked && !isCrowded) noteLie(state, worker, "a try is given back that was not asked for");
  removeTry(state, attempt);
  if (isCrowded) {
    setCrowded(state, worker, true);
  }
  if (attempt.isEnded) return;
  tellReturn(state, attempt);
  retry(state, attempt);
}

/** A try ended at its worker. Its room is free; its result counts if it is the current one. */
export function endTry(state: ManagerState, worker: WorkerRecord, result: TryResult): void {
  const attempt = tryAt(state, worker, result);
  if (attempt === undefined) return answerStray(state, worker, result);
  removeTry(state, attempt);
  if (attempt.isEnded) return discard(state, attempt, result);
  const { task } = attempt;
  const { outcome } = result;
  const lie = outcome === "success" ? outputLie(state, attempt, result) : undefined;
  if (lie !== undefined) return voidTry(state, attempt, { result, lie });
  tellEnd(state, attempt, { outcome, result });
  if (outcome !== "success") {
    const fail = (failed: TryResult) => failTry(state, attempt, failed);
    return failWithOutputs(state, attempt, { result, fail });
  }
  // Clocks differ; that of the worker may be wrong by any amount.
  const ranMsMax = state.nowMs - task.dispatchedAtMs + CLOCK_SLACK_MS;
  const ranMs = Math.min(result.times.ranMs, ranMsMax);
  learnDuration(attempt, ranMs);
  if (attempt.allocation !== undefined && attempt.taskClass.library === undefined) {
    noteUse(state, attempt.taskClass.category, { worker, used: result.used, ranMs });
  }
  noteHostSuccess(state, attempt);
  noteEnded(state, attempt);
  if (task.definition.outputs.length > 0 || result.valueFile !== undefined) {
    declareValue(state, attempt, result);
    return endWithOutputs(state, attempt, result);
  }
  if (attempt.taskClass.library === undefined) acknowledge(state, worker, result);
  else acknowledgeLater(state, worker, result);
  finishTask(state, task, { outcome, message: result.message, attempt, result });
}

/** A success that cannot be is none: as if the worker had been lost with the try. */
function voidTry(
  state: ManagerState,
  attempt: TryRecord,
  { result, lie }: { readonly result: TryResult; readonly lie: string },
): void {
  const { worker, task } = attempt;
  tellEnd(state, attempt, { outcome: "worker_lost", message: lie });
  noteLie(state, worker, lie);
  discard(state, attempt, result);
  task.lossCount += 1;
  if (task.lossCount <= task.definition.workerLosses) return retry(state, attempt);
  const message = `Cannot believe worker ${worker.workerId} on ${worker.host}: ${lie}`;
  finishTask(state, task, { outcome: "worker_lost", message, attempt });
}

/** A success is complete once what is the manager's, or a url's, is in place there. */
function endWithOutputs(state: ManagerState, attempt: TryRecord, result: TryResult): void {
  const { task, worker } = attempt;
  const { outcome, message } = result;
  takeOutputs(state, attempt, result);
  const { valueFile } = result;
  // One of another run than that whose value the handle has.
  if (valueFile !== undefined && !state.filesByName.has(valueFile.name)) {
    dropMade(state, worker, valueFile);
  }
  promoteFollower(state, attempt);
  const pending = deliverOutputs(state, { task, worker, result });
  if (pending.size > 0) {
    return setState(state, task, { kind: "retrieving", attempt, result, pending });
  }
  acknowledge(state, worker, result);
  finishTask(state, task, { outcome, message, attempt, result });
}

/** One of the outputs is in place. */
export function finishRetrieval(state: ManagerState, task: TaskRecord, deliveryId: number): void {
  if (task.state.kind !== "retrieving") return;
  const { attempt, result, pending } = task.state;
  pending.delete(deliveryId);
  if (pending.size > 0) return;
  acknowledge(state, attempt.worker, attempt);
  const { outcome, message } = result;
  finishTask(state, task, { outcome, message, attempt, result });
}

/** An output cannot be put in place: the task fails, though its try did not. */
export function failRetrieval(state: ManagerState, task: TaskRecord, message: string): void {
  if (task.state.kind !== "retrieving") return;
  if (giveUpRetrieval(state, task, task.state)) return;
  const { attempt, result, pending } = task.state;
  abandonDeliveries(state, pending);
  acknowledge(state, attempt.worker, attempt);
  finishTask(state, task, { outcome: "transfer_failed", message, attempt, result });
}

/** Outputs were lost on their way here: the task runs again, as if its worker had been lost. */
export function loseRetrieval(state: ManagerState, task: TaskRecord, message: string): void {
  if (task.state.kind !== "retrieving" || giveUpRetrieval(state, task, task.state)) return;
  const { attempt, pending } = task.state;
  abandonDeliveries(state, pending);
  acknowledge(state, attempt.worker, attempt);
  task.lossCount += 1;
  task.lastFailure = message;
  const { taskId } = task.definition;
  state.facts.push({ kind: "outputs_lost", taskId, message });
  if (task.lossCount > task.definition.workerLosses) {
    return finishTask(state, task, { outcome: "worker_lost", message, attempt });
  }
  waitOrQueue(state, task);
  if (task.isSettled) return;
  // What has arrived is of a run that did not count: all outputs are to be of one run.
  for (const { file } of outputFiles(state, task)) {
    if (!isInPlace(file)) continue;
    file.isAtManager = false;
    file.isStored = false;
    updateAvailability(state, file);
  }
}

/**
 * The manager has no use for this try any more; its room is free once the worker says so. `failure`
 * is why it cannot go on; of one that just need not there is none.
 */
export function endAttempt(
  state: ManagerState,
  attempt: TryRecord,
  failure?: { readonly outcome: Outcome; readonly message: string },
): void {
  const { worker, taskId, try: number } = attempt;
  // What was at a worker that has left ended with it.
  const isThere = !attempt.isEnded && worker.tries.has(tryKey(attempt)) &&
    state.workers.get(worker.workerId) === worker;
  if (isThere && failure === undefined && !attempt.isStarted) tellReturn(state, attempt);
  else if (isThere) tellEnd(state, attempt, failure ?? STOPPED);
  attempt.isEnded = true;
  forgetUnstarted(state, attempt);
  if (!attempt.isStarted) callOffMaking(state, attempt);
  if (worker.tries.has(tryKey(attempt))) tell(state, worker, { kind: "kill", taskId, try: number });
  else acknowledge(state, worker, attempt);
  dropFollower(state, attempt);
}

/** Asks a try back that has not started, as far as is known. */
export function recall(state: ManagerState, attempt: TryRecord): void {
  const { worker, taskId, try: number } = attempt;
  attempt.isRecalled = true;
  // A worker in grace is asked again when it is back.
  if (worker.link.kind === "open") outboxOf(state, worker).recalled.push({ taskId, try: number });
}

/** The worker of a try is gone. `isCounted` tells whether that may be the task's doing. */
export function loseTry(state: ManagerState, attempt: TryRecord, isCounted: boolean): void {
  removeTry(state, attempt);
  if (attempt.isEnded) return;
  const { task, worker } = attempt;
  const { workerId } = worker;
  const outcome = "worker_lost";
  tellEnd(state, attempt, { outcome });
  if (!isCounted) return retry(state, attempt);
  task.lastFailure = `worker ${workerId} on ${worker.host} was lost while it ran there`;
  task.lossCount += 1;
  const message = noteLoss(task, worker);
  if (task.lossCount <= task.definition.workerLosses) return retry(state, attempt);
  finishTask(state, task, { outcome, message, attempt });
}

/** A file cannot come to `worker`: tries there that have not started cannot run. */
export function failTriesFor(
  state: ManagerState,
  missing: {
    readonly worker: WorkerRecord;
    readonly file: FileRecord;
    readonly message: string;
    readonly outcome: Outcome;
  },
): void {
  const { worker, file, message, outcome } = missing;
  for (const attempt of [...worker.tries.values()]) {
    if (attempt.isStarted || attempt.isEnded || !file.consumers.has(attempt.task)) continue;
    endAttempt(state, attempt, { outcome, message });
    countFailure(state, attempt, { outcome, message });
  }
}

/** True when a try at `worker` that has not started has the file as an input. */
export function hasUnstartedConsumer(worker: WorkerRecord, file: FileRecord): boolean {
  for (const attempt of worker.tries.values()) {
    if (attempt.isStarted || attempt.isEnded) continue;
    if (file.consumers.has(attempt.task)) return true;
  }
  return false;
}

/** Takes a try off the tables of its worker and gives its room back. */
export function removeTry(state: ManagerState, attempt: TryRecord): void {
  const { worker, taskClass, allocation } = attempt;
  const wasThere = worker.tries.delete(tryKey(attempt));
  if (!wasThere) throw new AssertionError(`Task ${attempt.taskId} must have its try at its worker`);
  forgetUnstarted(state, attempt);
  if (attempt.isStarted) countStarted(state, attempt, -1);
  unwatchTry(attempt);
  const held = attempt.awaits === undefined ? allocation?.held : undefined;
  if (held !== undefined) changeRoom(state, worker, held, -1);
  if (taskClass.library !== undefined) freeCall(state, taskClass.library, worker);
  countRunning(state, taskClass, { cores: held?.cores ?? 0, change: -1 });
  if (!worker.isCrowded) return;
  state.changedWorkers.add(worker);
  setCrowded(state, worker, false);
}

function countStarted(state: ManagerState, attempt: TryRecord, change: 1 | -1): void {
  const { taskClass: { library } } = attempt;
  state.counters.running += change;
  if (library !== undefined) library.calls.running += change;
}

/** Nothing more is given to a worker that is crowded, calls neither. */
function setCrowded(state: ManagerState, worker: WorkerRecord, isCrowded: boolean): void {
  worker.isCrowded = isCrowded;
  indexWorker(state, worker);
  for (const service of worker.services.values()) indexService(state, service);
}

/** The task of a try that is over runs again, unless it is held. */
export function retry(state: ManagerState, attempt: TryRecord): void {
  // What was no room before may be some now, for whoever comes back.
  attempt.task.taskClass.isBlocked = false;
  attempt.isEnded = true;
  waitOrQueue(state, attempt.task);
  dropFollower(state, attempt);
}

function failTry(state: ManagerState, attempt: TryRecord, result: TryResult): void {
  const { task } = attempt;
  const { outcome, message } = result;
  if (outcome === "cancelled") return retry(state, attempt);
  if (outcome === "library_failed" && result.isAmbiguous) {
    task.lossCount += 1;
    if (task.lossCount <= task.definition.workerLosses) return retry(state, attempt);
  } else if (result.isAmbiguous) {
    task.ambiguousCount += 1;
    if (task.ambiguousCount <= AMBIGUOUS_TRIES_MAX) return retry(state, attempt);
  }
  countFailure(state, attempt, { outcome, message, result });
}

/** A failure of the task's own: again while `retries` allow it, a recovery while its limit does. */
function countFailure(
  state: ManagerState,
  attempt: TryRecord,
  failure: Failure,
): void {
  const { task } = attempt;
  const { outcome, message } = failure;
  task.lastFailure = message === "" ? outcome : `${outcome}: ${message}`;
  const isFull = outcome === "disk_full";
  if (isFull || outcome === "start_failed" || outcome === "transfer_failed") {
    noteHostFailure(state, attempt, task.lastFailure);
  }
  if (isFull && tryOnLargerDisk(state, attempt)) return;
  if (outcome === "resources_exhausted") {
    const verdict = afterExhaustion(state, attempt, failure.result?.exceeded);
    if (verdict.kind === "again") return tryWithMore(state, attempt, { ...failure, ...verdict });
    if (verdict.kind === "hopeless") {
      const told = message === "" ? verdict.message : `${message}; ${verdict.message}`;
      const last = { ...failure, message: told };
      if (task.isSettled) return finishTask(state, task, { ...last, attempt });
      return finishFailed(state, attempt, last);
    }
  }
  if (task.isSettled) {
    if (tryRecoveryAgain(state, task, failure)) return retry(state, attempt);
    return finishTask(state, task, { ...failure, attempt });
  }
  const isTriedOut = isFull && task.fullCount > 1;
  judgeFailure(state, attempt, {
    ...failure,
    message: isTriedOut ? `${message}; ${whyNoMore(attempt)}` : message,
  });
}

/** It had too little of what it does not state: that is no failure of its own. */
function tryWithMore(
  state: ManagerState,
  attempt: TryRecord,
  { raise, result }: { readonly raise: Raise; readonly result?: TryResult },
): void {
  const { task, taskClass, worker } = attempt;
  task.exhaustedCount += 1;
  const ranMs = result?.times.ranMs ?? 0;
  noteShortage(state, taskClass.category, { worker, used: result?.used, ranMs });
  changeClass(state, task, classOf(state, task.definition, raise));
  retry(state, attempt);
}

/** No room for it at its worker, whoever's fault that is: a worker with more disk may have some. */
function tryOnLargerDisk(state: ManagerState, attempt: TryRecord): boolean {
  const { task, taskClass, worker } = attempt;
  task.fullCount += 1;
  if (taskClass.library !== undefined || task.fullCount > FULL_TRIES_MAX) return false;
  const wantedBytes = nextDisk(worker.resources.diskBytes);
  if (largestDiskFor(state, taskClass) < wantedBytes) return false;
  const { atLeast, workerMemoryBytes } = taskClass;
  const raise = { atLeast, workerDiskBytes: wantedBytes, workerMemoryBytes };
  changeClass(state, task, classOf(state, task.definition, raise));
  retry(state, attempt);
  return true;
}

function whyNoMore({ task, worker }: TryRecord): string {
  return `it was tried on ${task.fullCount} workers for want of disk, of which this is the one ` +
    `with most, ${worker.resources.diskBytes} bytes`;
}

/** Records what a try made. */
export function takeOutputs(state: ManagerState, attempt: TryRecord, result: TryResult): void {
  const { task, worker } = attempt;
  const made = madeFiles(result);
  for (const { file } of outputFiles(state, task)) {
    const { fileId } = file;
    const output = made.find(({ name }) => name === file.bound?.name);
    if (output === undefined || file.bound === undefined) continue;
    const { content: _content, ...facts } = output;
    const { digest, sizeBytes, isDirectory, isExecutable = false } = facts;
    if (file.generation > 0 && file.bound.digest !== digest) {
      file.isNondeterministic = true;
      state.counters.nondeterministic += 1;
      state.facts.push({ kind: "nondeterministic", fileId, taskId: attempt.taskId });
      retireMade(state, file);
    }
    file.bound = { ...file.bound, digest, sizeBytes, isDirectory, isExecutable };
    const retired = retireMaking(state, file, worker);
    file.generation = attempt.try;
    takeBackInstances(state, file);
    markReady(state, { file, worker, facts });
    // What is made of it there, or an instance that starts, has not read it yet.
    for (const holder of retired) {
      if (isNeededAt(holder, file)) ensureReplica(state, file, holder);
    }
    reviewSpool(state, file);
  }
}

/** The newest making is the file: copies of earlier ones that came back go, from the workers returned. */
function retireMaking(
  state: ManagerState,
  file: FileRecord,
  maker: WorkerRecord,
): readonly WorkerRecord[] {
  if (file.replicas.size === 0) return NO_WORKERS;
  takeBackUnstarted(state, file);
  const retired: WorkerRecord[] = [];
  for (const [worker, replica] of file.replicas) {
    // The maker's own cache has the new one in its place already.
    if (worker === maker) {
      forgetReplica(state, worker, replica);
      continue;
    }
    deleteReplica(state, worker, replica);
    retired.push(worker);
  }
  return retired;
}

/** What recipes made of other bytes goes with those: nobody is given it beside what is new. */
function retireMade(state: ManagerState, file: FileRecord): void {
  for (const made of file.recipes) {
    takeBackUnstarted(state, made);
    // Of a copy: what is to come again enters the map anew.
    for (const [worker, replica] of [...made.replicas]) {
      deleteReplica(state, worker, replica);
      if (isNeededAt(worker, made)) ensureReplica(state, made, worker);
    }
    retireMade(state, made);
  }
}

function takeBackUnstarted(state: ManagerState, file: FileRecord): void {
  for (const task of file.consumers) {
    if (task.state.kind !== "dispatched" || task.state.attempt.isStarted) continue;
    endAttempt(state, task.state.attempt);
    setState(state, task, { kind: "waiting", missing: 0 });
    waitOrQueue(state, task);
  }
}

/** The result of a try that the manager ended: nothing of it stays. */
export function discard(
  state: ManagerState,
  attempt: TryRecord,
  result: TryResult,
): void {
  const { worker, task } = attempt;
  acknowledge(state, worker, result);
  for (const output of madeFiles(result)) {
    if (isOutputOf(state, task, { output, made: attempt.try })) dropMade(state, worker, output);
  }
}

/** Has a worker delete what a try of it has made. */
function dropMade(
  state: ManagerState,
  worker: WorkerRecord,
  { name, generation }: FileFacts,
): void {
  const replica = worker.replicas.get(name);
  if (replica !== undefined && replica.generation === generation) {
    deleteReplica(state, worker, replica);
  } else {
    // It never was in the table; the answer to this finds nothing there.
    tell(state, worker, { kind: "delete", name, generation });
  }
}

/** A result of a try that is not in the table: of one that was settled, or is being retrieved. */
function answerStray(state: ManagerState, worker: WorkerRecord, result: TryResult): void {
  const task = state.tasks.get(result.taskId);
  if (task?.state.kind === "retrieving") {
    const { attempt } = task.state;
    if (attempt.worker === worker && attempt.try === result.try) return;
  }
  acknowledge(state, worker, result);
}

function forgetUnstarted(state: ManagerState, attempt: TryRecord): void {
  const { worker } = attempt;
  if (worker.unstarted.delete(attempt) && worker.unstarted.size === 0) {
    state.recallable.delete(worker);
  }
}
