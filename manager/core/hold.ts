/** Holds that end at an instant: tasks that are not to be scheduled before it. */

import { pushHeap } from "../../shared/heap.ts";
import { giveUpAsking } from "./retry.ts";
import type { Hold, ManagerState, TaskRecord } from "./state.ts";
import { releaseTask } from "./task.ts";

/** A hold that ends by itself. */
export type TimedHold = Extract<Hold, { readonly untilMs: number }>;

/** Has the hold looked at when its time is over. */
export function planHoldEnd(state: ManagerState, task: TaskRecord, hold: TimedHold): void {
  pushHeap(state.deadlines, { atMs: hold.untilMs, kind: "hold", task });
}

/** The time of a hold is over, unless the task has another one by now, or none. */
export function endHold(state: ManagerState, task: TaskRecord): void {
  const { hold } = task;
  if (hold === undefined || !("untilMs" in hold) || hold.untilMs > state.nowMs) return;
  if (task.state.kind !== "waiting") return;
  if (hold.kind === "retry_asked") return giveUpAsking(state, task);
  releaseTask(state, task);
}
