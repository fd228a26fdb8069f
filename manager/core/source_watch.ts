/**
 * How long transfers may take, and when sources are looked at again: as one is no longer set aside,
 * and as a transfer from it may be late.
 *
 * @module
 */

import { pushHeap } from "../../shared/heap.ts";
import type { ManagerState, Source, TransferRecord, TransferSource } from "./state.ts";

/** Smaller transfers tell more of delays than of rates. */
const MEASURED_BYTES_MIN = 2 ** 20;

/** What earlier transfers weigh beside the newest. */
const KEPT_WEIGHT = 0.9;

type ByteSource = Exclude<TransferSource, { kind: "recipe" }>;

/** Has the source looked at by then, at the latest. */
export function wakeForSource(state: ManagerState, from: ByteSource, atMs: number): void {
  const { source } = from;
  // One timer for each source is enough: as it is due, the next is set.
  if (source.wakeAtMs > state.nowMs && source.wakeAtMs <= atMs) return;
  source.wakeAtMs = atMs;
  pushHeap(state.deadlines, { atMs, kind: "source", from });
}

/** A transfer begins: it is late after as long as it may take. */
export function setLimit(state: ManagerState, transfer: TransferRecord, from: ByteSource): void {
  transfer.startedAtMs = state.nowMs;
  transfer.lateAtMs = state.nowMs + limitMs(state, transfer, from.source);
  if (transfer.lateAtMs < Infinity) wakeForSource(state, from, transfer.lateAtMs);
}

/** A transfer has brought all its bytes. */
export function noteRate(state: ManagerState, transfer: TransferRecord, movedBytes: number): void {
  const source = transfer.source?.source;
  if (source === undefined || movedBytes < MEASURED_BYTES_MIN) return;
  const rate = state.transferRates[source.kind];
  rate.bytes = rate.bytes * KEPT_WEIGHT + movedBytes;
  rate.ms = rate.ms * KEPT_WEIGHT + Math.max(1, state.nowMs - transfer.startedAtMs);
}

/**
 * TaskVine's rule (`transfer-outlier-factor`): the time that it takes at the mean rate, times a
 * factor, and never less than a minimum. Each time that was not enough, it is twice as long.
 */
function limitMs(state: ManagerState, transfer: TransferRecord, { kind }: Source): number {
  const { transferOutlierFactor, minTransferTimeoutMs, defaultTransferRate } = state.policies;
  const sizeBytes = transfer.file.bound?.sizeBytes ?? -1;
  if (sizeBytes < 0) return Infinity;
  const { bytes, ms } = state.transferRates[kind];
  const bytesPerMs = ms > 0 ? bytes / ms : defaultTransferRate / 1_000;
  const limit = Math.max(minTransferTimeoutMs, sizeBytes / bytesPerMs * transferOutlierFactor);
  return limit * 2 ** Math.min(transfer.lateCount, 30);
}
