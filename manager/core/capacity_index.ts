/**
 * Who has how much free: members in buckets of whole units, so that the freest
 * is found without looking at all of them.
 *
 * @module
 */

/** Where a member stands; kept in the member, as it moves with every task that comes and goes. */
export interface CapacityPlace {
  bucket: number;
  /** Index in the bucket; -1 while it is in no index. */
  position: number;
}

/** What can be a member of an index, of one at a time. */
export interface CapacityMember {
  readonly place: CapacityPlace;
}

/** `{free units, rounded down: members with that much}`. */
export interface CapacityIndex<T extends CapacityMember> {
  /** Those that are empty stay for the next member: there are few numbers of units. */
  readonly buckets: Map<number, T[]>;
  count: number;
  /** At least the highest bucket in use; brought down when it is looked for. */
  highest: number;
}

/** Makes an empty index. */
export function newCapacityIndex<T extends CapacityMember>(): CapacityIndex<T> {
  return { buckets: new Map(), count: 0, highest: -Infinity };
}

/** The place of a member of no index. */
export function newCapacityPlace(): CapacityPlace {
  return { bucket: 0, position: -1 };
}

/** True while `member` is in an index. */
export function isIndexed(member: CapacityMember): boolean {
  return member.place.position >= 0;
}

/** Adds `member` or moves it to where `free` puts it; O(1). */
export function setCapacity<T extends CapacityMember>(
  index: CapacityIndex<T>,
  member: T,
  free: number,
): void {
  const bucket = bucketOf(free);
  const { place } = member;
  if (place.position >= 0) {
    if (place.bucket === bucket) return;
    leaveBucket(index, member);
  } else {
    index.count += 1;
  }
  let members = index.buckets.get(bucket);
  if (members === undefined) index.buckets.set(bucket, members = []);
  place.bucket = bucket;
  place.position = members.length;
  members.push(member);
  if (bucket > index.highest) index.highest = bucket;
}

/** Removes `member`; O(1). */
export function removeCapacity<T extends CapacityMember>(index: CapacityIndex<T>, member: T): void {
  if (!isIndexed(member)) return;
  leaveBucket(index, member);
  member.place.position = -1;
  index.count -= 1;
}

/** True of a member after which, from the freest down, nobody has `needed` free. */
export function isBelow({ place }: CapacityMember, needed: number): boolean {
  return place.bucket < bucketOf(needed);
}

/** Shows members from the freest down until `visit` returns true; of equals that of `start` first. */
export function visitFreest<T extends CapacityMember>(
  index: CapacityIndex<T>,
  visit: (member: T) => boolean,
  start = 0,
): void {
  let left = index.count;
  while (left > 0 && !index.buckets.get(index.highest)?.length) index.highest -= 1;
  for (let bucket = index.highest; left > 0; bucket--) {
    const members = index.buckets.get(bucket);
    if (members === undefined) continue;
    left -= members.length;
    const first = start % Math.max(1, members.length);
    for (let position = 0; position < members.length; position++) {
      const beyond = first + position - members.length;
      const member = members[beyond < 0 ? first + position : beyond];
      if (member !== undefined && visit(member)) return;
    }
  }
}

/** The member of that number, below `index.count`; the steps are those of units, not of members. */
export function memberAt<T extends CapacityMember>(
  index: CapacityIndex<T>,
  number: number,
): T | undefined {
  let left = number;
  for (const members of index.buckets.values()) {
    if (left < members.length) return members[left];
    left -= members.length;
  }
  return undefined;
}

/** Sums of fractions are a little off. */
function bucketOf(free: number): number {
  return Math.floor(free + 1e-6);
}

/** The last of the bucket takes the place of `member`. */
function leaveBucket<T extends CapacityMember>(index: CapacityIndex<T>, member: T): void {
  const { bucket, position } = member.place;
  const members = index.buckets.get(bucket);
  const last = members?.pop();
  if (members === undefined || last === undefined || last === member) return;
  members[position] = last;
  last.place.position = position;
}
