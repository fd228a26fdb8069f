/**
 * What a process has left behind when it ended: found by its group, its session and the mark in its
 * environment, and ended.
 *
 * Where the worker adopts orphans, its own children are all that is to be looked at: whoever lives
 * below an ended process and has no other parent is one of them.
 *
 * @module
 */

import { setTimeout as delay } from "node:timers/promises";

import { isOwnChild } from "../shared/runtime/spawn.ts";
import type { Subreaper } from "../shared/runtime/subreaper.ts";
import { listProcesses, type ProcessEntry, readProcess, readVariable } from "./process_table.ts";
import { killAll, listTree } from "./process_tree.ts";

/** An ended process that led a group and a session of its own. */
export interface EndedLeader {
  readonly groupId: number;
  /** Value of a variable that all it started have in their environments, and nobody else. */
  readonly mark: string;
  /** Name of that variable. */
  readonly variable: string;
}

/** How long what is left is killed again before it is given up: to the end of the worker. */
export const LEFTOVER_MS_MAX = 2_000;

/** Pause between two looks; a killed process needs a moment to go. */
const LOOK_PAUSE_MS = 5;

/** Ends all that an ended process left; resolves when none of it is found any more. */
export async function endLeftovers(
  leader: EndedLeader,
  subreaper: Subreaper | undefined,
): Promise<void> {
  const untilMs = performance.now() + LEFTOVER_MS_MAX;
  const killed = new Set<number>();
  while (true) {
    const found = subreaper === undefined
      ? listProcesses().filter((entry) => isLeftBy(leader, entry))
      : findAdopted(leader, { subreaper, killed });
    if (found.length === 0 || performance.now() >= untilMs) return;
    // First all are found, then any is killed: a killed parent's children are nobody's.
    const members = found.flatMap(({ processId }) => listTree(processId));
    for (const { processId } of members) killed.add(processId);
    killAll(members);
    await delay(LOOK_PAUSE_MS);
  }
}

/** Those that have ended are waited for, as nobody else would. */
function findAdopted(
  leader: EndedLeader,
  { subreaper, killed }: { readonly subreaper: Subreaper; readonly killed: ReadonlySet<number> },
): ProcessEntry[] {
  const found: ProcessEntry[] = [];
  for (const processId of subreaper.childIds()) {
    if (isOwnChild(processId) || processId === leader.groupId) continue;
    const entry = readProcess(processId);
    if (entry === undefined) continue;
    const isKnown = killed.has(processId) || isInGroup(leader, entry);
    if (entry.isZombie && isKnown) subreaper.reap(processId);
    else if (isLeftBy(leader, entry)) found.push(entry);
  }
  return found;
}

function isLeftBy(leader: EndedLeader, entry: ProcessEntry): boolean {
  if (entry.isZombie) return false;
  return isInGroup(leader, entry) ||
    readVariable(entry.processId, leader.variable) === leader.mark;
}

function isInGroup({ groupId }: EndedLeader, entry: ProcessEntry): boolean {
  return entry.groupId === groupId || entry.sessionId === groupId;
}
