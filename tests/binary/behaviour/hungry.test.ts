/**
 * TaskVine's behaviour: how many more tasks a manager is hungry for (TR_vine_hungry), by its
 * formula: the most of the minimum, a factor times the workers, and what a factor times their
 * capacity has room for, less what waits.
 */

import { expect, test } from "bun:test";

import type { TaskOptions } from "../../../mod.ts";
import { runWorkflow } from "./workflow.ts";

test("hungry() is the minimum while nothing was submitted (TR_vine_hungry, minimum)", async () => {
  const values = await runWorkflow(async ({ Manager, until }) => {
    await using manager = await Manager.start({ policies: { hungryMinimum: 11 } });
    const before = manager.hungry();
    manager.tune({ "hungry-minimum": 2 });
    await until(() => manager.hungry() !== before, "the policy is in force");
    return [before, manager.hungry()];
  });
  expect(values).toEqual([11, 2]);
});

test("hungry() is less by each task that waits (TR_vine_hungry, submitted)", async () => {
  const values = await runWorkflow(async ({ Manager }) => {
    await using manager = await Manager.start({ policies: { hungryMinimum: 2 } });
    const values = [manager.hungry()];
    for (let count = 0; count < 3; count++) {
      manager.submit({ command: "true" });
      values.push(manager.hungry());
    }
    return [...values, manager.isHungry()];
  });
  expect(values).toEqual([2, 1, 0, 0, false]);
});

/** Hungry for, with a worker of 4 cores, 400 MB of memory and of disk, while these tasks wait. */
async function hungerFor(
  factor: number,
  tasks: readonly Partial<TaskOptions>[],
): Promise<number> {
  return await runWorkflow(async ({ Manager, startWorker, until }) => {
    const { factor, tasks } = JSON.parse(process.argv[2] ?? "");
    // Nothing is given out before a second worker is there.
    const policies = { hungryMinimum: 2, hungryFactor: factor, waitForWorkers: 2 };
    await using manager = await Manager.start({ policies });
    await startWorker(manager, { args: ["--cores", "4", "--memory", "400MB", "--disk", "400MB"] });
    for (const task of tasks) manager.submit({ command: "true", ...task });
    await until(() => manager.status().tasks.ready === tasks.length, "they wait");
    return manager.hungry();
  }, { scriptArgs: [JSON.stringify({ factor, tasks })] });
}

for (const factor of [2, 3, 10]) {
  test(`hungry() is ${factor} times what a worker has room for (TR_vine_hungry, factor)`, async () => {
    expect(await hungerFor(factor, [])).toBe(4 * factor);
  });
}

test("hungry() goes by the cores of what waits (TR_vine_hungry, cores)", async () => {
  expect(await hungerFor(2, [{ cores: 2 }])).toBe(2 * 4 / 2 - 1);
});

test("hungry() goes by the memory of what waits (TR_vine_hungry, memory)", async () => {
  expect(await hungerFor(2, [{ cores: 1, memory: "200MB" }])).toBe(2 * 400 / 200 - 1);
});

test("hungry() goes by the mean of sizes that differ (TR_vine_hungry, mixed)", async () => {
  expect(await hungerFor(2, [{ cores: 1 }, { cores: 3 }])).toBe(2 * 4 / 2 - 2);
});

test("hungry() is less by what runs, of the size of that (TR_vine_hungry, with worker)", async () => {
  const values = await runWorkflow(async ({ Manager, until }) => {
    await using manager = await Manager.start({
      workers: { cores: 4, memory: "400MB" },
      policies: { hungryMinimum: 2 },
    });
    const running = manager.submit({ command: "sleep 600", cores: 2 });
    await until(() => running.state === "running", "it runs");
    return manager.hungry();
  });
  expect(values).toBe((2 * 4 - 2) / 2);
});
