/**
 * Drives the worker's core: collects events, steps once per turn of the event loop, and hands
 * each instruction to the part of the shell that carries it out. It decides nothing.
 *
 * @module
 */

import { clearImmediate, setImmediate } from "node:timers";

import { unreachable } from "../shared/assert.ts";
import type { CacheName } from "../shared/ids.ts";
import type { WorkerMessage } from "../shared/protocol.ts";
import type { TimedEvent, WorkerEvent } from "./core/event.ts";
import type { WorkerInstruction } from "./core/instruction.ts";
import type { WorkerState } from "./core/state.ts";
import { nextWakeAtMs, step } from "./core/step.ts";

type Order<Kind extends WorkerInstruction["kind"]> = Extract<WorkerInstruction, { kind: Kind }>;

/** The parts of the shell that instructions go to. None of them blocks or throws. */
export interface EngineParts {
  readonly link: { send(messages: readonly WorkerMessage[]): void };
  readonly runner: {
    run(order: Order<"run_task">): void;
    stop(order: Order<"stop_task">): void;
  };
  readonly transfers: {
    fetch(order: Order<"fetch">["order"], bytesMax: number): void;
    make(order: Order<"make">["order"], room: Pick<Order<"make">, "bytesMax" | "devices">): void;
    put(order: Order<"put">["order"]): void;
    stop(transferId: Order<"stop_transfer">["transferId"], how: { goesOn: boolean }): void;
    forgetPart(name: CacheName): void;
  };
  readonly verifications: { verify(order: Order<"verify_file">): void };
  readonly keeps: { keep(order: Order<"keep_file">["order"]): void };
  readonly cache: { delete(name: CacheName, generation: number): void };
  readonly instances: {
    start(order: Order<"start_instance">): void;
    stop(order: Order<"stop_instance">): void;
    call(order: Order<"call">): void;
    stopCall(order: Order<"stop_call">): void;
  };
  readonly session: {
    open(order: Order<"session_opened">): void;
    leave(order: Order<"leave">): void;
  };
}

/** What an engine is made of. */
export interface EngineOptions {
  readonly state: WorkerState;
  readonly parts: EngineParts;
  /** Told of each instruction, before it is carried out. */
  readonly note?: (instruction: WorkerInstruction) => void;
  /** Told of an error in the core or in a part: a bug, after which the engine stands still. */
  readonly onBug: (error: unknown) => void;
}

/** Events of one step at most, so that a heartbeat is never late; DESIGN section 4. */
const STEP_EVENTS_MAX = 1000;

/** Events that may wait; beyond it a push steps at once, so that no burst fills the memory. */
const QUEUE_EVENTS_MAX = 10_000;

/** Longest delay that timers take. */
const TIMER_MS_MAX: number = 2 ** 31 - 1;

/** The queue of events, the turn of the event loop and the timer of one worker. */
export class Engine {
  readonly #options: EngineOptions;
  #queue: TimedEvent[] = [];
  #isStepping = false;
  #isClosed = false;
  #turn: ReturnType<typeof setImmediate> | undefined;
  #wake: ReturnType<typeof setTimeout> | undefined;
  #wakeAtMs: number | undefined;

  constructor(options: EngineOptions) {
    this.#options = options;
  }

  /** Adds an event; it is applied at the end of this turn of the event loop. */
  push(event: WorkerEvent): void {
    if (this.#isClosed) return;
    // Every event is made for this call alone, so that it can be stamped in place.
    const timed = event as WorkerEvent & { atMs: number };
    timed.atMs = performance.now();
    this.#queue.push(timed);
    if (this.#queue.length >= QUEUE_EVENTS_MAX && !this.#isStepping) this.#stepNow();
    else this.#schedule();
  }

  /** Stands still: what waits and what comes is dropped. */
  close(): void {
    this.#isClosed = true;
    this.#queue = [];
    if (this.#turn) clearImmediate(this.#turn);
    clearTimeout(this.#wake);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #schedule(): void {
    if (this.#turn !== undefined || this.#isStepping) return;
    this.#turn = setImmediate(this.#takeTurn);
  }

  readonly #takeTurn = (): void => {
    this.#turn = undefined;
    this.#stepNow();
  };

  #stepNow(): void {
    const events = this.#takeEvents();
    this.#isStepping = true;
    try {
      const instructions = step(this.#options.state, events);
      for (const instruction of instructions) {
        if (this.#isClosed) return;
        this.#options.note?.(instruction);
        carryOut(this.#options.parts, instruction);
      }
    } catch (error) {
      this.close();
      this.#options.onBug(error);
      return;
    } finally {
      this.#isStepping = false;
    }
    if (this.#isClosed) return;
    if (this.#queue.length > 0) this.#schedule();
    this.#planWake();
  }

  #takeEvents(): readonly TimedEvent[] {
    if (this.#queue.length > STEP_EVENTS_MAX) return this.#queue.splice(0, STEP_EVENTS_MAX);
    const events = this.#queue;
    this.#queue = [];
    return events;
  }

  #planWake(): void {
    const atMs = nextWakeAtMs(this.#options.state);
    if (atMs === this.#wakeAtMs) return;
    clearTimeout(this.#wake);
    this.#wakeAtMs = atMs;
    if (atMs === undefined) return;
    const delayMs = Math.min(Math.max(0, Math.ceil(atMs - performance.now())), TIMER_MS_MAX);
    this.#wake = setTimeout(() => {
      this.#wakeAtMs = undefined;
      this.push({ kind: "tick" });
    }, delayMs);
  }
}

function carryOut(parts: EngineParts, instruction: WorkerInstruction): void {
  switch (instruction.kind) {
    case "send":
      return parts.link.send(instruction.messages);
    case "run_task":
      return parts.runner.run(instruction);
    case "stop_task":
      return parts.runner.stop(instruction);
    case "fetch":
      return parts.transfers.fetch(instruction.order, instruction.bytesMax);
    case "make":
      return parts.transfers.make(instruction.order, instruction);
    case "stop_transfer":
      return parts.transfers.stop(instruction.transferId, instruction);
    case "forget_part":
      return parts.transfers.forgetPart(instruction.name);
    case "put":
      return parts.transfers.put(instruction.order);
    case "verify_file":
      return parts.verifications.verify(instruction);
    case "keep_file":
      return parts.keeps.keep(instruction.order);
    case "delete_file":
      return parts.cache.delete(instruction.name, instruction.generation);
    case "session_opened":
      return parts.session.open(instruction);
    case "start_instance":
      return parts.instances.start(instruction);
    case "stop_instance":
      return parts.instances.stop(instruction);
    case "call":
      return parts.instances.call(instruction);
    case "stop_call":
      return parts.instances.stopCall(instruction);
    case "leave":
      return parts.session.leave(instruction);
    default:
      return unreachable(instruction);
  }
}
