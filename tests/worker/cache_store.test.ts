import { expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import type { CacheName } from "../../shared/ids.ts";
import { CACHE_LEVELS, type CacheLevel, type FileFacts } from "../../shared/task.ts";
import { CacheStore, sealTree } from "../../worker/cache_store.ts";
import { SharedStore } from "../../worker/shared_store.ts";

function temporaryDirectory(): { path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), "tendril-test-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

function facts(name: string, text: string, generation = 0): FileFacts {
  return {
    name: name as CacheName,
    generation,
    sizeBytes: text.length,
    digest: randomUUID(),
    isDirectory: false,
  };
}

function add(cache: CacheStore, file: FileFacts, { text = "", level = "workflow" as CacheLevel }) {
  const path = cache.newIncomingPath();
  writeFileSync(path, text);
  return cache.commit(path, file, level);
}

test("CacheStore.commit() makes a file read-only and keeps its execute bit", async () => {
  using directory = temporaryDirectory();
  await using cache = new CacheStore(directory.path);
  expect(statSync(add(cache, facts("plain", "x"), { text: "x" }).path).mode & 0o7777).toBe(0o444);
  const path = cache.newIncomingPath();
  writeFileSync(path, "y", { mode: 0o750 });
  const program = cache.commit(path, facts("program", "y"), "task");
  expect(statSync(program.path).mode & 0o7777).toBe(0o555);
});

test("sealTree() takes the right to write from every file of a tree", async () => {
  using directory = temporaryDirectory();
  const inner = join(directory.path, "tree", "inner");
  mkdirSync(inner, { recursive: true });
  writeFileSync(join(inner, "plain"), "");
  writeFileSync(join(directory.path, "tree", "program"), "", { mode: 0o755 });
  await sealTree(join(directory.path, "tree"));
  expect(statSync(join(inner, "plain")).mode & 0o7777).toBe(0o444);
  expect(statSync(join(directory.path, "tree", "program")).mode & 0o7777).toBe(0o555);
});

test.each([
  ["closed", true],
  ["killed", false],
])("CacheStore finds forever files again, and no others, after one that was %s", async (
  _,
  isClosed,
) => {
  using directory = temporaryDirectory();
  const files = join(directory.path, "cache", "files");
  const open = () => {
    return new CacheStore(join(directory.path, "cache"), new SharedStore(directory.path));
  };
  const earlier = open();
  for (const level of CACHE_LEVELS) {
    add(earlier, facts(`file-${level}`, level), { text: level, level });
  }
  if (isClosed) {
    await earlier.close();
    expect(readdirSync(files)).toEqual([]);
  }
  await using cache = open();
  expect(cache.files().map(({ facts, level }) => [facts.name as string, level])).toEqual([
    ["file-forever", "forever"],
  ]);
  const { path } = cache.get("file-forever" as CacheName)!;
  expect(readFileSync(path, "utf8")).toBe("forever");
  expect(readdirSync(files)).toEqual(["file-forever"]);
});

test("CacheStore removes at start what an earlier process left", async () => {
  using directory = temporaryDirectory();
  const earlier = new CacheStore(directory.path);
  add(earlier, facts("name", "four"), { text: "four", level: "forever" });
  writeFileSync(earlier.newIncomingPath(), "half");
  await using cache = new CacheStore(directory.path);
  expect(cache.files()).toEqual([]);
  expect(readdirSync(join(directory.path, "files"))).toEqual([]);
  expect(readdirSync(join(directory.path, "incoming"))).toEqual([]);
});

test("CacheStore.delete() frees the bytes when the last who holds them is done", async () => {
  using directory = temporaryDirectory();
  await using cache = new CacheStore(directory.path);
  const name = "held" as CacheName;
  const { path } = add(cache, facts("held", "old", 1), { text: "old" });
  const hold = cache.hold(name, 1)!;
  cache.delete(name, 2);
  expect(cache.get(name)).toBeDefined();
  cache.delete(name, 1);
  expect(cache.get(name)).toBeUndefined();
  expect(cache.hold(name, 1)).toBeUndefined();
  expect(readFileSync(hold.path, "utf8")).toBe("old");
  const next = add(cache, facts("held", "new", 2), { text: "new" });
  expect(readFileSync(hold.path, "utf8")).toBe("old");
  hold.release();
  hold.release();
  expect(existsSync(path)).toBe(false);
  expect(readFileSync(next.path, "utf8")).toBe("new");
});

test("CacheStore.deleteBelow() keeps the level and those that live longer", async () => {
  using directory = temporaryDirectory();
  await using cache = new CacheStore(directory.path);
  for (const level of ["task", "workflow", "worker", "forever"] as const) {
    add(cache, facts(level, ""), { level });
  }
  cache.deleteBelow("worker");
  expect(cache.files().map((file) => file.level)).toEqual(["worker", "forever"]);
});
