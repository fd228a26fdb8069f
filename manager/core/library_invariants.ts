/** Relations between the tables of libraries, their services and their instances. */

import { assert } from "../../shared/assert.ts";
import { isActive, libraryFiles } from "./library.ts";
import type { InstanceRecord, LibraryRecord, ServiceRecord } from "./library_record.ts";
import type { ManagerState, TaskClass } from "./state.ts";

/** Throws an AssertionError that names the relation that does not hold. */
export function checkLibraries(state: ManagerState): void {
  const spare = new Set<ServiceRecord>();
  for (const library of state.libraries.values()) {
    const { spec: { name, instanceCount }, instances, activeCount } = library;
    let count = 0;
    for (const instance of instances) {
      const isThere = instance.worker.instances.get(instance.instanceId) === instance;
      assert(isThere, `Instance ${instance.instanceId} must be at its worker`);
      if (isActive(instance)) count += 1;
      checkStart(state, instance);
    }
    assert(activeCount === count, `Library "${name}" must have ${count} instances`);
    const isKept = !state.isClosed && library.failure === undefined && !library.isUndeclared;
    const isShort = isKept && count < instanceCount;
    const isKnown = state.shortLibraries.has(library) === isShort;
    assert(isKnown, `Library "${name}" must be known to have too few instances`);
    for (const service of library.services.values()) {
      checkService(state, library, service);
      if (service.spareSinceMs !== undefined) spare.add(service);
    }
  }
  // Those that are left when all is over are of libraries that are forgotten.
  const isKnown = state.isClosed || spare.size === state.spareServices.size;
  assert(isKnown, `${spare.size} services must be spare`);
  checkClasses(state);
}

/** What an instance that starts waits for is there or comes. */
function checkStart(
  state: ManagerState,
  { library, worker, state: kind, instanceId }: InstanceRecord,
) {
  if (kind !== "starting") return;
  for (const file of libraryFiles(state, library)) {
    const replica = file.replicas.get(worker);
    const isComing = replica?.state === "ready" || replica?.transfer !== undefined;
    assert(isComing, `File ${file.fileId} must come to ${worker.workerId} for ${instanceId}`);
  }
}

function checkService(
  { spareServices }: ManagerState,
  library: LibraryRecord,
  service: ServiceRecord,
): void {
  const { worker, slotCount, callCount, servesSinceMs, spareSinceMs, peakCount } = service;
  const { name, slots } = library.spec;
  const what = `Library "${name}" at ${worker.workerId}`;
  let activeCount = 0;
  let readyCount = 0;
  for (const instance of worker.instances.values()) {
    if (instance.library !== library || !isActive(instance)) continue;
    activeCount += 1;
    if (instance.state === "ready") readyCount += 1;
  }
  assert(slotCount === activeCount * slots, `${what} must have ${activeCount * slots} slots`);
  assert(worker.services.get(library) === service, `${what} must be known at both ends`);
  assert(readyCount === 0 || servesSinceMs !== undefined, `${what} must be known to serve`);
  assert(slotCount > 0 || servesSinceMs === undefined, `${what} must not be taken to serve`);
  const isSpare = slotCount > 0 && slotCount - callCount >= slots;
  const isKnown = (spareSinceMs !== undefined) === isSpare &&
    spareServices.has(service) === isSpare;
  assert(isKnown, `${what} must be known to have instances to spare, or not to`);
  assert(!isSpare || peakCount >= callCount, `${what} must have had as many calls as it has`);
  if (slotCount > 0 || worker.link.kind !== "open" || worker.isLeaving) return;
  for (const { taskClass, taskId, isEnded, isStarted, isRecalled } of worker.tries.values()) {
    const isWaiting = taskClass.library === library && !isEnded && !isStarted;
    assert(!isWaiting || isRecalled, `Call ${taskId} must not wait where nothing takes it`);
  }
}

/** What classes count of their tries, and of what makes way for them, is so. */
function checkClasses({ classes, workers, claims, libraries, hosting }: ManagerState): void {
  const running = new Map<TaskClass, number>();
  const leaving = new Map<TaskClass, number>();
  const add = (counts: Map<TaskClass, number>, taskClass: TaskClass) => {
    counts.set(taskClass, (counts.get(taskClass) ?? 0) + 1);
  };
  for (const worker of workers.values()) {
    const { workerId, tries, instances } = worker;
    assert(
      hosting.has(worker) === instances.size > 0,
      `${workerId} must be known to have instances`,
    );
    for (const { taskClass } of tries.values()) add(running, taskClass);
    for (const { makesWayFor } of instances.values()) {
      if (makesWayFor !== undefined) add(leaving, makesWayFor);
    }
  }
  for (const taskClass of classes.values()) {
    const { key, runningCount, leavingCount } = taskClass;
    const count = running.get(taskClass) ?? 0;
    assert(runningCount === count, `Class ${key} must count ${count} tries at workers`);
    const leftCount = leaving.get(taskClass) ?? 0;
    assert(leavingCount === leftCount, `${leftCount} instances must make way for class ${key}`);
  }
  const uses = new Map<LibraryRecord, number>();
  for (const { library, useCount } of classes.values()) {
    if (library !== undefined) uses.set(library, (uses.get(library) ?? 0) + useCount);
  }
  for (const library of libraries.values()) {
    const { spec: { name }, useCount, isUndeclared } = library;
    assert(useCount === (uses.get(library) ?? 0), `Library "${name}" must know of its calls`);
    assert(!isUndeclared || useCount > 0, `Library "${name}" must be forgotten`);
  }
  for (const { key, readyCount } of claims.keys()) {
    assert(readyCount > 0, `Class ${key} must have tasks for its claim`);
  }
}
