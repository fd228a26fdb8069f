/**
 * Who has how much free: members in buckets of whole units, so that the freest
 * is found without looking at all of them.
 *
 * @module
 */

/** `{free units, rounded down: members with that much}`. */
export interface CapacityIndex<T> {
  readonly buckets: Map<number, Set<T>>;
  readonly bucketOf: Map<T, number>;
  /** At least the highest bucket in use; brought down when it is looked for. */
  highest: number;
}

/** Makes an empty index. */
export function newCapacityIndex<T>(): CapacityIndex<T> {
  return { buckets: new Map(), bucketOf: new Map(), highest: -Infinity };
}

/** Adds `member` or moves it to where `free` puts it; O(1). */
export function setCapacity<T>(index: CapacityIndex<T>, member: T, free: number): void {
  const bucket = Math.floor(free + 1e-6);
  const before = index.bucketOf.get(member);
  if (before === bucket) return;
  if (before !== undefined) leaveBucket(index, member, before);
  index.bucketOf.set(member, bucket);
  let members = index.buckets.get(bucket);
  if (members === undefined) index.buckets.set(bucket, members = new Set());
  members.add(member);
  if (bucket > index.highest) index.highest = bucket;
}

/** Removes `member`; O(1). */
export function removeCapacity<T>(index: CapacityIndex<T>, member: T): void {
  const bucket = index.bucketOf.get(member);
  if (bucket === undefined) return;
  leaveBucket(index, member, bucket);
  index.bucketOf.delete(member);
}

/** Members from the freest down; stop iterating as soon as one will do. */
export function* freestFirst<T>(index: CapacityIndex<T>): Generator<T> {
  if (index.bucketOf.size === 0) return;
  let bucket = highestBucket(index);
  let left = index.bucketOf.size;
  while (left > 0) {
    const members = index.buckets.get(bucket);
    if (members !== undefined) {
      left -= members.size;
      yield* members;
    }
    bucket -= 1;
  }
}

/** The highest bucket in use; the index must not be empty. */
function highestBucket<T>(index: CapacityIndex<T>): number {
  while (!index.buckets.has(index.highest)) index.highest -= 1;
  return index.highest;
}

function leaveBucket<T>(index: CapacityIndex<T>, member: T, bucket: number): void {
  const members = index.buckets.get(bucket);
  members?.delete(member);
  if (members?.size === 0) index.buckets.delete(bucket);
}
