/**
 * What tasks of one category have used of one resource: a histogram of bounded size.
 *
 * @module
 */

/** Buckets kept: with more kinds of values than this, those next to each other are merged. */
const BUCKETS_MAX = 1_000;

/** Tasks whose use was about the same. */
export interface UsageBucket {
  /** Most that one of them used, rounded up to the width of buckets. */
  value: number;
  count: number;
  /** Time that all of them ran. */
  timeMs: number;
}

/** What is known of one resource in one category. */
export interface UsageHistory {
  /** Values are rounded up to a multiple of this; it doubles when there are too many buckets. */
  width: number;
  /** `{rounded value: its tasks}` */
  buckets: Map<number, UsageBucket>;
  count: number;
  max: number;
}

/** A history of nothing; `width` is the least difference that matters. */
export function newUsageHistory(width: number): UsageHistory {
  return { width, buckets: new Map(), count: 0, max: 0 };
}

/** Adds a task that used `value` at its peak and ran for `timeMs`. */
export function noteUsage(
  history: UsageHistory,
  { value, timeMs }: { readonly value: number; readonly timeMs: number },
): void {
  addToBucket(history, roundUp(value, history.width), { count: 1, timeMs });
  history.count += 1;
  history.max = Math.max(history.max, value);
  if (history.buckets.size > BUCKETS_MAX) widen(history);
}

/** The buckets by their values, smallest first. */
export function sortedBuckets(history: UsageHistory): readonly UsageBucket[] {
  return [...history.buckets.values()].sort((a, b) => a.value - b.value);
}

/** `value` as the end of its bucket. */
export function roundUp(value: number, width: number): number {
  return Math.ceil(value / width) * width;
}

function addToBucket(
  history: UsageHistory,
  value: number,
  { count, timeMs }: { readonly count: number; readonly timeMs: number },
): void {
  const bucket = history.buckets.get(value);
  if (bucket === undefined) {
    history.buckets.set(value, { value, count, timeMs });
    return;
  }
  bucket.count += count;
  bucket.timeMs += timeMs;
}

function widen(history: UsageHistory): void {
  const { buckets } = history;
  history.width *= 2;
  history.buckets = new Map();
  for (const bucket of buckets.values()) {
    addToBucket(history, roundUp(bucket.value, history.width), bucket);
  }
}
