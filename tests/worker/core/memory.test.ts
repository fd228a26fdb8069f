import { expect, test } from "bun:test";

import { NO_RESOURCES } from "../../../shared/resources.ts";
import { describeExceeded, exceededLimit, limitOf } from "../../../worker/core/limit.ts";
import { WorkerFixture } from "./fixture.ts";

const GB = 1e9;

/** A worker with 16 GiB of memory, on which tries of these allocations run. */
function running(...allocated: number[]): WorkerFixture {
  const fixture = WorkerFixture.connected({ cores: 4 });
  fixture.isGiven(1, ...allocated.map((memoryBytes) => ({ memoryBytes })));
  return fixture;
}

test("measureMemory() adds up what tries have, and forgets one that has ended", () => {
  const fixture = running(0, 0);
  fixture.findsInMemory(1, 3 * GB);
  fixture.findsInMemory(2, 2 * GB);
  fixture.findsInMemory(1, 1 * GB);
  expect(fixture.state.memoryBytes).toBe(3 * GB);
  fixture.finishes(1);
  // It ended while it was looked at.
  fixture.findsInMemory(1, 9 * GB);
  expect(fixture.state.memoryBytes).toBe(2 * GB);
  expect(fixture.orders).toEqual([]);
});

test("measureMemory() stops the try that is furthest above its share once there is none left", () => {
  const fixture = running(8 * GB, 2 * GB, 1 * GB);
  fixture.findsInMemory(1, 9 * GB);
  fixture.findsInMemory(2, 6 * GB);
  expect(fixture.orders).toEqual([]);
  fixture.findsInMemory(3, 3 * GB);
  expect(fixture.orders).toEqual(["stop 2.1 as resources_exhausted"]);
  const limit = 2 ** 34 - 12 * GB;
  expect(fixture.instructions[0]).toMatchObject({
    exceeded: { resource: "memory", limit, used: 6 * GB },
  });
  // Room comes of the one that is being stopped.
  fixture.findsInMemory(3, 4 * GB);
  expect(fixture.orders).toEqual([]);
  fixture.finishes(2, { outcome: "resources_exhausted" });
  expect(fixture.state.memoryBytes).toBe(13 * GB);
});

test("measureMemory() stops nobody that keeps to its allocation", () => {
  const fixture = running(9 * GB, 9 * GB);
  fixture.findsInMemory(1, 9 * GB);
  fixture.findsInMemory(2, 9 * GB);
  expect(fixture.orders).toEqual([]);
});

test("exceededLimit() is of amounts that were stated, and of no share and no zero", () => {
  const shape = { resources: { ...NO_RESOURCES, memoryBytes: 500, diskBytes: 100 } };
  expect(exceededLimit(shape, { resource: "memory", bytes: 500 })).toBeUndefined();
  expect(exceededLimit(shape, { resource: "memory", bytes: 501 })).toEqual({
    resource: "memory",
    limit: 500,
    used: 501,
  });
  expect(exceededLimit(shape, { resource: "disk", bytes: 101 })?.limit).toBe(100);
  const shared = { ...shape, shares: ["memory" as const] };
  expect(exceededLimit(shared, { resource: "memory", bytes: 501 })).toBeUndefined();
  expect(exceededLimit(shared, { resource: "disk", bytes: 101 })?.limit).toBe(100);
  expect(limitOf({ resources: NO_RESOURCES }, "memory")).toBe(Infinity);
});

test("describeExceeded() says what there was and what was allowed in units for people", () => {
  const memory = { resource: "memory", limit: 500e6, used: 612e6 } as const;
  expect(describeExceeded(memory, { isShare: false })).toBe(
    "The try was stopped: its processes had 612 MB of memory in use, 500 MB were allocated",
  );
  expect(describeExceeded(memory, { isShare: true })).toBe(
    "The try was stopped: its processes had 612 MB of memory in use, which with what the " +
      "others use is more than this worker has: 500 MB were left for it",
  );
  expect(describeExceeded({ resource: "disk", limit: 1e8, used: 2e8 }, { isShare: false })).toBe(
    "The try was stopped: its sandbox had 200 MB on the disk, 100 MB were allocated",
  );
});
