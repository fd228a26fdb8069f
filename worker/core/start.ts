/**
 * What the manager is told of tries that start. Of a call that is likely to be short it is told only
 * if it goes on for a moment: most of them end before, and to tell of each would cost both sides a
 * tenth of what the call does. A call of which nothing is told when its worker is lost counts as
 * started all the same where its library is known for short ones; others are told of at once.
 *
 * @module
 */

import { QUIET_CALL_MS } from "../../shared/library.ts";
import { tell, type TryRecord, type WorkerState } from "./state.ts";

/** A call that goes on for so long is told of: longer than calls wait in a pipe for each other. */
const QUIET_MS = 30;

/** Between two looks for such calls at least. */
const LOOK_MS = 10;

/** Notes that a try starts. */
export function noteStart(state: WorkerState, record: TryRecord): void {
  const { library } = record.shape;
  const meanMs = library === undefined ? undefined : state.meanCallMs.get(library);
  if (meanMs === undefined || meanMs >= QUIET_CALL_MS) {
    state.started.push(record);
    return;
  }
  state.startedQuietly.push({ record, atMs: state.nowMs });
  if (state.startedQuietly.length === 1) state.quietUntilMs = state.nowMs + QUIET_MS;
}

/** Tells of the tries that started in this step, and of the calls that go on. */
export function tellStarts(state: WorkerState): void {
  const running = state.started.filter(({ isGone }) => !isGone);
  state.started.length = 0;
  if (state.quietUntilMs <= state.nowMs) running.push(...takeLong(state));
  if (running.length === 0) return;
  const tries = running.map(({ task }) => ({ taskId: task.taskId, try: task.try }));
  tell(state, { kind: "tries_started", tries });
}

/** The calls that have gone on for a moment; those that have ended are forgotten. */
function takeLong(state: WorkerState): TryRecord[] {
  const { startedQuietly, nowMs } = state;
  const long: TryRecord[] = [];
  let count = 0;
  for (const { record, atMs } of startedQuietly) {
    if (!record.isGone && atMs + QUIET_MS > nowMs) break;
    if (!record.isGone) long.push(record);
    count += 1;
  }
  startedQuietly.splice(0, count);
  const next = startedQuietly[0];
  state.quietUntilMs = next === undefined
    ? Infinity
    : Math.max(nowMs + LOOK_MS, next.atMs + QUIET_MS);
  return long;
}
