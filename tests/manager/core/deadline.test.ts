import { expect, test } from "bun:test";

import type { TaskId } from "../../../shared/ids.ts";
import { ManagerFixture } from "./fixture.ts";

const PLAIN = { dispatchAhead: 1, dispatchAheadMs: 0 };

test("submitTask() holds a task until its startAfter, and gives others of its kind out", () => {
  const fixture = new ManagerFixture(PLAIN);
  fixture.joins("a", { cores: 2 });
  const held = fixture.submits({ startsAtMs: 5_000 }, {}) - 1;
  expect(fixture.dispatched).toEqual([`a ${held + 1}.1`]);
  fixture.passes(4_999);
  expect(fixture.task(held as TaskId).state.kind).toBe("waiting");
  fixture.passes(1);
  expect(fixture.dispatched).toEqual([`a ${held}.1`]);
});

test("submitTask() has a task wait for what it lacks after its startAfter", () => {
  const fixture = new ManagerFixture(PLAIN);
  const temp = fixture.temp("temp");
  fixture.joins("a", { cores: 2 });
  const producer = fixture.submits({ outputs: [temp] });
  const held = fixture.submits({ inputs: [temp], startsAtMs: 1_000 });
  fixture.passes(2_000);
  expect(fixture.task(held).state).toEqual({ kind: "waiting", missing: 1 });
  fixture.finishes("a", producer);
  expect(fixture.dispatched).toEqual([`a ${held}.1`]);
});

test("endExpired() ends a task that waits, is ready or runs, and says where it was", () => {
  const fixture = new ManagerFixture(PLAIN);
  const temp = fixture.temp("temp");
  fixture.joins("a");
  const running = fixture.submits({ outputs: [temp], endsAtMs: 1_000, retries: 5 });
  fixture.starts("a", running);
  const waiting = fixture.submits({ inputs: [temp], endsAtMs: 900 });
  const ready = fixture.submits({ endsAtMs: 900 });
  const held = fixture.submits({ startsAtMs: 2_000, endsAtMs: 900 });
  const follower = fixture.submits({ inputs: [temp] });
  fixture.passes(950);
  const why = (taskId: TaskId) => fixture.ends.get(taskId)?.message;
  expect(fixture.outcome(waiting)).toBe("expired");
  expect(why(waiting)).toEndWith("its endBy passed while it waited for an input");
  expect(why(ready)).toEndWith("its endBy passed while it waited for a worker");
  expect(why(held)).toEndWith("its endBy passed while it was held back");
  fixture.passes(50);
  expect(fixture.toldOf("a", "kill")).toEqual({ kind: "kill", taskId: running, try: 1 });
  expect(fixture.ends.get(running)).toMatchObject({ outcome: "expired", host: "host of a" });
  expect(why(running)).toEndWith("its endBy passed while it ran at worker a on host of a");
  expect(fixture.outcome(follower)).toBe("input_missing");
  fixture.finishes("a", running);
  expect(fixture.ends.size).toBe(5);
});

test("endExpired() keeps what a worker is done with, but gives it no other try", () => {
  const fixture = new ManagerFixture(PLAIN);
  const [first, second] = [fixture.local("first"), fixture.local("second")];
  fixture.joins("a", { cores: 2 });
  const kept = fixture.submits({ outputs: [first], endsAtMs: 1_000 });
  const lost = fixture.submits({ outputs: [second], endsAtMs: 1_000 });
  fixture.finishes("a", kept);
  fixture.finishes("a", lost);
  fixture.passes(1_500);
  expect(fixture.ends.size).toBe(0);
  fixture.delivers(first);
  expect(fixture.outcome(kept)).toBe("success");
  fixture.exits("a");
  expect(fixture.outcome(lost)).toBe("expired");
});

test("endExpired() ends a task whose endBy has passed before it was submitted", () => {
  const fixture = new ManagerFixture(PLAIN);
  fixture.joins("a");
  fixture.nowMs = 10;
  expect(fixture.outcome(fixture.submits({ endsAtMs: -1 }))).toBe("expired");
  expect(fixture.dispatched).toEqual([]);
});

test("endExpired() leaves a task alone that runs again to remake a temp", () => {
  const fixture = new ManagerFixture(PLAIN);
  const temp = fixture.temp("temp");
  fixture.joins("a");
  const maker = fixture.submits({ outputs: [temp], endsAtMs: 1_000 });
  fixture.finishes("a", maker);
  fixture.passes(2_000);
  const reader = fixture.submits({ inputs: [temp] });
  fixture.exits("a");
  fixture.joins("b");
  fixture.finishes("b", maker);
  expect(fixture.dispatched).toEqual([`b ${reader}.2`]);
});

test("planLook() drops what is stale before there is much of it", () => {
  const fixture = new ManagerFixture({ ...PLAIN, dispatchAhead: 1_000 });
  fixture.checksInvariants = false;
  fixture.joins("a", { cores: 100 });
  for (let round = 0; round < 50; round++) {
    const wishes = Array.from({ length: 100 }, () => ({ endsAtMs: 1e9, cores: 0 }));
    const last = fixture.submits(...wishes);
    for (let taskId = last - 99; taskId <= last; taskId++) fixture.cancels(taskId as TaskId);
  }
  expect(fixture.ends.size).toBe(5_000);
  expect(fixture.state.deadlines.items.length).toBeLessThanOrEqual(1_100);
});
