/**
 * The worker's state machine: events in, instructions out. It owns what runs
 * here and what is in the cache; which try is current is the manager's business.
 *
 * @module
 */

import { unreachable } from "../../shared/assert.ts";
import { peekHeap } from "../../shared/heap.ts";
import { endTransfer } from "./cache.ts";
import { diskWakeAtMs, forgetSuggestion, relieveDisk, startTransfersThatFit } from "./disk.ts";
import { tellDisk } from "./disk_report.ts";
import { handleMessage } from "./message.ts";
import type { TimedEvent } from "./event.ts";
import type { WorkerInstruction } from "./instruction.ts";
import { measureInstance, stopExceeding } from "./instance_use.ts";
import { endInstance, readyInstance } from "./library.ts";
import { sayHello } from "./hello.ts";
import { endKeep } from "./keep.ts";
import { finishLeaving, leaveInTime, requestLeave } from "./leave.ts";
import { makeWakeAtMs } from "./make.ts";
import { measureMemory } from "./memory.ts";
import { measureTry } from "./overflow.ts";
import { expireParts, partWakeAtMs } from "./part.ts";
import { startWhatFits } from "./room.ts";
import { tell, type WorkerState } from "./state.ts";
import { tellStarts } from "./start.ts";
import { endVerification } from "./verification.ts";
import { endCalls, endTask, expireTries } from "./task.ts";

/** Applies `events` in order, starts what fits, and returns what the shell must do, in order. */
export function step(state: WorkerState, events: readonly TimedEvent[]): WorkerInstruction[] {
  for (const event of events) {
    state.nowMs = Math.max(state.nowMs, event.atMs);
    handle(state, event);
  }
  leaveInTime(state);
  expireTries(state);
  expireParts(state);
  startTransfersThatFit(state);
  startWhatFits(state);
  relieveDisk(state);
  finishLeaving(state);
  tellDisk(state);
  return takeInstructions(state);
}

/** When the next timer of the state falls due, if there is one. */
export function nextWakeAtMs(state: WorkerState): number | undefined {
  if (state.hasLeft) return undefined;
  const { deadlines, end, leaving, disk: { tellAtMs }, quietUntilMs } = state;
  const timers = [
    peekHeap(deadlines)?.atMs,
    leaving === undefined ? end?.atMs : leaving.untilMs,
    diskWakeAtMs(state),
    tellAtMs,
    makeWakeAtMs(state),
    partWakeAtMs(state),
    quietUntilMs,
  ];
  const atMs = Math.min(...timers.map((timer) => timer ?? Infinity));
  return atMs === Infinity ? undefined : atMs;
}

function handle(state: WorkerState, event: TimedEvent): void {
  switch (event.kind) {
    case "connection_opened":
      return sayHello(state, event.peer);
    case "connection_closed":
      state.link = { kind: "closed" };
      forgetSuggestion(state);
      return;
    case "message_received":
      return handleMessage(state, event.message);
    case "task_ended":
      return endTask(state, event.result, event.modified);
    case "sandbox_measured":
      return measureTry(state, event);
    case "memory_measured":
      return measureMemory(state, event);
    case "instance_measured":
      return measureInstance(state, event);
    case "instance_exceeded":
      return stopExceeding(state, event);
    case "calls_ended":
      return endCalls(state, event.ends, event.modified);
    case "transfer_ended":
      return endTransfer(state, event);
    case "file_verified":
      return endVerification(state, event);
    case "file_kept":
      return endKeep(state, event);
    case "stored":
      return tell(state, { kind: "stored", transferId: event.transferId });
    case "send_failed": {
      const { kind, transferId, message, isFinal } = event;
      return tell(state, { kind, transferId, message, ...(isFinal ? { isFinal } : {}) });
    }
    case "instance_ready":
      return readyInstance(state, event.instanceId);
    case "instance_gone":
      return endInstance(state, event);
    case "leave_requested":
      return requestLeave(state, event.reason);
    case "tick":
      return;
    default:
      return unreachable(event);
  }
}

/** Closes the step: messages of this step make one `send`, after what they promise. */
function takeInstructions(state: WorkerState): WorkerInstruction[] {
  tellStarts(state);
  if (state.outbox.length > 0) {
    const send = { kind: "send", messages: state.outbox.splice(0) } as const;
    // A worker that leaves says so before it goes.
    const last = state.instructions.at(-1);
    if (last?.kind === "leave") state.instructions.splice(-1, 0, send);
    else state.instructions.push(send);
  }
  return state.instructions.splice(0);
}
