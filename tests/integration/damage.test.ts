/** Bits that flip on disks and on the way: each is found, and what it spoiled does not count. */

import { expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";

import { join } from "@std/path";

import { type Fact, Manager } from "../../mod.ts";
import { Scratch, type ScratchWorker, until } from "./scratch.ts";
import { freePort, TcpProxy } from "./tcp_proxy.ts";

/** The same whoever makes it: 1.3 MB. */
const MAKE = "seq 1 200000 > data";
const READ = "sha256sum < data";
const TEXT = `${Array.from({ length: 200_000 }, (_, index) => index + 1).join("\n")}\n`;
const BYTES = 1_288_895;
const DIGEST = "5af7b95208fdcff454bab3f5eddf567a688a3796c703d4fef91072e38645c062  -\n";

const LARGE_BYTES = 40_000_000;

const MAKER = { args: ["--feature", "make"] };
const READER = { args: ["--feature", "read"] };

/** Paths of files below `directory` that are large enough to be the one that is meant. */
function largeFiles(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" })
    .map((name) => join(directory, name))
    .filter((path) => {
      const found = statSync(path, { throwIfNoEntry: false });
      return found?.isFile() === true && found.size >= BYTES;
    });
}

/** Flips a bit of the only large file below `directory`, of which size and mtime stay as they were. */
function flipBit(directory: string): void {
  const paths = largeFiles(directory);
  // One file may have several names.
  expect(new Set(paths.map((path) => statSync(path).ino)).size).toBe(1);
  const [path = ""] = paths;
  const { atime, mtime, mode } = statSync(path);
  const bytes = readFileSync(path);
  bytes[bytes.length - 1_000]! ^= 1;
  chmodSync(path, 0o644);
  writeFileSync(path, bytes);
  chmodSync(path, mode & 0o777);
  utimesSync(path, atime, mtime);
}

function cacheOf({ workspace }: ScratchWorker): string {
  const [user = ""] = readdirSync(workspace).filter((name) => name.startsWith("tendril-"));
  const [name = ""] = readdirSync(join(workspace, user)).filter((entry) => entry !== "store");
  return join(workspace, user, name, "cache", "files");
}

/** A worker that is reached by the others by way of a proxy. */
async function throughProxy(
  scratch: Scratch,
  manager: Manager,
  back: (bytes: Buffer) => Buffer,
): Promise<TcpProxy> {
  const port = await freePort();
  const proxy = await TcpProxy.open(`http://127.0.0.1:${port}`, { back });
  const args = [...MAKER.args, "--listen", `127.0.0.1:${port}`];
  await scratch.worker(manager, { args: [...args, "--advertise", new URL(proxy.url).host] });
  return proxy;
}

test("A bit that flips between two workers is found, and the file fetched again", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  const facts: Fact[] = [];
  manager.subscribe((more) => facts.push(...more));
  let flippedCount = 0;
  await using _proxy = await throughProxy(scratch, manager, (bytes) => {
    // Not the head of the answer, and once.
    if (flippedCount > 0 || bytes.length < 8_192) return bytes;
    flippedCount += 1;
    bytes[bytes.length >> 1]! ^= 1;
    return bytes;
  });
  await scratch.worker(manager, READER);
  const data = manager.temp();
  manager.submit({ command: MAKE, outputs: { data }, features: ["make"] });
  const read = await manager.submit({ command: READ, inputs: { data }, features: ["read"] });
  expect([read.outcome, read.message, read.stdout]).toEqual(["success", "", DIGEST]);
  expect(flippedCount).toBe(1);
  const failures = facts.flatMap((fact) => fact.kind === "transfer_failed" ? [fact.message] : []);
  expect(failures.map((message) => message.split(" ").at(-1))).toEqual(["expected"]);
  // The source has looked at its copy, and kept it.
  const { damaged, tasks } = manager.status();
  expect([damaged, tasks.recoveries, data.replicaCount]).toEqual([0, 0, 2]);
}, 120_000);

test(
  "A bit that flips on a worker's disk is found by who gets the file, which is made again",
  async () => {
    await using scratch = await Scratch.open();
    await using manager = await Manager.start();
    const maker = await scratch.worker(manager, MAKER);
    await scratch.worker(manager, READER);
    const data = manager.temp();
    await manager.submit({ command: MAKE, outputs: { data }, features: ["make"] });
    flipBit(cacheOf(maker));
    const read = await manager.submit({ command: READ, inputs: { data }, features: ["read"] });
    expect([read.outcome, read.message, read.stdout]).toEqual(["success", "", DIGEST]);
    const { damaged, tasks } = manager.status();
    expect([damaged, tasks.recoveries, tasks.nondeterministic]).toEqual([1, 1, 0]);
  },
  120_000,
);

test("A damaged copy of a file of the manager is dropped, and had from the manager", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  const path = scratch.path("data");
  writeFileSync(path, TEXT);
  const data = manager.file(path);
  const first = await scratch.worker(manager, MAKER);
  const made = await manager.submit({ command: READ, inputs: { data }, features: ["make"] });
  flipBit(cacheOf(first));
  await scratch.worker(manager, READER);
  const read = await manager.submit({ command: READ, inputs: { data }, features: ["read"] });
  expect([made.stdout, read.outcome, read.stdout]).toEqual([DIGEST, "success", DIGEST]);
  expect(manager.status()).toMatchObject({ damaged: 1, bytes: { managerToWorker: 2 * BYTES } });
}, 120_000);

test("A damaged copy of a temp is found when a user asks for it, and made again", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  const worker = await scratch.worker(manager);
  const data = manager.temp();
  await manager.submit({ command: MAKE, outputs: { data } });
  flipBit(cacheOf(worker));
  expect(await data.text()).toBe(TEXT);
  expect(manager.status()).toMatchObject({ damaged: 1, tasks: { recoveries: 1 } });
}, 120_000);

test("A task that runs on an input found damaged meanwhile does not count", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  const maker = await scratch.worker(manager, { ...MAKER, cores: 2 });
  await scratch.worker(manager, READER);
  const data = manager.temp();
  await manager.submit({ command: MAKE, outputs: { data }, features: ["make"] });
  flipBit(cacheOf(maker));
  const [started, gate] = [scratch.path("started"), scratch.path("gate")];
  const fooled = manager.submit({
    command: `touch ${started}; while [ ! -e ${gate} ]; do sleep 0.02; done; ${READ}`,
    inputs: { data },
    features: ["make"],
  });
  await until(() => existsSync(started), "the task runs");
  const read = manager.submit({ command: READ, inputs: { data }, features: ["read"] });
  await until(() => manager.status().damaged === 1, "the damage is found");
  writeFileSync(gate, "");
  const { outcome, stdout, try: tryCount } = await fooled;
  expect([outcome, stdout]).toEqual(["success", DIGEST]);
  expect(tryCount).toBeGreaterThan(1);
  expect((await read).stdout).toBe(DIGEST);
}, 120_000);

test("An output that changes before the manager has it is made again", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  const arrived = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  await using proxy = await TcpProxy.open(manager.address, {
    forth: async (bytes) => {
      if (!bytes.subarray(0, 4).equals(Buffer.from("PUT "))) return bytes;
      arrived.resolve();
      await released.promise;
      return bytes;
    },
  });
  const worker = await scratch.worker(manager, { url: proxy.url });
  const data = manager.file(scratch.path("data"));
  // More than the buffers of the kernel take.
  const command = `head -c ${LARGE_BYTES} /dev/zero > data`;
  const task = manager.submit({ command, outputs: { data } });
  await arrived.promise;
  flipBit(cacheOf(worker));
  released.resolve();
  const { outcome, message, try: tryCount } = await task;
  expect([outcome, message, tryCount]).toEqual(["success", "", 2]);
  expect(readFileSync(scratch.path("data")).equals(Buffer.alloc(LARGE_BYTES))).toBe(true);
  expect(manager.status().damaged).toBe(1);
}, 120_000);

test("A file that an earlier process left for ever is looked at before it is used", async () => {
  await using scratch = await Scratch.open();
  const workspace = scratch.path("workers");
  const path = scratch.path("data");
  writeFileSync(path, TEXT);
  const readOnce = async () => {
    await using manager = await Manager.start();
    await scratch.worker(manager, { workspace, args: ["--single"] });
    const data = manager.file(path, { cache: "forever" });
    const read = await manager.submit({ command: READ, inputs: { data } });
    expect([read.outcome, read.stdout]).toEqual(["success", DIGEST]);
    const { damaged, bytes } = manager.status();
    return { damaged, bytes: bytes.managerToWorker };
  };
  expect(await readOnce()).toEqual({ damaged: 0, bytes: BYTES });
  await until(() => largeFiles(workspace).length === 1, "the worker has left");
  expect(await readOnce()).toEqual({ damaged: 0, bytes: 0 });
  await until(() => largeFiles(workspace).length === 1, "the worker has left");
  flipBit(workspace);
  expect(await readOnce()).toEqual({ damaged: 1, bytes: BYTES });
}, 120_000);
