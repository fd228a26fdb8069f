/**
 * A memo store that lasts as long as the process. What is put is kept as bytes, so that nobody can
 * change it afterwards; the oldest goes when there is no more room.
 *
 * @module
 */

import { checkMemoKey, decodeEntry, encodeEntry, summaryOf } from "./memo_entry.ts";
import {
  checkForget,
  type MemoEntry,
  type MemoFilter,
  type MemoStore,
  type MemoSummary,
  type RememberedDigest,
} from "./memo_store.ts";

/** What all entries take at most, in bytes. */
const HELD_BYTES_MAX: number = 256 * 1024 * 1024;

/** Files of which digests are remembered, at most. */
const DIGESTS_MAX = 1_000_000;

/** What an entry costs beside its own bytes. */
const ENTRY_OVERHEAD_BYTES = 500;

/** How much is held. */
export interface MemoryMemoStoreOptions {
  /** Default 256 MiB. */
  readonly bytesMax?: number;
}

interface Held {
  readonly summary: MemoSummary;
  readonly bytes: Uint8Array;
}

/** Results of calls in memory. */
export class MemoryMemoStore implements MemoStore {
  /** What is here was put here. */
  readonly damagedCount = 0;
  readonly #bytesMax: number;
  /** In the order in which they were put. */
  readonly #held: Map<string, Held> = new Map();
  readonly #digests: Map<string, RememberedDigest> = new Map();
  #sizeBytes = 0;
  #droppedCount = 0;
  #isClosed = false;

  constructor({ bytesMax = HELD_BYTES_MAX }: MemoryMemoStoreOptions = {}) {
    this.#bytesMax = bytesMax;
  }

  /** What all of it takes, in bytes. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Entries that it had no room for. */
  get droppedCount(): number {
    return this.#droppedCount;
  }

  // deno-lint-ignore require-await
  async get(keys: readonly string[]): Promise<(MemoEntry | undefined)[]> {
    this.#check();
    keys.forEach(checkMemoKey);
    return keys.map((key) => {
      const held = this.#held.get(key);
      return held && decodeEntry(key, held.bytes);
    });
  }

  async put(entry: MemoEntry): Promise<void> {
    await this.putAll([entry]);
  }

  // deno-lint-ignore require-await
  async putAll(entries: readonly MemoEntry[]): Promise<void> {
    this.#check();
    const all = entries.map((entry) => ({ summary: summaryOf(entry), bytes: encodeEntry(entry) }));
    this.#hold(all);
  }

  /** Takes all that `other` holds, in the place of its own. */
  takeFrom(other: MemoryMemoStore): void {
    this.#hold(other.#held.values());
    this.#droppedCount += other.#droppedCount;
  }

  /** What is listed, at once. */
  summaries(filter: MemoFilter = {}): MemoSummary[] {
    const found: MemoSummary[] = [];
    for (const { summary } of this.#held.values()) if (fits(summary, filter)) found.push(summary);
    return found;
  }

  async *list(filter: MemoFilter = {}): AsyncGenerator<MemoSummary, void> {
    this.#check();
    yield* this.summaries(filter);
  }

  // deno-lint-ignore require-await
  async forget(given: MemoFilter | "all"): Promise<number> {
    this.#check();
    const filter = checkForget(given);
    const found = this.summaries(filter);
    for (const { key } of found) this.#remove(key);
    if (given === "all") this.#digests.clear();
    return found.length;
  }

  // deno-lint-ignore require-await
  async recallDigests(
    files: readonly Pick<RememberedDigest, "path" | "stamp">[],
  ): Promise<(string | undefined)[]> {
    this.#check();
    return files.map(({ path, stamp }) => {
      const found = this.#digests.get(path);
      return found?.stamp === stamp ? found.digest : undefined;
    });
  }

  // deno-lint-ignore require-await
  async rememberDigests(digests: readonly RememberedDigest[]): Promise<void> {
    this.#check();
    for (const digest of digests) {
      this.#digests.delete(digest.path);
      this.#digests.set(digest.path, digest);
    }
    for (const path of this.#digests.keys()) {
      if (this.#digests.size <= DIGESTS_MAX) break;
      this.#digests.delete(path);
    }
  }

  // deno-lint-ignore require-await
  async flush(): Promise<void> {
    this.#check();
  }

  // deno-lint-ignore require-await
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#held.clear();
    this.#digests.clear();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #hold(all: Iterable<Held>): void {
    for (const held of all) {
      this.#remove(held.summary.key);
      this.#held.set(held.summary.key, held);
      this.#sizeBytes += costOf(held);
    }
    for (const key of this.#held.keys()) {
      if (this.#sizeBytes <= this.#bytesMax) break;
      this.#remove(key);
      this.#droppedCount += 1;
    }
  }

  #remove(key: string): void {
    const held = this.#held.get(key);
    if (held === undefined) return;
    this.#held.delete(key);
    this.#sizeBytes -= costOf(held);
  }

  #check(): void {
    if (this.#isClosed) throw new Error("Cannot use the memory of results: it is closed");
  }
}

/** True when an entry is one of those that a filter is about. */
export function fits(summary: MemoSummary, { key, app, madeBeforeMs }: MemoFilter): boolean {
  return (key === undefined || summary.key === key) && (app === undefined || summary.app === app) &&
    (madeBeforeMs === undefined || summary.madeAtMs < madeBeforeMs);
}

function costOf({ bytes, summary }: Held): number {
  return bytes.length + 2 * summary.call.length + ENTRY_OVERHEAD_BYTES;
}
