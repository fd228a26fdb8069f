import { expect, test } from "bun:test";
import {
  cpSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from "node:fs";

import { unpackEnvironment } from "../../shared/archive/unpack.ts";
import type { CacheName } from "../../shared/ids.ts";
import type { CacheLevel } from "../../shared/task.ts";
import { CacheStore } from "../../worker/cache_store.ts";
import { makeEnvironment } from "../../worker/environment.ts";
import { SharedStore } from "../../worker/shared_store.ts";
import type { Trees } from "../../worker/trees.ts";
import { rawTar } from "../shared/archive/raw_tar.ts";
import { scratch } from "../shared/archive/scratch.ts";

const NAME = "mini-1" as CacheName;

/** As the child does it. */
const TREES: Pick<Trees, "unpack"> = {
  unpack: (path, { path: archivePath, place = "", bytesMax }) => {
    return unpackEnvironment(archivePath, path, { place, bytesMax });
  },
};

/** Makes an environment in `cache` out of an archive in `folder` that tells its place. */
async function make(
  cache: CacheStore,
  folder: string,
  options: { level?: CacheLevel; bytesMax?: number; signal?: AbortSignal } = {},
) {
  const archivePath = `${folder}/archive`;
  writeFileSync(
    archivePath,
    rawTar(
      { name: "pyvenv.cfg", data: "command = /usr/bin/python3 -m venv /old/env" },
      { name: "bin/tool", data: "#!/old/env/bin/python3\n", mode: "0000755" },
      { name: "bin/python3", type: "2", link: "/usr/bin/python3" },
    ),
  );
  const { level = "workflow", bytesMax = 1e6, signal = new AbortController().signal } = options;
  const order = { name: NAME, level, archivePath, bytesMax, signal };
  return await makeEnvironment({ cache, trees: TREES }, order);
}

const firstLine = (path: string): string => readFileSync(`${path}/bin/tool`, "utf8").trim();

test("makeEnvironment() makes it for the path that it has in the cache", async () => {
  await using dir = await scratch();
  await using cache = new CacheStore(`${dir.path}/cache`);
  const facts = await make(cache, dir.path);
  expect(facts).toMatchObject({ name: NAME, generation: 0, digest: "", isDirectory: true });
  expect(facts.sizeBytes).toBeGreaterThan(60);
  const { path, isPlaced } = cache.get(NAME)!;
  expect([path, isPlaced]).toEqual([`${dir.path}/cache/files/${NAME}`, true]);
  expect(firstLine(path)).toBe(`#!${path}/bin/python3`);
  expect(lstatSync(`${path}/bin/tool`).mode & 0o777).toBe(0o555);
  expect(readlinkSync(`${path}/bin/python3`)).toBe("/usr/bin/python3");
});

test("makeEnvironment() makes it for another path while one of its name is still used", async () => {
  await using dir = await scratch();
  await using cache = new CacheStore(`${dir.path}/cache`);
  await make(cache, dir.path);
  const hold = cache.hold(NAME, 0)!;
  cache.delete(NAME, 0);
  await make(cache, dir.path);
  const { path } = cache.get(NAME)!;
  expect(path).not.toBe(hold.path);
  expect(firstLine(path)).toBe(`#!${path}/bin/python3`);
  expect(firstLine(hold.path)).toBe(`#!${hold.path}/bin/python3`);
  hold.release();
});

test("makeEnvironment() leaves nothing of what it could not make", async () => {
  await using dir = await scratch();
  await using cache = new CacheStore(`${dir.path}/cache`);
  await expect(make(cache, dir.path, { bytesMax: 100 })).rejects.toThrow("more than 100 bytes");
  const signal = AbortSignal.abort(new Error("it was stopped"));
  await expect(make(cache, dir.path, { signal })).rejects.toThrow("it was stopped");
  expect(cache.get(NAME)).toBeUndefined();
  await cache.emptied();
  expect(readdirSync(`${dir.path}/cache/files`)).toEqual([]);
  expect(readdirSync(`${dir.path}/cache/incoming`)).toEqual([]);
});

test("makeEnvironment() refuses a place that is too long before it unpacks", async () => {
  await using dir = await scratch();
  const deep = `${dir.path}/${"long/".repeat(50)}cache`;
  mkdirSync(deep, { recursive: true });
  await using cache = new CacheStore(deep);
  await expect(make(cache, dir.path)).rejects.toThrow("and programs have room for 255");
  await cache.emptied();
  expect(readdirSync(`${deep}/files`)).toEqual([]);
});

test("makeEnvironment() makes one that is kept for ever for its path in the store, where it stays", async () => {
  await using dir = await scratch();
  const open = (path: string) => {
    return new CacheStore(`${path}/cache`, new SharedStore(`${path}/store`));
  };
  const place = `${dir.path}/one/store/entries/${NAME}/data`;
  mkdirSync(`${dir.path}/one`);
  const cache = open(`${dir.path}/one`);
  await make(cache, `${dir.path}/one`, { level: "forever" });
  expect(cache.get(NAME)?.path).toBe(place);
  await cache.close();
  {
    await using again = open(`${dir.path}/one`);
    expect(again.get(NAME)).toMatchObject({ isPlaced: true, isShared: true, path: place });
    expect([await again.isIntact(NAME), firstLine(place)]).toEqual([
      true,
      `#!${place}/bin/python3`,
    ]);
  }
  // Under another path it is of no use.
  cpSync(`${dir.path}/one`, `${dir.path}/two`, { recursive: true, verbatimSymlinks: true });
  await using moved = open(`${dir.path}/two`);
  expect(moved.get(NAME)).toBeUndefined();
});

test("CacheStore removes an environment without what its links lead to", async () => {
  await using dir = await scratch();
  mkdirSync(`${dir.path}/victim`);
  writeFileSync(`${dir.path}/victim/file`, "kept", { mode: 0o640 });
  writeFileSync(
    `${dir.path}/links`,
    rawTar(
      { name: "bin/d", type: "2", link: `${dir.path}/victim` },
      { name: "bin/f", type: "2", link: `${dir.path}/victim/file` },
      { name: "closed/", type: "5", mode: "0000555" },
      { name: "closed/d", type: "2", link: `${dir.path}/victim` },
    ),
  );
  const cache = new CacheStore(`${dir.path}/cache`);
  const signal = new AbortController().signal;
  const order = { name: NAME, level: "task", bytesMax: 1e6, signal } as const;
  await makeEnvironment({ cache, trees: TREES }, { ...order, archivePath: `${dir.path}/links` });
  await cache.close();
  expect(readdirSync(`${dir.path}/cache/files`)).toEqual([]);
  expect(readFileSync(`${dir.path}/victim/file`, "utf8")).toBe("kept");
  expect(lstatSync(`${dir.path}/victim/file`).mode & 0o777).toBe(0o640);
});
