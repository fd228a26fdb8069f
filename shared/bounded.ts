/** Work on many items at once, but never on more than a given number. */

/**
 * Calls `work` for each item, at most `limit` at a time and in order of starting.
 *
 * After the first failure nothing more is started; it is thrown once all that was started has ended.
 */
export async function forEachBounded<Item>(
  items: Iterable<Item>,
  limit: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.iterator]();
  let failure: { readonly error: unknown } | undefined;
  const lane = async (): Promise<void> => {
    while (failure === undefined) {
      const next = iterator.next();
      if (next.done) return;
      try {
        await work(next.value);
      } catch (error) {
        failure ??= { error };
      }
    }
  };
  await Promise.all(Array.from({ length: limit }, lane));
  // The assertion undoes narrowing: the compiler does not see the assignment inside `lane`.
  const found = failure as { readonly error: unknown } | undefined;
  if (found !== undefined) throw found.error;
}

/**
 * Yields what `work` makes of each item, in the order of the items, with at most `limit` under way.
 *
 * When it fails or nobody wants more, it ends once all that was started has ended.
 */
export async function* mapInOrder<Item, Result>(
  items: Iterable<Item> | AsyncIterable<Item>,
  limit: number,
  work: (item: Item) => Promise<Result>,
): AsyncGenerator<Result, void> {
  const started: Promise<Result>[] = [];
  try {
    for await (const item of items) {
      const result = work(item);
      // It is thrown in its turn, which may come after the runtime wonders who cares.
      result.catch(() => {});
      started.push(result);
      if (started.length < limit) continue;
      const first = started[0];
      if (first !== undefined) yield await first;
      started.shift();
    }
    for (const result of started) yield await result;
  } finally {
    await Promise.allSettled(started);
  }
}
