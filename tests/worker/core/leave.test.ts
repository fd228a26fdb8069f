import { expect, test } from "bun:test";

import type { TaskId } from "../../../shared/ids.ts";
import { factsOf, WorkerFixture } from "./fixture.ts";

const LEAVE = { kind: "leave_requested", reason: "wall time" } as const;

test("requestLeave() says so, stops what runs and goes when all is handed over", () => {
  const fixture = WorkerFixture.connected();
  fixture.isGiven(1, {}, {});
  fixture.feed(LEAVE);
  expect(fixture.told).toMatchObject([
    { kind: "leaving", reason: "wall time" },
    { kind: "result", result: { taskId: 2, outcome: "cancelled" } },
  ]);
  expect(fixture.orders).toEqual(["stop 1.1 as cancelled"]);
  fixture.finishes(1, { outcome: "cancelled" });
  expect(fixture.orders).toEqual([]);
  fixture.hears({
    kind: "result_ack",
    tries: [1, 2].map((taskId) => ({ taskId: taskId as TaskId, try: 1 })),
  });
  expect(fixture.instructions).toEqual([
    { kind: "leave", reason: "wall time", isReleased: false, keep: "worker" },
  ]);
});

test("requestLeave() goes without an acknowledgement when time is up", () => {
  const fixture = WorkerFixture.connected();
  fixture.isGiven(1, {});
  fixture.feed(LEAVE);
  fixture.passes(2_999);
  expect(fixture.orders).toEqual([]);
  fixture.passes(1);
  expect(fixture.orders).toEqual(["leave"]);
});

test("requestLeave() says goodbye before it goes", () => {
  const fixture = WorkerFixture.connected();
  fixture.feed(LEAVE);
  expect(fixture.instructions.map(({ kind }) => kind)).toEqual(["send", "leave"]);
});

test("requestLeave() starts nothing more, and says again that it leaves on a new connection", () => {
  const fixture = WorkerFixture.connected();
  fixture.isGiven(1, {});
  fixture.feed({ kind: "connection_closed" });
  fixture.feed(LEAVE);
  expect(fixture.told).toEqual([]);
  fixture.connects();
  expect(fixture.told).toEqual([{ kind: "leaving", reason: "wall time" }]);
  fixture.isGiven(2, {});
  expect(fixture.orders).toEqual([]);
});

test("requestRelease() ends all without handing anything over", () => {
  const fixture = WorkerFixture.connected({ cached: [factsOf("query")] });
  fixture.isGiven(1, {});
  fixture.hears({ kind: "release", reason: "The workflow is over" });
  expect(fixture.orders).toEqual(["stop 1.1 as cancelled"]);
  fixture.finishes(1, { outcome: "cancelled" });
  expect(fixture.instructions.at(-1)).toMatchObject({ kind: "leave", isReleased: true });
});

test("requestLeave() calls transfers off", () => {
  const fixture = WorkerFixture.connected();
  const transferId = fixture.fetches("query");
  fixture.makes("env", "env.tar");
  fixture.feed(LEAVE);
  expect(fixture.orders).toEqual([`stop transfer ${transferId}`]);
  fixture.brings(transferId, factsOf("query"), "stopped");
  expect(fixture.orders).toEqual(["leave"]);
});

test("sayHello() tells the time that is left, and leaveInTime() leaves at its end", () => {
  const end = { atMs: 60_000, reason: "its batch job ends in 30 s" };
  const fixture = WorkerFixture.connected({ end });
  expect(fixture.toldOf("hello")).toEqual([]);
  fixture.passes(20_000);
  fixture.feed({ kind: "connection_closed" });
  fixture.feed({ kind: "connection_opened", peer: { urls: [] } });
  expect(fixture.toldOf("hello")).toMatchObject([{ leftMs: 40_000 }]);
  fixture.connects();
  fixture.isGiven(1, {});
  fixture.passes(39_999);
  expect(fixture.told).toEqual([]);
  fixture.passes(1);
  expect(fixture.toldOf("leaving")).toEqual([{ kind: "leaving", reason: end.reason }]);
  expect(fixture.orders).toEqual(["stop 1.1 as cancelled"]);
});
