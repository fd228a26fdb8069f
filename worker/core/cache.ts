/** The table of cached files: what comes, what goes, and who waits for it. */

import { unreachable } from "../../shared/assert.ts";
import type { CacheName } from "../../shared/ids.ts";
import type { ManagerMessage } from "../../shared/protocol.ts";
import type { CacheLevel, FileFacts } from "../../shared/task.ts";
import { awaitDisk, leaveDisk, startTransfersThatFit, touchFile } from "./disk.ts";
import type { WorkerEvent } from "./event.ts";
import { enqueueInstance } from "./library.ts";
import {
  newCacheRecord,
  tell,
  type TransferRecord,
  type Waiter,
  type WorkerState,
} from "./state.ts";
import { enqueueTry } from "./task.ts";

/** A file that something needs, and which making of it; -1 is any. */
export interface Need {
  readonly name: CacheName;
  readonly generation: number;
}

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

/** True when the cache has this making of the file. */
export function isCached(state: WorkerState, need: Need): boolean {
  const record = state.cache.get(need.name);
  if (record === undefined) return false;
  return need.generation === ANY_GENERATION || record.generation === need.generation;
}

/** Adds a committed file and wakes who waited for it. */
export function addFile(state: WorkerState, file: FileFacts, level: CacheLevel): void {
  const before = state.cache.get(file.name);
  if (before !== undefined) {
    // A late making never takes the place of a newer one.
    if (before.generation > file.generation) return;
    removeFile(state, file.name);
  }
  const record = newCacheRecord(file, level);
  state.cache.set(file.name, record);
  state.disk.cachedBytes += record.ownBytes;
  for (const waiter of state.waiters.get(file.name) ?? []) {
    if (needOf(waiter, file.name) === file.generation || needOf(waiter, file.name) < 0) {
      countMissing(state, waiter, -1);
    }
  }
}

/** Takes a file off the table; who waits for it and has not started goes back to staging. */
export function removeFile(state: WorkerState, name: CacheName): void {
  const record = state.cache.get(name);
  if (record === undefined) return;
  state.cache.delete(name);
  state.disk.cachedBytes -= record.ownBytes;
  for (const waiter of state.waiters.get(name) ?? []) {
    const generation = needOf(waiter, name);
    if (generation === record.generation || generation < 0) countMissing(state, waiter, 1);
  }
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

/** Starts a recipe once its input is here, unless its file is here or being made. */
export function startMake(
  state: WorkerState,
  order: Extract<ManagerMessage, { kind: "make" }>,
): void {
  const cached = state.cache.get(order.name);
  if (cached !== undefined) {
    const { transferId } = order;
    return tell(state, { kind: "replica_ready", transferId, file: cached.facts, movedBytes: 0 });
  }
  if (adoptTransfer(state, order)) return;
  const record = newTransfer(order);
  addTransfer(state, record);
  const need = { name: order.recipe.input, generation: ANY_GENERATION };
  if (awaitFiles(state, record, [need]) === 0) activateMake(state, record);
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
      state.instructions.push({ kind: "stop_transfer", transferId: transfer.startedId });
      return;
    }
    dropTransfer(state, transfer);
    return tell(state, { kind: "replica_gone", name, generation });
  }
  const cached = state.cache.get(name);
  if (cached === undefined || cached.generation !== generation) {
    return tell(state, { kind: "replica_gone", name, generation });
  }
  removeFile(state, name);
  state.instructions.push({ kind: "delete_file", name, generation });
  tell(state, { kind: "replica_gone", name, generation });
}

/** A fetch or recipe ended. */
export function endTransfer(
  state: WorkerState,
  event: Extract<WorkerEvent, { kind: "transfer_ended" }>,
): void {
  const { name, generation, movedBytes, outcome } = event;
  const record = state.transfersByName.get(name);
  if (record?.startedId !== event.transferId) {
    // The making that is here came by way of another source.
    if (outcome.kind === "failed" || state.cache.get(name)?.generation === generation) return;
    const isWanted = record?.isStopping === false && generationOf(record.order) === generation;
    if (!isWanted) {
      // It brought an old making: another one has been ordered since.
      state.instructions.push({ kind: "delete_file", name, generation });
      return;
    }
    // It came though another source was named meanwhile, which need not go on.
    state.instructions.push({ kind: "stop_transfer", transferId: record.startedId });
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
      addFile(state, outcome.file, record.order.level);
      return tell(state, {
        kind: "replica_ready",
        transferId,
        file: state.cache.get(name)?.facts ?? outcome.file,
        movedBytes,
      });
    case "failed": {
      if (record.isStopping) return tell(state, { kind: "replica_gone", name, generation });
      const { message, canRetry, isUnreachable = false, isDiskFull = false } = outcome;
      const { isModified = false } = outcome;
      return tell(state, {
        kind: "transfer_failed",
        transferId,
        name,
        generation,
        message,
        canRetry,
        ...(isUnreachable ? { isUnreachable } : {}),
        ...(isDiskFull ? { isDiskFull } : {}),
        ...(isModified ? { isModified } : {}),
      });
    }
    default:
      return unreachable(outcome);
  }
}

/**
 * A repeated order for a file on its way gives the transfer its new number. One that names another
 * source does not: the manager has a reason not to trust the first one any more.
 */
function adoptTransfer(state: WorkerState, order: TransferRecord["order"]): boolean {
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
      state.instructions.push({ kind: "stop_transfer", transferId: record.startedId });
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

function newTransfer(order: TransferRecord["order"]): TransferRecord {
  return {
    kind: "transfer",
    startedId: order.transferId,
    order,
    isActive: false,
    isStopping: false,
    reservedBytes: 0,
  };
}

function generationOf(order: TransferRecord["order"]): number {
  return order.kind === "fetch" ? order.generation : 0;
}

function addTransfer(state: WorkerState, record: TransferRecord): void {
  state.transfers.set(record.order.transferId, record);
  state.transfersByName.set(record.order.name, record);
}

/** Takes a transfer off the tables. */
export function dropTransfer(state: WorkerState, record: TransferRecord): void {
  const { order } = record;
  state.transfers.delete(order.transferId);
  state.transfersByName.delete(order.name);
  leaveDisk(state, record);
  if (order.kind !== "make" || record.isActive) return;
  forgetWaiter(state, record, [{ name: order.recipe.input, generation: ANY_GENERATION }]);
}

function activateMake(state: WorkerState, record: TransferRecord): void {
  if (record.order.kind !== "make") return;
  forgetWaiter(state, record, [
    { name: record.order.recipe.input, generation: ANY_GENERATION },
  ]);
  awaitDisk(state, record);
  startTransfersThatFit(state);
}

/** Which making of `name` the waiter needs. */
function needOf(waiter: Waiter, name: CacheName): number {
  if (waiter.kind !== "try") return ANY_GENERATION;
  const input = waiter.task.inputs.find((mount) => mount.name === name);
  return input === undefined ? ANY_GENERATION : input.generation;
}

/** One file more or less is missing to `waiter`. */
function countMissing(state: WorkerState, waiter: Waiter, change: 1 | -1): void {
  if (waiter.kind === "transfer") {
    if (change < 0) activateMake(state, waiter);
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
