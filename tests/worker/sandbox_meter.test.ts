import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";

import { join } from "@std/path";

import type { TaskId } from "../../shared/ids.ts";
import { SandboxMeter } from "../../worker/sandbox_meter.ts";
import { TaskFixture, until } from "./task_fixture.ts";

const idOf = (taskId: number) => ({ taskId: taskId as TaskId, try: 1 });

test("SandboxMeter looks at what lasts: seldom where it costs much, never at what is short", async () => {
  const told: number[] = [];
  const meter = new SandboxMeter(({ taskId }) => void told.push(taskId));
  const costing = (costMs: number) => ({ measure: () => Promise.resolve({ bytes: 7, costMs }) });
  using _cheap = meter.watch(idOf(1), costing(0.01));
  using _dear = meter.watch(idOf(2), costing(1_000));
  meter.watch(idOf(3), costing(0))[Symbol.dispose]();
  await until("three looks at the cheap one", () => told.filter((id) => id === 1).length === 3);
  expect(told.filter((id) => id === 2).length).toBe(1);
  expect(told).not.toContain(3);
  meter.close();
});

test("SandboxMeter tells of no sandbox that has ended while it was looked at", async () => {
  const told: number[] = [];
  const meter = new SandboxMeter(({ taskId }) => void told.push(taskId));
  const { promise: isLooking, resolve: look } = Promise.withResolvers<void>();
  const { promise: measured, resolve: end } = Promise.withResolvers<void>();
  const watch = meter.watch(idOf(1), {
    measure: async () => {
      look();
      await measured;
      return { bytes: 7, costMs: 0 };
    },
  });
  await isLooking;
  watch[Symbol.dispose]();
  end();
  using _next = meter.watch(idOf(2), { measure: () => Promise.resolve({ bytes: 1, costMs: 0 }) });
  await until("a look at the next one", () => told.length > 0);
  expect(told).toEqual([2]);
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
