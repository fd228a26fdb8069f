/**
 * The worker's memory: what nobody stated is a share of it, beyond which a try may go while there is
 * some left. When there is none, the try that is furthest above its allocation is stopped, and its
 * neighbours go on. Limits of a try's own are in limit.ts.
 *
 * @module
 */

import type { WorkerEvent } from "./event.ts";
import { tryKey, type TryRecord, type WorkerState } from "./state.ts";

/** Takes in what the processes of a try have in memory, and stops one when it is too much in all. */
export function measureMemory(
  state: WorkerState,
  event: Extract<WorkerEvent, { kind: "memory_measured" }>,
): void {
  const record = state.tries.get(tryKey(event));
  // It may have ended while it was looked at.
  if (record?.state.kind !== "running") return;
  state.memoryBytes += event.bytes - record.memoryBytes;
  record.memoryBytes = event.bytes;
  stopOverdrawn(state);
}

/** What an ended try had is free. */
export function releaseMemory(state: WorkerState, record: TryRecord): void {
  state.memoryBytes -= record.memoryBytes;
  record.memoryBytes = 0;
}

function stopOverdrawn(state: WorkerState): void {
  const { memoryBytes: capacity } = state.identity.resources;
  if (capacity === 0 || state.memoryBytes <= capacity) return;
  let worst: TryRecord | undefined;
  let most = 0;
  for (const record of state.tries.values()) {
    const overBytes = record.memoryBytes - record.shape.resources.memoryBytes;
    if (overBytes <= 0) continue;
    // Room comes of it.
    if (record.stopReason !== undefined) return;
    if (overBytes > most) [worst, most] = [record, overBytes];
  }
  if (worst === undefined) return;
  worst.stopReason = "resources_exhausted";
  const { memoryBytes: used, task: { taskId, try: number } } = worst;
  // At least what it was allocated, unless the others are above theirs as well.
  const limit = Math.max(0, capacity - (state.memoryBytes - used));
  state.instructions.push({
    kind: "stop_task",
    taskId,
    try: number,
    reason: "resources_exhausted",
    exceeded: { resource: "memory", limit, used },
  });
}
