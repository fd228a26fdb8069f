/**
 * What one task is given of a worker of 16 cores, 8 GB of memory, 16 GB of disk and 4 gpus: the
 * cases of TaskVine's `TR_vine_allocations`, with what differs on purpose.
 */

import { expect, test } from "bun:test";

import type { CategoryChange } from "../../../manager/core/event.ts";
import { DEFAULT_POLICIES, type Policies } from "../../../manager/core/policy.ts";
import type { ResourceRequest } from "../../../shared/resources.ts";
import { ManagerFixture } from "./fixture.ts";

const GB = 1_000_000_000;

const WORKER = { cores: 16, memoryBytes: 8 * GB, diskBytes: 16 * GB, gpus: 4 };

interface Case {
  readonly request?: ResourceRequest;
  readonly category?: Omit<CategoryChange, "name">;
  readonly policies?: Partial<Policies>;
}

/** `[cores, GB of memory, GB of disk, gpus]` that the task is given, and what of it is no limit. */
function given({ request = {}, category, policies = {} }: Case): [number[], readonly string[]] {
  const fixture = new ManagerFixture({ ...DEFAULT_POLICIES, ...policies });
  if (category !== undefined) fixture.category("case", category);
  fixture.joins("worker", WORKER);
  const task = fixture.submits({ request, category: "case" });
  const { resources, shares } = fixture.allocated("worker", task);
  const { cores, memoryBytes, diskBytes, gpus } = resources;
  return [[cores, memoryBytes / GB, diskBytes / GB, gpus], shares];
}

test("allocate() gives what is stated, where all is", () => {
  const request = { cores: 2, memoryBytes: 3 * GB, diskBytes: 5 * GB, gpus: 1 };
  expect(given({ request })).toEqual([[2, 3, 5, 1], []]);
});

test("allocate() gives no gpu unless one is stated", () => {
  const request = { cores: 2, memoryBytes: 3 * GB, diskBytes: 5 * GB };
  expect(given({ request })).toEqual([[2, 3, 5, 0], []]);
});

test("allocate() gives no cores where gpus are stated without", () => {
  const request = { memoryBytes: 3 * GB, diskBytes: 5 * GB, gpus: 1 };
  expect(given({ request })).toEqual([[0, 3, 5, 1], []]);
});

test("allocate() gives nothing where nothing is stated as the amount of each", () => {
  // TaskVine takes all zeros for nothing stated, and gives the whole worker, of the disk 0.75.
  const request = { cores: 0, memoryBytes: 0, diskBytes: 0, gpus: 0 };
  expect(given({ request })).toEqual([[0, 0, 0, 0], []]);
});

test("allocate() gives one core with its share where nothing is stated", () => {
  // TaskVine gives the whole worker: [16, 8, 12, 0].
  expect(given({})).toEqual([[1, 0.5, 0.75, 0], ["memory", "disk"]]);
});

test("allocate() gives half of the rest with half of the memory", () => {
  expect(given({ request: { memoryBytes: 4 * GB } })).toEqual([[8, 4, 6, 0], ["disk"]]);
});

test("allocate() gives no share that is smaller than the least of the category", () => {
  const category = { min: { cores: 3, diskBytes: 2 * GB } };
  expect(given({ request: { memoryBytes: GB }, category })).toEqual([[3, 1, 2, 0], ["disk"]]);
  const much = { min: { cores: 3, diskBytes: GB } };
  expect(given({ request: { memoryBytes: 4 * GB }, category: much })).toEqual([[8, 4, 6, 0], [
    "disk",
  ]]);
});

test("allocate() gives the share of the cores that are stated", () => {
  expect(given({ request: { cores: 4 } })).toEqual([[4, 2, 3, 0], ["memory", "disk"]]);
  expect(given({ request: { cores: 1 } })).toEqual([[1, 0.5, 0.75, 0], ["memory", "disk"]]);
});

test("allocate() gives a whole number of tasks room, where the policy says so", () => {
  const policies = { proportionalWholeTasks: true };
  // Three times 5 of 16 cores: each has a third of the rest.
  const [[cores, memory], shares] = given({ request: { cores: 5 }, policies });
  expect([cores, memory, shares]).toEqual([5, Math.floor(8 * GB / 3) / GB, ["memory", "disk"]]);
});

test("allocate() gives all of what is not stated, where shares are off", () => {
  const policies = { proportionalResources: false };
  expect(given({ request: { cores: 1 }, policies })).toEqual([[1, 8, 12, 0], ["memory", "disk"]]);
});

test("allocate() gives a whole worker while nothing is known of a category that learns", () => {
  for (const mode of ["max", "min_waste", "max_throughput"] as const) {
    expect(given({ category: { mode } })).toEqual([[16, 8, 12, 0], ["memory", "disk"]]);
  }
  expect(given({ policies: { categoryMode: "min_waste" } })[0]).toEqual([16, 8, 12, 0]);
});

test("allocate() gives the defaults of bucketing while nothing is known of a category", () => {
  // TaskVine's own test has twice as much, which its worker is large enough for two of.
  for (const mode of ["greedy_bucketing", "exhaustive_bucketing"] as const) {
    expect(given({ category: { mode } })).toEqual([[1, 1, 1, 0], []]);
  }
});

test("allocate() gives the first guess of a category, within its bounds", () => {
  const first = { memoryBytes: 2 * GB };
  expect(given({ category: { first } })).toEqual([[4, 2, 3, 0], ["disk"]]);
  expect(given({ category: { first, max: { memoryBytes: GB } } })[0]).toEqual([2, 1, 1.5, 0]);
  // A guess of more than any worker has is of all of it.
  const far = { memoryBytes: 64 * GB };
  expect(given({ category: { first: far } })[0]).toEqual([16, 8, 12, 0]);
  // What a task states is its own.
  const request = { memoryBytes: 3 * GB };
  expect(given({ request, category: { max: { memoryBytes: GB } } })[0]?.[1]).toBe(3);
});

test("allocate() takes all of a disk for a share: what is cached there is on it as well", () => {
  const request = { cores: 1, diskBytes: Infinity };
  expect(given({ request })).toEqual([[1, 8, 16, 0], ["memory", "disk"]]);
});
