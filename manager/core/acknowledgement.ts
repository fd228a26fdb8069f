/**
 * Acknowledgements of results. Those of calls ride along with what the worker is told next, or go
 * by themselves a little later: a message for each would wake the worker, which has better things
 * to do, once more for each call.
 *
 * @module
 */

import type { TryId } from "../../shared/task.ts";
import { planLook } from "./deadline.ts";
import { type ManagerState, outboxOf, type WorkerRecord } from "./state.ts";

/** A worker keeps the result of a call this much longer at most, for want of anything to say to it. */
export const OWED_MS_MAX = 20;

/** Results that a worker keeps so, at most. */
export const OWED_MAX = 64;

/** The result of this try is safe, or void: the worker forgets it. */
export function acknowledge(state: ManagerState, worker: WorkerRecord, id: TryId): void {
  if (worker.link.kind !== "open") return;
  outboxOf(state, worker).acknowledged.push({ taskId: id.taskId, try: id.try });
}

/** As `acknowledge`, of a result that is no burden to its worker. */
export function acknowledgeLater(state: ManagerState, worker: WorkerRecord, id: TryId): void {
  // One that leaves waits for it.
  if (worker.isLeaving) return acknowledge(state, worker, id);
  if (worker.link.kind !== "open") return;
  const { owed } = worker;
  owed.push({ taskId: id.taskId, try: id.try });
  if (owed.length >= OWED_MAX) return void outboxOf(state, worker);
  if (worker.paysAtMs !== undefined) return;
  worker.paysAtMs = state.nowMs + OWED_MS_MAX;
  planLook(state, { kind: "acknowledgement", atMs: worker.paysAtMs, worker });
}

/** The time is over for which the worker could be left without. */
export function payOwed(state: ManagerState, worker: WorkerRecord): void {
  worker.paysAtMs = undefined;
  if (worker.owed.length > 0 && worker.link.kind === "open") outboxOf(state, worker);
}
