/**
 * Keeps files of the cache beyond the workflow: gives them the name of their contents as well, and
 * puts them where a later workflow, or with `forever` a later worker, finds them.
 *
 * @module
 */

import { setTimeout as delay } from "node:timers/promises";

import { directoryContentName, fileContentName } from "../shared/cache_name.ts";
import type { CacheName } from "../shared/ids.ts";
import type { ManagerMessage } from "../shared/protocol.ts";
import type { FileFacts, LastingLevel } from "../shared/task.ts";
import type { CacheStore, Hold, StoredFile } from "./cache_store.ts";
import type { WorkerEvent } from "./core/event.ts";
import { hashCachedTree } from "./hash_tree.ts";
import { copyTimed, linkFile, linkTree } from "./link_contents.ts";
import { TICK_MS } from "./linked_inputs.ts";
import { adoptIntact } from "./make_file.ts";
import { freshMs } from "./shared_store.ts";

type KeepOrder = Extract<ManagerMessage, { kind: "keep" }>;
type KeepOutcome = Extract<WorkerEvent, { kind: "file_kept" }>["outcome"];
type KeptFile = Extract<KeepOutcome, { kind: "kept" }>;

/** Files that are kept at the same time, most of which wait to be old enough; more wait their turn. */
const KEEPS_MAX = 64;

/** What keeping files works with. */
export interface KeepOptions {
  readonly cache: CacheStore;
  /** The worker's mark. */
  readonly mark: string;
  readonly push: (event: WorkerEvent) => void;
}

/** Owner of the files that are being kept. */
export class Keeps {
  readonly #options: KeepOptions;
  readonly #waiting: KeepOrder[] = [];
  readonly #works: Set<Promise<void>> = new Set();
  /** `{name: when the last one that was given it is done}`: two with the same contents take turns. */
  readonly #turns: Map<CacheName, Promise<void>> = new Map();
  /** Directories are read for their names, one at a time: when the last one is. */
  #reading: Promise<unknown> = Promise.resolve();
  readonly #closing: AbortController = new AbortController();

  constructor(options: KeepOptions) {
    this.#options = options;
  }

  /** Keeps a file; answered by `file_kept`. */
  keep(order: KeepOrder): void {
    this.#waiting.push(order);
    this.#fill();
  }

  /** Begins no other one, ends those under way and waits for it. */
  async close(): Promise<void> {
    this.#closing.abort(new Error("the worker ends"));
    while (this.#works.size > 0) await Promise.all(this.#works);
  }

  #fill(): void {
    while (this.#works.size < KEEPS_MAX && !this.#closing.signal.aborted) {
      const order = this.#waiting.shift();
      if (order === undefined) return;
      const work = this.#work(order).finally(() => {
        this.#works.delete(work);
        this.#fill();
      });
      this.#works.add(work);
    }
  }

  async #work(order: KeepOrder): Promise<void> {
    const { cache, push } = this.#options;
    const { keepId, name, generation } = order;
    const hold = cache.hold(name, generation);
    const outcome = await this.#keep(order, hold).catch((error: unknown): KeepOutcome => {
      const found = error instanceof Error ? error.message : String(error);
      return { kind: "failed", message: `Cannot keep file "${name}": ${found}` };
    });
    hold?.release();
    push({ kind: "file_kept", keepId, outcome });
  }

  async #keep({ level }: KeepOrder, hold: Hold | undefined): Promise<KeepOutcome> {
    if (hold === undefined) throw new Error("this worker does not have it any more");
    const facts = await this.#name(hold);
    const { name } = facts;
    const before = this.#turns.get(name);
    const turn = Promise.withResolvers<void>();
    this.#turns.set(name, turn.promise);
    try {
      await before;
      return await keepAs(this.#options.cache, { facts, hold, level, signal: this.#signal });
    } finally {
      turn.resolve();
      if (this.#turns.get(name) === turn.promise) this.#turns.delete(name);
    }
  }

  get #signal(): AbortSignal {
    return this.#closing.signal;
  }

  /** What the file is under the name of its contents. */
  async #name({ facts, path }: Hold): Promise<FileFacts> {
    const { digest, sizeBytes, isDirectory, isExecutable = false } = facts;
    const name = isDirectory
      ? directoryContentName(await this.#hash(path, sizeBytes))
      : fileContentName(digest, { isExecutable });
    const kind = { isDirectory, ...(isExecutable ? { isExecutable } : {}) };
    return { name, generation: 0, sizeBytes, digest, ...kind };
  }

  #hash(path: string, sizeBytes: number): Promise<string> {
    const { mark } = this.#options;
    const hash = () => hashCachedTree(path, { sizeBytes, mark, signal: this.#signal });
    const read = this.#reading.then(hash);
    this.#reading = read.catch(() => {
      // Who asked for it is told.
    });
    return read;
  }
}

interface Wish {
  /** With the name of its contents. */
  readonly facts: FileFacts;
  /** The file that it is made of. */
  readonly hold: Hold;
  readonly level: LastingLevel;
  readonly signal: AbortSignal;
}

async function keepAs(cache: CacheStore, wish: Wish): Promise<KeptFile> {
  const { facts: { name }, level } = wish;
  const known = cache.get(name);
  if (level === "worker") {
    if (known === undefined) return await addCopy(cache, wish);
    cache.raise(name);
    const stays = known.level === "forever" ? "forever" : "worker";
    return { kind: "kept", file: known.facts, level: stays, isFound: !known.isOwn };
  }
  const found = known === undefined ? await adoptIntact(cache, name) : undefined;
  if (found !== undefined) return { kind: "kept", file: found, level, isFound: true };
  if (known?.level === "forever" && cache.isFound(name)) {
    return { kind: "kept", file: known.facts, level, isFound: !known.isOwn };
  }
  // One that is damaged has to be gone before another takes its place.
  await cache.settled(name);
  const kept = await addCopy(cache, wish);
  await cache.settled(name);
  if (cache.isFound(name)) return kept;
  throw new Error("its disk has no room for the record of what is kept for ever");
}

/** Puts the same bytes into the cache under the name of their contents. */
async function addCopy(cache: CacheStore, wish: Wish): Promise<KeptFile> {
  const { facts, hold, level } = wish;
  const { name, generation } = hold.facts;
  // What is here under that name, and perhaps in use, goes on as another name of the same bytes.
  const before = cache.hold(facts.name, facts.generation);
  const path = cache.newIncomingPath();
  let isLinked: boolean;
  try {
    isLinked = await link(before ?? hold, path, wish);
    cache.commit(path, facts, level);
  } catch (error) {
    cache.discard(path);
    throw error;
  } finally {
    before?.release();
  }
  const source = isLinked ? { source: { name, generation } } : {};
  return { kind: "kept", file: facts, level, isFound: false, ...source };
}

async function link(
  { path, facts }: StoredFile,
  target: string,
  { level, signal }: Wish,
): Promise<boolean> {
  // Whoever links a fresh file first sets its time back, which others would take for a write.
  if (facts.isDirectory || freshMs(path, TICK_MS) > 0) await delay(TICK_MS, undefined, { signal });
  if (facts.isDirectory) return await linkTree(path, target, signal);
  // The store tells by the time of a file that nobody wrote to it: it has to be of the past.
  const waitMs = level === "forever" ? freshMs(path) : 0;
  if (waitMs < Infinity) {
    await delay(waitMs, undefined, { signal });
    return await linkFile(path, target);
  }
  await copyTimed(path, target);
  return false;
}
