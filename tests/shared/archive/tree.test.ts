import { expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { mkdir, symlink, writeFile } from "node:fs/promises";

import { readTree } from "../../../shared/archive/tree.ts";
import { scratch } from "./scratch.ts";

test("readTree() returns directories before their contents, names in the order of their bytes", async () => {
  await using dir = await scratch();
  // By UTF-16 units U+1F600 would come before U+FB01; by bytes it comes after.
  const names = ["b", "B", "a-b", "ﬁ", "😀", "é"];
  for (const name of names) await writeFile(`${dir.path}/${name}`, "");
  await mkdir(`${dir.path}/a`);
  await writeFile(`${dir.path}/a/z`, "12", { mode: 0o755 });
  await symlink("../b", `${dir.path}/a/l`);
  const entries = await readTree(dir.path);
  expect(entries.map((entry) => entry.path)).toEqual(
    ["B", "a", "a/l", "a/z", "a-b", "b", "é", "ﬁ", "😀"],
  );
  expect(entries[2]).toEqual({
    kind: "symlink",
    path: "a/l",
    isExecutable: false,
    sizeBytes: 0,
    mtimeMs: 0,
    target: "../b",
  });
  expect(entries[3]?.isExecutable).toBe(true);
  expect(entries[3]?.sizeBytes).toBe(2);
});

test("readTree() refuses pipes, links out of the tree and what is no directory", async () => {
  const cases: [(path: string) => Promise<void> | void, string][] = [
    [(path) => void execFileSync("mkfifo", [`${path}/d/p`]), '"d/p" into the tree: it is a device'],
    [(path) => symlink("/etc", `${path}/d/l`), '"d/l" into the tree: its target "/etc"'],
    [(path) => symlink("../..", `${path}/d/l`), '"d/l" into the tree: its target "../.." leaves'],
    [async (path) => {
      await symlink("d/..", `${path}/here`);
      await symlink("../here/../x", `${path}/d/out`);
    }, '"d/out" into the tree: its target "../here/../x" leaves'],
  ];
  for (const [make, says] of cases) {
    await using dir = await scratch();
    await mkdir(`${dir.path}/d`);
    await make(dir.path);
    await expect(readTree(dir.path)).rejects.toThrow(says);
  }
  await using dir = await scratch();
  await writeFile(`${dir.path}/f`, "");
  await expect(readTree(`${dir.path}/f`)).rejects.toThrow("as a directory: it is not one");
});

test("readTree() refuses names that are not UTF-8 and says which", async () => {
  await using dir = await scratch();
  execFileSync("sh", ["-c", `touch "$(printf 'a\\377b')"`], { cwd: dir.path });
  await expect(readTree(dir.path)).rejects.toThrow('Cannot take entry "a\ufffdb" into the tree: ');
});
