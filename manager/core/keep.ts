/**
 * Files that users want kept beyond the workflow. Workers that have what a task made give it the
 * name of its contents as well, which no lineage, policy or undeclaring of the first one touches; a
 * later manager declares it by that name (kept_file.ts). No bytes move.
 *
 * @module
 */

import { directoryDigestIn, fileContentName } from "../../shared/cache_name.ts";
import type { KeepId } from "../../shared/ids.ts";
import type { FileFacts, LastingLevel } from "../../shared/task.ts";
import type { ManagerEvent, WorkerReport } from "./event.ts";
import { checkGiven, factsLie, noteLie, replicaLie } from "./lie.ts";
import { keepUnclaimed, markReady } from "./replica.ts";
import { type FileRecord, type ManagerState, nextId, tell, type WorkerRecord } from "./state.ts";

/** A wish to keep a file, until all workers that were told of it have answered or are lost. */
export interface KeepRecord {
  readonly keepId: KeepId;
  readonly requestId: number;
  /** As it was called when it was asked for; it may be undeclared by now. */
  readonly file: FileRecord;
  readonly level: LastingLevel;
  /** `{worker that has not answered: its copy}` */
  readonly workers: Map<WorkerRecord, FileFacts>;
  /** One of them has it: the user was told. */
  isAnswered: boolean;
}

/** Workers that are told to keep one file: more copies make it no safer than others come to be. */
const HOLDERS_MAX = 8;

/** Copies that are looked at for those that are there and beyond doubt. */
const HOLDERS_PROBED = 64;

/** SHA-256 in hexadecimal. */
const DIGEST = /^[0-9a-f]{64}$/;

/** A user wants what a task made, or what was kept before, to be kept; `file_kept` answers. */
export function keepFile(
  state: ManagerState,
  { fileId, requestId, level }: Extract<ManagerEvent, { kind: "file_keep_wanted" }>,
): void {
  const file = state.files.get(fileId);
  const refuse = (why: string): void => {
    const message = `Cannot keep file ${fileId}: ${why}`;
    state.instructions.push({ kind: "file_kept", requestId, message });
  };
  if (file === undefined) return refuse("it was undeclared");
  if (state.isClosed) return refuse("the workflow is over");
  if (file.origin.kind !== "kept" && file.generation === 0) {
    return refuse("no task has made it; what is given can be declared again");
  }
  const holders = holdersOf(file);
  if (holders.size === 0) return refuse("no worker has it any more");
  const keepId = nextId(state) as KeepId;
  const keep: KeepRecord = {
    keepId,
    requestId,
    file,
    level,
    workers: holders,
    isAnswered: false,
  };
  state.keeps.set(keepId, keep);
  for (const worker of holders.keys()) {
    worker.keeps.add(keep);
    order(state, worker, keep);
  }
}

/** A worker says that it has kept a file. */
export function endKeep(
  state: ManagerState,
  worker: WorkerRecord,
  { keepId, file: facts, level }: Extract<WorkerReport, { kind: "kept" }>,
): void {
  const keep = keepAt(state, worker, keepId);
  if (keep === undefined) return;
  const lie = keptLie(keep, worker, facts);
  if (lie !== undefined) {
    noteLie(state, worker, lie);
    return leave(state, { keep, worker, message: lie });
  }
  // It is told to remove what it had of that name, and does so before it hears of this.
  if ((worker.replicas.get(facts.name)?.deletionCount ?? 0) > 0) return order(state, worker, keep);
  takeKept(state, worker, { facts, level });
  if (!keep.isAnswered) {
    keep.isAnswered = true;
    const { requestId, file: { fileId } } = keep;
    state.facts.push({ kind: "file_kept", fileId, workerId: worker.workerId, file: facts, level });
    state.instructions.push({ kind: "file_kept", requestId, message: "", file: facts });
  }
  leave(state, { keep, worker, message: "" });
}

/** A worker could not keep a file; another one may. */
export function failKeep(
  state: ManagerState,
  worker: WorkerRecord,
  { keepId, message }: Extract<WorkerReport, { kind: "keep_failed" }>,
): void {
  const keep = keepAt(state, worker, keepId);
  if (keep !== undefined) leave(state, { keep, worker, message });
}

/** The worker has a new connection: what it was told before, or its answer, may be lost. */
export function repeatKeeps(state: ManagerState, worker: WorkerRecord): void {
  for (const keep of worker.keeps) order(state, worker, keep);
}

/** The worker is gone, and its copies with it. */
export function loseKeeps(state: ManagerState, worker: WorkerRecord): void {
  const { workerId, host } = worker;
  for (const keep of [...worker.keeps]) {
    leave(state, { keep, worker, message: `worker ${workerId} on ${host} was lost` });
  }
}

/** The workflow is over: nobody waits for an answer. */
export function endKeeps(state: ManagerState): void {
  for (const keep of [...state.keeps.values()]) {
    for (const worker of [...keep.workers.keys()]) {
      leave(state, { keep, worker, message: "the workflow is over" });
    }
  }
}

/** Those that are there first. */
function holdersOf({ replicas, generation }: FileRecord): Map<WorkerRecord, FileFacts> {
  const open = new Map<WorkerRecord, FileFacts>();
  const others = new Map<WorkerRecord, FileFacts>();
  let probed = 0;
  for (const [worker, replica] of replicas) {
    const { facts, state: kind } = replica;
    if (kind === "ready" && replica.generation === generation && facts !== undefined) {
      const isSure = worker.link.kind === "open" && !worker.isLeaving && !replica.isSuspect;
      (isSure ? open : others).set(worker, facts);
    }
    probed += 1;
    if (open.size >= HOLDERS_MAX || probed >= HOLDERS_PROBED) break;
  }
  return open.size > 0 ? open : new Map([...others].slice(0, HOLDERS_MAX));
}

/** Tells the worker, unless it is away: it is told when it is back. */
function order(state: ManagerState, worker: WorkerRecord, keep: KeepRecord): void {
  const { keepId, level, workers } = keep;
  const facts = workers.get(worker);
  if (facts === undefined) return;
  const { name, generation } = facts;
  tell(state, worker, { kind: "keep", keepId, name, generation, level });
}

function keepAt(state: ManagerState, worker: WorkerRecord, keepId: KeepId): KeepRecord | undefined {
  const keep = state.keeps.get(keepId);
  if (keep?.workers.has(worker) === true) return keep;
  // One that was told twice may answer twice.
  checkGiven(state, worker, keepId);
  return undefined;
}

/** The worker has answered, or will not: with the last of them the wish is over. */
function leave(
  state: ManagerState,
  { keep, worker, message }: {
    readonly keep: KeepRecord;
    readonly worker: WorkerRecord;
    readonly message: string;
  },
): void {
  const { keepId, requestId, file: { fileId }, workers } = keep;
  workers.delete(worker);
  worker.keeps.delete(keep);
  if (workers.size > 0) return;
  state.keeps.delete(keepId);
  if (keep.isAnswered) return;
  const text = `Cannot keep file ${fileId}: ${message}`;
  state.instructions.push({ kind: "file_kept", requestId, message: text });
}

/** Enters the copy of that name, as of a file that an earlier workflow left. */
function takeKept(
  state: ManagerState,
  worker: WorkerRecord,
  held: { readonly facts: FileFacts; readonly level: LastingLevel },
): void {
  const { facts, level } = held;
  const replica = worker.replicas.get(facts.name);
  const file = state.filesByName.get(facts.name);
  if (replica?.state === "ready") replica.level = level;
  else if (file === undefined) keepUnclaimed(state, worker, held);
  else if (replica?.transfer === undefined && replicaLie(file, facts) === undefined) {
    // One that comes by a transfer is here when that says so.
    markReady(state, { file, worker, facts, level });
  }
}

/** What cannot be true of a kept file, as of the copy that it was made of. */
function keptLie(
  { workers }: KeepRecord,
  worker: WorkerRecord,
  facts: FileFacts,
): string | undefined {
  const { name, generation, sizeBytes, digest, isDirectory, isExecutable = false } = facts;
  const source = workers.get(worker);
  const isSame = generation === 0 && source?.isDirectory === isDirectory &&
    source.sizeBytes === sizeBytes && source.digest === digest;
  const isNamed = isDirectory
    ? directoryDigestIn(name) !== undefined
    : DIGEST.test(digest) && name === fileContentName(digest, { isExecutable });
  if (!isSame || !isNamed) return `"${name}" is kept where "${source?.name}" was to be`;
  return factsLie(facts);
}
