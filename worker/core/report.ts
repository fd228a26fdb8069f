/**
 * What a step says to the manager. What nobody waits for is held a little, so that it shares a
 * frame with what follows: a frame costs both sides more than a short task does.
 *
 * @module
 */

import { tell, type WorkerState } from "./state.ts";

/** Results are held this long while other tries wait here: the worker has work meanwhile. */
const RESULT_HOLD_MS = 3;

/** That a try started is held this long; of most short ones the result comes first. */
const STARTED_HOLD_MS = 5;

/** Makes one `send` of what there is to say, unless it is held until `reportDueAtMs`. */
export function report(state: WorkerState): void {
  if (state.outbox.length === 0 && state.started.length === 0) return;
  const holdMs = holdTimeMs(state);
  state.heldSinceMs ??= state.nowMs;
  // The same sum as in `reportDueAtMs`: a wake at that instant must not come too early.
  if (state.nowMs < state.heldSinceMs + holdMs) return;
  state.heldSinceMs = undefined;
  const running = state.started.filter((record) => !record.isGone);
  state.started.length = 0;
  if (running.length > 0) {
    const tries = running.map(({ task }) => ({ taskId: task.taskId, try: task.try }));
    tell(state, { kind: "tries_started", tries });
  }
  if (state.outbox.length === 0) return;
  const send = { kind: "send", messages: state.outbox.splice(0) } as const;
  // A worker that leaves says so before it goes.
  const last = state.instructions.at(-1);
  if (last?.kind === "leave") state.instructions.splice(-1, 0, send);
  else state.instructions.push(send);
}

/** When what is held must be said, if anything is. */
export function reportDueAtMs(state: WorkerState): number | undefined {
  return state.heldSinceMs === undefined ? undefined : state.heldSinceMs + holdTimeMs(state);
}

/** Drops what is held: the connection it was meant for is gone, and the next hello tells it. */
export function forgetReport(state: WorkerState): void {
  state.outbox.length = 0;
  state.started.length = 0;
  state.heldSinceMs = undefined;
}

function holdTimeMs(state: WorkerState): number {
  if (state.link.kind !== "open" || state.leaving !== undefined) return 0;
  if (state.outbox.length === 0) return STARTED_HOLD_MS;
  if (state.roomQueues.size === 0) return 0;
  return state.outbox.every(({ kind }) => kind === "result") ? RESULT_HOLD_MS : 0;
}
