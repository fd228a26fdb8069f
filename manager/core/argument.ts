/** Tasks whose arguments hold values of other tasks: what they call is known once those have ended. */

import type { ManagerEvent } from "./event.ts";
import { fileOf } from "./file.ts";
import { recoverIfWanted } from "./recovery.ts";
import type { ManagerState } from "./state.ts";
import { failTask, giveUp, startHold, waitOrQueue } from "./task.ts";

/** Some of the values have become known; with the last of them the task can run. */
export function learnArguments(
  state: ManagerState,
  { taskId, inputs, body }: Extract<ManagerEvent, { kind: "arguments_known" }>,
): void {
  const task = state.tasks.get(taskId);
  // It was called off, or its time is over.
  if (task?.hold?.kind !== "arguments") return;
  const { awaits: _awaits, ...known } = task.definition;
  const added = { inputs: [...known.inputs, ...inputs] };
  task.definition = body === undefined
    ? { ...task.definition, ...added }
    : { ...known, ...added, body };
  const files = inputs.map(({ fileId }) => fileOf(state, fileId));
  for (const file of files) file.consumers.add(task);
  if (body !== undefined) task.hold = startHold(state, task);
  waitOrQueue(state, task);
  for (const file of files) {
    const { failure } = file;
    if (failure !== undefined) return giveUp(state, failTask(state, task, failure), failure);
    recoverIfWanted(state, file);
  }
}

/** One of the tasks has failed, so this one never runs. */
export function failArguments(
  state: ManagerState,
  { taskId, message }: Extract<ManagerEvent, { kind: "arguments_failed" }>,
): void {
  const task = state.tasks.get(taskId);
  if (task?.hold?.kind !== "arguments") return;
  const failure = { outcome: "input_missing", message } as const;
  giveUp(state, failTask(state, task, failure), failure);
}
