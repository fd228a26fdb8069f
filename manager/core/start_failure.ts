/**
 * Instances that failed. A worker at which one could not be started is passed over for some time,
 * so that others are tried; after some failures with none that serves between them, nor anywhere
 * now, the library is given up. One that serves elsewhere is not given up for the sake of a bad host.
 *
 * @module
 */

import { isIndexed } from "./capacity_index.ts";
import { planLook } from "./deadline.ts";
import { failLibrary, unblockLibrary } from "./library.ts";
import type { InstanceRecord, LibraryRecord } from "./library_record.ts";
import type { ManagerState, WorkerRecord } from "./state.ts";

/** How long a worker is passed over after its first failure; twice as long after each that follows. */
const BACK_OFF_MS = 500;

/** The longest time that one is passed over. */
const BACK_OFF_MS_MAX = 60_000;

/** Workers that are named when a library is given up. */
const PLACES_TOLD_MAX = 8;

/** Characters that are kept of what the last failure of a library said. */
export const LAST_FAILURE_CHARS_MAX = 1_000;

/** How an instance failed. */
export interface InstanceFailure {
  /** `transfer_failed`: something that it needs could not be brought there. */
  readonly reason: "start_failed" | "died" | "transfer_failed";
  /** With the library's own output. */
  readonly message: string;
}

/** An instance failed, and takes no calls any more. Too often in a row, and the library is given up. */
export function noteFailure(
  state: ManagerState,
  { library, worker }: InstanceRecord,
  failure: InstanceFailure,
): void {
  if (failure.reason !== "died") passOver(state, library, worker);
  if (library.failure !== undefined) return;
  library.lastFailure = failure.message.slice(0, LAST_FAILURE_CHARS_MAX);
  if (isServing(library)) return;
  library.failureCount += 1;
  const { failedPlaces, failureCount } = library;
  if (failedPlaces.size <= PLACES_TOLD_MAX) {
    failedPlaces.add(`worker ${worker.workerId} on ${worker.host}`);
  }
  if (failureCount >= state.policies.libraryRetries) {
    failLibrary(state, library, describe(library, failure));
  }
}

/** An instance of the library is ready at the worker: neither has a fault. */
export function forgetFailures(library: LibraryRecord, worker: WorkerRecord): void {
  library.failureCount = 0;
  library.failedPlaces.clear();
  library.failedStarts.delete(worker);
  if (library.failedStarts.size === 0) library.lastFailure = "";
}

/** True while others are to be tried before the worker; never where all have failed. */
export function isPassedOver(
  { nowMs, index }: ManagerState,
  library: LibraryRecord,
  worker: WorkerRecord,
): boolean {
  const { failedStarts } = library;
  const failed = failedStarts.get(worker);
  if (failed === undefined || failed.againAtMs <= nowMs) return false;
  let passedCount = 0;
  for (const [other, { againAtMs }] of failedStarts) {
    if (againAtMs > nowMs && isIndexed(other)) passedCount += 1;
  }
  return passedCount < index.count;
}

/** One that others were tried instead of takes nothing any more: all others may have failed. */
export function reviewStarts(state: ManagerState): void {
  for (const library of state.libraries.values()) {
    if (library.failedStarts.size > 0) unblockLibrary(state, library);
  }
}

/** The worker is gone. */
export function forgetStarts(state: ManagerState, worker: WorkerRecord): void {
  for (const { failedStarts } of state.libraries.values()) failedStarts.delete(worker);
}

function passOver(state: ManagerState, { failedStarts }: LibraryRecord, worker: WorkerRecord) {
  const count = (failedStarts.get(worker)?.count ?? 0) + 1;
  const forMs = Math.min(BACK_OFF_MS * 2 ** (count - 1), BACK_OFF_MS_MAX);
  const againAtMs = state.nowMs + forMs;
  failedStarts.set(worker, { count, againAtMs });
  planLook(state, { atMs: againAtMs, kind: "start_again", worker });
}

/** True while one of its instances is ready. */
function isServing({ services }: LibraryRecord): boolean {
  for (const { servesSinceMs } of services.values()) if (servesSinceMs !== undefined) return true;
  return false;
}

function describe(
  { spec: { name }, failureCount, failedPlaces }: LibraryRecord,
  { reason, message }: InstanceFailure,
): string {
  if (reason === "transfer_failed") return message;
  const places = [...failedPlaces];
  const told = places.slice(0, PLACES_TOLD_MAX).join(", ");
  const where = places.length < 2
    ? ""
    : `, at ${told}${places.length > PLACES_TOLD_MAX ? " and others" : ""}`;
  return `Cannot keep library "${name}" running: ${failureCount} instances failed in a row` +
    `${where}; the last said: ${message}`;
}
