import { expect, test } from "bun:test";

import type { InstanceId } from "../../../shared/ids.ts";
import { nextWakeAtMs } from "../../../worker/core/step.ts";
import { factsOf, WorkerFixture } from "./fixture.ts";

const CALL = { library: "digits" };

/** A worker with an instance of a slot; a call that took so long has ended there. */
function withCallOf(ranMs: number): WorkerFixture {
  const fixture = WorkerFixture.connected({ cached: [factsOf("module")] });
  fixture.startsInstance(1, { slots: 1 });
  fixture.feed({ kind: "instance_ready", instanceId: 1 as InstanceId });
  fixture.isGiven(1, CALL);
  expect(fixture.toldOf("tries_started").length).toBe(1);
  fixture.answers(1, { ranMs });
  return fixture;
}

test("tellStarts() says nothing of a call that is likely to be short, and is", () => {
  const fixture = withCallOf(1);
  fixture.isGiven(2, CALL);
  expect(fixture.state.tries.size).toBe(1);
  fixture.answers(2);
  fixture.nowMs = nextWakeAtMs(fixture.state) ?? 0;
  fixture.feed({ kind: "tick" });
  expect(fixture.toldOf("tries_started")).toEqual([]);
  expect(nextWakeAtMs(fixture.state)).toBeUndefined();
});

test("tellStarts() says of a call that goes on after a moment, once", () => {
  const fixture = withCallOf(1);
  fixture.isGiven(2, CALL);
  fixture.nowMs = nextWakeAtMs(fixture.state) ?? 0;
  fixture.feed({ kind: "tick" });
  expect(fixture.toldOf("tries_started")).toMatchObject([{ tries: [{ taskId: 2, try: 1 }] }]);
  expect(nextWakeAtMs(fixture.state)).toBeUndefined();
});

test("tellStarts() says at once of a call that is likely to be long, and of a command", () => {
  const fixture = withCallOf(100);
  fixture.isGiven(2, CALL);
  expect(fixture.toldOf("tries_started").length).toBe(1);
  fixture.answers(2);
  fixture.isGiven(3, {});
  fixture.feed({ kind: "tick" });
  expect(fixture.state.startedQuietly).toEqual([]);
});
