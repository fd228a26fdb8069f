/** A binary heap: the least element first, by an order that its owner gives. */

/** True when `a` comes before `b`; a strict order. */
export type Before<T> = (a: T, b: T) => boolean;

/** Plain data: `items[0]` is first; children of index i are at 2i + 1 and 2i + 2. */
export interface Heap<T> {
  readonly items: T[];
  readonly before: Before<T>;
}

/** Makes an empty heap. */
export function newHeap<T>(before: Before<T>): Heap<T> {
  return { items: [], before };
}

/** The first element, if any, left in place. */
export function peekHeap<T>(heap: Heap<T>): T | undefined {
  return heap.items[0];
}

/** Adds `item`; O(log n), O(1) when it comes last. */
export function pushHeap<T>(heap: Heap<T>, item: T): void {
  const { items, before } = heap;
  let index = items.length;
  items.push(item);
  while (index > 0) {
    const parent = (index - 1) >> 1;
    const above = items[parent] as T;
    if (!before(item, above)) break;
    items[index] = above;
    index = parent;
  }
  items[index] = item;
}

/** Removes and returns the first element; O(log n). */
export function popHeap<T>(heap: Heap<T>): T | undefined {
  const { items } = heap;
  const first = items[0];
  const last = items.pop();
  if (items.length > 0) sink(heap, last as T, 0);
  return first;
}

/** Puts the first element where it belongs, which comes later than it did; O(log n). */
export function lowerFirst<T>(heap: Heap<T>): void {
  const [first] = heap.items;
  if (first !== undefined) sink(heap, first, 0);
}

/** Removes what `keep` does not want; O(n). */
export function filterHeap<T>(heap: Heap<T>, keep: (item: T) => boolean): void {
  const { items } = heap;
  let count = 0;
  for (const item of items) {
    if (keep(item)) items[count++] = item;
  }
  items.length = count;
  // Floyd's construction: from the last parent up.
  for (let index = (count >> 1) - 1; index >= 0; index--) sink(heap, items[index] as T, index);
}

/** Puts `item` at `start` or below, where children that come before it make way. */
function sink<T>(heap: Heap<T>, item: T, start: number): void {
  const { items, before } = heap;
  const count = items.length;
  let index = start;
  while (true) {
    let child = 2 * index + 1;
    if (child >= count) break;
    if (child + 1 < count && before(items[child + 1] as T, items[child] as T)) child += 1;
    if (!before(items[child] as T, item)) break;
    items[index] = items[child] as T;
    index = child;
  }
  items[index] = item;
}
