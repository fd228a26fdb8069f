import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { chmodSync, linkSync, lstatSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";

import { join } from "@std/path";

import { diskUsage, whenFull } from "../../worker/disk_usage.ts";
import { TemporaryFolder } from "./task_fixture.ts";

const NOTHING_SHARED: ReadonlySet<number> = new Set();

/** What `du` says, without the folder itself. */
function du(path: string): number {
  const [total = ""] = String(spawnSync("du", ["-s", "-B1", path]).stdout).split("\t");
  return Number(total) - lstatSync(path).blocks * 512;
}

test("diskUsage() finds what du finds: blocks, each inode once, links not followed", async () => {
  await using folder = new TemporaryFolder();
  const path = folder.path;
  mkdirSync(join(path, "sub", "deep"), { recursive: true });
  for (let index = 0; index < 50; index++) {
    writeFileSync(join(path, "sub", `small ${index}`), "x".repeat(index));
  }
  writeFileSync(join(path, "large"), new Uint8Array(3_000_000).fill(1));
  linkSync(join(path, "large"), join(path, "sub", "again"));
  symlinkSync("/usr", join(path, "sub", "deep", "elsewhere"));
  // A sparse file takes what was written of it.
  spawnSync("truncate", ["-s", "1G", join(path, "sparse")]);
  const { bytes, costMs } = await diskUsage(path, NOTHING_SHARED);
  expect(bytes).toBe(du(path));
  expect(bytes).toBeGreaterThan(3_000_000);
  expect(bytes).toBeLessThan(4_000_000);
  expect(costMs).toBeGreaterThan(0);
});

test("diskUsage() reads a directory of thousands of names, and not at once when it is to be brief", async () => {
  await using folder = new TemporaryFolder();
  const sub = join(folder.path, "sub");
  mkdirSync(sub);
  for (let index = 0; index < 4_000; index++) {
    writeFileSync(join(sub, `${index}`.padStart(100, "-")), index % 100 === 0 ? "x" : "");
  }
  const { bytes } = await diskUsage(folder.path, NOTHING_SHARED);
  expect(bytes).toBe(du(folder.path));
  expect(bytes).toBeGreaterThan(lstatSync(sub).blocks * 512);
  // The directory itself, and nothing in it.
  const brief = await diskUsage(folder.path, NOTHING_SHARED, { isBrief: true });
  expect(brief.bytes).toBe(lstatSync(sub).blocks * 512);
});

test("diskUsage() leaves out inodes that are counted elsewhere, under whatever name", async () => {
  await using folder = new TemporaryFolder();
  const path = join(folder.path, "sandbox");
  mkdirSync(path);
  const cached = join(folder.path, "cached");
  writeFileSync(cached, new Uint8Array(1_000_000).fill(1));
  linkSync(cached, join(path, "input"));
  linkSync(cached, join(path, "renamed by its task"));
  const shared = new Set([lstatSync(cached).ino]);
  expect((await diskUsage(path, shared)).bytes).toBe(0);
});

test("diskUsage() takes what is gone, shut or no directory for nothing", async () => {
  await using folder = new TemporaryFolder();
  expect((await diskUsage(join(folder.path, "gone"), NOTHING_SHARED)).bytes).toBe(0);
  const shut = join(folder.path, "shut");
  mkdirSync(join(shut, "in"), { recursive: true });
  chmodSync(shut, 0o000);
  expect((await diskUsage(folder.path, NOTHING_SHARED)).bytes).toBeGreaterThanOrEqual(0);
  chmodSync(shut, 0o700);
});

test("whenFull() says nothing of a disk with room, nor of a folder that is gone", async () => {
  await using folder = new TemporaryFolder();
  expect(whenFull(join(folder.path, "gone"))).toBe("");
  expect(whenFull("/proc")).toBe("");
});
