/**
 * Sources that failed: set aside for a while, for all transfers, while others are asked. The while
 * grows with each further fault, and a transfer that succeeds ends it. What is kept is a few numbers
 * for each source, and a few sources for each worker.
 *
 * @module
 */

import { wakeForSource } from "./source_watch.ts";
import type { ManagerState, Source, TransferSource, WorkerRecord } from "./state.ts";

/** A source is set aside for this long by its first fault; doubled by each further one. */
const ASIDE_MS = 1_000;

/** It is asked again after so long at most. */
const ASIDE_MS_MAX = 60_000;

/** A worker that found fault with so many sources, and had nothing from any since, is at fault. */
export const BLAMED_MAX = 3;

/** True while no transfer is to come from `source`. */
export function isAside({ nowMs }: ManagerState, { asideUntilMs }: Source): boolean {
  return asideUntilMs > nowMs;
}

/** `worker` found that the source of a transfer stood still, broke off or was too slow. */
export function blameSource(
  state: ManagerState,
  from: Exclude<TransferSource, { kind: "recipe" }>,
  worker: WorkerRecord,
): void {
  const { source } = from;
  if (!worker.blamed.has(source)) {
    if (worker.blamed.size >= BLAMED_MAX) return;
    worker.blamed.add(source);
  }
  // What failed at the same time is one fault.
  if (isAside(state, source)) return;
  const asideMs = Math.min(ASIDE_MS * 2 ** source.faultCount, ASIDE_MS_MAX);
  source.faultCount += 1;
  source.asideUntilMs = state.nowMs + asideMs;
  wakeForSource(state, from, source.asideUntilMs);
}

/** `worker` has received something from `source`. */
export function forgiveSource(source: Source, worker: WorkerRecord): void {
  worker.blamed.clear();
  clearFaults(source);
}

/** The source is as good as any other again: it serves, or may be somewhere else now. */
export function clearFaults(source: Source): void {
  source.faultCount = 0;
  source.asideUntilMs = 0;
}
