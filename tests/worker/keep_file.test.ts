import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdirSync, statSync, utimesSync, writeFileSync } from "node:fs";

import { hashTree } from "../../shared/archive/digest.ts";
import type { CacheName, KeepId } from "../../shared/ids.ts";
import type { FileFacts, LastingLevel } from "../../shared/task.ts";
import { CacheStore } from "../../worker/cache_store.ts";
import type { WorkerEvent } from "../../worker/core/event.ts";
import { Keeps } from "../../worker/keep_file.ts";
import { SharedStore } from "../../worker/shared_store.ts";
import { scratch } from "../shared/archive/scratch.ts";

type Kept = Extract<WorkerEvent, { kind: "file_kept" }>;

const TEXT = "contents";
const DIGEST = createHash("sha256").update(TEXT).digest("hex");

/** A worker's cache with its store, and what is kept there. */
class Fixture implements AsyncDisposable {
  readonly path: string;
  readonly cache: CacheStore;
  readonly #keeps: Keeps;
  readonly #answers: Map<number, (event: Kept) => void> = new Map();
  #lastKeep = 0;

  constructor(path: string, user = "one") {
    this.path = path;
    const store = new SharedStore(`${path}/store`, { user });
    this.cache = new CacheStore(`${path}/${user}`, store);
    this.#keeps = new Keeps({
      cache: this.cache,
      mark: "mark",
      push: (event) => {
        if (event.kind === "file_kept") this.#answers.get(event.keepId)?.(event);
      },
    });
  }

  /** A temp that a task made. */
  makes(name: string, wish: { text?: string; isExecutable?: boolean } = {}): FileFacts {
    const { text = TEXT, isExecutable = false } = wish;
    const path = this.cache.newIncomingPath();
    writeFileSync(path, text, { mode: isExecutable ? 0o755 : 0o644 });
    const digest = createHash("sha256").update(text).digest("hex");
    // Old enough for the store, which waits else.
    utimesSync(path, 1_600_000_000, 1_600_000_000);
    return this.#commits(path, {
      name: name as CacheName,
      generation: 1,
      sizeBytes: text.length,
      digest,
      isDirectory: false,
      ...(isExecutable ? { isExecutable } : {}),
    });
  }

  makesTree(name: string): FileFacts {
    const path = this.cache.newIncomingPath();
    mkdirSync(`${path}/sub`, { recursive: true });
    writeFileSync(`${path}/sub/file`, TEXT, { mode: 0o444 });
    const facts = { generation: 1, sizeBytes: 5_120, digest: "of the stream", isDirectory: true };
    return this.#commits(path, { name: name as CacheName, ...facts });
  }

  #commits(path: string, facts: FileFacts): FileFacts {
    return this.cache.commit(path, facts, "workflow").facts;
  }

  async keeps(name: string, level: LastingLevel = "worker"): Promise<Kept["outcome"]> {
    const keepId = ++this.#lastKeep as KeepId;
    const { promise, resolve } = Promise.withResolvers<Kept>();
    this.#answers.set(keepId, resolve);
    this.#keeps.keep({ kind: "keep", keepId, name: name as CacheName, generation: 1, level });
    return (await promise).outcome;
  }

  inodeOf(name: string): number {
    return statSync(this.cache.get(name as CacheName)!.path).ino;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#keeps.close();
    await this.cache.close();
  }
}

test("Keeps.keep() gives a file the name of its contents, and copies nothing", async () => {
  await using dir = await scratch();
  await using fixture = new Fixture(dir.path);
  const { name: made, generation, ...same } = fixture.makes("temp");
  const name = `file-sha256-${DIGEST}`;
  expect(await fixture.keeps("temp")).toEqual({
    kind: "kept",
    file: { name: name as CacheName, generation: 0, ...same },
    level: "worker",
    isFound: false,
    source: { name: made, generation },
  });
  expect(fixture.inodeOf(name)).toBe(fixture.inodeOf("temp"));
  fixture.cache.delete("temp" as CacheName, 1);
  fixture.cache.deleteBelow("worker");
  expect(fixture.cache.files().map((file) => String(file.facts.name))).toEqual([name]);
});

test("Keeps.keep() tells programs from other files of the same bytes", async () => {
  await using dir = await scratch();
  await using fixture = new Fixture(dir.path);
  fixture.makes("plain");
  fixture.makes("program", { isExecutable: true });
  const [plain, program] = await Promise.all([fixture.keeps("plain"), fixture.keeps("program")]);
  expect(plain).toMatchObject({ file: { name: `file-sha256-${DIGEST}` } });
  expect(program).toMatchObject({ file: { name: `file-sha256-${DIGEST}-x`, isExecutable: true } });
  const { path } = fixture.cache.get(`file-sha256-${DIGEST}-x` as CacheName)!;
  expect(statSync(path).mode & 0o777).toBe(0o555);
});

test("Keeps.keep() names a directory by what is in it", async () => {
  await using dir = await scratch();
  await using fixture = new Fixture(dir.path);
  fixture.makesTree("temp");
  const { sha256 } = await hashTree(fixture.cache.get("temp" as CacheName)!.path);
  const name = `dir1-sha256-${sha256}` as CacheName;
  const file = { name, digest: "of the stream", sizeBytes: 5_120, isDirectory: true };
  expect(await fixture.keeps("temp")).toMatchObject({ kind: "kept", file });
  expect((await hashTree(fixture.cache.get(name)!.path)).sha256).toBe(sha256);
});

test("Keeps.keep() keeps the same contents once, and lets them last as long as is wanted", async () => {
  await using dir = await scratch();
  await using fixture = new Fixture(dir.path);
  const name = `file-sha256-${DIGEST}`;
  for (const temp of ["first", "second"]) fixture.makes(temp);
  const kept = await Promise.all([fixture.keeps("first"), fixture.keeps("second")]);
  expect(kept).toMatchObject([{ source: { name: "first" } }, { level: "worker" }]);
  expect(fixture.inodeOf(name)).toBe(fixture.inodeOf("first"));
  expect(await fixture.keeps("second", "forever")).toMatchObject({ level: "forever" });
  // It goes on as the same bytes.
  expect(fixture.inodeOf(name)).toBe(fixture.inodeOf("first"));
  expect(await fixture.keeps("first")).toMatchObject({ kind: "kept", level: "forever" });
});

test("Keeps.keep() raises what is here under that name for this workflow alone", async () => {
  await using dir = await scratch();
  await using fixture = new Fixture(dir.path);
  const name = `file-sha256-${DIGEST}`;
  fixture.makes(name);
  fixture.makes("temp");
  expect(await fixture.keeps("temp")).toMatchObject({ kind: "kept", level: "worker" });
  fixture.cache.deleteBelow("worker");
  expect(fixture.cache.get(name as CacheName)?.level).toBe("worker");
});

test("Keeps.keep() has later workers of the host find what is kept for ever", async () => {
  await using dir = await scratch();
  const names: string[] = [];
  {
    await using fixture = new Fixture(dir.path);
    fixture.makes("file");
    fixture.makesTree("tree");
    const before = statSync(fixture.cache.get("file" as CacheName)!.path).mtimeMs;
    const outcomes = ["file", "tree"].map((name) => fixture.keeps(name, "forever"));
    for (const outcome of await Promise.all(outcomes)) {
      if (outcome.kind === "kept") names.push(outcome.file.name);
    }
    // A task that reads it would take a change of its time for a write.
    expect(statSync(fixture.cache.get("file" as CacheName)!.path).mtimeMs).toBe(before);
  }
  await using later = new Fixture(dir.path, "two");
  expect(later.cache.files().map(({ facts }) => String(facts.name)).toSorted()).toEqual(
    names.toSorted(),
  );
  expect(names.length).toBe(2);
  // What another one has kept takes nothing of this one's disk.
  later.makes("again");
  expect(await later.keeps("again", "forever")).toMatchObject({ isFound: true });
});

test("Keeps.keep() copies a file of the future, whose time the store could not trust", async () => {
  await using dir = await scratch();
  await using fixture = new Fixture(dir.path);
  fixture.makes("temp");
  const { path } = fixture.cache.get("temp" as CacheName)!;
  const seconds = Date.now() / 1000 + 1_000;
  utimesSync(path, seconds, seconds);
  const outcome = await fixture.keeps("temp", "forever");
  expect(outcome).toMatchObject({ kind: "kept", level: "forever" });
  expect("source" in outcome).toBe(false);
  expect(fixture.inodeOf(`file-sha256-${DIGEST}`)).not.toBe(fixture.inodeOf("temp"));
});

test("Keeps.keep() says what keeps it from keeping a file", async () => {
  await using dir = await scratch();
  await using fixture = new Fixture(dir.path);
  expect(await fixture.keeps("none")).toEqual({
    kind: "failed",
    message: 'Cannot keep file "none": this worker does not have it any more',
  });
});
