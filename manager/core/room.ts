/** What is held of a worker's resources, and the indexes that follow from it. */

import { removeCapacity, setCapacity } from "./capacity_index.ts";
import { addResources, type Resources, subtractResources } from "../../shared/resources.ts";
import { loseReservation } from "./reservation.ts";
import type { ManagerState, WorkerRecord } from "./state.ts";

/** Holds (`1`) or gives back (`-1`) `resources` of `worker`. */
export function changeRoom(
  state: ManagerState,
  worker: WorkerRecord,
  resources: Resources,
  sign: 1 | -1,
): void {
  worker.committed = sign > 0
    ? addResources(worker.committed, resources)
    : subtractResources(worker.committed, resources);
  if (sign < 0) state.changedWorkers.add(worker);
  indexWorker(state, worker);
}

/** Why nothing at all is dispatched to a worker now. */
export type Closure = "leaving" | "away" | "crowded";

/** What has nothing be dispatched to the worker, whatever it is. */
export function closureOf({ link, isLeaving, isCrowded }: WorkerRecord): Closure | undefined {
  if (isLeaving) return "leaving";
  if (link.kind !== "open") return "away";
  return isCrowded ? "crowded" : undefined;
}

/** True while tasks may be dispatched to it. */
export function isOpen(worker: WorkerRecord): boolean {
  return closureOf(worker) === undefined;
}

/** Puts `worker` where its free cores are, or nowhere while nothing may be dispatched to it. */
export function indexWorker(state: ManagerState, worker: WorkerRecord): void {
  if (isOpen(worker) && state.workers.has(worker.workerId)) {
    setCapacity(state.index, worker, worker.resources.cores - worker.committed.cores);
    state.upkeep.receivers.add(worker);
  } else {
    removeCapacity(state.index, worker);
    state.upkeep.receivers.delete(worker);
    state.changedWorkers.delete(worker);
    loseReservation(state, worker);
  }
}
