/**
 * What is to be looked at when time has passed. An entry is checked against the state as it is due:
 * one whose reason is gone by then does nothing, and is dropped before there are many of them.
 *
 * @module
 */

import { unreachable } from "../../shared/assert.ts";
import { payOwed } from "./acknowledgement.ts";
import { isIndexed } from "./capacity_index.ts";
import { approachEnd } from "./drain.ts";
import { endBlock } from "./host.ts";
import { filterHeap, peekHeap, popHeap, pushHeap } from "../../shared/heap.ts";
import type {
  FileRecord,
  ManagerState,
  TaskRecord,
  TransferRecord,
  TransferSource,
  TryRecord,
  WorkerRecord,
} from "./state.ts";
import { passIdle } from "./instance_idle.ts";
import { reviewClaims } from "./instance_turn.ts";
import type { ServiceRecord } from "./library_record.ts";
import { endKeptWait } from "./kept_file.ts";
import { giveUpAsking } from "./retry.ts";
import { isUnwatched, takeSlow } from "./slow_worker.ts";
import { endExpired, releaseTask } from "./task.ts";
import { resumeTransfer, reviewSource } from "./transfer.ts";
import { tellUnplaceable } from "./unplaceable.ts";
import { evictAtRandom } from "./worker_eviction.ts";
import { loseWorker } from "./worker.ts";

/** Something to look at when time has passed. */
export type Deadline =
  | { readonly atMs: number; readonly kind: "grace"; readonly worker: WorkerRecord }
  | { readonly atMs: number; readonly kind: "transfer"; readonly transfer: TransferRecord }
  | {
    readonly atMs: number;
    readonly kind: "source";
    readonly from: Exclude<TransferSource, { kind: "recipe" }>;
  }
  /** Something waits for a kept file that no worker has. */
  | { readonly atMs: number; readonly kind: "kept"; readonly file: FileRecord }
  /** More is to be looked at than one step does. */
  | { readonly atMs: number; readonly kind: "upkeep" }
  | { readonly atMs: number; readonly kind: "eviction" }
  /** Some classes fit no worker that is there. */
  | { readonly atMs: number; readonly kind: "unplaceable" }
  /** The task was held until then; or has to have ended by then. */
  | { readonly atMs: number; readonly kind: "hold" | "end_by"; readonly task: TaskRecord }
  /** The time of the worker is nearly over. */
  | { readonly atMs: number; readonly kind: "ending"; readonly worker: WorkerRecord }
  /** The try has run for too long, if it runs still. */
  | { readonly atMs: number; readonly kind: "slow"; readonly attempt: TryRecord }
  /** An instance may have been idle for too long. */
  | { readonly atMs: number; readonly kind: "instance_idle"; readonly service: ServiceRecord }
  /** Results of calls were not acknowledged yet. */
  | { readonly atMs: number; readonly kind: "acknowledgement"; readonly worker: WorkerRecord }
  /** An instance may be started at the worker again. */
  | { readonly atMs: number; readonly kind: "start_again"; readonly worker: WorkerRecord }
  /** The host is blocked until then. */
  | { readonly atMs: number; readonly kind: "host"; readonly host: string };

/** Entries among which no stale ones are looked for. */
const ENTRIES_KEPT = 1_000;

/** Has something looked at. What this costs does not grow with entries that are stale. */
export function planLook(state: ManagerState, deadline: Deadline): void {
  const { deadlines } = state;
  if (deadlines.items.length >= state.deadlinesMax) {
    filterHeap(deadlines, (entry) => !isStale(entry));
    // As many again may come before the next look at all of them.
    state.deadlinesMax = Math.max(ENTRIES_KEPT, 2 * deadlines.items.length);
  }
  pushHeap(deadlines, deadline);
}

/** Does what has fallen due. */
export function passDeadlines(state: ManagerState): void {
  while (true) {
    const next = peekHeap(state.deadlines);
    if (next === undefined || next.atMs > state.nowMs) return;
    popHeap(state.deadlines);
    if (!isStale(next)) pass(state, next);
  }
}

function pass(state: ManagerState, due: Deadline): void {
  switch (due.kind) {
    case "transfer":
      return resumeTransfer(state, due.transfer);
    case "source":
      return reviewSource(state, due.from);
    case "kept":
      return endKeptWait(state, due.file);
    case "eviction":
      return evictAtRandom(state);
    case "unplaceable":
      return tellUnplaceable(state);
    case "grace":
      return passGrace(state, due.worker);
    case "hold":
      return due.task.hold?.kind === "retry_asked"
        ? giveUpAsking(state, due.task)
        : releaseTask(state, due.task);
    case "end_by":
      return endExpired(state, due.task);
    case "ending":
      return approachEnd(state, due.worker);
    case "host":
      return endBlock(state, due.host);
    case "instance_idle":
      return passIdle(state, due.service);
    case "start_again":
      if (isIndexed(due.worker)) state.changedWorkers.add(due.worker);
      return reviewClaims(state);
    case "acknowledgement":
      return payOwed(state, due.worker);
    case "slow":
      return takeSlow(state, due.attempt);
    case "upkeep":
      return;
    default:
      return unreachable(due);
  }
}

function passGrace(state: ManagerState, worker: WorkerRecord): void {
  const { link, workerId } = worker;
  const isOver = link.kind === "grace" && link.untilMs <= state.nowMs;
  if (!isOver || state.workers.get(workerId) !== worker) return;
  loseWorker(state, worker, "it did not come back in time");
}

/** True of an entry whose reason is gone for good. */
function isStale(entry: Deadline): boolean {
  if (entry.kind === "hold") {
    const { hold, isSettled, state } = entry.task;
    const untilMs = hold !== undefined && "untilMs" in hold ? hold.untilMs : Infinity;
    return untilMs > entry.atMs || isSettled && state.kind === "done";
  }
  if (entry.kind === "slow") return isUnwatched(entry.attempt);
  return entry.kind === "end_by" && entry.task.isSettled;
}
