/**
 * The scheduling pass: ready tasks to workers with room. Classes of tasks are
 * looked at, not tasks; a class that fits nowhere is passed over until a worker
 * has more room than before.
 *
 * @module
 */

import { addResources, fitsWithin, NO_RESOURCES, type Resources } from "../../shared/resources.ts";
import { unreachable } from "../../shared/assert.ts";
import {
  type CallPlaces,
  hasCallRoom,
  instanceNeed,
  isServed,
  lacksCallRoom,
  placesWithRoom,
  servedUntilMs,
  unblockAlike,
} from "./call_room.ts";
import { isBelow, isIndexed, visitFreest } from "./capacity_index.ts";
import { isFull } from "./category.ts";
import { type DiskNeed, largestDiskFor, roundedDisk } from "./disk.ts";
import { startAhead } from "./instance_ahead.ts";
import { noteClaim, pressClaims } from "./instance_turn.ts";
import { makeRoom, yieldRoom } from "./instance_yield.ts";
import { canStart, startInstance, wantFiles } from "./library.ts";
import { missingAt } from "./allocation.ts";
import {
  aheadFactor,
  bestHolder,
  chooseWorker,
  hasRoom,
  isTimeLeft,
  type Obstacle,
  suits,
} from "./placement.ts";
import type { LibraryRecord, ServiceRecord } from "./library_record.ts";
import type { FileRecord, ManagerState, TaskClass, TaskRecord, WorkerRecord } from "./state.ts";
import { hasStrictInputs, placeStrict, strictInputs, wakeStrict } from "./strict_input.ts";
import { finishTask, moveToClass } from "./task.ts";
import { isReserved, reserveFor } from "./reservation.ts";
import { isPassedOver } from "./start_failure.ts";
import { allocationAt, classOf } from "./task_class.ts";
import { dispatch, recall } from "./try.ts";
import { takeTurns } from "./turn.ts";
import { noteBlocked } from "./unplaceable.ts";
import { wakeUpkeep } from "./upkeep.ts";

/** Workers that are asked to give tries back to one that is idle, in one pass. */
const RECALLS_PROBED = 8;

/** Calls that would be done sooner than this wait for a slot rather than for a new instance. */
const INSTANCE_WORTH_MS = 100;

/** Services that are looked at, freest first, for one at which a call may wait. */
const SERVICES_PROBED = 16;

/** Workers that are looked at, freest first, for room for an instance that had none before. */
const WORKERS_PROBED = 64;

/** Tries shorter than this are not worth taking back from a worker. */
const RECALL_WORTH_MS = 50;

/** Dispatches what fits, best task first. */
export function schedule(state: ManagerState): void {
  if (state.isClosed) state.claims.clear();
  if (state.isClosed || isWaitingForWorkers(state)) return;
  wakeStrict(state);
  if (state.busyClasses.size > 0) placeTasks(state);
  makeRoom(state);
  pressClaims(state);
  startAhead(state);
  if (state.changedWorkers.size === 0) return;
  yieldRoom(state);
  recallForIdle(state);
  state.changedWorkers.clear();
}

/** True while the policy `waitForWorkers` holds everything back. */
export function isWaitingForWorkers({ joinedCount, policies }: ManagerState): boolean {
  return joinedCount < policies.waitForWorkers;
}

/** Dispatches the best task of all classes until none fits anywhere. */
function placeTasks(state: ManagerState): void {
  takeTurns(classesToTry(state), (taskClass, task) => {
    const isPlaced = place(state, taskClass, task);
    if (isPlaced) return true;
    taskClass.isBlocked = true;
    noteBlocked(state, taskClass);
    reserveFor(state, taskClass);
    noteClaim(state, taskClass);
    return false;
  });
}

/** True when a try of this class is long enough to be taken back from a busy worker. */
export function isWorthRecall(taskClass: TaskClass): boolean {
  return taskClass.library === undefined && (taskClass.meanRanMs ?? Infinity) >= RECALL_WORTH_MS;
}

/** Classes that may fit somewhere. */
function classesToTry(state: ManagerState): TaskClass[] {
  const classes: TaskClass[] = [];
  for (const taskClass of state.busyClasses) {
    if (isFull(taskClass.category)) {
      // Who changes meanwhile is not noted for it.
      taskClass.isBlocked = false;
      continue;
    }
    const isLeft = taskClass.servedUntilMs < state.nowMs;
    if (!taskClass.isBlocked || isLeft || mayFitChanged(state, taskClass)) classes.push(taskClass);
  }
  return classes;
}

/** A class that fitted nowhere can fit only where room was given back since. */
function mayFitChanged(state: ManagerState, taskClass: TaskClass): boolean {
  const { library } = taskClass;
  for (const worker of state.changedWorkers) {
    if (library === undefined) {
      if (hasRoom(state, worker, taskClass)) return true;
      continue;
    }
    if (worker.services.has(library)) return true;
    if (instanceObstacleAt(state, worker, { taskClass, library, factor: 1 }) === undefined) {
      return true;
    }
  }
  return false;
}

function place(state: ManagerState, taskClass: TaskClass, task: TaskRecord): boolean {
  if (taskClass.library !== undefined) {
    return placeCall(state, { taskClass, task, library: taskClass.library });
  }
  const strict = strictInputs(state, task);
  if (strict.length > 0) {
    placeStrict(state, task, strict);
    return true;
  }
  const choice = chooseWorker(state, taskClass, task);
  switch (choice.kind) {
    case "worker":
      dispatch(state, task, choice.worker);
      return true;
    case "none":
      return false;
    case "too_small":
      return setApart(state, task, choice.need);
    default:
      return unreachable(choice);
  }
}

/**
 * The inputs of the task do not fit together on the disks of those that have room for its class:
 * it waits apart from it for a larger one, or fails when nobody has any.
 */
function setApart(
  state: ManagerState,
  task: TaskRecord,
  { inputs, inputBytes }: DiskNeed,
): boolean {
  const { taskClass, definition } = task;
  const largestBytes = largestDiskFor(state, taskClass);
  if (largestBytes < inputBytes) {
    const message = whyTooLarge(task, { inputs, inputBytes, largestBytes });
    finishTask(state, task, { outcome: "disk_full", message });
    return true;
  }
  const { atLeast, workerMemoryBytes } = taskClass;
  const workerDiskBytes = roundedDisk(inputBytes);
  const apart = classOf(state, definition, { atLeast, workerDiskBytes, workerMemoryBytes });
  if (apart === taskClass) return false;
  moveToClass(state, task, apart);
  // Whoever it fits on may have had room all the time.
  wakeUpkeep(state, state.nowMs);
  return true;
}

function whyTooLarge(
  { definition }: TaskRecord,
  { inputs, inputBytes, largestBytes }: {
    readonly inputs: readonly FileRecord[];
    readonly inputBytes: number;
    readonly largestBytes: number;
  },
): string {
  const sizeOf = ({ bound }: FileRecord) => bound?.sizeBytes ?? 0;
  const [largest] = inputs.toSorted((a, b) => sizeOf(b) - sizeOf(a));
  const mount = definition.inputs.find(({ fileId }) => {
    return largest?.fileId === fileId || largest?.aliases.includes(fileId);
  })?.mount;
  return `Cannot run the task: its inputs have ${inputBytes} bytes together, the largest, ` +
    `"${mount}", ${largest && sizeOf(largest)}, and no worker that could run it has more than ` +
    `${largestBytes} bytes of disk`;
}

/** A call goes to a free slot, to a new instance, or waits for a slot at a worker. */
function placeCall(
  state: ManagerState,
  call: {
    readonly taskClass: TaskClass;
    readonly task: TaskRecord;
    readonly library: LibraryRecord;
  },
): boolean {
  const { taskClass, task, library } = call;
  if (library.failure !== undefined) {
    finishTask(state, task, { outcome: "library_failed", message: library.failure });
    return true;
  }
  // Most calls have no files, and are many.
  const holder = task.definition.inputs.length === 0
    ? undefined
    : bestHolder(state, task, (worker) => {
      return hasFreeSlot(worker, library) && hasCallRoom(worker, taskClass) &&
        suits(worker, taskClass) && isTimeLeft(state, worker, taskClass);
    });
  const { now, ahead } = placesFor(state, library, taskClass);
  const chosen = holder ?? now?.worker;
  if (chosen !== undefined) {
    dispatch(state, task, chosen);
    return true;
  }
  const isStartable = canStart(state, library);
  const room = isStartable ? roomForInstance(state, { taskClass, library }) : undefined;
  if (room !== undefined) {
    startInstance(state, library, room);
    unblockAlike(state, taskClass);
    dispatch(state, task, room);
    return true;
  }
  if (ahead === undefined) {
    if (!isStartable) wantFiles(state, library);
    planLookAtServed(state, taskClass, library);
    return false;
  }
  dispatch(state, task, ahead.worker);
  return true;
}

/** A class that waits for slots is looked at again when the time of their worker is over. */
function planLookAtServed(
  state: ManagerState,
  taskClass: TaskClass,
  library: LibraryRecord,
): void {
  const untilMs = servedUntilMs(state, taskClass, library);
  if (untilMs < state.nowMs || untilMs === Infinity) {
    taskClass.servedUntilMs = Infinity;
  } else if (untilMs < taskClass.servedUntilMs || taskClass.servedUntilMs < state.nowMs) {
    taskClass.servedUntilMs = untilMs;
    wakeUpkeep(state, untilMs + 1);
  }
}

/** Where a call of the class can run now, and where it may wait. */
export function placesFor(
  state: ManagerState,
  library: LibraryRecord,
  taskClass: TaskClass,
): CallPlaces {
  if (taskClass.ownAllocation !== undefined) return placesWithRoom(state, { taskClass, library });
  let now: ServiceRecord | undefined;
  let ahead: ServiceRecord | undefined;
  let probedCount = 0;
  visitFreest(library.index, (service) => {
    const { worker, callCount, slotCount } = service;
    if (!suits(worker, taskClass) || !isTimeLeft(state, worker, taskClass)) return false;
    if (callCount < slotCount) now = service;
    // One with more slots may have as many calls too many, and be less busy.
    if (hasSlotAhead(state, service, taskClass)) ahead = service;
    probedCount += 1;
    return ahead !== undefined || probedCount >= SERVICES_PROBED;
  });
  return { now, ahead };
}

/** True when one more call may be there, running or waiting. */
export function hasSlotAhead(
  state: ManagerState,
  { callCount, slotCount }: ServiceRecord,
  taskClass: TaskClass,
): boolean {
  // Nobody takes calls back that wait behind long ones, wherever there is room for them later.
  if ((taskClass.meanRanMs ?? Infinity) >= RECALL_WORTH_MS) return false;
  return callCount < slotCount * aheadFactor(state, taskClass);
}

function hasFreeSlot(worker: WorkerRecord, library: LibraryRecord): boolean {
  const service = worker.services.get(library);
  return service !== undefined && service.callCount < service.slotCount;
}

/** A worker that should start another instance, if one should. */
export function roomForInstance(
  state: ManagerState,
  call: { readonly taskClass: TaskClass; readonly library: LibraryRecord },
): WorkerRecord | undefined {
  const { taskClass, library } = call;
  const isWanted = isInstanceWorth(taskClass, library) || lacksCallRoom(state, call) ||
    !isServed(state, taskClass, library);
  if (!isWanted) return undefined;
  const { cores } = library.spec.resources;
  const hasRoomAt = (worker: WorkerRecord) => {
    return instanceObstacleAt(state, worker, { taskClass, library, factor: 1 }) === undefined;
  };
  let found: WorkerRecord | undefined;
  let probedCount = 0;
  visitFreest(state.index, (worker) => {
    if (hasRoomAt(worker)) found = worker;
    probedCount += 1;
    return found !== undefined || isBelow(worker, cores) ||
      taskClass.isBlocked && probedCount >= WORKERS_PROBED;
  });
  if (found !== undefined || probedCount < WORKERS_PROBED) return found;
  // A class that fitted nowhere fits only where room was given back.
  for (const worker of state.changedWorkers) {
    if (isIndexed(worker) && hasRoomAt(worker)) return worker;
  }
  return undefined;
}

/** True when the instances that there are take longer for the ready calls than one more to start. */
export function isInstanceWorth(
  { meanRanMs, readyCount }: TaskClass,
  { activeCount, startMs, spec: { slots } }: LibraryRecord,
): boolean {
  const slotCount = activeCount * slots;
  if (slotCount === 0 || meanRanMs === undefined) return true;
  return readyCount * meanRanMs / slotCount >= Math.max(INSTANCE_WORTH_MS, startMs);
}

/** What keeps an instance for calls of the class from a worker that takes any. */
export function instanceObstacleAt(
  state: ManagerState,
  worker: WorkerRecord,
  { taskClass, library, factor }: {
    readonly taskClass: TaskClass;
    readonly library: LibraryRecord;
    readonly factor: number;
  },
): Obstacle | undefined {
  const resources = instanceNeed(taskClass, library);
  if (missingAt(resources, worker.resources) !== undefined) return "too_small";
  if (!suits(worker, taskClass)) return "feature";
  if (!isTimeLeft(state, worker, taskClass)) return "time";
  if (isReserved(worker, taskClass) || isPassedOver(state, library, worker)) return "busy";
  const room = { used: worker.committed, more: resources, factor };
  return fitsWithin(worker.resources, room) ? undefined : "busy";
}

/** Takes tries that wait at one worker back when another one has nothing to do. */
function recallForIdle(state: ManagerState): void {
  for (const idle of state.changedWorkers) {
    if (!isIndexed(idle) || idle.unstarted.size > 0) continue;
    if (idle.reservedFor !== undefined) continue;
    let probed = 0;
    let used = idle.committed;
    for (const busy of state.recallable) {
      probed += 1;
      if (probed > RECALLS_PROBED) break;
      if (busy !== idle && busy.link.kind === "open") {
        used = recallSome(state, { busy, idle, used });
      }
    }
  }
}

/** Asks `busy` for tries that fit `idle` beside what is `used` there; returns what is used then. */
function recallSome(
  state: ManagerState,
  between: {
    readonly busy: WorkerRecord;
    readonly idle: WorkerRecord;
    readonly used: Resources;
  },
): Resources {
  const { busy, idle } = between;
  let { used } = between;
  let excess = busy.committed.cores - busy.resources.cores;
  for (const attempt of busy.unstarted) {
    if (excess <= 0) break;
    const { taskClass, allocation: { held } = { held: NO_RESOURCES } } = attempt;
    if (attempt.isRecalled) {
      excess -= held.cores;
      continue;
    }
    const more = allocationAt(state, taskClass, idle)?.held;
    if (more === undefined || !isWorthRecall(taskClass) || !suits(idle, taskClass)) continue;
    if (!isTimeLeft(state, idle, taskClass)) continue;
    if (!hasStrictInputs(state, idle, attempt.task)) continue;
    if (!fitsWithin(idle.resources, { used, more, factor: 1 })) continue;
    recall(state, attempt);
    attempt.recalledFor = idle;
    excess -= held.cores;
    used = addResources(used, more);
  }
  return used;
}
