/**
 * Sees to it that files have as many copies as the policies want, and no more. The policies
 * suggest (copy_policy.ts); here is refused what would break something: the loss of what is
 * needed or could not be had again, of a copy in use, a transfer that others would wait for.
 *
 * Files are looked at when something about them changes, after the events of a step; those with
 * too few copies stand in a queue, the scarcest first.
 *
 * @module
 */

import { peekHeap, pushHeap } from "../../shared/heap.ts";
import { ARRIVING_MAX, spareSource, startBackground } from "./background.ts";
import {
  isReleased,
  isSpent,
  prunedLevels,
  suggestExtras,
  suggestReceivers,
  wantedCopies,
} from "./copy_policy.ts";
import type { ManagerEvent } from "./event.ts";
import { deleteReplicas, inputFiles, isInUse } from "./file.ts";
import { canRemake, forgetLost } from "./recovery.ts";
import { deleteReplica, isLasting, outlivesWorkflow } from "./replica.ts";
import { noteDisk, type Shift, shiftLoad } from "./shift.ts";
import { isHere } from "./spool.ts";
import type { FileRecord, ManagerState, WorkerRecord } from "./state.ts";
import { noteStrict } from "./strict_input.ts";

/** What the policies for copies work on. */
export interface Upkeep {
  /** `{file to look at: levels of what it was made of to look at next, with itself}`. */
  readonly reviews: Map<FileRecord, number>;
  /** All files are to be looked at, as policies have changed: those that are left. */
  rest: IterableIterator<FileRecord> | undefined;
  /** By how many copies there are: files that should have more. */
  readonly scarce: Set<FileRecord>[];
  /** Workers that may be given copies; who was given one last is at the end. */
  readonly receivers: Set<WorkerRecord>;
  /** `{worker: the temp that moves from there to an emptier disk}`. */
  readonly shifts: Map<WorkerRecord, Shift>;
  /** Workers that may have something to move since they told of their disks. */
  readonly fuller: Set<WorkerRecord>;
}

/** Files that one step looks at; the others wait for the next. */
const REVIEWS_MAX = 1000;

/** Copies of one file that are counted while workers are about to go: none wants as many. */
const COPIES_COUNTED = 1024;

/** Files of one number of copies that one step looks at and cannot copy. */
const MISSES_MAX = 16;

/** The file has more or fewer copies than before. */
export function noteCopies(state: ManagerState, file: FileRecord): void {
  const { replicas, pruneTemps, pruneExtraReplicas } = state.policies;
  const isPlain = replicas === 1 && pruneTemps === "never" && !pruneExtraReplicas &&
    state.ending.size === 0;
  if (isPlain && file.copiesWanted === undefined && file.scarceAt < 0) return;
  note(state, file, 1);
}

/** Copies at the worker count as such, or do not any more. */
export function noteReplicas(state: ManagerState, worker: WorkerRecord): void {
  for (const { name } of worker.replicas.values()) {
    const file = state.filesByName.get(name);
    if (file !== undefined) note(state, file, 1);
  }
}

/** Nothing waits for the file any more, at least for now. */
export function noteUse(state: ManagerState, file: FileRecord): void {
  if (file.origin.kind !== "temp") return;
  const levels = prunedLevels(state.policies);
  if (levels > 0 || state.policies.pruneExtraReplicas) note(state, file, Math.max(1, levels));
}

/** Has all files looked at, a part of them in each step: the policies are others. */
export function reviewAll(state: ManagerState): void {
  state.upkeep.rest = state.files.values();
  for (const worker of state.upkeep.receivers) noteDisk(state, worker);
}

/** Has a step come at `atMs`, whatever happens until then. */
export function wakeUpkeep(state: ManagerState, atMs: number): void {
  const next = peekHeap(state.deadlines);
  // The step that is due at once need not be asked for again by all that want it.
  if (next !== undefined && next.atMs <= state.nowMs && atMs <= state.nowMs) return;
  pushHeap(state.deadlines, { atMs, kind: "upkeep" });
}

/** The file is forgotten; what it was made of is still to be looked at. */
export function forgetUpkeep(state: ManagerState, file: FileRecord): void {
  const { reviews } = state.upkeep;
  noteInputs(state, file, reviews.get(file) ?? 0);
  reviews.delete(file);
  leaveQueue(state, file);
}

/** The user wants that many copies from now on. */
export function replicateFile(
  state: ManagerState,
  event: Extract<ManagerEvent, { kind: "file_replicated" }>,
): void {
  const file = state.files.get(event.fileId);
  if (file === undefined) return;
  file.copiesWanted = event.count;
  noteStrict(state, file);
  note(state, file, 1);
}

/** The user has no use for the copies at workers for now. */
export function pruneFile(
  state: ManagerState,
  event: Extract<ManagerEvent, { kind: "file_pruned" }>,
): void {
  const { fileId, requestId } = event;
  const file = state.files.get(fileId);
  const why = file === undefined ? undefined : whyKept(state, file);
  if (file !== undefined && why === undefined) {
    // What can be had again would come at once.
    if (file.origin.kind !== "temp") file.copiesWanted = undefined;
    deleteReplicas(state, file);
    forgetLost(state, file);
    note(state, file, 1);
  }
  const message = why === undefined ? "" : `Cannot prune file ${fileId}: ${why}`;
  state.instructions.push({ kind: "file_pruned", requestId, message });
}

/** Looks at the files of which something has changed, and begins copies. */
export function keepCopies(state: ManagerState): void {
  const { upkeep } = state;
  if (state.isClosed) {
    upkeep.reviews.clear();
    for (const files of upkeep.scarce) for (const file of files) leaveQueue(state, file);
    upkeep.rest = undefined;
    upkeep.shifts.clear();
    upkeep.fuller.clear();
    return;
  }
  // Before anything finds that there are too many copies of what is being moved.
  shiftLoad(state);
  if (upkeep.rest !== undefined) takeRest(state);
  let left = REVIEWS_MAX;
  for (const [file, levels] of upkeep.reviews) {
    if (left === 0) break;
    left -= 1;
    upkeep.reviews.delete(file);
    review(state, file, levels);
  }
  if (upkeep.reviews.size > 0 || upkeep.rest !== undefined) wakeUpkeep(state, state.nowMs);
  copyScarce(state);
}

/** The number of copies under which the file must stand in the queue; -1 when it has enough. */
export function placeInQueue(state: ManagerState, file: FileRecord): number {
  const { origin, isAvailable, readyCount } = file;
  // A temp that is at the manager alone is safe there, and was perhaps pruned by its user.
  const isThere = origin.kind === "temp" ? readyCount > 0 : isAvailable;
  if (!isThere) return -1;
  const staying = stayingCopies(state, file);
  // What is at workers only that are about to go is brought to another one.
  const isAtRisk = staying === 0 && origin.kind === "temp";
  const wanted = Math.max(isAtRisk ? 1 : 0, wantedCopies(state.policies, file));
  return staying < wanted ? staying : -1;
}

/** Copies, those that come included, at workers that are not about to go. */
function stayingCopies({ ending }: ManagerState, { replicas }: FileRecord): number {
  if (ending.size === 0) return replicas.size;
  let count = 0;
  for (const worker of replicas.keys()) {
    if (!worker.isEnding) count += 1;
    if (count >= COPIES_COUNTED) break;
  }
  return count;
}

function note(state: ManagerState, file: FileRecord, levels: number): void {
  const { reviews } = state.upkeep;
  reviews.set(file, Math.max(levels, reviews.get(file) ?? 0));
}

function takeRest(state: ManagerState): void {
  const { upkeep } = state;
  for (let count = 0; count < REVIEWS_MAX; count++) {
    const next = upkeep.rest?.next();
    if (next === undefined || next.done === true) {
      upkeep.rest = undefined;
      return;
    }
    note(state, next.value, 1);
  }
}

/** Does with one file what the policies suggest, as far as it breaks nothing. */
function review(state: ManagerState, file: FileRecord, levels: number): void {
  if (state.files.get(file.fileId) !== file) return;
  if (isSpent(state, file) && whyKept(state, file) === undefined) deleteReplicas(state, file);
  if (file.consumers.size === 0) noteInputs(state, file, levels);
  if (!isInUse(file)) {
    for (const worker of suggestExtras(state, file)) dropExtra(state, file, worker);
  }
  enterQueue(state, file);
}

/** What the file was made of may be done with now, as its consumers are. */
function noteInputs(state: ManagerState, { producer }: FileRecord, levels: number): void {
  if (levels <= 1 || producer === undefined) return;
  for (const input of inputFiles(state, producer)) note(state, input, levels - 1);
}

/** Why the copies of the file must stay, if they must. */
export function whyKept(state: ManagerState, file: FileRecord): string | undefined {
  if (isInUse(file)) return "a task or a user waits for it";
  if (outlivesWorkflow(file.level)) return "it is kept for later workflows";
  const isArchive = file.origin.kind === "temp" && file.recipes.size > 0;
  if (isArchive) return "workers unpack it when they need what is in it";
  if (isHere(state, file) || canRemake(state, file)) return undefined;
  if (file.origin.kind === "url" || file.origin.kind === "recipe") return undefined;
  // Nobody names it again; what was made of it cannot be remade in any case, or not need it.
  const isRemade = state.policies.recovery !== "off" && file.dependents.size > 0;
  if (isReleased(file) && !isRemade) return undefined;
  return "it could not be made again; undeclare it to let go of it";
}

function dropExtra(state: ManagerState, file: FileRecord, worker: WorkerRecord): void {
  const replica = file.replicas.get(worker);
  if (replica?.state !== "ready" || isLasting(file, replica)) return;
  for (const { file: served } of worker.source.active) if (served === file) return;
  for (const { file: sent } of worker.deliveries) if (sent === file) return;
  deleteReplica(state, worker, replica);
}

function enterQueue(state: ManagerState, file: FileRecord): void {
  leaveQueue(state, file);
  const at = placeInQueue(state, file);
  if (at < 0) return;
  const { scarce } = state.upkeep;
  while (scarce.length <= at) scarce.push(new Set());
  scarce[at]?.add(file);
  file.scarceAt = at;
}

function leaveQueue(state: ManagerState, file: FileRecord): void {
  state.upkeep.scarce[file.scarceAt]?.delete(file);
  file.scarceAt = -1;
}

/** Begins what copies can be begun now, of the scarcest files first. */
function copyScarce(state: ManagerState): void {
  const { scarce, receivers } = state.upkeep;
  // With as many copies as there are workers no more can be had.
  for (let copies = 0; copies < scarce.length && copies < receivers.size; copies++) {
    const files = scarce[copies];
    let left = files?.size ?? 0;
    let missCount = 0;
    for (const file of files ?? []) {
      if (left === 0 || missCount >= MISSES_MAX) break;
      left -= 1;
      if (!startCopy(state, file)) missCount += 1;
      // It comes after those of which none was begun.
      enterQueue(state, file);
    }
  }
}

function startCopy(state: ManagerState, file: FileRecord): boolean {
  if (placeInQueue(state, file) < 0) return false;
  if (file.copyAgain !== undefined && file.copyAgain.atMs > state.nowMs) return false;
  // What goes as soon as it can, is not copied before.
  if (isSpent(state, file)) return false;
  if (wantedCopies(state.policies, file) === 0 && isHere(state, file)) return false;
  // If nobody can serve it, nobody need be asked whether he can take it.
  if (spareSource(state, file) === undefined) return false;
  for (const worker of suggestReceivers(state, file)) {
    if (worker.arriving.size >= ARRIVING_MAX) continue;
    const source = spareSource(state, file, worker);
    if (source === undefined) continue;
    startBackground(state, file, { worker, source });
    state.upkeep.receivers.delete(worker);
    state.upkeep.receivers.add(worker);
    return true;
  }
  return false;
}
