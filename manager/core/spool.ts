/**
 * Copies at the manager of files that live at workers: brought for a user, or on their way to a
 * worker that no holder can serve. Kept while they are needed, and for reuse within a budget.
 *
 * @module
 */

import type { FileFacts } from "../../shared/task.ts";
import { isWanted, updateAvailability } from "./file.ts";
import type { FileRecord, ManagerState } from "./state.ts";

/** A copy at the manager of a file that lives at workers. */
export interface SpoolRecord {
  readonly generation: number;
  readonly sizeBytes: number;
  /** A user asked for it: it stays until the file is undeclared. */
  isRequested: boolean;
}

/** Bytes of copies that nothing waits for at the moment, though somebody may again. */
const KEPT_BYTES_MAX = 4 * 2 ** 30;

/** Copies that are looked at for one to drop when there are too many bytes. */
const DROPS_PROBED = 16;

/** True when the manager has the newest making of the file, in place or as a copy. */
export function isHere(state: ManagerState, file: FileRecord): boolean {
  if (file.isAtManager) return true;
  return state.spooled.size > 0 && state.spooled.get(file)?.generation === file.generation;
}

/** A copy was put in place. `isRequested` has it stay until the file is undeclared. */
export function addSpool(
  state: ManagerState,
  file: FileRecord,
  { facts, isRequested }: { readonly facts: FileFacts; readonly isRequested: boolean },
): void {
  const { generation, sizeBytes } = facts;
  const before = state.spooled.get(file);
  // The shell has put the new one in its place.
  if (before !== undefined) state.spooledBytes -= before.sizeBytes;
  state.spooled.set(file, { generation, sizeBytes, isRequested });
  state.spooledBytes += sizeBytes;
  let probed = 0;
  for (const other of state.spooled.keys()) {
    if (state.spooledBytes <= KEPT_BYTES_MAX || probed >= DROPS_PROBED) return;
    probed += 1;
    if (other !== file) reviewSpool(state, other);
  }
}

/** A user has asked for the copy, and may read it at any time from now on. */
export function keepSpool(state: ManagerState, file: FileRecord): void {
  const spool = state.spooled.get(file);
  if (spool !== undefined) spool.isRequested = true;
}

/** Drops the copy unless something needs it. */
export function reviewSpool(state: ManagerState, file: FileRecord): void {
  if (state.spooled.size === 0) return;
  const spool = state.spooled.get(file);
  if (spool === undefined || isNeeded(state, file, spool)) return;
  forgetSpool(state, file);
  updateAvailability(state, file);
}

/** Takes the copy off the table and has the shell remove it. */
export function forgetSpool(state: ManagerState, file: FileRecord): void {
  const spool = state.spooled.get(file);
  if (spool === undefined) return;
  state.spooled.delete(file);
  state.spooledBytes -= spool.sizeBytes;
  const { generation } = spool;
  state.instructions.push({ kind: "unspool", fileId: file.fileId, generation });
}

function isNeeded(state: ManagerState, file: FileRecord, spool: SpoolRecord): boolean {
  if (file.requests.size > 0 || spool.isRequested && file.declaredCount > 0) return true;
  if (spool.generation !== file.generation) return false;
  if (file.queued.size > 0) return true;
  // As few as `transfersFromManager`.
  for (const transfer of state.managerSource.active) if (transfer.file === file) return true;
  // The only copy is worth its making.
  if (file.readyCount === 0) return file.declaredCount > 0 || isWanted(file);
  return isWanted(file) && state.spooledBytes <= KEPT_BYTES_MAX;
}
