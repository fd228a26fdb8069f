/** Every relation between the manager's tables. Linear in their size: for tests and simulation. */

import { assert } from "../../shared/assert.ts";
import type { OrderedQueue } from "../../shared/ordered_queue.ts";
import { ARRIVING_MAX } from "./background.ts";
import { isIndexed } from "./capacity_index.ts";
import { isSpent } from "./copy_policy.ts";
import { inputFiles, isAtUrl } from "./file.ts";
import { isMadeFor } from "./group.ts";
import { checkKeeps } from "./keep_invariants.ts";
import { checkLibraries } from "./library_invariants.ts";
import { aheadFactor } from "./placement.ts";
import { isOpen } from "./room.ts";
import { SHIFTS_MAX } from "./shift.ts";
import { hasSlot, lacksSlot, mayUsePeers } from "./source.ts";
import { BLAMED_MAX, isAside } from "./source_fault.ts";
import type {
  DeliveryRecord,
  FileRecord,
  ManagerState,
  TaskRecord,
  TryRecord,
  WorkerRecord,
} from "./state.ts";
import { hasUnstartedConsumer } from "./try.ts";
import { placeInQueue, whyKept } from "./upkeep.ts";
import { valueFileId, valuePrefix } from "./value_file.ts";

/** Throws an AssertionError that names the relation that does not hold. */
export function checkInvariants(state: ManagerState): void {
  checkCounters(state);
  for (const task of state.tasks.values()) checkTask(state, task);
  for (const worker of state.workers.values()) {
    checkWorker(state, worker);
    checkReach(state, worker);
  }
  for (const [fileId, file] of state.files) {
    if (fileId === file.fileId) checkFile(state, file);
  }
  let unservingCount = 0;
  for (const { isServing } of state.workers.values()) if (!isServing) unservingCount += 1;
  assert(state.unservingCount === unservingCount, `${unservingCount} workers must serve nobody`);
  checkTransfers(state);
  checkDeliveries(state);
  checkUrls(state);
  checkSpool(state);
  checkDepartures(state);
  checkUpkeep(state);
  checkShifts(state);
  checkLibraries(state);
  checkKeeps(state);
}

function checkCounters(state: ManagerState): void {
  const counts = { waiting: 0, ready: 0, dispatched: 0, retrieving: 0 };
  for (const task of state.tasks.values()) {
    if (task.state.kind !== "done") counts[task.state.kind] += 1;
  }
  for (const kind of ["waiting", "ready", "dispatched", "retrieving"] as const) {
    const counted = state.counters[kind];
    assert(counted === counts[kind], `${kind}: counted ${counted}, found ${counts[kind]}`);
  }
  checkRecoveries(state);
  checkCategories(state);
  checkKinds(state);
  checkReservations(state);
  checkRoom(state);
  checkRunning(state);
  for (const taskClass of state.classes.values()) {
    let ready = 0;
    for (const task of state.tasks.values()) {
      if (task.taskClass === taskClass && task.state.kind === "ready") ready += 1;
    }
    assert(taskClass.readyCount === ready, `Class ${taskClass.key} must count its ready tasks`);
    assert(state.busyClasses.has(taskClass) === ready > 0, `Class ${taskClass.key} must be busy`);
  }
}

/** Tries that run are counted, and libraries count those of their calls. */
function checkRunning({ workers, libraries, counters }: ManagerState): void {
  const running = new Map<object, number>();
  let started = 0;
  for (const { tries } of workers.values()) {
    for (const { isStarted, taskClass: { library } } of tries.values()) {
      if (isStarted) started += 1;
      if (isStarted && library !== undefined) running.set(library, (running.get(library) ?? 0) + 1);
    }
  }
  assert(counters.running === started, `${started} tries must be counted as running`);
  for (const library of libraries.values()) {
    const count = running.get(library) ?? 0;
    assert(library.calls.running === count, `${count} calls of "${library.spec.name}" must run`);
  }
}

function checkRoom({ workers, room }: ManagerState): void {
  const open = [...workers.values()].filter(isIndexed);
  const total = open.reduce((sum, { resources }) => sum + resources.cores, 0);
  const committed = open.reduce((sum, worker) => sum + worker.committed.cores, 0);
  const isRight = Math.abs(room.total.cores - total) < 1e-3 &&
    Math.abs(room.committed.cores - committed) < 1e-3;
  assert(room.workerCount === open.length && isRight, "The room of all workers must be their sum");
}

function checkCategories(state: ManagerState): void {
  const running = new Map<object, number>();
  const held = new Map<object, number>();
  for (const { tries } of state.workers.values()) {
    for (const { taskClass: { category, library }, allocation, awaits } of tries.values()) {
      running.set(category, (running.get(category) ?? 0) + 1);
      const spec = library?.spec;
      const slotCores = spec === undefined ? 0 : spec.resources.cores / spec.slots;
      const cores = slotCores + (allocation?.held.cores ?? 0);
      if (awaits === undefined) held.set(category, (held.get(category) ?? 0) + cores);
    }
  }
  for (const [name, category] of state.categories) {
    const count = running.get(category) ?? 0;
    assert(category.runningCount === count, `Category "${name}" must count ${count} tries`);
    running.delete(category);
    const { learning } = category;
    const cores = held.get(category) ?? 0;
    const isRight = Math.abs(category.heldCores - cores) < 1e-3;
    assert(isRight, `Category "${name}" must hold ${cores} cores, not ${category.heldCores}`);
    assert(
      learning === undefined || learning.newCount < Math.max(1, state.policies.categorySteadyTasks),
      `Category "${name}" must have learnt of what has ended`,
    );
    for (const taskClass of category.classes) {
      const { key } = taskClass;
      assert(state.classes.get(key) === taskClass, `Class ${key} of "${name}" must be known`);
    }
  }
  assert(running.size === 0, "The category of every try must be known");
  const uses = new Map<object, number>();
  const queued = new Map<object, number>();
  for (const { taskClass, state: { kind } } of state.tasks.values()) {
    if (kind === "waiting" || kind === "ready") {
      queued.set(taskClass, (queued.get(taskClass) ?? 0) + 1);
    }
    uses.set(taskClass, (uses.get(taskClass) ?? 0) + 1);
  }
  for (const [key, taskClass] of state.classes) {
    const count = uses.get(taskClass) ?? 0;
    assert(taskClass.useCount === count && count > 0, `Class ${key} must have ${count} tasks`);
    const queuedCount = queued.get(taskClass) ?? 0;
    assert(taskClass.queuedCount === queuedCount, `Class ${key} must queue ${queuedCount} tasks`);
    uses.delete(taskClass);
  }
  assert(uses.size === 0, "The class of every task must be known");
}

/** Kinds are those of the workers that are there and stay, and what they have most is known. */
function checkKinds({ workers, kinds, most, unlearnt, unplaceable, classes }: ManagerState): void {
  const counts = new Map<object, number>();
  let cores = 0;
  for (const { kind, isLeaving } of workers.values()) {
    if (isLeaving) continue;
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
    cores = Math.max(cores, kind.resources.cores);
  }
  for (const [key, kind] of kinds) {
    const count = counts.get(kind) ?? 0;
    assert(kind.workerCount === count && count > 0, `There must be ${count} workers of ${key}`);
  }
  assert(kinds.size === counts.size, `There must be ${counts.size} kinds of workers`);
  assert(most.cores === cores, `The most cores of a worker must be ${cores}, not ${most.cores}`);
  assert(unlearnt.size === 0, "Nothing must be left to be learnt after a step");
  for (const taskClass of unplaceable.classes.keys()) {
    const isKnown = classes.get(taskClass.key) === taskClass;
    assert(isKnown, `Class ${taskClass.key} must be known to be unplaceable`);
  }
}

/** What a worker is kept for waits, and the worker takes tasks. */
function checkReservations({ reservations, workers, busyClasses }: ManagerState): void {
  for (const [taskClass, worker] of reservations) {
    const { workerId } = worker;
    assert(worker.reservedFor === taskClass, `${workerId} must be kept for whom it is`);
    assert(busyClasses.has(taskClass), `${workerId} must be kept for a class with ready tasks`);
    assert(workers.get(workerId) === worker && isIndexed(worker), `${workerId} must be open`);
  }
  for (const { workerId, reservedFor } of workers.values()) {
    const isKnown = reservedFor === undefined || reservations.has(reservedFor);
    assert(isKnown, `${workerId} must be kept for no one who does not know`);
  }
}

function checkRecoveries({ tasks, counters, lost, files }: ManagerState): void {
  const counts = { waiting: 0, running: 0 };
  for (const { isSettled, state } of tasks.values()) {
    if (!isSettled || state.kind === "done") continue;
    counts[state.kind === "waiting" || state.kind === "ready" ? "waiting" : "running"] += 1;
  }
  const { recoveriesWaiting, recoveriesRunning } = counters;
  assert(recoveriesWaiting === counts.waiting, `${counts.waiting} recoveries must wait`);
  assert(recoveriesRunning === counts.running, `${counts.running} recoveries must run`);
  for (const file of lost) {
    const { fileId, isAvailable, failure, generation } = file;
    const isLost = !isAvailable && failure === undefined && generation > 0;
    assert(files.get(fileId) === file && isLost, `File ${fileId} must be lost`);
  }
}

function checkTask(state: ManagerState, task: TaskRecord): void {
  const { taskId } = task.definition;
  checkValue(state, task);
  let missing = 0;
  for (const file of inputFiles(state, task)) {
    if (!file.isAvailable) missing += 1;
    const isHopeless = file.failure !== undefined && task.state.kind === "waiting";
    assert(!isHopeless, `Task ${taskId} must not wait for file ${file.fileId}, which failed`);
    const isConsumer = file.consumers.has(task);
    const isDone = task.state.kind === "done";
    assert(isConsumer !== isDone, `Task ${taskId} must consume its inputs until it is done`);
  }
  switch (task.state.kind) {
    case "waiting":
      assert(
        task.state.missing > 0 || task.hold !== undefined,
        `Waiting task ${taskId} must miss something, or be held`,
      );
      assert(task.state.missing === missing, `Task ${taskId} must count its missing inputs`);
      return;
    case "ready":
      assert(missing === 0, `Ready task ${taskId} must miss nothing`);
      assert(task.hold === undefined, `Ready task ${taskId} must not be held`);
      assert(isIn(task.taskClass.ready, task), `Ready task ${taskId} must be queued`);
      return;
    case "dispatched": {
      const { attempt } = task.state;
      const { worker } = attempt;
      assert(state.workers.get(worker.workerId) === worker, `Task ${taskId} must be at a worker`);
      const isThere = [...worker.tries.values()].includes(attempt);
      assert(isThere && !attempt.isEnded, `Task ${taskId} must have a current try at its worker`);
      assert(attempt.try === task.tryCount, `Task ${taskId} must run its newest try`);
      if (!attempt.isStarted) checkStaging(state, task, attempt);
      return;
    }
    case "retrieving":
      assert(task.state.pending.size > 0, `Task ${taskId} must wait for something`);
      for (const deliveryId of task.state.pending) {
        assert(state.deliveries.has(deliveryId), `Task ${taskId} must have delivery ${deliveryId}`);
      }
      return;
    case "done":
      assert(task.isSettled && task.state.isSuccess, `Task ${taskId} must be kept as lineage only`);
      return;
  }
}

/** The file that the value of a call became is of that call, as long as it can be made again. */
function checkValue(state: ManagerState, task: TaskRecord): void {
  const { taskId } = task.definition;
  const file = state.files.get(valueFileId(taskId));
  if (file === undefined) return;
  assert(task.hasValue, `Task ${taskId} must know that its value is a file`);
  assert(file.producer === task, `The value of task ${taskId} must be made by it`);
  const isTemp = file.origin.kind === "temp" && file.bound?.name === valuePrefix(state) + taskId;
  assert(isTemp, `The value of task ${taskId} must be a temp of its name`);
}

/** What a try waits for at its worker is there or comes. */
function checkStaging(state: ManagerState, task: TaskRecord, attempt: TryRecord): void {
  const { worker, awaits } = attempt;
  if (awaits !== undefined) {
    const isAwaited = !awaits.isEnded && awaits.worker === worker && awaits.follower === attempt &&
      [...worker.tries.values()].includes(awaits);
    assert(isAwaited, `Task ${task.definition.taskId} must await a try at its worker`);
  }
  for (const file of inputFiles(state, task)) {
    if (isMadeFor(attempt, file)) continue;
    const replica = file.replicas.get(worker);
    const isComing = replica?.state === "ready" || replica?.transfer !== undefined;
    assert(isComing, `File ${file.fileId} must come to ${worker.workerId} for a try there`);
  }
}

function checkWorker(state: ManagerState, worker: WorkerRecord): void {
  const { workerId } = worker;
  let cores = 0;
  let memoryBytes = 0;
  let ahead = 1;
  const callCounts = new Map<object, number>();
  for (const attempt of worker.tries.values()) {
    const { taskClass } = attempt;
    const { library } = taskClass;
    if (attempt.awaits !== undefined) continue;
    cores += attempt.allocation?.held.cores ?? 0;
    memoryBytes += attempt.allocation?.held.memoryBytes ?? 0;
    ahead = Math.max(ahead, aheadFactor(state, taskClass));
    if (library === undefined) continue;
    const { ownAllocation } = taskClass;
    assert(attempt.allocation === ownAllocation, `${workerId} must hold what a call states`);
    callCounts.set(library, (callCounts.get(library) ?? 0) + 1);
  }
  for (const instance of worker.instances.values()) {
    cores += instance.library.spec.resources.cores;
    memoryBytes += instance.library.spec.resources.memoryBytes;
    ahead = Math.max(ahead, state.policies.dispatchAhead);
  }
  assert(
    Math.abs(worker.committed.cores - cores) < 1e-3,
    `${workerId} must hold ${cores} cores, not ${worker.committed.cores}`,
  );
  const isMemoryRight = Math.abs(worker.committed.memoryBytes - memoryBytes) < 1;
  assert(isMemoryRight, `${workerId} must hold ${memoryBytes} bytes of memory`);
  const most = worker.resources.cores * Math.max(ahead, state.policies.dispatchAhead);
  // Means of durations change: what was allowed when it was dispatched may be more than now.
  if (state.policies.dispatchAheadMs === 0) {
    assert(cores <= most + 1e-3, `${workerId} is given too much`);
  }
  for (const [library, service] of worker.services) {
    const count = callCounts.get(library) ?? 0;
    assert(service.callCount === count, `${workerId} must count its calls of a library`);
  }
  let comingBytes = 0;
  for (const [name, replica] of worker.replicas) {
    comingBytes += replica.comingBytes;
    const isPending = replica.state === "pending";
    assert(isPending || replica.comingBytes === 0, `${name} must not come to ${workerId}`);
    const file = state.filesByName.get(name);
    if (replica.state === "deleting" || file === undefined) continue;
    assert(file.replicas.get(worker) === replica, `${name} must be held by ${workerId} both ways`);
  }
  assert(worker.comingBytes === comingBytes, `${workerId} must be given ${comingBytes} bytes`);
  assert(isIndexed(worker.disk) === !worker.isLeaving, `${workerId} must be among the disks`);
  assert(
    worker.owed.length === 0 || worker.link.kind === "open" && worker.paysAtMs !== undefined,
    `${workerId} must be told of results in time`,
  );
  assert(!worker.isCrowded || worker.tries.size > 0, `${workerId} must be crowded by something`);
  assert(worker.blamed.size <= BLAMED_MAX, `${workerId} must blame no more sources`);
  assert(isIndexed(worker) === isOpen(worker), `${workerId} must be in the index while it is open`);
}

/** Workers that are about to go are in the tables that say so, and nobody else is. */
function checkDepartures(state: ManagerState): void {
  const { workers, ending, outOfTime, shortOfTime } = state;
  for (const worker of [...ending, ...outOfTime, ...shortOfTime]) {
    const isKnown = workers.get(worker.workerId) === worker;
    assert(isKnown, `${worker.workerId} must be known to be about to go`);
  }
  for (const worker of workers.values()) {
    const { workerId, isEnding, isLeaving, bar } = worker;
    assert(isEnding === ending.has(worker), `${workerId} must be known to end`);
    if (isLeaving) continue;
    assert((bar === "time") === outOfTime.has(worker), `${workerId} must be out of time`);
    assert(bar !== "draining" || isEnding, `${workerId} must be let go when it is idle`);
  }
}

function checkFile(state: ManagerState, file: FileRecord): void {
  const { fileId } = file;
  let ready = 0;
  for (const [worker, replica] of file.replicas) {
    assert(
      state.workers.get(worker.workerId) === worker,
      `File ${fileId} must be at known workers`,
    );
    assert(worker.replicas.get(replica.name) === replica, `File ${fileId} must be at its holder`);
    assert(replica.state !== "deleting", `File ${fileId} must not count on what is deleted`);
    if (replica.state === "ready") ready += 1;
    const isComing = replica.state === "ready" || replica.transfer !== undefined;
    assert(isComing, `A pending copy of file ${fileId} must have a transfer`);
  }
  assert(!file.isDue || !file.isAvailable, `File ${fileId} must not be due while it is there`);
  assert(file.readyCount === ready, `File ${fileId} must count ${ready}, not ${file.readyCount}`);
  const { maker, firstHandCount } = file;
  if (maker !== undefined) {
    const isMaking = state.transfers.get(maker.transferId) === maker && maker.file === file;
    assert(isMaking && maker.source?.kind === "recipe", `File ${fileId} must be made by its maker`);
  }
  assert(firstHandCount >= 0, `File ${fileId} must not be sent first hand ${firstHandCount} times`);
  for (const task of file.consumers) {
    const known = state.tasks.get(task.definition.taskId);
    assert(known === task && task.state.kind !== "done", `File ${fileId} must be consumed`);
  }
  const isLost = !file.isAvailable && file.failure === undefined && file.consumers.size > 0;
  if (!isLost || file.generation === 0) return;
  const isBeingMade = file.producer !== undefined && file.producer.state.kind !== "done";
  assert(isBeingMade, `Lost file ${fileId} must be made again`);
}

function checkTransfers(state: ManagerState): void {
  const { policies } = state;
  for (const [transferId, transfer] of state.transfers) {
    assert(transfer.transferId === transferId, `Transfer ${transferId} must know its number`);
    const { worker, source, file } = transfer;
    assert(
      state.workers.get(worker.workerId) === worker,
      `Transfer ${transferId} must have a goal`,
    );
    const isStranded = state.stranded.get(file)?.has(transfer) === true;
    const isQueued = file.queued.has(transfer);
    const states = [source !== undefined, isQueued, transfer.isBackingOff, isStranded];
    const count = states.filter((is) => is).length;
    assert(count === 1, `Transfer ${transferId} must be in one place`);
    if (isQueued) {
      const sources = [state.managerSource, ...state.urlSources.values()];
      for (const holder of file.replicas.keys()) sources.push(holder.source);
      const isWanted = sources.some(({ wanted }) => wanted.has(file)) || file.maker !== undefined;
      assert(isWanted, `Transfer ${transferId} must wait for a source`);
    }
    if (source?.source === undefined) continue;
    assert(source.source.active.has(transfer), `Transfer ${transferId} must hold a slot`);
    const isTimed = transfer.lateAtMs === Infinity || source.source.wakeAtMs >= state.nowMs;
    assert(isTimed, `Transfer ${transferId} must be looked at when it is late`);
  }
  for (const worker of state.workers.values()) {
    const { size } = worker.source.active;
    assert(size <= policies.transfersPerWorker, `${worker.workerId} serves ${size} at a time`);
    for (const transfer of worker.source.active) {
      const isKnown = state.transfers.get(transfer.transferId) === transfer;
      assert(isKnown, `${worker.workerId} must serve transfers under way`);
    }
  }
}

/** Who waits for a file to come here has it coming; the copies that are here are counted. */
function checkSpool(state: ManagerState): void {
  for (const [file, stranded] of state.stranded) {
    const { fileId } = file;
    assert(stranded.size > 0, `File ${fileId} must be waited for at the manager`);
    let isComing = false;
    for (const delivery of state.deliveries.values()) isComing ||= delivery.file === file;
    assert(isComing, `File ${fileId} must be on its way to the manager`);
    for (const { transferId } of stranded) {
      assert(state.transfers.has(transferId), `Transfer ${transferId} must be under way`);
    }
  }
  let bytes = 0;
  for (const [file, { sizeBytes }] of state.spooled) {
    bytes += sizeBytes;
    const isKnown = state.files.get(file.fileId) === file;
    assert(isKnown, `The copy of file ${file.fileId} must be of a file that is known`);
  }
  assert(bytes === state.spooledBytes, `Copies have ${bytes} bytes, not ${state.spooledBytes}`);
}

/** Files with too few copies stand in the queue; copies that nothing waits for are in nobody's way. */
function checkUpkeep(state: ManagerState): void {
  const { scarce, reviews, rest, receivers } = state.upkeep;
  for (const [fileId, file] of state.files) {
    if (state.isClosed || fileId !== file.fileId) continue;
    const { scarceAt } = file;
    if (scarceAt >= 0) assert(scarce[scarceAt]?.has(file), `File ${fileId} must be in the queue`);
    if (reviews.has(file) || rest !== undefined) continue;
    const at = placeInQueue(state, file);
    assert(scarceAt === at, `File ${fileId} must be in the queue at ${at}, not ${scarceAt}`);
    const isKept = file.replicas.size === 0 || !isSpent(state, file) ||
      whyKept(state, file) !== undefined;
    assert(isKept, `File ${fileId} must be pruned`);
  }
  for (const [copies, files] of scarce.entries()) {
    for (const file of files) {
      const isKnown = state.files.get(file.fileId) === file && file.scarceAt === copies;
      assert(isKnown, `File ${file.fileId} must know its place in the queue`);
    }
  }
  for (const worker of receivers) {
    const isKnown = state.workers.get(worker.workerId) === worker && !worker.isLeaving;
    assert(isKnown && worker.link.kind === "open", `${worker.workerId} must be able to receive`);
  }
  for (const worker of state.workers.values()) {
    const { workerId, arriving, source } = worker;
    assert(arriving.size <= ARRIVING_MAX, `${workerId} must not be given too many copies`);
    for (const transfer of arriving) {
      assert(transfer.isBackground && transfer.worker === worker, `${workerId} must be given it`);
      assert(state.transfers.has(transfer.transferId), `${workerId} must be given what comes`);
      const isWaited = hasUnstartedConsumer(worker, transfer.file);
      assert(!isWaited, `${workerId} must wait for no copy that yields to others`);
    }
    for (const transfer of source.background) {
      const isOf = source.active.has(transfer) && transfer.isBackground;
      assert(isOf, `${workerId} must serve a copy among others`);
    }
    if (source.background.size > 0) checkWay(state, worker);
  }
}

/** What moves to an emptier disk is a temp, from a worker that is there. */
function checkShifts({ upkeep: { shifts }, workers }: ManagerState): void {
  assert(shifts.size <= SHIFTS_MAX, `${shifts.size} files must not move at a time`);
  for (const [from, { file, to }] of shifts) {
    assert(workers.get(from.workerId) === from, `${from.workerId} must be there to be emptied`);
    assert(file.origin.kind === "temp" && from !== to, `File ${file.fileId} must be free to move`);
  }
}

/** No transfer that something waits for could have the slot of a copy of `holder`. */
function checkWay(state: ManagerState, holder: WorkerRecord): void {
  for (const { queued, replicas } of holder.source.wanted) {
    const held = replicas.get(holder);
    if (held?.state !== "ready" || held.isSuspect || holder.link.kind !== "open") continue;
    for (const transfer of queued) {
      const { worker, failed, transferId } = transfer;
      const isPossible = worker !== holder && !failed.has(holder.source) &&
        !worker.reach.unreached.has(holder) && lacksSlot(state, transfer, holder.source);
      assert(!isPossible, `Transfer ${transferId} must not wait for a copy of ${holder.workerId}`);
    }
  }
}

/** What is known of who cannot reach whom is the same at both ends, and of those who are here. */
function checkReach(state: ManagerState, worker: WorkerRecord): void {
  const { workerId, reach } = worker;
  for (const holder of reach.unreached.keys()) {
    const isHere = state.workers.get(holder.workerId) === holder;
    assert(isHere, `${workerId} must not remember a worker that is gone`);
    assert(holder.reach.unreachedBy.has(worker), `${workerId} must be known at whom it misses`);
  }
  for (const other of reach.unreachedBy) {
    assert(other.reach.unreached.has(worker), `${workerId} must be missed by ${other.workerId}`);
  }
}

/** Url hosts serve and take no more than they may, and a file that peers share is fetched once. */
function checkUrls(state: ManagerState): void {
  for (const [host, source] of state.urlSources) {
    const { active, stores, storeQueue, wanted, background } = source;
    const size = active.size + stores.size;
    assert(size <= state.policies.transfersPerUrl, `Host ${host} must not have ${size} transfers`);
    const isBusy = size + storeQueue.size + wanted.size > 0 || isAside(state, source);
    assert(isBusy || source.wakeAtMs > 0, `Host ${host} must have something to do`);
    assert(storeQueue.size === 0 || !hasSlot(state, source), `Host ${host} must take what waits`);
    for (const copy of background) assert(active.has(copy), `Host ${host} must serve its copies`);
    const fetched = new Set<FileRecord>();
    for (const { file } of active) {
      assert(isAtUrl(file), `File ${file.fileId} must be fetched from where it is`);
      const isOnce = !fetched.has(file) || !mayUsePeers(state, file);
      assert(isOnce, `File ${file.fileId} must be fetched from its url once`);
      fetched.add(file);
    }
    for (const { deliveryId } of [...stores, ...storeQueue]) {
      assert(state.deliveries.has(deliveryId), `Delivery ${deliveryId} must be known`);
    }
  }
}

/** What goes to a url holds a slot of its host, or waits for one. */
function checkStore(state: ManagerState, delivery: DeliveryRecord): void {
  const { deliveryId, transferId, file: { origin }, task, worker } = delivery;
  const source = origin.kind === "url" ? state.urlSources.get(origin.host) : undefined;
  const isStored = source?.stores.has(delivery) === true;
  const isQueued = source?.storeQueue.has(delivery) === true;
  assert(isStored !== isQueued, `Delivery ${deliveryId} must be in one place`);
  assert(isStored === (transferId !== undefined), `Delivery ${deliveryId} must be ordered`);
  assert(task !== undefined, `Delivery ${deliveryId} must be an output`);
  assert(worker?.deliveries.has(delivery), `Delivery ${deliveryId} must be known of its worker`);
}

function isIn<T>({ run, early }: OrderedQueue<T>, item: T): boolean {
  return run.includes(item) || early.items.includes(item);
}

function checkDeliveries(state: ManagerState): void {
  let collecting = 0;
  for (const delivery of state.deliveries.values()) {
    if (delivery.goal === "url") checkStore(state, delivery);
    else if (delivery.transferId !== undefined) collecting += 1;
    if (delivery.task === undefined) continue;
    const isPending = delivery.task.state.kind === "retrieving" &&
      delivery.task.state.pending.has(delivery.deliveryId);
    assert(isPending, `Delivery ${delivery.deliveryId} must be waited for by its task`);
  }
  assert(collecting === state.collectingCount, `${collecting} deliveries must hold slots`);
  assert(
    collecting <= state.policies.transfersToManager,
    `${collecting} deliveries at a time are too many`,
  );
}
