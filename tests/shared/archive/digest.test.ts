import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { chmod, mkdir, rename, symlink, utimes, writeFile } from "node:fs/promises";

import { hashFile, hashTree } from "../../../shared/archive/digest.ts";
import { scratch } from "./scratch.ts";

const EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

test("hashFile() returns size and SHA-256 of files of any size", async () => {
  await using dir = await scratch();
  const path = `${dir.path}/f`;
  await writeFile(path, "");
  expect(await hashFile(path)).toEqual({ sizeBytes: 0, sha256: EMPTY_SHA256 });
  const large = new Uint8Array(3_000_001).fill(7);
  await writeFile(path, large);
  const sha256 = createHash("sha256").update(large).digest("hex");
  expect(await hashFile(path)).toEqual({ sizeBytes: 3_000_001, sha256 });
});

test("hashFile() stops at an abort", async () => {
  await using dir = await scratch();
  await writeFile(`${dir.path}/f`, "x");
  const signal = AbortSignal.abort(new Error("not wanted"));
  await expect(hashFile(`${dir.path}/f`, { signal })).rejects.toThrow("not wanted");
});

test("hashTree() returns the digest that its format gives", async () => {
  await using dir = await scratch();
  // The digest of the same tree, computed by another program from the table at hashTree().
  await writeFile(`${dir.path}/run`, "#!/bin/sh\n", { mode: 0o755 });
  await mkdir(`${dir.path}/data/empty`, { recursive: true });
  await writeFile(`${dir.path}/data/é.txt`, "text", { mode: 0o644 });
  await symlink("../run", `${dir.path}/data/link`);
  const { sha256, ...counts } = await hashTree(dir.path);
  expect(sha256).toBe("6f1eb65dfd88d0789ab0b132fed10eb279e4442148355fcd093b90a740493989");
  expect(counts).toEqual({ sizeBytes: 14, fileCount: 2 });
});

test("hashTree() sees names, contents, execution bits and targets, not times", async () => {
  await using dir = await scratch();
  const path = `${dir.path}/d/f`;
  await mkdir(`${dir.path}/d`);
  await writeFile(path, "1");
  await symlink("f", `${dir.path}/d/l`);
  const seen = [(await hashTree(dir.path)).sha256];
  await utimes(path, 1, 1);
  await utimes(`${dir.path}/d`, 1, 1);
  await chmod(path, 0o400);
  expect((await hashTree(dir.path)).sha256).toBe(seen[0] ?? "");
  const changes: (() => Promise<void>)[] = [
    () => chmod(path, 0o500),
    () => writeFile(path, "2").catch(() => {}),
    () => rename(path, `${dir.path}/d/g`),
    () => symlink("g", `${dir.path}/d/m`),
    () => mkdir(`${dir.path}/e`),
  ];
  await chmod(path, 0o600);
  for (const change of changes) {
    await change();
    seen.push((await hashTree(dir.path)).sha256);
  }
  expect(new Set(seen).size).toBe(changes.length + 1);
});
