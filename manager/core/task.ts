/** Tasks: from their submission to the end that settles their handle. */

import { AssertionError } from "../../shared/assert.ts";
import { countOrdered, filterOrdered, pushOrdered } from "../../shared/ordered_queue.ts";
import { madeFiles, type Outcome, type TryResult } from "../../shared/task.ts";
import { abandonDeliveries } from "./delivery.ts";
import { planLook } from "./deadline.ts";
import type { TaskDefinition } from "./event.ts";
import { reviewAhead } from "./instance_ahead.ts";
import { joinGroup } from "./group.ts";
import type { Hold } from "./hold.ts";
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
import { endReservation } from "./reservation.ts";
import { isInstanceWorth } from "./schedule.ts";
import { dropAsked } from "./retry.ts";
import type { FileRecord, ManagerState, TaskClass, TaskRecord, TryRecord } from "./state.ts";
import { noteConsumed, strictInputs } from "./strict_input.ts";
import { classOf, countUse } from "./task_class.ts";
import { endAttempt } from "./try.ts";
import { headOf } from "./turn.ts";

/** How a task ends, apart from what its record tells. */
export interface Ending {
  readonly outcome: Outcome;
  readonly message: string;
  readonly attempt?: TryRecord;
  readonly result?: TryResult;
  /** The mount that it is about, where no result tells. */
  readonly mount?: string;
}

/** A hold that ends by itself. */
export type TimedHold = Extract<Hold, { readonly untilMs: number }>;

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
    exhaustedCount: 0,
    slow: undefined,
    isSettled: false,
    hasValue: false,
    submittedAtMs: state.nowMs,
    dispatchedAtMs: 0,
  };
  state.tasks.set(taskId, task);
  countUse(state, task.taskClass, 1);
  task.taskClass.queuedCount += 1;
  state.counters.waiting += 1;
  state.counters.submitted += 1;
  state.facts.push({ kind: "task_submitted", taskId, definition });
  for (const { fileId } of definition.outputs) {
    const file = fileOf(state, fileId);
    file.producer = task;
    file.isAtManager = false;
    file.isStored = false;
    file.isAvailable = false;
  }
  for (const file of inputFiles(state, task)) file.consumers.add(task);
  for (const { file } of strictInputs(state, task)) file.hasStrict = true;
  const { awaits, endsAtMs } = definition;
  task.hold = awaits === undefined ? startHold(state, task) : { kind: "arguments", awaits };
  if (endsAtMs !== undefined) planLook(state, { atMs: endsAtMs, kind: "end_by", task });
  waitOrQueue(state, task);
  joinGroup(state, task);
  for (const file of inputFiles(state, task)) {
    if (file.failure !== undefined) {
      return giveUp(state, failTask(state, task, file.failure), file.failure);
    }
    recoverIfWanted(state, file);
  }
}

/** What keeps a task that has all it needs from being scheduled so far: its user's wish. */
export function startHold(state: ManagerState, task: TaskRecord): Hold | undefined {
  const { startsAtMs = 0 } = task.definition;
  if (startsAtMs <= state.nowMs) return undefined;
  return planHold(state, task, { kind: "start_after", untilMs: startsAtMs });
}

/** Puts a task that holds nothing into `waiting` or `ready`, as its inputs are. */
export function waitOrQueue(state: ManagerState, task: TaskRecord): void {
  let missing = 0;
  for (const file of inputFiles(state, task)) {
    if (!file.isAvailable) missing += 1;
  }
  const isHeld = task.hold !== undefined;
  const { endsAtMs = Infinity } = task.definition;
  // Its last try is over after all, and there is no time for another one.
  const isLate = endsAtMs <= state.nowMs && !task.isSettled;
  if (isLate) planLook(state, { atMs: state.nowMs, kind: "end_by", task });
  setState(state, task, missing > 0 || isHeld ? { kind: "waiting", missing } : READY);
}

/** Keeps a task that is not at a worker from being scheduled until `release`. */
export function holdTask(state: ManagerState, task: TaskRecord, hold: Hold): void {
  task.hold = hold;
  waitOrQueue(state, task);
}

/** Keeps a task that is not at a worker from being scheduled until then. */
export function holdUntil(state: ManagerState, task: TaskRecord, hold: TimedHold): void {
  holdTask(state, task, planHold(state, task, hold));
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
  if (isQueued(task.state)) {
    task.taskClass.queuedCount -= 1;
    taskClass.queuedCount += 1;
  }
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

/** Its time is over: the task ends wherever it is, unless a worker is done with it. */
export function endExpired(state: ManagerState, task: TaskRecord): void {
  if (task.isSettled || task.state.kind === "retrieving") return;
  const attempt = task.state.kind === "dispatched" ? task.state.attempt : undefined;
  const message = `The task did not end in time: its endBy passed while it ${whereabouts(task)}`;
  const ending: Ending = { outcome: "expired", message, ...(attempt && { attempt }) };
  giveUp(state, failTask(state, task, ending), {
    outcome: "input_missing",
    message: `Cannot run: ${describeEnd(task, ending, "an input")}`,
  });
}

function whereabouts({ state, hold }: TaskRecord): string {
  if (state.kind === "dispatched") {
    const { isStarted, worker: { workerId, host } } = state.attempt;
    return `${isStarted ? "ran at" : "waited to start at"} worker ${workerId} on ${host}`;
  }
  if (state.kind === "waiting" && state.missing > 0) {
    return `waited for ${state.missing === 1 ? "an input" : `${state.missing} inputs`}`;
  }
  if (hold === undefined) return "waited for a worker";
  if (hold.kind === "arguments") return "waited for the tasks among its arguments";
  return hold.kind === "strict_input"
    ? "waited for room where its strict inputs are"
    : "was held back";
}

/** Ends a task wherever it is; returns the outputs that will never be. */
export function failTask(
  state: ManagerState,
  task: TaskRecord,
  failure: Ending,
): FileRecord[] {
  if (task.state.kind === "done") return [];
  dropAsked(state, task);
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
    const message = ending.outcome === "success"
      ? `Cannot have what task ${task.definition.taskId} makes when it fails: it succeeded`
      : task.recoveryCount === 0 || file.bound === undefined
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
  if (isQueued(task.state)) taskClass.queuedCount -= 1;
  if (isQueued(next)) taskClass.queuedCount += 1;
  if (task.isSettled) {
    countRecovering(counters, task.state.kind, -1);
    countRecovering(counters, next.kind, 1);
  }
  if (task.state.kind === "ready") {
    taskClass.readyCount -= 1;
    // It may have been the one for whose sake a worker is kept from others.
    if (next.kind !== "dispatched") endReservation(state, taskClass);
    if (taskClass.readyCount === 0) {
      // What is left in the queue is stale.
      filterOrdered(taskClass.ready, () => false);
      state.busyClasses.delete(taskClass);
      endReservation(state, taskClass);
      // What waited for room that is to be kept for instances, waits no more.
      reviewAhead(state);
    }
  }
  task.state = next;
  if (countOrdered(taskClass.ready) > taskClass.readyCount * 2 + STALE_MAX) dropStale(taskClass);
  if (next.kind !== "ready") return;
  if (taskClass.isBlocked && state.reservations.size > 0 && isMoreUrgent(task)) {
    // What is kept for others is not kept from it.
    taskClass.isBlocked = false;
  }
  pushOrdered(taskClass.ready, task);
  const { library } = taskClass;
  const wasWorth = library !== undefined && isInstanceWorth(taskClass, library);
  taskClass.readyCount += 1;
  if (taskClass.readyCount > 1) {
    // The call by which there are too many for the instances that there are.
    if (library !== undefined && !wasWorth && isInstanceWorth(taskClass, library)) {
      taskClass.isBlocked = false;
    }
    return;
  }
  // While the class was empty nobody noted who had room for it.
  taskClass.isBlocked = false;
  state.busyClasses.add(taskClass);
}

/** True of a task that is of a higher priority than those of its class that are ready. */
function isMoreUrgent({ taskClass, definition: { priority } }: TaskRecord): boolean {
  const head = headOf(taskClass);
  return head === undefined || priority > head.definition.priority;
}

function isQueued({ kind }: TaskRecord["state"]): boolean {
  return kind === "waiting" || kind === "ready";
}

/** Tasks that were called off do not fill the queue of a class whose turn does not come. */
function dropStale(taskClass: TaskClass): void {
  // A task that left and came back is there twice, and is to be there once.
  const kept = new Set<TaskRecord>();
  filterOrdered(taskClass.ready, (task) => {
    if (task.state.kind !== "ready" || task.taskClass !== taskClass || kept.has(task)) return false;
    kept.add(task);
    return true;
  });
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

/** Has the hold looked at when its time is over. */
export function planHold(state: ManagerState, task: TaskRecord, hold: TimedHold): TimedHold {
  planLook(state, { atMs: hold.untilMs, kind: "hold", task });
  return hold;
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

/**
 * Settles the handle, lets go of inputs and keeps the record only as lineage; returns the outputs of
 * which there is nothing to hope for.
 */
function endTask(state: ManagerState, task: TaskRecord, ending: Ending): FileRecord[] {
  const isSuccess = ending.outcome === "success";
  const { definition } = task;
  setState(state, task, { kind: "done", isSuccess });
  const isFirstEnd = !task.isSettled;
  if (isFirstEnd) settle(state, task, ending);
  else tellRecoveryEnd(state, task, ending);
  const made = outputFiles(state, task);
  if (isSuccess && made.some(({ file: { origin } }) => origin.kind === "temp")) {
    keepLineage(state, task);
  } else {
    state.tasks.delete(definition.taskId);
    countUse(state, task.taskClass, -1);
    for (const { file } of made) {
      file.producer = undefined;
      file.lastFailure = describeEnd(task, ending, "it");
    }
  }
  for (const file of inputFiles(state, task)) {
    file.consumers.delete(task);
    noteConsumed(state, file);
    if (isFirstEnd) file.consumed[isSuccess ? "succeeded" : "failed"] += 1;
    releaseIfUnneeded(state, file);
  }
  const unmade: FileRecord[] = [];
  for (const { file, only } of made) {
    releaseIfUnneeded(state, file);
    if (isSuccess && only !== "failure") {
      // One that was lost while the others were made again.
      noteLost(state, file);
      recoverIfWanted(state, file);
    } else if (isSuccess || !file.isAvailable) {
      unmade.push(file);
    }
  }
  return unmade;
}

/** Tells that a run which was to remake a temp is over. */
export function tellRecoveryEnd(
  state: ManagerState,
  { definition: { taskId } }: TaskRecord,
  { outcome, message }: Pick<Ending, "outcome" | "message">,
): void {
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
  const { library } = task.taskClass;
  if (library !== undefined) library.calls[outcome === "success" ? "done" : "failed"] += 1;
  const end = endOf(state, task, ending);
  state.facts.push({
    kind: "task_ended",
    taskId,
    outcome,
    outputs: result === undefined ? [] : madeFiles(result),
    end,
  });
  state.instructions.push({ kind: "settle", durable: true, end });
}

/** How a task, or a try that was not its last, ended: for whoever waits, or is asked. */
export function endOf(
  state: ManagerState,
  task: TaskRecord,
  { outcome, message, attempt, result, mount = result?.mount }: Ending,
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
  if (mount !== undefined) end.mount = mount;
  if (result !== undefined) end.result = result;
  return end;
}
