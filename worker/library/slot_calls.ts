/**
 * A slot of an instance: its process, and the calls in the hands of that. The first ones run, as
 * many as the process serves at a time; the others wait in its pipe, and how many may wait there is
 * set by how long its calls took.
 *
 * @module
 */

import { CALLS_AHEAD_MAX, encodeCall } from "./call_protocol.ts";
import { type LibraryCall, pathsSizeOf } from "./library_call.ts";
import type { LibrarySlot } from "./library_slot.ts";

/** Work that waits in the pipe of a process, by what its calls took. */
const AHEAD_MS = 2;

/** Bytes that wait in the pipe of a process behind those that run: what the kernel surely takes. */
const AHEAD_BYTES_MAX: number = 64 * 1024;

/** Calls that a process did not give back in time, and may answer still; older ones are forgotten. */
const GIVEN_UP_MAX = 16 * CALLS_AHEAD_MAX;

/** Further calls in a pipe from which on it is filled by halves. */
const BATCH_ROOM_MIN = 16;

/** A call that has not ended. */
export interface HeldCall extends LibraryCall {
  /** Of its arguments and paths. */
  readonly sizeBytes: number;
  /** Its ID on the pipe, another each time it is given: answers to an earlier one are void. */
  pipeId: number;
  /** Where it is; undefined while it waits. */
  slot: Slot | undefined;
  /** Why it is to be stopped, once somebody asked. */
  stop: "cancelled" | "timeout" | undefined;
  /** When it began to run, monotonic; of one that waits without meaning. */
  startedAtMs: number;
  /** True when the process was asked for it, while it waited there. */
  isAskedBack: boolean;
  /** When the process was told to stop it, monotonic; 0 when not. */
  stopAtMs: number;
}

/** A place where calls run. */
export interface Slot {
  readonly index: number;
  /** Calls that its process serves at the same time. */
  readonly width: number;
  process: LibrarySlot;
  isReady: boolean;
  /** True when the worker ends it, or its function did: the end is no fault of the library. */
  isStopping: boolean;
  /** True when each call gets a process of its own. */
  isOnce: boolean;
  /** The first `width` of them run, the others wait in the pipe. */
  calls: HeldCall[];
  /** Of the calls in the pipe. */
  bytes: number;
  /** Further calls the program takes into its pipe. */
  callsAhead: number;
  /** When the waiting calls were asked back; 0 when not, since the last result. */
  askedAtMs: number;
  /** Estimate of what a call takes; undefined before the first. */
  callMs: number | undefined;
  /** IDs on the pipe of calls that were given up: asked back, without an answer yet. */
  readonly givenUp: Set<number>;
  /** Calls up to which it is filled now. */
  room: number;
  /** What was not written yet in this turn. */
  unsent: Uint8Array[];
  /** Ends a process that is not ready in time. */
  startTimer: ReturnType<typeof setTimeout> | undefined;
}

/** Returns a call that waits. */
export function newHeldCall(call: LibraryCall): HeldCall {
  const { callId, function: name, arguments: bytes, directory, files, timeoutMs } = call;
  return {
    callId,
    function: name,
    arguments: bytes,
    directory,
    files,
    timeoutMs,
    isMetered: call.isMetered ?? false,
    sizeBytes: call.arguments.length + pathsSizeOf(call),
    pipeId: 0,
    slot: undefined,
    stop: undefined,
    startedAtMs: 0,
    isAskedBack: false,
    stopAtMs: 0,
  };
}

/** Returns a slot whose process starts. */
export function newSlot(
  { index, width, process }: Pick<Slot, "index" | "width" | "process">,
): Slot {
  return {
    index,
    width,
    process,
    isReady: false,
    isStopping: false,
    isOnce: false,
    calls: [],
    bytes: 0,
    callsAhead: 0,
    askedAtMs: 0,
    callMs: undefined,
    givenUp: new Set(),
    room: 0,
    unsent: [],
    startTimer: undefined,
  };
}

/**
 * Notes which slots take calls until they are full. One with many calls is filled up when half of
 * them have ended, not one by one: each write wakes its process.
 */
export function openSlots(slots: readonly Slot[]): void {
  for (const slot of slots) {
    const room = roomOf(slot);
    const least = slot.width + BATCH_ROOM_MIN;
    slot.room = room > least && slot.calls.length * 2 > room ? 0 : room;
  }
}

/**
 * The slot with the fewest calls that may have one more of that size, of those that were noted to
 * take some; undefined when none may.
 */
export function freestSlot(slots: readonly Slot[], size: number): Slot | undefined {
  let freest: Slot | undefined;
  for (const slot of slots) {
    const count = slot.calls.length;
    if (!slot.isReady || !slot.process.isServing || count >= slot.room) continue;
    if (count >= slot.width && slot.bytes + size > AHEAD_BYTES_MAX) continue;
    if (freest === undefined || count < freest.calls.length) freest = slot;
    if (count === 0) break;
  }
  return freest;
}

/** Gives a call to a process; what is to be written of it is in `unsent` then. */
export function giveCall(slot: Slot, call: HeldCall, pipeId: number): void {
  if (slot.calls.length < slot.width) call.startedAtMs = performance.now();
  call.slot = slot;
  call.pipeId = pipeId;
  call.isAskedBack = false;
  call.stopAtMs = 0;
  slot.calls.push(call);
  slot.bytes += call.sizeBytes;
  for (const part of encodeCall(call, pipeId)) slot.unsent.push(part);
}

/** Takes in how long a call took. */
export function noteDuration(slot: Slot, ranMs: number): void {
  const before = slot.callMs ?? ranMs;
  slot.callMs = ranMs > before ? (before + ranMs) / 2 : before * 0.9 + ranMs * 0.1;
  slot.askedAtMs = 0;
}

/** True of a call that runs, as far as the worker knows. */
export function isRunning(slot: Slot, call: HeldCall): boolean {
  const index = slot.calls.indexOf(call);
  return index >= 0 && index < slot.width;
}

/** Takes back the calls that only wait; the process may answer that it drops them. */
export function giveUpWaiting(slot: Slot): HeldCall[] {
  const waiting = slot.calls.splice(slot.width);
  for (const call of waiting) {
    slot.bytes -= call.sizeBytes;
    slot.givenUp.add(call.pipeId);
  }
  for (const pipeId of slot.givenUp) {
    if (slot.givenUp.size <= GIVEN_UP_MAX) break;
    slot.givenUp.delete(pipeId);
  }
  return waiting;
}

/** Calls that may be in the hands of a slot, the running ones among them. */
function roomOf({ width, callMs, callsAhead, askedAtMs }: Slot): number {
  // Behind a call that runs for long nothing is put.
  if (callMs === undefined || askedAtMs !== 0) return width;
  return width + Math.min(callsAhead, Math.floor(width * AHEAD_MS / Math.max(callMs, 0.001)));
}

/** Takes the call of that ID on the pipe, if the process has it; the next one runs then. */
export function takeCall(slot: Slot, pipeId: number, nowMs: number): HeldCall | undefined {
  const { calls, width } = slot;
  // They mostly end in the order in which they came.
  const index = calls[0]?.pipeId === pipeId ? 0 : calls.findIndex((call) => call.pipeId === pipeId);
  const call = index === 0 ? calls.shift() : index > 0 ? calls.splice(index, 1)[0] : undefined;
  if (call === undefined) return undefined;
  slot.bytes -= call.sizeBytes;
  const next = index < width ? calls[width - 1] : undefined;
  if (next !== undefined) next.startedAtMs = nowMs;
  return call;
}

/** Takes all calls. */
export function emptySlot(slot: Slot): HeldCall[] {
  const calls = slot.calls;
  slot.calls = [];
  slot.bytes = 0;
  slot.unsent = [];
  slot.givenUp.clear();
  return calls;
}
