/**
 * Moves temps from full disks to emptier ones, when the policy `shiftDiskLoad` is on: a copy that
 * nothing waits for is made at the emptier worker, and only once it is there does the other one go,
 * if it may go then. What moves where is suggested in copy_policy.ts.
 *
 * A worker is looked at when it tells of its disk. It gives away one file at a time, and none that
 * would make the other disk the fuller one, so that nothing comes back.
 *
 * @module
 */

import { ARRIVING_MAX, delayCopies, spareSource, startBackground } from "./background.ts";
import { suggestLighter, suggestShift } from "./copy_policy.ts";
import { isIdleAt, mayEvict } from "./eviction.ts";
import { deleteReplica } from "./replica.ts";
import { isOpen } from "./room.ts";
import type { FileRecord, ManagerState, WorkerRecord } from "./state.ts";
import { noteCopies, wakeUpkeep } from "./upkeep.ts";

/** A temp on its way to an emptier disk. */
export interface Shift {
  readonly file: FileRecord;
  readonly to: WorkerRecord;
  /** When the copy was there; undefined before that. */
  copiedAtMs: number | undefined;
}

/** Files on their way from fuller disks at a time. */
export const SHIFTS_MAX = 16;

/** Workers that one step looks at. */
const WORKERS_MAX = 16;

/** Files of one worker that one look tries; the next look goes on behind them. */
const FILES_PROBED = 32;

/** How long a copy may be there before the other one, which is in use, stays for good. */
const REMOVAL_MS_MAX = 10_000;

/** The worker has told of its disk: it may have something to give away. */
export function noteDisk(state: ManagerState, worker: WorkerRecord): void {
  if (state.policies.shiftDiskLoad) state.upkeep.fuller.add(worker);
}

/** Goes on with what is on its way, and begins what may begin. */
export function shiftLoad(state: ManagerState): void {
  const { shifts, fuller } = state.upkeep;
  if (shifts.size === 0 && fuller.size === 0) return;
  for (const from of [...shifts.keys()]) goOn(state, from);
  if (state.isClosed || !state.policies.shiftDiskLoad) fuller.clear();
  let looked = 0;
  for (const from of fuller) {
    if (shifts.size >= SHIFTS_MAX) return;
    looked += 1;
    if (looked > WORKERS_MAX) return wakeUpkeep(state, state.nowMs);
    fuller.delete(from);
    if (!shifts.has(from) && isKnown(state, from) && isOpen(from)) begin(state, from);
  }
}

/** Begins with the first of the next few files that may go. */
function begin(state: ManagerState, from: WorkerRecord): void {
  const to = suggestLighter(state, from);
  if (to === undefined || to.arriving.size >= ARRIVING_MAX) return;
  for (let probed = 0; probed < FILES_PROBED; probed++) {
    from.shiftable ??= from.replicas.values();
    const next = from.shiftable.next();
    if (next.done === true) {
      from.shiftable = undefined;
      // The look before had come to the end.
      if (probed === 0) continue;
      return;
    }
    const file = state.filesByName.get(next.value.name);
    if (file !== undefined && start(state, file, { from, to })) return;
  }
}

function start(
  state: ManagerState,
  file: FileRecord,
  { from, to }: { readonly from: WorkerRecord; readonly to: WorkerRecord },
): boolean {
  if (!suggestShift(file, { from, to }) || !isIdleAt(from, file)) return false;
  if (file.replicas.get(from)?.state !== "ready") return false;
  if (file.copyAgain !== undefined && file.copyAgain.atMs > state.nowMs) return false;
  const source = spareSource(state, file, to);
  if (source === undefined) return false;
  startBackground(state, file, { worker: to, source });
  noteCopies(state, file);
  state.upkeep.shifts.set(from, { file, to, copiedAtMs: undefined });
  return true;
}

/** Ends the move once the copy is there, or does not come any more. */
function goOn(state: ManagerState, from: WorkerRecord): void {
  const { shifts, fuller } = state.upkeep;
  const shift = shifts.get(from);
  if (shift === undefined) return;
  const { file, to } = shift;
  const copy = file.replicas.get(to);
  const replica = file.replicas.get(from);
  const isFileKnown = state.files.get(file.fileId) === file;
  if (!isFileKnown || copy === undefined || replica?.state !== "ready" || !isKnown(state, from)) {
    shifts.delete(from);
    // It was called off, or had no room after all.
    const isDelayed = (file.copyAgain?.atMs ?? 0) > state.nowMs;
    if (isFileKnown && copy === undefined && !isDelayed) delayCopies(state, file);
    return;
  }
  // It is on its way.
  if (copy.state !== "ready") return;
  const sizeBytes = copy.facts?.sizeBytes ?? 0;
  if (shift.copiedAtMs === undefined) {
    shift.copiedAtMs = state.nowMs;
    // Neither has told of it yet, and the next move counts on it.
    to.diskUsedBytes += sizeBytes;
  }
  if (isOpen(to) && mayEvict(state, from, replica)) {
    deleteReplica(state, from, replica);
    from.diskUsedBytes -= Math.min(from.diskUsedBytes, sizeBytes);
    fuller.add(from);
  } else if (state.nowMs - shift.copiedAtMs < REMOVAL_MS_MAX) return;
  shifts.delete(from);
}

function isKnown(state: ManagerState, worker: WorkerRecord): boolean {
  return state.workers.get(worker.workerId) === worker;
}
