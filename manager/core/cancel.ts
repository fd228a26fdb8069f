/**
 * Cancelling: one task at once; many so that nothing else waits for it. Of many, those that wait
 * are taken out of their queues together, so that none of them is dispatched any more, and end in
 * parts, a part in each step.
 *
 * @module
 */

import type { TaskId } from "../../shared/ids.ts";
import { dropAsked } from "./retry.ts";
import type { ManagerState, TaskRecord } from "./state.ts";
import { CANCELLED, failTask, giveUp, setState } from "./task.ts";
import { wakeUpkeep } from "./upkeep.ts";

/** Tasks that one step ends: about as long as a step is to take. */
const ENDS_MAX = 500;

const CALLED_OFF = { kind: "called_off" } as const;

/** Tasks that are to be cancelled, from `next` on. */
export interface CallingOff {
  tasks: TaskRecord[];
  next: number;
}

/** Nothing is to be cancelled. */
export function newCallingOff(): CallingOff {
  return { tasks: [], next: 0 };
}

/** The user calls a task off, at whatever age. */
export function cancelTask(state: ManagerState, taskId: TaskId): void {
  const task = state.tasks.get(taskId);
  if (task === undefined || task.isSettled) return;
  const unmade = failTask(state, task, CANCELLED);
  if (unmade.length === 0) return;
  giveUp(state, unmade, {
    outcome: "input_missing",
    message: `Cannot run: task ${taskId}, which makes an input, was cancelled`,
  });
}

/** The user calls many tasks off. What is at workers ends at once: there is never much of it. */
export function cancelTasks(state: ManagerState, taskIds: readonly TaskId[]): void {
  const placed: TaskId[] = [];
  for (const taskId of taskIds) {
    const task = state.tasks.get(taskId);
    if (task === undefined || task.isSettled || task.hold?.kind === "called_off") continue;
    if (task.state.kind !== "waiting" && task.state.kind !== "ready") {
      placed.push(taskId);
      continue;
    }
    dropAsked(state, task);
    task.hold = CALLED_OFF;
    if (task.state.kind === "ready") setState(state, task, { kind: "waiting", missing: 0 });
    state.calledOff.tasks.push(task);
  }
  // By now those are marked that need what these make: they do not end for want of it.
  for (const taskId of placed) cancelTask(state, taskId);
}

/** Ends a part of the tasks that are called off; the rest has its turn in the next steps. */
export function callOffSome(state: ManagerState): void {
  const { calledOff } = state;
  if (calledOff.tasks.length === 0) return;
  const end = Math.min(calledOff.tasks.length, calledOff.next + ENDS_MAX);
  while (calledOff.next < end) {
    const task = calledOff.tasks[calledOff.next];
    calledOff.next += 1;
    // One that another one took with it has ended already.
    if (task !== undefined) cancelTask(state, task.definition.taskId);
  }
  if (calledOff.next < calledOff.tasks.length) return wakeUpkeep(state, state.nowMs);
  state.calledOff = newCallingOff();
}
