import { expect, test } from "bun:test";

import { readTimeLimit } from "../../worker/time_limit.ts";

const NOW_MS = 1_700_000_000_000;

function limitOf(wallTimeMs: number, end: string | undefined) {
  const ignored: string[] = [];
  const env = { SLURM_JOB_END_TIME: end };
  const limit = readTimeLimit({ wallTimeMs, env, nowMs: NOW_MS }, (line) => ignored.push(line));
  return { limit, ignored };
}

test("readTimeLimit() takes the sooner of the wall time and the end of the job", () => {
  expect(limitOf(0, undefined).limit).toBeUndefined();
  expect(limitOf(5_000, undefined).limit).toEqual({
    leftMs: 5_000,
    reason: "its wall time is over",
  });
  expect(limitOf(5_000, String(NOW_MS / 1000 + 3600)).limit?.leftMs).toBe(5_000);
  // A margin of 30 s before the job is ended.
  expect(limitOf(3_600_000, String(NOW_MS / 1000 + 3600)).limit).toEqual({
    leftMs: 3_570_000,
    reason: "its batch job ends in 30 s",
  });
  // Of a short one, a twentieth.
  expect(limitOf(0, String(NOW_MS / 1000 + 100)).limit?.leftMs).toBe(95_000);
});

test("readTimeLimit() passes over an end that cannot be", () => {
  for (const text of ["soon", "-5", String(NOW_MS / 1000), "1e12"]) {
    const { limit, ignored } = limitOf(0, text);
    expect(limit).toBeUndefined();
    expect(ignored).toEqual([
      `Cannot read SLURM_JOB_END_TIME "${text}" as an instant to come, in seconds: ` +
      "it is passed over",
    ]);
  }
});
