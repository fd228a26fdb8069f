/** The table of cached files: what comes, what goes, and who waits for it. */

import { unreachable } from "../../shared/assert.ts";
import type { CacheName } from "../../shared/ids.ts";
import type { ManagerMessage } from "../../shared/protocol.ts";
import { NO_RESOURCES } from "../../shared/resources.ts";
import type { CacheLevel, FileFacts } from "../../shared/task.ts";
import {
  askForRoom,
  awaitDisk,
  leaveDisk,
  startTransfersThatFit,
  touchFile,
  transferBytes,
} from "./disk.ts";
import { NO_DEVICES } from "./device.ts";
import type { WorkerEvent } from "./event.ts";
import { enqueueInstance } from "./library.ts";
import { activateMake, leaveMake } from "./make.ts";
import { forgetPart, keepPart } from "./part.ts";
import {
  type CacheRecord,
  newCacheRecord,
  tell,
  type TransferRecord,
  type Waiter,
  type WorkerState,
} from "./state.ts";
import { enqueueTry, loseModified } from "./task.ts";

/** A file that something needs, and which making of it; -1 is any. */
export interface Need {
  readonly name: CacheName;
  readonly generation: number;
}

type TransferEnd = Extract<WorkerEvent, { kind: "transfer_ended" }>;

/** Generation of a need that any making satisfies. */
export const ANY_GENERATION = -1;

/** Registers `waiter` for each of `needs` and returns how many are not in the cache. */
export function awaitFiles(
  state: WorkerState,
  waiter: Waiter,
  needs: Iterable<Need>,
): number {
  let missing = 0;
  for (const need of needs) {
    let waiters = state.waiters.get(need.name);
    if (waiters === undefined) state.waiters.set(need.name, waiters = new Set());
    waiters.add(waiter);
    if (!isCached(state, need)) missing += 1;
  }
  return missing;
}

/** Takes `waiter` off the lists of `needs`: it started, ended or was taken back. */
export function forgetWaiter(state: WorkerState, waiter: Waiter, needs: Iterable<Need>): void {
  for (const { name } of needs) {
    const waiters = state.waiters.get(name);
    if (waiters === undefined) continue;
    waiters.delete(waiter);
    if (waiters.size === 0) state.waiters.delete(name);
  }
}

/** True when the cache has this making of the file, to be read. */
export function isCached(state: WorkerState, need: Need): boolean {
  const record = state.cache.get(need.name);
  if (record === undefined || record.isUnverified) return false;
  return need.generation === ANY_GENERATION || record.generation === need.generation;
}

/** Adds a committed file and wakes who waited for it. */
export function addFile(
  state: WorkerState,
  file: FileFacts,
  { level, isOwn = true }: { readonly level: CacheLevel; readonly isOwn?: boolean },
): void {
  const before = state.cache.get(file.name);
  if (before !== undefined) {
    // A late making never takes the place of a newer one.
    if (before.generation > file.generation) return;
    removeFile(state, file.name);
  }
  forgetPart(state, file.name);
  const made = newCacheRecord(file, level);
  // What another worker brought counts against that one's disk.
  const record = isOwn ? made : { ...made, ownBytes: 0 };
  state.cache.set(file.name, record);
  state.disk.cachedBytes += record.ownBytes;
  countMissingOf(state, record, -1);
}

/** Takes a file off the table; who waits for it and has not started goes back to staging. */
export function removeFile(state: WorkerState, name: CacheName): void {
  const record = state.cache.get(name);
  if (record === undefined) return;
  state.cache.delete(name);
  state.disk.cachedBytes -= record.ownBytes;
  leaveTwin(state, record);
  if (!record.isUnverified) countMissingOf(state, record, 1);
}

/** What is left of two names of the same bytes takes all of them from here on. */
function leaveTwin(state: WorkerState, { twin, ownBytes }: CacheRecord): void {
  const other = twin && state.cache.get(twin);
  if (other === undefined) return;
  other.twin = undefined;
  other.ownBytes += ownBytes;
  state.disk.cachedBytes += ownBytes;
}

/** Keeps what has not started from reading a file. */
export function holdBack(state: WorkerState, record: CacheRecord): void {
  if (record.isUnverified) return;
  record.isUnverified = true;
  countMissingOf(state, record, 1);
}

/** The file may be read again. */
export function letRead(state: WorkerState, record: CacheRecord): void {
  if (!record.isUnverified) return;
  record.isUnverified = false;
  countMissingOf(state, record, -1);
}

/** Starts a fetch, unless the file is here or on its way. */
export function startFetch(
  state: WorkerState,
  order: Extract<ManagerMessage, { kind: "fetch" }>,
): void {
  const cached = state.cache.get(order.name);
  if (cached !== undefined && cached.generation === order.generation) {
    touchFile(state, order.name);
    return tell(state, {
      kind: "replica_ready",
      transferId: order.transferId,
      file: cached.facts,
      movedBytes: 0,
    });
  }
  if (adoptTransfer(state, order)) return;
  const record = newTransfer(order);
  addTransfer(state, record);
  awaitDisk(state, record);
  startTransfersThatFit(state);
}

/** Removes a file, or calls off its coming. Answered by `replica_gone`. */
export function deleteFile(
  state: WorkerState,
  order: Extract<ManagerMessage, { kind: "delete" }>,
): void {
  const { name, generation } = order;
  const transfer = state.transfersByName.get(name);
  // One that brings another making was ordered since, or is not meant.
  if (transfer !== undefined && generationOf(transfer.order) === generation) {
    if (transfer.isActive) {
      transfer.isStopping = true;
      const transferId = transfer.startedId;
      state.instructions.push({ kind: "stop_transfer", transferId, goesOn: false });
      return;
    }
    forgetPart(state, name);
    dropTransfer(state, transfer);
    return tell(state, { kind: "replica_gone", name, generation });
  }
  if (transfer === undefined) forgetPart(state, name);
  const cached = state.cache.get(name);
  if (cached === undefined || cached.generation !== generation) {
    return tell(state, { kind: "replica_gone", name, generation });
  }
  removeFile(state, name);
  state.instructions.push({ kind: "delete_file", name, generation });
  tell(state, { kind: "replica_gone", name, generation });
}

/** A fetch or recipe ended. */
export function endTransfer(state: WorkerState, event: TransferEnd): void {
  const { name, generation, movedBytes } = event;
  const record = state.transfersByName.get(name);
  if (record?.startedId === event.transferId) leaveMake(state, record);
  const outcome = judgeOutcome(state, event, record);
  if (record?.startedId !== event.transferId) {
    if (outcome.kind === "failed") return endOldTransfer(state, name, outcome.keptBytes ?? 0);
    // The making that is here came by way of another source.
    if (state.cache.get(name)?.generation === generation) return;
    const isWanted = record?.isStopping === false && generationOf(record.order) === generation;
    if (!isWanted) {
      // It brought an old making: another one has been ordered since.
      state.instructions.push({ kind: "delete_file", name, generation });
      return;
    }
    // It came though another source was named meanwhile, which need not go on.
    const transferId = record.startedId;
    state.instructions.push({ kind: "stop_transfer", transferId, goesOn: false });
  }
  const { transferId } = record.order;
  dropTransfer(state, record);
  switch (outcome.kind) {
    case "ready":
      // What nobody wants any more goes as it came.
      if (record.isStopping) {
        state.instructions.push({ kind: "delete_file", name, generation });
        return tell(state, { kind: "replica_gone", name, generation });
      }
      addFile(state, outcome.file, {
        level: record.order.level,
        isOwn: outcome.isFound !== true,
      });
      return tell(state, {
        kind: "replica_ready",
        transferId,
        file: state.cache.get(name)?.facts ?? outcome.file,
        movedBytes,
      });
    case "failed": {
      const { message, canRetry, keptBytes = 0 } = outcome;
      const { isUnreachable = false, isDiskFull = false, isSourceFault = false } = outcome;
      const { isCorrupt = false, isModified = false } = outcome;
      if (keptBytes > 0) keepPart(state, name, keptBytes);
      // Another making of it is here: the next attempt begins anew.
      if (state.cache.has(name)) forgetPart(state, name);
      if (record.isStopping) {
        forgetPart(state, name);
        return tell(state, { kind: "replica_gone", name, generation });
      }
      if (isDiskFull && canRetry) askForRoom(state, Math.max(1, transferBytes(state, record)));
      return tell(state, {
        kind: "transfer_failed",
        transferId,
        name,
        generation,
        message,
        canRetry,
        ...(isUnreachable ? { isUnreachable } : {}),
        ...(isDiskFull ? { isDiskFull } : {}),
        ...(isSourceFault ? { isSourceFault } : {}),
        ...(movedBytes > 0 ? { movedBytes } : {}),
        ...(isCorrupt ? { isCorrupt } : {}),
        ...(isModified ? { isModified } : {}),
      });
    }
    default:
      return unreachable(outcome);
  }
}

/** A fetch that another one took the place of has left a part, which that one goes on with. */
function endOldTransfer(state: WorkerState, name: CacheName, keptBytes: number): void {
  if (keptBytes === 0 || state.transfersByName.get(name)?.isActive === true) return;
  keepPart(state, name, keptBytes);
  if (!state.transfersByName.has(name)) forgetPart(state, name);
}

/** What was made of an input that somebody wrote to meanwhile is not to be trusted. */
function judgeOutcome(
  state: WorkerState,
  { name, generation, transferId, outcome, modified = [] }: TransferEnd,
  record: TransferRecord | undefined,
): TransferEnd["outcome"] {
  const isTainted = record?.startedId === transferId && record.isTainted;
  const isShared = loseModified(state, modified) || isTainted;
  if (!isShared) return outcome;
  if (outcome.kind === "failed") return { ...outcome, canRetry: true };
  state.instructions.push({ kind: "delete_file", name, generation });
  const message = `Cannot make file "${name}": an input was modified while it was made`;
  return { kind: "failed", message, canRetry: true };
}

/**
 * A repeated order for a file on its way gives the transfer its new number. One that names another
 * source does not: the manager has a reason not to trust the first one any more.
 */
export function adoptTransfer(state: WorkerState, order: TransferRecord["order"]): boolean {
  const record = state.transfersByName.get(order.name);
  if (record === undefined) return false;
  const isSame = generationOf(record.order) === generationOf(order) &&
    sourceOf(record.order) === sourceOf(order);
  if (record.isStopping) {
    // The deletion that stopped it has its answer now.
    const generation = generationOf(record.order);
    tell(state, { kind: "replica_gone", name: order.name, generation });
  }
  if (!isSame || record.isStopping) {
    if (!record.isStopping) {
      const goesOn = generationOf(record.order) === generationOf(order);
      state.instructions.push({ kind: "stop_transfer", transferId: record.startedId, goesOn });
    }
    dropTransfer(state, record);
    return false;
  }
  state.transfers.delete(record.order.transferId);
  record.order = { ...record.order, transferId: order.transferId };
  state.transfers.set(order.transferId, record);
  return true;
}

/** Where an order has the bytes from, but for the ticket, which is another one each time. */
function sourceOf(order: TransferRecord["order"]): string {
  if (order.kind === "make") return "recipe";
  const { source } = order;
  if (source.kind === "worker") return `worker ${source.workerId}`;
  return source.kind === "url" ? `url ${source.url}` : source.kind;
}

/** A transfer that waits. */
export function newTransfer(order: TransferRecord["order"]): TransferRecord {
  return {
    kind: "transfer",
    startedId: order.transferId,
    order,
    isActive: false,
    isStopping: false,
    reservedBytes: 0,
    missing: 0,
    queuedAtMs: 0,
    held: NO_RESOURCES,
    devices: NO_DEVICES,
    isTainted: false,
  };
}

function generationOf(order: TransferRecord["order"]): number {
  return order.kind === "fetch" ? order.generation : 0;
}

/** Puts a transfer on the tables. */
export function addTransfer(state: WorkerState, record: TransferRecord): void {
  state.transfers.set(record.order.transferId, record);
  state.transfersByName.set(record.order.name, record);
}

/** Takes a transfer off the tables. */
export function dropTransfer(state: WorkerState, record: TransferRecord): void {
  const { order } = record;
  state.transfers.delete(order.transferId);
  state.transfersByName.delete(order.name);
  leaveDisk(state, record);
  leaveMake(state, record);
}

/** Which making of `name` the waiter needs. */
function needOf(waiter: Waiter, name: CacheName): number {
  if (waiter.kind === "transfer") return ANY_GENERATION;
  const { inputs } = waiter.kind === "try" ? waiter.task : waiter.library;
  const input = inputs.find((mount) => mount.name === name);
  return input === undefined ? ANY_GENERATION : input.generation;
}

/** The file is missing, or not missing any more, to those who wait for it. */
function countMissingOf(state: WorkerState, { name, generation }: CacheRecord, change: 1 | -1) {
  for (const waiter of state.waiters.get(name) ?? []) {
    const needed = needOf(waiter, name);
    if (needed === generation || needed === ANY_GENERATION) countMissing(state, waiter, change);
  }
}

/** One file more or less is missing to `waiter`. */
function countMissing(state: WorkerState, waiter: Waiter, change: 1 | -1): void {
  if (waiter.kind === "transfer") {
    waiter.missing += change;
    if (waiter.missing === 0) activateMake(state, waiter);
  } else if (waiter.state.kind === "queued" && change > 0) {
    // Its entry in the queue is stale now, and is made anew when the file is back.
    waiter.state = { kind: "staging", missing: 1 };
  } else if (waiter.state.kind === "staging") {
    waiter.state.missing += change;
    if (waiter.state.missing > 0) return;
    if (waiter.kind === "try") enqueueTry(state, waiter);
    else enqueueInstance(state, waiter);
  }
}
