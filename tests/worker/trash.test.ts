import { chmodSync, existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";

import { join } from "@std/path";
import { expect, test } from "bun:test";

import { Trash } from "../../worker/trash.ts";
import { TemporaryFolder } from "./task_fixture.ts";

test("take() puts trees out of sight at once and off the disk in the end", async () => {
  await using folder = new TemporaryFolder();
  const at = (name: string) => join(folder.path, name);
  const trash = new Trash(at("trash"));
  mkdirSync(at("kept"));
  writeFileSync(at("kept/file"), "x");
  mkdirSync(at("tree/shut/in"), { recursive: true });
  writeFileSync(at("tree/shut/in/file"), "x");
  symlinkSync(at("kept"), at("tree/link"));
  symlinkSync(at("kept"), at("link"));
  chmodSync(at("tree/shut/in"), 0);
  chmodSync(at("tree/shut"), 0);
  chmodSync(at("tree"), 0o500);
  for (const name of ["tree", "link", "not-there"]) trash.take(at(name));
  expect(readdirSync(folder.path).sort()).toEqual(["kept", "trash"]);
  await trash.close();
  expect(readdirSync(at("trash"))).toEqual([]);
  expect(existsSync(at("kept/file"))).toBe(true);
});

test("Trash removes what an earlier process left in it", async () => {
  await using folder = new TemporaryFolder();
  const path = join(folder.path, "trash");
  mkdirSync(join(path, "old"), { recursive: true });
  await new Trash(path).close();
  expect(readdirSync(path)).toEqual([]);
});

test("room() comes back when trees are many", async () => {
  await using folder = new TemporaryFolder();
  await using trash = new Trash(join(folder.path, "trash"));
  for (let index = 0; index < 1_100; index++) {
    const path = join(folder.path, "tree");
    mkdirSync(path);
    trash.take(path);
  }
  await trash.room();
  expect(readdirSync(join(folder.path, "trash")).length).toBeLessThanOrEqual(1_001);
});
