/** What waits for room, and what of it starts: the worker never runs more than it has. */

import { newHeap, peekHeap, popHeap, pushHeap } from "../../shared/heap.ts";
import {
  addResources,
  fitsWithin,
  type Resources,
  subtractResources,
} from "../../shared/resources.ts";
import { freeInstance, plainBefore, startOwnCall } from "./call_room.ts";
import { type HeldDevices, returnDevices, takeDevices } from "./device.ts";
import { fitsOnDisk, tryDiskBytes } from "./disk.ts";
import { startInstance } from "./library.ts";
import { startMakes } from "./make.ts";
import type { InstanceRecord, RoomQueue, TryRecord, WorkerState } from "./state.ts";
import { startCalls, startCommand, startFirstCall } from "./task.ts";

/** Queues a try or an instance whose inputs are all here; a call for a slot of `library` as well. */
export function awaitRoom(
  state: WorkerState,
  item: TryRecord | InstanceRecord,
  { resources, library }: { readonly resources: Resources; readonly library?: string },
): void {
  const key = library === undefined
    ? roomKey(resources)
    : JSON.stringify([roomKey(resources), library]);
  let queue = state.roomQueues.get(key);
  if (queue === undefined) {
    queue = { resources, library, waiting: newHeap(comesFirst) };
    state.roomQueues.set(key, queue);
  }
  pushHeap(queue.waiting, item);
}

/** Starts what fits, best first, after what makes files; then hands calls to free slots. */
export function startWhatFits(state: WorkerState): void {
  state.disk.blockedTry = undefined;
  if (state.leaving === undefined && !startMakes(state)) {
    while (true) {
      const queue = bestQueueThatFits(state);
      if (queue === undefined) break;
      start(state, queue);
    }
  }
  startCalls(state);
}

function start(state: WorkerState, queue: RoomQueue): void {
  const item = peekHeap(queue.waiting) as TryRecord | InstanceRecord;
  // The slot that is free is that of another call of the library, if one comes first.
  if (item.kind === "try" && plainBefore(state, item) !== undefined) {
    return startFirstCall(state, item);
  }
  popHeap(queue.waiting);
  item.devices = holdRoom(state, queue.resources);
  if (item.kind === "instance") startInstance(state, item);
  else if (queue.library === undefined) startCommand(state, item);
  else startOwnCall(state, item);
}

/** Takes `resources` of the worker's room, and says which devices that are. */
export function holdRoom(state: WorkerState, resources: Resources): HeldDevices {
  state.used = addResources(state.used, resources);
  return takeDevices(state.devices, resources);
}

/** Gives `resources` back, and the devices that were taken for them. */
export function freeRoom(state: WorkerState, resources: Resources, devices: HeldDevices): void {
  state.used = subtractResources(state.used, resources);
  returnDevices(state.devices, devices, resources);
}

/** Alike for alike requests. */
function roomKey({ cores, memoryBytes, diskBytes, gpus, custom }: Resources): string {
  const key = `${cores}/${memoryBytes}/${diskBytes}/${gpus}`;
  if (custom === undefined) return key;
  const amounts = Object.entries(custom).toSorted(([a], [b]) => a < b ? -1 : 1);
  return `${key}/${JSON.stringify(amounts)}`;
}

/** The queue whose head comes first among those that fit. As many queues as kinds of request. */
function bestQueueThatFits(state: WorkerState): RoomQueue | undefined {
  let best: RoomQueue | undefined;
  for (const [key, queue] of state.roomQueues) {
    const head = dropStale(queue);
    if (head === undefined) {
      state.roomQueues.delete(key);
      continue;
    }
    const bestHead = best && peekHeap(best.waiting);
    if (bestHead !== undefined && !comesFirst(head, bestHead)) continue;
    const room = { used: state.used, more: queue.resources, factor: 1 };
    if (!fitsWithin(state.identity.resources, room)) continue;
    if (queue.library !== undefined && !freeInstance(state, queue.library)) continue;
    if (head.kind === "try" && !fitsOnDisk(state, tryDiskBytes(state, head))) {
      state.disk.blockedTry ??= head;
      continue;
    }
    best = queue;
  }
  return best;
}

/** The first that still waits. */
export function dropStale(queue: RoomQueue): TryRecord | InstanceRecord | undefined {
  while (true) {
    const head = peekHeap(queue.waiting);
    if (head === undefined || head.state.kind === "queued") return head;
    popHeap(queue.waiting);
  }
}

/** True when `a` starts before `b` where both could. */
export function comesFirst(a: TryRecord | InstanceRecord, b: TryRecord | InstanceRecord): boolean {
  const priorityA = a.kind === "try" ? a.task.priority : 0;
  const priorityB = b.kind === "try" ? b.task.priority : 0;
  return priorityA !== priorityB ? priorityA > priorityB : a.order < b.order;
}
