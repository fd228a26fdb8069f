/**
 * Calls that state resources of their own wait for a slot and for room, and take both at once: one
 * that has the one never keeps it from others while it waits for the other. They stand among what
 * else waits for room, in the order of all of that; calls that state none only wait for a slot.
 *
 * @module
 */

import { peekOrdered } from "../../shared/ordered_queue.ts";
import { fitsWithin, type Resources } from "../../shared/resources.ts";
import { heldResources, type TaskShape } from "../../shared/task.ts";
import { tryDiskBytes } from "./disk.ts";
import { heldBytes } from "./overflow.ts";
import { comesFirst, dropStale, freeRoom } from "./room.ts";
import type { InstanceRecord, TryRecord, WorkerState } from "./state.ts";
import { giveCall } from "./task.ts";

/** True of a call that holds something of the worker beside its instance. */
export function hasOwnRoom({ library, resources }: TaskShape): boolean {
  if (library === undefined) return false;
  const { cores, memoryBytes, diskBytes, custom } = resources;
  return cores > 0 || memoryBytes > 0 || diskBytes > 0 || custom !== undefined;
}

/** The ready instance of the library that has most free slots, if any has one. */
export function freeInstance(state: WorkerState, library: string): InstanceRecord | undefined {
  let freest: InstanceRecord | undefined;
  let most = 0;
  for (const instance of state.instancesByLibrary.get(library) ?? []) {
    if (instance.state.kind !== "ready") continue;
    const freeCount = instance.library.slots - instance.running.size;
    if (freeCount > most) [freest, most] = [instance, freeCount];
  }
  return freest;
}

/** Starts a call whose room is held, where `freeInstance` finds a slot. */
export function startOwnCall(state: WorkerState, record: TryRecord): void {
  const instance = record.shape.library && freeInstance(state, record.shape.library);
  if (!instance) throw new Error(`Call ${record.key} must have a slot`);
  record.diskBytes = tryDiskBytes(state, record);
  state.disk.runningBytes += record.diskBytes;
  giveCall(state, record, instance);
}

/** What a call held beside its instance is free. */
export function endOwnCall(state: WorkerState, record: TryRecord): void {
  if (!hasOwnRoom(record.shape)) return;
  freeRoom(state, heldResources(record.shape), record.devices);
  state.disk.runningBytes -= heldBytes(record);
}

/** The first call of the library that states nothing and comes before `record`, if one waits. */
export function plainBefore(state: WorkerState, record: TryRecord): TryRecord | undefined {
  const queue = state.callQueues.get(record.shape.library ?? "");
  const head = queue && peekOrdered(queue);
  return head !== undefined && comesFirst(head, record) ? head : undefined;
}

/**
 * True when a call with room for what it states waits for the next slot of the library: no other
 * call may wait inside its instances then, where each slot would be taken before it is free.
 */
export function isSlotAwaited(state: WorkerState, library: string): boolean {
  for (const queue of state.roomQueues.values()) {
    if (queue.library !== library) continue;
    const head = dropStale(queue);
    if (head?.kind !== "try" || plainBefore(state, head) !== undefined) continue;
    if (fitsNow(state, queue.resources)) return true;
  }
  return false;
}

function fitsNow({ used, identity }: WorkerState, more: Resources): boolean {
  return fitsWithin(identity.resources, { used, more, factor: 1 });
}
