/** Copies to workers: from which source, how many at a time, and what happens when one fails. */

import { assert } from "../../shared/assert.ts";
import { pushHeap } from "../../shared/heap.ts";
import type { TransferId } from "../../shared/ids.ts";
import { callOffBackground, failBackground, makeWay } from "./background.ts";
import { bringHome, callOffHome } from "./delivery.ts";
import type { ManagerEvent, WorkerReport } from "./event.ts";
import type { Fact } from "./fact.ts";
import { boundName, isAtUrl, updateAvailability } from "./file.ts";
import { failInstancesFor } from "./library.ts";
import { checkGiven, noteLie } from "./lie.ts";
import { canReach, noteUnreached } from "./reach.ts";
import { passMaking, recipeInputs, recipeOf } from "./recipe.ts";
import { canRemake, noteLost } from "./recovery.ts";
import {
  deleteReplica,
  ensureReplica,
  forgetReplica,
  isNeededAt,
  suspectReplica,
} from "./replica.ts";
import {
  BUSY_HOLDERS_PROBED,
  canFreeSlot,
  chooseSource,
  forgetWanted,
  keepUrlSource,
  lacksSlot,
  mayUsePeers,
  possibleSources,
  releaseUrlSource,
} from "./source.ts";
import { blameSource, isAside } from "./source_fault.ts";
import { setLimit, wakeForSource } from "./source_watch.ts";
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
import { failWaiting, noteUrlFailure } from "./url_source.ts";

type TransferFailure = Extract<WorkerReport, { kind: "transfer_failed" }>;

/** Attempts to bring one file to one worker. */
const ATTEMPTS_MAX = 6;

/** Delay before the second attempt; doubled for each further one. */
const BACKOFF_MS = 100;

/** Bytes that may come over the network for one file, in all its attempts. */
export const MOVED_BYTES_MAX: number = 2 ** 52;

/** Transfers that wait for holders of their own and are passed over for those behind them. */
const PASSED_MAX = 64;

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
    isUnchecked: false,
    startedAtMs: 0,
    lateAtMs: Infinity,
    lateCount: 0,
  };
}

/** The worker has the file: the transfer is over, and its slot is free. */
export function endTransfer(
  state: ManagerState,
  transfer: TransferRecord,
  { movedBytes }: { readonly movedBytes: number },
): void {
  const { source } = transfer;
  if (source !== undefined) countBytes(state, source, movedBytes);
  tellTransfer(state, transfer, { kind: "transfer_ended", movedBytes });
  removeTransfer(state, transfer);
}

/** Nobody waits for the file there any more: its slot is free. */
export function callOffTransfer(state: ManagerState, transfer: TransferRecord): void {
  tellTransfer(state, transfer, { kind: "transfer_called_off" });
  removeTransfer(state, transfer);
}

function removeTransfer(state: ManagerState, transfer: TransferRecord): void {
  const { source, file, worker, transferId } = transfer;
  state.transfers.delete(transferId);
  worker.arriving.delete(transfer);
  unqueue(state, transfer);
  const replica = worker.replicas.get(boundName(file));
  if (replica?.transfer === transfer) replica.transfer = undefined;
  if (source !== undefined) freeSlot(state, transfer);
  reviewSpool(state, file);
}

/** A worker could not bring the file: another source, another time, or not at all. */
export function failTransfer(
  state: ManagerState,
  worker: WorkerRecord,
  message: TransferFailure,
): void {
  const transfer = state.transfers.get(message.transferId);
  if (transfer === undefined) return checkGiven(state, worker, message.transferId);
  if (transfer.worker !== worker) return noteLie(state, worker, "a transfer of another worker");
  const { source, file } = transfer;
  const { movedBytes = 0 } = message;
  if (movedBytes > MOVED_BYTES_MAX) return noteLie(state, worker, `${movedBytes} bytes moved`);
  if (source !== undefined) {
    countBytes(state, source, movedBytes);
    const { message: said } = message;
    tellTransfer(state, transfer, { kind: "transfer_failed", movedBytes, message: said });
    renumber(state, transfer);
  }
  if (source?.kind === "worker" && isOutOfReach(transfer, source, message)) {
    // Not for another time, and not the file's fault: another way, at once.
    noteUnreached(state, worker, source.worker);
    transfer.unreached = source.worker;
    freeSlot(state, transfer);
    if (transfer.isBackground) return failBackground(state, transfer);
    return beginTransfer(state, transfer);
  }
  transfer.attemptCount += 1;
  const why = { message: message.message, outcome: outcomeOf(message) };
  const isSpent = noteUrlFailure(transfer, message);
  // Before another one takes its slot to be told the same.
  if (isSpent) failWaiting(state, transfer, why);
  if (source !== undefined && source.kind !== "recipe") {
    transfer.failed.add(source.source);
    if (message.isSourceFault === true) blameSource(state, source, worker);
  }
  const { isCorrupt = false, isDiskFull = false } = message;
  if (isCorrupt || transfer.attemptCount > 1 && !isDiskFull) doubtSource(state, transfer);
  freeSlot(state, transfer);
  if (transfer.isBackground) return failBackground(state, transfer);
  const isFinal = isSpent || !message.canRetry || transfer.attemptCount >= ATTEMPTS_MAX ||
    isDiskFull && !isNeededAt(worker, file);
  if (isFinal) return abandonTransfer(state, transfer, why);
  transfer.isBackingOff = true;
  const delayMs = BACKOFF_MS * 2 ** (transfer.attemptCount - 1);
  pushHeap(state.deadlines, { atMs: state.nowMs + delayMs, kind: "transfer", transfer });
  passMaking(state, file);
}

function outcomeOf({ isDiskFull, isModified }: TransferFailure): FailedOutcome {
  if (isDiskFull === true) return "disk_full";
  return isModified === true ? "input_modified" : "transfer_failed";
}

/** True when the holder's addresses take no connection, or connections bring it nothing twice. */
function isOutOfReach(
  { failed }: TransferRecord,
  { source }: TransferSource,
  { isUnreachable = false, isSourceFault = false }: TransferFailure,
): boolean {
  return isUnreachable || isSourceFault && source !== undefined && failed.has(source);
}

/** The bytes that came were others, or did not come twice: whoever has them looks at them. */
function doubtSource(state: ManagerState, { source, file, generation }: TransferRecord): void {
  if (source?.kind === "worker") {
    const replica = file.replicas.get(source.worker);
    if (replica?.generation === generation) suspectReplica(state, source.worker, replica);
  } else if (source?.kind === "manager" && file.readyCount > 0) {
    // Of a copy here of what workers have, theirs are as good.
    forgetSpool(state, file);
  }
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
  noteLost(state, file);
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
      activate(state, transfer, source);
      leaveQueue(state, transfer);
    } else if (isStranded(state, transfer)) {
      leaveQueue(state, transfer);
      strand(state, transfer);
    } else {
      noteWanted(state, transfer);
      // What one that can reach every holder has to wait for, those behind it have to as well.
      passed += 1;
      if (transfer.worker.reach.unreached.size === 0 || passed >= PASSED_MAX) return;
    }
  }
}

/** A worker that had the file has it no more: who waited for that copy alone has it by another way. */
export function loseHolder(state: ManagerState, file: FileRecord): void {
  if (file.queued.size > 0 && file.isAvailable) startQueued(state, file);
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
    const isThere = state.transfers.get(transfer.transferId) === transfer;
    if (isThere) {
      tellTransfer(state, transfer, { kind: "transfer_failed", message: "Its source is gone" });
    }
    transfer.source = undefined;
    if (!isThere) continue;
    renumber(state, transfer);
    beginTransfer(state, transfer);
  }
  const wanted = [...source.wanted];
  source.wanted.clear();
  for (const file of wanted) startQueued(state, file);
}

/** The source is no longer set aside, or a transfer from it may be late. */
export function reviewSource(
  state: ManagerState,
  from: Exclude<TransferSource, { kind: "recipe" }>,
): void {
  const { source } = from;
  if (state.nowMs < source.wakeAtMs) return;
  for (const transfer of [...source.active]) {
    if (transfer.source?.source !== source) continue;
    if (transfer.lateAtMs <= state.nowMs) hurryTransfer(state, transfer, from);
    else if (transfer.lateAtMs < Infinity) wakeForSource(state, from, transfer.lateAtMs);
  }
  if (isAside(state, source)) wakeForSource(state, from, source.asideUntilMs);
  else offerSlots(state, source, from.kind === "worker" ? from.worker : undefined);
  if (from.kind === "url") releaseUrlSource(state, source);
}

/** Policies have changed: what waits may have to wait no more, or for something else. */
export function reviewTransfers(state: ManagerState): void {
  const files = new Set<FileRecord>();
  for (const { file } of state.transfers.values()) files.add(file);
  for (const file of files) {
    for (const transfer of [...state.stranded.get(file) ?? []]) {
      if (isStranded(state, transfer)) continue;
      unqueue(state, transfer);
      file.queued.add(transfer);
    }
    if (file.queued.size > 0) startQueued(state, file);
  }
}

/** A transfer takes far longer than others do: it is given up for another source, if there is one. */
function hurryTransfer(
  state: ManagerState,
  transfer: TransferRecord,
  from: Exclude<TransferSource, { kind: "recipe" }>,
): void {
  const { worker, failed } = transfer;
  transfer.lateCount += 1;
  const wasFailed = failed.has(from.source);
  failed.add(from.source);
  const other = chooseSource(state, transfer);
  if (other === undefined || other.source === from.source || worker.link.kind !== "open") {
    // As long as something comes, slow is better than nothing.
    if (!wasFailed) failed.delete(from.source);
    setLimit(state, transfer, from);
    return;
  }
  const ms = Math.round(state.nowMs - transfer.startedAtMs);
  const message = `It was not done after ${ms} ms`;
  tellTransfer(state, transfer, { kind: "transfer_failed", message });
  blameSource(state, from, worker);
  renumber(state, transfer);
  freeSlot(state, transfer);
  if (transfer.isBackground) return callOffBackground(state, transfer);
  beginTransfer(state, transfer);
}

/** The worker may still be at it: a new number makes the old answer void. */
function renumber(state: ManagerState, transfer: TransferRecord): void {
  state.transfers.delete(transfer.transferId);
  transfer.transferId = nextId(state) as TransferId;
  state.transfers.set(transfer.transferId, transfer);
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
  leaveQueue(state, transfer);
  const stranded = state.stranded.get(file);
  if (stranded === undefined || !stranded.delete(transfer) || stranded.size > 0) return;
  state.stranded.delete(file);
  callOffHome(state, file);
}

function leaveQueue(state: ManagerState, transfer: TransferRecord): void {
  const { file } = transfer;
  if (file.queued.delete(transfer) && file.queued.size === 0) forgetWanted(state, file);
}

/** Has each source that may serve the transfer offer its next free slot. */
function noteWanted(state: ManagerState, transfer: TransferRecord): void {
  const sources = possibleSources(state, transfer);
  for (const possible of sources) {
    possible.wanted.add(transfer.file);
    keepUrlSource(state, possible);
  }
  makeWay(state, transfer, sources.filter((source) => lacksSlot(state, transfer, source)));
}

/** Gives the transfer a slot of `source` and tells its worker. */
export function activate(
  state: ManagerState,
  transfer: TransferRecord,
  source: TransferSource,
): void {
  const { file, worker } = transfer;
  transfer.source = source;
  transfer.startedAtMs = state.nowMs;
  if (source.kind !== "recipe") {
    source.source.active.add(transfer);
    keepUrlSource(state, source.source);
    if (source.kind !== "worker") file.firstHandCount += 1;
    setLimit(state, transfer, source);
  }
  tellTransfer(state, transfer, { kind: "transfer_started" });
  if (source.kind === "recipe") {
    file.maker = transfer;
    for (const input of recipeInputs(state, file)) ensureReplica(state, input, worker);
  }
  order(state, transfer, source);
}

/** Tells the worker, unless it is away: `reconcile` brings it up then. */
function order(state: ManagerState, transfer: TransferRecord, source: TransferSource): void {
  const { file, worker, transferId, generation } = transfer;
  const { bound } = file;
  assert(bound, `File ${file.fileId} must be bound before it moves`);
  if (worker.link.kind !== "open") return;
  const { name } = bound;
  if (source.kind === "recipe") {
    const recipe = recipeOf(state, file);
    assert(recipe, `File ${file.fileId} must have a recipe`);
    return tell(state, worker, { kind: "make", transferId, name, level: file.level, recipe });
  }
  // Two makings may differ, or the times in kept ones: what comes is checked against what it is of.
  const isVaried = file.origin.kind === "recipe" || file.origin.kind === "kept";
  const made = isVaried && source.kind === "worker"
    ? file.replicas.get(source.worker)?.facts
    : undefined;
  const { sizeBytes, digest, isDirectory, isExecutable = false } = made ?? bound;
  transfer.isUnchecked = digest === "";
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
      stallMs: state.policies.transferStallTimeoutMs,
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

/** Gives the slot back and lets others have it. */
function freeSlot(state: ManagerState, transfer: TransferRecord): void {
  const from = transfer.source;
  transfer.source = undefined;
  if (transfer.file.maker === transfer) transfer.file.maker = undefined;
  if (from?.source === undefined) return;
  from.source.active.delete(transfer);
  from.source.background.delete(transfer);
  if (from.kind !== "worker") transfer.file.firstHandCount -= 1;
  offerSlots(state, from.source, from.kind === "worker" ? from.worker : undefined);
  if (from.kind === "url") releaseUrlSource(state, from.source);
}

/** Lets what waits for `source`, which is `holder` if it is a worker, start. */
export function offerSlots(state: ManagerState, source: Source, holder?: WorkerRecord): void {
  startStores(state, source);
  let left = source.wanted.size;
  for (const file of source.wanted) {
    // Who finds all its sources busy again comes after those that were here before.
    if (left === 0 || !canFreeSlot(state, source)) return;
    left -= 1;
    source.wanted.delete(file);
    startQueued(state, file, holder);
  }
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
  tellTransfer(state, transfer, { kind: "transfer_failed", message });
  state.transfers.delete(transfer.transferId);
  if (file.maker === transfer) file.maker = undefined;
  unqueue(state, transfer);
  if (replica !== undefined) {
    replica.transfer = undefined;
    // What makes it there waits for an input, and would for ever.
    if (transfer.source?.kind === "recipe") deleteReplica(state, worker, replica);
    else forgetReplica(state, worker, replica);
  }
  failTriesFor(state, { worker, file, ...why });
  failInstancesFor(state, { worker, file, message });
  for (const recipe of file.recipes) {
    const made = recipe.bound && worker.replicas.get(recipe.bound.name)?.transfer;
    // One that waits for a peer, or comes from there, does without.
    const isMaking = made?.source?.kind === "recipe" || made?.isBackingOff === true;
    if (made !== undefined && isMaking) abandonTransfer(state, made, why);
  }
  reviewSpool(state, file);
  passMaking(state, file);
}

function countBytes(state: ManagerState, source: TransferSource, movedBytes: number): void {
  const { counters } = state;
  if (source.kind === "manager") counters.managerToWorkerBytes += movedBytes;
  if (source.kind === "worker") counters.workerToWorkerBytes += movedBytes;
  if (source.kind === "url") counters.urlToWorkerBytes += movedBytes;
}

/** Tells of the attempt that is under way; of a transfer that waits there is nothing to tell. */
function tellTransfer(
  state: ManagerState,
  { transferId, file, worker, source }: TransferRecord,
  { kind, movedBytes = 0, message = "" }: {
    readonly kind: Extract<Fact["kind"], `transfer_${string}`>;
    readonly movedBytes?: number;
    readonly message?: string;
  },
): void {
  if (source === undefined) return;
  state.facts.push({
    kind,
    transferId,
    fileId: file.fileId,
    from: source.kind,
    ...(source.kind === "worker" ? { sourceId: source.worker.workerId } : {}),
    to: "worker",
    workerId: worker.workerId,
    movedBytes,
    message,
  });
}
