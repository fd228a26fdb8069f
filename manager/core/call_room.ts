/**
 * Room for calls that state resources of their own: these they hold at their worker beside what
 * their instance holds. Calls that state none hold a slot and nothing else, and cost nothing here.
 *
 * Only what is stated counts, nothing in proportion: of what is not stated a call uses that of its
 * instance. What is stated of memory and disk is a limit as well.
 *
 * @module
 */

import {
  addResources,
  fitsWithin,
  NO_RESOURCES,
  type ResourceRequest,
  type Resources,
} from "../../shared/resources.ts";
import type { Allocation } from "./allocation.ts";
import { isIndexed, visitFreest } from "./capacity_index.ts";
import { aheadFactor, isTimeLeft, neededMs, suits } from "./placement.ts";
import { isReserved } from "./reservation.ts";
import { isOpen } from "./room.ts";
import { hasSlotAhead } from "./schedule.ts";
import type { LibraryRecord, ServiceRecord } from "./library_record.ts";
import type { ManagerState, TaskClass, WorkerRecord } from "./state.ts";
import { wakeUpkeep } from "./upkeep.ts";

/** Services, and workers, that are looked at for one with a free slot and room, each freest first. */
const SERVICES_PROBED = 64;

/** Where a call could go: to run now, or to wait. */
export interface CallPlaces {
  readonly now: ServiceRecord | undefined;
  readonly ahead: ServiceRecord | undefined;
}

/** What a call holds beside its instance; undefined of one that states nothing. */
export function callAllocation(request: ResourceRequest): Allocation | undefined {
  const { cores = 0, memoryBytes = 0, diskBytes = 0, custom } = request;
  const isBare = cores + memoryBytes + diskBytes === 0 && custom === undefined;
  if (isBare) return undefined;
  const stated = { ...NO_RESOURCES, cores, memoryBytes, diskBytes };
  const resources = custom === undefined ? stated : { ...stated, custom };
  return { resources, held: resources, shares: [] };
}

/** What a worker is to have for a call of the class, with the instance that serves it. */
export function instanceNeed({ ownAllocation }: TaskClass, { spec }: LibraryRecord): Resources {
  if (ownAllocation === undefined) return spec.resources;
  return addResources(spec.resources, ownAllocation.held);
}

/** True when the worker has room now for what a call of the class states. */
export function hasCallRoom(
  worker: WorkerRecord,
  taskClass: TaskClass,
  factor: number = 1,
): boolean {
  const more = taskClass.ownAllocation?.held;
  if (more === undefined) return true;
  if (isReserved(worker, taskClass)) return false;
  return fitsWithin(worker.resources, { used: worker.committed, more, factor });
}

/**
 * Where a call goes that states resources: to a service with a free slot whose worker has room now,
 * else to one where it may wait. Looks at a bounded number: those with most free slots, those with
 * most free cores, and where something has changed.
 */
export function placesWithRoom(
  state: ManagerState,
  { taskClass, library }: { readonly taskClass: TaskClass; readonly library: LibraryRecord },
): CallPlaces {
  const factor = aheadFactor(state, taskClass);
  let now: ServiceRecord | undefined;
  let ahead: ServiceRecord | undefined;
  const see = (service: ServiceRecord | undefined): boolean => {
    if (service === undefined || !canServe(state, service, taskClass)) return false;
    const { worker, callCount, slotCount } = service;
    if (callCount < slotCount && hasCallRoom(worker, taskClass)) now = service;
    else if (ahead === undefined && hasSlotAhead(state, service, taskClass)) {
      if (mayWaitFor(worker, taskClass, factor)) ahead = service;
    }
    return now !== undefined;
  };
  let probedCount = 0;
  visitFreest(library.index, (service) => see(service) || ++probedCount >= SERVICES_PROBED);
  if (now !== undefined || library.services.size <= SERVICES_PROBED) return { now, ahead };
  probedCount = 0;
  visitFreest(state.index, (worker) => {
    return see(worker.services.get(library)) || ++probedCount >= SERVICES_PROBED;
  });
  for (const worker of state.changedWorkers) {
    if (now !== undefined) break;
    if (isIndexed(worker)) see(worker.services.get(library));
  }
  return { now, ahead };
}

/** True where an instance would serve a call of the class; see `servedUntilMs`. */
export function isServed(
  state: ManagerState,
  taskClass: TaskClass,
  library: LibraryRecord,
): boolean {
  return servedUntilMs(state, taskClass, library) >= state.nowMs;
}

/**
 * Until when an instance would serve a call of the class once others have ended, or its worker is
 * back. One at a worker that lacks a feature, or has room for instances only, is of no use to it.
 */
export function servedUntilMs(
  { nowMs }: ManagerState,
  taskClass: TaskClass,
  { services }: LibraryRecord,
): number {
  let probedCount = 0;
  for (const { worker, slotCount } of services.values()) {
    if (slotCount > 0 && suits(worker, taskClass) && fitsBesideInstances(worker, taskClass)) {
      const untilMs = worker.endsAtMs - neededMs(taskClass);
      if (untilMs >= nowMs) return untilMs;
    }
    probedCount += 1;
    if (probedCount >= SERVICES_PROBED) break;
  }
  return -Infinity;
}

/** True of calls that state resources for which no instance that there is has room: others might. */
export function lacksCallRoom(
  state: ManagerState,
  call: { readonly taskClass: TaskClass; readonly library: LibraryRecord },
): boolean {
  if (call.taskClass.ownAllocation === undefined) return false;
  const { now, ahead } = placesWithRoom(state, call);
  return now === undefined && ahead === undefined;
}

/** An instance starts for calls of one class: those of others of its library may go there as well. */
export function unblockAlike(state: ManagerState, taskClass: TaskClass): void {
  for (const other of state.busyClasses) {
    if (other === taskClass || other.library !== taskClass.library || !other.isBlocked) continue;
    other.isBlocked = false;
    // The pass that is under way may have passed it over.
    wakeUpkeep(state, state.nowMs);
  }
}

/** True of a service that could ever serve a call of the class, and is open. */
function canServe(
  state: ManagerState,
  { worker, slotCount }: ServiceRecord,
  taskClass: TaskClass,
): boolean {
  return slotCount > 0 && isOpen(worker) && suits(worker, taskClass) &&
    isTimeLeft(state, worker, taskClass);
}

/**
 * True when a call may wait there for room: what tries hold comes back, what instances hold may not
 * for long, so that it must fit beside these.
 */
function mayWaitFor(worker: WorkerRecord, taskClass: TaskClass, factor: number): boolean {
  if (worker.reservedFor !== undefined || !hasCallRoom(worker, taskClass, factor)) return false;
  return fitsBesideInstances(worker, taskClass);
}

function fitsBesideInstances(worker: WorkerRecord, { ownAllocation }: TaskClass): boolean {
  if (ownAllocation === undefined) return true;
  const more = ownAllocation.held;
  let used = NO_RESOURCES;
  for (const { library } of worker.instances.values()) {
    used = addResources(used, library.spec.resources);
  }
  return fitsWithin(worker.resources, { used, more, factor: 1 });
}
