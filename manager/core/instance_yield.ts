/**
 * Instances that nobody calls now give their room to whatever waits for it: to tasks that were
 * dispatched beside them, and to what fits at no worker as long as they are there. No more of them
 * leave than that takes.
 *
 * @module
 */

import {
  addResources,
  fitsWithin,
  NO_RESOURCES,
  type Resources,
  subtractResources,
} from "../../shared/resources.ts";
import { missingAt } from "./allocation.ts";
import { instanceNeed } from "./call_room.ts";
import { newestInstances } from "./instance_idle.ts";
import { isActive, retireInstance } from "./library.ts";
import type { InstanceRecord, LibraryRecord, ServiceRecord } from "./library_record.ts";
import { lastingObstacleAt } from "./placement.ts";
import { isReserved } from "./reservation.ts";
import { isOpen } from "./room.ts";
import type { ManagerState, TaskClass, WorkerRecord } from "./state.ts";
import { hasStrictTask } from "./strict_input.ts";
import { allocationAt } from "./task_class.ts";
import { recall } from "./try.ts";
import { wakeUpkeep } from "./upkeep.ts";

/** Looks at spare services for blocked classes in one pass, all together. */
const LOOKS_MAX = 512;

/** How long the others wait where there are more. */
const LOOK_MS = 20;

/**
 * Where spare instances keep tries that were dispatched from starting, they go; where those have
 * become busy meanwhile, the tries come back and have their turn.
 */
export function yieldRoom(state: ManagerState): void {
  for (const worker of state.changedWorkers) {
    if (worker.services.size === 0 || worker.unstarted.size === 0) continue;
    if (fitsWithin(worker.resources, { used: worker.committed, more: NO_RESOURCES, factor: 1 })) {
      continue;
    }
    for (const attempt of worker.unstarted) {
      const { allocation, isRecalled, taskClass: { library } } = attempt;
      if (isRecalled || library !== undefined || allocation === undefined) continue;
      if (!fitsBesideCalls(worker, allocation.held)) recall(state, attempt);
    }
    let used = heldForLong(worker);
    for (const instance of spareInstances(state, worker)) {
      if (fitsWithin(worker.resources, { used, more: NO_RESOURCES, factor: 1 })) break;
      used = subtractResources(used, instance.library.spec.resources);
      retireInstance(state, instance);
    }
  }
}

/** Where spare instances keep blocked tasks from running, they go. */
export function makeRoom(state: ManagerState): void {
  for (const service of state.spareServices) {
    if (!hasStrictTask(service.worker)) continue;
    for (const instance of spareInstances(state, service.worker)) retireInstance(state, instance);
  }
  if (state.spareServices.size === 0) return;
  const seen: TaskClass[] = [];
  let left = LOOKS_MAX;
  for (const taskClass of state.busyClasses) {
    // Who has made way for all that wait need not be followed by others.
    if (!taskClass.isBlocked || taskClass.leavingCount >= taskClass.readyCount) continue;
    if (left <= 0) break;
    seen.push(taskClass);
    left -= makeRoomFor(state, taskClass, left);
  }
  if (left > 0) return;
  // The next look begins with those that this one does not come to.
  for (const taskClass of seen) {
    state.busyClasses.delete(taskClass);
    state.busyClasses.add(taskClass);
  }
  wakeUpkeep(state, state.nowMs + LOOK_MS);
}

/** Has instances leave for the sake of the class. */
export function makeWay(
  state: ManagerState,
  taskClass: TaskClass,
  instances: readonly InstanceRecord[],
): void {
  for (const instance of instances) {
    instance.makesWayFor = taskClass;
    taskClass.leavingCount += 1;
    retireInstance(state, instance);
    const { library } = instance;
    if (library.activeCount === 0) library.madeWayAtMs = state.nowMs;
  }
}

/** What a worker must have free for a try of the class, or an instance for its calls, if it has as much. */
export function neededAt(
  state: ManagerState,
  worker: WorkerRecord,
  taskClass: TaskClass,
): Resources | undefined {
  const { library } = taskClass;
  if (library === undefined) return allocationAt(state, taskClass, worker)?.held;
  const need = instanceNeed(taskClass, library);
  return missingAt(need, worker.resources) === undefined ? need : undefined;
}

/** What is held of the worker once the instances that leave are gone. */
export function heldForLong({ committed, instances }: WorkerRecord): Resources {
  let used = committed;
  for (const instance of instances.values()) {
    if (!isActive(instance)) used = subtractResources(used, instance.library.spec.resources);
  }
  return used;
}

/** What its instances hold of the worker that do not leave. */
export function heldByInstances({ instances }: WorkerRecord): Resources {
  let used = NO_RESOURCES;
  for (const instance of instances.values()) {
    if (isActive(instance)) used = addResources(used, instance.library.spec.resources);
  }
  return used;
}

/** True when `more` fits beside the instances that have calls, at once or when tries end. */
export function fitsBesideCalls({ resources, services }: WorkerRecord, more: Resources): boolean {
  return fitsWithin(resources, { used: heldByBusy(services.values()), more, factor: 1 });
}

/**
 * As `fitsBesideCalls`, and beside those that leave: what would start once they are gone is given
 * to the worker then, and may go elsewhere until then.
 */
export function mayWaitAt(
  { resources, services, instances }: WorkerRecord,
  more: Resources,
): boolean {
  let used = heldByBusy(services.values());
  for (const instance of instances.values()) {
    if (!isActive(instance)) used = addResources(used, instance.library.spec.resources);
  }
  return fitsWithin(resources, { used, more, factor: 1 });
}

function heldByBusy(services: Iterable<ServiceRecord>): Resources {
  let used = NO_RESOURCES;
  for (const { library: { spec }, slotCount, callCount } of services) {
    const busyCount = Math.ceil(Math.min(callCount, slotCount) / spec.slots);
    for (let count = 0; count < busyCount; count++) used = addResources(used, spec.resources);
  }
  return used;
}

/** The first of `instances` that have to leave for `more` to fit; undefined when that is too few. */
export function justEnough(
  worker: WorkerRecord,
  { used, more }: { readonly used: Resources; readonly more: Resources },
  instances: Iterable<InstanceRecord>,
): InstanceRecord[] | undefined {
  const leaving: InstanceRecord[] = [];
  let left = used;
  for (const instance of instances) {
    if (fitsWithin(worker.resources, { used: left, more, factor: 1 })) return leaving;
    leaving.push(instance);
    left = subtractResources(left, instance.library.spec.resources);
  }
  return fitsWithin(worker.resources, { used: left, more, factor: 1 }) ? leaving : undefined;
}

/** Instances at the worker, of others than `but`, that its calls do not need. */
export function* spareInstances(
  { spareServices }: ManagerState,
  worker: WorkerRecord,
  but?: LibraryRecord,
): Generator<InstanceRecord> {
  for (const service of [...worker.services.values()]) {
    if (service.library === but || !spareServices.has(service)) continue;
    yield* newestInstances(service).slice(0, spareCount(service));
  }
}

function spareCount({ library, slotCount, callCount }: ServiceRecord): number {
  return Math.floor((slotCount - callCount) / library.spec.slots);
}

/** Has instances of one worker leave; returns how many services were looked at, `most` at most. */
function makeRoomFor(state: ManagerState, taskClass: TaskClass, most: number): number {
  const { spareServices } = state;
  const seen: ServiceRecord[] = [];
  for (const service of spareServices) {
    seen.push(service);
    const leaving = leavingFrom(state, service, taskClass);
    if (leaving.length > 0) {
      makeWay(state, taskClass, leaving);
      return seen.length;
    }
    if (seen.length >= most) break;
  }
  if (seen.length < spareServices.size) {
    for (const service of seen) {
      spareServices.delete(service);
      spareServices.add(service);
    }
  }
  return seen.length;
}

/** Which instances would have to leave the worker of a spare service for the class, if that helps. */
function leavingFrom(
  state: ManagerState,
  service: ServiceRecord,
  taskClass: TaskClass,
): readonly InstanceRecord[] {
  const { library, worker } = service;
  const own = library === taskClass.library ? taskClass.ownAllocation : undefined;
  if (library === taskClass.library && own === undefined || !isOpen(worker)) return [];
  if (isReserved(worker, taskClass)) return [];
  const more = own?.held ?? neededAt(state, worker, taskClass);
  if (more === undefined || lastingObstacleAt(state, worker, taskClass) !== undefined) return [];
  const used = heldForLong(worker);
  // One of its own stays, to serve the call that wants their room.
  const spare = own === undefined
    ? spareInstances(state, worker, taskClass.library)
    : newestInstances(service).slice(0, spareCount(service)).slice(0, -1);
  // Where it would fit as it is, something else keeps it away.
  return justEnough(worker, { used, more }, spare) ?? [];
}
