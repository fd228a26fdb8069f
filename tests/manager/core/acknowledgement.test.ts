import { expect, test } from "bun:test";

import { OWED_MAX, OWED_MS_MAX } from "../../../manager/core/acknowledgement.ts";
import { instanceAt, ManagerFixture } from "./fixture.ts";

const CALL = { library: "digits" };

/** A worker with a library of many slots that is ready. */
function withInstance(): ManagerFixture {
  const fixture = new ManagerFixture();
  fixture.library("digits", fixture.local("module"), { slots: OWED_MAX });
  fixture.joins("a", { cores: 1 });
  const first = fixture.submits(CALL);
  fixture.says("a", { kind: "instance_ready", instanceId: instanceAt(fixture, "a") });
  fixture.finishes("a", first);
  fixture.passes(OWED_MS_MAX);
  return fixture;
}

test("acknowledgeLater() leaves the worker alone for a while", () => {
  const fixture = withInstance();
  const call = fixture.submits(CALL);
  fixture.finishes("a", call);
  expect(fixture.outcome(call)).toBe("success");
  expect(fixture.told("a")).toEqual([]);
  fixture.passes(OWED_MS_MAX);
  expect(fixture.told("a")).toEqual([{ kind: "result_ack", tries: [{ taskId: call, try: 1 }] }]);
});

test("acknowledgeLater() rides along with what the worker is told next", () => {
  const fixture = withInstance();
  const call = fixture.submits(CALL);
  fixture.finishes("a", call);
  fixture.submits(CALL);
  expect(fixture.told("a").map(({ kind }) => kind)).toEqual(["result_ack", "dispatch"]);
  fixture.passes(OWED_MS_MAX);
  expect(fixture.told("a")).toEqual([]);
});

test("acknowledgeLater() has the worker keep few results", () => {
  const fixture = withInstance();
  const calls = Array.from({ length: OWED_MAX }, () => fixture.submits(CALL));
  for (const [index, call] of calls.entries()) {
    expect(fixture.toldOf("a", "result_ack")).toBeUndefined();
    fixture.finishes("a", call);
    if (index < OWED_MAX - 1) expect(fixture.told("a")).toEqual([]);
  }
  expect(fixture.toldOf("a", "result_ack")?.tries.length).toBe(OWED_MAX);
});

test("acknowledgeLater() lets a worker go that leaves", () => {
  const fixture = withInstance();
  const [call, other] = [fixture.submits(CALL), fixture.submits(CALL)];
  fixture.finishes("a", call);
  fixture.says("a", { kind: "leaving", reason: "Its time is over" });
  expect(fixture.toldOf("a", "result_ack")?.tries).toEqual([{ taskId: call, try: 1 }]);
  fixture.finishes("a", other);
  expect(fixture.toldOf("a", "result_ack")?.tries).toEqual([{ taskId: other, try: 1 }]);
});

test("acknowledgeLater() leaves it to the next hello what a broken connection was not told", () => {
  const fixture = withInstance();
  const call = fixture.submits(CALL);
  fixture.finishes("a", call);
  fixture.breaks("a");
  fixture.passes(OWED_MS_MAX);
  fixture.returns("a", { results: [{ taskId: call, try: 1 }] });
  expect(fixture.toldOf("a", "reconcile")?.results).toEqual([
    { taskId: call, try: 1, verdict: "acknowledge" },
  ]);
  fixture.passes(OWED_MS_MAX);
  expect(fixture.toldOf("a", "result_ack")).toBeUndefined();
});
