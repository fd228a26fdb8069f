/** Tasks: from their submission to the end that settles their handle. */

import { AssertionError } from "../../shared/assert.ts";
import { pushHeap } from "../../shared/heap.ts";
import type { Outcome, TryResult } from "../../shared/task.ts";
import { abandonDeliveries } from "./delivery.ts";
import type { TaskDefinition } from "./event.ts";
import type { TaskEnd } from "./instruction.ts";
import {
  fileOf,
  giveUpFile,
  inputFiles,
  keepLineage,
  outputFiles,
  releaseIfUnneeded,
} from "./file.ts";
import { noteLost, recoverIfWanted } from "./recovery.ts";
import type { FileRecord, Hold, ManagerState, TaskClass, TaskRecord, TryRecord } from "./state.ts";
import { classOf, countUse } from "./task_class.ts";
import { endAttempt } from "./try.ts";

/** How a task ends, apart from what its record tells. */
export interface Ending {
  readonly outcome: Outcome;
  readonly message: string;
  readonly attempt?: TryRecord;
  readonly result?: TryResult;
}

/** How a task ends that its user calls off. */
export const CANCELLED: Ending = { outcome: "cancelled", message: "The task was cancelled" };

const READY = { kind: "ready" } as const;

/** Entries of a queue that are of no task in it, beside as many as there are tasks in it. */
const STALE_MAX = 1_024;

/** Takes a task; it waits for its inputs or for room. */
export function submitTask(state: ManagerState, definition: TaskDefinition): void {
  const { taskId } = definition;
  if (state.tasks.has(taskId)) throw new AssertionError(`Task ${taskId} must be new`);
  state.lastTaskId = Math.max(state.lastTaskId, taskId);
  const task: TaskRecord = {
    definition,
    taskClass: classOf(state, definition),
    state: { kind: "waiting", missing: 0 },
    hold: undefined,
    tryCount: 0,
    failureCount: 0,
    lossCount: 0,
    troubles: undefined,
    ambiguousCount: 0,
    recoveryCount: 0,
    lastFailure: undefined,
    fullCount: 0,
    isSettled: false,
    submittedAtMs: state.nowMs,
    dispatchedAtMs: 0,
  };
  state.tasks.set(taskId, task);
  countUse(state, task.taskClass, 1);
  state.counters.waiting += 1;
  state.counters.submitted += 1;
  state.facts.push({ kind: "task_submitted", taskId });
  for (const { fileId } of definition.outputs) {
    const file = fileOf(state, fileId);
    file.producer = task;
    file.isAtManager = false;
    file.isStored = false;
    file.isAvailable = false;
  }
  for (const file of inputFiles(state, task)) file.consumers.add(task);
  waitOrQueue(state, task);
  for (const file of inputFiles(state, task)) {
    if (file.failure !== undefined) {
      return giveUp(state, failTask(state, task, file.failure), file.failure);
    }
    recoverIfWanted(state, file);
  }
}

/** Puts a task that holds nothing into `waiting` or `ready`, as its inputs are. */
export function waitOrQueue(state: ManagerState, task: TaskRecord): void {
  let missing = 0;
  for (const file of inputFiles(state, task)) {
    if (!file.isAvailable) missing += 1;
  }
  const isHeld = task.hold !== undefined;
  setState(state, task, missing > 0 || isHeld ? { kind: "waiting", missing } : READY);
}

/** Keeps a task that is not at a worker from being scheduled until `release`. */
export function holdTask(state: ManagerState, task: TaskRecord, hold: Hold): void {
  task.hold = hold;
  waitOrQueue(state, task);
}

/** Nothing but its inputs keeps the task from being scheduled any more. */
export function releaseTask(state: ManagerState, task: TaskRecord): void {
  task.hold = undefined;
  waitOrQueue(state, task);
}

/** Its tries are of another class from now on; for a task that is in no queue. */
export function changeClass(state: ManagerState, task: TaskRecord, taskClass: TaskClass): void {
  countUse(state, taskClass, 1);
  countUse(state, task.taskClass, -1);
  task.taskClass = taskClass;
}

/** Has a ready task wait among those of another class. */
export function moveToClass(state: ManagerState, task: TaskRecord, taskClass: TaskClass): void {
  // Its entry in the queue it leaves is stale by its class.
  setState(state, task, { kind: "waiting", missing: 0 });
  changeClass(state, task, taskClass);
  waitOrQueue(state, task);
}

/** One input more or less is missing to a task that has not been dispatched. */
export function countMissing(state: ManagerState, task: TaskRecord, change: 1 | -1): void {
  if (task.state.kind === "ready" && change > 0) {
    setState(state, task, { kind: "waiting", missing: 1 });
  } else if (task.state.kind === "waiting") {
    task.state.missing += change;
    if (task.state.missing === 0 && task.hold === undefined) setState(state, task, READY);
  }
}

/** An input has no contents any more: a try that has not read it yet comes back. */
export function takeBackTask(state: ManagerState, task: TaskRecord, file: FileRecord): void {
  if (task.state.kind !== "dispatched") return;
  const { attempt } = task.state;
  if (attempt.isStarted) return;
  // Where the file is in place the try can still run.
  if (file.replicas.get(attempt.worker)?.state === "ready") return;
  endAttempt(state, attempt);
  waitOrQueue(state, task);
}

/** Ends a task wherever it is; returns the outputs that will never be. */
export function failTask(
  state: ManagerState,
  task: TaskRecord,
  failure: { readonly outcome: Outcome; readonly message: string },
): FileRecord[] {
  if (task.state.kind === "done") return [];
  // What happens to one that its user has called off meanwhile is of no interest.
  const ending = task.hold?.kind === "called_off" ? CANCELLED : failure;
  if (task.state.kind === "dispatched") endAttempt(state, task.state.attempt);
  if (task.state.kind === "retrieving") {
    abandonDeliveries(state, task.state.pending);
    endAttempt(state, task.state.attempt);
  }
  return endTask(state, task, ending);
}

/** A try was the task's last: the handle settles and what only it needed goes. */
export function finishTask(state: ManagerState, task: TaskRecord, ending: Ending): void {
  const abandoned = endTask(state, task, ending);
  if (abandoned.length === 0) return;
  for (const file of abandoned) {
    const message = task.recoveryCount === 0 || file.bound === undefined
      ? `Cannot run: ${describeEnd(task, ending, "an input")}`
      : `Cannot make file "${file.bound.name}" again: ${describeEnd(task, ending, "it")}`;
    giveUpFile(state, file, { outcome: "input_missing", message });
  }
}

/** Changes the state of a task, and the queue and the counters with it. */
export function setState(state: ManagerState, task: TaskRecord, next: TaskRecord["state"]): void {
  const { counters } = state;
  const { taskClass } = task;
  if (task.state.kind !== "done") counters[task.state.kind] -= 1;
  if (next.kind !== "done") counters[next.kind] += 1;
  if (task.isSettled) {
    countRecovering(counters, task.state.kind, -1);
    countRecovering(counters, next.kind, 1);
  }
  if (task.state.kind === "ready") {
    taskClass.readyCount -= 1;
    if (taskClass.readyCount === 0) {
      // What is left in the queue is stale.
      taskClass.ready.items.length = 0;
      state.busyClasses.delete(taskClass);
    }
  }
  task.state = next;
  if (taskClass.ready.items.length > taskClass.readyCount * 2 + STALE_MAX) dropStale(taskClass);
  if (next.kind !== "ready") return;
  pushHeap(taskClass.ready, task);
  taskClass.readyCount += 1;
  if (taskClass.readyCount > 1) return;
  // While the class was empty nobody noted who had room for it.
  taskClass.isBlocked = false;
  state.busyClasses.add(taskClass);
}

/** Tasks that were called off do not fill the queue of a class whose turn does not come. */
function dropStale(taskClass: TaskClass): void {
  const { ready } = taskClass;
  // A task that left and came back is there twice, and is to be there once.
  const left = new Set(
    ready.items.splice(0).filter((task) => {
      return task.state.kind === "ready" && task.taskClass === taskClass;
    }),
  );
  for (const task of left) pushHeap(ready, task);
}

/** A recovery counts as waiting until it is at a worker. */
function countRecovering(
  counters: ManagerState["counters"],
  kind: TaskRecord["state"]["kind"],
  change: 1 | -1,
): void {
  if (kind === "done") return;
  const isWaiting = kind === "waiting" || kind === "ready";
  counters[isWaiting ? "recoveriesWaiting" : "recoveriesRunning"] += change;
}

function describeEnd(
  { definition }: TaskRecord,
  { outcome, message }: Ending,
  made: string,
): string {
  return `task ${definition.taskId}, which makes ${made}, ended as ${outcome}` +
    (message === "" ? "" : `: ${message}`);
}

/** The outputs of a task will never be: what needs them ends. */
export function giveUp(
  state: ManagerState,
  files: readonly FileRecord[],
  failure: NonNullable<FileRecord["failure"]>,
): void {
  for (const file of files) giveUpFile(state, file, failure);
}

/** Settles the handle, lets go of inputs and keeps the record only as lineage. */
function endTask(state: ManagerState, task: TaskRecord, ending: Ending): FileRecord[] {
  const isSuccess = ending.outcome === "success";
  const { definition } = task;
  setState(state, task, { kind: "done", isSuccess });
  const isFirstEnd = !task.isSettled;
  if (isFirstEnd) settle(state, task, ending);
  else endRecovery(state, task, ending);
  const outputs = outputFiles(state, task).map(({ file }) => file);
  if (isSuccess && outputs.some(({ origin }) => origin.kind === "temp")) {
    keepLineage(state, task);
  } else {
    state.tasks.delete(definition.taskId);
    countUse(state, task.taskClass, -1);
    for (const file of outputs) {
      file.producer = undefined;
      file.lastFailure = describeEnd(task, ending, "it");
    }
  }
  for (const file of inputFiles(state, task)) {
    file.consumers.delete(task);
    if (isFirstEnd) file.consumed[isSuccess ? "succeeded" : "failed"] += 1;
    releaseIfUnneeded(state, file);
  }
  for (const file of outputs) {
    releaseIfUnneeded(state, file);
    // One that was lost while the others were made again.
    if (!isSuccess) continue;
    noteLost(state, file);
    recoverIfWanted(state, file);
  }
  return isSuccess ? [] : outputs.filter((file) => !file.isAvailable);
}

function endRecovery(state: ManagerState, task: TaskRecord, ending: Ending): void {
  const { taskId } = task.definition;
  const { outcome, message } = ending;
  state.facts.push({ kind: "recovery_ended", taskId, outcome, message });
}

function settle(state: ManagerState, task: TaskRecord, ending: Ending): void {
  const { outcome, result } = ending;
  const { taskId } = task.definition;
  const { counters } = state;
  task.isSettled = true;
  if (outcome === "success") counters.succeeded += 1;
  else if (outcome === "cancelled") counters.cancelled += 1;
  else counters.failed += 1;
  state.facts.push({ kind: "task_ended", taskId, outcome, outputs: result?.outputs ?? [] });
  const end = endOf(state, task, ending);
  state.instructions.push({ kind: "settle", durable: true, end });
}

/** How a task, or a try that was not its last, ended: for whoever waits, or is asked. */
export function endOf(
  state: ManagerState,
  task: TaskRecord,
  { outcome, message, attempt, result }: Ending,
): TaskEnd {
  const end: { -readonly [Key in keyof TaskEnd]: TaskEnd[Key] } = {
    taskId: task.definition.taskId,
    try: task.tryCount,
    outcome,
    message,
    submittedAtMs: task.submittedAtMs,
    dispatchedAtMs: task.dispatchedAtMs,
    endedAtMs: state.nowMs,
  };
  if (attempt !== undefined) {
    end.workerId = attempt.worker.workerId;
    end.host = attempt.worker.host;
    if (attempt.allocation !== undefined) end.allocated = attempt.allocation.resources;
  }
  if (result !== undefined) end.result = result;
  return end;
}
