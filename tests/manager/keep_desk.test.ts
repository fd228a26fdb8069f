import { expect, test } from "bun:test";

import { fileContentName } from "../../shared/cache_name.ts";
import type { FileId } from "../../shared/ids.ts";
import type { FactListener, StepWatcher } from "../../manager/engine.ts";
import { KeepDesk } from "../../manager/keep_desk.ts";
import { ManagerFixture } from "./core/fixture.ts";

const DIGESTS = ["a", "b"].map((digit) => digit.repeat(64));
const LONG_MS = 60_000;

/** A desk over a core with made-up workers, whose clock a test sets. */
class Fixture implements Disposable {
  readonly core: ManagerFixture = new ManagerFixture({ reconnectGraceMs: 1_000 });
  readonly desk: KeepDesk;
  readonly #listeners: Set<FactListener> = new Set();
  #watcher: StepWatcher = () => {};

  constructor() {
    const { core } = this;
    this.desk = new KeepDesk({
      state: core.state,
      engine: {
        push: (event) => core.feed(event),
        subscribe: (listener) => {
          this.#listeners.add(listener);
          return () => void this.#listeners.delete(listener);
        },
        watchSteps: (watcher) => {
          this.#watcher = watcher;
          return () => {};
        },
        nowMs: () => core.nowMs,
      },
    });
  }

  kept(digest: string): FileId {
    const bound = { name: fileContentName(digest), sizeBytes: 1_000, digest };
    const kind = { isDirectory: false, isExecutable: false };
    return this.core.declares({ kind: "kept" }, { level: "worker" }, { ...bound, ...kind });
  }

  /** A worker that has files of these digests joins. */
  joins(worker: string, ...digests: string[]): void {
    const replicas = digests.map((digest) => ({
      ...{ name: fileContentName(digest), generation: 0, sizeBytes: 1_000, digest },
      ...{ isDirectory: false, level: "worker" as const },
    }));
    this.core.joins(worker, { hello: { replicas } });
    this.tells();
  }

  looks(worker: string, digest: string): void {
    const name = fileContentName(digest);
    this.core.says(worker, { kind: "replica_verified", name, generation: 0 });
    this.tells();
  }

  passes(durationMs: number): void {
    this.core.passes(durationMs);
    this.tells();
  }

  tells(): void {
    this.#watcher(0, 1);
    for (const listener of [...this.#listeners]) listener(this.core.facts, this.core.nowMs);
  }

  [Symbol.dispose](): void {
    this.desk.close();
  }
}

test("KeepDesk.find() waits for workers, for others of them, and for a look at the bytes", async () => {
  using fixture = new Fixture();
  const [there, missing] = DIGESTS.map((digest) => fixture.kept(digest)) as [FileId, FileId];
  const ended: string[] = [];
  const both = fixture.desk.find([there, missing], LONG_MS).finally(() => ended.push("both"));
  const other = fixture.desk.find([missing], LONG_MS).finally(() => ended.push("other"));
  // What has an answer is answered at the next look.
  const looked = () => fixture.desk.find([], LONG_MS);
  fixture.joins("a");
  fixture.joins("b", DIGESTS[0]!);
  await looked();
  expect(ended).toEqual([]);
  fixture.passes(1_000);
  await looked();
  expect(await other).toEqual(new Set());
  expect(ended).toEqual(["other"]);
  fixture.looks("b", DIGESTS[0]!);
  expect(await both).toEqual(new Set([there]));
});

test("KeepDesk.find() answers at once when workers have been there for long", async () => {
  using fixture = new Fixture();
  fixture.joins("a");
  fixture.passes(1_000);
  const file = fixture.kept(DIGESTS[0]!);
  expect(await fixture.desk.find([file], LONG_MS)).toEqual(new Set());
});

test("KeepDesk.find() ends in time, and takes for there what is looked at for so long", async () => {
  using fixture = new Fixture();
  const [doubtful, missing] = DIGESTS.map((digest) => fixture.kept(digest)) as [FileId, FileId];
  expect(await fixture.desk.find([doubtful, missing], 1)).toEqual(new Set());
  fixture.joins("a", DIGESTS[0]!);
  expect(await fixture.desk.find([doubtful, missing], 1)).toEqual(new Set([doubtful]));
});

test("KeepDesk.close() rejects what is to be kept, and ends searches", async () => {
  using fixture = new Fixture();
  const { core, desk } = fixture;
  core.joins("a");
  const temp = core.temp("temp");
  const task = core.submits({ outputs: [temp] });
  core.starts("a", task);
  core.finishes("a", task, { digest: DIGESTS[0]! });
  const kept = desk.keep({ id: temp, role: "output" }, "worker");
  const search = desk.find([fixture.kept(DIGESTS[1]!)], LONG_MS);
  desk.close();
  await expect(kept).rejects.toThrow("Cannot keep the file: the manager was closed");
  expect(await search).toEqual(new Set());
});
