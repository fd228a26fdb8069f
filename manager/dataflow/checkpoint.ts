/**
 * When results are brought to where they survive: a memo store in front of another one, which it
 * passes entries on to by a rule. What is not passed on yet is found all the same.
 *
 * @module
 */

import { MemoryMemoStore } from "./memory_memo_store.ts";
import {
  checkForget,
  type MemoEntry,
  type MemoFilter,
  type MemoStore,
  type MemoSummary,
  type RememberedDigest,
} from "./memo_store.ts";

/**
 * When entries are passed on: each at once, every so often, at the end, or when told to. What is
 * left is passed on at the end in any case.
 */
export type CheckpointMode = "task_exit" | "periodic" | "exit" | "manual";

/** The modes, for options and messages. */
export const CHECKPOINT_MODES: readonly CheckpointMode[] = [
  "task_exit",
  "periodic",
  "exit",
  "manual",
];

/** Default time between two checkpoints of `periodic`. */
export const CHECKPOINT_PERIOD_MS = 30_000;

/** Entries that take as much are passed on whatever the rule is. */
const HELD_BYTES_MAX: number = 64 * 1024 * 1024;

/** The largest delay of a timer. */
const PERIOD_MS_MAX = 2 ** 31 - 1;

/** What the rule is. */
export interface CheckpointOptions {
  /** Where entries are passed on to; closed with this one. */
  readonly store: MemoStore;
  readonly mode: CheckpointMode;
  /** Of `periodic`; default 30 s. */
  readonly periodMs?: number;
  /** Told, one line each, when entries cannot be passed on yet. */
  readonly onTrouble: (message: string) => void;
  /** Default 64 MiB. */
  readonly heldBytesMax?: number;
}

/** Entries that wait, and the store that they go to. */
export class CheckpointStore implements MemoStore {
  readonly #options: CheckpointOptions;
  readonly #store: MemoStore;
  #held: MemoryMemoStore = new MemoryMemoStore();
  /** Entries that are being passed on: still found here. */
  #leaving: MemoryMemoStore | undefined;
  #flushing: Promise<void> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** It was told that nothing can be passed on: the next time is set. */
  #isPaused = false;
  #closed: Promise<void> | undefined;

  constructor(options: CheckpointOptions) {
    this.#options = options;
    this.#store = options.store;
  }

  get damagedCount(): number {
    return this.#store.damagedCount;
  }

  async get(keys: readonly string[]): Promise<(MemoEntry | undefined)[]> {
    const found = await this.#getHeld(keys);
    const others = keys.filter((_, index) => found[index] === undefined);
    if (others.length === 0 && this.#closed === undefined) return found;
    const elsewhere = await this.#store.get(others);
    let next = 0;
    return found.map((entry) => entry ?? elsewhere[next++]);
  }

  async put(entry: MemoEntry): Promise<void> {
    await this.putAll([entry]);
  }

  async putAll(entries: readonly MemoEntry[]): Promise<void> {
    const { mode, heldBytesMax = HELD_BYTES_MAX } = this.#options;
    if (mode === "task_exit" || this.#closed !== undefined) {
      return await this.#store.putAll(entries);
    }
    await this.#held.putAll(entries);
    if (this.#held.sizeBytes >= heldBytesMax) this.#flushSoon(0);
    else if (mode === "periodic") {
      const { periodMs = CHECKPOINT_PERIOD_MS } = this.#options;
      this.#flushSoon(Math.min(periodMs, PERIOD_MS_MAX));
    }
  }

  async *list(filter: MemoFilter = {}): AsyncGenerator<MemoSummary, void> {
    const held = this.#listHeld(filter);
    for await (const summary of this.#store.list(filter)) if (!held.has(summary.key)) yield summary;
    yield* held.values();
  }

  async forget(filter: MemoFilter | "all"): Promise<number> {
    while (this.#flushing !== undefined) {
      await this.#flushing.catch(() => {
        // Whoever waits for it is told; here it is over.
      });
    }
    // Nothing is passed on from here to where it is gone.
    const keys = this.#held.summaries(filter === "all" ? {} : checkForget(filter))
      .map(({ key }) => key);
    await this.#held.forget(filter);
    const elsewhere = await this.#store.get(keys);
    const count = await this.#store.forget(filter);
    return count + elsewhere.filter((entry) => entry === undefined).length;
  }

  recallDigests(
    files: readonly Pick<RememberedDigest, "path" | "stamp">[],
  ): Promise<(string | undefined)[]> {
    return this.#store.recallDigests(files);
  }

  rememberDigests(digests: readonly RememberedDigest[]): Promise<void> {
    return this.#store.rememberDigests(digests);
  }

  /** Passes everything on: a checkpoint. */
  async flush(): Promise<void> {
    // One that is under way began without what came since.
    await this.#flushing?.catch(() => {
      // What it could not pass on is tried again now.
    });
    this.#flushing ??= this.#flush().finally(() => this.#flushing = undefined);
    await this.#flushing;
  }

  close(): Promise<void> {
    return this.#closed ??= this.#close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    try {
      await this.flush();
    } finally {
      clearTimeout(this.#timer);
      await this.#store.close();
    }
  }

  async #flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const leaving = this.#held;
    this.#leaving = leaving;
    this.#held = new MemoryMemoStore();
    try {
      await this.#store.putAll(await entriesOf(leaving));
      await this.#store.flush();
    } catch (error) {
      // Those that came since are newer.
      leaving.takeFrom(this.#held);
      this.#held = leaving;
      throw error;
    } finally {
      this.#leaving = undefined;
    }
  }

  #flushSoon(afterMs: number): void {
    if (this.#timer !== undefined && (afterMs > 0 || this.#isPaused)) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#isPaused = false;
      this.flush().catch((error: unknown) => this.#tell(error));
    }, afterMs);
    this.#timer.unref();
  }

  #tell(error: unknown): void {
    const found = error instanceof Error ? error.message : String(error);
    const { droppedCount } = this.#held;
    const lost = droppedCount === 0 ? "" : `; ${droppedCount} are lost, as there are too many`;
    this.#options.onTrouble(`Cannot checkpoint results yet: ${found}${lost}`);
    // Whatever comes meanwhile, it is not tried for each.
    this.#isPaused = true;
    this.#flushSoon(CHECKPOINT_PERIOD_MS);
  }

  async #getHeld(keys: readonly string[]): Promise<(MemoEntry | undefined)[]> {
    // Both are looked at in one turn: an entry cannot pass from one to the other between.
    const [held, leaving] = await Promise.all([this.#held.get(keys), this.#leaving?.get(keys)]);
    return keys.map((_, index) => held[index] ?? leaving?.[index]);
  }

  #listHeld(filter: MemoFilter): Map<string, MemoSummary> {
    const all = [...this.#leaving?.summaries(filter) ?? [], ...this.#held.summaries(filter)];
    return new Map(all.map((summary) => [summary.key, summary]));
  }
}

async function entriesOf(store: MemoryMemoStore): Promise<MemoEntry[]> {
  const keys = store.summaries().map(({ key }) => key);
  return (await store.get(keys)).filter((entry) => entry !== undefined);
}
