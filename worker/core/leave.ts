/** Leaving: on its own account, or because the manager has no more use for this worker. */

import { dropTransfer } from "./cache.ts";
import { endWithoutStart, stopRunning } from "./task.ts";
import { stopInstance } from "./library.ts";
import { tell, type WorkerState } from "./state.ts";

/** Time for processes to end and results to be acknowledged before the worker goes anyway. */
const LEAVE_MS_MAX = 3_000;

/** A signal or a limit of its own: says so, stops what runs, hands over what is done. */
export function requestLeave(state: WorkerState, reason: string): void {
  if (state.leaving !== undefined) return;
  tell(state, { kind: "leaving", reason });
  beginLeaving(state, { reason, isReleased: false });
}

/** Its time may be over. */
export function leaveInTime(state: WorkerState): void {
  if (state.end !== undefined && state.nowMs >= state.end.atMs) {
    requestLeave(state, state.end.reason);
  }
}

/** The manager lets this worker go: nothing here is needed any more. */
export function requestRelease(state: WorkerState, reason: string): void {
  if (state.leaving !== undefined) return;
  beginLeaving(state, { reason, isReleased: true });
}

/** Goes once nothing runs and every result is acknowledged, or time is up. */
export function finishLeaving(state: WorkerState): void {
  const { leaving } = state;
  if (leaving === undefined || state.hasLeft) return;
  const isQuiet = state.tries.size === 0 && state.instances.size === 0 &&
    state.transfers.size === 0 && state.keeps.size === 0;
  const isHandedOver = leaving.isReleased || state.results.size === 0 ||
    state.link.kind === "closed";
  if (!(isQuiet && isHandedOver) && state.nowMs < leaving.untilMs) return;
  state.hasLeft = true;
  const { reason, isReleased } = leaving;
  state.instructions.push({ kind: "leave", reason, isReleased, keep: "worker" });
}

function beginLeaving(
  state: WorkerState,
  { reason, isReleased }: { reason: string; isReleased: boolean },
): void {
  state.leaving = { reason, isReleased, untilMs: state.nowMs + LEAVE_MS_MAX };
  for (const record of [...state.tries.values()]) {
    if (record.state.kind !== "running") endWithoutStart(state, record, "cancelled");
    else stopRunning(state, record, "cancelled");
  }
  for (const instanceId of [...state.instances.keys()]) stopInstance(state, { instanceId });
  for (const transfer of [...state.transfers.values()]) {
    if (!transfer.isActive) {
      dropTransfer(state, transfer);
    } else if (!transfer.isStopping) {
      transfer.isStopping = true;
      const transferId = transfer.startedId;
      state.instructions.push({ kind: "stop_transfer", transferId, goesOn: false });
    }
  }
  if (isReleased) state.results.clear();
}
