/** Ends whatever a worker that is no more has left running. */

import { setTimeout as delay } from "node:timers/promises";

import { listProcesses, type ProcessEntry, readVariable, signalProcess } from "./process_table.ts";
import { TRY_MARK_VARIABLE, WORKER_MARK_VARIABLE } from "./task_environment.ts";

/** What gives a process away as one of the worker's. */
export interface SweepTarget {
  /** The worker's mark, in the environment of all it started. */
  readonly mark: string;
  /** Process groups it had started and not seen end. */
  readonly groupIds: ReadonlySet<number>;
}

/** Pause between two looks; a killed process needs a moment to go. */
const LOOK_PAUSE_MS = 5;

/**
 * Kills until a look finds nobody, at most for `limitMs`, and returns how many are
 * left. A member of a recorded group or session, one that carries the mark and the
 * descendants of all these are killed: so neither `setsid` nor a cleared environment
 * alone gets away, and what was forked meanwhile is found by the next look.
 */
export async function sweepProcesses(target: SweepTarget, limitMs: number): Promise<number> {
  const endAtMs = performance.now() + limitMs;
  while (true) {
    // First all are found, then any is killed: a killed parent's children are nobody's.
    const found = findProcesses(target);
    for (const groupId of target.groupIds) signalProcess(-groupId, "SIGKILL");
    for (const entry of found) signalProcess(entry.processId, "SIGKILL");
    if (found.length === 0 || performance.now() >= endAtMs) return found.length;
    await delay(LOOK_PAUSE_MS);
  }
}

function findProcesses(target: SweepTarget): ProcessEntry[] {
  const entries = listProcesses().filter((entry) =>
    !entry.isZombie && entry.processId !== process.pid
  );
  const childrenOf = Map.groupBy(entries, (entry) => entry.parentId);
  const found = new Set(entries.filter((entry) => isMarked(entry, target)));
  // A set hands out what is added to it while it is walked.
  for (const entry of found) {
    for (const child of childrenOf.get(entry.processId) ?? []) found.add(child);
  }
  return [...found];
}

function isMarked(entry: ProcessEntry, target: SweepTarget): boolean {
  const { mark, groupIds } = target;
  if (groupIds.has(entry.groupId) || groupIds.has(entry.sessionId)) return true;
  return readVariable(entry.processId, WORKER_MARK_VARIABLE) === mark ||
    readVariable(entry.processId, TRY_MARK_VARIABLE)?.endsWith(`.${mark}`) === true;
}
