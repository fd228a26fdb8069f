import { expect, test } from "bun:test";

import { LookSchedule } from "../../worker/look_schedule.ts";
import { until } from "./task_fixture.ts";

test("LookSchedule pauses the longer the more its looks cost", async () => {
  const schedule = new LookSchedule({ tickMs: 1, shareMax: 0.1, concurrencyMax: 8 });
  const looks = { cheap: 0, dear: 0 };
  schedule.add(1, () => {
    looks.cheap += 1;
    return Promise.resolve({ costMs: 0, pauseMs: 5 });
  });
  schedule.add(1, () => {
    looks.dear += 1;
    return Promise.resolve({ costMs: 1_000, pauseMs: 5 });
  });
  await until("ten cheap looks", () => looks.cheap >= 10);
  expect(looks.dear).toBe(1);
  schedule.close();
});

test("LookSchedule has no more looks under way than it may, and begins the next then", async () => {
  const schedule = new LookSchedule({ tickMs: 1, shareMax: 1, concurrencyMax: 2 });
  const waiting: (() => void)[] = [];
  let mostCount = 0;
  let lookCount = 0;
  for (let index = 0; index < 5; index++) {
    schedule.add(1, async () => {
      lookCount += 1;
      await new Promise<void>((resolve) => {
        waiting.push(resolve);
        mostCount = Math.max(mostCount, waiting.length);
      });
      return { costMs: 0, pauseMs: 1e6 };
    });
  }
  await until("all to be looked at", () => {
    if (waiting.length === 2 || lookCount === 5) waiting.shift()?.();
    return lookCount === 5 && waiting.length === 0;
  });
  expect(mostCount).toBe(2);
  schedule.close();
});

test("LookSchedule looks at nothing that is disposed, nor once it is closed", async () => {
  const schedule = new LookSchedule({ tickMs: 1, shareMax: 1, concurrencyMax: 2 });
  const seen: string[] = [];
  const look = (name: string) => () => {
    seen.push(name);
    return Promise.resolve({ costMs: 0, pauseMs: 1 });
  };
  schedule.add(1, look("disposed"))[Symbol.dispose]();
  schedule.add(2, look("kept"));
  await until("a look", () => seen.length > 0);
  schedule.close();
  const { length } = seen;
  const next = new LookSchedule({ tickMs: 1, shareMax: 1, concurrencyMax: 2 });
  let laterCount = 0;
  next.add(1, () => Promise.resolve({ costMs: 0, pauseMs: ++laterCount }));
  await until("later looks", () => laterCount >= 5);
  next.close();
  expect(seen.length).toBe(length);
  expect(seen).not.toContain("disposed");
});
