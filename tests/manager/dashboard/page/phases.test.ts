import { expect, test } from "bun:test";

import { phasesOf } from "../../../../manager/dashboard/page/phases.ts";

const TASK = {
  submittedAtMs: 1_000,
  dispatchedAtMs: 3_000,
  startedAtMs: 3_500,
  endedAtMs: 9_000,
  ranMs: 5_000,
};

test("phasesOf() a task that ended adds up to its life", () => {
  expect(phasesOf(TASK, 99_000)).toEqual([
    { name: "waiting", ms: 2_000 },
    { name: "staging", ms: 500 },
    { name: "running", ms: 5_000 },
    { name: "after", ms: 500 },
  ]);
});

test("phasesOf() a task that goes on ends now", () => {
  const running = { ...TASK, endedAtMs: null, ranMs: null };
  expect(phasesOf(running, 4_000).at(-1)).toEqual({ name: "running", ms: 500 });
  const waiting = { ...running, dispatchedAtMs: null, startedAtMs: null };
  expect(phasesOf(waiting, 4_000)).toEqual([{ name: "waiting", ms: 3_000 }]);
  // The records may be behind the task.
  expect(phasesOf(waiting, 0)).toEqual([]);
});
