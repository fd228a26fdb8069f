/**
 * Neighbours are combined in groups, the results of that again, until one is left. A group is
 * combined as soon as all of its values are there: no level waits for the one below to be done.
 */

/** Values to combine. */
export interface ReductionGroup {
  readonly values: readonly unknown[];
  /** Which items they are made of, for errors. */
  readonly name: string;
  readonly settle: (value: unknown) => void;
}

/** Results of one level, counted from the items up. */
interface Level {
  /** `{index of a group: its values so far}`, of groups that are not full. */
  readonly groups: Map<number, { readonly values: unknown[]; count: number }>;
  /** How many values it has in all, once that is known. */
  total: number | undefined;
}

/** The groups of one reduction. */
export class TreeReduction {
  readonly #arity: number;
  readonly #levels: Level[] = [];
  /** Full groups that nobody has taken, the newest last. */
  readonly #full: { readonly level: number; readonly index: number; values: unknown[] }[] = [];
  #fedCount = 0;
  #isFed = false;
  #end: { readonly value: unknown } | undefined;

  /** `arity` is at least 2. */
  constructor(arity: number) {
    this.#arity = arity;
  }

  /** True when there are no more items. */
  get isFed(): boolean {
    return this.#isFed;
  }

  /** Takes the next items; fewer than `arity` are the last. */
  feed(items: readonly unknown[]): void {
    for (const item of items) this.#put(0, this.#fedCount++, item);
    if (items.length === this.#arity) return;
    this.#isFed = true;
    let total = this.#fedCount;
    for (let level = 0; total > 0; level++) {
      this.#levelAt(level).total = total;
      const last = Math.ceil(total / this.#arity) - 1;
      this.#review(level, last);
      if (total === 1) return;
      total = last + 1;
    }
  }

  /** A group to combine, if one is full. */
  next(): ReductionGroup | undefined {
    const group = this.#full.pop();
    if (group === undefined) return undefined;
    const { level, index, values } = group;
    const width = this.#arity ** (level + 1);
    const last = Math.min((index + 1) * width, this.#fedCount) - 1;
    return {
      values,
      name: `items ${index * width} to ${last}`,
      settle: (value) => this.#put(level + 1, index, value),
    };
  }

  /**
   * What is left.
   *
   * @throws {TypeError} When there was no item.
   */
  result(): unknown {
    if (this.#end !== undefined) return this.#end.value;
    throw new TypeError("Cannot reduce no items to one: expected one at least");
  }

  #put(level: number, index: number, value: unknown): void {
    const { groups } = this.#levelAt(level);
    const at = Math.floor(index / this.#arity);
    let group = groups.get(at);
    if (group === undefined) groups.set(at, group = { values: [], count: 0 });
    group.values[index % this.#arity] = value;
    group.count += 1;
    this.#review(level, at);
  }

  /** Sees to a group that may be full. */
  #review(level: number, index: number): void {
    const { groups, total = Infinity } = this.#levelAt(level);
    const group = groups.get(index);
    const size = Math.min(this.#arity, total - index * this.#arity);
    if (group === undefined || group.count < size) return;
    groups.delete(index);
    const [first] = group.values;
    if (total === 1) this.#end = { value: first };
    else if (size === 1) this.#put(level + 1, index, first);
    else this.#full.push({ level, index, values: group.values });
  }

  #levelAt(number: number): Level {
    while (this.#levels.length <= number) {
      this.#levels.push({ groups: new Map(), total: undefined });
    }
    const level = this.#levels[number];
    if (level === undefined) throw new RangeError(`Level ${number} must be there`);
    return level;
  }
}
