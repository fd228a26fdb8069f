/** What each message of the manager does. */

import { unreachable } from "../../shared/assert.ts";
import type { TransferId } from "../../shared/ids.ts";
import type { ManagerMessage } from "../../shared/protocol.ts";
import { deleteFile, startFetch } from "./cache.ts";
import { endSuggestion, touchFile } from "./disk.ts";
import { forgetReport } from "./disk_report.ts";
import { keepFile } from "./keep.ts";
import { requestRelease } from "./leave.ts";
import { stopInstance, takeInstance } from "./library.ts";
import { startMake } from "./make.ts";
import { tell, tryKey, type WorkerState } from "./state.ts";
import { verifyFile } from "./verification.ts";
import { killTry, recallTry, takeTasks } from "./task.ts";

/** Applies one message. */
export function handleMessage(state: WorkerState, message: ManagerMessage): void {
  switch (message.kind) {
    case "welcome":
      state.session = message.session;
      state.instructions.push({ kind: "session_opened", welcome: message });
      return;
    case "reconcile":
      return reconcile(state, message);
    case "dispatch":
      return takeTasks(state, message);
    case "recall":
      return recallTry(state, message);
    case "kill":
      return killTry(state, message);
    case "result_ack":
      for (const id of message.tries) state.results.delete(tryKey(id));
      // What was on its way to the manager is there now.
      state.disk.refused.clear();
      return;
    case "fetch":
      return startFetch(state, message);
    case "make":
      return startMake(state, message);
    case "send":
      return sendFile(state, message);
    case "stop_send":
      return stopSend(state, message.transferId);
    case "verify":
      return verifyFile(state, message);
    case "keep":
      return keepFile(state, message);
    case "delete":
      return deleteFile(state, message);
    case "room_answered":
      return endSuggestion(state);
    case "start_instance":
      return takeInstance(state, message);
    case "stop_instance":
      return stopInstance(state, message);
    case "watch":
    case "watch_credit":
    case "unwatch":
      // The shell has taken them: what is only looked at is no state.
      return;
    case "heartbeat":
      return;
    case "release":
      return requestRelease(state, message.reason);
    default:
      return unreachable(message);
  }
}

/** Carries out the manager's verdicts on the hello, then says what was held back meanwhile. */
function reconcile(
  state: WorkerState,
  message: Extract<ManagerMessage, { kind: "reconcile" }>,
): void {
  const held = state.link.kind === "greeting" ? state.link.held : [];
  state.link = { kind: "open" };
  forgetReport(state);
  for (const id of message.tries) {
    if (id.verdict === "kill") killTry(state, id);
  }
  for (const id of message.results) {
    const result = state.results.get(tryKey(id));
    if (result === undefined) continue;
    if (id.verdict === "resend") state.outbox.push({ kind: "result", result });
    else if (id.verdict !== "keep") state.results.delete(tryKey(id));
  }
  for (const { name, generation, verdict } of message.replicas) {
    if (verdict === "delete") deleteFile(state, { kind: "delete", name, generation });
  }
  for (const { instanceId, verdict } of message.instances) {
    if (verdict === "stop") stopInstance(state, { instanceId });
  }
  for (const told of held) state.outbox.push(told);
  // Said before the connection broke, or while there was none.
  const { leaving } = state;
  if (leaving?.isReleased === false) state.outbox.push({ kind: "leaving", reason: leaving.reason });
}

function stopSend(state: WorkerState, transferId: TransferId): void {
  state.instructions.push({ kind: "stop_transfer", transferId, goesOn: false });
}

function sendFile(state: WorkerState, order: Extract<ManagerMessage, { kind: "send" }>): void {
  const { transferId, name, generation } = order;
  const cached = state.cache.get(name);
  if (cached !== undefined && cached.generation === generation) {
    touchFile(state, name);
    state.instructions.push({ kind: "put", order });
    return;
  }
  const message = `Cannot send file "${name}": this worker has no such file`;
  tell(state, { kind: "send_failed", transferId, message });
}
