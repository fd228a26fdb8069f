/** Copies to workers: from which source, how many at a time, and what happens when one fails. */

import { assert } from "../../shared/assert.ts";
import { pushHeap } from "../../shared/heap.ts";
import type { TransferId } from "../../shared/ids.ts";
import { INLINE_BYTES_MAX } from "../../shared/protocol.ts";
import { callOffBackground, failBackground, makeWay } from "./background.ts";
import { bringHome, callOffHome } from "./delivery.ts";
import type { ManagerEvent, WorkerReport } from "./event.ts";
import { boundName, fileOf, isAtUrl, updateAvailability } from "./file.ts";
import { failInstancesFor } from "./library.ts";
import { checkGiven, noteLie } from "./lie.ts";
import { canReach, noteUnreached } from "./reach.ts";
import { canRemake } from "./recovery.ts";
import { deleteReplica, ensureReplica, forgetReplica, isNeededAt } from "./replica.ts";
import { forgetSpool, isHere, reviewSpool } from "./spool.ts";
import {
  type FileRecord,
  type ManagerState,
  nextId,
  type ReplicaRecord,
  type Source,
  tell,
  type TransferRecord,
  type TransferSource,
  type WorkerRecord,
} from "./state.ts";
import { failTriesFor } from "./try.ts";
import { startStores } from "./url_output.ts";
import {
  awaitsPeer,
  failWaiting,
  forgetIdleUrl,
  hasSlot,
  noteUrlFailure,
  urlSource,
} from "./url_source.ts";

/** Attempts to bring one file to one worker. */
const ATTEMPTS_MAX = 6;

/** Delay before the second attempt; doubled for each further one. */
const BACKOFF_MS = 100;

/** Holders that are looked at for the least busy one. */
const HOLDERS_PROBED = 16;

/** Holders that are looked at for one that is not busy at all. */
const BUSY_HOLDERS_PROBED = 64;

/** Transfers that wait for holders of their own and are passed over for those behind them. */
const PASSED_MAX = 64;

/** Makes a holder that failed a transfer the last to be asked again. */
const FAILED_COST = 1e6;

/** How tries end whose file does not come. */
type FailedOutcome = "transfer_failed" | "disk_full" | "input_modified";

/** Begins to bring a file to a worker; at once, or when a source has a free slot. */
export function startTransfer(
  state: ManagerState,
  copy: {
    readonly file: FileRecord;
    readonly worker: WorkerRecord;
    readonly replica: ReplicaRecord;
  },
): void {
  const { file, worker, replica } = copy;
  const transferId = nextId(state) as TransferId;
  const transfer = newTransfer({ transferId, file, worker, isBackground: false });
  replica.transfer = transfer;
  state.transfers.set(transferId, transfer);
  beginTransfer(state, transfer);
}

/** A transfer of the newest making that has not begun. */
export function newTransfer(
  wanted: Pick<TransferRecord, "transferId" | "file" | "worker" | "isBackground">,
): TransferRecord {
  return {
    ...wanted,
    generation: wanted.file.generation,
    source: undefined,
    attemptCount: 0,
    isBackingOff: false,
    failed: new Set(),
    unreached: undefined,
  };
}

/** The transfer is over, one way or the other: its slot is free. */
export function endTransfer(
  state: ManagerState,
  transfer: TransferRecord,
  { movedBytes }: { readonly movedBytes: number },
): void {
  const { source, file, worker, transferId } = transfer;
  state.transfers.delete(transferId);
  worker.arriving.delete(transfer);
  unqueue(state, transfer);
  const replica = worker.replicas.get(boundName(file));
  if (replica?.transfer === transfer) replica.transfer = undefined;
  if (source === undefined) return reviewSpool(state, file);
  countBytes(state, source, movedBytes);
  state.facts.push({
    kind: "transfer_ended",
    transferId,
    fileId: file.fileId,
    from: source.kind,
    to: "worker",
    workerId: worker.workerId,
    movedBytes,
    message: "",
  });
  freeSlot(state, transfer);
  reviewSpool(state, file);
}

/** A worker could not bring the file: another source, another time, or not at all. */
export function failTransfer(
  state: ManagerState,
  worker: WorkerRecord,
  message: Extract<WorkerReport, { kind: "transfer_failed" }>,
): void {
  const transfer = state.transfers.get(message.transferId);
  if (transfer === undefined) return checkGiven(state, worker, message.transferId);
  if (transfer.worker !== worker) return noteLie(state, worker, "a transfer of another worker");
  const { source, file, transferId } = transfer;
  state.facts.push({
    kind: "transfer_failed",
    transferId,
    fileId: file.fileId,
    from: source?.kind ?? "worker",
    to: "worker",
    workerId: worker.workerId,
    movedBytes: 0,
    message: message.message,
  });
  if (message.isUnreachable === true && source?.kind === "worker") {
    // Not for another time, and not the file's fault: another way, at once.
    noteUnreached(state, worker, source.worker);
    transfer.unreached = source.worker;
    freeSlot(state, transfer);
    if (transfer.isBackground) return failBackground(state, transfer);
    return beginTransfer(state, transfer);
  }
  transfer.attemptCount += 1;
  if (source?.source !== undefined) transfer.failed.add(source.source);
  const why = { message: message.message, outcome: outcomeOf(message) };
  const isSpent = noteUrlFailure(transfer, message);
  // Before another one takes its slot to be told the same.
  if (isSpent) failWaiting(state, transfer, why);
  freeSlot(state, transfer);
  if (transfer.isBackground) return failBackground(state, transfer);
  const { isDiskFull = false } = message;
  const isFinal = isSpent || !message.canRetry || transfer.attemptCount >= ATTEMPTS_MAX ||
    isDiskFull && !isNeededAt(worker, file);
  if (isFinal) return abandonTransfer(state, transfer, why);
  transfer.isBackingOff = true;
  const delayMs = BACKOFF_MS * 2 ** (transfer.attemptCount - 1);
  pushHeap(state.deadlines, { atMs: state.nowMs + delayMs, kind: "transfer", transfer });
}

function outcomeOf(
  { isDiskFull, isModified }: Extract<WorkerReport, { kind: "transfer_failed" }>,
): FailedOutcome {
  if (isDiskFull === true) return "disk_full";
  return isModified === true ? "input_modified" : "transfer_failed";
}

/** What was to be fetched cannot be read here: the copy of it, if it is one, is gone. */
export function failFetch(
  state: ManagerState,
  event: Extract<ManagerEvent, { kind: "fetch_failed" }>,
): void {
  const { transferId, message } = event;
  const transfer = state.transfers.get(transferId);
  if (transfer === undefined) return;
  const { file, worker, generation } = transfer;
  forgetSpool(state, file);
  const failed = { transferId, name: boundName(file), generation, message, canRetry: true };
  failTransfer(state, worker, { kind: "transfer_failed", ...failed });
  updateAvailability(state, file);
}

/** The delay before another attempt is over. */
export function resumeTransfer(state: ManagerState, transfer: TransferRecord): void {
  if (state.transfers.get(transfer.transferId) !== transfer || !transfer.isBackingOff) return;
  transfer.isBackingOff = false;
  beginTransfer(state, transfer);
}

/** Starts what waits for `file`, as a source of it came up or became free: `holder`, if a worker. */
export function startQueued(state: ManagerState, file: FileRecord, holder?: WorkerRecord): void {
  let passed = 0;
  for (const transfer of file.queued) {
    const source = chooseSource(state, transfer, holder);
    if (source !== undefined) {
      file.queued.delete(transfer);
      activate(state, transfer, source);
    } else if (isStranded(state, transfer)) {
      file.queued.delete(transfer);
      strand(state, transfer);
    } else {
      noteWanted(state, transfer);
      // What one that can reach every holder has to wait for, those behind it have to as well.
      passed += 1;
      if (transfer.worker.reach.unreached.size === 0 || passed >= PASSED_MAX) return;
    }
  }
}

/** The file may be had now by transfers that no holder could serve. */
export function supplyStranded(state: ManagerState, file: FileRecord): void {
  const stranded = state.stranded.get(file);
  if (stranded === undefined) return;
  state.stranded.delete(file);
  for (const transfer of stranded) file.queued.add(transfer);
  startQueued(state, file);
  callOffHome(state, file);
}

/** The file does not come by way of the manager either: it is made again, or who needs it fails. */
export function failStranded(state: ManagerState, file: FileRecord, message: string): void {
  const stranded = state.stranded.get(file);
  if (stranded === undefined) return;
  if (canRemake(state, file)) {
    for (const [holder, replica] of file.replicas) {
      if (replica.state === "ready") deleteReplica(state, holder, replica);
    }
    return;
  }
  for (const transfer of [...stranded]) {
    if (!state.transfers.has(transfer.transferId)) continue;
    const why = `${whyStranded(transfer)}: ${message}`;
    abandonTransfer(state, transfer, { message: why, outcome: "transfer_failed" });
  }
}

/** The source is gone: its transfers look for another one. */
export function loseSource(state: ManagerState, source: Source): void {
  for (const transfer of [...source.active]) {
    if (transfer.isBackground) {
      callOffBackground(state, transfer);
      continue;
    }
    source.active.delete(transfer);
    transfer.source = undefined;
    if (state.transfers.get(transfer.transferId) !== transfer) continue;
    // The worker may still be at it: a new number makes the old answer void.
    state.transfers.delete(transfer.transferId);
    transfer.transferId = nextId(state) as TransferId;
    state.transfers.set(transfer.transferId, transfer);
    beginTransfer(state, transfer);
  }
  const wanted = [...source.wanted];
  source.wanted.clear();
  for (const file of wanted) startQueued(state, file);
}

/** Tells a worker that came back of a transfer that it may not have heard of. */
export function repeatTransfer(state: ManagerState, transfer: TransferRecord): void {
  if (transfer.source !== undefined) order(state, transfer, transfer.source);
}

/** Makes the file's holders and the manager's slots known to each other anew. */
function beginTransfer(state: ManagerState, transfer: TransferRecord): void {
  const source = chooseSource(state, transfer);
  if (source !== undefined) return activate(state, transfer, source);
  if (isStranded(state, transfer)) return strand(state, transfer);
  transfer.file.queued.add(transfer);
  noteWanted(state, transfer);
}

/** Lets a transfer wait until its file is at the manager, which no holder need reach. */
function strand(state: ManagerState, transfer: TransferRecord): void {
  const { file } = transfer;
  let stranded = state.stranded.get(file);
  if (stranded === undefined) state.stranded.set(file, stranded = new Set());
  stranded.add(transfer);
  bringHome(state, file);
}

/** True when the file is at workers only, none of which the receiver may ask, or can reach. */
function isStranded(state: ManagerState, transfer: TransferRecord): boolean {
  const { file, worker, generation } = transfer;
  if (isAtUrl(file) || file.origin.kind === "recipe") return false;
  if (isHere(state, file)) return false;
  if (!mayUsePeers(state, file)) return true;
  let probed = 0;
  for (const [holder, replica] of file.replicas) {
    const isHolder = replica.state === "ready" && replica.generation === generation;
    if (isHolder && holder !== worker && canReach(state, worker, holder)) return false;
    probed += 1;
    if (probed >= BUSY_HOLDERS_PROBED) break;
  }
  return true;
}

function whyStranded({ file, worker, unreached }: TransferRecord): string {
  const what = `file "${boundName(file)}" did not come by way of the manager`;
  if (unreached === undefined) return `Workers may not pass it on, and ${what}`;
  return `Worker ${worker.workerId} on ${worker.host} cannot reach worker ` +
    `${unreached.workerId} on ${unreached.host}, and ${what}`;
}

/** Takes a transfer off the lists of those that wait. */
function unqueue(state: ManagerState, transfer: TransferRecord): void {
  const { file } = transfer;
  file.queued.delete(transfer);
  const stranded = state.stranded.get(file);
  if (stranded === undefined || !stranded.delete(transfer) || stranded.size > 0) return;
  state.stranded.delete(file);
  callOffHome(state, file);
}

/** Has each source that may serve the transfer offer its next free slot. */
function noteWanted(state: ManagerState, transfer: TransferRecord): void {
  const sources = possibleSources(state, transfer);
  for (const possible of sources) possible.wanted.add(transfer.file);
  makeWay(state, transfer, sources);
}

/** Gives the transfer a slot of `source` and tells its worker. */
export function activate(
  state: ManagerState,
  transfer: TransferRecord,
  source: TransferSource,
): void {
  const { file, worker, transferId } = transfer;
  transfer.source = source;
  source.source?.active.add(transfer);
  state.facts.push({
    kind: "transfer_started",
    transferId,
    fileId: file.fileId,
    from: source.kind,
    to: "worker",
    workerId: worker.workerId,
    movedBytes: 0,
    message: "",
  });
  if (source.kind === "recipe" && file.origin.kind === "recipe") {
    ensureReplica(state, fileOf(state, file.origin.input), worker);
  }
  order(state, transfer, source);
}

/** Tells the worker, unless it is away: `reconcile` brings it up then. */
function order(state: ManagerState, transfer: TransferRecord, source: TransferSource): void {
  const { file, worker, transferId, generation } = transfer;
  const { bound, origin } = file;
  assert(bound, `File ${file.fileId} must be bound before it moves`);
  if (worker.link.kind !== "open") return;
  const { name, sizeBytes, digest, isDirectory, isExecutable } = bound;
  if (source.kind === "recipe") {
    assert(origin.kind === "recipe", `File ${file.fileId} must have a recipe`);
    const input = boundName(fileOf(state, origin.input));
    const recipe = { kind: origin.recipe, input };
    return tell(state, worker, { kind: "make", transferId, name, level: file.level, recipe });
  }
  state.fetches.push({
    kind: "fetch",
    workerId: worker.workerId,
    session: worker.link.session,
    order: {
      kind: "fetch",
      transferId,
      name,
      generation,
      sizeBytes,
      digest,
      isDirectory,
      isExecutable,
      level: file.level,
    },
    from: sourceRef(file, source),
  });
}

function sourceRef(file: FileRecord, source: Exclude<TransferSource, { kind: "recipe" }>) {
  if (source.kind === "worker") {
    return { kind: "worker", workerId: source.worker.workerId } as const;
  }
  if (source.kind === "url" && file.origin.kind === "url") {
    const { validator } = file.bound ?? {};
    const { url } = file.origin;
    return { kind: "url", url, ...(validator === undefined ? {} : { validator }) } as const;
  }
  return { kind: "manager", fileId: file.fileId } as const;
}

/** A source with a free slot: small contents from the manager, else a peer, else where it is from. */
function chooseSource(
  state: ManagerState,
  transfer: TransferRecord,
  holder?: WorkerRecord,
): TransferSource | undefined {
  const { file } = transfer;
  const { policies, managerSource } = state;
  if (file.origin.kind === "recipe") return { kind: "recipe", source: undefined };
  const manager = { kind: "manager", source: managerSource } as const;
  const isAtHand = isHere(state, file);
  const isSmall = isAtHand && !file.bound?.isDirectory &&
    (file.bound?.sizeBytes ?? 0) <= INLINE_BYTES_MAX;
  if (isSmall) return manager;
  const peer = choosePeer(state, transfer, holder);
  const isElsewhere = isAtHand || isAtUrl(file);
  // A peer that failed this transfer is asked again only when nobody else has the file.
  if (peer !== undefined && !(isElsewhere && transfer.failed.has(peer.source))) return peer;
  if (isAtHand && managerSource.active.size < policies.transfersFromManager) {
    return manager;
  }
  if (file.origin.kind !== "url" || !isAtUrl(file)) return undefined;
  if (awaitsPeer(state, file, transfer)) return undefined;
  const source = urlSource(state, file.origin.host);
  return hasSlot(state, source) ? { kind: "url", source } : undefined;
}

/** The least busy of some holders; one that failed this transfer only when there is no other. */
function choosePeer(
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
  const { file, generation } = transfer;
  const replica = file.replicas.get(holder);
  if (replica?.state !== "ready" || replica.generation !== generation) return Infinity;
  if (holder === transfer.worker || holder.link.kind !== "open") return Infinity;
  if (!canReach(state, transfer.worker, holder)) return Infinity;
  const activeCount = holder.source.active.size;
  if (activeCount >= state.policies.transfersPerWorker) return Infinity;
  return activeCount + (transfer.failed.has(holder.source) ? FAILED_COST : 0);
}

/** True when workers may give the file to each other. */
export function mayUsePeers(state: ManagerState, file: FileRecord): boolean {
  return state.policies.peerTransfers && file.peerTransfer;
}

/** Sources that may serve the transfer once they have a free slot. */
function possibleSources(state: ManagerState, transfer: TransferRecord): Source[] {
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

/** Gives the slot back and lets others have it. */
function freeSlot(state: ManagerState, transfer: TransferRecord): void {
  const from = transfer.source;
  transfer.source = undefined;
  if (from?.source === undefined) return;
  from.source.active.delete(transfer);
  from.source.background.delete(transfer);
  offerSlots(state, from.source, from.kind === "worker" ? from.worker : undefined);
  const { origin } = transfer.file;
  if (origin.kind === "url") forgetIdleUrl(state, origin.host, from.source);
}

/** Lets what waits for `source`, which is `holder` if it is a worker, start. */
export function offerSlots(state: ManagerState, source: Source, holder?: WorkerRecord): void {
  startStores(state, source);
  let left = source.wanted.size;
  for (const file of source.wanted) {
    // Who finds all its sources busy again comes after those that were here before.
    if (left === 0 || !hasSlot(state, source)) return;
    left -= 1;
    source.wanted.delete(file);
    startQueued(state, file, holder);
  }
}

/** How many transfers `source` serves at a time. */
export function slotsOf(state: ManagerState, source: Source): number {
  const { transfersFromManager, transfersPerUrl, transfersPerWorker } = state.policies;
  if (source.kind === "manager") return transfersFromManager;
  return source.kind === "url" ? transfersPerUrl : transfersPerWorker;
}

/** The file cannot come to that worker: what needs it there is told. */
export function abandonTransfer(
  state: ManagerState,
  transfer: TransferRecord,
  why: { readonly message: string; readonly outcome: FailedOutcome },
): void {
  const { message } = why;
  const { file, worker } = transfer;
  const replica = worker.replicas.get(boundName(file));
  state.transfers.delete(transfer.transferId);
  unqueue(state, transfer);
  if (replica !== undefined) {
    replica.transfer = undefined;
    forgetReplica(state, worker, replica);
  }
  failTriesFor(state, { worker, file, ...why });
  failInstancesFor(state, { worker, file, message });
  for (const recipe of file.recipes) {
    const made = recipe.bound && worker.replicas.get(recipe.bound.name);
    if (made?.transfer !== undefined) abandonTransfer(state, made.transfer, why);
  }
  reviewSpool(state, file);
}

function countBytes(state: ManagerState, source: TransferSource, movedBytes: number): void {
  const { counters } = state;
  if (source.kind === "manager") counters.managerToWorkerBytes += movedBytes;
  if (source.kind === "worker") counters.workerToWorkerBytes += movedBytes;
  if (source.kind === "url") counters.urlToWorkerBytes += movedBytes;
}
