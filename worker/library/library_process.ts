/**
 * One running copy of a library: as many processes as it has slots, each serving one call at
 * a time ("direct"), or one process that serves as many calls at a time as there are slots, each
 * in a child of its own ("fork").
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
import type { LibraryMode } from "../../shared/library.ts";
import type { InstanceStop } from "../core/instance_use.ts";
import type { EndedLeader } from "../leftovers.ts";
import { thrownOf, thrownOfText } from "../../shared/thrown.ts";
import {
  ARGUMENT_BYTES_MAX,
  CALLS_AHEAD_MAX,
  encodeDrop,
  encodeStop,
  encodeSync,
  type LibraryMessage,
  PATHS_BYTES_MAX,
  type ReadyMessage,
  type ResultMessage,
} from "./call_protocol.ts";
import { CallQueue } from "./call_queue.ts";
import { readCapturedOutput, removeValueFile } from "./captured_output.ts";
import {
  type CallEnd,
  type CallResult,
  errorEnd,
  type LibraryCall,
  lostEnd,
  refusalOf,
} from "./library_call.ts";
import {
  emptySlot,
  freestSlot,
  giveCall,
  giveUpWaiting,
  type HeldCall,
  isRunning,
  newHeldCall,
  newSlot,
  noteDuration,
  openSlots,
  type Slot,
  takeCall,
} from "./slot_calls.ts";
import { killedBy, LibrarySlot } from "./library_slot.ts";
import type { CallOutput } from "./output_capture.ts";

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
  /** Calls at the same time; at least 1. */
  readonly slots: number;
  readonly mode: LibraryMode;
  /** Runs what starts a process so that it runs on the processors of the instance. */
  readonly pinned?: <T>(start: () => T) => T;
  /** Ends what a process has left behind; resolves when nothing of it is found any more. */
  readonly endLeftovers: (leader: EndedLeader) => Promise<void>;
  /** Fills the directory of a process before that starts for the first time. */
  prepare?(directory: string): Promise<void>;
  /** Told that a call runs in a process of its own; in that of its slot, of one that is metered. */
  onRunning?(callId: number, processId: number): void;
  /** Told of the instance before it has processes. */
  onOpened?(instance: LibraryProcess): void;
  /** Calls that ended since the last time. */
  onResults(results: readonly CallResult[]): void;
  /** The instance was ready and cannot serve any more; its calls have ended as lost. */
  onDied(message: string): void;
  /** Time until a process must be ready. Default `START_MS_MAX`. */
  readonly startMsMax?: number;
}

/** Default limit of a start: a context may load a large model. */
export const START_MS_MAX: number = 10 * 60_000;

/** Deaths of a process outside of calls, without a call served in between, that end an instance. */
export const DEATHS_MAX = 3;

/**
 * How often running calls are looked at, while there are any, for timeouts and stalls. A stall
 * must be longer than `SYNC_AFTER_MS`.
 */
const TICK_MS = 25;

/** How long an idle process has to end by itself. */
const CLOSE_MS = 1000;

/** How long a process has to end a call in a child; then it is ended with all that it serves. */
const STOP_MS_MAX = 500;

/** What a program may leave unread beside calls: what it is told of these. */
const UNREAD_SLACK_BYTES: number = 1024 * 1024;

const STOPPED = "The library instance was stopped";

/** Of a call that only waited: that its instance ended is not counted for it. */
const NEVER_RAN: CallEnd = { kind: "cancelled" };

/** Of a call that did nothing to lose its instance. */
const LOST: CallEnd = { kind: "lost", message: STOPPED, isAmbiguous: true };

const NOTHING: Uint8Array = new Uint8Array(0);
const UTF8 = new TextEncoder();
const UTF8_DECODER = new TextDecoder();

/** A running copy of a library. */
export class LibraryProcess {
  readonly #options: LibraryProcessOptions;
  readonly #slots: Slot[] = [];
  readonly #calls = new Map<number, HeldCall>();
  readonly #waiting = new CallQueue((call) => this.#calls.get(call.callId) !== call);
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
    try {
      for (let index = 0; index < instance.#processCount; index++) {
        if (instance.#state !== "starting") break;
        const directory = instance.#directoryOf(index);
        await mkdir(directory, { recursive: true });
        await options.prepare?.(directory);
        // It may have been closed meanwhile.
        if (instance.#state === "starting") instance.#slots.push(instance.#newSlot(index));
      }
      await instance.#started.promise;
    } catch (error) {
      await instance.close();
      throw error;
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
      const entry = newHeldCall(call);
      this.#calls.set(call.callId, entry);
      const refusal = this.#state === "ready" ? refusalOf(call) : undefined;
      if (this.#state !== "ready") this.#end(entry, NEVER_RAN);
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
    if (isRunning(slot, call)) return this.#stopRunning(slot, call, performance.now());
    call.isAskedBack = true;
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
      const hasRun = slot !== undefined && isRunning(slot, call);
      if (!hasRun) this.#end(call, NEVER_RAN);
      else if (stop === undefined) this.#end(call, LOST);
      else this.#end(call, { kind: "stopped", stop }, runOf(call));
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

  get #isForking(): boolean {
    return this.#options.mode === "fork";
  }

  get #processCount(): number {
    return this.#isForking ? 1 : this.#options.slots;
  }

  /** Calls that one process serves at the same time. */
  get #width(): number {
    return this.#isForking ? this.#options.slots : 1;
  }

  #newSlot(index: number): Slot {
    const process = this.#spawn(index, () => slot);
    const slot: Slot = newSlot({ index, width: this.#width, process });
    this.#limitStart(slot);
    return slot;
  }

  #limitStart(slot: Slot): void {
    const { startMsMax = START_MS_MAX } = this.#options;
    const { process } = slot;
    slot.startTimer = setTimeout(() => {
      // Nobody should wait as long again.
      this.#deathCount = DEATHS_MAX;
      process.kill(`not ready after ${startMsMax} ms`);
    }, startMsMax);
  }

  #spawn(index: number, slot: () => Slot): LibrarySlot {
    const { command, env, mark, endLeftovers, pinned = (start) => start() } = this.#options;
    const kept = Object.entries(env).filter(([name, value]) =>
      value !== undefined && !name.startsWith("BUN_")
    );
    const width = this.#width;
    const options = {
      command,
      directory: this.#directoryOf(index),
      env: {
        ...Object.fromEntries(kept) as Record<string, string>,
        TENDRIL_SLOTS: String(width),
        TENDRIL_WORKER_MARK: mark,
      },
      unreadBytesMax: width * (ARGUMENT_BYTES_MAX + PATHS_BYTES_MAX) + UNREAD_SLACK_BYTES,
      endLeftovers,
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
    openSlots(this.#slots);
    for (let call = this.#waiting.first(); call !== undefined; call = this.#waiting.first()) {
      const slot = freestSlot(this.#slots, call.sizeBytes);
      if (slot === undefined) break;
      this.#waiting.shift();
      giveCall(slot, call, ++this.#pipeId);
      this.#noteRunning(slot);
    }
    for (const slot of this.#slots) {
      if (slot.unsent.length === 0) continue;
      slot.process.write(Buffer.concat(slot.unsent));
      slot.unsent = [];
      this.#ticker ??= setInterval(() => this.#tick(), TICK_MS);
    }
  }

  #read(slot: Slot, messages: readonly LibraryMessage[]): void {
    const now = performance.now();
    let hasSynced = false;
    for (const message of messages) {
      // What it says once it is to go counts no more.
      if (slot.process.isKilled) break;
      switch (message.kind) {
        case "result":
          this.#takeResult(slot, message, now);
          break;
        case "dropped":
          this.#takeBack(slot, message.callId, now);
          break;
        case "ready":
          this.#takeReady(slot, message);
          break;
        case "sync":
          if (hasSynced) slot.process.kill('it said "sync" and did not wait for the answer');
          hasSynced = true;
          slot.process.write(encodeSync());
          break;
        case "failed":
          slot.process.kill(message.text);
          break;
        case "running": {
          const call = slot.calls.find(({ pipeId }) => pipeId === message.callId);
          if (call !== undefined) this.#options.onRunning?.(call.callId, message.processId);
          break;
        }
        default:
          unreachable(message);
      }
    }
    this.#fill();
  }

  #takeReady(slot: Slot, { callsAhead, isOnce }: ReadyMessage): void {
    if (slot.isReady) return slot.process.kill('it said "ready" a second time');
    if (isOnce && this.#isForking) {
      return slot.process.kill(
        'it said "ready once", but it is to serve calls in processes of their own',
      );
    }
    clearTimeout(slot.startTimer);
    slot.callsAhead = Math.min(callsAhead, CALLS_AHEAD_MAX);
    slot.isOnce = isOnce;
    slot.isReady = true;
    if (this.#state === "starting" && this.#slots.length === this.#processCount) this.#tellReady();
  }

  /** Tells of the call that a slot runs, if that is to be metered; a forked one says it itself. */
  #noteRunning({ calls: [head], process: { processGroup } }: Slot): void {
    if (head?.isMetered !== true || processGroup === undefined || this.#isForking) return;
    this.#options.onRunning?.(head.callId, processGroup);
  }

  /** A call comes back that was asked for; only one that did not start may. */
  #takeBack(slot: Slot, pipeId: number, now: number): void {
    const call = takeCall(slot, pipeId, now);
    if (call?.isAskedBack === true) return this.#putBack([call]);
    if (call === undefined && slot.givenUp.delete(pipeId)) return;
    slot.process.kill(`it dropped call ${pipeId}, which nobody had asked for`);
    // So that it ends with its process.
    if (call !== undefined) slot.calls.unshift(call);
  }

  #tellReady(): void {
    if (!this.#slots.every((slot) => slot.isReady)) return;
    this.#state = "ready";
    this.#started.resolve();
  }

  #takeResult(slot: Slot, message: ResultMessage, now: number): void {
    const call = takeCall(slot, message.callId, now);
    if (call === undefined) {
      if (slot.givenUp.delete(message.callId)) return;
      const found = "it was not given that call, or has answered it";
      return slot.process.kill(`it answered call ${message.callId}: ${found}`);
    }
    // A program need not know how long what it stopped had run.
    const isOwnTime = message.microseconds !== undefined && message.status !== "stopped";
    const ranMs = isOwnTime ? message.microseconds / 1000 : now - call.startedAtMs;
    noteDuration(slot, ranMs);
    this.#noteRunning(slot);
    this.#deathCount = 0;
    const { stdout, stderr } = message;
    this.#end(call, this.#endOf(message, { slot, call }), { stdout, stderr, ranMs });
    if (this.#isForking || (message.status !== "exit" && !slot.isOnce)) return;
    slot.isStopping = true;
    slot.isReady = false;
    this.#putBack(emptySlot(slot));
    slot.process.kill("its last call has ended");
  }

  #endOf(
    message: ResultMessage,
    { slot, call }: { readonly slot: Slot; readonly call: HeldCall },
  ): CallEnd {
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
      case "stopped":
        if (call.stop !== undefined) return { kind: call.stop };
        return lostEnd(call, "stopped by its program, which nobody had told to");
      case "exit":
        return { kind: "lost", message: UTF8_DECODER.decode(message.content) };
      default:
        return unreachable(message.status);
    }
  }

  /** Makes calls wait again that have not started, in front of all others. */
  #putBack(calls: readonly HeldCall[]): void {
    for (const call of calls) {
      call.slot = undefined;
      if (call.stop !== undefined) this.#end(call, { kind: call.stop });
    }
    this.#waiting.putBack(calls);
  }

  /** Looks at calls that run for long. Stops when none runs. */
  #tick(): void {
    const now = performance.now();
    let callCount = 0;
    for (const slot of this.#slots) {
      callCount += slot.calls.length;
      for (const call of slot.calls.slice(0, slot.width)) this.#lookAt(slot, call, now);
      const silentMs = now - (slot.calls[0]?.startedAtMs ?? now);
      if (slot.calls.length > 1 && silentMs >= TICK_MS) this.#askBack(slot, now);
    }
    if (callCount > 0) return;
    clearInterval(this.#ticker);
    this.#ticker = undefined;
  }

  /** Looks at a running call. */
  #lookAt(slot: Slot, call: HeldCall, now: number): void {
    // It has ended, with another that was stopped.
    if (call.slot !== slot) return;
    const ranMs = now - call.startedAtMs;
    if (call.timeoutMs > 0 && ranMs >= call.timeoutMs) call.stop ??= "timeout";
    // Its process may have dropped it, when it was asked to before it ran.
    if (call.stop !== undefined && ranMs >= TICK_MS) this.#stopRunning(slot, call, now);
  }

  /**
   * Asks a slot for the calls behind a long one when another slot is idle, or some are to be
   * stopped. If it says nothing it is still in the first one: the request lies in its pipe, and its
   * `sync` makes it read that before it starts another. So the calls are free, whether it answers
   * or not.
   */
  #askBack(slot: Slot, now: number): void {
    if (this.#isForking) return;
    const hasIdle = this.#slots.some((other) => other.isReady && other.calls.length === 0);
    const isUseful = hasIdle && this.#waiting.isEmpty;
    if (!isUseful && !slot.calls.some(({ stop }) => stop !== undefined)) return;
    if (slot.askedAtMs === 0) {
      const waiting = slot.calls.slice(slot.width);
      for (const call of waiting) call.isAskedBack = true;
      slot.process.write(Buffer.concat(waiting.map(({ pipeId }) => encodeDrop(pipeId))));
      slot.askedAtMs = now;
      return;
    }
    if (now - slot.askedAtMs < TICK_MS || !slot.process.isFlushed) return;
    this.#putBack(giveUpWaiting(slot));
    this.#fill();
  }

  /** Ends a running call: by its program where that can, else with its process. */
  #stopRunning(slot: Slot, call: HeldCall, now: number): void {
    if (!this.#isForking) return this.#stopProcess(slot, `function "${call.function}" was stopped`);
    if (call.stopAtMs === 0) {
      call.stopAtMs = now;
      slot.process.write(encodeStop(call.pipeId));
    } else if (now - call.stopAtMs >= STOP_MS_MAX) {
      const reason = `it did not stop function "${call.function}" in ${STOP_MS_MAX} ms`;
      this.#stopProcess(slot, reason);
    }
  }

  /**
   * Ends a process with the calls that run in it: those that are to be stopped as that, the others
   * as lost through no fault of theirs. Those behind them wait again.
   */
  #stopProcess(slot: Slot, reason: string): void {
    slot.isStopping = true;
    slot.isReady = false;
    slot.process.kill(reason);
    const calls = emptySlot(slot);
    for (const call of calls.splice(0, slot.width)) {
      call.slot = undefined;
      const end = call.stop === undefined
        ? lostEnd(call, reason, { isAmbiguous: true })
        : { kind: call.stop };
      this.#end(call, end, { ...runOf(call), ...this.#takeLeft(slot, call) });
    }
    this.#putBack(calls);
    this.#fill();
  }

  #slotEnded(slot: Slot, reason: string): void {
    const log = slot.process.log;
    const calls = emptySlot(slot);
    const running = calls.splice(0, slot.width);
    const wasReady = slot.isReady;
    slot.isReady = false;
    clearTimeout(slot.startTimer);
    if (this.#state === "starting") {
      const output = log === "" ? "" : `\n${log}`;
      this.#started.reject(new Error(`Cannot start library: ${reason}${output}`));
    }
    if (this.#state !== "ready") return;
    for (const call of running) {
      const output = this.#takeLeft(slot, call) ?? { stderr: UTF8.encode(log) };
      // Calls that ran in children have not ended it; and what gets SIGKILL mostly has that from
      // somebody else.
      const isAmbiguous = this.#isForking || reason === killedBy("SIGKILL");
      this.#end(call, lostEnd(call, reason, { isAmbiguous }), { ...runOf(call), ...output });
    }
    if (running.length === 0 && !slot.isStopping) this.#deathCount++;
    this.#putBack(calls);
    if (this.#deathCount >= DEATHS_MAX) {
      return this.#die(
        `A process of the library died ${wasReady ? "idle" : "starting"}: ${reason}`,
      );
    }
    this.#restart(slot);
    this.#fill();
  }

  /** What a call has printed whose process was killed; undefined when nobody kept it. */
  #takeLeft(slot: Slot, { pipeId }: HeldCall): CallOutput | undefined {
    const directory = this.#directoryOf(slot.index);
    removeValueFile(directory, pipeId);
    return this.#isForking ? undefined : readCapturedOutput(directory);
  }

  #restart(slot: Slot): void {
    slot.isStopping = false;
    slot.askedAtMs = 0;
    slot.callMs = undefined;
    try {
      slot.process = this.#spawn(slot.index, () => slot);
      this.#limitStart(slot);
    } catch (error) {
      this.#die(`A process of the library cannot be started: ${(error as Error).message}`);
    }
  }

  #die(message: string): void {
    void this.close().then(() => this.#options.onDied(message));
  }

  /** Takes a call out of the instance and hands its end over, with others of this turn. */
  #end(call: HeldCall, end: CallEnd, run: Partial<CallResult> = {}): void {
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

/** How long a running call has run. */
function runOf(call: HeldCall): { ranMs: number } {
  return { ranMs: performance.now() - call.startedAtMs };
}
