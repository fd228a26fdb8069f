import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import type { CacheName } from "../../shared/ids.ts";
import { CacheStore } from "../../worker/cache_store.ts";
import type { WorkerEvent } from "../../worker/core/event.ts";
import { newTrees } from "../../worker/trees.ts";
import { Verifications } from "../../worker/verification.ts";

const name = "data" as CacheName;

/** Commits what `make` puts at a path, and lets `damage` see it there before it is looked at. */
async function isFoundIntact(
  make: (path: string) => void,
  { damage, isDirectory, digest }: {
    damage: (path: string) => void;
    isDirectory: boolean;
    digest?: string;
  },
): Promise<boolean> {
  const directory = mkdtempSync(join(tmpdir(), "tendril-test-"));
  const trees = newTrees("mark");
  await using cache = new CacheStore(join(directory, "cache"));
  const path = cache.newIncomingPath();
  make(path);
  const hash = createHash("sha256");
  let sizeBytes = 0;
  if (isDirectory) {
    for await (const chunk of trees.read(path, 0)) {
      hash.update(chunk);
      sizeBytes += chunk.length;
    }
  } else {
    hash.update("contents");
    sizeBytes = 8;
  }
  const facts = { name, generation: 1, sizeBytes, digest: hash.digest("hex"), isDirectory };
  damage(
    cache.commit(path, { ...facts, ...(digest === undefined ? {} : { digest }) }, "workflow").path,
  );
  const { promise, resolve } = Promise.withResolvers<WorkerEvent>();
  const verifications = new Verifications({ cache, trees, push: resolve });
  verifications.verify({ name, generation: 1 });
  const event = await promise;
  await verifications.close();
  rmSync(directory, { recursive: true, force: true });
  expect(event).toMatchObject({ kind: "file_verified", name, generation: 1 });
  return event.kind === "file_verified" && event.isIntact;
}

const file = (path: string) => writeFileSync(path, "contents");
const rewrite = (text: string) => (path: string) => {
  chmodSync(path, 0o644);
  writeFileSync(path, text);
};

test("Verifications.verify() finds a changed byte, a lost end and a lost file", async () => {
  const isDirectory = false;
  expect(await isFoundIntact(file, { damage: () => {}, isDirectory })).toBe(true);
  expect(await isFoundIntact(file, { damage: rewrite("contentz"), isDirectory })).toBe(false);
  expect(await isFoundIntact(file, { damage: rewrite("content"), isDirectory })).toBe(false);
  expect(await isFoundIntact(file, { damage: (path) => rmSync(path), isDirectory })).toBe(false);
});

test("Verifications.verify() looks at size and kind of a file without a digest", async () => {
  const [isDirectory, digest] = [false, ""];
  expect(await isFoundIntact(file, { damage: rewrite("contentz"), isDirectory, digest }))
    .toBe(true);
  expect(await isFoundIntact(file, { damage: rewrite("con"), isDirectory, digest })).toBe(false);
});

test("Verifications.verify() finds a changed byte in a directory", async () => {
  const tree = (path: string) => {
    mkdirSync(path);
    writeFileSync(join(path, "entry"), "contents");
  };
  const isDirectory = true;
  expect(await isFoundIntact(tree, { damage: () => {}, isDirectory })).toBe(true);
  const damage = (path: string) => rewrite("contentz")(join(path, "entry"));
  expect(await isFoundIntact(tree, { damage, isDirectory })).toBe(false);
});
