/**
 * Workers sent away at random, as a batch system would take them: a way to see whether a workflow
 * lives with it before it has to.
 *
 * @module
 */

import { pushHeap } from "../../shared/heap.ts";
import { nextRandom, nextRandomBelow } from "../../shared/random.ts";
import type { ManagerState, WorkerRecord } from "./state.ts";
import { sendAway } from "./worker.ts";

/** Plans the next eviction, if the policy asks for one and none is planned. */
export function planEviction(state: ManagerState): void {
  const { workerEvictionIntervalMs } = state.policies;
  if (workerEvictionIntervalMs === 0 || state.isEvictionPlanned || state.isClosed) return;
  state.isEvictionPlanned = true;
  // Uniform around the interval, so that nothing can keep step with it.
  const delayMs = 2 * workerEvictionIntervalMs * nextRandom(state.random);
  pushHeap(state.deadlines, { atMs: state.nowMs + delayMs, kind: "eviction" });
}

/** Sends one worker away, whichever it is, and plans the next. */
export function evictAtRandom(state: ManagerState): void {
  state.isEvictionPlanned = false;
  const { workerEvictionIntervalMs } = state.policies;
  if (workerEvictionIntervalMs === 0 || state.isClosed) return;
  // As seldom as this is, looking at all is cheap.
  const present: WorkerRecord[] = [];
  for (const worker of state.workers.values()) {
    if (worker.link.kind === "open" && !worker.isLeaving) present.push(worker);
  }
  const chosen = present[nextRandomBelow(state.random, Math.max(1, present.length))];
  if (chosen !== undefined) {
    sendAway(state, chosen, "Sent away at random: the policy workerEvictionInterval asks for it");
  }
  // Without workers the next one that joins plans it.
  if (present.length > 1) planEviction(state);
}
