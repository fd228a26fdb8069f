/** What the manager is told of the disk: much news soon, little news after a while, none never. */

import { tell, type WorkerState } from "./state.ts";

/** A change of this part of the disk is told soon. */
const LARGE_PART = 0.01;

/** Least time between two messages when much has changed, and when little has. */
const SOON_MS = 250;
const LATER_MS = 10_000;

/** Tells how much is in use, when that is news and its time has come; called at the end of each step. */
export function tellDisk(state: WorkerState): void {
  const { disk, link, nowMs, leaving } = state;
  disk.tellAtMs = undefined;
  const usedBytes = disk.cachedBytes + disk.runningBytes;
  if (usedBytes === disk.toldBytes || link.kind !== "open" || leaving !== undefined) return;
  const change = Math.abs(usedBytes - disk.toldBytes);
  const isLarge = change >= state.identity.resources.diskBytes * LARGE_PART;
  const dueMs = disk.toldAtMs + (isLarge ? SOON_MS : LATER_MS);
  if (nowMs < dueMs) {
    disk.tellAtMs = dueMs;
    return;
  }
  disk.toldBytes = usedBytes;
  disk.toldAtMs = nowMs;
  tell(state, { kind: "disk_used", usedBytes });
}

/** A manager that has just taken this worker in takes its disk for empty. */
export function forgetReport({ disk }: WorkerState): void {
  disk.toldBytes = 0;
  disk.toldAtMs = -Infinity;
}
