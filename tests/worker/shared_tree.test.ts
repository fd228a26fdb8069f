/** Directories in the store that workers of a host share. */

import { expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import type { CacheName } from "../../shared/ids.ts";
import type { FileFacts } from "../../shared/task.ts";
import { CacheStore } from "../../worker/cache_store.ts";
import { SharedStore } from "../../worker/shared_store.ts";
import { openWorkspace, type Workspace } from "../../worker/workspace.ts";

const NAME = "dir1-sha256-a" as CacheName;
const NEVER: AbortSignal = new AbortController().signal;

/** A worker as far as its cache goes. */
class Worker implements AsyncDisposable {
  readonly workspace: Workspace;
  readonly store: SharedStore;
  readonly cache: CacheStore;

  constructor(workspace: Workspace, name: string) {
    this.workspace = workspace;
    this.store = new SharedStore(workspace.storePath, { user: name });
    this.cache = new CacheStore(workspace.cachePath, this.store);
  }

  /** Brings a directory as a transfer does. */
  async keep(name: CacheName = NAME, text = "text"): Promise<string> {
    const path = this.cache.newIncomingPath();
    mkdirSync(join(path, "sub"), { recursive: true });
    writeFileSync(join(path, "sub", "file"), text, { mode: 0o444 });
    symlinkSync("sub/file", join(path, "link"));
    const stored = this.cache.commit(path, facts(name), "forever");
    await this.cache.settled(name);
    return stored.path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cache.close();
    await this.workspace.close();
  }
}

class Host implements Disposable {
  readonly path: string = realpathSync(mkdtempSync(join(tmpdir(), "tendril-test-")));

  async worker(name: string): Promise<Worker> {
    return new Worker(await openWorkspace({ directory: this.path, name, env: {} }), name);
  }

  /** What `tendril cache` works with. */
  get store(): SharedStore {
    const [user = ""] = readdirSync(this.path);
    return new SharedStore(join(this.path, user, "store"));
  }

  names(): string[] {
    return this.store.files().map(({ facts }) => facts.name);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

function facts(name: CacheName): FileFacts {
  return { name, generation: 0, sizeBytes: 10, digest: "", isDirectory: true };
}

test("CacheStore keeps a directory for ever in the store, where later workers use it in place", async () => {
  using host = new Host();
  let path: string;
  {
    await using first = await host.worker("first");
    path = await first.keep();
    expect(path).toBe(join(first.workspace.storePath, "entries", NAME, "data"));
    await using second = await host.worker("second");
    expect(second.cache.get(NAME)).toMatchObject({ path, isShared: true, isOwn: false });
    expect(await second.cache.isIntact(NAME)).toBe(true);
  }
  expect(readFileSync(join(path, "link"), "utf8")).toBe("text");
  await using third = await host.worker("first");
  expect(third.cache.get(NAME)).toMatchObject({ path, level: "forever", isOwn: false });
});

test("CacheStore.adopt() finds what another worker has kept meanwhile", async () => {
  using host = new Host();
  await using first = await host.worker("first");
  await using second = await host.worker("second");
  expect(second.cache.adopt(NAME)).toBeUndefined();
  const path = await first.keep();
  expect(second.cache.adopt(NAME)?.path).toBe(path);
  // One that both bring is shared once, and is right in both.
  const other = "dir1-sha256-b" as CacheName;
  const paths = [await first.keep(other, "same"), await second.keep(other, "same")];
  expect(new Set(paths).size).toBe(2);
  expect(paths.map((each) => readFileSync(join(each, "link"), "utf8"))).toEqual(["same", "same"]);
});

test("SharedStore.isTreeIntact() sees a write, another file, a lost one and another mode", async () => {
  using host = new Host();
  await using worker = await host.worker("first");
  const harms: readonly ((path: string) => void)[] = [
    (path) => writeFileSync(join(path, "sub", "file"), "TEXT"),
    (path) => writeFileSync(join(path, "sub", "more"), ""),
    (path) => unlinkSync(join(path, "link")),
    (path) => chmodSync(join(path, "sub", "file"), 0o555),
    (path) => {
      // The same size and time, in another file.
      const { mtime } = statSync(join(path, "sub", "file"));
      unlinkSync(join(path, "sub", "file"));
      writeFileSync(join(path, "sub", "other"), "");
      writeFileSync(join(path, "sub", "file"), "TEXT", { mode: 0o444 });
      unlinkSync(join(path, "sub", "other"));
      utimesSync(join(path, "sub", "file"), mtime, mtime);
    },
  ];
  for (const [index, harm] of harms.entries()) {
    const name = `dir1-sha256-${index}` as CacheName;
    const path = await worker.keep(name);
    expect(await worker.cache.isIntact(name)).toBe(true);
    chmodSync(join(path, "sub", "file"), 0o644);
    chmodSync(join(path, "sub", "file"), 0o444);
    expect(await worker.cache.isIntact(name)).toBe(true);
    if (index === 0) chmodSync(join(path, "sub", "file"), 0o644);
    harm(path);
    if (index === 0) chmodSync(join(path, "sub", "file"), 0o444);
    expect([index, await worker.cache.isIntact(name)]).toEqual([index, false]);
  }
});

test("SharedStore.isTreeIntact() minds neither links of other workers nor what Python compiles", async () => {
  using host = new Host();
  await using worker = await host.worker("first");
  const path = await worker.keep();
  linkSync(join(path, "sub", "file"), join(host.path, "link"));
  mkdirSync(join(path, "sub", "__pycache__"));
  writeFileSync(join(path, "sub", "__pycache__", "file.pyc"), "");
  expect(await worker.cache.isIntact(NAME)).toBe(true);
});

test("SharedStore.remove() leaves what a running worker uses, and no longer", async () => {
  using host = new Host();
  {
    await using first = await host.worker("first");
    const path = await first.keep();
    await using _second = await host.worker("second");
    expect(await host.store.remove(NAME)).toBe("used");
    await first.cache.close();
    expect(await host.store.remove(NAME)).toBe("used");
    expect([host.names(), existsSync(join(path, "sub", "file"))]).toEqual([[NAME], true]);
  }
  expect(await host.store.remove(NAME)).toBe("removed");
  expect(await host.store.remove(NAME)).toBe("missing");
  expect(host.names()).toEqual([]);
});

test("CacheStore.delete() lets nobody find a directory any more, and those who use it go on", async () => {
  using host = new Host();
  await using first = await host.worker("first");
  const path = await first.keep();
  await using second = await host.worker("second");
  const hold = second.cache.hold(NAME, 0)!;
  first.cache.delete(NAME, 0);
  await first.cache.close();
  expect(host.names()).toEqual([]);
  await using third = await host.worker("third");
  expect(third.cache.get(NAME)).toBeUndefined();
  expect(readFileSync(join(path, "link"), "utf8")).toBe("text");
  // It does not take the place of the one that is still used.
  expect(await third.keep()).not.toBe(path);
  hold.release();
  await second.cache.close();
  expect(existsSync(path)).toBe(false);
});

test("SharedStore.sweep() removes what a worker that died was adding, and nothing that is in use", async () => {
  using host = new Host();
  await using alive = await host.worker("alive");
  const kept = "dir1-sha256-kept" as CacheName;
  expect(alive.store.reserveTree(kept)).toBeDefined();
  {
    await using dead = await host.worker("dead");
    expect(dead.store.reserveTree(NAME)).toBeDefined();
    // As if it were killed: what is to be left is not.
  }
  await using next = await host.worker("next");
  await next.store.sweep();
  expect(readdirSync(join(next.workspace.storePath, "entries"))).toEqual([kept]);
});

test("SharedStore.lock() has workers that make the same wait for one another", async () => {
  using host = new Host();
  await using first = await host.worker("first");
  await using second = await host.worker("second");
  const lock = (await first.cache.lock(NAME, NEVER))!;
  const stopped = new AbortController();
  const refused = second.cache.lock(NAME, stopped.signal);
  stopped.abort(new Error("it was stopped"));
  await expect(refused).rejects.toThrow();
  const order: string[] = [];
  const waiting = second.cache.lock(NAME, NEVER).then((next) => {
    order.push("second");
    return next;
  });
  await first.keep();
  order.push("first");
  lock.close();
  (await waiting)!.close();
  expect(order).toEqual(["first", "second"]);
  expect(second.cache.adopt(NAME)).toBeDefined();
});
