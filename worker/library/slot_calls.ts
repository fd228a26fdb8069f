/**
 * A slot of an instance: its process, and the calls in the hands of that. The first one runs, the
 * others wait in its pipe; how many may wait there is set by how long its calls took.
 *
 * @module
 */

import { encodeCall } from "./call_protocol.ts";
import type { LibraryCall } from "./library_call.ts";
import type { LibrarySlot } from "./library_slot.ts";

/** Work that waits in the pipe of a process, by what its calls took. */
const AHEAD_MS = 2;

/** Bytes that wait in the pipe of a process behind its first call: what the kernel surely takes. */
const AHEAD_BYTES_MAX: number = 64 * 1024;

/** A call that has not ended. */
export interface HeldCall extends LibraryCall {
  /** Its ID on the pipe, another each time it is given: answers to an earlier one are void. */
  pipeId: number;
  /** Where it is; undefined while it waits. */
  slot: Slot | undefined;
  /** Why it is to be stopped, once somebody asked. */
  stop: "cancelled" | "timeout" | undefined;
}

/** A place where calls run. */
export interface Slot {
  readonly index: number;
  process: LibrarySlot;
  isReady: boolean;
  /** True when the worker ends it, or its function did: the end is no fault of the library. */
  isStopping: boolean;
  /** True when each call gets a process of its own. */
  isOnce: boolean;
  /** The first one runs, the others wait in the pipe. */
  calls: HeldCall[];
  /** Of the calls in the pipe. */
  bytes: number;
  /** Further calls the program takes into its pipe. */
  callsAhead: number;
  /** When the first call was given or became the first, monotonic. */
  headAtMs: number;
  /** When the waiting calls were asked back; 0 when not, since the last result. */
  askedAtMs: number;
  /** Estimate of what a call takes; undefined before the first. */
  callMs: number | undefined;
  /** What was not written yet in this turn. */
  unsent: Uint8Array[];
}

/** Returns a slot whose process starts. */
export function newSlot(index: number, process: LibrarySlot): Slot {
  return {
    index,
    process,
    isReady: false,
    isStopping: false,
    isOnce: false,
    calls: [],
    bytes: 0,
    callsAhead: 0,
    headAtMs: 0,
    askedAtMs: 0,
    callMs: undefined,
    unsent: [],
  };
}

/** The slot with the fewest calls that may have one more of that size; undefined when none may. */
export function freestSlot(slots: readonly Slot[], size: number): Slot | undefined {
  let freest: Slot | undefined;
  for (const slot of slots) {
    const count = slot.calls.length;
    if (!slot.isReady || count >= roomOf(slot)) continue;
    if (count > 0 && slot.bytes + size > AHEAD_BYTES_MAX) continue;
    if (freest === undefined || count < freest.calls.length) freest = slot;
    if (count === 0) break;
  }
  return freest;
}

/** Gives a call to a process; what is to be written of it is in `unsent` then. */
export function giveCall(slot: Slot, call: HeldCall, pipeId: number): void {
  if (slot.calls.length === 0) slot.headAtMs = performance.now();
  call.slot = slot;
  call.pipeId = pipeId;
  slot.calls.push(call);
  slot.bytes += call.arguments.length;
  slot.unsent.push(...encodeCall({ ...call, kind: "call", callId: pipeId }));
}

/** Takes in how long a call took, whose result has come just now. */
export function noteDuration(slot: Slot, ranMs: number, nowMs: number): void {
  const before = slot.callMs ?? ranMs;
  slot.callMs = ranMs > before ? (before + ranMs) / 2 : before * 0.9 + ranMs * 0.1;
  slot.headAtMs = nowMs;
  slot.askedAtMs = 0;
}

/** Takes back all but the call that runs. */
export function takeWaiting(slot: Slot): HeldCall[] {
  const [head, ...waiting] = emptySlot(slot);
  if (head !== undefined) {
    slot.calls = [head];
    slot.bytes = head.arguments.length;
  }
  return waiting;
}

/** Calls that may be in the hands of a slot, the running one among them. */
function roomOf(slot: Slot): number {
  // Behind a call that runs for long nothing is put.
  if (slot.callMs === undefined || slot.askedAtMs !== 0) return 1;
  return 1 + Math.min(slot.callsAhead, Math.floor(AHEAD_MS / Math.max(slot.callMs, 0.001)));
}

/** Takes the call of that ID on the pipe, if the process has it. */
export function takeCall(slot: Slot, pipeId: number): HeldCall | undefined {
  const index = slot.calls.findIndex((call) => call.pipeId === pipeId);
  const [call] = index === 0 ? [slot.calls.shift()] : index > 0 ? slot.calls.splice(index, 1) : [];
  if (call !== undefined) slot.bytes -= call.arguments.length;
  return call;
}

/** Takes all calls. */
export function emptySlot(slot: Slot): HeldCall[] {
  const calls = slot.calls;
  slot.calls = [];
  slot.bytes = 0;
  slot.unsent = [];
  return calls;
}
