/** Where tasks stand, as users name it. */

import type { TaskRecord } from "./state.ts";

/** Where a task stands. */
export type TaskStateName =
  | "waiting"
  | "ready"
  | "dispatched"
  | "running"
  | "retrieving"
  | "done";

/** Every one of them, in their order. */
export const TASK_STATES: readonly TaskStateName[] = [
  "waiting",
  "ready",
  "dispatched",
  "running",
  "retrieving",
  "done",
];

/** Where a task that has not ended stands; waiting before the core has heard of it. */
export function taskStateOf(task: TaskRecord | undefined): TaskStateName {
  if (task?.state.kind !== "dispatched") return task?.state.kind ?? "waiting";
  return task.state.attempt.isStarted ? "running" : "dispatched";
}
