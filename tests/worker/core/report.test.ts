import { expect, test } from "bun:test";

import { nextWakeAtMs } from "../../../worker/core/step.ts";
import { WorkerFixture } from "./fixture.ts";

test("report() tells of all tries that started in one message, after a while", () => {
  const fixture = WorkerFixture.connected({ cores: 2 });
  fixture.isGiven(1, {}, {});
  expect(fixture.told).toEqual([]);
  expect(nextWakeAtMs(fixture.state)).toBe(fixture.nowMs + 5);
  fixture.passes(5);
  expect(fixture.told).toEqual([
    { kind: "tries_started", tries: [{ taskId: 1, try: 1 }, { taskId: 2, try: 1 }] },
  ] as never);
  expect(nextWakeAtMs(fixture.state)).toBeUndefined();
});

test("report() does not tell of a try's start after its result", () => {
  const fixture = WorkerFixture.connected();
  fixture.isGiven(1, {});
  fixture.finishes(1);
  expect(fixture.told.map(({ kind }) => kind)).toEqual(["result"]);
  fixture.passes(5);
  expect(fixture.told).toEqual([]);
});

test("report() holds results while other tries wait for room, so that they share a frame", () => {
  const fixture = WorkerFixture.connected({ cores: 1 });
  fixture.isGiven(1, {}, {}, {});
  fixture.finishes(1);
  expect(fixture.told).toEqual([]);
  fixture.passes(2);
  fixture.finishes(2);
  // Nothing waits behind the third: its start is no news, and the results go.
  expect(fixture.toldOf("result").length).toBe(2);
});

test("report() holds a result for a short while only", () => {
  const fixture = WorkerFixture.connected({ cores: 1 });
  fixture.isGiven(1, {}, {}, {});
  fixture.finishes(1);
  fixture.passes(3);
  expect(fixture.toldOf("result").length).toBe(1);
});

test("forgetReport() drops what was held for a connection that is gone", () => {
  const fixture = WorkerFixture.connected({ cores: 1 });
  fixture.isGiven(1, {}, {}, {});
  fixture.finishes(1);
  fixture.feed({ kind: "connection_closed" });
  expect(nextWakeAtMs(fixture.state)).toBeUndefined();
  fixture.connects({ results: [{ taskId: 1 as never, try: 1, verdict: "resend" }] });
  fixture.passes(3);
  expect(fixture.toldOf("result").length).toBe(1);
});
