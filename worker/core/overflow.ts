/**
 * What running commands write beyond what they have reserved. It counts as soon as it is seen;
 * when the disk is over its limit by it, and nothing idle can go, the try that has grown most is
 * stopped, and its neighbours go on.
 *
 * @module
 */

import { formatSize } from "../../shared/units.ts";
import type { WorkerEvent } from "./event.ts";
import { freeDiskBytes } from "./disk.ts";
import { tryKey, type TryRecord, type WorkerState } from "./state.ts";

/**
 * How long the disk may be over its limit while the manager is asked what may go: there may be
 * none to ask, and what it keeps for now is asked for again with all that happens.
 */
const OVER_MS_MAX = 3_000;

/** What a running try holds of the disk. */
export function heldBytes({ diskBytes, writtenBytes }: TryRecord): number {
  return Math.max(diskBytes, writtenBytes);
}

/** Takes in what was found in a sandbox. */
export function measureTry(
  state: WorkerState,
  event: Extract<WorkerEvent, { kind: "sandbox_measured" }>,
): void {
  const record = state.tries.get(tryKey(event));
  // It may have ended while it was looked at.
  if (record?.state.kind !== "running") return;
  state.disk.runningBytes -= heldBytes(record);
  record.writtenBytes = event.bytes;
  state.disk.runningBytes += heldBytes(record);
}

/** Notes since when the disk is over its limit; true once nobody is asked any more. */
export function isOverForLong(state: WorkerState): boolean {
  const { disk, nowMs } = state;
  if (freeDiskBytes(state) >= 0) {
    disk.overSinceMs = undefined;
    return false;
  }
  disk.overSinceMs ??= nowMs;
  return nowMs - disk.overSinceMs >= OVER_MS_MAX;
}

/** Stops the try that has grown most; true when room comes of that, or of one stopped before. */
export function stopOvergrown(state: WorkerState): boolean {
  if (freeDiskBytes(state) >= 0) return false;
  let worst: TryRecord | undefined;
  let most = 0;
  for (const record of state.tries.values()) {
    if (record.state.kind !== "running" || record.shape.library !== undefined) continue;
    const grownBytes = record.writtenBytes - record.diskBytes;
    if (grownBytes <= 0) continue;
    if (record.stopReason !== undefined) return true;
    if (grownBytes > most) [worst, most] = [record, grownBytes];
  }
  if (worst === undefined) return false;
  state.disk.overSinceMs = state.nowMs;
  worst.stopReason = "disk_full";
  worst.stopMessage = why(state, worst);
  const { taskId, try: number } = worst.task;
  state.instructions.push({ kind: "stop_task", taskId, try: number, reason: "disk_full" });
  return true;
}

function why(state: WorkerState, { writtenBytes, diskBytes }: TryRecord): string {
  const limitBytes = state.identity.resources.diskBytes;
  const reserved = diskBytes === 0 ? "none of it reserved" : `${formatSize(diskBytes)} reserved`;
  return `The try was stopped: its sandbox had ${
    formatSize(writtenBytes)
  } on the disk, ${reserved}, ` +
    `which with what else is held is ${formatSize(-freeDiskBytes(state))} more than the ` +
    `${formatSize(limitBytes)} of disk of this worker, and nothing else can go`;
}
