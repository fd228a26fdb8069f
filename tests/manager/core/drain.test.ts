import { expect, test } from "bun:test";

import type { TaskId } from "../../../shared/ids.ts";
import { isIndexed } from "../../../manager/core/capacity_index.ts";
import type { WorkerRecord } from "../../../manager/core/state.ts";
import { ManagerFixture } from "./fixture.ts";
import { idOf } from "./wishes.ts";

const PLAIN = { dispatchAhead: 1, dispatchAheadMs: 0 };

function workerOf(fixture: ManagerFixture, name: string): WorkerRecord {
  return fixture.state.workers.get(idOf(name))!;
}

test("obstacleAt() keeps tasks from a worker without their minTime, and gives it others", () => {
  const fixture = new ManagerFixture(PLAIN);
  fixture.joins("short", { cores: 4, hello: { leftMs: 60_000 } });
  fixture.joins("long", { cores: 2, hello: { leftMs: 3_600_000 } });
  const needy = { minTimeMs: 600_000 };
  fixture.submits(needy, needy, needy, {}, {});
  expect(fixture.dispatched.sort()).toEqual(["long 1.1", "long 2.1", "short 4.1", "short 5.1"]);
  fixture.passes(3_100_000);
  fixture.finishes("long", 1 as TaskId);
  // What was enough at first is too little by now.
  expect(fixture.dispatched).toEqual([]);
});

test("obstacleAt() takes the mean time of tasks alike where no minTime is stated", () => {
  const fixture = new ManagerFixture(PLAIN);
  fixture.joins("a", { hello: { leftMs: 100_000 } });
  const first = fixture.submits({});
  fixture.nowMs = 60_000;
  fixture.finishes("a", first, { ranMs: 60_000 });
  fixture.submits({});
  expect(fixture.dispatched).toEqual([]);
  fixture.joins("b", { hello: { leftMs: 100_000 } });
  expect(fixture.dispatched).toEqual(["b 2.1"]);
});

test("reviewTime() takes a worker that no class fits out of the index until one comes", () => {
  const fixture = new ManagerFixture(PLAIN);
  fixture.joins("a", { cores: 2, hello: { leftMs: 100_000 } });
  fixture.submits({ minTimeMs: 200_000 });
  expect(isIndexed(workerOf(fixture, "a"))).toBe(false);
  // It has much time left: it is not sent away for what is there now.
  fixture.passes(50_000);
  expect(workerOf(fixture, "a").isLeaving).toBe(false);
  const short = fixture.submits({ minTimeMs: 20_000 });
  expect(fixture.dispatched).toEqual([`a ${short}.1`]);
});

test("letGo() sends a worker near its end away when nothing that waits could end there", () => {
  const fixture = new ManagerFixture(PLAIN);
  fixture.joins("a", { cores: 2, hello: { leftMs: 100_000 } });
  const running = fixture.submits({ minTimeMs: 50_000 }, { minTimeMs: 200_000 }) - 1;
  fixture.starts("a", running as TaskId);
  fixture.passes(95_000);
  expect(workerOf(fixture, "a").isLeaving).toBe(false);
  fixture.finishes("a", running as TaskId);
  fixture.passes(200);
  expect(workerOf(fixture, "a").isLeaving).toBe(true);
});

test("approachEnd() gives a worker nothing in its last moment", () => {
  const fixture = new ManagerFixture(PLAIN);
  fixture.joins("a", { cores: 4, hello: { leftMs: 100_000 } });
  fixture.submits({});
  fixture.starts("a", 1 as TaskId);
  fixture.passes(98_000);
  fixture.submits({});
  expect(fixture.dispatched).toEqual(["a 2.1"]);
  fixture.passes(1_000);
  // What waits there is asked for; what runs may end.
  expect(fixture.toldOf("a", "recall")).toMatchObject({ taskId: 2 });
  fixture.submits({});
  expect(fixture.dispatched).toEqual([]);
});

test("approachEnd() has temps copied that only a worker near its end has, before it goes", () => {
  const fixture = new ManagerFixture(PLAIN);
  const temp = fixture.temp("temp");
  fixture.joins("a", { hello: { leftMs: 100_000 } });
  const maker = fixture.submits({ outputs: [temp] });
  fixture.finishes("a", maker);
  fixture.joins("b");
  expect(fixture.fetches).toEqual([]);
  fixture.passes(90_000);
  expect(fixture.fetches).toEqual(["b temp from a"]);
  fixture.passes(5_000);
  expect(workerOf(fixture, "a").isLeaving).toBe(false);
  fixture.brings("b");
  fixture.passes(200);
  expect(workerOf(fixture, "a").isLeaving).toBe(true);
  fixture.breaks("a");
  const reader = fixture.submits({ inputs: [temp] });
  expect(fixture.dispatched).toEqual([`b ${reader}.1`]);
});

test("approachEnd() leaves temps to be remade where nobody can take a copy", () => {
  const fixture = new ManagerFixture(PLAIN);
  const temp = fixture.temp("temp");
  fixture.joins("a", { hello: { leftMs: 10_000 } });
  const maker = fixture.submits({ outputs: [temp] });
  fixture.finishes("a", maker);
  fixture.passes(9_500);
  fixture.exits("a");
  const reader = fixture.submits({ inputs: [temp] });
  fixture.joins("b", { cores: 2 });
  expect(fixture.dispatched).toEqual([`b ${maker}.2`]);
  fixture.finishes("b", maker);
  expect(fixture.dispatched).toEqual([`b ${reader}.1`]);
});

test("noteReplicas() makes no copy of what another worker has, or the manager", () => {
  const fixture = new ManagerFixture(PLAIN);
  const [temp, local] = [fixture.temp("temp"), fixture.local("local")];
  fixture.joins("b");
  fixture.joins("a", { cores: 2, hello: { leftMs: 100_000 } });
  const maker = fixture.brought("a", { inputs: [local], outputs: [temp] });
  fixture.finishes("a", maker);
  fixture.feed({ kind: "file_replicated", fileId: temp, count: 2 });
  fixture.brings("b");
  fixture.passes(90_000);
  expect(fixture.fetches).toEqual([]);
});

test("placeCall() gives calls to no instance at a worker without their minTime", () => {
  const fixture = new ManagerFixture(PLAIN);
  fixture.library("digits", fixture.local("module"));
  fixture.joins("a", { hello: { leftMs: 10_000 } });
  const call = { library: "digits", minTimeMs: 60_000 };
  fixture.submits(call);
  expect(fixture.dispatched).toEqual([]);
  fixture.joins("b");
  expect(fixture.dispatched).toEqual(["b 1.1"]);
});
