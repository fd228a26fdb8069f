/**
 * Many calls of one function: over items, over pairs of them, or over what the calls themselves
 * returned. A part of them is submitted at a time, as many as the workers have use for: a million
 * items are not a million pending tasks.
 *
 * @module
 */

import { errorOfThrown } from "../shared/thrown.ts";
import { count, oneOf, type Reader, type Readers, show } from "./option.ts";
import type { TaskHandle } from "./task_handle.ts";
import { TaskError } from "./task_result.ts";
import { TreeReduction } from "./tree_reduction.ts";

/** Tasks of one fan-out that are pending at least, while there are some left, and at most. */
const PENDING_LEAST = 100;
const PENDING_MOST = 10_000;

/** Items of one task. */
const CHUNK_ITEMS_MAX = 1_000_000;

/** What becomes of a fan-out. */
export interface FanOutOptions {
  /** Ends it: what is pending is cancelled, and its promise rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** How a function is run over items. */
export interface ItemOptions extends FanOutOptions {
  /**
   * `"reject"`: the first item that fails ends all, and is what the promise rejects with;
   * `"collect"`: its `TaskError` is in the place of its result. Default `"reject"`.
   */
  readonly failures?: "reject" | "collect";
}

/** One call of several in one task, as it ended. */
export type ItemEnd =
  | { readonly isOk: true; readonly value: unknown }
  | { readonly isOk: false; readonly error: TaskError };

/** Submits one task that makes these calls. */
export type SubmitCalls = (calls: readonly Call[]) => {
  readonly task: TaskHandle<unknown>;
  /** Of each call in order, of the first ones at least; rejects when the task failed. */
  readonly ended: Promise<readonly ItemEnd[]>;
};

type Call = readonly unknown[];

/** Where a fan-out runs. */
export interface FanOut {
  readonly submit: SubmitCalls;
  /** Tasks that the manager wants besides. */
  readonly hungry: () => number;
}

/** Calls that go into one task. */
interface Work {
  readonly calls: readonly Call[];
  /** Takes how they ended; what it throws ends the fan-out. */
  readonly settle: (ends: readonly ItemEnd[]) => void;
  /** Says which items these are, when the whole task failed. */
  readonly failed: (error: unknown) => void;
}

const signalOption: Reader<AbortSignal> = (value, what) => {
  if (value instanceof AbortSignal) return value;
  throw new TypeError(`Cannot take ${what} as a signal: expected an AbortSignal`);
};

/** Checks of `FanOutOptions`. */
export const FAN_OUT_READERS: Readers<FanOutOptions> = { signal: signalOption };

/** Checks of `ItemOptions`. */
export const ITEM_READERS: Readers<ItemOptions> = {
  ...FAN_OUT_READERS,
  failures: oneOf("reject", "collect"),
};

/** Checks how many items go into one task. */
export const chunkSize: Reader<number> = count(1, CHUNK_ITEMS_MAX);

/** Each item as the only argument of a call. */
export function* callsOf(items: Iterable<unknown>): Generator<readonly unknown[], void> {
  for (const item of checkItems(items)) yield [item];
}

/** Each item of `a` with each of `b` as the arguments of a call. */
export function* pairsOf(
  a: Iterable<unknown>,
  b: Iterable<unknown>,
): Generator<readonly unknown[], void> {
  const seconds = [...checkItems(b)];
  for (const first of checkItems(a)) for (const second of seconds) yield [first, second];
}

function checkItems(items: unknown): Iterable<unknown> {
  const found = items as Partial<Iterable<unknown>> | null | undefined;
  if (typeof found?.[Symbol.iterator] === "function") return items as Iterable<unknown>;
  throw new TypeError(
    `Cannot take "${show(items)}" as items: expected an array, or another iterable`,
  );
}

/** The result of every call, in their order. */
export async function mapCalls(
  fanOut: FanOut,
  calls: Iterable<Call>,
  options: ItemOptions & { readonly chunkSize: number },
): Promise<unknown[]> {
  const { failures = "reject", signal } = options;
  const results: unknown[] = [];
  const iterator = calls[Symbol.iterator]();
  let taken = 0;
  const place = (index: number, end: ItemEnd): void => {
    if (end.isOk) return void (results[index] = end.value);
    const error = itemError(end.error, `item ${index}`);
    if (failures === "reject") throw error;
    results[index] = error;
  };
  const take = (): Work | undefined => {
    const chunk = takeSome(iterator, options.chunkSize);
    if (chunk.length === 0) return undefined;
    const first = taken;
    taken += chunk.length;
    return {
      calls: chunk,
      settle: (ends) => ends.forEach((end, index) => place(first + index, end)),
      failed: (error) => {
        if (!(error instanceof TaskError)) throw error;
        chunk.forEach((_, index) => place(first + index, { isOk: false, error }));
      },
    };
  };
  await drive(fanOut, take, signal);
  return results;
}

/** What is left when neighbours are combined, `arity` of them by one task, until one is left. */
export async function reduceItems(
  fanOut: FanOut,
  items: Iterable<unknown>,
  { arity, signal }: FanOutOptions & { readonly arity: number },
): Promise<unknown> {
  const iterator = checkItems(items)[Symbol.iterator]();
  const tree = new TreeReduction(arity);
  const take = (): Work | undefined => {
    // What was combined before comes first: less has to be kept in this way.
    let group = tree.next();
    while (group === undefined && !tree.isFed) {
      tree.feed(takeSome(iterator, arity));
      group = tree.next();
    }
    if (group === undefined) return undefined;
    const { values, name } = group;
    return {
      calls: [values],
      settle: ([end]) => {
        if (end?.isOk === true) return group.settle(end.value);
        if (end !== undefined) throw itemError(end.error, name);
      },
      failed: (error) => {
        throw error instanceof TaskError ? itemError(error, name) : error;
      },
    };
  };
  await drive(fanOut, take, signal);
  return tree.result();
}

/** How the calls of one task ended, as `batchModule` and the hosts of libraries say it. */
export function readEnds(task: TaskHandle<unknown>, ends: unknown): readonly ItemEnd[] {
  // Only sources of our own make them.
  return (ends as readonly (readonly [boolean, ...unknown[]])[]).map(([isOk, ...rest]) => {
    if (isOk) return { isOk, value: rest[0] };
    const [name, message, stack] = rest.map(String);
    const thrown = { name: name ?? "Error", message: message ?? "", stack: stack ?? "" };
    return { isOk: false, error: thrownError(task, thrown) };
  });
}

/** The error of a call that threw in a task which went on. */
function thrownError(
  task: TaskHandle<unknown>,
  thrown: { readonly name: string; readonly message: string; readonly stack: string },
): TaskError {
  const result = task.peek();
  if (result === undefined) throw new TypeError(`Task ${task.id} must have ended`);
  const cause = errorOfThrown(thrown);
  const message = `${cause.name}: ${cause.message}`;
  // As if it had been a task of its own.
  return new TaskError({ ...result, outcome: "call_error", message }, message, { cause });
}

function itemError(error: TaskError, name: string): TaskError {
  return new TaskError(error.result, `Cannot have the result of ${name}: ${error.message}`, {
    cause: error.cause ?? error,
  });
}

/** Submits what `take` gives while the workers have use for it, until it gives no more. */
async function drive(
  { submit, hungry }: FanOut,
  take: () => Work | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  signal?.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const pending = new Set<TaskHandle<unknown>>();
  let isOver = false;
  const fail = (error: unknown): void => {
    if (isOver) return;
    isOver = true;
    for (const task of pending) task.cancel();
    reject(error);
  };
  const guarded = (act: () => void): void => {
    if (isOver) return;
    try {
      act();
    } catch (error) {
      fail(error);
    }
  };
  const fill = (): void => {
    const most = PENDING_MOST - pending.size;
    let left = Math.min(most, Math.max(PENDING_LEAST - pending.size, hungry()));
    for (let work = left > 0 ? take() : undefined; work !== undefined;) {
      start(work);
      left -= 1;
      work = left > 0 ? take() : undefined;
    }
    if (pending.size > 0) return;
    isOver = true;
    resolve();
  };
  const start = ({ calls, settle, failed }: Work): void => {
    const { task, ended } = submit(calls);
    pending.add(task);
    const end = (act: () => void): void => {
      pending.delete(task);
      guarded(() => {
        act();
        fill();
      });
    };
    ended.then((ends) => end(() => settle(ends)), (error) => end(() => failed(error)));
  };
  const abort = (): void => fail(signal?.reason);
  signal?.addEventListener("abort", abort, { once: true });
  try {
    guarded(fill);
    await promise;
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

function takeSome<T>(iterator: Iterator<T>, most: number): T[] {
  const some: T[] = [];
  while (some.length < most) {
    const next = iterator.next();
    if (next.done === true) break;
    some.push(next.value);
  }
  return some;
}
