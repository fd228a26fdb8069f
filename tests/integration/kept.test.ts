/** Files that tasks made, kept by workers and found again by a later manager. */

import { expect, test } from "bun:test";
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { fileURLToPath } from "node:url";

import { join } from "@std/path";

import { type FileHandle, type KeptFile, Manager } from "../../mod.ts";
import { Scratch, type ScratchWorker } from "./scratch.ts";

const NAME = "vine";

/** 1.3 MB, which are linked and not copied. */
const MAKE = "seq 1 200000 > data";
const BYTES = 1_288_895;
const SUM = "sha256sum data | cut -c 1-64";
const DIGEST = "5af7b95208fdcff454bab3f5eddf567a688a3796c703d4fef91072e38645c062";

/** A manager of the name that the workers of these tests wait for; what moved in it. */
async function workflow<T>(
  run: (manager: Manager, moved: () => number) => Promise<T>,
): Promise<T> {
  await using manager = await Manager.start({ name: NAME, policies: { reconnectGrace: "500ms" } });
  return await run(manager, () => {
    const { managerToWorker, workerToWorker, workerToManager } = manager.status().bytes;
    return managerToWorker + workerToWorker + workerToManager;
  });
}

/** A worker that waits for one manager of that name after the other. */
async function lastingWorker(
  scratch: Scratch,
  manager: Manager,
  options: { readonly workspace?: string; readonly args?: readonly string[] } = {},
): Promise<ScratchWorker> {
  const { args = [], ...rest } = options;
  return await scratch.worker(manager, {
    ...rest,
    name: NAME,
    args: ["--idle-timeout", "30s", ...args],
  });
}

async function makeData(manager: Manager, command: string = MAKE): Promise<FileHandle> {
  const data = manager.temp();
  await manager.submit({ command, outputs: { data } }).orThrow();
  return data;
}

async function said(manager: Manager, command: string, data: FileHandle): Promise<string> {
  return (await manager.submit({ command, inputs: { data } }).orThrow()).stdout.trim();
}

/** Paths below the folder of all caches that are named by contents. */
function keptPaths({ workspace }: ScratchWorker): string[] {
  return readdirSync(workspace, { recursive: true, encoding: "utf8" })
    .filter((name) => /\/(file|dir1)-sha256-[0-9a-f]{64}(-x)?$/.test(name))
    .map((name) => join(workspace, name));
}

/** Changes one byte, and nothing that is seen from outside. */
function flipByte(path: string): void {
  const { atime, mtime, mode } = statSync(path);
  const bytes = readFileSync(path);
  bytes[1_000]! ^= 1;
  chmodSync(path, 0o644);
  writeFileSync(path, bytes);
  chmodSync(path, mode & 0o777);
  utimesSync(path, atime, mtime);
}

test(
  "Manager.keep() has a later manager find files, directories and programs at the worker",
  async () => {
    await using scratch = await Scratch.open();
    const kept = await workflow(async (manager, moved) => {
      await lastingWorker(scratch, manager);
      const data = await makeData(manager);
      const tree = await makeData(
        manager,
        "mkdir -p data/sub/empty && seq 1 200000 > data/sub/numbers && ln -s sub/numbers data/link",
      );
      const program = await makeData(
        manager,
        "printf '#!/bin/sh\\necho hi\\n' > data; chmod +x data",
      );
      const before = moved();
      const files = await Promise.all([data, tree, program].map((file) => manager.keep(file)));
      expect(moved()).toBe(before);
      // Nothing that becomes of the temp is of any concern.
      await manager.undeclare(data);
      expect(files[0]).toEqual({
        name: `file-sha256-${DIGEST}`,
        digest: DIGEST,
        size: BYTES,
        isDirectory: false,
        isExecutable: false,
      });
      // It is there for this manager as well.
      expect(await said(manager, SUM, manager.kept(files[0]!))).toBe(DIGEST);
      return files;
    });
    expect(kept.map(({ isDirectory, isExecutable }) => [isDirectory, isExecutable])).toEqual([
      [false, false],
      [true, false],
      [false, true],
    ]);
    await workflow(async (manager, moved) => {
      const handles = (JSON.parse(JSON.stringify(kept)) as KeptFile[]).map((file) =>
        manager.kept(file)
      );
      const missing = manager.kept({ ...kept[0]!, ...nameOf("f".repeat(64)) });
      expect(await manager.findKept([missing, ...handles])).toEqual(handles);
      expect([missing, ...handles].map((file) => file.replicaCount)).toEqual([0, 1, 1, 1]);
      const [data, tree, program] = handles as [FileHandle, FileHandle, FileHandle];
      const before = moved();
      expect(await said(manager, SUM, data)).toBe(DIGEST);
      expect(await said(manager, "sha256sum < data/link | cut -c 1-64; ls data/sub", tree)).toBe(
        `${DIGEST}\nempty\nnumbers`,
      );
      expect(await said(manager, "./data", program)).toBe("hi");
      expect(moved()).toBe(before);
      const { message, outcome } = await manager.submit({
        command: "cat data",
        inputs: { data: missing },
      });
      expect([outcome, message]).toEqual([
        "input_missing",
        `Cannot read kept file "${missing.cacheName}": no worker that is there has it`,
      ]);
      expect((await data.contents()).length).toBe(BYTES);
      const fetched = await manager.fetch(tree, scratch.path("fetched"));
      expect(statSync(join(fetched, "sub/numbers")).size).toBe(BYTES);
      await expect(missing.contents()).rejects.toThrow("no worker that is there has it");
    });
  },
  60_000,
);

function nameOf(digest: string): Pick<KeptFile, "name" | "digest"> {
  return { name: `file-sha256-${digest}`, digest };
}

test(
  "Manager.keep() with forever has a new worker of the host find what an earlier one left",
  async () => {
    await using scratch = await Scratch.open();
    const workspace = scratch.path("workers");
    const kept = await workflow(async (manager) => {
      const worker = await lastingWorker(scratch, manager, { workspace });
      const data = await makeData(manager);
      const tree = await makeData(manager, "mkdir data && seq 1 200000 > data/numbers");
      // A task that reads it meanwhile is not told that somebody wrote to it.
      const reading = manager.submit({ command: `sleep 1.5; ${SUM}`, inputs: { data } });
      const files = await Promise.all([data, tree].map((file) => {
        return manager.keep(file, { level: "forever" });
      }));
      expect([(await reading).outcome, (await reading).try]).toEqual(["success", 1]);
      worker.child.kill("SIGKILL");
      await worker.ended;
      return files;
    });
    await workflow(async (manager, moved) => {
      await lastingWorker(scratch, manager, { workspace });
      const [data, tree] = kept.map((file) => manager.kept(file)) as [FileHandle, FileHandle];
      expect(await said(manager, SUM, data)).toBe(DIGEST);
      expect(await said(manager, "sha256sum < data/numbers | cut -c 1-64", tree)).toBe(DIGEST);
      expect(moved()).toBe(0);
      // Another worker has it from the first one, by size and digest.
      await scratch.worker(manager, { args: ["--feature", "other"] });
      for (const file of [data, tree]) {
        const where = file === data ? "data" : "data/numbers";
        const command = `sha256sum < ${where} | cut -c 1-64`;
        const result = await manager.submit({
          command,
          inputs: { data: file },
          features: ["other"],
        });
        expect([result.outcome, result.stdout.trim()]).toEqual(["success", DIGEST]);
      }
      expect(manager.status().bytes.workerToWorker).toBeGreaterThan(2 * BYTES);
    });
  },
  60_000,
);

test("Manager.kept() refuses what was damaged on the disk between two managers", async () => {
  await using scratch = await Scratch.open();
  let worker: ScratchWorker | undefined;
  const kept = await workflow(async (manager) => {
    worker = await lastingWorker(scratch, manager);
    return [
      await manager.keep(await makeData(manager)),
      await manager.keep(await makeData(manager, "mkdir data && seq 1 200000 > data/numbers")),
      await manager.keep(await makeData(manager, "seq 1 100000 > data")),
    ];
  });
  const paths = keptPaths(worker!);
  flipByte(paths.find((path) => path.endsWith(kept[0]!.name))!);
  flipByte(join(paths.find((path) => path.endsWith(kept[1]!.name))!, "numbers"));
  await workflow(async (manager) => {
    const handles = kept.map((file) => manager.kept(file));
    const [file, tree, intact] = handles as [FileHandle, FileHandle, FileHandle];
    for (const data of [file, tree]) {
      const { outcome } = await manager.submit({ command: "cat data*", inputs: { data } });
      expect(outcome).toBe("input_missing");
    }
    expect(await manager.findKept(handles)).toEqual([intact]);
    expect(handles.map(({ replicaCount }) => replicaCount)).toEqual([0, 0, 1]);
    expect(await said(manager, "tail -n 1 data", intact)).toBe("100000");
    // What is made again is kept again, under the same name.
    const again = await manager.keep(await makeData(manager));
    expect(again).toEqual(kept[0]!);
    expect(await said(manager, SUM, file)).toBe(DIGEST);
  });
}, 60_000);

test("Manager.keep() at the worker's level ends with the worker's process", async () => {
  await using scratch = await Scratch.open();
  const workspace = scratch.path("workers");
  const kept = await workflow(async (manager) => {
    const worker = await lastingWorker(scratch, manager, { workspace });
    const file = await manager.keep(await makeData(manager));
    worker.child.kill("SIGKILL");
    await worker.ended;
    return file;
  });
  await workflow(async (manager) => {
    const data = manager.kept(kept);
    const task = manager.submit({ command: "true", inputs: { data } });
    await lastingWorker(scratch, manager, { workspace });
    expect((await task).outcome).toBe("input_missing");
    expect(await manager.findKept([data])).toEqual([]);
  });
}, 60_000);

test("A worker whose disk is full lets go of what was kept and nobody needs", async () => {
  await using scratch = await Scratch.open();
  const kept = await workflow(async (manager) => {
    await lastingWorker(scratch, manager, { args: ["--disk", "30MB"] });
    const data = await makeData(manager, "head -c 20000000 /dev/zero > data");
    return await manager.keep(data);
  });
  await workflow(async (manager) => {
    const command = "head -c 20000000 /dev/zero > data; wc -c < data";
    const path = scratch.path("large");
    writeFileSync(path, new Uint8Array(20_000_000).fill(1));
    const data = manager.file(path);
    expect(await said(manager, "wc -c < data", data)).toBe("20000000");
    const made = await manager.submit({ command, outputs: { data: manager.temp() } });
    expect(made.message).toBe("");
    expect(await manager.findKept([manager.kept(kept)])).toEqual([]);
  });
}, 60_000);

test("Manager.keep() keeps the value of a call, and says why it keeps nothing else", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start({ workers: 1 });
  const large = manager.run((count: number) => "x".repeat(count), 2_000_000);
  await large.orThrow();
  const value = await manager.keep(large.valueFile!);
  expect(value.size).toBeGreaterThan(2_000_000);
  expect(await said(manager, "wc -c < data", manager.kept(value))).toBe(String(value.size));
  mkdirSync(scratch.path("tree"));
  for (
    const [file, why] of [
      [manager.temp(), "no task makes it"],
      [manager.buffer("given"), "no task makes it"],
      [manager.file(fileURLToPath(import.meta.url)), "no task makes it"],
    ] as const
  ) {
    await expect(manager.keep(file)).rejects.toThrow(why);
  }
  const query = manager.buffer("given");
  await manager.submit({ command: "cat query", inputs: { query } }).orThrow();
  await expect(manager.keep(query)).rejects.toThrow("no task has made it");
}, 60_000);
