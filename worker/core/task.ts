/** Tries: from the dispatch to the result that the manager acknowledges. */

import { filterHeap, peekHeap, popHeap, pushHeap } from "../../shared/heap.ts";
import type { CacheName } from "../../shared/ids.ts";
import {
  countOrdered,
  newOrderedQueue,
  type OrderedQueue,
  popOrdered,
  pushOrdered,
} from "../../shared/ordered_queue.ts";
import type { DispatchedTask, ManagerMessage } from "../../shared/protocol.ts";
import {
  heldResources,
  madeFiles,
  type Outcome,
  type TaskShape,
  type TryId,
  type TryResult,
  withoutFiles,
} from "../../shared/task.ts";
import {
  addFile,
  ANY_GENERATION,
  awaitFiles,
  forgetWaiter,
  type Need,
  removeFile,
} from "./cache.ts";
import { endOwnCall, freeInstance, hasOwnRoom, isSlotAwaited } from "./call_room.ts";
import { NO_DEVICES } from "./device.ts";
import { askForRoom, touchFile, tryDiskBytes } from "./disk.ts";
import type { CallEnd } from "./event.ts";
import { takeFromInstance } from "./instance_use.ts";
import { passRetiring } from "./library.ts";
import { releaseMemory } from "./memory.ts";
import { heldBytes } from "./overflow.ts";
import { awaitRoom, freeRoom } from "./room.ts";
import { noteStart } from "./start.ts";
import {
  type CacheRecord,
  type InstanceRecord,
  tell,
  tryKey,
  type TryRecord,
  type WorkerState,
} from "./state.ts";

const NO_BYTES = new Uint8Array(0);

/** Timeouts of ended tries that may stay, so that the heap is seldom made anew. */
const STALE_DEADLINES_KEPT = 1_000;

/** Calls of this duration together may wait inside an instance, behind each of its slots. */
const CALLS_AHEAD_MS = 5;

/** Calls in an instance at most, for each of its slots. */
export const CALLS_PER_SLOT_MAX = 256;

/** Weight of the newest call in the moving mean of durations. */
const MEAN_WEIGHT = 0.1;

/** Takes the tries of a dispatch. */
export function takeTasks(
  state: WorkerState,
  message: Extract<ManagerMessage, { kind: "dispatch" }>,
): void {
  for (const task of message.tasks) {
    const shape = message.shapes[task.shape];
    if (shape !== undefined) takeTask(state, task, shape);
  }
}

/** Queues a try whose inputs are all here: a call for a slot, a command for room, or for both. */
export function enqueueTry(state: WorkerState, record: TryRecord): void {
  record.state = { kind: "queued" };
  const { library } = record.shape;
  if (library === undefined || hasOwnRoom(record.shape)) {
    const resources = heldResources(record.shape);
    return awaitRoom(state, record, library === undefined ? { resources } : { resources, library });
  }
  let queue = state.callQueues.get(library);
  if (queue === undefined) state.callQueues.set(library, queue = newOrderedQueue(comesFirst));
  pushOrdered(queue, record);
}

/** Starts a command whose room is held. */
export function startCommand(state: WorkerState, record: TryRecord): void {
  const stagedMs = startRunning(state, record);
  for (const { name } of record.task.inputs) {
    let readers = state.readers.get(name);
    if (readers === undefined) state.readers.set(name, readers = new Set());
    readers.add(record);
  }
  record.diskBytes = tryDiskBytes(state, record);
  state.disk.runningBytes += record.diskBytes;
  const { task, shape, devices } = record;
  state.instructions.push({ kind: "run_task", task, shape, devices, stagedMs });
}

/** Hands queued calls to free slots of ready instances: one instruction an instance. */
export function startCalls(state: WorkerState): void {
  if (state.leaving !== undefined) return;
  for (const [library, queue] of state.callQueues) {
    const instances = state.instancesByLibrary.get(library) ?? [];
    // Free slots of all come before what waits inside any.
    for (const isAhead of [false, true]) {
      if (isAhead && state.roomQueues.size > 0 && isSlotAwaited(state, library)) break;
      for (const instance of instances) {
        if (instance.state.kind === "ready") fillInstance(state, instance, { queue, isAhead });
      }
    }
    if (countOrdered(queue) === 0) state.callQueues.delete(library);
  }
}

/** Has the first call that comes before `other`, and states nothing, take a free slot. */
export function startFirstCall(state: WorkerState, { shape: { library = "" } }: TryRecord): void {
  const queue = state.callQueues.get(library);
  const record = queue && popOrdered(queue);
  if (record === undefined || record.isGone || record.state.kind !== "queued") return;
  const instance = freeInstance(state, library);
  if (instance !== undefined) giveCall(state, record, instance);
}

/** Gives one call to an instance. */
export function giveCall(state: WorkerState, record: TryRecord, instance: InstanceRecord): void {
  instance.running.add(record);
  startRunning(state, record, instance);
  const { task, shape } = record;
  const { instanceId } = instance;
  state.instructions.push({ kind: "call", instanceId, calls: [task], shapes: [shape] });
}

/** Gives a try back unless it has started, in which case its result will come. */
export function recallTry(state: WorkerState, id: TryId): void {
  const record = state.tries.get(tryKey(id));
  if (record === undefined || record.state.kind === "running") return;
  dropTry(state, record);
  tell(state, { kind: "recalled", taskId: id.taskId, try: id.try });
}

/** Gives a try back unasked: there is no room on the disk for what it needs beside others. */
export function giveBackTry(state: WorkerState, record: TryRecord): void {
  dropTry(state, record);
  const { taskId, try: number } = record.task;
  tell(state, { kind: "recalled", taskId, try: number, isCrowded: true });
}

/** Stops a try; one that has not started ends at once. */
export function killTry(state: WorkerState, id: TryId): void {
  const record = state.tries.get(tryKey(id));
  if (record === undefined) return;
  if (record.state.kind !== "running") return endWithoutStart(state, record, "cancelled");
  stopRunning(state, record, "cancelled");
}

/** A command's process ended. */
export function endTask(
  state: WorkerState,
  result: TryResult,
  modified: readonly CacheName[],
): void {
  const record = state.tries.get(tryKey(result));
  if (record === undefined) return;
  for (const { name } of record.task.inputs) {
    const readers = state.readers.get(name);
    readers?.delete(record);
    if (readers?.size === 0) state.readers.delete(name);
  }
  freeRoom(state, heldResources(record.shape), record.devices);
  state.disk.runningBytes -= heldBytes(record);
  releaseMemory(state, record);
  const isShared = loseModified(state, modified, record) || record.isTainted;
  if (isShared) deleteOutputs(state, result);
  endRunning(state, record, isShared ? markAmbiguous(result) : result);
}

/** Calls ended; their slots are free again. */
export function endCalls(
  state: WorkerState,
  ends: readonly CallEnd[],
  modified: readonly CacheName[] = [],
): void {
  for (const { taskId, try: number, result } of ends) {
    const record = state.tries.get(tryKey({ taskId, try: number }));
    if (record?.state.kind !== "running") continue;
    const { instance } = record.state;
    if (instance !== undefined) {
      instance.running.delete(record);
      takeFromInstance(state, instance, result);
      endOwnCall(state, record);
      passRetiring(state, instance);
    }
    if (record.shape.library !== undefined) {
      learnDuration(state, record.shape.library, result.times.ranMs);
    }
    const isShared = loseModified(state, modified, record) || record.isTainted;
    if (isShared) deleteOutputs(state, result);
    endRunning(state, record, isShared ? markAmbiguous(result) : result);
  }
}

/** Stops the tries whose time is up. */
export function expireTries(state: WorkerState): void {
  while (true) {
    const next = peekHeap(state.deadlines);
    if (next === undefined || (next.atMs > state.nowMs && !next.record.isGone)) return;
    popHeap(state.deadlines);
    const { record } = next;
    if (!record.isGone) stopRunning(state, record, "timeout");
  }
}

/** Ends a try that never started. */
export function endWithoutStart(
  state: WorkerState,
  record: TryRecord,
  outcome: Outcome,
  message = "",
): void {
  dropTry(state, record);
  const { taskId, try: number } = record.task;
  report(state, {
    taskId,
    try: number,
    outcome,
    message,
    stdout: NO_BYTES,
    stderr: NO_BYTES,
    outputs: [],
    times: { startedAtMs: 0, stagedMs: state.nowMs - record.receivedAtMs, ranMs: 0 },
  });
}

/** Asks the shell to stop a try that runs, once. */
export function stopRunning(
  state: WorkerState,
  record: TryRecord,
  reason: "cancelled" | "timeout",
): void {
  const isStopping = record.stopReason !== undefined;
  // One that is past its time may be called off as well: nobody wants what it has made.
  if (!isStopping || reason === "cancelled") record.stopReason = reason;
  if (isStopping) return;
  const { taskId, try: number } = record.task;
  if (record.state.kind === "running" && record.state.instance !== undefined) {
    const { instanceId } = record.state.instance;
    state.instructions.push({ kind: "stop_call", instanceId, taskId, try: number });
  } else {
    state.instructions.push({ kind: "stop_task", taskId, try: number, reason });
  }
}

function takeTask(state: WorkerState, task: DispatchedTask, shape: TaskShape): void {
  const key = tryKey(task);
  if (state.tries.has(key) || state.results.has(key)) return;
  const record: TryRecord = {
    kind: "try",
    key,
    task,
    shape,
    receivedAtMs: state.nowMs,
    order: state.orderCount++,
    state: { kind: "queued" },
    stopReason: undefined,
    stopMessage: "",
    isTainted: false,
    diskBytes: 0,
    writtenBytes: 0,
    memoryBytes: 0,
    devices: NO_DEVICES,
    isGone: false,
  };
  state.tries.set(key, record);
  if (state.leaving !== undefined) return;
  if (task.inputs.length > 0 || shape.environments.length > 0) {
    const missing = awaitFiles(state, record, needsOf(record));
    if (missing > 0) {
      record.state = { kind: "staging", missing };
      return;
    }
  }
  enqueueTry(state, record);
}

function needsOf(record: TryRecord): Need[] {
  const needs: Need[] = record.shape.environments.map((name) => {
    return { name, generation: ANY_GENERATION };
  });
  for (const { name, generation } of record.task.inputs) {
    if (!needs.some((need) => need.name === name)) needs.push({ name, generation });
  }
  return needs;
}

function startRunning(state: WorkerState, record: TryRecord, instance?: InstanceRecord): number {
  forgetNeeds(state, record);
  record.state = { kind: "running", ...(instance === undefined ? {} : { instance }) };
  noteStart(state, record);
  const { timeoutMs } = record.shape;
  // A call may wait inside its instance for the one before it: its time begins when it does.
  if (timeoutMs > 0 && instance === undefined) {
    addDeadline(state, { atMs: state.nowMs + timeoutMs, record });
  }
  return state.nowMs - record.receivedAtMs;
}

/** Entries of tries that have ended are dropped once they are most of the heap. */
function addDeadline(state: WorkerState, deadline: { atMs: number; record: TryRecord }): void {
  const { deadlines } = state;
  if (deadlines.items.length > STALE_DEADLINES_KEPT + 2 * state.tries.size) {
    filterHeap(deadlines, ({ record }) => !record.isGone);
  }
  pushHeap(deadlines, deadline);
}

function fillInstance(
  state: WorkerState,
  instance: InstanceRecord,
  { queue, isAhead }: { readonly queue: OrderedQueue<TryRecord>; readonly isAhead: boolean },
): void {
  const { name, slots } = instance.library;
  const calls: DispatchedTask[] = [];
  const shapes: TaskShape[] = [];
  const most = isAhead ? slots * callsPerSlot(state, name) : slots;
  while (instance.running.size < most) {
    const record = popOrdered(queue);
    if (record === undefined) break;
    if (record.isGone || record.state.kind !== "queued") continue;
    instance.running.add(record);
    startRunning(state, record, instance);
    calls.push(record.task);
    shapes.push(record.shape);
  }
  if (calls.length === 0) return;
  state.instructions.push({ kind: "call", instanceId: instance.instanceId, calls, shapes });
}

/** One, or more where a round trip to the core would take longer than the calls. */
function callsPerSlot(state: WorkerState, library: string): number {
  const meanMs = state.meanCallMs.get(library);
  if (meanMs === undefined) return 1;
  return Math.max(1, Math.min(CALLS_PER_SLOT_MAX, Math.floor(CALLS_AHEAD_MS / (meanMs + 0.001))));
}

function learnDuration(state: WorkerState, library: string, ranMs: number): void {
  const meanMs = state.meanCallMs.get(library) ?? ranMs;
  state.meanCallMs.set(library, meanMs + (ranMs - meanMs) * MEAN_WEIGHT);
}

function forgetNeeds(state: WorkerState, record: TryRecord): void {
  if (record.task.inputs.length === 0 && record.shape.environments.length === 0) return;
  forgetWaiter(state, record, needsOf(record));
}

function dropTry(state: WorkerState, record: TryRecord): void {
  forgetNeeds(state, record);
  record.isGone = true;
  // Queues drop an entry that is not queued any more.
  record.state = { kind: "staging", missing: 0 };
  state.tries.delete(record.key);
  state.disk.refused.clear();
}

function endRunning(state: WorkerState, record: TryRecord, result: TryResult): void {
  record.isGone = true;
  state.tries.delete(record.key);
  for (const { name } of record.task.inputs) touchFile(state, name);
  for (const name of record.shape.environments) touchFile(state, name);
  state.disk.refused.clear();
  const made = madeFiles(result);
  if (record.stopReason === "cancelled" && made.length > 0) {
    // It was done before it could be stopped; nobody wants what it made.
    deleteOutputs(state, result);
    return report(state, { ...withoutFiles(result), outcome: "cancelled" });
  }
  if (result.outcome === "disk_full") {
    const message = record.stopMessage === "" ? result.message : record.stopMessage;
    // The disk itself was full: what is idle in the cache is in the way of who comes next.
    if (record.stopReason === undefined) askForRoom(state, 1);
    return report(state, { ...result, message });
  }
  const { diskBytes } = state.identity.resources;
  const outputBytes = made.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  if (outputBytes > diskBytes) {
    deleteOutputs(state, result);
    if (result.outcome !== "success") return report(state, withoutFiles(result));
    const message = `Cannot keep outputs of ${outputBytes} bytes: this worker has ${diskBytes} ` +
      "bytes of disk in all";
    return report(state, { ...withoutFiles(result), outcome: "disk_full", message });
  }
  for (const { content: _content, ...facts } of made) {
    const mount = record.task.outputs.find((output) => output.name === facts.name);
    addFile(state, facts, { level: mount?.level ?? "workflow" });
  }
  report(state, result);
}

/** What a try has put into the cache goes: no table speaks of it. */
function deleteOutputs(state: WorkerState, result: TryResult): void {
  for (const { name, generation } of madeFiles(result)) {
    state.instructions.push({ kind: "delete_file", name, generation });
    const cached = state.cache.get(name);
    if (cached === undefined || cached.generation >= generation) continue;
    // It has taken the place of an earlier making.
    removeFile(state, name);
    tell(state, { kind: "replica_gone", name, generation: cached.generation });
  }
}

function report(state: WorkerState, result: TryResult): void {
  state.results.set(tryKey(result), result);
  tell(state, { kind: "result", result });
}

/** Drops replicas that were found modified. True when another try or recipe was reading one. */
export function loseModified(
  state: WorkerState,
  modified: readonly CacheName[],
  finder?: TryRecord,
): boolean {
  let isShared = false;
  for (const name of modified) {
    const { generation = 0, twin } = state.cache.get(name) ?? {};
    removeFile(state, name);
    tell(state, { kind: "replica_gone", name, generation });
    if (taintReaders(state, name, finder)) isShared = true;
    const other = twin && state.cache.get(twin);
    if (other !== undefined && dropDamaged(state, other, finder)) isShared = true;
  }
  return isShared;
}

/**
 * Lets go of a file whose bytes are not what they were, and of the one that has the same ones: what
 * was read of them does not count. True when others than `finder` have.
 */
export function dropDamaged(
  state: WorkerState,
  { name, generation, twin }: CacheRecord,
  finder?: TryRecord,
): boolean {
  removeFile(state, name);
  state.instructions.push({ kind: "delete_file", name, generation });
  tell(state, { kind: "replica_gone", name, generation });
  const isShared = taintReaders(state, name, finder);
  const other = twin && state.cache.get(twin);
  return other !== undefined && dropDamaged(state, other, finder) || isShared;
}

/** What others have read of the file, or made of it, is not to be believed; false if there are none. */
export function taintReaders(state: WorkerState, name: CacheName, finder?: TryRecord): boolean {
  let isShared = false;
  for (const reader of state.readers.get(name) ?? []) {
    reader.isTainted = true;
    isShared = true;
  }
  // Calls are not among the readers.
  for (const attempt of state.tries.values()) {
    if (attempt === finder || attempt.state.kind !== "running") continue;
    if (attempt.state.instance === undefined) continue;
    if (!attempt.task.inputs.some((input) => input.name === name)) continue;
    attempt.isTainted = true;
    isShared = true;
  }
  return isShared;
}

/** Who of those that shared the file wrote to it is not known: the try may be repeated. */
function markAmbiguous(result: TryResult): TryResult {
  const message = result.message ||
    "Cannot trust what this try read: an input was modified while it ran";
  return { ...withoutFiles(result), outcome: "input_modified", message, isAmbiguous: true };
}

function comesFirst(a: TryRecord, b: TryRecord): boolean {
  if (a.task.priority !== b.task.priority) return a.task.priority > b.task.priority;
  return a.order < b.order;
}
