/**
 * Results on their way to `completed()` and `wait()`. A result goes to one taker. Those of
 * handles that somebody awaits are not kept for later, so that a script which only awaits
 * handles does not fill the memory.
 */

import type { TaskId } from "../shared/ids.ts";

/** The handle of a task, as the queue sees it: it has its result once the task has ended. */
export interface Ending<R> {
  readonly id: TaskId | undefined;
  readonly tag: string | undefined;
  peek(): R | undefined;
}

/** Which results `wait` takes. */
export interface ResultFilter {
  readonly tag?: string | undefined;
  readonly taskId?: TaskId | undefined;
}

interface Taker<R> {
  readonly filter: ResultFilter;
  readonly resolve: (result: R | undefined) => void;
}

/** The results that nobody has taken yet, and who waits for one. */
export class ResultQueue<R> {
  readonly #ended: Set<Ending<R>> = new Set();
  readonly #takers: Set<Taker<R>> = new Set();
  /** True while no task is pending: nothing more will come. */
  readonly #isIdle: () => boolean;
  #iterating = 0;

  constructor(isIdle: () => boolean) {
    this.#isIdle = isIdle;
  }

  /** True when no result waits to be taken. */
  get isEmpty(): boolean {
    return this.#ended.size === 0;
  }

  /** Offers a task that has ended; to be called when it counts as pending no more. */
  offer(handle: Ending<R>, wasAwaited: boolean): void {
    let isTaken = false;
    for (const taker of this.#takers) {
      if (!matches(handle, taker.filter)) continue;
      this.#takers.delete(taker);
      taker.resolve(handle.peek());
      isTaken = true;
      break;
    }
    if (!isTaken && (!wasAwaited || this.#iterating > 0)) this.#ended.add(handle);
    if (this.#isIdle()) this.stop();
  }

  /** Lets everybody go who waits for a result that will not come. */
  stop(): void {
    const takers = [...this.#takers];
    this.#takers.clear();
    for (const taker of takers) taker.resolve(undefined);
  }

  /** An awaited handle has its result: nobody else needs it, unless somebody iterates. */
  drop(handle: Ending<R>): void {
    if (this.#iterating === 0) this.#ended.delete(handle);
  }

  /** The next result that fits; undefined after `timeoutMs`, or when nothing is pending. */
  async take(filter: ResultFilter, timeoutMs: number | undefined): Promise<R | undefined> {
    for (const handle of this.#ended) {
      if (!matches(handle, filter)) continue;
      this.#ended.delete(handle);
      return handle.peek();
    }
    if (this.#isIdle() || timeoutMs === 0) return undefined;
    const { promise, resolve } = Promise.withResolvers<R | undefined>();
    const taker = { filter, resolve };
    this.#takers.add(taker);
    if (timeoutMs === undefined) return await promise;
    const timer = setTimeout(() => {
      this.#takers.delete(taker);
      resolve(undefined);
    }, timeoutMs);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  /** All results, as they come, until no task is pending. */
  async *iterate(): AsyncGenerator<R, void> {
    this.#iterating += 1;
    try {
      while (true) {
        const result = await this.take({}, undefined);
        if (result === undefined) return;
        yield result;
      }
    } finally {
      this.#iterating -= 1;
    }
  }
}

function matches(handle: Ending<unknown>, { tag, taskId }: ResultFilter): boolean {
  return (taskId === undefined || handle.id === taskId) &&
    (tag === undefined || handle.tag === tag);
}
