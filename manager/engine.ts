/**
 * Drives the core: collects events, steps once per turn of the event loop, hands the
 * instructions on in order and tells the facts. It decides nothing.
 */

import { clearImmediate, setImmediate } from "node:timers";

import { assert } from "../shared/assert.ts";
import type { ManagerEvent, TimedEvent } from "./core/event.ts";
import type { AppFact, Fact } from "./core/fact.ts";
import type { ManagerInstruction } from "./core/instruction.ts";

/** Events of one step at most; DESIGN section 4. */
const STEP_EVENTS_MAX = 1000;

/** Duration of one step that makes the next one take fewer events. */
const STEP_MS_MAX = 5;

/** A step takes at least this many events, however slow they are. */
const STEP_EVENTS_MIN = 50;

/** After a pass, the next comes no sooner than this times its duration later. */
const REST_FACTOR = 4;

/** Rests shorter than this are one turn of the event loop: timers are no finer. */
const REST_MS_MIN = 1;

/** A pass over so few events is no load: whoever waits for one result is answered at once. */
const LIGHT_EVENTS_MAX = 16;

/** A rest ends after this at the latest. */
const REST_MS_MAX = 20;

/** Events that may wait; beyond it `push` steps at once, so that no loop fills the memory. */
const QUEUE_EVENTS_MAX = 10_000;

/** Facts of calls of apps that are one event: a step of so many events is to stay short. */
const NOTED_FACTS_MAX = 16;

/** Longest delay that timers take. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** The core as the engine drives it. */
export interface Core {
  step(events: readonly TimedEvent[]): {
    readonly instructions: readonly ManagerInstruction[];
    readonly facts: readonly Fact[];
  };
  /** When to feed a `tick`; undefined is never. */
  nextWakeAtMs(): number | undefined;
}

/** What an engine is made of. */
export interface EngineOptions {
  readonly core: Core;
  /** Carries out one instruction, synchronously; what takes longer answers by an event. */
  readonly carryOut: (instruction: ManagerInstruction) => void;
  /** Called after the instructions of a step: what was written in this turn may be flushed. */
  readonly endTurn: () => void;
  /** Told of an error in the core or in carrying out: a bug, after which the engine stands still. */
  readonly onBug: (error: unknown) => void;
}

/** Is told how long the core took for one step of so many events. */
export type StepWatcher = (tookMs: number, eventCount: number) => void;

/** Told the facts of a step, and when that was, by the clock of `Engine.nowMs`. */
export type FactListener = (facts: readonly Fact[], atMs: number) => void;

/** The queue of events, the turn of the event loop and the timer of one manager. */
export class Engine {
  readonly #options: EngineOptions;
  readonly #listeners: Set<FactListener> = new Set();
  readonly #watchers: Set<StepWatcher> = new Set();
  #queue: TimedEvent[] = [];
  #batchMax: number = STEP_EVENTS_MAX;
  #isStepping = false;
  #isClosed = false;
  #steppedMs = 0;
  #turn: ReturnType<typeof setImmediate> | undefined;
  #rest: ReturnType<typeof setTimeout> | undefined;
  #wake: ReturnType<typeof setTimeout> | undefined;
  #wakeAtMs: number | undefined;

  constructor(options: EngineOptions) {
    this.#options = options;
  }

  /** Monotonic milliseconds, the time of every event. */
  nowMs(): number {
    return performance.now();
  }

  /** Time that the core took so far: placing tasks and all else that it decides. */
  get steppedMs(): number {
    return this.#steppedMs;
  }

  /** Adds an event; it is applied at the end of this turn of the event loop. */
  push(event: ManagerEvent): void {
    if (this.#isClosed) return;
    // Every event is made for this call alone, so that it can be stamped in place.
    const timed = event as ManagerEvent & { atMs: number };
    timed.atMs = performance.now();
    this.#queue.push(timed);
    if (this.#queue.length >= QUEUE_EVENTS_MAX && !this.#isStepping) this.#stepNow();
    else this.#schedule();
  }

  /** Adds a fact of the dataflow layer: to the newest event, if that holds such facts. */
  note(fact: AppFact): void {
    const newest = this.#queue.at(-1);
    if (newest?.kind === "app_noted" && newest.facts.length < NOTED_FACTS_MAX) {
      newest.facts.push(fact);
    } else this.push({ kind: "app_noted", facts: [fact] });
  }

  /** Calls `listener` with the facts of each step that has some; gives back how to stop. */
  subscribe(listener: FactListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Calls `watcher` after each step of the core; gives back how to stop. */
  watchSteps(watcher: StepWatcher): () => void {
    this.#watchers.add(watcher);
    return () => void this.#watchers.delete(watcher);
  }

  /** Applies what waits, at once; nothing within a step. */
  flush(): void {
    if (!this.#isStepping) this.#drain();
  }

  /** Applies what waits, then stands still: later events are dropped. */
  close(): void {
    if (this.#isClosed) return;
    this.flush();
    this.#halt();
  }

  #halt(): void {
    this.#isClosed = true;
    this.#queue = [];
    this.#listeners.clear();
    this.#watchers.clear();
    if (this.#turn) clearImmediate(this.#turn);
    clearTimeout(this.#rest);
    clearTimeout(this.#wake);
  }

  /** Steps until nothing waits; what carrying out adds counts too, within a limit. */
  #drain(): void {
    for (let round = 0; this.#queue.length > 0 && !this.#isClosed; round++) {
      assert(round < QUEUE_EVENTS_MAX, `Events drain in ${QUEUE_EVENTS_MAX} steps`);
      this.#stepNow();
    }
  }

  #schedule(): void {
    if (this.#turn !== undefined || this.#rest !== undefined || this.#isStepping) return;
    this.#turn = setImmediate(() => {
      this.#turn = undefined;
      this.#stepNow();
    });
  }

  #stepNow(): void {
    const startedAtMs = performance.now();
    const events = this.#takeEvents(startedAtMs);
    this.#isStepping = true;
    try {
      const { instructions, facts } = this.#options.core.step(events);
      const tookMs = performance.now() - startedAtMs;
      this.#steppedMs += tookMs;
      for (const watcher of this.#watchers) watcher(tookMs, events.length);
      for (const instruction of instructions) this.#options.carryOut(instruction);
      this.#options.endTurn();
      // The events are stamped before: what they led to is true from here on.
      if (facts.length > 0) {
        for (const listener of this.#listeners) listener(facts, startedAtMs);
      }
    } catch (error) {
      this.#halt();
      this.#options.onBug(error);
      return;
    } finally {
      this.#isStepping = false;
    }
    if (!this.#isClosed) this.#plan(events.length, performance.now() - startedAtMs);
  }

  #takeEvents(atMs: number): readonly TimedEvent[] {
    if (this.#queue.length === 0) return [{ kind: "tick", atMs }];
    if (this.#queue.length > this.#batchMax) return this.#queue.splice(0, this.#batchMax);
    const events = this.#queue;
    this.#queue = [];
    return events;
  }

  /** Decides when the next step comes, after one of `eventCount` events that took `tookMs`. */
  #plan(eventCount: number, tookMs: number): void {
    if (tookMs > STEP_MS_MAX) {
      this.#batchMax = Math.max(STEP_EVENTS_MIN, Math.min(this.#batchMax, eventCount) >> 1);
    } else if (tookMs < STEP_MS_MAX / 2) {
      this.#batchMax = Math.min(STEP_EVENTS_MAX, this.#batchMax * 2);
    }
    this.#planWake();
    const restMs = Math.min(REST_FACTOR * tookMs, REST_MS_MAX);
    // A backlog of a whole batch needs no rest: waiting would not make the next batch larger.
    const isLight = eventCount <= LIGHT_EVENTS_MAX;
    if (isLight || restMs < REST_MS_MIN || this.#queue.length >= this.#batchMax) {
      if (this.#queue.length > 0) this.#schedule();
      return;
    }
    clearTimeout(this.#rest);
    this.#rest = setTimeout(() => {
      this.#rest = undefined;
      if (this.#queue.length > 0) this.#schedule();
    }, restMs);
  }

  #planWake(): void {
    const atMs = this.#options.core.nextWakeAtMs();
    if (atMs === this.#wakeAtMs && this.#wake !== undefined) return;
    clearTimeout(this.#wake);
    this.#wakeAtMs = atMs;
    this.#wake = undefined;
    if (atMs === undefined) return;
    const delayMs = Math.min(Math.max(0, Math.ceil(atMs - performance.now())), TIMER_MS_MAX);
    this.#wake = setTimeout(() => {
      this.#wake = undefined;
      this.push({ kind: "tick" });
    }, delayMs);
  }
}
