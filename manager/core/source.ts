/** Where a transfer has its file from: peers before the manager and urls, the least busy first. */

import { INLINE_BYTES_MAX } from "../../shared/protocol.ts";
import { isAtUrl } from "./file.ts";
import { canReach } from "./reach.ts";
import { chooseMaking } from "./recipe.ts";
import { isAside } from "./source_fault.ts";
import { isHere } from "./spool.ts";
import {
  type FileRecord,
  type ManagerState,
  newSource,
  type Source,
  type TransferRecord,
  type TransferSource,
  type WorkerRecord,
} from "./state.ts";
import { isBeingFetched } from "./url_source.ts";

/** Holders that are looked at for the least busy one. */
const HOLDERS_PROBED = 16;

/** Holders that are looked at for one that is not busy at all. */
export const BUSY_HOLDERS_PROBED = 64;

/** Makes a holder that failed a transfer the last to be asked again. */
const FAILED_COST = 1e6;

/**
 * Copies of one large file that a holder sends at a time. Its network is shared by them: those who
 * wait are served sooner by the first who have received it, as a tree of few branches is the fastest.
 */
const FAN_OUT = 3;

/** What is as large as this takes longer to send than to agree about. */
const LARGE_BYTES = 4 * 2 ** 20;

/** A source with a free slot: small contents from the manager, else a peer, else where it is from. */
export function chooseSource(
  state: ManagerState,
  transfer: TransferRecord,
  holder?: WorkerRecord,
): TransferSource | undefined {
  const { file } = transfer;
  if (file.origin.kind === "recipe") return chooseMaking(state, transfer);
  const isAtHand = isHere(state, file);
  const isSmall = isAtHand && !file.bound?.isDirectory &&
    (file.bound?.sizeBytes ?? 0) <= INLINE_BYTES_MAX;
  if (isSmall) return { kind: "manager", source: state.managerSource };
  const peer = choosePeer(state, transfer, holder);
  const isElsewhere = isAtHand || isAtUrl(file);
  // A peer that failed this transfer is asked again only when nobody else has the file.
  if (peer !== undefined && !(isElsewhere && transfer.failed.has(peer.source))) return peer;
  if (isLeftToPeers(state, transfer)) return undefined;
  if (isAtHand && canTakeMore(state, state.managerSource)) {
    return { kind: "manager", source: state.managerSource };
  }
  if (file.origin.kind !== "url" || !isAtUrl(file)) return undefined;
  // The manager has it as well, and is busy: still one is enough for all.
  if (mayUsePeers(state, file) && isBeingFetched(state, file)) return undefined;
  const source = urlSource(state, file.origin.host);
  return canTakeMore(state, source) ? { kind: "url", source } : undefined;
}

/** Sources that may serve the transfer once they have a free slot, or are asked again. */
export function possibleSources(state: ManagerState, transfer: TransferRecord): Source[] {
  const { file, worker } = transfer;
  const sources: Source[] = [];
  if (isHere(state, file)) sources.push(state.managerSource);
  if (file.origin.kind === "url" && isAtUrl(file)) {
    sources.push(urlSource(state, file.origin.host));
  }
  if (!mayUsePeers(state, file)) return sources;
  for (const [holder, replica] of file.replicas) {
    if (replica.state !== "ready" || holder === worker) continue;
    if (canReach(state, worker, holder)) sources.push(holder.source);
    if (sources.length >= HOLDERS_PROBED) break;
  }
  return sources;
}

/** True when workers may give the file to each other. */
export function mayUsePeers(state: ManagerState, file: FileRecord): boolean {
  return state.policies.peerTransfers && file.peerTransfer;
}

/** What serves files of that url host, and takes them; on no table before something is under way or waits. */
export function urlSource({ urlSources }: ManagerState, host: string): Source {
  return urlSources.get(host) ?? newSource("url", host);
}

/** Something is under way with the source, or waits: what is known of a url host is kept meanwhile. */
export function keepUrlSource({ urlSources }: ManagerState, source: Source): void {
  if (source.kind === "url") urlSources.set(source.host, source);
}

/** Forgets a host with which nothing is under way, for which nothing waits, and which did no wrong. */
export function releaseUrlSource(state: ManagerState, source: Source): void {
  const { active, wanted, stores, storeQueue } = source;
  const isBusy = active.size + wanted.size + stores.size + storeQueue.size > 0;
  if (!isBusy && !isAside(state, source) && state.urlSources.get(source.host) === source) {
    state.urlSources.delete(source.host);
  }
}

/** Nothing waits for the file any more: its origin need not offer its slots for it. */
export function forgetWanted(state: ManagerState, file: FileRecord): void {
  state.managerSource.wanted.delete(file);
  const source = file.origin.kind === "url" && state.urlSources.get(file.origin.host);
  if (!source) return;
  source.wanted.delete(file);
  releaseUrlSource(state, source);
}

/** How many transfers `source` serves at a time. */
export function slotsOf(state: ManagerState, { kind }: Source): number {
  const { transfersFromManager, transfersPerUrl, transfersPerWorker } = state.policies;
  if (kind === "manager") return transfersFromManager;
  return kind === "url" ? transfersPerUrl : transfersPerWorker;
}

/** True when `source` has a slot left. */
export function hasSlot(state: ManagerState, source: Source): boolean {
  return source.active.size + source.stores.size < slotsOf(state, source);
}

/** True when it has one, or could have that of a copy which nothing waits for. */
export function canFreeSlot(state: ManagerState, source: Source): boolean {
  const { active, stores, background } = source;
  return active.size + stores.size - background.size < slotsOf(state, source);
}

/** True when `source` is asked, and has a slot left. */
function canTakeMore(state: ManagerState, source: Source): boolean {
  return hasSlot(state, source) && !isAside(state, source);
}

/** True when `source` could serve the transfer at once if it had a slot more. */
export function lacksSlot(state: ManagerState, transfer: TransferRecord, source: Source): boolean {
  if (isAside(state, source) || hasSlot(state, source)) return false;
  return source.kind === "worker"
    ? !isFannedOut(source, transfer.file)
    : !isLeftToPeers(state, transfer);
}

/** The least busy of some holders; one that failed this transfer only when there is no other. */
export function choosePeer(
  state: ManagerState,
  transfer: TransferRecord,
  preferred?: WorkerRecord,
): Extract<TransferSource, { kind: "worker" }> | undefined {
  const { file } = transfer;
  if (!mayUsePeers(state, file)) return undefined;
  if (preferred !== undefined && peerCost(state, transfer, preferred) < FAILED_COST) {
    return { kind: "worker", source: preferred.source, worker: preferred };
  }
  let best: WorkerRecord | undefined;
  let bestCost = Infinity;
  let probed = 0;
  let freeCount = 0;
  for (const holder of file.replicas.keys()) {
    probed += 1;
    const cost = peerCost(state, transfer, holder);
    if (cost < bestCost) [best, bestCost] = [holder, cost];
    if (cost < Infinity) freeCount += 1;
    if (freeCount >= HOLDERS_PROBED || probed >= BUSY_HOLDERS_PROBED) break;
  }
  return best && { kind: "worker", source: best.source, worker: best };
}

/** What speaks against `holder` as the source: what it serves; infinite when it cannot serve. */
function peerCost(state: ManagerState, transfer: TransferRecord, holder: WorkerRecord): number {
  const { source } = holder;
  if (!isHolderFor(state, transfer, holder) || holder.link.kind !== "open") return Infinity;
  if (!canTakeMore(state, source) || isFannedOut(source, transfer.file)) return Infinity;
  return source.active.size + (transfer.failed.has(source) ? FAILED_COST : 0);
}

/** True when `holder` has what the transfer is to bring, and its worker would probably reach it. */
function isHolderFor(state: ManagerState, transfer: TransferRecord, holder: WorkerRecord): boolean {
  const { file, worker, generation } = transfer;
  const replica = file.replicas.get(holder);
  if (replica?.state !== "ready" || replica.generation !== generation) return false;
  if (replica.isSuspect) return false;
  return holder !== worker && canReach(state, worker, holder);
}

/** True when the holder sends the file to as many as is good for those who wait. */
function isFannedOut({ active }: Source, file: FileRecord): boolean {
  if ((file.bound?.sizeBytes ?? 0) < LARGE_BYTES || active.size < FAN_OUT) return false;
  let count = 0;
  for (const transfer of active) {
    if (transfer.file === file && !transfer.isBackground) count += 1;
  }
  return count >= FAN_OUT;
}

/**
 * True when a peer can pass the file on, though it be busy, and its origin need not send it: the
 * manager has, as often as it may at a time, and a url is asked once, by one worker for all.
 */
function isLeftToPeers(state: ManagerState, transfer: TransferRecord): boolean {
  const { file } = transfer;
  if (!mayUsePeers(state, file)) return false;
  if (isHere(state, file)) {
    if (file.firstHandCount < state.policies.transfersFromManager) return false;
  } else if (isBeingFetched(state, file)) {
    return true;
  }
  let probed = 0;
  for (const holder of file.replicas.keys()) {
    const { source, link } = holder;
    const isOther = !transfer.failed.has(source) && !isAside(state, source);
    if (isOther && link.kind === "open" && isHolderFor(state, transfer, holder)) return true;
    probed += 1;
    if (probed >= BUSY_HOLDERS_PROBED) return false;
  }
  return false;
}
