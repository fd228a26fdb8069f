/**
 * Files that an earlier workflow had workers keep (keep.ts), as inputs of this one. They have no
 * source: what needs one waits for a worker that has it. While no worker is there that is for as
 * long as it takes; once some are, for as long as a lost one may take to come back.
 *
 * A file that was given up is looked for anew by what needs it later: a worker that has it may have
 * joined, or what made it may have run again.
 *
 * @module
 */

import { planLook } from "./deadline.ts";
import { boundName, giveUpFile, isWaitedFor } from "./file.ts";
import { isWaitingForWorkers } from "./schedule.ts";
import type { FileRecord, ManagerState } from "./state.ts";

/** Something waits for a kept file that no worker has. */
export function awaitKept(state: ManagerState, file: FileRecord): void {
  const { untilMs, idle } = state.keptWaits;
  if (!isWaitedFor(file) || untilMs.has(file) || idle.has(file)) return;
  planEnd(state, file);
}

/** A worker has joined: from here on what is missing is waited for so long. */
export function reviewKept(state: ManagerState): void {
  const { idle } = state.keptWaits;
  if (idle.size === 0 || !isAnybodyThere(state)) return;
  const files = [...idle];
  idle.clear();
  for (const file of files) planEnd(state, file);
}

/** Nobody need look for the file any more: it is there, or forgotten. */
export function forgetKeptWait(state: ManagerState, file: FileRecord): void {
  if (file.origin.kind !== "kept") return;
  state.keptWaits.untilMs.delete(file);
  state.keptWaits.idle.delete(file);
}

/** The wait for a kept file may be over. */
export function endKeptWait(state: ManagerState, file: FileRecord): void {
  const { untilMs, idle } = state.keptWaits;
  if ((untilMs.get(file) ?? Infinity) > state.nowMs) return;
  untilMs.delete(file);
  if (state.isClosed || !isWaitedFor(file)) return;
  if (!isAnybodyThere(state)) return void idle.add(file);
  const message = `Cannot read kept file "${boundName(file)}": no worker that is there has it`;
  const failure = { outcome: "input_missing", message } as const;
  giveUpFile(state, file, failure);
  forgive(file, failure);
}

function planEnd(state: ManagerState, file: FileRecord): void {
  const { untilMs, idle } = state.keptWaits;
  if (!isAnybodyThere(state)) return void idle.add(file);
  const atMs = state.nowMs + state.policies.reconnectGraceMs;
  untilMs.set(file, atMs);
  planLook(state, { atMs, kind: "kept", file });
}

/** True once workers have told what they have: as many as are waited for, of which one is there. */
function isAnybodyThere(state: ManagerState): boolean {
  if (isWaitingForWorkers(state)) return false;
  for (const { link } of state.workers.values()) if (link.kind === "open") return true;
  return false;
}

/** Later tasks may have it after all, and what is made of it. */
function forgive(file: FileRecord, failure: NonNullable<FileRecord["failure"]>): void {
  const forgiven = new Set([file]);
  for (const each of forgiven) {
    if (each.failure !== failure) continue;
    each.failure = undefined;
    // A set hands out what is added to it meanwhile.
    for (const recipe of each.recipes) forgiven.add(recipe);
  }
}
