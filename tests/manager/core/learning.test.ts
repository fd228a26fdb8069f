import { expect, test } from "bun:test";

import type { CategoryMode } from "../../../manager/core/category.ts";
import type { TaskId } from "../../../shared/ids.ts";
import { ManagerFixture } from "./fixture.ts";

const GB = 1_000_000_000;

const WISH = { request: {}, category: "blast" };

/** A worker, and a category of that mode. */
function learning(mode: CategoryMode): ManagerFixture {
  const fixture = new ManagerFixture();
  fixture.joins("worker", { cores: 4, memoryBytes: 8 * GB, diskBytes: 40 * GB });
  fixture.category("blast", { mode });
  return fixture;
}

/** A task of the category that used that much memory, in GB, for a second. */
function runs(fixture: ManagerFixture, used: number, cores = 1): void {
  const task = fixture.submits(WISH);
  const usage = { cores, memoryBytes: used * GB, diskBytes: used * GB / 10 };
  fixture.finishes("worker", task, { used: usage, ranMs: 1_000 });
}

/** GB of memory that the next task is given. */
function next(fixture: ManagerFixture): number {
  const task = fixture.submits(WISH);
  const { memoryBytes } = fixture.allocated("worker", task).resources;
  fixture.cancels(task);
  fixture.finishes("worker", task, { outcome: "cancelled" });
  return memoryBytes / GB;
}

test("learn() gives whole workers until the category has had 25 successes", () => {
  const fixture = learning("max");
  for (let count = 0; count < 24; count++) runs(fixture, 1);
  expect(next(fixture)).toBe(8);
  runs(fixture, 1);
  // 1 GB, and a third of 0.25 more, is in the bucket that ends at 1.25.
  expect(next(fixture)).toBe(1.25);
});

test("learn() follows from the policy when successes are enough", () => {
  const fixture = learning("max");
  fixture.tunes({ categorySteadyTasks: 2 });
  runs(fixture, 2);
  expect(next(fixture)).toBe(8);
  runs(fixture, 2);
  expect(next(fixture)).toBe(2.25);
});

test("learn() takes a new most into account at once, and other successes every 25", () => {
  const fixture = learning("max");
  for (let count = 0; count < 25; count++) runs(fixture, 0.1);
  expect(next(fixture)).toBe(0.25);
  runs(fixture, 2);
  expect(next(fixture)).toBe(2.25);
});

test("learn() rounds mean cores up, and never gives less than one", () => {
  const fixture = learning("max");
  for (let count = 0; count < 25; count++) runs(fixture, 1, count === 9 ? 2.3 : 0.1);
  const task = fixture.submits(WISH);
  expect(fixture.allocated("worker", task).resources.cores).toBe(3);
});

test("learn() takes the allocation by which most tasks are done in mode max_throughput", () => {
  const fixture = learning("max_throughput");
  // 20 of 25 used 0.25 GB, 5 used 4: (16 * 0.8 + 0.2) / 1.2 = 10.8 tasks, against 1.
  for (let count = 0; count < 25; count++) runs(fixture, count % 5 === 0 ? 4 : 0.25);
  expect(next(fixture)).toBe(0.25);
});

test("learn() takes the allocation that wastes least in mode min_waste", () => {
  const fixture = learning("min_waste");
  // 10 of 25 used 1 GB, 15 used 2: 1 + 2 * 0.6 = 2.2 GB s at 1, against 2.
  for (let count = 0; count < 25; count++) runs(fixture, count < 10 ? 1 : 2);
  expect(next(fixture)).toBe(2);
});

test("learn() has what was learnt in one mode used in another that is set later", () => {
  const fixture = learning("min_waste");
  for (let count = 0; count < 25; count++) runs(fixture, count < 10 ? 1 : 2);
  fixture.category("blast", { mode: "max" });
  expect(next(fixture)).toBe(2.25);
  fixture.category("blast", { mode: "fixed" });
  // A core, and its share of the memory.
  expect(next(fixture)).toBe(2);
});

test("learn() gives no more than any worker has, whoever comes and goes", () => {
  const fixture = learning("max");
  for (let count = 0; count < 25; count++) runs(fixture, 8);
  expect(next(fixture)).toBe(8);
  fixture.joins("larger", { cores: 1, memoryBytes: 9 * GB });
  const task = fixture.submits(WISH);
  expect(fixture.allocated("larger", task).resources.memoryBytes).toBe(8.25 * GB);
});

test("learn() draws from the buckets of ten samples for each try in modes of bucketing", () => {
  for (const mode of ["greedy_bucketing", "exhaustive_bucketing"] as const) {
    const fixture = learning(mode);
    for (let count = 0; count < 9; count++) runs(fixture, count % 2 === 0 ? 0.2 : 4);
    expect(next(fixture)).toBe(1);
    for (let count = 9; count < 20; count++) runs(fixture, count % 2 === 0 ? 0.2 : 4);
    const given = new Set(Array.from({ length: 40 }, () => next(fixture)));
    expect([...given].sort()).toEqual([0.2, 4]);
  }
});

test("noteUse() takes no more for used than a worker has, whatever it says", () => {
  const fixture = learning("max");
  for (let count = 0; count < 25; count++) runs(fixture, 1e6, 1e6);
  const task = fixture.submits(WISH);
  const { cores, memoryBytes } = fixture.allocated("worker", task).resources;
  expect([cores, memoryBytes / GB]).toEqual([4, 8]);
});

test("noteUse() learns nothing of a category that does not", () => {
  const fixture = learning("fixed");
  for (let count = 0; count < 50; count++) runs(fixture, 1);
  expect(fixture.state.categories.get("blast")?.learning).toBeUndefined();
});

test("what was learnt of a category that nobody declared outlives its tasks", () => {
  const fixture = learning("fixed");
  fixture.tunes({ categoryMode: "max", categorySteadyTasks: 1 });
  const first = fixture.submits({ request: {}, category: "other" });
  fixture.finishes("worker", first, { used: { memoryBytes: GB } });
  expect(fixture.state.tasks.size).toBe(0);
  const second = fixture.submits({ request: {}, category: "other" });
  expect(fixture.allocated("worker", second).resources.memoryBytes / GB).toBe(1.25);
});

test("rampDown has a try of a category that learns take a worker that has nothing to do", () => {
  const fixture = learning("max");
  fixture.tunes({ categorySteadyTasks: 1 });
  runs(fixture, 1);
  fixture.tunes({ rampDown: true });
  const task = fixture.submits(WISH);
  const { cores, memoryBytes } = fixture.allocated("worker", task).resources;
  expect([cores, memoryBytes / GB]).toEqual([4, 8]);
  fixture.finishes("worker", task, { used: { memoryBytes: GB } });
  // Two tasks and one worker: each takes what was learnt.
  fixture.submits(WISH, WISH);
  const last = [...fixture.state.tasks.keys()].at(-1) as TaskId;
  expect(fixture.allocated("worker", last).resources.memoryBytes / GB).toBe(1.25);
});

test("noteShortage() has max_throughput reckon with tasks that have not succeeded yet", () => {
  const fixture = learning("max_throughput");
  for (let count = 0; count < 25; count++) runs(fixture, count === 0 ? 1 : 0.25);
  expect(next(fixture)).toBe(0.25);
  const limit = 0.25 * GB;
  for (let count = 0; count < 100; count++) {
    const task = fixture.submits(WISH);
    const used = { memoryBytes: 0.9 * GB };
    const exceeded = { resource: "memory", limit, used: 0.9 * GB } as const;
    fixture.finishes("worker", task, {
      outcome: "resources_exhausted",
      used,
      exceeded,
      ranMs: 500,
    });
    fixture.cancels(task);
    fixture.finishes("worker", task, { outcome: "cancelled" });
  }
  // 24 of 125 fit 0.25 GB: (4 * 0.19 + 0.81) s a task of 0.6 s and 0.4 s again, against 1 of 0.6.
  expect(next(fixture)).toBe(1);
});

test("demandOf() keeps no disk free of which a guess is as much as any worker has", () => {
  const fixture = new ManagerFixture({ categoryMode: "greedy_bucketing" });
  fixture.joins("a", { diskBytes: 4e8 });
  const task = fixture.submits({ request: { cores: 1 } });
  const { held, shares } = fixture.allocated("a", task);
  expect(held.diskBytes).toBe(0);
  expect(shares).toEqual(["disk"]);
});
