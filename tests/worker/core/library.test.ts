import { expect, test } from "bun:test";

import type { InstanceId } from "../../../shared/ids.ts";
import { factsOf, WorkerFixture } from "./fixture.ts";

const CALL = { library: "digits" };

/** A worker with the module, and an instance 1 that is ready. */
function withInstance(cores = 1, slots = 1): WorkerFixture {
  const fixture = WorkerFixture.connected({ cores, cached: [factsOf("module")] });
  fixture.startsInstance(1, { slots });
  fixture.feed({ kind: "instance_ready", instanceId: 1 as InstanceId });
  return fixture;
}

test("takeInstance() starts when its files are here and there is room", () => {
  const fixture = WorkerFixture.connected();
  fixture.isGiven(1, {});
  fixture.startsInstance(1);
  expect(fixture.orders).toEqual([]);
  fixture.brings(fixture.fetches("module"), factsOf("module"));
  expect(fixture.orders).toEqual([]);
  fixture.finishes(1);
  expect(fixture.orders).toEqual(["start instance 1"]);
});

test("startCalls() waits for a ready instance and keeps to its slots", () => {
  const fixture = WorkerFixture.connected({ cached: [factsOf("module")] });
  fixture.startsInstance(1, { slots: 2 });
  fixture.isGiven(1, CALL, CALL, CALL);
  expect(fixture.orders).toEqual([]);
  fixture.feed({ kind: "instance_ready", instanceId: 1 as InstanceId });
  expect(fixture.orders).toEqual(["call 1,2 in 1"]);
  fixture.answers(2);
  expect(fixture.orders).toEqual(["call 3 in 1"]);
  expect(fixture.state.callQueues.size).toBe(0);
});

test("startCalls() takes no cores for calls: their instance holds them", () => {
  const fixture = withInstance(1, 4);
  fixture.isGiven(1, CALL, CALL);
  expect(fixture.orders).toEqual(["call 1,2 in 1"]);
  fixture.isGiven(3, {});
  expect(fixture.orders).toEqual([]);
});

test("endInstance() ends the calls of an instance that died, to be repeated uncounted", () => {
  const fixture = withInstance();
  fixture.isGiven(1, CALL);
  const instanceId = 1 as InstanceId;
  fixture.feed({ kind: "instance_gone", instanceId, reason: "died", message: "killed by 9" });
  expect(fixture.told).toMatchObject([
    { kind: "result", result: { outcome: "library_failed", isAmbiguous: true } },
    { kind: "instance_gone", instanceId: 1, reason: "died", message: "killed by 9" },
  ]);
  expect(fixture.state.used.cores).toBe(0);
});

test("stopInstance() answers for an instance that has not started or is not known", () => {
  const fixture = WorkerFixture.connected();
  fixture.startsInstance(1);
  fixture.hears({ kind: "stop_instance", instanceId: 1 as InstanceId });
  fixture.hears({ kind: "stop_instance", instanceId: 9 as InstanceId });
  expect(fixture.toldOf("instance_gone")).toMatchObject([{ instanceId: 9, reason: "stopped" }]);
  expect(fixture.state.instances.size + fixture.state.waiters.size).toBe(0);
  fixture.brings(fixture.fetches("module"), factsOf("module"));
  expect(fixture.orders).toEqual([]);
});

test("stopInstance() gives the room back when the instance is gone", () => {
  const fixture = withInstance();
  fixture.isGiven(1, {});
  fixture.hears({ kind: "stop_instance", instanceId: 1 as InstanceId });
  expect(fixture.orders).toEqual(["stop instance 1"]);
  const instanceId = 1 as InstanceId;
  fixture.feed({ kind: "instance_gone", instanceId, reason: "stopped", message: "" });
  expect(fixture.orders).toEqual(["run 1.1"]);
});

test("killTry() stops one call of an instance", () => {
  const fixture = withInstance(1, 2);
  fixture.isGiven(1, CALL, CALL);
  fixture.kills(2);
  expect(fixture.orders).toEqual(["stop call 2.1"]);
  fixture.answers(2, { outcome: "cancelled" });
  expect(fixture.toldOf("result")).toMatchObject([{ result: { taskId: 2 } }]);
  expect(fixture.state.instances.get(1 as InstanceId)?.running.size).toBe(1);
});
