/**
 * The living processes below some, found parent by parent: from the kernel's lists of children, or,
 * of a kernel without them, from the whole table of processes.
 *
 * @module
 */

import { Pacer } from "./pacer.ts";
import { childIdsOf, listProcesses, type ProcessEntry, readProcess } from "./process_table.ts";

/** Processes that one walk finds at most; what is beyond is found once these have ended. */
export const TREE_PROCESSES_MAX = 4096;

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
