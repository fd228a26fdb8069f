/**
 * TaskVine's behaviour: what a task is allocated of a worker of 16 cores, 160 MB of memory, 160 MB
 * of disk and 8 GPUs (TR_vine_allocations), with exactly its numbers where the rules are the same.
 */

import { expect, test } from "bun:test";

import type { CategoryOptions, Resources, TaskOptions } from "../../../mod.ts";
import { runWorkflow } from "./workflow.ts";

const MB = 1_000_000;

/** What a task that states `wishes` is allocated, of a category that is as `category` says. */
async function allocationOf(
  wishes: Partial<TaskOptions>,
  category: CategoryOptions = {},
): Promise<Resources | undefined> {
  return await runWorkflow(async ({ Manager }) => {
    await using manager = await Manager.start({
      workers: { cores: 16, memory: "160MB", disk: "160MB", gpus: 8 },
    });
    const { wishes, category } = JSON.parse(process.argv[2] ?? "");
    manager.category("some", category);
    return (await manager.submit({ command: "true", category: "some", ...wishes })).allocated;
  }, { scriptArgs: [JSON.stringify({ wishes, category })] });
}

test("What is stated is what is allocated (TR_vine_allocations, all specified)", async () => {
  expect(await allocationOf({ cores: 1, memory: "2MB", disk: "3MB", gpus: 4 })).toEqual({
    cores: 1,
    memoryBytes: 2 * MB,
    diskBytes: 3 * MB,
    gpus: 4,
  });
});

test("No GPU is allocated unless it is stated (TR_vine_allocations, no gpu)", async () => {
  expect(await allocationOf({ cores: 1, memory: "2MB", disk: "3MB" })).toEqual({
    cores: 1,
    memoryBytes: 2 * MB,
    diskBytes: 3 * MB,
    gpus: 0,
  });
});

test("With GPUs and no cores stated there are 0 cores (TR_vine_allocations, no cores)", async () => {
  expect(await allocationOf({ gpus: 4, memory: "2MB", disk: "3MB" })).toEqual({
    cores: 0,
    memoryBytes: 2 * MB,
    diskBytes: 3 * MB,
    gpus: 4,
  });
});

// TaskVine gives the whole worker; here one core and its share, as HyperQueue and Dask do.
test("With nothing stated there is one core and its share (TR_vine_allocations, all zero)", async () => {
  expect(await allocationOf({})).toEqual({
    cores: 1,
    memoryBytes: 160 * MB / 16,
    diskBytes: 0.75 * 160 * MB / 16,
    gpus: 0,
  });
});

test("With half of the memory stated there is half of the rest (TR_vine_allocations)", async () => {
  expect(await allocationOf({ memory: "80MB" })).toEqual({
    cores: 8,
    memoryBytes: 80 * MB,
    diskBytes: 0.75 * 160 * MB / 2,
    gpus: 0,
  });
});

test("With all cores stated there is all of the rest (TR_vine_allocations, only cores)", async () => {
  expect(await allocationOf({ cores: 16 })).toEqual({
    cores: 16,
    memoryBytes: 160 * MB,
    diskBytes: 0.75 * 160 * MB,
    gpus: 0,
  });
});

test("With one core stated there is its share (TR_vine_allocations, proportional)", async () => {
  expect(await allocationOf({ cores: 1 })).toEqual({
    cores: 1,
    memoryBytes: 160 * MB / 16,
    diskBytes: 0.75 * 160 * MB / 16,
    gpus: 0,
  });
});

test("A share is no less than the least of its category (TR_vine_allocations, minimum)", async () => {
  const category = { min: { cores: 3, gpus: 2, disk: "100MB" } };
  expect(await allocationOf({ memory: "80MB" }, category)).toEqual({
    cores: 3,
    memoryBytes: 80 * MB,
    diskBytes: 100 * MB,
    gpus: 2,
  });
});

for (const mode of ["max", "min_waste", "max_throughput"] as const) {
  test(`The first tasks of mode ${mode} have the whole worker (TR_vine_allocations)`, async () => {
    expect(await allocationOf({}, { mode })).toEqual({
      cores: 16,
      memoryBytes: 160 * MB,
      diskBytes: 0.75 * 160 * MB,
      gpus: 0,
    });
  });
}

// As TaskVine's buckets begin: 1 core, 1 GB of memory and of disk, here all that the worker has. Its
// own test expects what 2 cores are worth, and no factor of 0.75 either.
for (const mode of ["greedy_bucketing", "exhaustive_bucketing"] as const) {
  test(`The first tasks of mode ${mode} have one core, 1 GB and 1 GB (TR_vine_allocations)`, async () => {
    expect(await allocationOf({}, { mode })).toEqual({
      cores: 1,
      memoryBytes: 160 * MB,
      diskBytes: 160 * MB,
      gpus: 0,
    });
  });
}
