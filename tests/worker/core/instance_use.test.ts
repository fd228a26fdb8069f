import { expect, test } from "bun:test";

import type { InstanceId } from "../../../shared/ids.ts";
import { NO_RESOURCES } from "../../../shared/resources.ts";
import { memoryShare } from "../../../worker/core/instance_use.ts";
import { factsOf, WorkerFixture } from "./fixture.ts";

const GB = 1e9;

/** 4 cores, 16 GiB and a disk of 10,000 bytes, with an instance 1 of one core and a call 1 in it. */
function withInstance(amounts: { memoryBytes?: number; diskBytes?: number } = {}): WorkerFixture {
  const fixture = WorkerFixture.connected({
    cores: 4,
    diskBytes: 10_000,
    cached: [factsOf("module")],
  });
  fixture.startsInstance(1, { resources: { ...NO_RESOURCES, cores: 1, ...amounts } });
  fixture.feed({ kind: "instance_ready", instanceId: 1 as InstanceId });
  fixture.isGiven(1, { library: "digits", outputs: ["made"] });
  return fixture;
}

test("measureInstance() counts what an instance has, until it is gone", () => {
  const fixture = withInstance();
  fixture.measuresInstance(1, "disk", 4_000);
  fixture.measuresInstance(1, "memory", 2 * GB);
  expect(fixture.state.disk.runningBytes).toBe(4_000);
  expect(fixture.state.memoryBytes).toBe(2 * GB);
  const instanceId = 1 as InstanceId;
  fixture.feed({ kind: "instance_gone", instanceId, reason: "died", message: "" });
  expect([fixture.state.disk.runningBytes, fixture.state.memoryBytes]).toEqual([0, 0]);
  // It ended while it was looked at.
  fixture.measuresInstance(1, "memory", 2 * GB);
  expect(fixture.state.memoryBytes).toBe(0);
});

test("measureInstance() stops an instance that has more than all of the disk, and names its library", () => {
  const fixture = withInstance();
  fixture.measuresInstance(1, "disk", 30_000);
  expect(fixture.orders).toEqual(["stop instance 1"]);
  expect(fixture.instructions[0]).toMatchObject({
    stop: {
      outcome: "disk_full",
      isAmbiguous: true,
      message:
        'The instance of library "digits" was stopped: its directory had 30 kB on the disk, ' +
        "none of it stated, which with what else is held is 20 kB more than the 10 kB of disk of " +
        "this worker, and nothing else can go",
    },
  });
  // Its end is awaited.
  fixture.measuresInstance(1, "disk", 40_000);
  expect(fixture.orders).toEqual([]);
});

test("stopOvergrown() stops whoever has grown most, be it a try or an instance", () => {
  for (
    const [tryBytes, instanceBytes, stopped] of [
      [4_000, 6_000, "stop instance 1"],
      [6_000, 4_000, "stop 2.1 as disk_full"],
    ] as const
  ) {
    const fixture = withInstance({ diskBytes: 500 });
    fixture.deletes("module");
    fixture.isGiven(2, {});
    fixture.measures(2, tryBytes);
    fixture.measuresInstance(1, "disk", instanceBytes);
    fixture.hears({ kind: "room_answered" });
    fixture.passes(3_000);
    fixture.measures(2, tryBytes + 1);
    expect(fixture.orders).toEqual([stopped]);
  }
});

test("stopOverdrawn() stops the instance that is furthest above what it may expect", () => {
  const fixture = withInstance();
  fixture.isGiven(2, { memoryBytes: 8 * GB });
  fixture.findsInMemory(2, 9 * GB);
  fixture.measuresInstance(1, "memory", 9 * GB);
  expect(fixture.orders).toEqual(["stop instance 1"]);
  const limit = 2 ** 34 - 9 * GB;
  expect(fixture.instructions[0]).toMatchObject({
    stop: {
      outcome: "resources_exhausted",
      exceeded: { resource: "memory", limit, used: 9 * GB },
      isAmbiguous: true,
    },
  });
  fixture.findsInMemory(2, 10 * GB);
  expect(fixture.orders).toEqual([]);
});

test("stopExceeding() stops an instance once, and gives it no more calls", () => {
  const fixture = withInstance();
  const exceeded = { resource: "memory", limit: 1 * GB, used: 2 * GB } as const;
  const event = { kind: "instance_exceeded", instanceId: 1 as InstanceId, exceeded } as const;
  fixture.feed(event);
  expect(fixture.orders).toEqual(["stop instance 1"]);
  expect(fixture.instructions[0]).toMatchObject({
    stop: {
      outcome: "resources_exhausted",
      exceeded,
      isAmbiguous: false,
      message:
        'The instance of library "digits" was stopped: its processes had 2 GB of memory in ' +
        "use, 1 GB were stated for it",
    },
  });
  fixture.feed(event);
  expect(fixture.orders).toEqual([]);
  fixture.answers(1, { outcome: "resources_exhausted" });
  fixture.isGiven(2, { library: "digits" });
  expect(fixture.orders).toEqual([]);
});

test("takeFromInstance() counts what a call has made once, in the cache", () => {
  const fixture = withInstance();
  fixture.measuresInstance(1, "disk", 1_500);
  const result = {
    ...fixture.result(1),
    outputs: [factsOf("made", 1)],
  };
  fixture.feed({ kind: "calls_ended", ends: [{ taskId: result.taskId, try: 1, result }] });
  expect(fixture.state.disk.runningBytes).toBe(500);
  expect(fixture.state.disk.cachedBytes).toBe(1_000);
});

test("memoryShare() is what a library states, or else as its cores of the worker", () => {
  const all = { ...NO_RESOURCES, cores: 8, memoryBytes: 16 };
  expect(memoryShare(all, { ...NO_RESOURCES, cores: 2, memoryBytes: 1 })).toBe(1);
  expect(memoryShare(all, { ...NO_RESOURCES, cores: 2 })).toBe(4);
});
