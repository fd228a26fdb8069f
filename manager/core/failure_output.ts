/**
 * Outputs that come only of a failure (TaskVine: VINE_FAILURE_ONLY): those of the try that ends the
 * task are put in place before it does. What a try made that is repeated is dropped, and so is what
 * cannot be put in place: the task's own failure is what its user has to know.
 *
 * @module
 */

import { madeFiles, type Outcome, type TryResult, withoutFiles } from "../../shared/task.ts";
import { acknowledge } from "./acknowledgement.ts";
import { abandonDeliveries, deliverOutputs } from "./delivery.ts";
import { dropFollower } from "./group.ts";
import { noteLie, outputLie } from "./lie.ts";
import type { ManagerState, TaskRecord, TryRecord } from "./state.ts";
import { finishTask, setState } from "./task.ts";
import { discard, takeOutputs } from "./try.ts";

/** How a failed task ends. */
export interface Failure {
  readonly outcome: Outcome;
  readonly message: string;
  readonly result?: TryResult;
}

/** Applies the failure of a try by `fail`, and sees to what the try made. */
export function failWithOutputs(
  state: ManagerState,
  attempt: TryRecord,
  { result, fail }: { readonly result: TryResult; readonly fail: (result: TryResult) => void },
): void {
  const { worker, task } = attempt;
  if (madeFiles(result).length === 0) {
    acknowledge(state, worker, result);
    return fail(result);
  }
  const lie = outputLie(state, attempt, result);
  if (lie !== undefined) noteLie(state, worker, lie);
  fail(lie === undefined && !task.isSettled ? result : withoutFiles(result));
  const isAsked = task.hold?.kind === "retry_asked" && task.hold.attempt === attempt;
  const isKept = isAsked || task.state.kind === "retrieving" && task.state.attempt === attempt;
  if (!isKept) discard(state, attempt, result);
}

/** Ends a task whose last try failed, once what that left for its user is in place. */
export function finishFailed(
  state: ManagerState,
  attempt: TryRecord,
  failure: Failure,
): void {
  const { task, worker } = attempt;
  const { result, message } = failure;
  // What awaits it waits in vain, while what it has left is on its way.
  dropFollower(state, attempt);
  if (result !== undefined && result.outputs.length > 0) {
    takeOutputs(state, attempt, result);
    const pending = deliverOutputs(state, { task, worker, result });
    if (pending.size > 0) {
      const kept = { ...result, message };
      return setState(state, task, { kind: "retrieving", attempt, result: kept, pending });
    }
  }
  finishTask(state, task, { ...failure, attempt });
}

/** What a failure left is lost, or cannot be put in place: it ends without. False of a success. */
export function giveUpRetrieval(
  state: ManagerState,
  task: TaskRecord,
  { attempt, result, pending }: Extract<TaskRecord["state"], { kind: "retrieving" }>,
): boolean {
  const { outcome, message } = result;
  if (outcome === "success") return false;
  abandonDeliveries(state, pending);
  acknowledge(state, attempt.worker, attempt);
  finishTask(state, task, { outcome, message, attempt, result });
  return true;
}
