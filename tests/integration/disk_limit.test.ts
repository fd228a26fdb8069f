import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import process from "node:process";

import { Manager } from "../../mod.ts";
import { Scratch, until } from "./scratch.ts";
import { smallDisk, usedBytes } from "./small_disk.ts";

const DISK_BYTES = 64 * 2 ** 20;
const PART_BYTES = 20_000_000;
const PART_COUNT = 13;

/** 260 MB of inputs and 260 MB of temps, of which two parts are in use at a time. */
test("A worker of 64 MB gets through 520 MB of files when each part fits", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  const workspace = scratch.path("disk");
  using disk = smallDisk(workspace, DISK_BYTES);
  // A disk of that size, where one can be made, is its own limit.
  const args = disk === undefined ? ["--disk", String(DISK_BYTES)] : [];
  const worker = await scratch.worker(manager, { workspace, args, cores: 2 });
  const digests: string[] = [];
  const results = Array.from({ length: PART_COUNT }, (_, index) => {
    const path = scratch.path(`part-${index}`);
    const bytes = new Uint8Array(PART_BYTES).fill(index + 1);
    writeFileSync(path, bytes);
    digests.push(createHash("sha256").update(bytes).digest("hex"));
    const part = manager.file(path);
    const copy = manager.temp();
    const copied = manager.submit({
      command: "cp part copy",
      inputs: { part },
      outputs: { copy },
      disk: 2 * PART_BYTES,
    });
    const read = manager.submit({ command: "sha256sum < copy", inputs: { copy } });
    return [copied, read] as const;
  });
  let mostBytes = 0;
  const look = setInterval(async () => {
    mostBytes = Math.max(mostBytes, await usedBytes(worker.workspace).catch(() => 0));
  }, 20);
  for (const [index, [copied, read]] of results.entries()) {
    expect([(await copied).outcome, (await copied).message]).toEqual(["success", ""]);
    const { outcome, stdout, message } = await read;
    expect([outcome, message, stdout.slice(0, 64)]).toEqual(["success", "", digests[index]!]);
  }
  clearInterval(look);
  process.stdout.write(`a worker of ${DISK_BYTES} bytes held ${mostBytes} at most\n`);
  expect(mostBytes).toBeLessThan(DISK_BYTES + 1_000_000);
  expect(worker.child.exitCode).toBe(null);
  const again = await manager.submit({ command: "echo on" });
  expect(again.stdout).toBe("on\n");
}, 120_000);

test("A worker says what has no room on its disk, and goes on", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  const worker = await scratch.worker(manager, { args: ["--disk", "8MB"] });
  const large = scratch.path("large");
  writeFileSync(large, new Uint8Array(9_000_000));
  const halves = ["left", "right"].map((name) => {
    const path = scratch.path(name);
    writeFileSync(path, new Uint8Array(5_000_000).fill(name.length));
    return manager.file(path);
  });
  const fetched = await manager.submit({
    command: "true",
    inputs: { large: manager.file(large) },
  });
  expect([fetched.outcome, fetched.message]).toEqual([
    "disk_full",
    "Cannot run the task: its inputs have 9000000 bytes together, the largest, " +
    '"large", 9000000, and no worker that could run it has more than 8000000 bytes of disk',
  ]);
  const both = await manager.submit({
    command: "true",
    inputs: { left: halves[0]!, right: halves[1]! },
  });
  expect([both.outcome, both.message]).toEqual([
    "disk_full",
    expect.stringContaining("its inputs have 10000000 bytes together"),
  ]);
  const made = await manager.submit({
    command: "head -c 9000000 /dev/zero > out",
    outputs: { out: manager.temp() },
  });
  expect([made.outcome, made.message]).toEqual([
    "disk_full",
    expect.stringContaining("Cannot keep outputs of 9000000 bytes"),
  ]);
  const small = await manager.submit({ command: "wc -c < left", inputs: { left: halves[0]! } });
  expect([small.outcome, small.stdout.trim()]).toEqual(["success", "5000000"]);
  expect(worker.child.exitCode).toBe(null);
}, 120_000);

test(
  "A task that outgrows the disk is stopped, its neighbours go on, and what is idle goes first",
  async () => {
    await using scratch = await Scratch.open();
    await using manager = await Manager.start();
    const worker = await scratch.worker(manager, { args: ["--disk", "30MB"], cores: 3 });
    const idle = manager.file(scratch.path("idle"));
    writeFileSync(scratch.path("idle"), new Uint8Array(8_000_000));
    expect((await manager.submit({ command: "true", inputs: { idle } })).outcome).toBe("success");
    const done = scratch.path("done");
    const beside = manager.submit({
      command: `head -c 9000000 /dev/zero > kept; while [ ! -e ${done} ]; do sleep 0.05; done`,
      outputs: { kept: manager.temp() },
      disk: "10MB",
    });
    // Within what is left once the idle file has gone, and then not.
    const modest = manager.submit({ command: "head -c 12000000 /dev/zero > mine; sleep 4" });
    expect([(await modest).outcome, (await modest).message]).toEqual(["success", ""]);
    await until(async () => await usedBytes(`${worker.workspace}`) < 12_000_000, "eviction");
    const grown = manager.submit({ command: "head -c 40000000 /dev/zero > mine; exec sleep 600" });
    const { outcome, message } = await grown;
    expect(outcome).toBe("disk_full");
    expect(message).toMatch(
      /its sandbox had [\d.]+ MB on the disk, none of it reserved, .* the 30 MB of disk/,
    );
    writeFileSync(done, "");
    expect([(await beside).outcome, (await beside).message]).toEqual(["success", ""]);
    expect((await manager.submit({ command: "echo on" })).stdout).toBe("on\n");
    expect(worker.child.exitCode).toBe(null);
  },
  120_000,
);

test(
  "A task that had no room on one worker gets through on another with a larger disk",
  async () => {
    await using scratch = await Scratch.open();
    await using manager = await Manager.start();
    await scratch.worker(manager, { args: ["--disk", "20MB"] });
    const [started, go] = [scratch.path("started"), scratch.path("go")];
    const task = manager.submit({
      command: `touch ${started}; while [ ! -e ${go} ]; do sleep 0.05; done; ` +
        "head -c 50000000 /dev/zero > mine; sleep 2; wc -c < mine",
    });
    await until(() => existsSync(started), "the first try runs");
    await scratch.worker(manager, { args: ["--disk", "200MB"] });
    await until(() => manager.status().workers.connected === 2, "the larger worker joined");
    writeFileSync(go, "");
    const { outcome, stdout, message, ...result } = await task;
    expect([outcome, stdout.trim(), message]).toEqual(["success", "50000000", ""]);
    expect(result.try).toBe(2);
  },
  120_000,
);
