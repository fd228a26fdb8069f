import { expect, test } from "bun:test";

import type { Policies } from "../../../manager/core/policy.ts";
import type { TaskId } from "../../../shared/ids.ts";
import { instanceAt, ManagerFixture } from "./fixture.ts";
import { idOf } from "./wishes.ts";

const TURN_MS = 2_000;

/** A worker of one core and two libraries, whose instances take it all. */
function withLibraries(policies: Partial<Policies> = {}): ManagerFixture {
  const fixture = new ManagerFixture({ dispatchAhead: 1, dispatchAheadMs: 0, ...policies });
  const module = fixture.local("module");
  fixture.library("first", module);
  fixture.library("second", module);
  fixture.joins("a");
  return fixture;
}

/** The instance at the worker is ready after `startMs`. */
function becomesReady(fixture: ManagerFixture, startMs = 0): void {
  const instanceId = instanceAt(fixture, "a");
  fixture.says("a", { kind: "instance_ready", instanceId, startMs });
}

/** The instance at the worker has ended. */
function stops(fixture: ManagerFixture): void {
  const instanceId = instanceAt(fixture, "a");
  fixture.says("a", { kind: "instance_gone", instanceId, reason: "stopped", message: "" });
}

/** Calls of a library without end, of which the first runs. */
function keepsBusy(fixture: ManagerFixture, library: string, priority = 0): TaskId {
  const wishes = Array.from({ length: 8 }, () => ({ library, priority }));
  const last = fixture.submits(...wishes);
  return last - 7 as TaskId;
}

test("pressClaims() has a busy instance retire after its turn, and gives the call its result", () => {
  const fixture = withLibraries();
  const running = keepsBusy(fixture, "first");
  becomesReady(fixture);
  fixture.starts("a", running);
  const task = fixture.submits({});
  fixture.passes(TURN_MS - 1);
  expect(fixture.toldOf("a", "stop_instance")).toBeUndefined();
  fixture.passes(1);
  const instanceId = instanceAt(fixture, "a");
  expect(fixture.told("a")).toEqual([{ kind: "stop_instance", instanceId, isRetiring: true }]);
  expect(fixture.facts).toContainEqual({
    kind: "library_instance",
    library: "first",
    instanceId,
    workerId: "a" as never,
    change: "retiring",
  });
  fixture.finishes("a", running);
  expect(fixture.outcome(running)).toBe("success");
  expect(fixture.dispatched).toEqual([]);
  stops(fixture);
  expect(fixture.dispatched).toEqual([`a ${task}.1`]);
});

test("pressClaims() brings the library back once the others have had their turn", () => {
  const fixture = withLibraries();
  const running = keepsBusy(fixture, "first");
  becomesReady(fixture);
  const tasks = Array.from({ length: 3 }, () => fixture.submits({}));
  fixture.passes(TURN_MS);
  fixture.finishes("a", running);
  stops(fixture);
  expect(fixture.dispatched).toEqual([`a ${tasks[0]}.1`]);
  fixture.passes(TURN_MS);
  // The worker is kept for the library now, whoever waits beside it.
  fixture.finishes("a", tasks[0]!);
  expect(fixture.toldOf("a", "start_instance")?.library.name).toBe("first");
  expect(fixture.dispatched).toEqual([`a ${running + 1}.1`]);
});

test("pressClaims() has two libraries take turns", () => {
  const fixture = withLibraries();
  keepsBusy(fixture, "first");
  keepsBusy(fixture, "second");
  const turns: string[] = [];
  for (let count = 0; count < 6; count++) {
    const [attempt] = fixture.state.workers.values().next().value!.tries.values();
    becomesReady(fixture);
    turns.push(attempt!.taskClass.library!.spec.name);
    fixture.passes(TURN_MS);
    fixture.finishes("a", attempt!.taskId);
    stops(fixture);
  }
  expect(turns).toEqual(["first", "second", "first", "second", "first", "second"]);
});

test("turnMs() is at least twice what the instances of the library take to start", () => {
  const fixture = withLibraries();
  keepsBusy(fixture, "first");
  becomesReady(fixture, 30_000);
  fixture.submits({});
  fixture.passes(59_999);
  expect(fixture.state.workers.values().next().value!.instances.size).toBe(1);
  expect(fixture.toldOf("a", "stop_instance")).toBeUndefined();
  fixture.passes(1);
  expect(fixture.toldOf("a", "stop_instance")).toMatchObject({ isRetiring: true });
});

test("pressClaims() has no instance make way whose waiting calls are more urgent", () => {
  const fixture = withLibraries();
  const running = keepsBusy(fixture, "first", 1);
  becomesReady(fixture);
  fixture.starts("a", running);
  const task = fixture.submits({});
  fixture.passes(20 * TURN_MS);
  expect(fixture.toldOf("a", "stop_instance")).toBeUndefined();
  expect(fixture.task(task).state.kind).toBe("ready");
  for (let call = running + 1; call < running + 8; call++) fixture.cancels(call as TaskId);
  fixture.passes(TURN_MS);
  expect(fixture.toldOf("a", "stop_instance")).toMatchObject({ isRetiring: true });
});

test("pressClaims() retires as many instances as it takes, of one worker", () => {
  const fixture = new ManagerFixture({ dispatchAhead: 1, dispatchAheadMs: 0 });
  fixture.library("first", fixture.local("module"));
  fixture.joins("a", { cores: 4 });
  fixture.joins("b", { cores: 4 });
  fixture.submits(...Array.from({ length: 20 }, () => ({ library: "first" })));
  for (const worker of fixture.state.workers.values()) {
    for (const instanceId of worker.instances.keys()) {
      fixture.says(worker.workerId, { kind: "instance_ready", instanceId, startMs: 0 });
    }
  }
  fixture.submits({ cores: 2 });
  fixture.passes(10 * TURN_MS);
  const retiring = [...fixture.state.workers.values()].map(({ instances }) => {
    return [...instances.values()].filter(({ state }) => state === "retiring").length;
  });
  expect(retiring.toSorted()).toEqual([0, 2]);
});

test("press() gives a library a worker among tasks without end", () => {
  const fixture = new ManagerFixture();
  fixture.library("first", fixture.local("module"));
  fixture.joins("a", { cores: 2 });
  const tasks = Array.from({ length: 12 }, () => fixture.submits({}));
  const call = fixture.submits({ library: "first" });
  let ended = 0;
  for (; fixture.task(call).state.kind === "ready" && ended < tasks.length; ended++) {
    fixture.finishes("a", tasks[ended]!);
  }
  // Those that were there before it have to end, but one.
  expect(ended).toBe(3);
});

test("bringBackCalls() asks calls back that wait where the last instance retires", () => {
  const fixture = withLibraries({ dispatchAhead: 3, dispatchAheadMs: 20 });
  const first = fixture.submits({ library: "first" });
  becomesReady(fixture);
  fixture.finishes("a", first, { ranMs: 1 });
  const running = keepsBusy(fixture, "first");
  fixture.starts("a", running);
  fixture.submits({ cores: 1, library: "second" });
  fixture.passes(TURN_MS);
  const recalls = fixture.told("a").filter(({ kind }) => kind === "recall");
  expect(recalls.length).toBeGreaterThan(3);
  expect(recalls).not.toContainEqual({ kind: "recall", taskId: running, try: 1 });
  expect(fixture.toldOf("a", "kill")).toBeUndefined();
});

test("recall() of a call that is dispatched in the same step is told after that", () => {
  const fixture = withLibraries({ dispatchAhead: 20, dispatchAheadMs: 0 });
  const first = fixture.submits({ library: "first" });
  becomesReady(fixture);
  fixture.finishes("a", first, { ranMs: 1 });
  fixture.starts("a", keepsBusy(fixture, "first"));
  fixture.submits({ cores: 1, library: "second" });
  fixture.passes(TURN_MS - 1);
  fixture.nowMs += 1;
  const last = fixture.submits({ library: "first" });
  expect(fixture.dispatched).toEqual([`a ${last}.1`]);
  const told = fixture.told("a");
  const dispatchedAt = told.findIndex(({ kind }) => kind === "dispatch");
  const recall = { kind: "recall", taskId: last, try: 1 } as const;
  expect(told.slice(dispatchedAt + 1)).toContainEqual(recall);
  expect(told.slice(0, dispatchedAt)).not.toContainEqual(recall);
});

test("repeatRetirements() tells again what was lost with the connection", () => {
  const fixture = withLibraries();
  const running = keepsBusy(fixture, "first");
  becomesReady(fixture);
  fixture.starts("a", running);
  fixture.submits({});
  fixture.passes(TURN_MS);
  const instanceId = instanceAt(fixture, "a");
  fixture.breaks("a");
  fixture.returns("a", {
    tries: [{ taskId: running, try: 1, phase: "running" }],
    instances: [{ instanceId, library: "first", isReady: true }],
  });
  expect(fixture.toldOf("a", "reconcile")?.instances).toEqual([{ instanceId, verdict: "keep" }]);
  expect(fixture.toldOf("a", "stop_instance")).toEqual({
    kind: "stop_instance",
    instanceId,
    isRetiring: true,
  });
  fixture.finishes("a", running);
  expect(fixture.outcome(running)).toBe("success");
});

test("removeInstance() waits for results of calls whose instance died while its worker was away", () => {
  const fixture = withLibraries();
  const call = fixture.submits({ library: "first" });
  becomesReady(fixture);
  fixture.starts("a", call);
  const result = fixture.result("a", call);
  fixture.breaks("a");
  fixture.returns("a", { results: [{ taskId: call, try: 1 }], instances: [] });
  fixture.says("a", { kind: "result", result });
  expect(fixture.outcome(call)).toBe("success");
  expect(fixture.state.libraries.get("first")?.instances.size).toBe(0);
});

test("pressClaims() forgets of no class how long it has waited when another one has its turn", () => {
  const fixture = withLibraries();
  const running = keepsBusy(fixture, "first");
  becomesReady(fixture);
  fixture.starts("a", running);
  const call = fixture.submits({ library: "second" });
  fixture.passes(1);
  const { taskClass } = fixture.task(fixture.submits({}));
  fixture.passes(TURN_MS);
  fixture.finishes("a", running);
  stops(fixture);
  expect(fixture.dispatched).toEqual([`a ${call}.1`]);
  fixture.passes(10);
  expect(fixture.state.claims.get(taskClass)?.sinceMs).toBe(1);
});

test("planAt() leaves an instance alone that starts for a call, beside one that is spare", () => {
  const fixture = new ManagerFixture({ dispatchAhead: 1, dispatchAheadMs: 0 });
  fixture.library("first", fixture.local("module"));
  fixture.joins("a", { cores: 2 });
  const calls = [fixture.submits({ library: "first" }), fixture.submits({ library: "first" })];
  fixture.cancels(calls[0]!);
  fixture.says("a", { kind: "recalled", taskId: calls[0]!, try: 1 });
  fixture.submits({ cores: 2 });
  fixture.passes(10 * TURN_MS);
  const [instance] = fixture.state.workers.get(idOf("a"))!.instances.values();
  expect(instance?.state).toBe("starting");
  expect(fixture.task(calls[1]!).state.kind).toBe("dispatched");
});
