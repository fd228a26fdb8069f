import { expect, test } from "bun:test";

import type { InstanceId, TaskId } from "../../../shared/ids.ts";
import { NO_RESOURCES } from "../../../shared/resources.ts";
import { factsOf, WorkerFixture } from "./fixture.ts";

const CALL = { library: "digits" };
const WIDE = { ...CALL, cores: 2 };

/** A worker whose instance 1, of one core, is ready. */
function withInstance(cores: number, slots: number): WorkerFixture {
  const fixture = WorkerFixture.connected({ cores, cached: [factsOf("module")] });
  fixture.startsInstance(1, { slots });
  fixture.feed({ kind: "instance_ready", instanceId: 1 as InstanceId });
  return fixture;
}

test("startOwnCall() holds what the call states until it ends", () => {
  const fixture = withInstance(4, 4);
  fixture.isGiven(1, { ...WIDE, diskBytes: 1_000 });
  expect(fixture.orders).toEqual(["call 1 in 1"]);
  expect(fixture.state.used.cores).toBe(3);
  expect(fixture.state.disk.runningBytes).toBe(1_000);
  fixture.answers(1);
  expect(fixture.state.used.cores).toBe(1);
  expect(fixture.state.disk.runningBytes).toBe(0);
});

test("awaitRoom() has a call wait that has a slot and no room, while others go by", () => {
  const fixture = withInstance(4, 4);
  fixture.isGiven(1, WIDE, WIDE, CALL, {});
  expect(fixture.orders).toEqual(["call 1 in 1", "run 4.1", "call 3 in 1"]);
  fixture.answers(1);
  expect(fixture.orders).toEqual(["call 2 in 1"]);
});

test("awaitRoom() has a call wait that has room and no slot, and hold nothing of it", () => {
  const fixture = withInstance(4, 1);
  fixture.isGiven(1, CALL);
  fixture.isGiven(2, { ...CALL, cores: 3 });
  expect(fixture.orders).toEqual([]);
  fixture.isGiven(3, { cores: 3 });
  expect(fixture.orders).toEqual(["run 3.1"]);
  fixture.answers(1);
  expect(fixture.orders).toEqual([]);
  fixture.finishes(3);
  expect(fixture.orders).toEqual(["call 2 in 1"]);
});

test("comesFirst() has calls with resources and tasks share the room by priority", () => {
  const fixture = withInstance(3, 4);
  fixture.isGiven(1, { cores: 2 });
  fixture.isGiven(2, { cores: 2 }, { ...WIDE, priority: 1 }, { cores: 2, priority: 2 });
  expect(fixture.orders).toEqual([]);
  fixture.finishes(1);
  expect(fixture.orders).toEqual(["run 4.1"]);
  fixture.finishes(4);
  expect(fixture.orders).toEqual(["call 3 in 1"]);
  fixture.answers(3);
  expect(fixture.orders).toEqual(["run 2.1"]);
});

test("plainBefore() gives the slot to a call of higher priority that states nothing", () => {
  const fixture = withInstance(4, 1);
  fixture.isGiven(1, CALL);
  fixture.isGiven(2, WIDE, { ...CALL, priority: 1 }, CALL);
  fixture.answers(1);
  expect(fixture.orders).toEqual(["call 3 in 1"]);
  fixture.answers(3);
  // The other one is short, as far as is known: it waits inside.
  expect(fixture.orders).toEqual(["call 2 in 1", "call 4 in 1"]);
});

test("isSlotAwaited() keeps short calls from taking each slot before it is free", () => {
  const fixture = withInstance(4, 1);
  // They are short: many wait inside the instance.
  fixture.isGiven(1, CALL);
  fixture.answers(1);
  fixture.isGiven(2, ...Array.from({ length: 10 }, () => CALL));
  const inside = fixture.state.instances.get(1 as InstanceId)!.running;
  expect(inside.size).toBeGreaterThan(1);
  fixture.isGiven(20, { ...WIDE, priority: 1 });
  const insideCount = inside.size;
  for (let taskId = 2; taskId < 2 + insideCount; taskId++) {
    expect(fixture.orders).toEqual([]);
    fixture.answers(taskId);
  }
  expect(fixture.orders[0]).toBe("call 20 in 1");
});

test("endInstance() gives back what the calls in it hold", () => {
  const fixture = withInstance(4, 4);
  fixture.isGiven(1, WIDE);
  const gone = { instanceId: 1 as InstanceId, reason: "died", message: "killed" } as const;
  fixture.feed({ kind: "instance_gone", ...gone });
  expect(fixture.state.used).toEqual(NO_RESOURCES);
  // Another one waits for an instance, and holds nothing.
  fixture.isGiven(2, WIDE);
  expect(fixture.orders).toEqual([]);
  fixture.startsInstance(2, { slots: 1 });
  expect(fixture.orders).toEqual(["start instance 2"]);
  fixture.feed({ kind: "instance_ready", instanceId: 2 as InstanceId });
  expect(fixture.orders).toEqual(["call 2 in 2"]);
});

test("killTry() and recallTry() take back a call that waits for room, and free its slot", () => {
  const fixture = withInstance(3, 4);
  fixture.isGiven(1, WIDE, WIDE, WIDE, WIDE);
  fixture.kills(2);
  expect(fixture.toldOf("result")).toMatchObject([{ result: { outcome: "cancelled" } }]);
  fixture.hears({ kind: "recall", taskId: 3 as TaskId, try: 1 });
  expect(fixture.told).toMatchObject([{ kind: "recalled", taskId: 3 }]);
  fixture.kills(1);
  expect(fixture.orders).toEqual(["stop call 1.1"]);
  fixture.answers(1, { outcome: "cancelled" });
  expect(fixture.orders).toEqual(["call 4 in 1"]);
});

test("startRunning() leaves the time of a call to its instance, which knows when it begins", () => {
  const fixture = withInstance(1, 1);
  fixture.isGiven(1, { ...CALL, timeoutMs: 100 });
  expect(fixture.instructions).toMatchObject([{ kind: "call", shapes: [{ timeoutMs: 100 }] }, {}]);
  fixture.passes(1_000);
  expect(fixture.orders).toEqual([]);
});

test("stopOverdrawn() counts what calls state to what their instance may have", () => {
  const fixture = withInstance(4, 4);
  const half = 2 ** 33;
  fixture.isGiven(1, { memoryBytes: half / 2 }, { ...CALL, memoryBytes: half });
  fixture.measuresInstance(1, "memory", half * 1.2);
  fixture.findsInMemory(1, half * 0.9);
  expect(fixture.orders).toEqual(["stop 1.1 as resources_exhausted"]);
});
