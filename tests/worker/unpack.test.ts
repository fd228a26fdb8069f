import { expect, test } from "bun:test";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { watch } from "node:fs";
import { mkdir, open, readdir, statfs, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import { ArchiveError } from "../../shared/archive/archive_error.ts";
import { unpackInChild } from "../../worker/unpack.ts";
import { smallDisk } from "../integration/small_disk.ts";
import { paxEntry, rawTar } from "../shared/archive/raw_tar.ts";
import { rawZip } from "../shared/archive/raw_zip.ts";
import { exists, listTree, scratch } from "../shared/archive/scratch.ts";

const COMMAND = [process.execPath, fileURLToPath(new URL("unpack_child.ts", import.meta.url).href)];

/** A pipe with the start of an archive in it, on whose rest its reader waits until it is closed. */
async function stalledArchive(path: string): Promise<AsyncDisposable> {
  execFileSync("mkfifo", [path]);
  // Opened for both, since a writer alone would wait for a reader.
  const pipe = await open(path, "r+");
  await pipe.write(rawTar({ name: "a", data: "1" }).subarray(0, 1_024));
  return { [Symbol.asyncDispose]: () => pipe.close() };
}

/** Ends when something appears in `directory`. */
async function firstEntry(directory: string): Promise<void> {
  const watcher = watch(directory);
  const changed = once(watcher, "change");
  try {
    if ((await readdir(directory)).length === 0) await changed;
  } finally {
    watcher.close();
  }
}

test("unpackInChild() unpacks and reports what it unpacked", async () => {
  await using dir = await scratch();
  const archive = `${dir.path}/a b.tgz`;
  await writeFile(archive, gzipSync(rawTar({ name: "bin/run", mode: "0000755", data: "1" })));
  const result = await unpackInChild(archive, `${dir.path}/to`, { mark: "m", command: COMMAND });
  expect(result).toEqual({ fileCount: 1, directoryCount: 0, linkCount: 0, sizeBytes: 1 });
  expect(await listTree(`${dir.path}/to`)).toEqual(["bin/", 'bin/run 755 "1"']);
});

test("unpackInChild() names an entry whose name is longer than an answer may be", async () => {
  await using dir = await scratch();
  const name = `é\u0001${"\u0001".repeat(90_000)}`;
  await writeFile(`${dir.path}/a`, rawTar(paxEntry({ path: name }), {}));
  const error: unknown = await unpackInChild(`${dir.path}/a`, `${dir.path}/to`, {
    mark: "m",
    command: COMMAND,
  }).catch((failure: unknown) => failure);
  expect(error).toMatchObject({
    entry: name.slice(0, 4_096),
    message: expect.stringContaining("it is longer than 4095 bytes"),
  });
  expect(await exists(`${dir.path}/to`)).toBe(false);
});

test("unpackInChild() unpacks an environment for its place, and no other with absolute links", async () => {
  await using dir = await scratch();
  const archive = `${dir.path}/a.tar`;
  const link = { name: "bin/python3", type: "2", link: "/usr/bin/python3" };
  const activate = { name: "bin/activate", data: "VIRTUAL_ENV=/old\n" };
  await writeFile(archive, rawTar(link, activate, { name: "pyvenv.cfg" }));
  const options = { mark: "m", command: COMMAND };
  await unpackInChild(archive, `${dir.path}/to`, { ...options, place: "/new/place" });
  expect(await listTree(`${dir.path}/to`)).toEqual([
    "bin/",
    'bin/activate 644 "VIRTUAL_ENV=/new/place\\n"',
    "bin/python3 -> /usr/bin/python3",
    'pyvenv.cfg 644 ""',
  ]);
  await expect(unpackInChild(archive, `${dir.path}/other`, options)).rejects.toThrow("absolute");
});

test("unpackInChild() refuses what is more than the disk has left before it is written", async () => {
  await using dir = await scratch();
  const { bavail, bsize } = await statfs(dir.path);
  const records = { "GNU.sparse.size": `${2 * bavail * bsize}`, "GNU.sparse.map": "0,1" };
  await writeFile(`${dir.path}/a`, rawTar(paxEntry(records), { name: "s", data: "x" }));
  const unpacking = unpackInChild(`${dir.path}/a`, `${dir.path}/to`, {
    mark: "m",
    command: COMMAND,
  });
  await expect(unpacking).rejects.toThrow("Cannot read the archive: it holds more than");
  expect(await exists(`${dir.path}/to`)).toBe(false);
});

test("unpackInChild() unpacks what it finds to be zip, whatever the name", async () => {
  await using dir = await scratch();
  await writeFile(`${dir.path}/a.tar.gz`, rawZip([{ name: "bin/run", mode: 0o100755, data: "1" }]));
  const options = { mark: "m", command: COMMAND };
  await unpackInChild(`${dir.path}/a.tar.gz`, `${dir.path}/to`, options);
  expect(await listTree(`${dir.path}/to`)).toEqual(["bin/", 'bin/run 755 "1"']);
});

test("unpackInChild() passes on limits, and failures with their entry", async () => {
  await using dir = await scratch();
  const archive = `${dir.path}/a.tar`;
  await writeFile(archive, rawTar({ name: "a" }, { name: "../b" }));
  const options = { mark: "m", command: COMMAND };
  const failure: unknown = await unpackInChild(archive, `${dir.path}/to`, options).catch((e) => e);
  expect(failure).toBeInstanceOf(ArchiveError);
  expect((failure as ArchiveError).entry).toBe("../b");
  const limited = unpackInChild(archive, `${dir.path}/to`, { ...options, entryCountMax: 1 });
  await expect(limited).rejects.toThrow("more than 1 entries");
  await expect(unpackInChild(`${dir.path}/none`, `${dir.path}/to`, options)).rejects.toThrow(
    "ENOENT",
  );
  expect(await readdir(dir.path)).toEqual(["a.tar"]);
});

test("unpackInChild() tells what there is no room for from what no disk would take", async () => {
  await using dir = await scratch();
  const archive = `${dir.path}/a.tar`;
  await writeFile(archive, rawTar({ name: "a" }, { name: "d/large", data: "x".repeat(5_000_000) }));
  const options = { mark: "m", command: COMMAND };
  const failure = async (bytesMax: number): Promise<ArchiveError> =>
    await unpackInChild(archive, `${dir.path}/to`, { ...options, bytesMax }).catch((e) => e);
  expect(await failure(2_500_000)).toMatchObject({
    message: 'Cannot read the archive: it holds more than 2500000 bytes, in entry "d/large": ' +
      "the disk has room for no more",
    entry: "d/large",
    isTooLarge: true,
  });
  await writeFile(archive, rawTar({ name: "../a" }));
  expect(await failure(2_500_000)).toMatchObject({ entry: "../a", isTooLarge: false });
  expect(await readdir(dir.path)).toEqual(["a.tar"]);
});

test("unpackInChild() tells that the disk was full when a file was written", async () => {
  await using dir = await scratch();
  using disk = smallDisk(`${dir.path}/disk`, 4_000_000);
  // Only root can mount.
  if (disk === undefined) return;
  // What holes hold counts only as far as it is known beforehand: a file beside takes the room.
  await writeFile(`${dir.path}/disk/other`, new Uint8Array(1_000_000));
  const files = Array.from({ length: 1_500 }, (_, index) => ({ name: `f${index}`, data: "x" }));
  await writeFile(`${dir.path}/a.tar`, rawTar(...files));
  const failure: unknown = await unpackInChild(`${dir.path}/a.tar`, `${dir.path}/disk/to`, {
    mark: "m",
    command: COMMAND,
  }).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(ArchiveError);
  expect(failure).toMatchObject({
    message: expect.stringMatching(/^Cannot write entry "f\d+": ENOSPC/),
    entry: expect.stringMatching(/^f\d+$/),
    code: "ENOSPC",
  });
  expect(await readdir(`${dir.path}/disk`)).toEqual(["other"]);
});

test("unpackInChild() leaves a directory alone that was there before", async () => {
  await using dir = await scratch();
  await writeFile(`${dir.path}/a.tar`, rawTar({ name: "a" }));
  await mkdir(`${dir.path}/to`);
  await writeFile(`${dir.path}/to/mine`, "kept");
  await expect(
    unpackInChild(`${dir.path}/a.tar`, `${dir.path}/to`, { mark: "m", command: COMMAND }),
  )
    .rejects.toThrow("it exists");
  expect(await listTree(`${dir.path}/to`)).toEqual(['mine 644 "kept"']);
});

test("unpackInChild() kills its child at an abort and removes what was made", async () => {
  await using dir = await scratch();
  await using _pipe = await stalledArchive(`${dir.path}/a.tar`);
  await mkdir(`${dir.path}/cache`);
  const controller = new AbortController();
  const target = `${dir.path}/cache/to`;
  const options = { mark: "m", command: COMMAND, signal: controller.signal };
  const started = firstEntry(`${dir.path}/cache`);
  const unpacking = unpackInChild(`${dir.path}/a.tar`, target, options);
  await started;
  controller.abort(new Error("not needed any more"));
  await expect(unpacking).rejects.toThrow("not needed any more");
  expect(await exists(target)).toBe(false);
  await expect(unpackInChild(`${dir.path}/a.tar`, target, options)).rejects.toThrow("not needed");
});

test("unpackInChild() says how a child ended that did not answer, and leaves nothing", async () => {
  await using dir = await scratch();
  await writeFile(`${dir.path}/a.tar`, rawTar({ name: "a" }));
  const run = (script: string) => {
    const command = ["/bin/sh", "-c", `mkdir ${dir.path}/to; ${script}`, "sh"];
    return unpackInChild(`${dir.path}/a.tar`, `${dir.path}/to`, { mark: "m", command });
  };
  await expect(run("kill -9 $$")).rejects.toThrow("it ended with signal SIGKILL");
  await expect(run("echo no memory >&2; exit 3")).rejects.toThrow("with code 3. no memory");
  await expect(run("exit 0")).rejects.toThrow("it ended with code 0");
  const command = [`${dir.path}/no such program`];
  await expect(unpackInChild(`${dir.path}/a.tar`, `${dir.path}/to`, { mark: "m", command })).rejects
    .toThrow(
      "to unpack: ",
    );
  expect(await readdir(dir.path)).toEqual(["a.tar"]);
});

test("runUnpackCommand() ends and removes what it made when its parent is gone", async () => {
  await using dir = await scratch();
  await using _pipe = await stalledArchive(`${dir.path}/a.tar`);
  await mkdir(`${dir.path}/cache`);
  const request = JSON.stringify({
    archivePath: `${dir.path}/a.tar`,
    targetPath: `${dir.path}/cache/to`,
    limits: {},
  });
  const [program = "", ...args] = COMMAND;
  const started = firstEntry(`${dir.path}/cache`);
  const child = spawn(program, [...args, request], { stdio: ["pipe", "ignore", "ignore"] });
  await started;
  // What the end of the parent does to its child.
  child.stdin.destroy();
  const [code] = await once(child, "exit");
  expect(code).toBe(1);
  expect(await readdir(`${dir.path}/cache`)).toEqual([]);
});
