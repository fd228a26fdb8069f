import { expect, test } from "bun:test";

import type { TaskId } from "../../../shared/ids.ts";
import { ManagerFixture } from "./fixture.ts";
import { idOf } from "./wishes.ts";

test("connectWorker() refuses a second process with the identity of a connected worker", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const task = fixture.submits({});
  const session = fixture.session("a");
  fixture.joins("a", { incarnation: "twin" });
  expect(fixture.instructions).toMatchObject([
    { kind: "disconnect", session: fixture.session("a") },
  ]);
  expect(fixture.state.workers.get(idOf("a"))?.link).toEqual({ kind: "open", session });
  // The end of the refused connection means nothing.
  fixture.breaks("a");
  expect(fixture.state.workers.get(idOf("a"))?.link.kind).toBe("open");
  expect(fixture.task(task).state.kind).toBe("dispatched");
});

test("connectWorker() takes a new process in the place of one that is away", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const task = fixture.submits({});
  fixture.starts("a", task);
  fixture.breaks("a");
  fixture.joins("a", { incarnation: "2" });
  expect(fixture.dispatched).toEqual([`a ${task}.2`]);
  expect(fixture.task(task).lossCount).toBe(1);
});

test("connectWorker() closes the old connection of a process that has connected anew", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const task = fixture.submits({});
  const old = fixture.session("a");
  fixture.returns("a", { tries: [{ taskId: task, try: 1, phase: "staging" }] });
  expect(fixture.instructions).toMatchObject([
    { kind: "disconnect", session: old },
    { kind: "welcome", session: fixture.session("a") },
    { kind: "send" },
  ]);
  fixture.finishes("a", task);
  expect(fixture.outcome(task)).toBe("success");
});

test("connectWorker() refuses workers above the limit, and none that come back", () => {
  const fixture = new ManagerFixture({ maxWorkers: 1 });
  fixture.joins("a");
  fixture.joins("b");
  expect(fixture.instructions).toMatchObject([{
    kind: "disconnect",
    session: fixture.session("b"),
    reason: "Cannot join as one more worker: the policy maxWorkers allows 1",
  }]);
  expect([...fixture.state.workers.keys()]).toEqual([idOf("a")]);
  fixture.breaks("a");
  fixture.returns("a", {});
  expect(fixture.state.workers.get(idOf("a"))?.link.kind).toBe("open");
});

test("disconnectWorker() keeps tries running for the grace and gives nothing new meanwhile", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a", { cores: 2 });
  const task = fixture.submits({});
  fixture.starts("a", task);
  fixture.breaks("a");
  fixture.submits({});
  expect(fixture.dispatched).toEqual([]);
  fixture.passes(2_999);
  fixture.returns("a", { tries: [{ taskId: task, try: 1, phase: "running" }] });
  expect(fixture.dispatched).toEqual(["a 2.1"]);
  fixture.finishes("a", task);
  expect(fixture.ends.get(task)?.try).toBe(1);
});

test("disconnectWorker() loses a worker that does not come back within the grace", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const task = fixture.submits({});
  fixture.breaks("a");
  fixture.passes(3_000);
  expect(fixture.facts).toContainEqual({
    kind: "worker_left",
    workerId: idOf("a"),
    reason: "it did not come back in time",
  });
  fixture.joins("b");
  expect(fixture.dispatched).toEqual([`b ${task}.2`]);
});

test("disconnectWorker() gives a silent worker no grace", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  fixture.breaks("a", { wasSilent: true });
  expect(fixture.state.workers.size).toBe(0);
});

test("leaveWorker() hands everything to others at once and recalls nothing from it", () => {
  const fixture = new ManagerFixture({ dispatchAheadMs: 0 });
  fixture.joins("a");
  fixture.submits({}, {});
  fixture.starts("a", 1 as TaskId);
  fixture.says("a", { kind: "leaving", reason: "idle" });
  expect(fixture.state.counters.ready).toBe(2);
  fixture.joins("b", { cores: 4 });
  expect(fixture.dispatched).toEqual(["b 1.2", "b 2.2"]);
  expect(fixture.told("a")).toEqual([]);
});

test("leaveWorker() still takes what the worker was about to hand over", () => {
  const fixture = new ManagerFixture();
  const output = fixture.local("output");
  fixture.joins("a");
  const task = fixture.submits({ outputs: [output] });
  fixture.finishes("a", task);
  const [collect] = fixture.instructions.filter(({ kind }) => kind === "collect");
  fixture.says("a", { kind: "leaving", reason: "wall time" });
  const { deliveryId } = collect as { deliveryId: number };
  fixture.feed({ kind: "delivery_ended", deliveryId, isDelivered: true, message: "" });
  expect(fixture.outcome(task)).toBe("success");
});

test("loseWorker() leaves nothing of the worker in any table", () => {
  const fixture = new ManagerFixture();
  fixture.library("digits", fixture.local("module"));
  const file = fixture.local("query");
  fixture.joins("a", { cores: 4 });
  fixture.submits({ inputs: [file] }, { library: "digits" }, {});
  fixture.exits("a");
  const { state } = fixture;
  expect(state.index.count).toBe(0);
  expect(state.transfers.size + state.changedWorkers.size + state.recallable.size).toBe(0);
  expect(state.spareServices.size + state.libraries.get("digits")!.services.size).toBe(0);
  expect(state.files.get(file)?.replicas.size).toBe(0);
  expect(state.counters.ready).toBe(3);
});

test("releaseWorkers() sends away who comes back after the end", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  fixture.feed({ kind: "closed", reason: "done" });
  expect(fixture.toldOf("a", "release")).toEqual({ kind: "release", reason: "done" });
  fixture.breaks("a");
  expect(fixture.state.workers.size).toBe(0);
  fixture.returns("a");
  expect(fixture.told("a").map(({ kind }) => kind)).toEqual(["reconcile", "release"]);
});
