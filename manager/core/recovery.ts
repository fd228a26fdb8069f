/** Recovery: a temp whose replicas are all lost is made again by the task that made it. */

import { boundName, fileOf, giveUpFile, inputFiles, releaseIfUnneeded } from "./file.ts";
import { type FileRecord, type ManagerState, type TaskRecord, tryKey } from "./state.ts";
import { setState, waitOrQueue } from "./task.ts";
import { endAttempt } from "./try.ts";

/** Starts the producer of `file` again when somebody waits for the file and it is lost. */
export function recoverIfWanted(state: ManagerState, file: FileRecord): void {
  if (file.origin.kind === "recipe" && !file.isAvailable) {
    return recoverIfWanted(state, fileOf(state, file.origin.input));
  }
  if (!isLost(file) || !isWanted(file)) return;
  const { producer } = file;
  if (producer === undefined || producer.state.kind !== "done") return;
  if (state.policies.recovery === "off") {
    return giveUpFile(state, file, {
      outcome: "input_missing",
      message: `Cannot read file "${boundName(file)}": its replicas are lost and recovery is off`,
    });
  }
  if (producer.recoveryCount >= state.policies.recoveryTries) {
    const message = `Cannot make file "${boundName(file)}" again: it was lost ` +
      `${producer.recoveryCount + 1} times`;
    return giveUpFile(state, file, { outcome: "input_missing", message });
  }
  startRecovery(state, producer);
}

/** True when a file was made and has no contents anywhere now. */
export function isLost(file: FileRecord): boolean {
  return !file.isAvailable && file.failure === undefined && file.bound !== undefined &&
    file.producer !== undefined;
}

/** Somebody waits: a task, a user, an instance, or a file made of it that is wanted itself. */
function isWanted(file: FileRecord): boolean {
  if (file.consumers.size > 0 || file.requests.size > 0 || file.libraries.size > 0) return true;
  for (const recipe of file.recipes) {
    if (recipe.consumers.size > 0 || recipe.libraries.size > 0) return true;
  }
  return false;
}

/** Calls a recovery off when nobody waits for any of its outputs any more. */
export function callOffIfUnwanted(state: ManagerState, task: TaskRecord): void {
  if (!task.isSettled || task.state.kind === "done" || task.state.kind === "retrieving") return;
  if (task.state.kind === "dispatched") {
    const { attempt } = task.state;
    // Its result is being applied just now.
    if (!attempt.worker.tries.has(tryKey(attempt))) return;
  }
  for (const { fileId } of task.definition.outputs) {
    const file = state.files.get(fileId);
    if (file !== undefined && !file.isAvailable && isWanted(file)) return;
  }
  if (task.state.kind === "dispatched") endAttempt(state, task.state.attempt);
  setState(state, task, { kind: "done", isSuccess: true });
  const inputs = [...inputFiles(state, task)];
  for (const input of inputs) {
    input.lineageCount += 1;
    input.consumers.delete(task);
  }
  for (const input of inputs) releaseIfUnneeded(state, input);
}

function startRecovery(state: ManagerState, task: TaskRecord): void {
  task.recoveryCount += 1;
  state.counters.recoveries += 1;
  state.facts.push({ kind: "recovery_started", taskId: task.definition.taskId });
  // It needs its own inputs again, lost ones of which follow.
  for (const file of inputFiles(state, task)) {
    file.consumers.add(task);
    file.lineageCount -= 1;
  }
  waitOrQueue(state, task);
  for (const file of inputFiles(state, task)) recoverIfWanted(state, file);
}
