/**
 * The living processes below some, found parent by parent: from the kernel's lists of children, or,
 * of a kernel without them, from the whole table of processes.
 *
 * @module
 */

import { Pacer } from "./pacer.ts";
import {
  childIdsOf,
  listProcesses,
  type ProcessEntry,
  readProcess,
  readVariable,
  signalProcess,
} from "./process_table.ts";
import { TRY_MARK_VARIABLE } from "./task_environment.ts";

/** Processes that one walk finds at most; what is beyond is found once these have ended. */
export const TREE_PROCESSES_MAX = 4096;

/** Processes that are listed at once, 20 µs each. */
const LISTED_PROCESSES_MAX = 256;

/** `rootIds` and their descendants as far as they live, parents before their children. */
export async function walkTree(
  rootIds: readonly number[],
  { hasChildLists }: { readonly hasChildLists: boolean },
): Promise<ProcessEntry[]> {
  if (!hasChildLists) return searchTree(rootIds);
  const found: ProcessEntry[] = [];
  const seen = new Set(rootIds);
  const pacer = new Pacer();
  // A set hands out what is added to it while it is walked.
  for (const processId of seen) {
    const entry = readProcess(processId);
    if (entry === undefined || entry.isZombie) continue;
    found.push(entry);
    if (found.length >= TREE_PROCESSES_MAX) break;
    for (const childId of childIdsOf(entry)) seen.add(childId);
    if (pacer.isDue()) await pacer.pause();
  }
  return found;
}

/** The same at once, of what has no more than a few hundred: for what is killed in the next moment. */
export function listTree(rootId: number): ProcessEntry[] {
  const found: ProcessEntry[] = [];
  const seen = new Set([rootId]);
  for (const processId of seen) {
    const entry = readProcess(processId);
    if (entry === undefined || entry.isZombie) continue;
    found.push(entry);
    if (found.length >= LISTED_PROCESSES_MAX) break;
    for (const childId of childIdsOf(entry)) seen.add(childId);
  }
  return found;
}

/** Kills those that live still, and no others that have their numbers by now. */
export function killAll(members: readonly ProcessEntry[]): void {
  for (const { processId, startTicks } of members) {
    if (readProcess(processId)?.startTicks === startTicks) signalProcess(processId, "SIGKILL");
  }
}

/** The entries of `processIds` that live. */
export async function readProcesses(processIds: readonly number[]): Promise<ProcessEntry[]> {
  const found: ProcessEntry[] = [];
  const pacer = new Pacer();
  for (const processId of processIds.slice(0, TREE_PROCESSES_MAX)) {
    const entry = readProcess(processId);
    if (entry !== undefined && !entry.isZombie) found.push(entry);
    if (pacer.isDue()) await pacer.pause();
  }
  return found;
}

/**
 * Living processes of a try that are in its group or session or carry its mark; of a system without a
 * table of processes its group, with a negative sign.
 */
export function searchMarked(
  { groupId, mark }: { readonly groupId: number; readonly mark: string },
): number[] {
  const entries = listProcesses();
  if (entries.length === 0) {
    return signalProcess(-groupId, 0) ? [-groupId] : [];
  }
  return entries
    .filter((entry) =>
      !entry.isZombie && (entry.groupId === groupId || entry.sessionId === groupId ||
        readVariable(entry.processId, TRY_MARK_VARIABLE) === mark)
    )
    .map((entry) => entry.processId);
}

/** Members of the groups and sessions of the roots are taken for descendants as well. */
function searchTree(rootIds: readonly number[]): ProcessEntry[] {
  const entries = listProcesses().filter((entry) => !entry.isZombie);
  const childrenOf = Map.groupBy(entries, (entry) => entry.parentId);
  const roots = new Set(rootIds);
  const found = new Set(entries.filter(({ processId, groupId, sessionId }) => {
    return roots.has(processId) || roots.has(groupId) || roots.has(sessionId);
  }));
  for (const entry of found) {
    for (const child of childrenOf.get(entry.processId) ?? []) found.add(child);
  }
  return [...found].slice(0, TREE_PROCESSES_MAX);
}
