/** Waiting for many tasks at once: counts that are kept as tasks move, not taken anew. */

import { standingOf, type TaskEntry, type TaskStanding } from "./catalog.ts";
import type { WaitCounts } from "./client_protocol.ts";

/** Tasks that did not succeed, of which an answer tells more than their number. */
export const FAILURES_MAX = 100;

/** One wait for some tasks. */
export class TaskWait {
  readonly #counts: Record<TaskStanding, number> = {
    pending: 0,
    running: 0,
    succeeded: 0,
    failed: 0,
    cancelled: 0,
  };
  readonly #failures: TaskEntry[] = [];
  readonly #ended: PromiseWithResolvers<void> = Promise.withResolvers();
  #total = 0;
  #isOff = false;

  /** Begins to wait for `entries`, none of which is given twice. */
  constructor(entries: Iterable<TaskEntry>) {
    // Tasks that are waited for alike share one list, however many they are.
    const lists = new Map<readonly TaskWait[], readonly TaskWait[]>();
    for (const entry of entries) {
      this.#total += 1;
      this.#counts[standingOf(entry)] += 1;
      this.#noteFailure(entry);
      if (entry.ending !== undefined) continue;
      let list = lists.get(entry.waits);
      if (list === undefined) {
        // Those who gave up leave when somebody comes.
        list = [...entry.waits.filter((wait) => !wait.#isOff), this];
        lists.set(entry.waits, list);
      }
      entry.waits = list;
    }
    this.#settle();
  }

  /** Resolves when all have ended, or nobody waits any more. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** How the tasks stand now. */
  get counts(): WaitCounts {
    return { total: this.#total, ...this.#counts };
  }

  /** The first tasks that did not succeed, in the order in which they ended. */
  get failures(): readonly TaskEntry[] {
    return this.#failures;
  }

  /** A task stands otherwise than `before`. */
  move(entry: TaskEntry, before: TaskStanding): void {
    if (this.#isOff) return;
    this.#counts[before] -= 1;
    this.#counts[standingOf(entry)] += 1;
    this.#noteFailure(entry);
    this.#settle();
  }

  /** Nobody waits any more. */
  stop(): void {
    this.#isOff = true;
    this.#ended.resolve();
  }

  #noteFailure(entry: TaskEntry): void {
    const { ending } = entry;
    if (ending === undefined || ending.outcome === "success") return;
    if (this.#failures.length < FAILURES_MAX) this.#failures.push(entry);
  }

  #settle(): void {
    if (this.#counts.pending + this.#counts.running === 0) this.#ended.resolve();
  }
}
