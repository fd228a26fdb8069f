import { expect, test } from "bun:test";

import type { CacheName, InstanceId } from "../../../shared/ids.ts";
import { countOrdered } from "../../../shared/ordered_queue.ts";
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

test("stopInstance() lets an instance that retires end its calls, and gives it no more", () => {
  const fixture = withInstance(1, 2);
  fixture.isGiven(1, CALL, CALL);
  fixture.hears({ kind: "stop_instance", instanceId: 1 as InstanceId, isRetiring: true });
  expect(fixture.orders).toEqual([]);
  fixture.isGiven(3, CALL);
  fixture.answers(1);
  expect(fixture.orders).toEqual([]);
  fixture.answers(2);
  expect(fixture.orders).toEqual(["stop instance 1"]);
  const queue = fixture.state.callQueues.get("digits");
  expect(queue && countOrdered(queue)).toBe(1);
});

test("stopInstance() stops one that retires at once when no call is in it", () => {
  const fixture = withInstance();
  fixture.hears({ kind: "stop_instance", instanceId: 1 as InstanceId, isRetiring: true });
  expect(fixture.orders).toEqual(["stop instance 1"]);
});

test("stopInstance() stops one that retires with its calls when it is told to", () => {
  const fixture = withInstance();
  fixture.isGiven(1, CALL);
  fixture.hears({ kind: "stop_instance", instanceId: 1 as InstanceId, isRetiring: true });
  fixture.hears({ kind: "stop_instance", instanceId: 1 as InstanceId });
  expect(fixture.orders).toEqual(["stop instance 1"]);
});

test("sayHello() lists an instance that retires", () => {
  const fixture = withInstance();
  fixture.isGiven(1, CALL);
  fixture.hears({ kind: "stop_instance", instanceId: 1 as InstanceId, isRetiring: true });
  fixture.feed({ kind: "connection_closed" });
  fixture.feed({ kind: "connection_opened", peer: { urls: [] } });
  expect(fixture.toldOf("hello")[0]?.instances).toEqual([
    { instanceId: 1 as InstanceId, library: "digits", isReady: true },
  ]);
});

test("readyInstance() tells how long the start took", () => {
  const fixture = WorkerFixture.connected({ cached: [factsOf("module")] });
  fixture.startsInstance(1);
  fixture.nowMs += 750;
  fixture.feed({ kind: "instance_ready", instanceId: 1 as InstanceId });
  expect(fixture.toldOf("instance_ready")).toMatchObject([{ instanceId: 1, startMs: 750 }]);
});

test("endInstance() counts the death of an instance for the calls that could run in it only", () => {
  const fixture = withInstance();
  fixture.isGiven(1, CALL);
  fixture.answers(1);
  // Short ones wait in the instance for its slot.
  fixture.isGiven(2, CALL, CALL, CALL);
  const instanceId = 1 as InstanceId;
  fixture.feed({ kind: "instance_gone", instanceId, reason: "died", message: "killed by 9" });
  expect(fixture.toldOf("result").map(({ result: { outcome } }) => outcome)).toEqual([
    "library_failed",
    "cancelled",
    "cancelled",
  ]);
});

test("needOf() has an instance wait for the making of an input that it is to have", () => {
  const fixture = WorkerFixture.connected({ cached: [factsOf("module"), factsOf("weights", 1)] });
  const name = "weights" as CacheName;
  fixture.startsInstance(1, { inputs: [{ mount: "weights", name, generation: 2 }] });
  expect(fixture.orders).toEqual([]);
  fixture.brings(fixture.fetches("weights", 2), factsOf("weights", 2));
  expect(fixture.orders).toEqual(["start instance 1"]);
});
