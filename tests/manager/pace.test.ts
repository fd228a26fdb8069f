import { expect, test } from "bun:test";

import { Pace } from "../../manager/pace.ts";

test("Pace counts the ends of the last minute, not those since the start", () => {
  const pace = new Pace({ ended: 0, pending: 1000 }, 0);
  for (let second = 1; second <= 100; second++) {
    pace.note({ ended: second, pending: 1000 }, second * 1_000);
  }
  expect(pace.perSecond(100_000)).toBeCloseTo(1, 1);
  for (let second = 101; second <= 170; second++) {
    pace.note({ ended: 100 + (second - 100) * 5, pending: 1000 }, second * 1_000);
  }
  expect(pace.perSecond(170_000)).toBeCloseTo(5, 0);
});

test("Pace looks further back where fewer than ten ended in a minute", () => {
  const pace = new Pace({ ended: 0, pending: 100 }, 0);
  for (let ended = 1; ended <= 20; ended++) {
    pace.note({ ended, pending: 100 }, ended * 100_000);
  }
  expect(pace.perSecond(2_000_000)).toBeCloseTo(0.01, 3);
});

test("Pace leaves out the time in which there was no work", () => {
  const pace = new Pace({ ended: 0, pending: 0 }, 0);
  pace.note({ ended: 0, pending: 50 }, 3_600_000);
  pace.note({ ended: 50, pending: 0 }, 3_605_000);
  expect(pace.perSecond(3_605_000)).toBe(10);
  pace.note({ ended: 50, pending: 20 }, 9_000_000);
  pace.note({ ended: 70, pending: 0 }, 9_001_000);
  expect(pace.perSecond(9_001_000)).toBe(20);
});
