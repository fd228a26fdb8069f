/**
 * One running copy of a library: as many processes as it has slots, each serving one call at
 * a time ("direct").
 *
 * Short calls wait in the pipe of a process, so that it need not wait for the worker between
 * two of them; how many is set by how long its calls took. A call that only waits is taken
 * back when the one before it turns out long and another slot is free. Results of one read
 * are handed over together, and nothing on the way of a call is a timer or a promise of its
 * own.
 *
 * A call ends once: with what its function did, or with why it could not.
 *
 * @module
 */

import { mkdir } from "node:fs/promises";
import { dirname, join } from "@std/path";

import { assert, unreachable } from "../../shared/assert.ts";
import type { InstanceStop } from "../core/instance_use.ts";
import { encodeThrown, type Thrown, thrownOf, thrownOfText } from "../../shared/thrown.ts";
import {
  ARGUMENT_BYTES_MAX,
  type CallMessage,
  CALLS_AHEAD_MAX,
  encodeCall,
  encodeDrop,
  encodeSync,
  isCallPath,
  isFunctionName,
  type LibraryMessage,
  type ResultMessage,
} from "./call_protocol.ts";
import { LibrarySlot } from "./library_slot.ts";

/** How an instance is started and whom it tells. */
export interface LibraryProcessOptions {
  /** Program and arguments of each slot's process. */
  readonly command: readonly string[];
  /** Directory of the instance; it exists and nobody else writes to it. */
  readonly directory: string;
  /** The environment of the processes; variables of Bun's own are left out. */
  readonly env: { readonly [name: string]: string | undefined };
  /** `TENDRIL_WORKER_MARK` of the processes, by which the worker's leftovers are found. */
  readonly mark: string;
  /** Processes, and so calls at the same time; at least 1. */
  readonly slots: number;
  /** Runs what starts a process so that it runs on the processors of the instance. */
  readonly pinned?: <T>(start: () => T) => T;
  /** Told of the instance before it has processes. */
  onOpened?(instance: LibraryProcess): void;
  /** A call that asked for it runs in that process from now on, in another one if it is told again. */
  onRunning?(callId: number, processId: number): void;
  /** Calls that ended since the last time. */
  onResults(results: readonly CallResult[]): void;
  /** The instance was ready and cannot serve any more; its calls have ended as lost. */
  onDied(message: string): void;
  /** Time until the instance must be ready. Default `START_MS_MAX`. */
  readonly startMsMax?: number;
}

/** One call. */
export interface LibraryCall extends Omit<CallMessage, "kind"> {
  /** Wall time of the function alone after which it is stopped; 0 is none. */
  readonly timeoutMs: number;
  /** `onRunning` is told of it. */
  readonly isMetered?: true;
}

/** How one call ended. */
export type CallEnd =
  | { readonly kind: "ok"; readonly value: Uint8Array }
  /** The value is in this file of the instance's directory, which is the receiver's now. */
  | { readonly kind: "ok_file"; readonly path: string }
  /** The function threw; `value` is `thrown` for `decodeThrown`. */
  | { readonly kind: "error"; readonly thrown: Thrown; readonly value: Uint8Array }
  /** Its process died, ended itself, or was stopped with the instance, which is `isAmbiguous`. */
  | { readonly kind: "lost"; readonly message: string; readonly isAmbiguous?: true }
  /** It ran in the instance when that was stopped for what it used. */
  | { readonly kind: "stopped"; readonly stop: InstanceStop }
  | { readonly kind: "cancelled" | "timeout" };

/** The end of a call. */
export interface CallResult {
  readonly callId: number;
  readonly end: CallEnd;
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
  /** When the function started, epoch milliseconds; 0 when it never did. */
  readonly startedAtMs: number;
  readonly ranMs: number;
}

/** Default limit of a start: a context may load a large model. */
export const START_MS_MAX: number = 10 * 60_000;

/** Deaths of a process outside of calls, without a call served in between, that end an instance. */
export const DEATHS_MAX = 3;

/** Work that waits in the pipe of a process, by what its calls took. */
const AHEAD_MS = 2;

/** Bytes that wait in the pipe of a process behind its first call: what the kernel surely takes. */
const AHEAD_BYTES_MAX: number = 64 * 1024;

/**
 * How often running calls are looked at, while there are any, for timeouts and stalls. A stall
 * must be longer than `SYNC_AFTER_MS`.
 */
const TICK_MS = 25;

/** How long an idle process has to end by itself. */
const CLOSE_MS = 1000;

const STOPPED = "The library instance was stopped";

/** Of a call that did nothing to lose its instance. */
const LOST: CallEnd = { kind: "lost", message: STOPPED, isAmbiguous: true };

const NOTHING: Uint8Array = new Uint8Array(0);
const UTF8 = new TextEncoder();
const UTF8_DECODER = new TextDecoder();

interface Call extends LibraryCall {
  /** Its ID on the pipe, another each time it is given: answers to an earlier one are void. */
  pipeId: number;
  /** Where it is; undefined while it waits. */
  slot: Slot | undefined;
  /** Why it is to be stopped, once somebody asked. */
  stop: "cancelled" | "timeout" | undefined;
}

interface Slot {
  readonly index: number;
  process: LibrarySlot;
  isReady: boolean;
  /** True when the worker ends it, or its function did: the end is no fault of the library. */
  isStopping: boolean;
  /** True when each call gets a process of its own. */
  isOnce: boolean;
  /** The first one runs, the others wait in the pipe. */
  calls: Call[];
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

/** A running copy of a library. */
export class LibraryProcess {
  readonly #options: LibraryProcessOptions;
  readonly #slots: Slot[] = [];
  readonly #calls = new Map<number, Call>();
  /** From `#next` on; may hold calls that have ended, which are passed over. */
  #waiting: Call[] = [];
  #next = 0;
  #results: CallResult[] = [];
  #state: "starting" | "ready" | "closing" = "starting";
  #deathCount = 0;
  #pipeId = 0;
  #ticker: ReturnType<typeof setInterval> | undefined;
  readonly #started = Promise.withResolvers<void>();

  private constructor(options: LibraryProcessOptions) {
    assert(options.slots >= 1, `${options.slots} slots`);
    this.#options = options;
    // Whoever starts the instance awaits it, perhaps a little later.
    this.#started.promise.catch(() => {});
  }

  /**
   * Starts an instance and resolves when each of its processes is ready.
   *
   * @throws {Error} if one ends before, or takes too long, with its own last output.
   */
  static async start(options: LibraryProcessOptions): Promise<LibraryProcess> {
    const instance = new LibraryProcess(options);
    options.onOpened?.(instance);
    const { startMsMax = START_MS_MAX } = options;
    const timer = setTimeout(() => {
      instance.#started.reject(new Error(`Cannot start library: not ready after ${startMsMax} ms`));
    }, startMsMax);
    try {
      for (let index = 0; index < options.slots && instance.#state === "starting"; index++) {
        await mkdir(instance.#directoryOf(index), { recursive: true });
        // It may have been closed meanwhile.
        if (instance.#state === "starting") instance.#slots.push(instance.#newSlot(index));
      }
      await instance.#started.promise;
    } catch (error) {
      await instance.close();
      throw error;
    } finally {
      clearTimeout(timer);
    }
    return instance;
  }

  /** False before it is ready and once it ends: nothing that it is given then is run. */
  get isOpen(): boolean {
    return this.#state === "ready";
  }

  /** Takes calls; `onResults` tells the end of each. */
  call(calls: readonly LibraryCall[]): void {
    for (const call of calls) {
      assert(!this.#calls.has(call.callId), `Call ${call.callId} is there already`);
      const entry: Call = { ...call, pipeId: 0, slot: undefined, stop: undefined };
      this.#calls.set(call.callId, entry);
      const refusal = this.#state === "ready" ? refusalOf(call) : undefined;
      if (this.#state !== "ready") this.#end(entry, LOST);
      else if (refusal !== undefined) this.#end(entry, errorEnd(refusal));
      else this.#waiting.push(entry);
    }
    this.#fill();
  }

  /** Stops a call, with its process if it runs; `onResults` still tells its end. */
  cancel(callId: number, reason: "cancelled" | "timeout" = "cancelled"): void {
    const call = this.#calls.get(callId);
    if (call === undefined) return;
    call.stop ??= reason;
    const slot = call.slot;
    if (slot === undefined) return this.#end(call, { kind: call.stop });
    if (slot.calls[0] === call) return this.#stopHead(slot);
    slot.process.write(encodeDrop(call.pipeId));
  }

  /** Processes of the slots, each with a group of its own. */
  get processIds(): number[] {
    return this.#slots.flatMap(({ process }) => process.processGroup ?? []);
  }

  /**
   * Ends every call as lost, and every process; resolves when none is left. With `stop` it is ended
   * for what it used, at once, and so are the calls that run.
   */
  async close(stop?: InstanceStop): Promise<void> {
    this.#state = "closing";
    clearInterval(this.#ticker);
    this.#started.reject(new Error(stop?.message ?? STOPPED));
    const busy = this.#slots.filter((slot) => {
      return stop !== undefined || !slot.isReady || slot.calls.length > 0;
    });
    for (const slot of busy) slot.process.kill(STOPPED);
    for (const call of [...this.#calls.values()]) {
      const { slot } = call;
      const isRunning = slot !== undefined && slot.calls[0] === call;
      if (stop === undefined || !isRunning) this.#end(call, LOST);
      else this.#end(call, { kind: "stopped", stop }, runOf(slot));
    }
    for (const slot of this.#slots) slot.process.end();
    const timer = setTimeout(() => {
      for (const slot of this.#slots) slot.process.kill(STOPPED);
    }, CLOSE_MS);
    await Promise.all(this.#slots.map((slot) => slot.process.ended));
    clearTimeout(timer);
  }

  /** Closes the instance. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #newSlot(index: number): Slot {
    const slot: Slot = {
      index,
      process: this.#spawn(index, () => slot),
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
    return slot;
  }

  #spawn(index: number, slot: () => Slot): LibrarySlot {
    const { command, env, mark, pinned = (start) => start() } = this.#options;
    const kept = Object.entries(env).filter(([name, value]) =>
      value !== undefined && !name.startsWith("BUN_")
    );
    const options = {
      command,
      directory: this.#directoryOf(index),
      env: { ...Object.fromEntries(kept) as Record<string, string>, TENDRIL_WORKER_MARK: mark },
      onMessages: (messages: readonly LibraryMessage[]) => this.#read(slot(), messages),
      onEnd: (reason: string) => this.#slotEnded(slot(), reason),
    };
    return pinned(() => new LibrarySlot(options));
  }

  #directoryOf(index: number): string {
    return join(this.#options.directory, `slot-${index}`);
  }

  /** Gives waiting calls to the slots with the fewest, as far as there is room. */
  #fill(): void {
    for (; this.#next < this.#waiting.length; this.#next++) {
      const call = this.#waiting[this.#next];
      if (call === undefined || this.#calls.get(call.callId) !== call) continue;
      const slot = this.#freestSlot(call.arguments.length);
      if (slot === undefined) break;
      if (slot.calls.length === 0) slot.headAtMs = performance.now();
      call.slot = slot;
      call.pipeId = ++this.#pipeId;
      slot.calls.push(call);
      this.#noteHead(slot);
      slot.bytes += call.arguments.length;
      slot.unsent.push(...encodeCall({ ...call, kind: "call", callId: call.pipeId }));
    }
    if (this.#next === this.#waiting.length) {
      this.#waiting.length = 0;
      this.#next = 0;
    }
    for (const slot of this.#slots) {
      if (slot.unsent.length === 0) continue;
      slot.process.write(Buffer.concat(slot.unsent));
      slot.unsent = [];
      this.#ticker ??= setInterval(() => this.#tick(), TICK_MS);
    }
  }

  #freestSlot(size: number): Slot | undefined {
    let freest: Slot | undefined;
    for (const slot of this.#slots) {
      const count = slot.calls.length;
      if (!slot.isReady || count >= roomOf(slot)) continue;
      if (count > 0 && slot.bytes + size > AHEAD_BYTES_MAX) continue;
      if (freest === undefined || count < freest.calls.length) freest = slot;
      if (count === 0) break;
    }
    return freest;
  }

  #read(slot: Slot, messages: readonly LibraryMessage[]): void {
    const now = performance.now();
    for (const message of messages) {
      switch (message.kind) {
        case "result":
          this.#takeResult(slot, message, now);
          break;
        case "dropped": {
          const call = takeCall(slot, message.callId);
          if (call !== undefined) this.#putBack([call]);
          break;
        }
        case "ready":
          slot.callsAhead = Math.min(message.callsAhead, CALLS_AHEAD_MAX);
          slot.isOnce = message.isOnce;
          slot.isReady = true;
          if (this.#state === "starting" && this.#slots.length === this.#options.slots) {
            this.#tellReady();
          }
          break;
        case "sync":
          slot.process.write(encodeSync());
          break;
        case "failed":
          slot.process.kill(message.text);
          break;
        default:
          unreachable(message);
      }
    }
    this.#fill();
  }

  /** Says which process the call that runs in a slot has, if it is to be said. */
  #noteHead({ calls: [head], process: { processGroup } }: Slot): void {
    if (head?.isMetered !== true || processGroup === undefined) return;
    this.#options.onRunning?.(head.callId, processGroup);
  }

  #tellReady(): void {
    if (!this.#slots.every((slot) => slot.isReady)) return;
    this.#state = "ready";
    this.#started.resolve();
  }

  #takeResult(slot: Slot, message: ResultMessage, now: number): void {
    const call = takeCall(slot, message.callId);
    if (call === undefined) return;
    const ranMs = message.microseconds === undefined
      ? now - slot.headAtMs
      : message.microseconds / 1000;
    const before = slot.callMs ?? ranMs;
    slot.callMs = ranMs > before ? (before + ranMs) / 2 : before * 0.9 + ranMs * 0.1;
    slot.headAtMs = now;
    slot.askedAtMs = 0;
    this.#noteHead(slot);
    this.#deathCount = 0;
    const { stdout, stderr } = message;
    this.#end(call, this.#endOf(message, slot), { stdout, stderr, ranMs });
    if (message.status !== "exit" && !slot.isOnce) return;
    slot.isStopping = true;
    slot.isReady = false;
    this.#putBack(emptySlot(slot));
    slot.process.kill("its last call has ended");
  }

  #endOf(message: ResultMessage, slot: Slot): CallEnd {
    switch (message.status) {
      case "ok":
        return { kind: "ok", value: message.content };
      case "file": {
        const path = UTF8_DECODER.decode(message.content);
        // The receiver moves it away, so it must be the process's own to give.
        if (dirname(path) === this.#directoryOf(slot.index)) return { kind: "ok_file", path };
        const found = "not in the directory of its process";
        return errorEnd(thrownOf(new Error(`Cannot take file "${path}" as a value: ${found}`)));
      }
      case "error":
        return errorEnd(thrownOfText(UTF8_DECODER.decode(message.content)));
      case "exit":
        return { kind: "lost", message: UTF8_DECODER.decode(message.content) };
      default:
        return unreachable(message.status);
    }
  }

  /** Makes calls wait again that have not started, in front of all others. */
  #putBack(calls: readonly Call[]): void {
    for (const call of calls) {
      call.slot = undefined;
      if (call.stop !== undefined) this.#end(call, { kind: call.stop });
    }
    this.#waiting.splice(this.#next, 0, ...calls);
  }

  /** Looks at calls that run for long. Stops when none runs. */
  #tick(): void {
    const now = performance.now();
    let callCount = 0;
    for (const slot of this.#slots) {
      callCount += slot.calls.length;
      const head = slot.calls[0];
      if (head === undefined) continue;
      const silentMs = now - slot.headAtMs;
      if (head.timeoutMs > 0 && silentMs >= head.timeoutMs) head.stop ??= "timeout";
      if (head.stop !== undefined && silentMs >= TICK_MS) this.#stopHead(slot);
      else if (slot.calls.length > 1 && silentMs >= TICK_MS) this.#askBack(slot, now);
    }
    if (callCount > 0) return;
    clearInterval(this.#ticker);
    this.#ticker = undefined;
  }

  /**
   * Asks a slot for the calls behind a long one when another slot is idle. If it says nothing
   * it is still in the first one: the request lies in its pipe, and its `sync` makes it read
   * that before it starts another. So the calls are free, whether it answers or not.
   */
  #askBack(slot: Slot, now: number): void {
    const hasIdle = this.#slots.some((other) => other.isReady && other.calls.length === 0);
    if (!hasIdle || this.#next < this.#waiting.length) return;
    if (slot.askedAtMs === 0) {
      slot.process.write(Buffer.concat(slot.calls.slice(1).map((call) => encodeDrop(call.pipeId))));
      slot.askedAtMs = now;
      return;
    }
    if (now - slot.askedAtMs < TICK_MS || !slot.process.isFlushed) return;
    const head = slot.calls[0];
    const rest = emptySlot(slot).slice(1);
    if (head !== undefined) {
      slot.calls = [head];
      slot.bytes = head.arguments.length;
    }
    this.#putBack(rest);
    this.#fill();
  }

  /** Ends the running call with its process; those behind it wait again. */
  #stopHead(slot: Slot): void {
    const [head, ...rest] = emptySlot(slot);
    slot.isStopping = true;
    slot.isReady = false;
    this.#putBack(rest);
    if (head?.stop !== undefined) this.#end(head, { kind: head.stop }, runOf(slot));
    slot.process.kill(`stopped: ${head?.stop}`);
    this.#fill();
  }

  #slotEnded(slot: Slot, reason: string): void {
    const log = slot.process.log;
    const [head, ...rest] = emptySlot(slot);
    const wasReady = slot.isReady;
    slot.isReady = false;
    if (this.#state === "starting") {
      const output = log === "" ? "" : `\n${log}`;
      this.#started.reject(new Error(`Cannot start library: ${reason}${output}`));
    }
    if (this.#state !== "ready") return;
    if (head !== undefined) {
      const message = `The process of function "${head.function}" died: ${reason}`;
      this.#end(head, { kind: "lost", message }, { ...runOf(slot), stderr: UTF8.encode(log) });
    } else if (!slot.isStopping) this.#deathCount++;
    this.#putBack(rest);
    if (this.#deathCount >= DEATHS_MAX) {
      return this.#die(
        `A process of the library died ${wasReady ? "idle" : "starting"}: ${reason}`,
      );
    }
    this.#restart(slot);
    this.#fill();
  }

  #restart(slot: Slot): void {
    slot.isStopping = false;
    slot.askedAtMs = 0;
    slot.callMs = undefined;
    try {
      slot.process = this.#spawn(slot.index, () => slot);
    } catch (error) {
      this.#die(`A process of the library cannot be started: ${(error as Error).message}`);
    }
  }

  #die(message: string): void {
    void this.close().then(() => this.#options.onDied(message));
  }

  /** Takes a call out of the instance and hands its end over, with others of this turn. */
  #end(call: Call, end: CallEnd, run: Partial<CallResult> = {}): void {
    this.#calls.delete(call.callId);
    if (this.#results.length === 0) queueMicrotask(() => this.#handOver());
    const { stdout = NOTHING, stderr = NOTHING, ranMs = 0 } = run;
    const startedAtMs = run.ranMs === undefined ? 0 : Date.now() - ranMs;
    this.#results.push({ callId: call.callId, end, stdout, stderr, startedAtMs, ranMs });
  }

  #handOver(): void {
    const results = this.#results;
    this.#results = [];
    this.#options.onResults(results);
  }
}

/** Calls that may be in the hands of a slot, the running one among them. */
function roomOf(slot: Slot): number {
  // Behind a call that runs for long nothing is put.
  if (slot.callMs === undefined || slot.askedAtMs !== 0) return 1;
  return 1 + Math.min(slot.callsAhead, Math.floor(AHEAD_MS / Math.max(slot.callMs, 0.001)));
}

function takeCall(slot: Slot, pipeId: number): Call | undefined {
  const index = slot.calls.findIndex((call) => call.pipeId === pipeId);
  const [call] = index === 0 ? [slot.calls.shift()] : index > 0 ? slot.calls.splice(index, 1) : [];
  if (call !== undefined) slot.bytes -= call.arguments.length;
  return call;
}

function emptySlot(slot: Slot): Call[] {
  const calls = slot.calls;
  slot.calls = [];
  slot.bytes = 0;
  slot.unsent = [];
  return calls;
}

/** How long the running call of a slot has run, for one that is stopped. */
function runOf(slot: Slot): { ranMs: number } {
  return { ranMs: performance.now() - slot.headAtMs };
}

function errorEnd(thrown: Thrown): CallEnd {
  return { kind: "error", thrown, value: encodeThrown(thrown) };
}

/** Why a call cannot be written as a message, if it cannot. */
function refusalOf(call: LibraryCall): Thrown | undefined {
  if (!isFunctionName(call.function)) {
    return thrownOf(new TypeError(`Cannot call "${call.function}" as a function: no such name`));
  }
  if (call.arguments.length > ARGUMENT_BYTES_MAX) {
    const found = `more than ${ARGUMENT_BYTES_MAX} bytes`;
    return thrownOf(new RangeError(`Cannot send arguments to "${call.function}": ${found}`));
  }
  const path = [call.directory, ...call.files].find((each) => !isCallPath(each));
  if (path === undefined) return undefined;
  return thrownOf(new TypeError(`Cannot send "${path}" as a path: it has a line break`));
}
