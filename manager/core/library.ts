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
import { endSpare, noteSpare } from "./instance_idle.ts";
import { noteServing, reviewClaims } from "./instance_turn.ts";
import type { Fact } from "./fact.ts";
import { checkGiven } from "./lie.ts";
import { recoverIfWanted } from "./recovery.ts";
import { ensureReplica } from "./replica.ts";
import { changeRoom, isOpen } from "./room.ts";
import type { InstanceRecord, LibraryRecord, ServiceRecord } from "./library_record.ts";
import { type FileRecord, type ManagerState, nextId, tell, type WorkerRecord } from "./state.ts";
import { forgetFailures, noteFailure } from "./start_failure.ts";
import { finishTask, waitOrQueue } from "./task.ts";
import { endAttempt, recall } from "./try.ts";
import { wakeUpkeep } from "./upkeep.ts";

/** Weight of the newest start in the moving mean of what starts take. */
const START_WEIGHT = 0.3;

/** What a start is taken to take at most. */
const START_MS_MAX = 600_000;

/** Adds a library. Its instances start when calls need them, or as many as are kept of it. */
export function declareLibrary(state: ManagerState, spec: LibrarySpec): void {
  const known = state.libraries.get(spec.name);
  if (known?.isUndeclared === true) {
    known.isUndeclared = false;
    known.isAheadBlocked = false;
    return countActive(state, known, 0);
  }
  assert(!state.libraries.has(spec.name), `Library "${spec.name}" must be new`);
  const library: LibraryRecord = {
    spec,
    services: new Map(),
    index: newCapacityIndex(),
    calls: { running: 0, done: 0, failed: 0 },
    failureCount: 0,
    failedPlaces: new Set(),
    lastFailure: "",
    failedStarts: new Map(),
    useCount: 0,
    isUndeclared: false,
    failure: undefined,
    instances: new Set(),
    activeCount: 0,
    startMs: 0,
    madeWayAtMs: -Infinity,
    isAheadBlocked: false,
    isAwaitingFiles: false,
  };
  state.libraries.set(spec.name, library);
  countActive(state, library, 0);
  for (const file of libraryFiles(state, library)) {
    file.libraries.add(library);
    if (file.failure !== undefined) failLibrary(state, library, file.failure.message);
  }
}

/** Nobody is going to call the library: it goes with the last of its calls. */
export function undeclareLibrary(state: ManagerState, name: string): void {
  const library = state.libraries.get(name);
  if (library === undefined) return;
  library.isUndeclared = true;
  countActive(state, library, 0);
  forgetIfUnused(state, library);
}

/** A call of the library enters the table of tasks, or leaves it. */
export function countCall(state: ManagerState, library: LibraryRecord, change: 1 | -1): void {
  library.useCount += change;
  if (change < 0) forgetIfUnused(state, library);
}

function forgetIfUnused(state: ManagerState, library: LibraryRecord): void {
  if (!library.isUndeclared || library.useCount > 0 || state.isClosed) return;
  library.isAwaitingFiles = false;
  for (const service of [...library.services.values()]) stopService(state, service);
  releaseLibrary(state, library);
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

/** Something waits for an instance: lost files of it are made again. */
export function wantFiles(state: ManagerState, library: LibraryRecord): void {
  if (library.isAwaitingFiles) return;
  library.isAwaitingFiles = true;
  for (const file of libraryFiles(state, library)) recoverIfWanted(state, file);
  // What makes them may be ready to run.
  wakeUpkeep(state, state.nowMs);
}

/** True while lost files of the library keep an instance from starting. */
export function isAwaitingFiles(
  { isAwaitingFiles: isAwaiting, instances }: LibraryRecord,
): boolean {
  if (isAwaiting) return true;
  for (const { state } of instances) if (state === "starting") return true;
  return false;
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
    startedAtMs: state.nowMs,
    makesWayFor: undefined,
  };
  worker.instances.set(instance.instanceId, instance);
  library.instances.add(instance);
  state.hosting.add(worker);
  changeRoom(state, worker, library.spec.resources, 1);
  countActive(state, library, 1);
  const service = serviceOf(library, worker);
  service.slotCount += library.spec.slots;
  // It has not been idle for as long as the others.
  endSpare(state, service);
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
  { instanceId, startMs }: Pick<
    Extract<WorkerReport, { kind: "instance_ready" }>,
    "instanceId" | "startMs"
  >,
): void {
  const instance = worker.instances.get(instanceId);
  if (instance === undefined) return checkGiven(state, worker, instanceId);
  if (instance.state === "starting") becomeReady(state, instance, startMs);
}

/** An instance that started is ready, as its worker says. */
export function becomeReady(
  state: ManagerState,
  instance: InstanceRecord,
  startMs?: number,
): void {
  const { library, worker } = instance;
  instance.state = "ready";
  forgetFailures(library, worker);
  if (startMs !== undefined) {
    const bounded = Math.min(startMs, START_MS_MAX);
    library.startMs = library.startMs === 0
      ? bounded
      : library.startMs + (bounded - library.startMs) * START_WEIGHT;
  }
  const service = serviceOf(library, worker);
  service.servesSinceMs ??= state.nowMs;
  noteServing(state, service);
  noteInstance(state, instance, "ready");
}

/** An instance is gone. Too many failures in a row, and the library is given up. */
export function endInstance(
  state: ManagerState,
  worker: WorkerRecord,
  { instanceId, reason, message }: Pick<
    Extract<WorkerReport, { kind: "instance_gone" }>,
    "instanceId" | "reason" | "message"
  >,
): void {
  const instance = worker.instances.get(instanceId);
  if (instance === undefined) return checkGiven(state, worker, instanceId);
  noteInstance(state, instance, reason);
  removeInstance(state, instance);
  if (reason !== "stopped") noteFailure(state, instance, { reason, message });
}

/** A worker that came back does not know of an instance. */
export function missInstance(state: ManagerState, instance: InstanceRecord): void {
  noteInstance(state, instance, "stopped");
  removeInstance(state, instance);
}

/** Takes an instance off the tables and gives its room back. */
export function removeInstance(state: ManagerState, instance: InstanceRecord): void {
  const { worker, library, makesWayFor } = instance;
  worker.instances.delete(instance.instanceId);
  library.instances.delete(instance);
  if (worker.instances.size === 0) state.hosting.delete(worker);
  if (makesWayFor !== undefined) makesWayFor.leavingCount -= 1;
  changeRoom(state, worker, library.spec.resources, -1);
  // Calls for which there were enough may need another one, wherever it has room.
  unblockLibrary(state, library);
  if (isActive(instance)) loseSlots(state, instance);
}

/** True of an instance that takes calls, now or once it is ready. */
export function isActive({ state }: InstanceRecord): boolean {
  return state === "starting" || state === "ready";
}

/** Stops the instances of a library at one worker, with the calls in them. */
export function stopService(state: ManagerState, { worker, library }: ServiceRecord): void {
  for (const instance of [...worker.instances.values()]) {
    if (instance.library === library) stopInstance(state, instance);
  }
}

function stopInstance(state: ManagerState, instance: InstanceRecord): void {
  const { worker, instanceId } = instance;
  if (instance.state === "stopping") return;
  const wasActive = isActive(instance);
  instance.state = "stopping";
  if (wasActive) loseSlots(state, instance);
  tell(state, worker, { kind: "stop_instance", instanceId });
}

/** Gives an instance no more calls; it stops once those that it has have ended. */
export function retireInstance(state: ManagerState, instance: InstanceRecord): void {
  if (!isActive(instance)) return;
  const { worker, library, instanceId } = instance;
  noteInstance(state, instance, "retiring");
  if (worker.services.get(library)?.callCount === 0) return stopInstance(state, instance);
  instance.state = "retiring";
  loseSlots(state, instance);
  tell(state, worker, { kind: "stop_instance", instanceId, isRetiring: true });
}

/** The worker is to do nothing more: none of its instances takes calls any more. */
export function retireInstances(state: ManagerState, worker: WorkerRecord): void {
  for (const instance of [...worker.instances.values()]) retireInstance(state, instance);
}

/** What retiring instances were told, and calls that were asked back, may be lost. */
export function repeatRetirements(state: ManagerState, worker: WorkerRecord): void {
  for (const { instanceId, state: kind } of worker.instances.values()) {
    if (kind !== "retiring") continue;
    tell(state, worker, { kind: "stop_instance", instanceId, isRetiring: true });
  }
  for (const service of [...worker.services.values()]) {
    if (service.slotCount === 0) bringBackCalls(state, service);
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
  countActive(state, library, 0);
  for (const service of [...library.services.values()]) stopService(state, service);
  unblockLibrary(state, library);
}

/** Nothing is kept for its instances any more. */
export function releaseLibrary(state: ManagerState, library: LibraryRecord): void {
  for (const file of new Set(libraryFiles(state, library))) {
    file.libraries.delete(library);
    releaseIfUnneeded(state, file);
  }
  state.shortLibraries.delete(library);
  state.libraries.delete(library.spec.name);
}

/** Its files came or went, or an instance has: its calls are looked at again. */
export function unblockLibrary(state: ManagerState, library: LibraryRecord): void {
  library.isAheadBlocked = false;
  if (library.isAwaitingFiles) library.isAwaitingFiles = !canStart(state, library);
  reviewClaims(state);
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
    stopInstance(state, instance);
    noteFailure(state, instance, { reason: "transfer_failed", message });
  }
}

/** The file was made anew: instances that have not read the earlier making start with the new one. */
export function takeBackInstances(state: ManagerState, file: FileRecord): void {
  for (const library of file.libraries) {
    const isInput = library.spec.inputs.some(({ fileId }) => fileOf(state, fileId) === file);
    if (!isInput) continue;
    for (const instance of library.instances) {
      if (instance.state === "starting") stopInstance(state, instance);
    }
  }
}

/** The file cannot be had any more: instances wait where it is in place, or are started anew later. */
export function takeBackStarts(state: ManagerState, file: FileRecord): void {
  for (const library of file.libraries) {
    for (const instance of library.instances) {
      if (instance.state !== "starting") continue;
      if (file.replicas.get(instance.worker)?.state !== "ready") stopInstance(state, instance);
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
    service = {
      place: newCapacityPlace(),
      library,
      worker,
      slotCount: 0,
      callCount: 0,
      servesSinceMs: undefined,
      spareSinceMs: undefined,
      peakCount: 0,
      idleLookAtMs: 0,
    };
    library.services.set(worker, service);
    worker.services.set(library, service);
  }
  return service;
}

/** Keeps the index of free slots and the set of services with spare instances true. */
export function indexService(state: ManagerState, service: ServiceRecord): void {
  const { library, worker, slotCount, callCount } = service;
  if (slotCount > 0 && isOpen(worker)) {
    setCapacity(library.index, service, slotCount - callCount);
  } else {
    removeCapacity(library.index, service);
  }
  noteSpare(state, service);
  if (slotCount > 0 || callCount > 0) return;
  library.services.delete(worker);
  worker.services.delete(library);
}

/** An instance takes calls from now on, or takes none any more. */
function countActive(state: ManagerState, library: LibraryRecord, change: -1 | 0 | 1): void {
  library.activeCount += change;
  const isShort = library.activeCount < library.spec.instanceCount &&
    library.failure === undefined && !library.isUndeclared && !state.isClosed;
  if (isShort) state.shortLibraries.add(library);
  else state.shortLibraries.delete(library);
}

/** Slots of an instance go; calls that wait at the worker for the last of them come back. */
function loseSlots(state: ManagerState, instance: InstanceRecord): void {
  const { library, worker } = instance;
  countActive(state, library, -1);
  const service = serviceOf(library, worker);
  service.slotCount -= library.spec.slots;
  if (service.slotCount === 0) service.servesSinceMs = undefined;
  endSpare(state, service);
  indexService(state, service);
  // Those that are left may take so long for the calls that one more elsewhere is worth it; with none
  // left it has to be seen to that the calls have a turn.
  unblockLibrary(state, library);
  if (service.slotCount === 0) bringBackCalls(state, service);
}

/** Nothing takes the calls that wait there any more; what runs, runs on. */
function bringBackCalls(state: ManagerState, { library, worker }: ServiceRecord): void {
  const { failure } = library;
  let isRetiring = false;
  for (const instance of worker.instances.values()) {
    isRetiring ||= instance.library === library && instance.state === "retiring";
  }
  for (const attempt of [...worker.tries.values()]) {
    if (attempt.taskClass.library !== library || attempt.isEnded) continue;
    if (failure !== undefined) {
      endAttempt(state, attempt);
      finishTask(state, attempt.task, { outcome: "library_failed", message: failure, attempt });
    } else if (attempt.isStarted || attempt.isRecalled) {
      // How it ends, or that it comes back, its worker says.
      continue;
    } else if (isRetiring) {
      // It may have begun meanwhile where it need not be disturbed.
      recall(state, attempt);
    } else {
      endAttempt(state, attempt);
      waitOrQueue(state, attempt.task);
    }
  }
}

function noteInstance(
  state: ManagerState,
  instance: InstanceRecord,
  change: Extract<Fact, { kind: "library_instance" }>["change"],
): void {
  const { library, instanceId, worker } = instance;
  // It has ended with its worker.
  if (worker.isLeaving) return;
  state.facts.push({
    kind: "library_instance",
    library: library.spec.name,
    instanceId,
    workerId: worker.workerId,
    change,
  });
}
