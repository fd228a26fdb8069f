/**
 * The worker's memory: what nobody stated is a share of it, beyond which a try or an instance of a
 * library may go while there is some left. When there is none, the one that is furthest above its
 * allocation is stopped, and its neighbours go on. Limits of one's own are in limit.ts.
 *
 * @module
 */

import type { Exceeded } from "../../shared/task.ts";
import type { WorkerEvent } from "./event.ts";
import { exhaustionOf, failInstance, memoryShare, statedByCalls } from "./instance_use.ts";
import {
  type InstanceRecord,
  isStopping,
  runningTry,
  type TryRecord,
  type WorkerState,
} from "./state.ts";

/** Takes in what the processes of a try have in memory, and stops one when it is too much in all. */
export function measureMemory(
  state: WorkerState,
  event: Extract<WorkerEvent, { kind: "memory_measured" }>,
): void {
  const record = runningTry(state, event);
  if (record === undefined) return;
  state.memoryBytes += event.bytes - record.memoryBytes;
  record.memoryBytes = event.bytes;
  stopOverdrawn(state);
}

/** What an ended try had is free. */
export function releaseMemory(state: WorkerState, record: TryRecord): void {
  state.memoryBytes -= record.memoryBytes;
  record.memoryBytes = 0;
}

/** Stops the one that is furthest above its share, if all have more than there is. */
export function stopOverdrawn(state: WorkerState): void {
  const { resources } = state.identity;
  const { memoryBytes: capacity } = resources;
  if (capacity === 0 || state.memoryBytes <= capacity) return;
  let worst: TryRecord | InstanceRecord | undefined;
  let most = 0;
  for (const record of [...state.tries.values(), ...state.instances.values()]) {
    const share = record.kind === "try"
      ? record.shape.resources.memoryBytes
      : memoryShare(resources, record.library.resources) + statedByCalls(record, "memoryBytes");
    const overBytes = record.memoryBytes - share;
    if (overBytes <= 0) continue;
    // Room comes of it.
    if (isStopping(record)) return;
    if (overBytes > most) [worst, most] = [record, overBytes];
  }
  if (worst === undefined) return;
  const { memoryBytes: used } = worst;
  // At least what it was allocated, unless the others are above theirs as well.
  const limit = Math.max(0, capacity - (state.memoryBytes - used));
  stop(state, worst, { resource: "memory", limit, used });
}

function stop(
  state: WorkerState,
  record: TryRecord | InstanceRecord,
  exceeded: Exceeded,
): void {
  if (record.kind === "instance") {
    const { name } = record.library;
    return failInstance(state, record, exhaustionOf(name, exceeded, { isShare: true }));
  }
  record.stopReason = "resources_exhausted";
  const { taskId, try: number } = record.task;
  const reason = "resources_exhausted";
  state.instructions.push({ kind: "stop_task", taskId, try: number, reason, exceeded });
}
