/**
 * Files of which a part came before their source failed. The next attempt, from whatever source,
 * goes on where the last one ended: the same making, the same digest, and the hash is kept so that no
 * byte is read again. The core decides how long a part stays; here it is only held.
 *
 * @module
 */

import type { CacheName } from "../shared/ids.ts";
import type { ManagerMessage } from "../shared/protocol.ts";
import { validatorOf } from "../shared/validator.ts";
import type { CacheStore } from "./cache_store.ts";
import { newProgress, type Progress } from "./download.ts";
import { newWritten, type Written } from "./file_sink.ts";

type FetchOrder = Extract<ManagerMessage, { kind: "fetch" }>;

/** A file on its way: what has come of it. */
export interface Part {
  path: string;
  progress: Progress;
  written: Written;
  /** Bytes that came in attempts of which nobody was told. */
  untoldBytes: number;
}

/** What is fetched anew sooner than it is kept in mind. */
const PART_BYTES_MIN: number = 2 ** 20;

/** Holds parts that no transfer works on. */
export class Parts {
  readonly #cache: CacheStore;
  readonly #parts: Map<CacheName, { readonly part: Part; readonly order: FetchOrder }> = new Map();

  constructor(cache: CacheStore) {
    this.#cache = cache;
  }

  /** What is here of the file that `order` is for, or nothing of it yet; the caller's from now on. */
  take(order: FetchOrder): Part {
    const held = this.#parts.get(order.name);
    this.#parts.delete(order.name);
    if (held !== undefined) {
      if (isSame(held.order, order)) return held.part;
      this.#cache.discard(held.part.path);
    }
    return this.#newPart(order);
  }

  /** Begins anew: what has come is of no use. */
  renew(order: FetchOrder, part: Part): void {
    this.#cache.discard(part.path);
    const { untoldBytes } = part;
    Object.assign(part, { ...this.#newPart(order), untoldBytes });
  }

  /**
   * Holds `part` for the next attempt; returns the bytes that it takes: none, and the part is still
   * the caller's, when it is not worth it or cannot be gone on with.
   */
  hold(order: FetchOrder, part: Part): number {
    const { progress, written: { sizeBytes } } = part;
    if (order.isDirectory || progress.etag === "" || sizeBytes !== progress.offset) return 0;
    if (sizeBytes < PART_BYTES_MIN || sizeBytes >= order.sizeBytes) return 0;
    this.forget(order.name);
    this.#parts.set(order.name, { part, order });
    return sizeBytes;
  }

  /** Removes what is held of that file. */
  forget(name: CacheName): void {
    const held = this.#parts.get(name);
    if (held === undefined) return;
    this.#parts.delete(name);
    this.#cache.discard(held.part.path);
  }

  /** Removes everything that is held. */
  clear(): void {
    for (const name of [...this.#parts.keys()]) this.forget(name);
  }

  #newPart(order: FetchOrder): Part {
    const etag = order.source.kind === "url" ? "" : validatorOf(order);
    const progress = newProgress({ etag, sizeBytes: order.sizeBytes });
    return { path: this.#cache.newIncomingPath(), progress, written: newWritten(), untoldBytes: 0 };
  }
}

/** True when both orders are for the same contents, by the same name for them. */
function isSame(held: FetchOrder, order: FetchOrder): boolean {
  return held.generation === order.generation && held.digest === order.digest &&
    held.sizeBytes === order.sizeBytes && held.isDirectory === order.isDirectory &&
    held.isExecutable === order.isExecutable &&
    (held.source.kind === "url") === (order.source.kind === "url");
}
