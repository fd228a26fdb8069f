/**
 * Copies that nothing waits for: they take slots that nobody else wants, and give them up as
 * soon as somebody does.
 *
 * @module
 */

import type { TransferId } from "../../shared/ids.ts";
import { boundName, isAtUrl } from "./file.ts";
import { canReach } from "./reach.ts";
import { addPending, deleteReplica, forgetReplica } from "./replica.ts";
import { hasSlot, mayUsePeers, slotsOf, urlSource } from "./source.ts";
import { isAside } from "./source_fault.ts";
import { isHere } from "./spool.ts";
import {
  type FileRecord,
  type ManagerState,
  nextId,
  type Source,
  type TransferRecord,
  type TransferSource,
  type WorkerRecord,
} from "./state.ts";
import { activate, newTransfer } from "./transfer.ts";
import { wakeUpkeep } from "./upkeep.ts";
import { isBeingFetched } from "./url_source.ts";

/** Copies on their way to one worker at a time. */
export const ARRIVING_MAX = 2;

/** Holders that are looked at for one with a slot to spare. */
const HOLDERS_PROBED = 16;

/** Delay before a file is copied again after that failed; doubled for each further failure. */
const AGAIN_MS = 1_000;

/** Doublings of that delay at most. */
const AGAIN_DOUBLINGS_MAX = 6;

/** Begins a copy to `worker`, which has none and gets none yet. */
export function startBackground(
  state: ManagerState,
  file: FileRecord,
  { worker, source }: { readonly worker: WorkerRecord; readonly source: TransferSource },
): void {
  const transferId = nextId(state) as TransferId;
  const transfer = newTransfer({ transferId, file, worker, isBackground: true });
  addPending(file, worker).transfer = transfer;
  state.transfers.set(transferId, transfer);
  worker.arriving.add(transfer);
  source.source?.background.add(transfer);
  activate(state, transfer, source);
}

/** Something waits for the copy now: it keeps its slot as others do. */
export function raiseTransfer(transfer: TransferRecord): void {
  transfer.isBackground = false;
  transfer.worker.arriving.delete(transfer);
  transfer.source?.source?.background.delete(transfer);
}

/** A copy failed: the file is copied again after a while, perhaps to another worker. */
export function failBackground(state: ManagerState, transfer: TransferRecord): void {
  const { file, worker } = transfer;
  delayCopies(state, file);
  const replica = worker.replicas.get(boundName(file));
  if (replica?.transfer === transfer) forgetReplica(state, worker, replica);
}

/** Lets a while pass before the next copy: one failed, or its worker had no room to keep it. */
export function delayCopies(state: ManagerState, file: FileRecord): void {
  const failureCount = (file.copyAgain?.failureCount ?? 0) + 1;
  const doublings = Math.min(failureCount - 1, AGAIN_DOUBLINGS_MAX);
  const atMs = state.nowMs + AGAIN_MS * 2 ** doublings;
  file.copyAgain = { atMs, failureCount };
  wakeUpkeep(state, atMs);
}

/** Calls a copy off, so that its slot is free. */
export function callOffBackground(state: ManagerState, transfer: TransferRecord): void {
  const { file, worker } = transfer;
  const replica = worker.replicas.get(boundName(file));
  if (replica?.transfer === transfer) deleteReplica(state, worker, replica);
}

/** Frees a slot of one of `sources`, all of which are busy, if a copy has one. */
export function makeWay(
  state: ManagerState,
  transfer: TransferRecord,
  sources: readonly Source[],
): void {
  for (const { background } of sources) {
    // The newest has the least to lose.
    const last = [...background].at(-1);
    // One that fetches the same file from its url brings it to where this one can have it from.
    const isSame = last?.source?.kind === "url" && last.file === transfer.file;
    if (last !== undefined && !isSame) callOffBackground(state, last);
    if (transfer.source !== undefined) return;
  }
}

/** A source that can serve one more copy to `worker` and that nobody else waits for. */
export function spareSource(
  state: ManagerState,
  file: FileRecord,
  worker?: WorkerRecord,
): TransferSource | undefined {
  const { managerSource } = state;
  let best: WorkerRecord | undefined;
  let probed = 0;
  for (const [holder, replica] of mayUsePeers(state, file) ? file.replicas : []) {
    probed += 1;
    if (probed > HOLDERS_PROBED) break;
    if (replica.state !== "ready" || replica.generation !== file.generation) continue;
    if (replica.isSuspect) continue;
    if (holder.link.kind !== "open" || !isSpare(state, holder.source)) continue;
    if (worker !== undefined && !canReach(state, worker, holder)) continue;
    if (best === undefined || holder.source.active.size < best.source.active.size) best = holder;
  }
  if (best !== undefined) return { kind: "worker", source: best.source, worker: best };
  if (isHere(state, file) && isSpare(state, managerSource)) {
    return { kind: "manager", source: managerSource };
  }
  if (file.origin.kind !== "url" || !isAtUrl(file)) return undefined;
  // Who has it, or will have it, passes it on.
  const isShared = file.readyCount > 0 || isBeingFetched(state, file);
  if (mayUsePeers(state, file) && isShared) return undefined;
  const source = urlSource(state, file.origin.host);
  return isSpare(state, source) ? { kind: "url", source } : undefined;
}

/** True while nobody waits for the source, and half of its slots are left to those who come. */
function isSpare(state: ManagerState, source: Source): boolean {
  const slots = slotsOf(state, source);
  if (!hasSlot(state, source) || source.storeQueue.size > 0 || isAside(state, source)) return false;
  if (source.background.size >= Math.max(1, Math.floor(slots / 2))) return false;
  for (const file of source.wanted) {
    if (file.queued.size > 0) return false;
    source.wanted.delete(file);
  }
  return true;
}
