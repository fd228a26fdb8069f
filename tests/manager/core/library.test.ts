import { expect, test } from "bun:test";

import type { CacheName } from "../../../shared/ids.ts";
import { valueFileId } from "../../../manager/core/value_file.ts";
import { instanceAt, ManagerFixture } from "./fixture.ts";

/** A library `digits` whose module is small. */
function withLibrary(
  policies: ConstructorParameters<typeof ManagerFixture>[0] = {},
  wish: Parameters<ManagerFixture["library"]>[2] = {},
): ManagerFixture {
  const fixture = new ManagerFixture({ dispatchAheadMs: 0, ...policies });
  fixture.library("digits", fixture.local("module"), wish);
  return fixture;
}

const CALL = { library: "digits" };

test("startInstance() happens when a call needs one, at the worker of the call", () => {
  const fixture = withLibrary();
  fixture.joins("a");
  expect(fixture.told("a").map(({ kind }) => kind)).toEqual(["reconcile"]);
  const call = fixture.submits(CALL);
  expect(fixture.told("a")).toMatchObject([
    { kind: "start_instance", library: { name: "digits", program: { module: "module" } } },
    { kind: "dispatch" },
  ]);
  expect(fixture.fetches).toEqual(["a module from manager"]);
  fixture.finishes("a", call);
  expect(fixture.outcome(call)).toBe("success");
});

test("placeCall() fills free slots before it starts another instance", () => {
  const fixture = withLibrary({}, { slots: 2 });
  fixture.joins("a", { cores: 4 });
  fixture.submits(CALL, CALL, CALL);
  const starts = fixture.told("a").filter(({ kind }) => kind === "start_instance");
  expect(starts.length).toBe(2);
});

test("endInstance() gives a library up after libraryRetries failures in a row", () => {
  const fixture = withLibrary({ libraryRetries: 2 });
  fixture.joins("a");
  const call = fixture.submits(CALL);
  const reason = "start_failed" as const;
  for (let count = 1; count <= 2; count++) {
    const instanceId = instanceAt(fixture, "a");
    fixture.says("a", { kind: "instance_gone", instanceId, reason, message: "no module named x" });
    // The worker answers the kill of the call.
    if (count === 1) expect(fixture.outcome(call)).toBeUndefined();
  }
  expect(fixture.ends.get(call)).toMatchObject({
    outcome: "library_failed",
    message: 'Cannot keep library "digits" running: 2 instances failed in a row; the last said: ' +
      "no module named x",
  });
  const late = fixture.submits(CALL);
  expect(fixture.outcome(late)).toBe("library_failed");
});

test("readyInstance() forgets the failures of earlier ones", () => {
  const fixture = withLibrary({ libraryRetries: 2 });
  fixture.joins("a");
  fixture.submits({ ...CALL, retries: 9 });
  for (let count = 1; count <= 4; count++) {
    const instanceId = instanceAt(fixture, "a");
    fixture.says("a", { kind: "instance_ready", instanceId });
    fixture.says("a", { kind: "instance_gone", instanceId, reason: "died", message: "killed" });
  }
  expect(fixture.state.libraries.get("digits")?.failure).toBeUndefined();
});

test("endTry() repeats a call whose instance died, up to workerLosses", () => {
  const fixture = withLibrary();
  fixture.joins("a");
  const call = fixture.submits({ ...CALL, workerLosses: 1 });
  const died = { outcome: "library_failed", isAmbiguous: true } as const;
  fixture.finishes("a", call, died);
  expect(fixture.dispatched).toEqual([`a ${call}.2`]);
  fixture.finishes("a", call, died);
  expect(fixture.outcome(call)).toBe("library_failed");
});

for (const { ranMs, lossCount } of [{ ranMs: 1, lossCount: 1 }, { ranMs: 100, lossCount: 0 }]) {
  test(`loseWorker() counts ${lossCount} for a call of ${ranMs} ms of whose start it was not told`, () => {
    const fixture = withLibrary();
    fixture.joins("a");
    const first = fixture.submits(CALL);
    fixture.says("a", { kind: "instance_ready", instanceId: instanceAt(fixture, "a") });
    fixture.finishes("a", first, { ranMs });
    const call = fixture.submits(CALL);
    expect(fixture.dispatched).toEqual([`a ${call}.1`]);
    fixture.exits("a");
    expect(fixture.task(call)).toMatchObject({ lossCount, state: { kind: "ready" } });
  });
}

test("makeRoom() stops an idle instance for tasks that fit nowhere else", () => {
  const fixture = withLibrary({ dispatchAhead: 1 });
  fixture.joins("a");
  const call = fixture.submits(CALL);
  const instanceId = instanceAt(fixture, "a");
  fixture.says("a", { kind: "instance_ready", instanceId });
  fixture.finishes("a", call);
  const task = fixture.submits({});
  expect(fixture.toldOf("a", "stop_instance")).toEqual({ kind: "stop_instance", instanceId });
  fixture.says("a", { kind: "instance_gone", instanceId, reason: "stopped", message: "" });
  expect(fixture.dispatched).toEqual([`a ${task}.1`]);
});

test("makeRoom() leaves an instance alone that serves calls", () => {
  const fixture = withLibrary({ dispatchAhead: 1 });
  fixture.joins("a");
  fixture.submits(CALL);
  fixture.submits({});
  expect(fixture.told("a")).toEqual([]);
});

test("yieldRoom() stops an idle instance under a task that was dispatched ahead", () => {
  const fixture = withLibrary({ dispatchAhead: 2 });
  fixture.joins("a");
  const call = fixture.submits(CALL);
  const instanceId = instanceAt(fixture, "a");
  fixture.submits({});
  expect(fixture.toldOf("a", "stop_instance")).toBeUndefined();
  fixture.finishes("a", call);
  expect(fixture.toldOf("a", "stop_instance")).toEqual({ kind: "stop_instance", instanceId });
});

test("canStart() holds calls back until the module can be had", () => {
  const fixture = new ManagerFixture();
  const module = fixture.declares({ kind: "manager" }, {});
  fixture.library("digits", module);
  fixture.joins("a");
  const call = fixture.submits(CALL);
  expect(fixture.dispatched).toEqual([]);
  const outcome = "input_missing";
  fixture.feed({ kind: "file_failed", fileId: module, outcome, message: "no such file" });
  expect(fixture.ends.get(call)).toMatchObject({
    outcome: "library_failed",
    message: "no such file",
  });
});

test("failInstancesFor() gives a library up whose module cannot come to workers", () => {
  const fixture = new ManagerFixture({ libraryRetries: 1 });
  fixture.library("digits", fixture.local("module"));
  fixture.joins("a");
  const call = fixture.submits(CALL);
  fixture.failsToBring("a", { canRetry: false });
  expect(fixture.outcome(call)).toBe("library_failed");
});

test("removeInstance() gives calls back when their worker is lost", () => {
  const fixture = withLibrary();
  fixture.joins("a");
  const call = fixture.submits(CALL);
  fixture.exits("a");
  fixture.joins("b");
  expect(fixture.dispatched).toEqual([`b ${call}.2`]);
  expect(fixture.state.libraries.get("digits")?.instances.size).toBe(1);
});

test("removeInstance() has calls placed elsewhere for which its instance was enough", () => {
  const fixture = withLibrary({ dispatchAhead: 1 });
  fixture.joins("a");
  const first = fixture.submits(CALL);
  fixture.says("a", { kind: "instance_ready", instanceId: instanceAt(fixture, "a") });
  fixture.finishes("a", first, { ranMs: 1 });
  fixture.joins("b");
  fixture.breaks("a");
  // It is done soon by the instance that there is, if that comes back.
  const call = fixture.submits(CALL);
  expect(fixture.dispatched).toEqual([]);
  fixture.exits("a");
  expect(fixture.dispatched).toEqual([`b ${call}.1`]);
});

test("isInstanceWorth() has a blocked class looked at with the call that makes it so", () => {
  const fixture = withLibrary({ dispatchAhead: 1 });
  fixture.joins("a");
  const first = fixture.submits(CALL);
  fixture.says("a", { kind: "instance_ready", instanceId: instanceAt(fixture, "a") });
  fixture.nowMs = 1_000;
  fixture.finishes("a", first, { ranMs: 40 });
  fixture.joins("b");
  const held = fixture.submits(CALL);
  expect(fixture.dispatched).toEqual([`a ${held}.1`]);
  fixture.submits(CALL);
  fixture.submits(CALL);
  expect(fixture.dispatched).toEqual([]);
  fixture.submits(CALL);
  expect(fixture.dispatched).toEqual([`b ${held + 1}.1`]);
});

test("indexService() offers no slots of a worker that has no disk for more", () => {
  const fixture = withLibrary({ dispatchAhead: 1 }, { slots: 2 });
  fixture.joins("a", { cores: 2 });
  const call = fixture.submits(CALL);
  const task = fixture.submits({});
  fixture.says("a", { kind: "recalled", taskId: task, try: 1, isCrowded: true });
  const late = fixture.submits(CALL);
  expect(fixture.dispatched).toEqual([]);
  fixture.finishes("a", call);
  expect(fixture.dispatched).toEqual([`a ${task}.2`, `a ${late}.1`]);
});

test("wantFiles() has a lost input made again when an instance is needed, and not before", () => {
  const fixture = new ManagerFixture({ dispatchAhead: 1, dispatchAheadMs: 0 });
  const weights = fixture.temp("weights");
  const inputs = [{ mount: "weights", fileId: weights }];
  fixture.library("digits", fixture.local("module"), { inputs });
  fixture.joins("a");
  const producer = fixture.submits({ outputs: [weights] });
  fixture.finishes("a", producer);
  const running = fixture.submits(CALL);
  fixture.says("a", { kind: "instance_ready", instanceId: instanceAt(fixture, "a") });
  fixture.says("a", { kind: "replica_gone", name: "weights" as CacheName, generation: 1 });
  fixture.nowMs = 60_000;
  fixture.finishes("a", running, { ranMs: 50_000 });
  const next = fixture.submits(CALL);
  // What runs has its own.
  expect(fixture.dispatched).toEqual([`a ${next}.1`]);
  expect(fixture.state.counters.recoveries).toBe(0);
  fixture.joins("b");
  fixture.submits(CALL);
  fixture.passes(0);
  expect(fixture.dispatched).toEqual([`b ${producer}.2`]);
  fixture.finishes("b", producer);
  expect(fixture.toldOf("b", "start_instance")).toMatchObject({
    library: { inputs: [{ name: "weights", generation: 2 }] },
  });
});

test("takeBackStarts() takes calls back whose instance has lost what it starts with", () => {
  const fixture = new ManagerFixture({ dispatchAhead: 1, dispatchAheadMs: 0 });
  const weights = fixture.temp("weights");
  const inputs = [{ mount: "weights", fileId: weights }];
  fixture.library("digits", fixture.local("module"), { inputs });
  fixture.joins("a", { cores: 2 });
  const producer = fixture.submits({ outputs: [weights] });
  fixture.finishes("a", producer);
  const call = fixture.submits(CALL);
  const instanceId = instanceAt(fixture, "a");
  fixture.says("a", { kind: "replica_gone", name: "weights" as CacheName, generation: 1 });
  expect(fixture.toldOf("a", "stop_instance")).toEqual({ kind: "stop_instance", instanceId });
  expect(fixture.task(call)).toMatchObject({ lossCount: 0, state: { kind: "ready" } });
});

test("takeBackInstances() starts those anew that have not read an earlier making", () => {
  const fixture = new ManagerFixture({ dispatchAhead: 1, dispatchAheadMs: 0 });
  const weights = fixture.temp("weights");
  const other = fixture.temp("other");
  const inputs = [{ mount: "weights", fileId: weights }];
  fixture.library("digits", fixture.local("module"), { inputs });
  fixture.joins("a", { cores: 4 });
  const producer = fixture.submits({ outputs: [weights, other] });
  fixture.finishes("a", producer);
  fixture.submits(CALL);
  const instanceId = instanceAt(fixture, "a");
  fixture.submits({ inputs: [other] });
  fixture.says("a", { kind: "replica_gone", name: "other" as CacheName, generation: 1 });
  expect(fixture.toldOf("a", "stop_instance")).toBeUndefined();
  fixture.finishes("a", producer, { digest: "other" });
  expect(fixture.toldOf("a", "stop_instance")).toEqual({ kind: "stop_instance", instanceId });
  expect(fixture.toldOf("a", "start_instance")).toMatchObject({
    library: { inputs: [{ name: "weights", generation: 2 }] },
  });
});

test("undeclareFile() keeps a file that a library needs", () => {
  const fixture = new ManagerFixture();
  const module = fixture.local("module");
  fixture.library("digits", module);
  fixture.feed({ kind: "file_undeclared", fileId: module });
  fixture.joins("a");
  fixture.submits(CALL);
  expect(fixture.fetches).toEqual(["a module from manager"]);
  fixture.feed({ kind: "closed", reason: "done" });
  expect(fixture.state.files.has(module)).toBe(false);
});

test("placeCall() sends no long calls ahead, which would wait there when there is room elsewhere", () => {
  const fixture = withLibrary({ dispatchAhead: 2 });
  fixture.joins("a");
  const first = fixture.submits(CALL);
  fixture.says("a", { kind: "instance_ready", instanceId: instanceAt(fixture, "a") });
  fixture.nowMs = 60_000;
  fixture.finishes("a", first, { ranMs: 50_000 });
  const running = fixture.submits(CALL, CALL);
  expect(fixture.dispatched).toEqual([`a ${running - 1}.1`]);
  fixture.joins("b");
  expect(fixture.dispatched).toEqual([`b ${running}.1`]);
});

test("isInstanceWorth() is false of calls that are done before another instance has started", () => {
  const fixture = withLibrary({ dispatchAhead: 1 });
  fixture.joins("a");
  const first = fixture.submits(CALL);
  const instanceId = instanceAt(fixture, "a");
  fixture.says("a", { kind: "instance_ready", instanceId, startMs: 5_000 });
  fixture.nowMs = 10_000;
  fixture.finishes("a", first, { ranMs: 1_000 });
  fixture.joins("b");
  fixture.submits(CALL, CALL, CALL, CALL);
  expect(fixture.toldOf("b", "start_instance")).toBeUndefined();
  fixture.submits(CALL, CALL, CALL);
  expect(fixture.toldOf("b", "start_instance")).toBeDefined();
});

test("undeclareLibrary() forgets a library with its last call, and what it is made of", () => {
  const fixture = withLibrary({ dispatchAhead: 1 });
  fixture.joins("a");
  const running = fixture.submits(CALL);
  const waiting = fixture.submits(CALL);
  const instanceId = instanceAt(fixture, "a");
  fixture.says("a", { kind: "instance_ready", instanceId });
  const [module] = fixture.state.files.keys();
  fixture.feed(
    { kind: "library_undeclared", name: "digits" },
    { kind: "file_undeclared", fileId: module! },
  );
  fixture.finishes("a", running);
  expect(fixture.dispatched).toEqual([`a ${waiting}.1`]);
  fixture.finishes("a", waiting);
  expect(fixture.outcome(waiting)).toBe("success");
  expect(fixture.toldOf("a", "stop_instance")).toEqual({ kind: "stop_instance", instanceId });
  expect([fixture.state.libraries.size, fixture.state.files.size]).toEqual([0, 0]);
  fixture.says("a", { kind: "instance_gone", instanceId, reason: "stopped", message: "" });
});

test("undeclareLibrary() keeps no instances, and declareLibrary() takes the library back", () => {
  const fixture = withLibrary({}, { instanceCount: 2 });
  fixture.joins("a");
  fixture.submits(CALL);
  const undeclared = { kind: "library_undeclared", name: "digits" } as const;
  const { spec } = fixture.state.libraries.get("digits")!;
  fixture.feed(undeclared);
  fixture.joins("b");
  expect(fixture.toldOf("b", "start_instance")).toBeUndefined();
  fixture.feed({ kind: "library_declared", library: spec });
  expect(fixture.toldOf("b", "start_instance")).toBeDefined();
});

test("undeclareLibrary() keeps a library whose call may have to make its value again", () => {
  const fixture = withLibrary();
  fixture.joins("a");
  const call = fixture.submits(CALL);
  const instanceId = instanceAt(fixture, "a");
  fixture.says("a", { kind: "instance_ready", instanceId });
  fixture.feed({ kind: "library_undeclared", name: "digits" });
  fixture.finishes("a", call, { valueBytes: 2_000_000 });
  expect(fixture.state.libraries.size).toBe(1);
  fixture.feed({ kind: "file_undeclared", fileId: valueFileId(call) });
  expect(fixture.state.libraries.size).toBe(0);
});

test("classOf() takes the library of that name that there is now", () => {
  const fixture = withLibrary();
  fixture.joins("a");
  const { spec } = fixture.state.libraries.get("digits")!;
  fixture.cancels(fixture.submits(CALL));
  fixture.feed({ kind: "library_undeclared", name: "digits" });
  fixture.feed({ kind: "library_declared", library: spec });
  const call = fixture.submits(CALL);
  expect(fixture.task(call).taskClass.library).toBe(fixture.state.libraries.get("digits"));
});
