/** Recovery: a temp whose replicas are all lost is made again by the task that made it. */

import { boundName, giveUpFile, inputFiles, isWanted, outputFiles } from "./file.ts";
import { recipeInputs } from "./recipe.ts";
import { type FileRecord, type ManagerState, type TaskRecord, tryKey } from "./state.ts";
import { setState, waitOrQueue } from "./task.ts";
import { endAttempt } from "./try.ts";

/** Starts the producer of `file` again when somebody waits for the file and it is lost. */
export function recoverIfWanted(state: ManagerState, file: FileRecord): void {
  // A list instead of recursion: the producers of a long chain may all have to run again.
  const lost = [file];
  for (let next = lost.pop(); next !== undefined; next = lost.pop()) {
    if (next.isAvailable || next.failure !== undefined) continue;
    lost.push(...recipeInputs(state, next));
    // A temp that was never made is waited for, not lost.
    if (next.generation === 0 || !isWanted(next)) continue;
    const { producer } = next;
    if (producer !== undefined && producer.state.kind !== "done") continue;
    const message = whyLost(state, next);
    if (message !== undefined) giveUpFile(state, next, { outcome: "input_missing", message });
    else if (producer !== undefined) lost.push(...startRecovery(state, producer));
  }
}

/** True when the task that made the file can make it again. */
export function canRemake(state: ManagerState, file: FileRecord): boolean {
  return file.producer?.state.kind === "done" && whyLost(state, file) === undefined;
}

/** Why a lost file cannot be made again, if it cannot. */
function whyLost(state: ManagerState, file: FileRecord): string | undefined {
  const { producer } = file;
  const name = boundName(file);
  if (state.policies.recovery === "off") {
    return `Cannot read file "${name}": its replicas are lost and recovery is off`;
  }
  if (producer === undefined) {
    return `Cannot make file "${name}" again: the task that made it did not succeed`;
  }
  for (const { failure } of inputFiles(state, producer)) {
    if (failure !== undefined) return failure.message;
  }
  if (producer.recoveryCount < state.policies.recoveryTries) return undefined;
  return `Cannot make file "${name}" again: it was lost ${producer.recoveryCount + 1} times`;
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
  if (outputs.some((file) => !file.isAvailable && isWanted(file))) return [];
  if (task.state.kind === "dispatched") endAttempt(state, task.state.attempt);
  setState(state, task, { kind: "done", isSuccess: true });
  const inputs = [...inputFiles(state, task)];
  for (const input of inputs) {
    input.dependents.add(task);
    input.consumers.delete(task);
  }
  return [...inputs, ...outputs];
}

/** Runs a finished task again; returns its inputs, of which some may be lost as well. */
function startRecovery(state: ManagerState, task: TaskRecord): FileRecord[] {
  task.recoveryCount += 1;
  state.counters.recoveries += 1;
  state.facts.push({ kind: "recovery_started", taskId: task.definition.taskId });
  // It needs its own inputs again, lost ones of which follow.
  const inputs = [...inputFiles(state, task)];
  for (const file of inputs) {
    file.consumers.add(task);
    file.dependents.delete(task);
  }
  waitOrQueue(state, task);
  return inputs;
}
