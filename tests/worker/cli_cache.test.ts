import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import type { CacheName } from "../../shared/ids.ts";
import { selfCommand } from "../../shared/runtime/self_command.ts";
import type { CacheLevel } from "../../shared/task.ts";
import { CacheStore } from "../../worker/cache_store.ts";
import { SharedStore } from "../../worker/shared_store.ts";
import { openWorkspace } from "../../worker/workspace.ts";

/** A folder of workspaces, and the command that looks into it. */
class Place implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), "tendril-test-"));

  get userPath(): string {
    return join(this.path, `tendril-${process.getuid?.()}`);
  }

  open() {
    return openWorkspace({ directory: this.path, name: "worker", env: {} });
  }

  run(...args: string[]) {
    const [program = "", ...rest] = selfCommand(["cache", ...args, "--workspace", this.path]);
    const { status, stdout, stderr } = spawnSync(program, rest, { encoding: "utf8" });
    return { status, stdout, stderr };
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

function keep(cache: CacheStore, name: string, isDirectory: boolean): void {
  const path = cache.newIncomingPath();
  if (isDirectory) mkdirSync(path);
  else writeFileSync(path, "1234");
  const file = { name: name as CacheName, generation: 0, sizeBytes: 4, digest: "", isDirectory };
  cache.commit(path, file, "forever" satisfies CacheLevel);
}

test(
  "runCacheCommand() lists and removes files and directories that are kept for ever",
  async () => {
    using place = new Place();
    expect(place.run().stdout).toBe("NAME  SIZE  AGE  USED  KIND  WHAT\n");
    expect(readdirSync(place.path)).toEqual([]);
    {
      await using workspace = await place.open();
      const store = new SharedStore(workspace.storePath, { user: "worker" });
      await using cache = new CacheStore(workspace.cachePath, store);
      for (const name of ["b-file", "url-file"]) keep(cache, name, false);
      keep(cache, "mini-tree", true);
      await cache.settled("mini-tree" as CacheName);
      expect(place.run("list").stdout).toContain("mini-tree");
      const busy = place.run("remove", "mini-tree");
      expect([busy.status, busy.stderr]).toEqual([
        1,
        'tendril cache: Cannot remove "mini-tree": a running worker has it in use\n',
      ]);
      expect(place.run("list").stdout).toContain("mini-tree");
    }
    const { files, version } = JSON.parse(place.run("list", "--json").stdout);
    expect([version, files]).toMatchObject([1, [
      { name: "b-file", kind: "file", what: "contents", sizeBytes: 4 },
      { name: "mini-tree", kind: "directory", what: "mini task", sizeBytes: 4 },
      { name: "url-file", kind: "file", what: "url", sizeBytes: 4 },
    ]]);
    expect(Date.now() - files[1].addedAtMs).toBeLessThan(60_000);
    expect(files[1].usedAtMs).toBeGreaterThan(files[1].addedAtMs - 1_000);
    expect(place.run().stdout).toMatch(/^b-file {5}4 B {3}\S+ \S+ +\S+ \S+ +file +contents$/m);
    expect(place.run("remove", "b-file")).toEqual({ status: 0, stdout: "b-file\n", stderr: "" });
    expect(JSON.parse(place.run("remove", "--all", "--json").stdout)).toEqual({
      version: 1,
      removed: ["mini-tree", "url-file"],
    });
    expect(place.run("list", "--json").stdout).toContain('"files": []');
    expect(readdirSync(join(place.userPath, "store", "entries"))).toEqual([]);
  },
  60_000,
);

test("runCacheCommand() says in one line what it cannot do", () => {
  using place = new Place();
  const cases = [
    [["remove"], 2, "expected names, or --all"],
    [["remove", "--all", "x"], 2, "expected names, or --all"],
    [["clear"], 2, 'Cannot run "cache clear"'],
    [["list", "x"], 2, "list takes no names"],
    [["remove", "../../etc"], 1, "nothing of that name is kept"],
    [["list", "--wrong"], 2, "--wrong"],
  ] as const;
  for (const [args, status, text] of cases) {
    const ended = place.run(...args);
    expect([args, ended.status, ended.stderr.split("\n").length]).toEqual([args, status, 2]);
    expect(ended.stderr).toContain(text);
  }
  expect(existsSync(join(place.path, "store"))).toBe(false);
}, 60_000);
