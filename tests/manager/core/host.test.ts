import { expect, test } from "bun:test";

import type { ManagerEvent } from "../../../manager/core/event.ts";
import { blockHost } from "../../../manager/core/host.ts";
import type { TaskId } from "../../../shared/ids.ts";
import { ManagerFixture } from "./fixture.ts";
import { idOf } from "./wishes.ts";

const PLAIN = { dispatchAhead: 1, dispatchAheadMs: 0 };

function change(
  host: string,
  what: "block" | "unblock" | "drain",
  forMs = Infinity,
): ManagerEvent {
  return { kind: "host_changed", host, change: what, forMs };
}

test("blockHost() gives a host nothing until its time is over, and takes what waits back", () => {
  const fixture = new ManagerFixture({ ...PLAIN, dispatchAhead: 2 });
  fixture.joins("a", { host: "north" });
  fixture.submits({}, {});
  fixture.starts("a", 1 as TaskId);
  fixture.feed(change("north", "block", 60_000));
  expect(fixture.facts).toContainEqual({
    kind: "host_blocked",
    host: "north",
    reason: "its user blocked it",
    isByHand: true,
    forMs: 60_000,
  });
  expect(fixture.toldOf("a", "recall")).toMatchObject({ taskId: 2 });
  fixture.says("a", { kind: "recalled", taskId: 2 as TaskId, try: 1 });
  fixture.finishes("a", 1 as TaskId);
  fixture.joins("c", { host: "north" });
  expect(fixture.dispatched).toEqual([]);
  fixture.joins("b", { host: "south" });
  expect(fixture.dispatched).toEqual(["b 2.2"]);
  const third = fixture.submits({});
  fixture.passes(60_000);
  expect(fixture.task(third).state.kind).toBe("dispatched");
});

test("blockHost() leaves copies there to be had", () => {
  const fixture = new ManagerFixture(PLAIN);
  const temp = fixture.temp("temp");
  fixture.joins("a", { host: "north" });
  fixture.finishes("a", fixture.submits({ outputs: [temp] }));
  fixture.feed(change("north", "block"));
  fixture.joins("b", { host: "south" });
  fixture.submits({ inputs: [temp] });
  expect(fixture.fetches).toEqual(["b temp from a"]);
  fixture.feed(change("north", "unblock"));
  const next = fixture.submits({});
  expect(fixture.dispatched).toEqual([`a ${next}.1`]);
});

test("drainHost() lets what runs end, has copies made, then lets the workers go", () => {
  const fixture = new ManagerFixture(PLAIN);
  const temp = fixture.temp("temp");
  fixture.joins("a", { host: "north", cores: 2 });
  fixture.finishes("a", fixture.submits({ outputs: [temp] }));
  const running = fixture.submits({});
  fixture.starts("a", running);
  fixture.joins("b", { host: "south" });
  fixture.feed(change("north", "drain"));
  expect(fixture.fetches).toEqual(["b temp from a"]);
  const next = fixture.submits({});
  expect(fixture.dispatched).toEqual([`b ${next}.1`]);
  fixture.finishes("a", running);
  fixture.passes(1_000);
  expect(fixture.state.workers.get(idOf("a"))?.isLeaving).toBe(false);
  fixture.brings("b");
  fixture.passes(200);
  expect(fixture.state.workers.get(idOf("a"))?.isLeaving).toBe(true);
});

test("drainHost() is undone by unblockHost() as long as a worker is there", () => {
  const fixture = new ManagerFixture(PLAIN);
  fixture.joins("a", { host: "north", hello: { leftMs: 1_000_000 } });
  const running = fixture.submits({});
  fixture.starts("a", running);
  fixture.feed(change("north", "drain"));
  fixture.feed(change("north", "unblock"));
  fixture.finishes("a", running);
  const next = fixture.submits({});
  expect(fixture.dispatched).toEqual([`a ${next}.1`]);
  expect(fixture.state.hosts.size).toBe(0);
});

/** Two hosts; tasks alike have run well on "south". */
function twoHosts(failures: number): ManagerFixture {
  const fixture = new ManagerFixture({ ...PLAIN, hostFailures: failures });
  fixture.joins("b", { host: "south" });
  fixture.finishes("b", fixture.submits({}));
  const busy = fixture.submits({});
  fixture.starts("b", busy);
  fixture.joins("a", { host: "north", cores: 10 });
  return fixture;
}

test("noteHostFailure() blocks a host for longer each time it fails what others can do", () => {
  const fixture = twoHosts(3);
  const blocks: number[] = [];
  for (let round = 0; round < 2; round++) {
    for (let count = 0; count < 3; count++) {
      expect(fixture.facts.some(({ kind }) => kind === "host_blocked")).toBe(false);
      fixture.finishes("a", fixture.submits({}), { outcome: "start_failed", message: "no shell" });
    }
    for (const fact of fixture.facts) {
      if (fact.kind !== "host_blocked") continue;
      blocks.push(fact.forMs!);
      expect(fact.reason).toBe(
        "3 things in a row failed there that go well elsewhere; the last: start_failed: no shell",
      );
    }
    expect(fixture.state.index.count).toBe(1);
    fixture.passes(120_000);
  }
  expect(blocks).toEqual([60_000, 120_000]);
});

test("noteHostFailure() counts no task twice, nor what fails everywhere, nor before a success", () => {
  const fixture = twoHosts(2);
  const same = fixture.submits({ retries: 9 });
  for (let count = 0; count < 5; count++) {
    fixture.finishes("a", same, { outcome: "start_failed" });
  }
  fixture.finishes("a", same);
  fixture.finishes("a", fixture.submits({}), { outcome: "start_failed" });
  for (let count = 0; count < 5; count++) {
    fixture.finishes("a", fixture.submits({ category: "bad" }), { outcome: "start_failed" });
    fixture.finishes("a", fixture.submits({}), { outcome: "exit" });
  }
  expect(fixture.state.index.count).toBe(2);
});

test("noteHostFailure() never blocks the last host that takes tasks", () => {
  const fixture = twoHosts(1);
  fixture.feed(change("south", "block"));
  fixture.finishes("a", fixture.submits({}), { outcome: "start_failed" });
  expect(fixture.state.index.count).toBe(1);
});

test("noteHostLoss() blocks a host whose workers are lost again and again as they run", () => {
  const fixture = twoHosts(3);
  const task = fixture.submits({ workerLosses: 9 });
  for (let count = 1; count <= 3; count++) {
    fixture.starts("a", task);
    fixture.exits("a");
    fixture.joins("a", { host: "north", cores: 10, incarnation: `${count}` });
    fixture.joins("a", { host: "north", cores: 10 });
    fixture.exits("a");
    fixture.joins("a", { host: "north", cores: 10 });
  }
  expect(fixture.state.hosts.get("north")).toBeDefined();
});

test("releaseIdle() sends so many workers away that run nothing", () => {
  const fixture = new ManagerFixture(PLAIN);
  fixture.joins("a");
  fixture.submits({});
  for (const name of ["b", "c", "d"]) fixture.joins(name);
  fixture.feed({ kind: "workers_released", count: 2 });
  const leaving = [...fixture.state.workers.values()].filter(({ isLeaving }) => isLeaving);
  expect(leaving.map(({ workerId }) => workerId)).toEqual([idOf("b"), idOf("c")]);
});

test("blockHost() does not shorten what a user has asked for", () => {
  const policies = { ...PLAIN, hostFailures: 1, hostBlockTimeMs: 1_000, slowWorkerFactor: 2 };
  const fixture = new ManagerFixture(policies);
  fixture.joins("a", { host: "north" });
  fixture.joins("b", { host: "south" });
  const [worker] = fixture.state.workers.values();
  fixture.feed(change("north", "block"));
  blockHost(fixture.state, "north", { forMs: 1_000, reason: "its worker is slow" });
  fixture.passes(10_000);
  expect(fixture.state.hosts.get("north")?.blockedUntilMs).toBe(Infinity);
  expect(worker?.bar).toBe("blocked");
});

test("sendAway() is told again to a worker that has not heard of it", () => {
  const fixture = new ManagerFixture(PLAIN);
  fixture.joins("a", { host: "north" });
  fixture.feed(change("north", "drain"));
  expect(fixture.toldOf("a", "release")).toBeDefined();
  // It is back before it was missed.
  fixture.returns("a");
  expect(fixture.toldOf("a", "release")).toBeDefined();
});
