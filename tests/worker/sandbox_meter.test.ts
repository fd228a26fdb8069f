import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";

import { join } from "@std/path";

import type { TaskId } from "../../shared/ids.ts";
import type { DiskUsage } from "../../worker/disk_usage.ts";
import { SandboxMeter } from "../../worker/sandbox_meter.ts";
import { TaskFixture, until } from "./task_fixture.ts";

const idOf = (taskId: number) => ({ taskId: taskId as TaskId, try: 1 });

/** A sandbox in which so much is found, at the latest look the last of it. */
function holding(...bytes: number[]): { looks: number; measure: () => Promise<DiskUsage> } {
  const sandbox = {
    looks: 0,
    measure: () => {
      const found = bytes[Math.min(sandbox.looks, bytes.length - 1)] ?? 0;
      sandbox.looks += 1;
      return Promise.resolve({ bytes: found, costMs: 0 });
    },
  };
  return sandbox;
}

test("SandboxMeter looks soon and often at what could fill its limit, and seldom at the rest", async () => {
  const meter = new SandboxMeter({ capacityBytes: 1e15 });
  const [close, far] = [holding(5e6), holding(5e6)];
  using _close = meter.watch({ sandbox: close, limitBytes: 1e7, saw: () => {} });
  using _far = meter.watch({ sandbox: far, limitBytes: Infinity, saw: () => {} });
  await until("a look at the one that is far", () => far.looks > 0);
  expect(close.looks).toBeGreaterThan(5);
  meter.close();
});

test("SandboxMeter follows what fills the worker's disk more closely", async () => {
  const meter = new SandboxMeter({ capacityBytes: 1e9 });
  const growing = holding(3e8, 6e8, 8e8, 9e8);
  const still = holding(1e8);
  using _growing = meter.watch({ sandbox: growing, limitBytes: Infinity, saw: () => {} });
  using _still = meter.watch({ sandbox: still, limitBytes: Infinity, saw: () => {} });
  await until("three looks at what stands still", () => still.looks >= 3);
  expect(growing.looks).toBeGreaterThan(still.looks);
  meter.close();
});

test("SandboxMeter looks often on a small disk, which what was still can fill at any time", async () => {
  const [small, large] = [4e7, 1e15].map((capacityBytes) => new SandboxMeter({ capacityBytes }));
  const [close, far] = [holding(0), holding(0)];
  using _close = small!.watch({ sandbox: close, limitBytes: Infinity, saw: () => {} });
  using _far = large!.watch({ sandbox: far, limitBytes: Infinity, saw: () => {} });
  await until("a look at the one that is far", () => far.looks > 0);
  expect(close.looks).toBeGreaterThan(5);
  small!.close();
  large!.close();
});

test("SandboxMeter tells of no sandbox that has ended while it was looked at", async () => {
  const told: number[] = [];
  const meter = new SandboxMeter({ capacityBytes: 0 });
  const { promise: isLooking, resolve: look } = Promise.withResolvers<void>();
  const { promise: measured, resolve: end } = Promise.withResolvers<void>();
  const measure = async () => {
    look();
    await measured;
    return { bytes: 7, costMs: 0 };
  };
  const saw = (bytes: number) => void told.push(bytes);
  const watch = meter.watch({ sandbox: { measure }, limitBytes: 1, saw });
  await isLooking;
  watch[Symbol.dispose]();
  end();
  using _next = meter.watch({ sandbox: holding(1), limitBytes: 1, saw });
  await until("a look at the next one", () => told.length > 0);
  expect(told).toEqual([1]);
  meter.close();
});

test("Sandbox.measure() counts what a task writes, and no input that is linked or cloned", async () => {
  await using fixture = new TaskFixture();
  const path = join(fixture.folder.path, "cached");
  writeFileSync(path, new Uint8Array(2_000_000).fill(1));
  const inputs = [{ mount: "input", path, isDirectory: false }];
  const sandbox = await fixture.sandboxes.create({ ...idOf(1), inputs, outputs: [] });
  const before = (await sandbox.measure()).bytes;
  expect(before).toBeLessThan(200_000);
  writeFileSync(join(sandbox.directory, "output"), new Uint8Array(1_000_000).fill(1));
  writeFileSync(join(sandbox.temporaryDirectory, "scratch"), new Uint8Array(500_000).fill(1));
  const after = (await sandbox.measure()).bytes;
  expect(after - before).toBeGreaterThanOrEqual(1_500_000);
  expect(after - before).toBeLessThan(1_600_000);
  await sandbox.remove();
});
