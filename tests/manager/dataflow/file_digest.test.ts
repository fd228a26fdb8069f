import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import {
  FileDigests,
  type FileDigestsOptions,
  referenceOfFile,
} from "../../../manager/dataflow/file_digest.ts";
import { MemoryMemoStore } from "../../../manager/dataflow/memory_memo_store.ts";
import type { RememberedDigest } from "../../../manager/dataflow/memo_store.ts";
import { hashTree } from "../../../shared/archive/digest.ts";

let folder = "";
let count = 0;

beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), "tendril-digest-"))));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

/** A store that tells what it was asked and told. */
class Watched extends MemoryMemoStore {
  hits = 0;
  readonly remembered: RememberedDigest[] = [];

  override async recallDigests(
    files: readonly Pick<RememberedDigest, "path" | "stamp">[],
  ): Promise<(string | undefined)[]> {
    const found = await super.recallDigests(files);
    this.hits += found.filter((digest) => digest !== undefined).length;
    return found;
  }

  override async rememberDigests(digests: readonly RememberedDigest[]): Promise<void> {
    this.remembered.push(...digests);
    await super.rememberDigests(digests);
  }
}

/** As if all that a test writes had been written an hour ago. */
const later = () => Date.now() + 3_600_000;

function newFile(text: string): string {
  const path = join(folder, `file-${count += 1}`);
  writeFileSync(path, text);
  return path;
}

async function digestsOf(
  path: string,
  options: FileDigestsOptions = {},
): Promise<{ digest: string; store: Watched }> {
  const store = new Watched();
  await using digests = new FileDigests({ store, now: later, ...options });
  return { digest: (await digests.digest(path)).sha256, store };
}

test("FileDigests.digest() is that of the contents, and says what kind of file it is", async () => {
  await using digests = new FileDigests();
  const path = newFile("abc");
  const found = await digests.digest(path);
  expect(found).toEqual({ kind: "file", sha256: sha256("abc"), sizeBytes: 3 });
  expect(referenceOfFile(found)).toEqual({
    kind: "content",
    content: "file",
    sha256: sha256("abc"),
  });
  chmodSync(path, 0o755);
  expect((await digests.digest(path)).kind).toBe("executable");
});

test("FileDigests.digest() reads a file once, and again when it has changed", async () => {
  const store = new Watched();
  const path = newFile("abc");
  await using first = new FileDigests({ store, now: later });
  expect((await first.digest(path)).sha256).toBe(sha256("abc"));
  await first.close();
  await using digests = new FileDigests({ store, now: later });
  expect([(await digests.digest(path)).sha256, store.hits]).toEqual([sha256("abc"), 1]);
  const at = new Date(1_000_000);
  utimesSync(path, at, at);
  await digests.digest(path);
  // Of the same size, with the time of the old one.
  const other = newFile("abd");
  utimesSync(other, at, at);
  renameSync(other, path);
  expect([(await digests.digest(path)).sha256, store.hits]).toEqual([sha256("abd"), 1]);
});

test("FileDigests.digest() does not remember a file that was written a moment ago", async () => {
  const path = newFile("abc");
  const { store } = await digestsOf(path, { now: Date.now });
  expect(store.remembered).toEqual([]);
  expect((await digestsOf(path)).store.remembered.length).toBe(1);
});

test("FileDigests.digest() is asked a thousand times for one file and reads it once", async () => {
  const path = newFile("abc");
  const store = new Watched();
  await using digests = new FileDigests({ store, now: later });
  const found = await Promise.all(Array.from({ length: 1_000 }, () => digests.digest(path)));
  expect(new Set(found.map((one) => one.sha256))).toEqual(new Set([sha256("abc")]));
  expect([store.remembered.length, store.hits]).toEqual([1, 0]);
});

test("FileDigests.digest() of a directory is its name's, and only what changed is read", async () => {
  const path = join(folder, `tree-${count += 1}`);
  mkdirSync(join(path, "inner"), { recursive: true });
  for (const name of ["a", "b", "inner/c"]) writeFileSync(join(path, name), name);
  const store = new Watched();
  await using digests = new FileDigests({ store, now: later });
  const found = await digests.digest(path);
  expect([found.kind, found.sha256]).toEqual(["directory", (await hashTree(path)).sha256]);
  expect([store.remembered.length, store.hits]).toEqual([3, 0]);
  writeFileSync(join(path, "inner/c"), "other");
  const other = await digests.digest(path);
  expect([other.sha256, store.hits]).toEqual([(await hashTree(path)).sha256, 2]);
  expect(other.sha256).not.toBe(found.sha256);
});

test("FileDigests.digest() has large files hashed by another process", async () => {
  const path = newFile("large".repeat(100_000));
  const { digest, store } = await digestsOf(path, { largeBytesMin: 1_000 });
  expect([digest, store.remembered.length]).toEqual([sha256("large".repeat(100_000)), 1]);
});

test("FileDigests.digest() does without that process", async () => {
  const path = newFile("large".repeat(1_000));
  const missing = () => {
    throw new Error("no program is there");
  };
  for (const command of [missing, () => ["/bin/true"]]) {
    const { digest } = await digestsOf(path, { largeBytesMin: 1_000, command });
    expect(digest).toBe(sha256("large".repeat(1_000)));
  }
});

test("FileDigests.digest() goes on when nothing can be remembered", async () => {
  const store = new Watched();
  store.rememberDigests = () => Promise.reject(new Error("the disk is full"));
  await using digests = new FileDigests({ store, now: later });
  expect((await digests.digest(newFile("abc"))).sha256).toBe(sha256("abc"));
});

test("FileDigests.digest() says what it cannot read", async () => {
  await using digests = new FileDigests();
  await expect(digests.digest(join(folder, "none"))).rejects.toThrow(
    `Cannot read file "${folder}/none": no such file or directory`,
  );
  await expect(digests.digest("/dev/null")).rejects.toThrow("neither a file nor a directory");
});
