import { expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import type { CacheName } from "../../shared/ids.ts";
import type { FileFacts } from "../../shared/task.ts";
import { CacheStore } from "../../worker/cache_store.ts";
import { SharedStore } from "../../worker/shared_store.ts";

const NAME = "file-sha256-a" as CacheName;

class Host implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), "tendril-test-"));

  store(): SharedStore {
    return new SharedStore(join(this.path, "store"));
  }

  cache(worker: string): CacheStore {
    return new CacheStore(join(this.path, worker), this.store());
  }

  file(text: string): string {
    const path = join(this.path, `file-${readdirSync(this.path).length}`);
    writeFileSync(path, text, { mode: 0o444 });
    return path;
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

function facts(text: string, name: CacheName = NAME): FileFacts {
  return { name, generation: 0, sizeBytes: text.length, digest: "d", isDirectory: false };
}

function bring(cache: CacheStore, text: string, name: CacheName = NAME): string {
  const path = cache.newIncomingPath();
  writeFileSync(path, text);
  return cache.commit(path, facts(text, name), "forever").path;
}

test("SharedStore.add() keeps the first file of a name, whoever adds another", () => {
  using host = new Host();
  host.store().add(host.file("one"), facts("one"));
  host.store().add(host.file("other"), facts("other"));
  expect(host.store().files().map((file) => file.facts.sizeBytes)).toEqual([3]);
  const target = join(host.path, "target");
  expect(host.store().link(NAME, target)).toBe(true);
  expect(readFileSync(target, "utf8")).toBe("one");
  expect(readdirSync(join(host.path, "store", "passing"))).toEqual([]);
});

test("SharedStore.link() gives nothing that was written to, and add() replaces it", () => {
  using host = new Host();
  const store = host.store();
  const path = host.file("one");
  store.add(path, facts("one"));
  chmodSync(path, 0o644);
  writeFileSync(path, "two");
  utimesSync(path, 1, 1);
  expect(store.files()).toEqual([]);
  expect(store.link(NAME, join(host.path, "target"))).toBe(false);
  store.add(host.file("new"), facts("new"));
  expect(store.link(NAME, join(host.path, "target"))).toBe(true);
});

test("SharedStore passes over entries that are no entries", async () => {
  using host = new Host();
  const store = host.store();
  const entries = join(host.path, "store", "entries");
  for (const [name, record] of [["empty", ""], ["list", "[]"], ["null", "null"]] as const) {
    mkdirSync(join(entries, name));
    writeFileSync(join(entries, name, "record.json"), record);
  }
  mkdirSync(join(entries, "another"));
  const record = { facts: facts("x"), addedAtMs: 1, stamp: "1" };
  writeFileSync(join(entries, "another", "record.json"), JSON.stringify(record));
  expect(store.files()).toEqual([]);
  expect(await store.remove("another" as CacheName)).toBe("removed");
  expect(await store.remove("another" as CacheName)).toBe("missing");
});

test("SharedStore removes what a process that died left unfinished, and nothing that is under way", () => {
  using host = new Host();
  host.store();
  const passing = join(host.path, "store", "passing");
  for (const name of ["old", "new"]) mkdirSync(join(passing, name));
  utimesSync(join(passing, "old"), 1, 1);
  host.store();
  expect(readdirSync(passing)).toEqual(["new"]);
});

test("CacheStore shares what is kept for ever with workers that start later", async () => {
  using host = new Host();
  await using first = host.cache("first");
  const path = bring(first, "kept");
  await using second = host.cache("second");
  const found = second.get(NAME)!;
  expect([found.level, found.isOwn, found.facts]).toEqual(["forever", false, facts("kept")]);
  expect(statSync(found.path).ino).toBe(statSync(path).ino);
});

test("CacheStore keeps a file in place that is removed from the store", async () => {
  using host = new Host();
  await using cache = host.cache("first");
  const path = bring(cache, "kept");
  expect(await host.store().remove(NAME)).toBe("removed");
  expect(readFileSync(path, "utf8")).toBe("kept");
  await using later = host.cache("second");
  expect(later.files()).toEqual([]);
});

test("CacheStore.delete() removes the file from the store as well", async () => {
  using host = new Host();
  await using cache = host.cache("first");
  bring(cache, "damaged");
  cache.delete(NAME, 0);
  expect(host.store().files()).toEqual([]);
});

test("CacheStore.close() leaves no links behind that would keep what is removed on the disk", async () => {
  using host = new Host();
  const cache = host.cache("first");
  const path = bring(cache, "kept");
  await cache.close();
  expect(existsSync(path)).toBe(false);
  expect(host.store().files().length).toBe(1);
});
