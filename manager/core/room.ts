/** What is held of a worker's resources, and the indexes that follow from it. */

import { isIndexed, removeCapacity, setCapacity } from "./capacity_index.ts";
import { addAmounts, countWorker } from "./hunger.ts";
import { addResources, type Resources, subtractResources } from "../../shared/resources.ts";
import { loseReservation } from "./reservation.ts";
import { reviewStarts } from "./start_failure.ts";
import type { Bar } from "./drain.ts";
import type { ManagerState, WorkerRecord } from "./state.ts";

/** Holds (`1`) or gives back (`-1`) `resources` of `worker`. */
export function changeRoom(
  state: ManagerState,
  worker: WorkerRecord,
  resources: Resources,
  sign: 1 | -1,
): void {
  if (isIndexed(worker)) addAmounts(state.room.committed, resources, sign);
  worker.committed = sign > 0
    ? addResources(worker.committed, resources)
    : subtractResources(worker.committed, resources);
  if (sign < 0) state.changedWorkers.add(worker);
  indexWorker(state, worker);
}

/** Why nothing at all is dispatched to a worker now. */
export type Closure = "leaving" | "away" | "crowded" | Bar;

/** What has nothing be dispatched to the worker, whatever it is. */
export function closureOf({ link, isLeaving, isCrowded, bar }: WorkerRecord): Closure | undefined {
  if (isLeaving) return "leaving";
  if (link.kind !== "open") return "away";
  return bar ?? (isCrowded ? "crowded" : undefined);
}

/** True while tasks may be dispatched to it. */
export function isOpen(worker: WorkerRecord): boolean {
  return closureOf(worker) === undefined;
}

/** True while what it has is there for some time to come, as far as is known. */
export function isSturdy({ link, isLeaving, isEnding }: WorkerRecord): boolean {
  return link.kind === "open" && !isLeaving && !isEnding;
}

/** Puts `worker` where its free cores are, or nowhere while nothing may be dispatched to it. */
export function indexWorker(state: ManagerState, worker: WorkerRecord): void {
  const wasIndexed = isIndexed(worker);
  if (isOpen(worker) && state.workers.has(worker.workerId)) {
    setCapacity(state.index, worker, worker.resources.cores - worker.committed.cores);
  } else {
    removeCapacity(state.index, worker);
    state.changedWorkers.delete(worker);
    loseReservation(state, worker);
  }
  if (isIndexed(worker) && !worker.isEnding) state.upkeep.receivers.add(worker);
  else state.upkeep.receivers.delete(worker);
  if (isIndexed(worker) === wasIndexed) return;
  countWorker(state.room, worker, wasIndexed ? -1 : 1);
  if (wasIndexed) reviewStarts(state);
}
