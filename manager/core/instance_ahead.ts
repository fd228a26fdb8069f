/**
 * Instances that are kept of a library whether or not there are calls (`instanceCount`): they start
 * where there is room that nothing waits for, on as many workers as there are.
 *
 * @module
 */

import { fitsWithin } from "../../shared/resources.ts";
import { missingAt } from "./allocation.ts";
import { isBelow, isIndexed, visitFreest } from "./capacity_index.ts";
import { neededAt } from "./instance_yield.ts";
import { canStart, startInstance, unblockLibrary, wantFiles } from "./library.ts";
import type { LibraryRecord } from "./library_record.ts";
import { lastingObstacleAt } from "./placement.ts";
import { isPassedOver } from "./start_failure.ts";
import type { ManagerState, WorkerRecord } from "./state.ts";
import { hasStrictTask } from "./strict_input.ts";
import { wakeUpkeep } from "./upkeep.ts";

/** Workers that are looked at, freest first, for one with room. */
const WORKERS_PROBED = 64;

/** Starts what lacks of the instances that are kept, as far as there is room. */
export function startAhead(state: ManagerState): void {
  for (const library of [...state.shortLibraries]) {
    if (library.isAheadBlocked && state.changedWorkers.size === 0) continue;
    if (!canStart(state, library)) {
      wantFiles(state, library);
      library.isAheadBlocked = true;
      continue;
    }
    while (state.shortLibraries.has(library)) {
      const worker = bestFor(state, library);
      library.isAheadBlocked = worker === undefined;
      if (worker === undefined) break;
      startInstance(state, library, worker);
      // Calls that had no room may go to it.
      unblockLibrary(state, library);
      wakeUpkeep(state, state.nowMs);
    }
  }
}

/** Something has ended that may have kept instances from starting. */
export function reviewAhead(state: ManagerState): void {
  for (const library of state.shortLibraries) library.isAheadBlocked = false;
}

/** A worker with room and the fewest instances of the library; the freest of several. */
function bestFor(state: ManagerState, library: LibraryRecord): WorkerRecord | undefined {
  let best: WorkerRecord | undefined;
  let leastSlots = Infinity;
  const see = (worker: WorkerRecord): void => {
    const { slotCount } = worker.services.get(library) ?? { slotCount: 0 };
    if (slotCount >= leastSlots || !isFree(state, library, worker)) return;
    [best, leastSlots] = [worker, slotCount];
  };
  if (library.isAheadBlocked) {
    for (const worker of state.changedWorkers) see(worker);
    return best;
  }
  let probedCount = 0;
  visitFreest(state.index, (worker) => {
    see(worker);
    probedCount += 1;
    return leastSlots === 0 || isBelow(worker, library.spec.resources.cores) ||
      probedCount >= WORKERS_PROBED;
  });
  return best;
}

/** True where an instance has room that nothing else waits for. */
function isFree(state: ManagerState, library: LibraryRecord, worker: WorkerRecord): boolean {
  const { resources: more } = library.spec;
  if (!isIndexed(worker) || worker.reservedFor !== undefined || worker.isEnding) return false;
  if (missingAt(more, worker.resources) !== undefined) return false;
  if (!fitsWithin(worker.resources, { used: worker.committed, more, factor: 1 })) return false;
  if (isPassedOver(state, library, worker) || hasStrictTask(worker)) return false;
  for (const taskClass of state.busyClasses) {
    if (!taskClass.isBlocked || taskClass.library === library) continue;
    if (neededAt(state, worker, taskClass) === undefined) continue;
    if (lastingObstacleAt(state, worker, taskClass) === undefined) return false;
  }
  return true;
}
