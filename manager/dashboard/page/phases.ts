/**
 * The parts of a task's life, for a bar.
 *
 * @module
 */

import type { TaskDetail } from "../api.ts";

/** A part of a task's life. */
export interface Phase {
  readonly name: "waiting" | "staging" | "running" | "after";
  readonly ms: number;
}

/**
 * Parts of the life of a task from its submission until `nowMs` or its end. Waiting is all until the
 * last try was dispatched, earlier tries too; what is left after the run is outputs on their way.
 */
export function phasesOf(
  task: Pick<
    TaskDetail,
    "submittedAtMs" | "dispatchedAtMs" | "startedAtMs" | "endedAtMs" | "ranMs"
  >,
  nowMs: number,
): readonly Phase[] {
  const end = task.endedAtMs ?? Math.max(nowMs, task.submittedAtMs);
  const dispatched = Math.min(task.dispatchedAtMs ?? end, end);
  const started = Math.min(Math.max(task.startedAtMs ?? end, dispatched), end);
  const stopped = task.ranMs === null ? end : Math.min(started + task.ranMs, end);
  const phases: readonly Phase[] = [
    { name: "waiting", ms: dispatched - task.submittedAtMs },
    { name: "staging", ms: started - dispatched },
    { name: "running", ms: stopped - started },
    { name: "after", ms: end - stopped },
  ];
  return phases.filter(({ ms }) => ms > 0);
}
