import { expect, test } from "bun:test";

import type { TaskId } from "../../../shared/ids.ts";
import { instanceAt, ManagerFixture } from "./fixture.ts";
import { idOf, type WorkerWish } from "./wishes.ts";

/** A library with a ready instance at worker `a`, where a call has ended; and worker `b`. */
function withInstance(wish: WorkerWish = {}): ManagerFixture {
  const fixture = new ManagerFixture({ dispatchAhead: 1, dispatchAheadMs: 0 });
  fixture.library("first", fixture.local("module"));
  fixture.joins("a", { cores: 4, ...wish });
  const call = fixture.submits({ library: "first" });
  fixture.says("a", { kind: "instance_ready", instanceId: instanceAt(fixture, "a"), startMs: 0 });
  fixture.finishes("a", call, { ranMs: 1 });
  fixture.joins("b", { cores: 4 });
  return fixture;
}

function blocks(fixture: ManagerFixture, change: "block" | "drain" = "block"): void {
  fixture.feed({ kind: "host_changed", host: "host of a", change, forMs: Infinity });
}

test("setBar() has idle instances stop where the host is blocked, and calls start others", () => {
  const fixture = withInstance();
  const instanceId = instanceAt(fixture, "a");
  blocks(fixture);
  expect(fixture.told("a")).toContainEqual({ kind: "stop_instance", instanceId });
  const call = fixture.submits({ library: "first" });
  expect(fixture.dispatched).toEqual([`b ${call}.1`]);
});

test("setBar() has a busy instance retire where the host is drained: its call goes on", () => {
  const fixture = withInstance();
  const running = fixture.submits({ library: "first" });
  fixture.starts("a", running);
  const instanceId = instanceAt(fixture, "a");
  blocks(fixture, "drain");
  const stop = { kind: "stop_instance", instanceId, isRetiring: true } as const;
  expect(fixture.told("a")).toContainEqual(stop);
  fixture.finishes("a", running);
  expect(fixture.outcome(running)).toBe("success");
});

test("leaveWorker() keeps no calls from instances elsewhere while the worker leaves", () => {
  const fixture = withInstance();
  fixture.says("a", { kind: "leaving", reason: "its time is over" });
  const call = fixture.submits({ library: "first" });
  expect(fixture.dispatched).toEqual([`b ${call}.1`]);
});

test("startAhead() replaces an instance that is kept, of a worker that is barred", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  fixture.library("first", fixture.local("module"), { instanceCount: 1 });
  fixture.joins("b");
  blocks(fixture);
  expect(fixture.toldOf("b", "start_instance")?.library.name).toBe("first");
});

test("isServed() is false of an instance at a worker without a feature of the call", () => {
  const fixture = withInstance();
  fixture.joins("rich", { features: ["gpu"] });
  const wish = { library: "first", features: ["gpu"] };
  // What is known of such calls is kept for the last one.
  fixture.submits({ ...wish, startsAtMs: 1_000_000 });
  const first = fixture.submits(wish);
  expect(fixture.dispatched).toEqual([`rich ${first}.1`]);
  const instanceId = instanceAt(fixture, "rich");
  fixture.says("rich", { kind: "instance_ready", instanceId, startMs: 0 });
  fixture.finishes("rich", first, { ranMs: 1 });
  // It makes way for a task, and comes back for the next call.
  const task = fixture.submits({ features: ["gpu"] });
  const gone = { kind: "instance_gone", instanceId, reason: "stopped", message: "" } as const;
  fixture.says("rich", gone);
  fixture.finishes("rich", task);
  const next = fixture.submits(wish);
  expect(fixture.dispatched).toEqual([`rich ${next}.1`]);
});

test("isServed() is false of an instance whose worker has no room for what the call states", () => {
  const fixture = withInstance({ cores: 2 });
  const other = fixture.local("other");
  fixture.library("second", other);
  const busy = fixture.submits({ library: "second", features: [] });
  expect(fixture.dispatched).toEqual([`b ${busy}.1`]);
  const wish = { library: "first", request: { cores: 1 } };
  const first = fixture.submits(wish);
  expect(fixture.dispatched).toEqual([`a ${first}.1`]);
  fixture.finishes("a", first, { ranMs: 1 });
  // An instance of another library takes the rest of the worker for good.
  fixture.breaks("b");
  fixture.submits({ library: "second" });
  expect(fixture.state.workers.get(idOf("a"))?.instances.size).toBe(2);
  fixture.returns("b", {
    tries: [{ taskId: busy, try: 1, phase: "running" }],
    instances: [{ instanceId: instanceAt(fixture, "b"), library: "second", isReady: true }],
  });
  const next = fixture.submits(wish);
  expect(fixture.dispatched).toEqual([`b ${next}.1`]);
});

test("pressClaims() has a library make way for a call that no instance of its own serves", () => {
  const fixture = withInstance();
  fixture.joins("rich", { features: ["gpu"] });
  fixture.library("second", fixture.local("other"));
  const busy = fixture.submits({ library: "second", features: ["gpu"] });
  const instanceId = instanceAt(fixture, "rich");
  fixture.says("rich", { kind: "instance_ready", instanceId, startMs: 0 });
  fixture.starts("rich", busy as TaskId);
  fixture.submits({ library: "first", features: ["gpu"] });
  fixture.passes(2_000);
  const stop = { kind: "stop_instance", instanceId, isRetiring: true } as const;
  expect(fixture.told("rich")).toContainEqual(stop);
});

test("pressClaims() has others make way for what a call states beside the instance that serves it", () => {
  const fixture = withInstance({ cores: 2 });
  fixture.exits("b");
  fixture.library("second", fixture.local("other"));
  const busy = fixture.submits({ library: "second" });
  const [kept, other] = fixture.state.workers.get(idOf("a"))!.instances.keys();
  fixture.says("a", { kind: "instance_ready", instanceId: other!, startMs: 0 });
  fixture.starts("a", busy);
  const call = fixture.submits({ library: "first", request: { cores: 1 } });
  fixture.passes(2_000);
  const stop = { kind: "stop_instance", instanceId: other!, isRetiring: true } as const;
  expect(fixture.told("a")).toEqual([stop]);
  fixture.finishes("a", busy);
  fixture.says("a", { kind: "instance_gone", instanceId: other!, reason: "stopped", message: "" });
  expect(fixture.dispatched).toEqual([`a ${call}.1`]);
  expect([...fixture.state.workers.get(idOf("a"))!.instances.keys()]).toEqual([kept!]);
});

test("servedUntilMs() has calls placed elsewhere once the worker that serves them has to end", () => {
  const fixture = withInstance({ hello: { leftMs: 60_000 } });
  const wish = { library: "first", minTimeMs: 20_000 };
  fixture.submits({ ...wish, startsAtMs: 1_000_000 });
  const first = fixture.submits(wish);
  fixture.finishes("a", first, { ranMs: 1 });
  const running = fixture.submits(wish);
  const waiting = fixture.submits(wish);
  expect(fixture.dispatched).toEqual([]);
  fixture.starts("a", running);
  fixture.passes(40_000);
  expect(fixture.task(waiting).state.kind).toBe("ready");
  fixture.passes(2);
  expect(fixture.task(waiting).state.kind).toBe("dispatched");
});

test("reviewStarts() has calls placed where starts failed when others take none any more", () => {
  const fixture = new ManagerFixture({ dispatchAhead: 1, dispatchAheadMs: 0 });
  fixture.library("first", fixture.local("module"));
  fixture.joins("a");
  const call = fixture.submits({ library: "first" });
  const instanceId = instanceAt(fixture, "a");
  fixture.joins("b");
  fixture.submits({ cores: 1 });
  fixture.says("a", { kind: "instance_gone", instanceId, reason: "start_failed", message: "" });
  expect(fixture.task(call).state.kind).toBe("ready");
  fixture.breaks("b");
  expect(fixture.dispatched).toEqual([`a ${call}.2`]);
});
