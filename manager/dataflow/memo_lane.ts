/**
 * Brings what is asked one by one to where it is done many at a time: while one batch is under way
 * the next one gathers, so that a thousand at once cost little more than one.
 *
 * @module
 */

/** How batches are made. */
export interface MemoLaneOptions<Item, Result> {
  /** Does a batch; gives back the results of its first items, at least of one. */
  readonly run: (items: readonly Item[]) => Promise<readonly Result[]>;
  /** What an item counts; absent: nothing. */
  readonly sizeOf?: (item: Item) => number;
  /** Of a batch, unless one item alone is larger. */
  readonly sizeMax: number;
  readonly countMax: number;
  /** Of all that waits; more is refused. */
  readonly waitingSizeMax: number;
  /** What an error says that there is too much of. */
  readonly what: string;
}

interface Waiting<Item, Result> {
  readonly item: Item;
  readonly size: number;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

/** A queue of items and the batch under way. */
export class MemoLane<Item, Result> {
  readonly #options: MemoLaneOptions<Item, Result>;
  #waiting: Waiting<Item, Result>[] = [];
  #waitingSize = 0;
  #running: Promise<void> | undefined;

  constructor(options: MemoLaneOptions<Item, Result>) {
    this.#options = options;
  }

  /**
   * Adds an item; resolves to its result.
   *
   * @throws {RangeError} When too much waits.
   */
  add(item: Item): Promise<Result> {
    const { sizeOf = () => 0, waitingSizeMax, what } = this.#options;
    const size = sizeOf(item);
    if (this.#waitingSize + size > waitingSizeMax) {
      const message = `Cannot take more ${what}: ${this.#waitingSize} bytes wait already`;
      return Promise.reject(new RangeError(message));
    }
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    this.#waiting.push({ item, size, resolve, reject });
    this.#waitingSize += size;
    this.#running ??= this.#run();
    return promise;
  }

  /** Resolves when nothing waits any more, however it ended. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  async #run(): Promise<void> {
    // What is added in this turn comes along.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#takeBatch();
      try {
        const results = await this.#options.run(batch.map(({ item }) => item));
        const done = batch.splice(0, results.length);
        for (const [index, { resolve }] of done.entries()) resolve(results[index] as Result);
        this.#waiting = [...batch, ...this.#waiting];
        this.#waitingSize += sumOf(batch);
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.#running = undefined;
  }

  #takeBatch(): Waiting<Item, Result>[] {
    const { sizeMax, countMax } = this.#options;
    let [count, size] = [0, 0];
    for (const waiting of this.#waiting) {
      if (count > 0 && (count >= countMax || size + waiting.size > sizeMax)) break;
      count += 1;
      size += waiting.size;
    }
    const batch = this.#waiting.slice(0, count);
    this.#waiting = this.#waiting.slice(count);
    this.#waitingSize -= size;
    return batch;
  }
}

function sumOf(batch: readonly { readonly size: number }[]): number {
  return batch.reduce((sum, { size }) => sum + size, 0);
}
