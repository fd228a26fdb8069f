import { expect, test } from "bun:test";

import type { TaskId } from "../../../shared/ids.ts";
import { ManagerFixture } from "./fixture.ts";
import { idOf } from "./wishes.ts";

const SLOW = { slowWorkerFactor: 2, dispatchAhead: 1, dispatchAheadMs: 0 };

/** Workers "a" and "b"; ten tasks have taken a second each at "b", which has room for one more. */
function measured(policies = {}): ManagerFixture {
  const fixture = new ManagerFixture({ ...SLOW, ...policies });
  fixture.joins("b");
  for (let count = 0; count < 10; count++) {
    const task = fixture.submits({});
    fixture.starts("b", task);
    fixture.nowMs += 1_000;
    fixture.finishes("b", task, { ranMs: 1_000 });
  }
  return fixture;
}

/** A task that starts at "a". */
function startsAtA(fixture: ManagerFixture): TaskId {
  const busy = fixture.submits({});
  fixture.starts("b", busy);
  fixture.joins("a", { host: "slow host" });
  const task = fixture.submits({});
  expect(fixture.dispatched).toEqual([`a ${task}.1`]);
  fixture.starts("a", task);
  fixture.finishes("b", busy, { ranMs: 1_000 });
  return task;
}

test("takeSlow() gives a try that runs for too long to another worker, uncounted", () => {
  const fixture = measured();
  const task = startsAtA(fixture);
  fixture.passes(1_999);
  expect(fixture.task(task).tryCount).toBe(1);
  fixture.passes(1);
  expect(fixture.toldOf("a", "kill")).toEqual({ kind: "kill", taskId: task, try: 1 });
  expect(fixture.dispatched).toEqual([`b ${task}.2`]);
  expect(fixture.task(task).failureCount + fixture.task(task).lossCount).toBe(0);
  fixture.starts("b", task);
  // It may take a mean longer by now.
  fixture.passes(2_500);
  expect(fixture.task(task).tryCount).toBe(2);
  fixture.passes(501);
  expect(fixture.task(task).slow?.count).toBe(2);
});

test("takeSlow() watches what had started before the mean was known", () => {
  const fixture = new ManagerFixture(SLOW);
  fixture.joins("a");
  const early = fixture.submits({});
  fixture.starts("a", early);
  fixture.joins("b");
  for (let count = 0; count < 10; count++) {
    const task = fixture.submits({});
    fixture.starts("b", task);
    fixture.nowMs += 1_000;
    fixture.finishes("b", task, { ranMs: 1_000 });
  }
  fixture.passes(1);
  expect(fixture.task(early).slow?.count).toBe(1);
});

test("takeSlow() sends a worker away from which two in a row were taken, and blocks its host", () => {
  const fixture = measured();
  for (let round = 0; round < 2; round++) {
    const task = startsAtA2(fixture, round);
    fixture.passes(4_001);
    fixture.says("a", { kind: "recalled", taskId: task, try: 1 });
  }
  expect(fixture.state.workers.get(idOf("a"))?.isLeaving).toBe(true);
  expect(fixture.state.hosts.get("slow host")?.blockedUntilMs).toBeGreaterThan(900_000);
});

function startsAtA2(fixture: ManagerFixture, round: number): TaskId {
  if (round === 0) return startsAtA(fixture);
  for (const attempt of fixture.state.workers.get(idOf("b"))!.tries.values()) {
    fixture.starts("b", attempt.taskId);
    fixture.finishes("b", attempt.taskId, { ranMs: 1_000 });
  }
  const busy = fixture.submits({}, {}) - 1 as TaskId;
  const places = fixture.dispatched.map((tryOf) => tryOf.split(/[ .]/));
  const at = (worker: string) => Number(places.find(([name]) => name === worker)?.[1]) as TaskId;
  fixture.starts("b", at("b"));
  fixture.starts("a", at("a"));
  fixture.finishes("b", at("b"), { ranMs: 1_000 });
  expect(busy).toBeGreaterThan(0);
  return at("a");
}

test("takeSlow() takes nothing from the only worker there is, nor while the policy is off", () => {
  const fixture = measured();
  const task = fixture.submits({});
  fixture.starts("b", task);
  fixture.passes(100_000);
  expect(fixture.task(task).tryCount).toBe(1);
  const off = measured({ slowWorkerFactor: 0 });
  const other = startsAtA(off);
  off.passes(100_000);
  expect(off.task(other).tryCount).toBe(1);
  off.tunes({ slowWorkerFactor: 3 });
  off.passes(1);
  expect(off.dispatched).toEqual([`b ${other}.2`]);
});
