import { expect, test } from "bun:test";

import { ManagerFixture } from "./fixture.ts";

/** Names of the workers that were sent away so far. */
function released(fixture: ManagerFixture): number {
  return [...fixture.state.workers.values()].filter(({ isLeaving }) => isLeaving).length;
}

test("evictAtRandom() sends a worker away about once in the interval, and counts no loss", () => {
  const fixture = new ManagerFixture({ workerEvictionIntervalMs: 1_000 });
  for (let index = 0; index < 8; index++) fixture.joins(`w${index}`, { host: `h${index}` });
  for (let index = 0; index < 8; index++) fixture.submits({});
  expect(released(fixture)).toBe(0);
  for (let second = 1; second <= 6; second++) fixture.passes(1_000);
  expect(released(fixture)).toBeGreaterThan(2);
  for (const task of fixture.state.tasks.values()) expect(task.lossCount).toBe(0);
});

test("evictAtRandom() stops when the policy is switched off", () => {
  const fixture = new ManagerFixture({ workerEvictionIntervalMs: 1_000 });
  for (let index = 0; index < 4; index++) fixture.joins(`w${index}`);
  const policies = { ...fixture.state.policies, workerEvictionIntervalMs: 0 };
  fixture.feed({ kind: "policies_set", policies });
  fixture.passes(60_000);
  expect(released(fixture)).toBe(0);
});
