import { expect, test } from "bun:test";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { hashTree } from "../../shared/archive/digest.ts";
import { hashCachedTree } from "../../worker/hash_tree.ts";
import { scratch } from "../shared/archive/scratch.ts";

const COMMAND = [process.execPath, fileURLToPath(new URL("hash_child.ts", import.meta.url).href)];
const LARGE_BYTES = 2 ** 30;

test("hashCachedTree() gives the same digest here and in a child, which is told apart by size", async () => {
  await using dir = await scratch();
  mkdirSync(`${dir.path}/tree/sub`, { recursive: true });
  writeFileSync(`${dir.path}/tree/sub/file`, "text");
  const { signal } = new AbortController();
  const { sha256 } = await hashTree(`${dir.path}/tree`);
  for (const sizeBytes of [4, LARGE_BYTES]) {
    const options = { sizeBytes, mark: "mark", signal, command: COMMAND };
    expect(await hashCachedTree(`${dir.path}/tree`, options)).toBe(sha256);
  }
});

test("hashCachedTree() tells what a child could not read, and ends with its signal", async () => {
  await using dir = await scratch();
  const controller = new AbortController();
  const options = { sizeBytes: LARGE_BYTES, mark: "mark", signal: controller.signal };
  const path = `${dir.path}/none`;
  await expect(hashCachedTree(path, { ...options, command: COMMAND })).rejects.toThrow(
    /^Cannot hash directory ".*none" in a child process: it ended with code 1\. .*ENOENT/s,
  );
  const stuck = hashCachedTree(path, { ...options, command: ["sleep", "60"] });
  controller.abort(new Error("enough"));
  await expect(stuck).rejects.toThrow("enough");
  rmSync(path, { recursive: true, force: true });
});
