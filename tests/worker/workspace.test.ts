import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";

import { dirname, join } from "@std/path";
import { expect, test } from "bun:test";

import { openWorkspace } from "../../worker/workspace.ts";
import { TemporaryFolder } from "./task_fixture.ts";

const USER_FOLDER = `tendril-${process.getuid?.()}`;

test("openWorkspace() takes what is stated, then the variables in their order", async () => {
  await using folder = new TemporaryFolder();
  const at = (name: string) => join(folder.path, name);
  for (const name of ["slurm", "tmp"]) mkdirSync(at(name));
  const env = {
    TENDRIL_WORKSPACE: at("own"),
    SLURM_TMPDIR: at("slurm"),
    TMPDIR: at("tmp"),
  };
  const cases = [
    [{ directory: at("stated/deep"), env }, "stated/deep"],
    [{ env }, "own"],
    [{ env: { ...env, TENDRIL_WORKSPACE: undefined } }, "slurm"],
    [{ env: { TMPDIR: at("tmp"), SLURM_TMPDIR: at("not-there") } }, "tmp"],
  ] as const;
  for (const [options, name] of cases) {
    await using workspace = await openWorkspace({ name: "w", ...options });
    expect(workspace.path).toBe(join(folder.path, name, USER_FOLDER, "w"));
    expect(statSync(workspace.path).mode & 0o777).toBe(0o700);
    expect(statSync(join(folder.path, name, USER_FOLDER)).mode & 0o777).toBe(0o700);
    for (const path of [workspace.cachePath, workspace.sandboxesPath, workspace.temporaryPath]) {
      expect(statSync(path).isDirectory()).toBe(true);
    }
  }
});

test("openWorkspace() takes the next free suffix and comes back to the first", async () => {
  await using folder = new TemporaryFolder();
  const options = { directory: folder.path, name: "w", env: {} };
  const first = await openWorkspace(options);
  await using second = await openWorkspace(options);
  expect(second.path).toBe(`${first.path}-2`);
  expect(second.workerId).not.toBe(first.workerId);
  await first.close();
  await using again = await openWorkspace(options);
  expect(again.path).toBe(first.path);
  expect(again.workerId).toBe(first.workerId);
});

test("openWorkspace() keeps the cache and removes the rest", async () => {
  await using folder = new TemporaryFolder();
  const options = { directory: folder.path, name: "w", env: {} };
  const first = await openWorkspace(options);
  for (const path of [first.cachePath, first.temporaryPath, first.sandboxesPath]) {
    writeFileSync(join(path, "left"), "x");
  }
  await first.close();
  expect(existsSync(join(first.temporaryPath, "left"))).toBe(false);
  expect(existsSync(first.sandboxesPath)).toBe(false);
  await using second = await openWorkspace(options);
  expect(existsSync(join(second.cachePath, "left"))).toBe(true);
});

test("openWorkspace() replaces an id that is none", async () => {
  await using folder = new TemporaryFolder();
  const options = { directory: folder.path, name: "w", env: {} };
  const first = await openWorkspace(options);
  await first.close();
  for (const text of ["", "../../x", "y".repeat(1000)]) {
    writeFileSync(join(first.path, "worker-id"), text);
    await using next = await openWorkspace(options);
    expect(next.workerId).toMatch(/^[0-9a-f]{32}$/);
  }
});

test("openWorkspace() refuses names that are no single folder", async () => {
  await using folder = new TemporaryFolder();
  for (const name of ["", ".", "..", "a/b", "../a", "-x", "a\0", "x".repeat(65)]) {
    const opened = openWorkspace({ directory: folder.path, name, env: {} });
    await expect(opened).rejects.toThrow(`Cannot use "${name}" as name of a workspace`);
  }
});

test("openWorkspace() refuses links and files in its place", async () => {
  await using folder = new TemporaryFolder();
  await using target = new TemporaryFolder();
  const open = (directory: string) => openWorkspace({ directory, name: "w", env: {} });
  const at = (name: string) => {
    mkdirSync(join(folder.path, name));
    return join(folder.path, name);
  };
  const linked = at("linked");
  symlinkSync(target.path, join(linked, USER_FOLDER));
  await expect(open(linked)).rejects.toThrow("it is no directory");
  const file = at("file");
  writeFileSync(join(file, USER_FOLDER), "");
  await expect(open(file)).rejects.toThrow("it is no directory");
  for (const name of ["w", "w/cache", "w/lock", "w/trash", "w/sandboxes"]) {
    const base = at(name.replace("/", "-"));
    const path = join(base, USER_FOLDER, name);
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    symlinkSync(target.path, path);
    const opened = open(base);
    // What an earlier process left as sandboxes is put away, be it a link.
    if (name === "w/sandboxes") await (await opened).close();
    else await expect(opened).rejects.toThrow(/it is no (directory|file)/);
  }
  expect(readdirSync(target.path)).toEqual([]);
});

test("openWorkspace() shuts out others, and refuses what is theirs", async () => {
  await using folder = new TemporaryFolder();
  const path = join(folder.path, USER_FOLDER);
  mkdirSync(path);
  chmodSync(path, 0o777);
  await (await openWorkspace({ directory: folder.path, name: "w", env: {} })).close();
  expect(statSync(path).mode & 0o777).toBe(0o700);
  // Only root can give a folder away.
  if (process.getuid?.() !== 0) return;
  chownSync(path, 65_534, 65_534);
  const opened = openWorkspace({ directory: folder.path, name: "w", env: {} });
  await expect(opened).rejects.toThrow("it belongs to user 65534");
});
