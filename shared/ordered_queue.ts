/**
 * A queue by an order in which most of its elements are added already: those are one run, that is
 * read from its front; what is to come before the end of the run is in a heap beside it. Where a heap
 * moves an element log n times, this one mostly moves it never.
 *
 * @module
 */

import {
  type Before,
  filterHeap,
  type Heap,
  newHeap,
  peekHeap,
  popHeap,
  pushHeap,
} from "./heap.ts";

/** Plain data, changed by the functions below alone. */
export interface OrderedQueue<T> {
  /** In order, from `first` on. */
  readonly run: (T | undefined)[];
  first: number;
  readonly early: Heap<T>;
}

/** So many places before the front of a run are kept, or as many as there are elements. */
const SPENT_MAX = 1_024;

/** Makes an empty queue; its elements do not change their order while they are in it. */
export function newOrderedQueue<T>(before: Before<T>): OrderedQueue<T> {
  return { run: [], first: 0, early: newHeap(before) };
}

/** How many are in it. */
export function countOrdered<T>({ run, first, early }: OrderedQueue<T>): number {
  return run.length - first + early.items.length;
}

/** The first element, if any, left in place. */
export function peekOrdered<T>({ run, first, early }: OrderedQueue<T>): T | undefined {
  const next = run[first];
  const other = peekHeap(early);
  if (next === undefined || other === undefined) return next ?? other;
  return early.before(other, next) ? other : next;
}

/** Adds `item`: O(1) when it comes last of the run, else O(log n). */
export function pushOrdered<T>(queue: OrderedQueue<T>, item: T): void {
  const { run, first, early } = queue;
  const last = run.length > first ? run[run.length - 1] : undefined;
  if (last !== undefined && early.before(item, last)) pushHeap(early, item);
  else run.push(item);
}

/** Removes and returns the first element; O(1) of the run, else O(log n). */
export function popOrdered<T>(queue: OrderedQueue<T>): T | undefined {
  const { run, first, early } = queue;
  const item = peekOrdered(queue);
  if (item === undefined || item !== run[first]) return popHeap(early);
  // It is not to be kept from being collected.
  run[first] = undefined;
  queue.first += 1;
  if (queue.first > SPENT_MAX && queue.first * 2 > run.length || queue.first === run.length) {
    run.splice(0, queue.first);
    queue.first = 0;
  }
  return item;
}

/** Removes what `keep` does not want; O(n). */
export function filterOrdered<T>(queue: OrderedQueue<T>, keep: (item: T) => boolean): void {
  const { run, first, early } = queue;
  let count = 0;
  for (let index = first; index < run.length; index++) {
    const item = run[index];
    if (item !== undefined && keep(item)) run[count++] = item;
  }
  run.length = count;
  queue.first = 0;
  filterHeap(early, keep);
}

/** Shows those for which `isBefore` is true until `visit` is; looks at these and at few besides. */
export function visitBefore<T>(
  { run, first, early: { items } }: OrderedQueue<T>,
  isBefore: (item: T) => boolean,
  visit: (item: T) => boolean,
): void {
  for (let index = first; index < run.length; index++) {
    const item = run[index];
    if (item === undefined || !isBefore(item)) break;
    if (visit(item)) return;
  }
  const open = [0];
  for (let index = open.pop(); index !== undefined; index = open.pop()) {
    const item = items[index];
    // What is below one that is not before them is not either.
    if (item === undefined || !isBefore(item)) continue;
    if (visit(item)) return;
    open.push(2 * index + 1, 2 * index + 2);
  }
}
