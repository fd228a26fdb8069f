/**
 * What running commands and instances of libraries write beyond what they have reserved or stated.
 * It counts as soon as it is seen; when the disk is over its limit by it, and nothing idle can go, the
 * one that has grown most is stopped, and its neighbours go on.
 *
 * @module
 */

import { formatSize } from "../../shared/units.ts";
import type { WorkerEvent } from "./event.ts";
import { freeDiskBytes } from "./disk.ts";
import { failInstance } from "./instance_use.ts";
import {
  type InstanceRecord,
  isStopping,
  runningTry,
  type TryRecord,
  type WorkerState,
} from "./state.ts";

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
  const record = runningTry(state, event);
  if (record === undefined) return;
  state.disk.runningBytes -= heldBytes(record);
  record.writtenBytes = event.bytes;
  state.disk.runningBytes += heldBytes(record);
  stopWhoeverHasAll(state, event.bytes);
}

/** One has written so much: if that is more than there is at all, nothing that could go is enough. */
export function stopWhoeverHasAll(state: WorkerState, bytes: number): void {
  if (bytes > state.identity.resources.diskBytes && state.leaving === undefined) {
    stopOvergrown(state);
  }
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

/** Stops the one that has grown most; true when room comes of that, or of one stopped before. */
export function stopOvergrown(state: WorkerState): boolean {
  if (freeDiskBytes(state) >= 0) return false;
  let worst: TryRecord | InstanceRecord | undefined;
  let most = 0;
  for (const record of [...state.tries.values(), ...state.instances.values()]) {
    const grownBytes = record.writtenBytes - reservedBytes(record);
    // A call is stopped by the limit that it states.
    if (grownBytes <= 0 || record.kind === "try" && record.shape.library !== undefined) continue;
    if (isStopping(record)) return true;
    if (grownBytes > most) [worst, most] = [record, grownBytes];
  }
  if (worst === undefined) return false;
  state.disk.overSinceMs = state.nowMs;
  const message = why(state, worst);
  if (worst.kind === "instance") {
    failInstance(state, worst, { outcome: "disk_full", message, isAmbiguous: true });
    return true;
  }
  worst.stopReason = "disk_full";
  worst.stopMessage = message;
  const { taskId, try: number } = worst.task;
  state.instructions.push({ kind: "stop_task", taskId, try: number, reason: "disk_full" });
  return true;
}

/** Nothing is set apart for an instance; what its library states it may have before others. */
function reservedBytes(record: TryRecord | InstanceRecord): number {
  return record.kind === "try" ? record.diskBytes : record.library.resources.diskBytes;
}

function why(state: WorkerState, record: TryRecord | InstanceRecord): string {
  const limitBytes = state.identity.resources.diskBytes;
  const bytes = reservedBytes(record);
  const [what, place, reserved] = record.kind === "try"
    ? ["The try", "sandbox", "reserved"]
    : [`The instance of library "${record.library.name}"`, "directory", "stated"];
  return `${what} was stopped: its ${place} had ${formatSize(record.writtenBytes)} on the disk, ` +
    `${bytes === 0 ? "none" : formatSize(bytes)} of it ${reserved}, which with what else is held ` +
    `is ${formatSize(-freeDiskBytes(state))} more than the ${formatSize(limitBytes)} of disk of ` +
    "this worker, and nothing else can go";
}
