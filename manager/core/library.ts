/** Libraries: their instances at workers and the slots that calls take. */

import { assert } from "../../shared/assert.ts";
import type { FileId, InstanceId } from "../../shared/ids.ts";
import { moduleFiles } from "../../shared/library.ts";
import {
  newCapacityIndex,
  newCapacityPlace,
  removeCapacity,
  setCapacity,
} from "./capacity_index.ts";
import type { LibrarySpec, WorkerReport } from "./event.ts";
import { boundName, fileOf, releaseIfUnneeded } from "./file.ts";
import { checkGiven } from "./lie.ts";
import { ensureReplica } from "./replica.ts";
import { changeRoom, isOpen } from "./room.ts";
import {
  type FileRecord,
  type InstanceRecord,
  type LibraryRecord,
  type ManagerState,
  nextId,
  type ServiceRecord,
  tell,
  type WorkerRecord,
} from "./state.ts";
import { finishTask, waitOrQueue } from "./task.ts";
import { endAttempt } from "./try.ts";

/** Adds a library. Its instances start when calls need them. */
export function declareLibrary(state: ManagerState, spec: LibrarySpec): void {
  assert(!state.libraries.has(spec.name), `Library "${spec.name}" must be new`);
  const library: LibraryRecord = {
    spec,
    services: new Map(),
    index: newCapacityIndex(),
    failureCount: 0,
    failure: undefined,
    instances: new Set(),
  };
  state.libraries.set(spec.name, library);
  for (const file of libraryFiles(state, library)) {
    file.libraries.add(library);
    if (file.failure !== undefined) failLibrary(state, library, file.failure.message);
  }
}

/** True when everything an instance is started with can be had. */
export function canStart(state: ManagerState, { spec }: LibraryRecord): boolean {
  // Asked for each call: without a list of the files.
  const { program, environments, inputs } = spec;
  if (program.kind !== "command" && !fileOf(state, program.module).isAvailable) return false;
  for (const fileId of environments) if (!fileOf(state, fileId).isAvailable) return false;
  for (const { fileId } of inputs) if (!fileOf(state, fileId).isAvailable) return false;
  return true;
}

/** Starts an instance at `worker`, whose room is held from now on. */
export function startInstance(
  state: ManagerState,
  library: LibraryRecord,
  worker: WorkerRecord,
): void {
  const instance: InstanceRecord = {
    instanceId: nextId(state) as InstanceId,
    library,
    worker,
    state: "starting",
  };
  worker.instances.set(instance.instanceId, instance);
  library.instances.add(instance);
  changeRoom(state, worker, library.spec.resources, 1);
  const service = serviceOf(library, worker);
  service.slotCount += library.spec.slots;
  indexService(state, service);
  for (const file of libraryFiles(state, library)) ensureReplica(state, file, worker);
  const { name, program, mode, context, contextArguments, slots, resources, env } = library.spec;
  const nameOf = (fileId: FileId) => boundName(fileOf(state, fileId));
  tell(state, worker, {
    kind: "start_instance",
    instanceId: instance.instanceId,
    library: {
      name,
      program: program.kind === "command"
        ? program
        : { ...program, module: nameOf(program.module) },
      mode,
      context,
      contextArguments,
      slots,
      resources,
      env,
      environments: library.spec.environments.map(nameOf),
      inputs: library.spec.inputs.map(({ mount, fileId }) => {
        const { generation } = fileOf(state, fileId);
        return { mount, name: nameOf(fileId), generation };
      }),
    },
  });
  noteInstance(state, instance, "starting");
}

/** An instance serves calls. */
export function readyInstance(
  state: ManagerState,
  worker: WorkerRecord,
  instanceId: InstanceId,
): void {
  const instance = worker.instances.get(instanceId);
  if (instance === undefined) return checkGiven(state, worker, instanceId);
  if (instance.state !== "starting") return;
  instance.state = "ready";
  instance.library.failureCount = 0;
  noteInstance(state, instance, "ready");
}

/** An instance is gone. Too many failures in a row, and the library is given up. */
export function endInstance(
  state: ManagerState,
  worker: WorkerRecord,
  message: Pick<
    Extract<WorkerReport, { kind: "instance_gone" }>,
    "instanceId" | "reason" | "message"
  >,
): void {
  const instance = worker.instances.get(message.instanceId);
  if (instance === undefined) return checkGiven(state, worker, message.instanceId);
  noteInstance(state, instance, message.reason);
  removeInstance(state, instance);
  const { library } = instance;
  if (message.reason === "stopped") return;
  library.failureCount += 1;
  if (library.failureCount < state.policies.libraryRetries) return;
  failLibrary(
    state,
    library,
    `Cannot keep library "${library.spec.name}" running: ${library.failureCount} instances ` +
      `failed in a row; the last said: ${message.message}`,
  );
}

/** Takes an instance off the tables and gives its room back. */
export function removeInstance(state: ManagerState, instance: InstanceRecord): void {
  const { worker, library } = instance;
  worker.instances.delete(instance.instanceId);
  library.instances.delete(instance);
  changeRoom(state, worker, library.spec.resources, -1);
  // Calls for which there were enough may need another one, wherever it has room.
  unblockLibrary(state, library);
  if (instance.state !== "stopping") loseSlots(state, instance);
}

/** Stops the instances of a library at one worker, where nobody calls it now. */
export function stopService(state: ManagerState, service: ServiceRecord): void {
  const { worker, library } = service;
  for (const instance of worker.instances.values()) {
    if (instance.library !== library || instance.state === "stopping") continue;
    loseSlots(state, instance);
    instance.state = "stopping";
    tell(state, worker, { kind: "stop_instance", instanceId: instance.instanceId });
  }
}

/** A call is dispatched to `worker`. */
export function holdCall(state: ManagerState, library: LibraryRecord, worker: WorkerRecord): void {
  const service = serviceOf(library, worker);
  service.callCount += 1;
  indexService(state, service);
}

/** A call at `worker` has ended. */
export function freeCall(state: ManagerState, library: LibraryRecord, worker: WorkerRecord): void {
  const service = serviceOf(library, worker);
  service.callCount -= 1;
  indexService(state, service);
  state.changedWorkers.add(worker);
}

/** Gives a library up: all its calls fail with `message`. */
export function failLibrary(state: ManagerState, library: LibraryRecord, message: string): void {
  if (library.failure !== undefined) return;
  library.failure = message;
  for (const service of [...library.services.values()]) stopService(state, service);
  unblockLibrary(state, library);
}

/** The workflow is over: nothing is kept for its instances any more. */
export function releaseLibrary(state: ManagerState, library: LibraryRecord): void {
  for (const file of new Set(libraryFiles(state, library))) {
    file.libraries.delete(library);
    releaseIfUnneeded(state, file);
  }
  state.libraries.delete(library.spec.name);
}

/** Its files came or went: its calls are looked at again. */
export function unblockLibrary(state: ManagerState, library: LibraryRecord): void {
  for (const taskClass of state.busyClasses) {
    if (taskClass.library === library) taskClass.isBlocked = false;
  }
}

/** A file cannot come to `worker`: instances that need it cannot start there. */
export function failInstancesFor(
  state: ManagerState,
  missing: { readonly worker: WorkerRecord; readonly file: FileRecord; readonly message: string },
): void {
  const { worker, file, message } = missing;
  for (const instance of [...worker.instances.values()]) {
    if (instance.state !== "starting" || !file.libraries.has(instance.library)) continue;
    loseSlots(state, instance);
    instance.state = "stopping";
    tell(state, worker, { kind: "stop_instance", instanceId: instance.instanceId });
    instance.library.failureCount += 1;
    if (instance.library.failureCount >= state.policies.libraryRetries) {
      failLibrary(state, instance.library, message);
    }
  }
}

/** What an instance is started with: its module, environments and inputs. */
export function libraryFiles(state: ManagerState, library: LibraryRecord): FileRecord[] {
  const { program, environments, inputs } = library.spec;
  const fileIds: FileId[] = [
    ...moduleFiles(program),
    ...environments,
    ...inputs.map(({ fileId }) => fileId),
  ];
  return fileIds.map((fileId) => fileOf(state, fileId));
}

function serviceOf(library: LibraryRecord, worker: WorkerRecord): ServiceRecord {
  let service = library.services.get(worker);
  if (service === undefined) {
    service = { place: newCapacityPlace(), library, worker, slotCount: 0, callCount: 0 };
    library.services.set(worker, service);
    worker.services.set(library, service);
  }
  return service;
}

/** Keeps the index of free slots and the set of idle services true. */
export function indexService(state: ManagerState, service: ServiceRecord): void {
  const { library, worker, slotCount, callCount } = service;
  if (slotCount > 0 && isOpen(worker)) {
    setCapacity(library.index, service, slotCount - callCount);
  } else {
    removeCapacity(library.index, service);
  }
  if (slotCount > 0 && callCount === 0) state.idleServices.add(service);
  else state.idleServices.delete(service);
  if (slotCount > 0 || callCount > 0) return;
  library.services.delete(worker);
  worker.services.delete(library);
}

/** Slots of an instance go; calls that wait at the worker for the last of them come back. */
function loseSlots(state: ManagerState, instance: InstanceRecord): void {
  const { library, worker } = instance;
  const service = serviceOf(library, worker);
  service.slotCount -= library.spec.slots;
  indexService(state, service);
  if (service.slotCount > 0) return;
  for (const attempt of [...worker.tries.values()]) {
    if (attempt.taskClass.library !== library || attempt.isEnded) continue;
    endAttempt(state, attempt);
    const { failure } = library;
    if (failure === undefined) waitOrQueue(state, attempt.task);
    else finishTask(state, attempt.task, { outcome: "library_failed", message: failure, attempt });
  }
}

function noteInstance(
  state: ManagerState,
  instance: InstanceRecord,
  change: "starting" | "ready" | "stopped" | "start_failed" | "died",
): void {
  const { library, worker } = instance;
  state.facts.push({
    kind: "library_instance",
    library: library.spec.name,
    workerId: worker.workerId,
    change,
  });
}
