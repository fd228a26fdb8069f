import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";

import { Manager } from "../../mod.ts";
import { Scratch } from "./scratch.ts";

const DISK_BYTES = 64 * 2 ** 20;
const PART_BYTES = 20_000_000;
const PART_COUNT = 13;

/** What the files below `path` take, without what goes while it is counted. */
async function usedBytes(path: string): Promise<number> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  // An input is linked into the sandbox: one file under two names.
  const sizes = new Map<number, number>();
  await Promise.all(
    entries.filter((entry) => entry.isFile()).map(async (entry) => {
      const found = await stat(join(entry.parentPath, entry.name)).catch(() => undefined);
      if (found !== undefined) sizes.set(found.ino, found.size);
    }),
  );
  return [...sizes.values()].reduce((sum, size) => sum + size, 0);
}

/** 260 MB of inputs and 260 MB of temps, of which two parts are in use at a time. */
test("A worker of 64 MB gets through 520 MB of files when each part fits", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  const args = ["--disk", String(DISK_BYTES)];
  const worker = await scratch.worker(manager, { args, cores: 2 });
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
}, 60_000);

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
    expect.stringContaining("it needs 9000000 bytes of disk, of which this worker has 8"),
  ]);
  const both = await manager.submit({
    command: "true",
    inputs: { left: halves[0]!, right: halves[1]! },
  });
  expect([both.outcome, both.message]).toEqual([
    "disk_full",
    expect.stringContaining("it needs 5000000 bytes of disk"),
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
}, 40_000);
