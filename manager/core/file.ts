/** Declared files: whether their contents can be had, and when nobody needs them any more. */

import { assert, AssertionError } from "../../shared/assert.ts";
import type { CacheName, FileId } from "../../shared/ids.ts";
import type { BoundFile, ManagerEvent } from "./event.ts";
import { failLibrary, isAwaitingFiles, takeBackStarts, unblockLibrary } from "./library.ts";
import { adoptUnclaimed, deleteReplica, isLasting, noteUnclaimed, tellGone } from "./replica.ts";
import { canBeMade, recipeInputs } from "./recipe.ts";
import { callOffIfUnwanted, forgetLost, recoverIfWanted } from "./recovery.ts";
import { forgetKeptWait } from "./kept_file.ts";
import { bringHome, callOffHome, failRequests } from "./delivery.ts";
import { forgetSpool, isHere, reviewSpool } from "./spool.ts";
import type { FileRecord, ManagerState, TaskRecord } from "./state.ts";
import { countMissing, failTask, takeBackTask } from "./task.ts";
import { forgetUpkeep, noteCopies, noteUse } from "./upkeep.ts";
import { countUse } from "./task_class.ts";
import { valueFileId } from "./value_file.ts";

const NO_FILES: readonly FileRecord[] = [];

/** Adds a declared file. */
export function declareFile(
  state: ManagerState,
  event: Extract<ManagerEvent, { kind: "file_declared" }> & { readonly producer?: TaskRecord },
): void {
  const { fileId, origin, level, peerTransfer, bound, replicas, isReleasedByUse } = event;
  assert(!state.files.has(fileId), `File ${fileId} must be new`);
  const file: FileRecord = {
    fileId,
    aliases: [],
    origin,
    level,
    peerTransfer,
    bound: undefined,
    failure: undefined,
    generation: 0,
    producer: event.producer,
    lastFailure: undefined,
    isDue: false,
    isNondeterministic: false,
    isAtManager: false,
    isStored: false,
    originFailures: 0,
    isAvailable: false,
    replicas: new Map(),
    readyCount: 0,
    consumers: new Set(),
    declaredCount: 1,
    dependents: new Set(),
    consumed: { succeeded: 0, failed: 0 },
    copiesWanted: replicas,
    isReleasedByUse: isReleasedByUse ?? false,
    scarceAt: -1,
    copyAgain: undefined,
    hasStrict: false,
    recipes: new Set(),
    maker: undefined,
    libraries: new Set(),
    requests: new Set(),
    homeDelivery: undefined,
    queued: new Set(),
    firstHandCount: 0,
  };
  state.files.set(fileId, file);
  state.facts.push({ kind: "file_declared", fileId, origin, level });
  for (const input of recipeInputs(state, file)) {
    input.recipes.add(file);
    file.failure ??= input.failure;
  }
  if (bound !== undefined) bindFile(state, fileId, bound);
}

/** Names a file. A second declaration of a name becomes the same file from here on. */
export function bindFile(state: ManagerState, fileId: FileId, bound: BoundFile): void {
  const file = state.files.get(fileId);
  // What failed may have been let go of while the shell still looked for its name.
  if (file === undefined || file.bound !== undefined || file.failure !== undefined) return;
  const same = state.filesByName.get(bound.name);
  if (same !== undefined && same !== file) return mergeFile(state, file, same);
  file.bound = bound;
  state.facts.push({ kind: "file_bound", fileId, bound });
  state.filesByName.set(bound.name, file);
  // A local file or buffer is there; an output is not before a task has made it.
  if (file.origin.kind === "manager") file.isAtManager = file.producer === undefined;
  adoptUnclaimed(state, file);
  updateAvailability(state, file);
  releaseIfUnneeded(state, file);
}

/** A declared file cannot be had: everything that needs it fails. */
export function failFile(
  state: ManagerState,
  event: Extract<ManagerEvent, { kind: "file_failed" }>,
): void {
  const file = state.files.get(event.fileId);
  if (file === undefined) return;
  const { outcome, message } = event;
  file.isAtManager = false;
  giveUpFile(state, file, { outcome, message });
}

/** The user has no more use for the file under this number. */
export function undeclareFile(state: ManagerState, fileId: FileId): void {
  const file = state.files.get(fileId);
  if (file === undefined || file.declaredCount === 0) return;
  file.declaredCount -= 1;
  releaseIfUnneeded(state, file);
}

/** The record of a file that must be declared. */
export function fileOf(state: ManagerState, fileId: FileId): FileRecord {
  const file = state.files.get(fileId);
  // The message is made only when it is needed: this is asked many times for every task.
  if (file === undefined) throw new AssertionError(`File ${fileId} must be declared`);
  return file;
}

/** The name of a file that must be bound. */
export function boundName(file: FileRecord): CacheName {
  if (file.bound === undefined) throw new AssertionError(`File ${file.fileId} must be bound`);
  return file.bound.name;
}

/** True when workers can fetch it from its url. */
export function isAtUrl({ origin, isStored }: FileRecord): boolean {
  return origin.kind === "url" && (!origin.isOutput || isStored);
}

/** True of an output that is where its user wants it: it need not be made again. */
export function isInPlace({ isAtManager, isStored }: FileRecord): boolean {
  return isAtManager || isStored;
}

/** The files that a task needs to run: inputs, then environments. Each once. */
export function inputFiles(state: ManagerState, task: TaskRecord): Iterable<FileRecord> {
  const { inputs, environments } = task.definition;
  // Asked several times for every task, and most have none: no generator, which costs each time.
  if (inputs.length + environments.length === 0) return NO_FILES;
  const seen = new Set<FileRecord>();
  for (const { fileId } of inputs) seen.add(fileOf(state, fileId));
  for (const fileId of environments) seen.add(fileOf(state, fileId));
  return seen;
}

/** An output of a task. */
export interface OutputFile {
  readonly mount: string;
  readonly file: FileRecord;
  /** See `TaskMount`. */
  readonly only: "failure" | undefined;
  /** It is the value of a call, which has no mount. */
  readonly isValue: boolean;
}

const NO_OUTPUTS: readonly OutputFile[] = [];

/** The files that a task makes, but those that nobody has a use for any more. */
export function outputFiles(
  state: ManagerState,
  task: TaskRecord,
): readonly OutputFile[] {
  const { taskId, outputs: mounts } = task.definition;
  if (mounts.length === 0 && !task.hasValue) return NO_OUTPUTS;
  const outputs: OutputFile[] = [];
  for (const { mount, fileId, only } of mounts) {
    const file = state.files.get(fileId);
    if (file !== undefined) outputs.push({ mount, file, only, isValue: false });
  }
  const value = task.hasValue ? state.files.get(valueFileId(taskId)) : undefined;
  if (value !== undefined) {
    outputs.push({ mount: "", file: value, only: undefined, isValue: true });
  }
  return outputs;
}

/** Looks again whether the contents can be had, and tells all who wait for that. */
export function updateAvailability(state: ManagerState, file: FileRecord): void {
  const isAvailable = canBeHad(state, file);
  if (isAvailable === file.isAvailable) return;
  file.isAvailable = isAvailable;
  noteCopies(state, file);
  for (const task of file.consumers) countMissing(state, task, isAvailable ? -1 : 1);
  for (const recipe of file.recipes) updateAvailability(state, recipe);
  for (const library of file.libraries) unblockLibrary(state, library);
  if (isAvailable) {
    forgetLost(state, file);
    forgetKeptWait(state, file);
    bringHome(state, file);
    // A holder came back: there is nothing to make again.
    const { producer } = file;
    if (producer === undefined) return;
    for (const loose of callOffIfUnwanted(state, producer)) releaseIfUnneeded(state, loose);
  } else {
    for (const task of [...file.consumers]) takeBackTask(state, task, file);
    takeBackStarts(state, file);
    // Copies of this making cannot come any more.
    for (const [worker, replica] of file.replicas) {
      // What was made stays: it is of use again once its inputs are there.
      if (replica.state !== "ready") deleteReplica(state, worker, replica);
    }
    recoverIfWanted(state, file);
  }
}

/** Ends all hope for `file`, and for what can only be made of it. */
export function giveUpFile(
  state: ManagerState,
  file: FileRecord,
  failure: NonNullable<FileRecord["failure"]>,
): void {
  // A list instead of recursion: chains of temps may be long.
  const doomed = [file];
  for (let next = doomed.pop(); next !== undefined; next = doomed.pop()) {
    if (next.failure !== undefined) continue;
    next.failure = failure;
    forgetLost(state, next);
    failRequests(state, next, failure.message);
    for (const recipe of next.recipes) doomed.push(recipe);
    for (const library of next.libraries) failLibrary(state, library, failure.message);
    for (const task of [...next.consumers]) {
      const abandoned = failTask(state, task, failure);
      doomed.push(...abandoned);
    }
    releaseIfUnneeded(state, next);
  }
}

/** Removes replicas nobody needs, then the record, then the lineage that only it held. */
export function releaseIfUnneeded(state: ManagerState, file: FileRecord): void {
  const candidates = [file];
  for (let next = candidates.pop(); next !== undefined; next = candidates.pop()) {
    if (next.producer !== undefined) candidates.push(...callOffIfUnwanted(state, next.producer));
    if (!state.files.has(next.fileId)) continue;
    reviewSpool(state, next);
    // A user who waits for it keeps nothing of what it was made of.
    if (next.consumers.size === 0) noteUse(state, next);
    if (isInUse(next)) continue;
    if (isUnneeded(next)) deleteReplicas(state, next);
    // What it is made of was in use by it.
    const inputs = recipeInputs(state, next);
    candidates.push(...inputs);
    if (next.declaredCount > 0 || isInLineage(next)) continue;
    forgetFile(state, next);
    for (const input of inputs) input.recipes.delete(next);
    if (next.producer !== undefined) candidates.push(...dropLineage(state, next.producer));
  }
}

/** True when nobody would read a replica of it. */
export function isUnneeded(file: FileRecord): boolean {
  return (file.declaredCount === 0 || file.level === "task") && !isInUse(file);
}

/** Somebody has a use for it: a task, a user, a library, or a file made of it that is wanted itself. */
export function isWanted(file: FileRecord): boolean {
  return isWantedBy(file, isUser);
}

/** As `isWanted`, of libraries only where an instance is waited for. */
export function isWaitedFor(file: FileRecord): boolean {
  return isWantedBy(file, isWaiter);
}

function isWantedBy(file: FileRecord, isFor: (file: FileRecord) => boolean): boolean {
  if (file.requests.size > 0 || isFor(file)) return true;
  // What is made of it may itself be what something is made of.
  if (file.recipes.size === 0) return false;
  const made = new Set(file.recipes);
  for (const each of made) {
    if (isFor(each)) return true;
    // A set hands out what is added to it meanwhile.
    for (const recipe of each.recipes) made.add(recipe);
  }
  return false;
}

function isUser({ consumers, libraries }: FileRecord): boolean {
  return consumers.size > 0 || libraries.size > 0;
}

function isWaiter({ consumers, libraries }: FileRecord): boolean {
  if (consumers.size > 0) return true;
  for (const library of libraries) if (isAwaitingFiles(library)) return true;
  return false;
}

/** Keeps a finished task as long as one of its outputs may have to be made again. */
export function keepLineage(state: ManagerState, task: TaskRecord): void {
  for (const file of inputFiles(state, task)) file.dependents.add(task);
}

/** Something that was made of it may have to be made again. */
function isInLineage(file: FileRecord): boolean {
  return file.dependents.size > 0 || file.recipes.size > 0;
}

function canBeHad(state: ManagerState, file: FileRecord): boolean {
  if (file.bound === undefined || file.failure !== undefined) return false;
  // A copy at one worker is none for those that cannot have it from there.
  if (file.origin.kind === "recipe") return canBeMade(state, file);
  return file.readyCount > 0 || isHere(state, file) || isAtUrl(file);
}

/** Something waits for it, or it is being made. */
export function isInUse(file: FileRecord): boolean {
  return isWanted(file) || file.bound === undefined && file.failure === undefined ||
    file.producer !== undefined && file.producer.state.kind !== "done";
}

/** Replicas of levels above the workflow stay where they are: the next workflow finds them. */
export function deleteReplicas(state: ManagerState, file: FileRecord): void {
  for (const [worker, replica] of file.replicas) {
    if (!isLasting(file, replica)) deleteReplica(state, worker, replica);
  }
}

function forgetFile(state: ManagerState, file: FileRecord): void {
  callOffHome(state, file);
  forgetSpool(state, file);
  forgetUpkeep(state, file);
  forgetLost(state, file);
  forgetKeptWait(state, file);
  for (const [worker, replica] of file.replicas) {
    if (replica.state === "ready") tellGone(state, { file, worker, name: replica.name });
  }
  for (const fileId of [file.fileId, ...file.aliases]) {
    if (!state.files.delete(fileId)) continue;
    state.facts.push({ kind: "file_forgotten", fileId });
  }
  if (file.bound === undefined || state.filesByName.get(file.bound.name) !== file) return;
  state.filesByName.delete(file.bound.name);
  for (const [worker, replica] of file.replicas) noteUnclaimed(state, worker, replica);
}

/** Drops a finished task none of whose outputs is left; returns inputs to look at. */
function dropLineage(state: ManagerState, task: TaskRecord): FileRecord[] {
  if (task.state.kind !== "done" || !state.tasks.has(task.definition.taskId)) return [];
  if (outputFiles(state, task).length > 0) return [];
  state.tasks.delete(task.definition.taskId);
  countUse(state, task.taskClass, -1);
  const inputs = [...inputFiles(state, task)];
  for (const input of inputs) input.dependents.delete(task);
  return inputs;
}

/** What was only kept can be had from elsewhere as well: its contents were declared. */
function takeOrigin(state: ManagerState, kept: FileRecord, { origin }: FileRecord): void {
  forgetKeptWait(state, kept);
  kept.origin = origin;
  if (origin.kind === "manager") kept.isAtManager = true;
  updateAvailability(state, kept);
}

/** Gives all that refers to `file` to `same`. */
function mergeFile(state: ManagerState, file: FileRecord, same: FileRecord): void {
  state.files.set(file.fileId, same);
  if (same.origin.kind === "kept" && file.origin.kind !== "kept") takeOrigin(state, same, file);
  state.facts.push({ kind: "file_merged", fileId: file.fileId, into: same.fileId });
  same.aliases.push(file.fileId, ...file.aliases);
  same.declaredCount += file.declaredCount;
  for (const task of file.dependents) same.dependents.add(task);
  same.consumed.succeeded += file.consumed.succeeded;
  same.consumed.failed += file.consumed.failed;
  same.copiesWanted ??= file.copiesWanted;
  same.hasStrict ||= file.hasStrict;
  for (const recipe of file.recipes) same.recipes.add(recipe);
  for (const library of file.libraries) same.libraries.add(library);
  for (const request of file.requests) same.requests.add(request);
  for (const input of recipeInputs(state, file)) {
    input.recipes.delete(file);
    releaseIfUnneeded(state, input);
  }
  for (const task of file.consumers) {
    const isNew = !same.consumers.has(task);
    same.consumers.add(task);
    // The task counted both as missing, or one as missing and one as there.
    if (!isNew || same.isAvailable) countMissing(state, task, -1);
  }
  for (const recipe of file.recipes) updateAvailability(state, recipe);
  for (const library of file.libraries) unblockLibrary(state, library);
  if (same.isAvailable) bringHome(state, same);
  noteCopies(state, same);
  if (same.failure !== undefined) {
    const { failure } = same;
    same.failure = undefined;
    giveUpFile(state, same, failure);
  }
  releaseIfUnneeded(state, same);
}
