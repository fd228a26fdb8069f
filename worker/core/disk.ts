/**
 * The worker's disk: what is held of its limit, what waits for room, and which files go to make some.
 *
 * What comes reserves its size before it starts, a task what it stated beyond its inputs. Where
 * there is no room the worker suggests files, least recently used first, and the manager, which
 * alone knows what is needed elsewhere and where other copies are, deletes those that may go. What
 * still finds no room is given back, or fails and says how much was wanted. What running tries
 * write beyond what they reserved is in overflow.ts.
 *
 * @module
 */

import type { CacheName } from "../../shared/ids.ts";
import { filesOfLibrary } from "../../shared/protocol.ts";
import { heldResources } from "../../shared/task.ts";
import { dropTransfer } from "./cache.ts";
import { beginMake, recipeNames } from "./make.ts";
import { forgetOldestPart, partBytes, releasePart } from "./part.ts";
import { startWhatFits } from "./room.ts";
import {
  type CacheRecord,
  tell,
  type TransferRecord,
  type TryRecord,
  type WorkerState,
} from "./state.ts";
import { isOverForLong, stopOvergrown } from "./overflow.ts";
import { endWithoutStart, giveBackTry } from "./task.ts";

/** Files that are suggested to the manager at a time. */
export const SUGGESTED_FILES_MAX = 64;

/** What found no room although nothing goes on here waits so long for others to be done with files. */
const ROOM_WAIT_MS = 5_000;

/** Time after which the manager is asked anew while nothing changes here. */
const ASK_AGAIN_MS = 500;

/** Bytes that are neither used nor reserved; below 0 when outputs took more than was stated. */
export function freeDiskBytes({ identity, disk }: WorkerState): number {
  const usedBytes = disk.cachedBytes + disk.comingBytes + disk.runningBytes + disk.keptBytes;
  return identity.resources.diskBytes - usedBytes;
}

/** True when so many bytes more are free; nothing fits on a disk that is over its limit. */
export function fitsOnDisk(state: WorkerState, bytes: number): boolean {
  return freeDiskBytes(state) >= bytes;
}

/** Queues a transfer for room on the disk. */
export function awaitDisk(state: WorkerState, record: TransferRecord): void {
  state.disk.waiting.add(record);
}

/** Starts the transfers that there is room for, in the order in which they came. */
export function startTransfersThatFit(state: WorkerState): void {
  const { disk } = state;
  for (const record of disk.waiting) {
    const bytes = transferBytes(state, record);
    if (bytes > state.identity.resources.diskBytes) {
      refuseTransfer(state, record, { canRetry: false });
      continue;
    }
    // What is held of the file is a part of its bytes.
    if (!fitsOnDisk(state, bytes - partBytes(state, record.order.name))) return;
    releasePart(state, record.order.name);
    disk.waiting.delete(record);
    disk.comingBytes += bytes;
    record.reservedBytes = bytes;
    const { order } = record;
    if (order.kind === "make") {
      beginMake(state, record);
      continue;
    }
    record.isActive = true;
    record.startedId = order.transferId;
    const bytesMax = order.sizeBytes >= 0 ? bytes : bytesToFill(state, record);
    state.instructions.push({ kind: "fetch", order, bytesMax });
  }
}

/** What a transfer of unknown size may take: what it reserved, what is free, and what could be. */
export function bytesToFill(state: WorkerState, { reservedBytes }: TransferRecord): number {
  return reservedBytes + Math.max(0, freeDiskBytes(state)) + idleBytes(state);
}

/** The transfer waits for room no more, or what it reserved is free. */
export function leaveDisk({ disk }: WorkerState, record: TransferRecord): void {
  disk.waiting.delete(record);
  disk.comingBytes -= record.reservedBytes;
  record.reservedBytes = 0;
  disk.refused.clear();
}

/** What a try needs beyond its inputs, which its stated disk includes. */
export function tryDiskBytes(state: WorkerState, { task, shape }: TryRecord): number {
  const statedBytes = heldResources(shape).diskBytes;
  if (statedBytes === 0) return 0;
  let inputBytes = 0;
  for (const { name } of task.inputs) inputBytes += state.cache.get(name)?.ownBytes ?? 0;
  return Math.max(0, statedBytes - inputBytes);
}

/** Marks a file as the one used last. */
export function touchFile(state: WorkerState, name: CacheName): void {
  const record = state.cache.get(name);
  if (record === undefined) return;
  // The table is in the order of use.
  state.cache.delete(name);
  state.cache.set(name, record);
}

/** The manager has told what may go: what is still here has to stay for now. */
export function endSuggestion(state: WorkerState): void {
  const { disk } = state;
  for (const name of disk.suggested) if (state.cache.has(name)) disk.refused.add(name);
  disk.suggested.clear();
}

/** What was suggested over a connection that is gone is answered by nobody. */
export function forgetSuggestion({ disk }: WorkerState): void {
  disk.suggested.clear();
  disk.refused.clear();
}

/** The disk itself was full: what is idle here makes room, before the manager tries again. */
export function askForRoom(state: WorkerState, bytes: number): void {
  if (state.leaving !== undefined || state.link.kind !== "open") return;
  if (state.disk.suggested.size === 0) suggestFiles(state, bytes);
}

/** Makes room where some is missing; called at the end of each step. */
export function relieveDisk(state: WorkerState): void {
  const { disk } = state;
  if (isOverForLong(state) && state.leaving === undefined) stopOvergrown(state);
  while (true) {
    const missingBytes = missingDiskBytes(state);
    if (missingBytes <= 0) {
      disk.stuckSinceMs = undefined;
      return;
    }
    const [next] = disk.waiting;
    if (forgetOldestPart(state, next?.order.name)) {
      startTransfersThatFit(state);
      startWhatFits(state);
      continue;
    }
    if (state.leaving !== undefined || state.link.kind !== "open") return;
    if (disk.suggested.size > 0) return;
    if (suggestFiles(state, missingBytes) || stopOvergrown(state) || isBusy(state)) {
      disk.stuckSinceMs = undefined;
      return;
    }
    if (refuseUnneeded(state)) continue;
    const last = lastUnstarted(state);
    // One try goes on in the room of the others, which are better off elsewhere or later.
    if (last === undefined || state.tries.size === 1) return waitForRoom(state);
    giveBackTry(state, last);
  }
}

/** When the manager is asked anew or the wait for room is over. */
export function diskWakeAtMs({ disk, link, leaving }: WorkerState): number | undefined {
  const isWaiting = disk.stuckSinceMs !== undefined && disk.suggested.size === 0;
  return isWaiting && link.kind === "open" && leaving === undefined ? disk.askAtMs : undefined;
}

/** Bytes that what comes next lacks, or that the disk is over its limit. */
function missingDiskBytes(state: WorkerState): number {
  const { waiting, blockedTry } = state.disk;
  const [next] = waiting;
  let bytes = 0;
  if (next !== undefined) bytes = transferBytes(state, next) - partBytes(state, next.order.name);
  else if (blockedTry !== undefined && blockedTry.state.kind === "queued") {
    bytes = tryDiskBytes(state, blockedTry);
  }
  return bytes - freeDiskBytes(state);
}

/**
 * An archive holds at least about its size, a command states what it needs; what a url has is not
 * known before it is here.
 */
export function transferBytes(state: WorkerState, { order }: TransferRecord): number {
  if (order.kind === "fetch") return Math.max(0, order.sizeBytes);
  const { recipe } = order;
  if (recipe.kind === "command") return recipe.resources.diskBytes;
  return state.cache.get(recipe.input)?.facts.sizeBytes ?? 0;
}

/** Asks the manager for the least recently used files that are enough; false when there are none. */
function suggestFiles(state: WorkerState, missingBytes: number): boolean {
  const { suggested } = state.disk;
  const used = usedFiles(state);
  const files: { readonly name: CacheName; readonly generation: number }[] = [];
  let bytes = 0;
  for (const record of state.cache.values()) {
    if (bytes >= missingBytes || files.length >= SUGGESTED_FILES_MAX) break;
    if (!isIdle(state, record, used)) continue;
    const { name, ownBytes, facts } = record;
    bytes += ownBytes;
    suggested.add(name);
    files.push({ name, generation: facts.generation });
  }
  if (files.length === 0) return false;
  tell(state, { kind: "room_wanted", files });
  return true;
}

/** Bytes of files that could go if the manager agreed. */
function idleBytes(state: WorkerState): number {
  const used = usedFiles(state);
  let bytes = 0;
  for (const record of state.cache.values()) {
    if (isIdle(state, record, used)) bytes += record.ownBytes;
  }
  return bytes;
}

/** What is kept for ever goes when its user says so. */
function isIdle(
  state: WorkerState,
  { name, ownBytes, level }: CacheRecord,
  used: ReadonlySet<CacheName>,
): boolean {
  return level !== "forever" && ownBytes > 0 && !used.has(name) && !state.waiters.has(name) &&
    !state.disk.refused.has(name);
}

/** Files that something reads now. What waits for files is in `waiters`. */
function usedFiles(state: WorkerState): Set<CacheName> {
  const used = new Set<CacheName>();
  for (const { task, shape, state: { kind } } of state.tries.values()) {
    if (kind !== "running") continue;
    for (const { name } of task.inputs) used.add(name);
    for (const name of shape.environments) used.add(name);
  }
  for (const { library } of state.instances.values()) {
    for (const name of filesOfLibrary(library)) used.add(name);
  }
  for (const { order } of state.transfers.values()) {
    if (order.kind === "make") { for (const name of recipeNames(order.recipe)) used.add(name); }
  }
  return used;
}

/** Something is under way whose end changes what there is room for. */
function isBusy(state: WorkerState): boolean {
  for (const { isActive } of state.transfers.values()) if (isActive) return true;
  for (const { state: { kind } } of state.tries.values()) if (kind === "running") return true;
  return false;
}

/** The command that came last of those that have not started. */
function lastUnstarted(state: WorkerState): TryRecord | undefined {
  let last: TryRecord | undefined;
  for (const record of state.tries.values()) {
    if (record.state.kind !== "running" && record.shape.library === undefined) last = record;
  }
  return last;
}

/** Nothing changes here any more: others may be done with a file; when none is in time, it fails. */
function waitForRoom(state: WorkerState): void {
  const { disk, nowMs } = state;
  if (disk.stuckSinceMs === undefined) {
    disk.stuckSinceMs = nowMs;
    disk.askAtMs = nowMs + ASK_AGAIN_MS;
    return;
  }
  if (nowMs < disk.askAtMs) return;
  disk.refused.clear();
  disk.askAtMs = nowMs + ASK_AGAIN_MS;
  if (nowMs - disk.stuckSinceMs < ROOM_WAIT_MS) {
    const { stuckSinceMs } = disk;
    suggestFiles(state, missingDiskBytes(state));
    disk.stuckSinceMs = stuckSinceMs;
    return;
  }
  disk.stuckSinceMs = undefined;
  const [next] = disk.waiting;
  if (next !== undefined) return refuseTransfer(state, next, { canRetry: false });
  const { blockedTry } = disk;
  if (blockedTry === undefined) return;
  const bytes = tryDiskBytes(state, blockedTry);
  endWithoutStart(state, blockedTry, "disk_full", `Cannot run the task: ${why(state, bytes)}`);
}

/**
 * Refuses transfers that nothing here waits for, recipes that hold on to their inputs among them;
 * false when there are none.
 */
function refuseUnneeded(state: WorkerState): boolean {
  const { disk, transfers, waiters } = state;
  const unneeded = [...transfers.values()].filter((record) => {
    const { order, isActive } = record;
    if (isActive || waiters.has(order.name)) return false;
    return order.kind === "make" || disk.waiting.has(record);
  });
  for (const record of unneeded) refuseTransfer(state, record, { canRetry: true });
  return unneeded.length > 0;
}

function refuseTransfer(
  state: WorkerState,
  record: TransferRecord,
  { canRetry }: { readonly canRetry: boolean },
): void {
  const { order } = record;
  const bytes = transferBytes(state, record);
  dropTransfer(state, record);
  const { transferId, name } = order;
  const message = `Cannot bring file "${name}" into the cache: ${why(state, bytes)}`;
  const generation = order.kind === "fetch" ? order.generation : 0;
  tell(state, {
    kind: "transfer_failed",
    transferId,
    name,
    generation,
    message,
    canRetry,
    isDiskFull: true,
  });
}

function why(state: WorkerState, bytes: number): string {
  const { diskBytes } = state.identity.resources;
  return `it needs ${bytes} bytes of disk, of which this worker has ${diskBytes} in all and ` +
    `${Math.max(0, freeDiskBytes(state))} free, and nothing else can go`;
}
