/** What tests of transfers into a worker's cache have in common. */

import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import type { ManagerMessage } from "../../shared/protocol.ts";
import { CacheStore } from "../../worker/cache_store.ts";
import type { WorkerEvent } from "../../worker/core/event.ts";
import { Transfers } from "../../worker/transfer.ts";
import type { Trees } from "../../worker/trees.ts";

type FetchOrder = Extract<ManagerMessage, { kind: "fetch" }>;
type TransferEnd = Extract<WorkerEvent, { kind: "transfer_ended" }>;

const NO_TREES: Trees = {
  read: () => {
    throw new Error("no directory here");
  },
  write: () => Promise.reject(new Error("no directory here")),
  unpack: () => Promise.reject(new Error("no archive here")),
};

/** Transfers into a cache of their own. */
export class TransferBench implements AsyncDisposable {
  readonly directory: string = mkdtempSync(join(tmpdir(), "tendril-test-"));
  readonly cache: CacheStore = new CacheStore(join(this.directory, "cache"));
  managerUrl: string | undefined;
  managerCertificate: string | undefined;
  readonly #events: WorkerEvent[] = [];
  readonly #waiting: ((event: WorkerEvent) => void)[] = [];
  readonly transfers: Transfers = new Transfers({
    runner: { make: () => Promise.reject(new Error("nothing is made here")) },
    cache: this.cache,
    trees: NO_TREES,
    managerUrl: () => this.managerUrl,
    managerCertificate: () => this.managerCertificate,
    push: (event) => {
      const next = this.#waiting.shift();
      if (next === undefined) this.#events.push(event);
      else next(event);
    },
  });

  nextEvent(): Promise<WorkerEvent> {
    const event = this.#events.shift();
    if (event !== undefined) return Promise.resolve(event);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Resolves once what comes in has `sizeBytes` on the disk. */
  async grown(sizeBytes: number): Promise<void> {
    const folder = join(this.directory, "cache", "incoming");
    const isThere = () =>
      readdirSync(folder).some((name) => statSync(join(folder, name)).size >= sizeBytes);
    while (!isThere()) await new Promise((resolve) => setTimeout(resolve, 2));
  }

  async fetch(order: FetchOrder): Promise<TransferEnd> {
    this.transfers.fetch(order, Infinity);
    return await this.nextEvent() as TransferEnd;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.transfers.close();
    await this.cache.close();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
