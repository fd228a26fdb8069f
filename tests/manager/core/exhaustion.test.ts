import { expect, test } from "bun:test";

import type { TaskId } from "../../../shared/ids.ts";
import { ManagerFixture } from "./fixture.ts";
import type { TaskWish, WorkerWish } from "./wishes.ts";

const GB = 1_000_000_000;

const WORKER: WorkerWish = { cores: 4, memoryBytes: 8 * GB, diskBytes: 40 * GB };

/** The try of `task` at `worker` used `used` GB of memory, more than it had. */
function exhausts(
  fixture: ManagerFixture,
  { worker = "worker", task, used }: { worker?: string; task: TaskId; used: number },
): void {
  const { resources: { memoryBytes: limit } } = fixture.allocated(worker, task);
  const exceeded = { resource: "memory", limit, used: used * GB } as const;
  fixture.finishes(worker, task, { outcome: "resources_exhausted", message: "stopped", exceeded });
}

/** GB of memory of the newest try. */
function memoryOf(fixture: ManagerFixture, task: TaskId, worker = "worker"): number {
  return fixture.allocated(worker, task).resources.memoryBytes / GB;
}

function joined(...workers: [string, WorkerWish][]): ManagerFixture {
  const fixture = new ManagerFixture();
  for (const [name, wish] of workers) fixture.joins(name, wish);
  return fixture;
}

test("afterExhaustion() leaves what a task states to its retries", () => {
  const fixture = joined(["worker", WORKER]);
  const wish: TaskWish = { request: { memoryBytes: GB }, retries: 1 };
  const task = fixture.submits(wish);
  exhausts(fixture, { task, used: 1.1 });
  expect([memoryOf(fixture, task), fixture.task(task).failureCount]).toEqual([1, 1]);
  exhausts(fixture, { task, used: 1.1 });
  expect(fixture.outcome(task)).toBe("resources_exhausted");
});

test("afterExhaustion() gives a try all of a worker that had a share, and counts no failure", () => {
  const fixture = joined(["worker", WORKER]);
  const task = fixture.submits({ request: { cores: 1 } });
  exhausts(fixture, { task, used: 3 });
  expect(memoryOf(fixture, task)).toBe(8);
  expect(fixture.task(task).failureCount).toBe(0);
  fixture.finishes("worker", task);
  expect(fixture.outcome(task)).toBe("success");
});

test("afterExhaustion() has a try repeated only where there is more, and says when there is none", () => {
  const fixture = joined(["worker", WORKER]);
  const task = fixture.submits({ request: { cores: 1 }, retries: 9 });
  exhausts(fixture, { task, used: 3 });
  exhausts(fixture, { task, used: 9 });
  expect(fixture.ends.get(task)?.message).toBe(
    "stopped; it had 8 GB of memory on worker worker on host of worker, all that it has, and no " +
      "worker that could run it has more",
  );
});

test("afterExhaustion() sends a try that had all of its worker to a larger one", () => {
  const fixture = joined(["small", { ...WORKER, memoryBytes: 2 * GB }]);
  const task = fixture.submits({ request: { cores: 4 } });
  expect(memoryOf(fixture, task, "small")).toBe(2);
  fixture.joins("large", { ...WORKER, cores: 8 });
  exhausts(fixture, { worker: "small", task, used: 2.1 });
  expect(memoryOf(fixture, task, "large")).toBe(8);
});

test("afterExhaustion() names the max of a category that was too little", () => {
  const fixture = joined(["worker", WORKER]);
  fixture.category("blast", { max: { memoryBytes: GB } });
  const task = fixture.submits({ request: { cores: 1 }, category: "blast" });
  expect(memoryOf(fixture, task)).toBe(1);
  exhausts(fixture, { task, used: 1.5 });
  expect(fixture.ends.get(task)?.message).toBe(
    "stopped; it had 1 GB of memory on worker worker on host of worker, the max of category " +
      '"blast"',
  );
});

test("afterExhaustion() goes up to the max of a category in one step", () => {
  const fixture = joined(["worker", WORKER]);
  fixture.category("blast", { first: { memoryBytes: GB }, max: { memoryBytes: 3 * GB } });
  const task = fixture.submits({ request: { cores: 1 }, category: "blast" });
  exhausts(fixture, { task, used: 1.5 });
  expect(memoryOf(fixture, task)).toBe(3);
});

test("afterExhaustion() gives what the most of the category used, then all of a worker", () => {
  const fixture = joined(["worker", WORKER]);
  fixture.category("blast", { mode: "max_throughput" });
  for (let index = 0; index < 30; index++) {
    const done = fixture.submits({ request: {}, category: "blast" });
    const memoryBytes = index === 20 ? 2.9 * GB : 0.4 * GB;
    fixture.finishes("worker", done, { used: { memoryBytes }, ranMs: 1_000 });
  }
  const task = fixture.submits({ request: {}, category: "blast" });
  expect(memoryOf(fixture, task)).toBe(0.5);
  exhausts(fixture, { task, used: 0.6 });
  expect(memoryOf(fixture, task)).toBe(3);
  exhausts(fixture, { task, used: 3.1 });
  expect(memoryOf(fixture, task)).toBe(8);
});

test("afterExhaustion() doubles what bucketing gave, up to all of a worker", () => {
  const fixture = joined(["worker", WORKER]);
  fixture.category("blast", { mode: "greedy_bucketing" });
  const task = fixture.submits({ request: {}, category: "blast" });
  expect(memoryOf(fixture, task)).toBe(1);
  exhausts(fixture, { task, used: 1.01 });
  const second = memoryOf(fixture, task);
  expect(second).toBeGreaterThanOrEqual(2);
  expect(second).toBeLessThan(2.3);
  exhausts(fixture, { task, used: 2.5 });
  expect(memoryOf(fixture, task)).toBeGreaterThanOrEqual(5);
  exhausts(fixture, { task, used: 7 });
  expect(memoryOf(fixture, task)).toBe(8);
});

test("afterExhaustion() grows a disk that nobody stated by the policy's factor, not by its square", () => {
  const fixture = joined(["worker", WORKER]);
  fixture.category("blast", { first: { diskBytes: GB } });
  const task = fixture.submits({ request: { cores: 1 }, category: "blast" });
  const exceeded = { resource: "disk", limit: GB, used: 1.2 * GB } as const;
  fixture.finishes("worker", task, { outcome: "resources_exhausted", exceeded });
  const { resources: { diskBytes } } = fixture.allocated("worker", task);
  expect(diskBytes).toBeGreaterThanOrEqual(2.4 * GB);
  expect(diskBytes).toBeLessThan(2.7 * GB);
});

test("comesFirst() has what is repeated with more go before others of its priority", () => {
  const fixture = joined(["worker", { ...WORKER, cores: 1 }]);
  fixture.tunes({ dispatchAhead: 1, dispatchAheadMs: 0 });
  fixture.submits({ request: { cores: 1 } }, { request: { cores: 1 } }, { request: { cores: 1 } });
  const [first, second] = [1, 2] as TaskId[];
  fixture.finishes("worker", first!);
  // Task 2 is at the worker, 3 waits; 2 has to run again.
  const limit = 8 * GB;
  fixture.joins("larger", { ...WORKER, cores: 1, memoryBytes: 16 * GB });
  const exceeded = { resource: "memory", limit, used: 9 * GB } as const;
  fixture.finishes("worker", second!, { outcome: "resources_exhausted", exceeded });
  expect(fixture.task(second!).exhaustedCount).toBe(1);
  fixture.submits({ request: { cores: 1 } });
  fixture.finishes("larger", 3 as TaskId);
  expect(fixture.dispatched).toContain("larger 2.2");
});
