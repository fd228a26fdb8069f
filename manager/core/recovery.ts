/**
 * Recovery: a temp whose replicas are all lost is made again by the task that made it.
 *
 * A run makes all that its task makes but what the manager has, and all of it is of the run's
 * generation: of two outputs of one task nobody is given one of this run and one of another.
 * What the manager has was handed to the user and stays as it is.
 *
 * @module
 */

import type { Outcome } from "../../shared/task.ts";
import { isSpent } from "./copy_policy.ts";
import { awaitKept } from "./kept_file.ts";
import { boundName, giveUpFile, inputFiles, isWaitedFor, outputFiles } from "./file.ts";
import { recipeInputs } from "./recipe.ts";
import { type FileRecord, type ManagerState, type TaskRecord, tryKey } from "./state.ts";
import { setState, tellRecoveryEnd, waitOrQueue } from "./task.ts";
import { endAttempt } from "./try.ts";
import { wakeUpkeep } from "./upkeep.ts";

/** Lost temps that one step begins to make again though nobody waits for them. */
const REMAKES_MAX = 100;

/** Starts the producer of `file` again when somebody waits for the file and it is lost. */
export function recoverIfWanted(state: ManagerState, file: FileRecord): void {
  // A list instead of recursion: the producers of a long chain may all have to run again.
  const lost = [file];
  for (let next = lost.pop(); next !== undefined; next = lost.pop()) {
    if (next.isAvailable || next.failure !== undefined) continue;
    lost.push(...recipeInputs(state, next));
    if (next.origin.kind === "kept") awaitKept(state, next);
    // A temp that was never made is waited for, not lost.
    if (next.generation === 0 || !isAwaited(next)) continue;
    const { producer } = next;
    if (producer !== undefined && producer.state.kind !== "done") continue;
    const message = whyLost(state, next);
    if (message === undefined) {
      if (producer !== undefined) lost.push(...startRecovery(state, producer));
    } else if (isWaitedFor(next)) {
      giveUpFile(state, next, { outcome: "input_missing", message });
    } else {
      // A holder may come back before somebody needs it.
      next.isDue = false;
    }
  }
}

/** The last copy of the file is gone and nobody had it removed: it may be made again at once. */
export function noteLost(state: ManagerState, file: FileRecord): void {
  const { origin, generation, isAvailable, failure, declaredCount } = file;
  const isLost = origin.kind === "temp" && generation > 0 && !isAvailable && failure === undefined;
  if (isLost && declaredCount > 0) state.lost.add(file);
}

/** The file is there again, or nobody is to make it. */
export function forgetLost(state: ManagerState, file: FileRecord): void {
  file.isDue = false;
  state.lost.delete(file);
}

/**
 * Has lost temps made again of which the policies have a use, though nothing waits for them: a
 * part of them in each step, after what is needed was begun.
 */
export function remakeLost(state: ManagerState): void {
  if (state.policies.recovery !== "immediate" || state.isClosed || state.lost.size === 0) return;
  let left = REMAKES_MAX;
  for (const file of state.lost) {
    if (left === 0) break;
    left -= 1;
    state.lost.delete(file);
    if (file.declaredCount === 0 || isSpent(state, file)) continue;
    file.isDue = true;
    recoverIfWanted(state, file);
  }
  // What was begun is for the next pass to place.
  wakeUpkeep(state, state.nowMs);
}

/** True when the task that made the file can make it again. */
export function canRemake(state: ManagerState, file: FileRecord): boolean {
  return file.producer?.state.kind === "done" && whyLost(state, file) === undefined;
}

/** Another run of a recovery that failed; false when there were as many as there may be. */
export function tryRecoveryAgain(
  state: ManagerState,
  task: TaskRecord,
  failure: { readonly outcome: Outcome; readonly message: string },
): boolean {
  if (task.recoveryCount >= state.policies.recoveryTries) return false;
  tellRecoveryEnd(state, task, failure);
  countRecovery(state, task);
  return true;
}

/**
 * Calls a recovery off when nobody waits for any of its outputs any more; returns
 * the files that may be released by that.
 */
export function callOffIfUnwanted(state: ManagerState, task: TaskRecord): FileRecord[] {
  const { kind } = task.state;
  if (!task.isSettled || kind === "done" || kind === "retrieving") return [];
  if (task.state.kind === "dispatched") {
    const { attempt } = task.state;
    // Its result is being applied just now.
    if (!attempt.worker.tries.has(tryKey(attempt))) return [];
  }
  const outputs = outputFiles(state, task).map(({ file }) => file);
  if (outputs.some((file) => !file.isAvailable && isAwaited(file))) return [];
  if (task.state.kind === "dispatched") endAttempt(state, task.state.attempt);
  // Of another run it is to be found out anew.
  task.hold = undefined;
  setState(state, task, { kind: "done", isSuccess: true });
  tellRecoveryEnd(state, task, { outcome: "cancelled", message: "" });
  const inputs = [...inputFiles(state, task)];
  for (const input of inputs) {
    input.dependents.add(task);
    input.consumers.delete(task);
  }
  return [...inputs, ...outputs];
}

/** Somebody waits for it, or the policy has it made again. */
function isAwaited(file: FileRecord): boolean {
  return isWaitedFor(file) || file.isDue && file.declaredCount > 0;
}

/** Why a lost file cannot be made again, if it cannot. */
function whyLost(state: ManagerState, file: FileRecord): string | undefined {
  const { producer } = file;
  const name = boundName(file);
  if (state.policies.recovery === "off") {
    return `Cannot read file "${name}": its replicas are lost and recovery is off`;
  }
  if (producer === undefined) {
    return `Cannot make file "${name}" again: ${file.lastFailure ?? "no task makes it any more"}`;
  }
  for (const { failure } of inputFiles(state, producer)) {
    if (failure !== undefined) return failure.message;
  }
  const { definition: { taskId }, recoveryCount, lastFailure } = producer;
  if (recoveryCount < state.policies.recoveryTries) return undefined;
  const found = lastFailure === undefined
    ? `its copies were lost ${recoveryCount + 1} times`
    : `its last failure: ${lastFailure}`;
  return `Cannot make file "${name}" again: task ${taskId}, which makes it, has run again as ` +
    `often as recoveryTries allows (${recoveryCount}); ${found}`;
}

/** Runs a finished task again; returns its inputs, of which some may be lost as well. */
function startRecovery(state: ManagerState, task: TaskRecord): FileRecord[] {
  countRecovery(state, task);
  // The limits of a task are those of each of its runs.
  task.lossCount = 0;
  task.troubles = undefined;
  task.ambiguousCount = 0;
  // It needs its own inputs again, lost ones of which follow.
  const inputs = [...inputFiles(state, task)];
  for (const file of inputs) {
    file.consumers.add(task);
    file.dependents.delete(task);
  }
  waitOrQueue(state, task);
  return inputs;
}

function countRecovery(state: ManagerState, task: TaskRecord): void {
  task.recoveryCount += 1;
  state.counters.recoveries += 1;
  state.facts.push({ kind: "recovery_started", taskId: task.definition.taskId });
}
