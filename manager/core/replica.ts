/** The replica table: a belief about the workers' caches that only their messages change. */

import type { CacheName } from "../../shared/ids.ts";
import type { CacheLevel, FileFacts } from "../../shared/task.ts";
import { delayCopies, raiseTransfer } from "./background.ts";
import { wantedCopies } from "./copy_policy.ts";
import { boundName, updateAvailability } from "./file.ts";
import type { WorkerReport } from "./event.ts";
import type {
  FileRecord,
  ManagerState,
  ReplicaRecord,
  TransferRecord,
  WorkerRecord,
} from "./state.ts";
import { checkGiven, noteLie, replicaLie } from "./lie.ts";
import { passMaking } from "./recipe.ts";
import { noteReached } from "./reach.ts";
import { noteLost } from "./recovery.ts";
import { forgiveSource } from "./source_fault.ts";
import { noteRate } from "./source_watch.ts";
import { tell } from "./state.ts";
import { noteStrict } from "./strict_input.ts";
import {
  callOffTransfer,
  endTransfer,
  failTransfer,
  loseHolder,
  MOVED_BYTES_MAX,
  startQueued,
  startTransfer,
  supplyStranded,
} from "./transfer.ts";
import { hasUnstartedConsumer } from "./try.ts";
import { noteCopies } from "./upkeep.ts";

/** Sees to it that `worker` has or gets the file in its newest making. */
export function ensureReplica(state: ManagerState, file: FileRecord, worker: WorkerRecord): void {
  const replica = worker.replicas.get(boundName(file));
  if (replica !== undefined && replica.state !== "deleting") {
    if (replica.transfer?.isBackground) raiseTransfer(replica.transfer);
    return;
  }
  const pending = addPending(file, worker);
  noteCopies(state, file);
  startTransfer(state, { file, worker, replica: pending });
}

/** Enters a copy that is to come. */
export function addPending(file: FileRecord, worker: WorkerRecord): ReplicaRecord {
  const record = addReplica(worker, { name: boundName(file), level: file.level });
  record.generation = file.generation;
  record.state = "pending";
  record.comingBytes = Math.max(0, file.bound?.sizeBytes ?? 0);
  worker.comingBytes += record.comingBytes;
  file.replicas.set(worker, record);
  return record;
}

/** A worker has a file that it was to bring or to make. */
export function readyReplica(
  state: ManagerState,
  worker: WorkerRecord,
  message: Extract<WorkerReport, { kind: "replica_ready" }>,
): void {
  const transfer = state.transfers.get(message.transferId);
  // A transfer that was called off is answered by the deletion that did so.
  if (transfer === undefined) return checkGiven(state, worker, message.transferId);
  if (transfer.worker !== worker) return noteLie(state, worker, "a transfer of another worker");
  const { transferId, file: { name, generation } } = message;
  if (generation !== transfer.generation) {
    // Another making was in its place there, and is deleted by now.
    const text = `Cannot use file "${name}" in making ${generation}: another one is wanted`;
    const failed = { transferId, name, generation, message: text, canRetry: true } as const;
    return failTransfer(state, worker, { kind: "transfer_failed", ...failed });
  }
  if (isOtherCopy(transfer, message.file)) {
    const text = `Cannot use file "${name}": another worker was given other contents of it`;
    const failed = { transferId, name, generation, message: text, canRetry: true } as const;
    return failTransfer(state, worker, { kind: "transfer_failed", ...failed, isCorrupt: true });
  }
  const lie = replicaLie(transfer.file, message.file) ??
    (message.movedBytes > MOVED_BYTES_MAX ? `${message.movedBytes} bytes moved` : undefined);
  if (lie !== undefined) {
    noteLie(state, worker, lie);
    const text = `Cannot use file "${name}" of worker ${worker.workerId}: ${lie}`;
    const failed = { transferId, name, generation, message: text, canRetry: true } as const;
    return failTransfer(state, worker, { kind: "transfer_failed", ...failed });
  }
  const { file, source } = transfer;
  const { movedBytes } = message;
  if (source?.source !== undefined && movedBytes > 0) {
    if (source.kind === "worker") noteReached(worker, source.worker);
    else file.firstHandCount += 1;
    noteRate(state, transfer, movedBytes);
    forgiveSource(source.source, worker);
  }
  if (source?.kind === "url") {
    file.originFailures = 0;
    const change = changeOf(file, message.file);
    if (change !== undefined) return refuseChanged(state, transfer, change);
  }
  if (source?.kind === "manager") learnDigest(file, message.file);
  if (file.origin.kind === "url" || file.origin.kind === "recipe") learnFacts(file, message.file);
  // Before its slot is free: who waits for the file has it from here, and not from where it came.
  markReady(state, { file, worker, facts: message.file });
  endTransfer(state, transfer, { movedBytes });
}

/** Records that `worker` has the file ready, and lets others have it from there. */
export function markReady(
  state: ManagerState,
  holding: {
    readonly file: FileRecord;
    readonly worker: WorkerRecord;
    readonly facts: FileFacts;
    /** How long its worker keeps it, where that need not be as long as the file says. */
    readonly level?: CacheLevel;
  },
): void {
  const { file, worker, facts, level = file.level } = holding;
  const replica = addReplica(worker, { name: facts.name, level });
  const isNew = replica.state !== "ready" || !file.replicas.has(worker);
  if (isNew) file.readyCount += 1;
  if (isNew || replica.generation !== facts.generation) tellReady(state, { file, worker, facts });
  endComing(worker, replica);
  replica.state = "ready";
  replica.generation = facts.generation;
  replica.facts = facts;
  replica.transfer = undefined;
  replica.isSuspect = false;
  file.replicas.set(worker, replica);
  updateAvailability(state, file);
  noteCopies(state, file);
  noteStrict(state, file);
  if (file.queued.size > 0) startQueued(state, file, worker);
  if (state.stranded.size > 0) supplyStranded(state, file);
}

function tellReady(
  state: ManagerState,
  { file, worker, facts }: Parameters<typeof markReady>[1],
): void {
  const { workerId } = worker;
  // The contents of an output may be among its facts.
  const { name, generation, sizeBytes, digest, isDirectory } = facts;
  const told = { name, generation, sizeBytes, digest, isDirectory };
  state.facts.push({ kind: "replica_ready", fileId: file.fileId, workerId, file: told });
}

/** Tells that a copy that was ready is none any more. */
export function tellGone(
  state: ManagerState,
  { file, worker, name }: {
    readonly file: FileRecord;
    readonly worker: WorkerRecord;
    readonly name: CacheName;
  },
): void {
  const { workerId } = worker;
  state.facts.push({ kind: "replica_gone", fileId: file.fileId, workerId, name });
}

/** A worker's copy is gone: as told, evicted, or found damaged. */
export function loseReplica(
  state: ManagerState,
  worker: WorkerRecord,
  message: { readonly name: CacheName; readonly generation: number },
): void {
  const replica = worker.replicas.get(message.name);
  if (replica === undefined) return;
  if (replica.deletionCount > 0) {
    replica.deletionCount -= 1;
    if (replica.state !== "deleting" || replica.deletionCount > 0) return;
    worker.replicas.delete(message.name);
    return;
  }
  // While it is pending, the end of its transfer tells.
  if (replica.state !== "ready" || replica.generation !== message.generation) return;
  const file = state.filesByName.get(message.name);
  // At once it might be damaged there again and again.
  if (file !== undefined && wantedCopies(state.policies, file) > 0) delayCopies(state, file);
  state.counters.replicasDamaged += 1;
  const { workerId } = worker;
  if (file !== undefined) {
    state.facts.push({ kind: "replica_damaged", fileId: file.fileId, workerId });
  }
  dropReplica(state, worker, replica);
}

/** Has `worker` look at its copy, of which a receiver, or its age, makes us doubt. */
export function suspectReplica(
  state: ManagerState,
  worker: WorkerRecord,
  replica: ReplicaRecord,
): void {
  if (replica.state !== "ready" || replica.isSuspect) return;
  replica.isSuspect = true;
  const { name, generation } = replica;
  // One that is away is told when it is back.
  tell(state, worker, { kind: "verify", name, generation });
}

/** The copy is what it was: others may have it from there again. */
export function clearReplica(
  state: ManagerState,
  worker: WorkerRecord,
  { name, generation }: { readonly name: CacheName; readonly generation: number },
): void {
  const replica = worker.replicas.get(name);
  if (replica?.state !== "ready" || replica.generation !== generation) return;
  replica.isSuspect = false;
  const file = state.filesByName.get(name);
  if (file !== undefined && file.queued.size > 0) startQueued(state, file, worker);
}

/** Tells `worker` to remove its copy, or to stop bringing it. */
export function deleteReplica(
  state: ManagerState,
  worker: WorkerRecord,
  replica: ReplicaRecord,
): void {
  const { name, generation } = replica;
  const file = state.filesByName.get(name);
  if (replica.transfer !== undefined) callOffTransfer(state, replica.transfer);
  const wasReady = replica.state === "ready";
  endComing(worker, replica);
  replica.state = "deleting";
  replica.deletionCount += 1;
  tell(state, worker, { kind: "delete", name, generation });
  if (file === undefined) return forgetUnclaimed(state, name, worker);
  if (!leaveFile(state, worker, { name, wasReady })) return;
  updateAvailability(state, file);
  if (wasReady) loseHolder(state, file);
  else passMaking(state, file);
}

/** Takes a copy that does not exist off the table; who needs it there gets it anew. */
export function dropReplica(
  state: ManagerState,
  worker: WorkerRecord,
  replica: ReplicaRecord,
): void {
  forgetReplica(state, worker, replica);
  const file = state.filesByName.get(replica.name);
  if (file === undefined) return;
  updateAvailability(state, file);
  loseHolder(state, file);
  noteLost(state, file);
  if (file.isAvailable && isNeededAt(worker, file)) ensureReplica(state, file, worker);
}

/** Something at `worker` that has not started waits for the file there. */
export function isNeededAt(worker: WorkerRecord, file: FileRecord): boolean {
  for (const recipe of file.recipes) {
    const made = recipe.bound && worker.replicas.get(recipe.bound.name);
    if (made?.transfer !== undefined) return true;
  }
  for (const instance of worker.instances.values()) {
    if (instance.state === "starting" && file.libraries.has(instance.library)) return true;
  }
  return hasUnstartedConsumer(worker, file);
}

/** Takes a copy off the tables and nothing else. */
export function forgetReplica(
  state: ManagerState,
  worker: WorkerRecord,
  replica: ReplicaRecord,
): void {
  const { name } = replica;
  if (replica.transfer !== undefined) callOffTransfer(state, replica.transfer);
  endComing(worker, replica);
  if (replica.deletionCount > 0) {
    // Deletions told before are still answered.
    leaveFile(state, worker, { name, wasReady: replica.state === "ready" });
    replica.state = "deleting";
    return;
  }
  worker.replicas.delete(name);
  leaveFile(state, worker, { name, wasReady: replica.state === "ready" });
  forgetUnclaimed(state, name, worker);
}

/** Keeps a file of a name that nobody declared: a later declaration may find it. */
export function keepUnclaimed(
  state: ManagerState,
  worker: WorkerRecord,
  held: { readonly facts: FileFacts; readonly level: CacheLevel },
): void {
  const { facts, level } = held;
  const replica = addReplica(worker, { name: facts.name, level });
  replica.state = "ready";
  replica.generation = facts.generation;
  replica.facts = facts;
  noteUnclaimed(state, worker, replica);
}

/** Records that `worker` has a file that no record speaks of. */
export function noteUnclaimed(
  state: ManagerState,
  worker: WorkerRecord,
  { name }: ReplicaRecord,
): void {
  let holders = state.unclaimed.get(name);
  if (holders === undefined) state.unclaimed.set(name, holders = new Set());
  holders.add(worker);
}

/** True of levels whose files the next workflow may find. */
export function outlivesWorkflow(level: CacheLevel): boolean {
  return level === "worker" || level === "forever";
}

/** True of a copy that stays for later workflows: as its file, or its worker, says. */
export function isLasting(file: FileRecord, { state, level }: ReplicaRecord): boolean {
  return state === "ready" && (outlivesWorkflow(file.level) || outlivesWorkflow(level));
}

/** A file was named that workers have since earlier: theirs are replicas now. */
export function adoptUnclaimed(state: ManagerState, file: FileRecord): void {
  const holders = state.unclaimed.get(boundName(file));
  if (holders === undefined) return;
  state.unclaimed.delete(boundName(file));
  for (const worker of holders) {
    const replica = worker.replicas.get(boundName(file));
    if (replica?.state !== "ready") continue;
    file.replicas.set(worker, replica);
    file.readyCount += 1;
    if (replica.facts !== undefined) {
      learnFacts(file, replica.facts);
      tellReady(state, { file, worker, facts: replica.facts });
    }
    // What an earlier workflow or process left is looked at before it is used.
    suspectReplica(state, worker, replica);
  }
}

function forgetUnclaimed(state: ManagerState, name: CacheName, worker: WorkerRecord): void {
  const holders = state.unclaimed.get(name);
  holders?.delete(worker);
  if (holders?.size === 0) state.unclaimed.delete(name);
}

/** The file has a copy less; false when the worker had none. */
function leaveFile(
  state: ManagerState,
  worker: WorkerRecord,
  { name, wasReady }: { readonly name: CacheName; readonly wasReady: boolean },
): boolean {
  const file = state.filesByName.get(name);
  if (file === undefined || !file.replicas.delete(worker)) return false;
  if (wasReady) {
    file.readyCount -= 1;
    tellGone(state, { file, worker, name });
  }
  noteStrict(state, file);
  noteCopies(state, file);
  return true;
}

/** It is here, or does not come: nothing need be kept free for it any more. */
function endComing(worker: WorkerRecord, replica: ReplicaRecord): void {
  worker.comingBytes -= replica.comingBytes;
  replica.comingBytes = 0;
}

function addReplica(
  worker: WorkerRecord,
  { name, level }: { readonly name: CacheName; readonly level: CacheLevel },
): ReplicaRecord {
  let replica = worker.replicas.get(name);
  if (replica === undefined) {
    replica = {
      name,
      level,
      state: "pending",
      generation: 0,
      facts: undefined,
      deletionCount: 0,
      transfer: undefined,
      isSuspect: false,
      comingBytes: 0,
    };
    worker.replicas.set(name, replica);
  }
  return replica;
}

/** The first copy of a local file tells what all others have to be; its name does not. */
function learnDigest(file: FileRecord, { digest }: FileFacts): void {
  if (file.bound?.digest === "") file.bound = { ...file.bound, digest };
}

/** Two were under way before the digest of a local file was known, and one was damaged. */
function isOtherCopy({ file, isUnchecked }: TransferRecord, { name, digest }: FileFacts): boolean {
  const { bound, producer, origin } = file;
  const isLocal = origin.kind === "manager" && producer === undefined && bound?.name === name;
  return isUnchecked && isLocal && bound.digest !== "" && bound.digest !== digest;
}

/** The first copy of a url or a made directory tells its size, and what all others must be. */
function learnFacts(file: FileRecord, facts: FileFacts): void {
  if (file.bound === undefined) return;
  const { sizeBytes, digest } = file.bound;
  if (sizeBytes >= 0 && (digest !== "" || file.origin.kind !== "url")) return;
  const { isDirectory, isExecutable = false } = facts;
  const told = { sizeBytes: facts.sizeBytes, digest: facts.digest };
  file.bound = { ...file.bound, ...told, isDirectory, isExecutable };
}

/** What a url has now that others of its copies have not. */
function changeOf({ bound, origin }: FileRecord, { digest }: FileFacts): string | undefined {
  if (origin.kind !== "url" || bound === undefined || bound.digest === "") return undefined;
  if (digest === "" || digest === bound.digest) return undefined;
  return `it was fetched with digest ${bound.digest} before, and has ${digest} now`;
}

/** Two workers that fetched a url at the same time have not the same: the first is what counts. */
function refuseChanged(state: ManagerState, transfer: TransferRecord, change: string): void {
  const { transferId, worker, generation, file } = transfer;
  const name = boundName(file);
  tell(state, worker, { kind: "delete", name, generation });
  const message = `Cannot use file "${name}" of worker ${worker.workerId}: ${change}`;
  const failed = { transferId, name, generation, message, canRetry: true } as const;
  failTransfer(state, worker, { kind: "transfer_failed", ...failed });
}
