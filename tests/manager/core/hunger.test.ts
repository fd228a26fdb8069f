/** The figures of TaskVine's `vine_python_hungry.py`, on its worker of 12 cores and 1200 MB. */

import { expect, test } from "bun:test";

import { countWanted } from "../../../manager/core/hunger.ts";
import type { ResourceRequest } from "../../../shared/resources.ts";
import { ManagerFixture } from "./fixture.ts";

const MB = 1_000_000;
const WORKER = { cores: 12, memoryBytes: 1_200 * MB, diskBytes: 1_200 * MB };

function open(hungryMinimum: number, hungryFactor = 2): ManagerFixture {
  return new ManagerFixture({ hungryMinimum, hungryFactor });
}

function wanted(fixture: ManagerFixture): number {
  return countWanted(fixture.state, 0);
}

/** Has the worker run tasks that ask for these. */
function runs(fixture: ManagerFixture, ...requests: ResourceRequest[]): void {
  fixture.joins("a", WORKER);
  for (const request of requests) fixture.starts("a", fixture.submits({ request }));
}

test("countWanted() wants the minimum where there are no workers, less what waits", () => {
  expect(wanted(open(11))).toBe(11);
  const fixture = open(2);
  for (const left of [2, 1, 0, 0]) {
    expect(wanted(fixture)).toBe(left);
    fixture.submits({});
  }
});

test("countWanted() counts what was submitted and is not known yet", () => {
  expect(countWanted(open(2).state, 1)).toBe(1);
});

test("countWanted() wants the minimum when one task takes the whole worker", () => {
  // In TaskVine a task that states nothing takes all; here that has to be said.
  const all = { cores: Infinity };
  for (const [minimum, left] of [[2, 1], [5, 4]] as const) {
    const fixture = open(minimum);
    runs(fixture, all);
    fixture.submits({ request: { ...all, gpus: 1 } });
    expect(wanted(fixture)).toBe(left);
  }
});

test("countWanted() takes a task for one core where nothing is known", () => {
  const fixture = open(5);
  runs(fixture);
  expect(wanted(fixture)).toBe(2 * 12);
});

test("countWanted() takes tasks to come to be as large as those that run", () => {
  for (const factor of [2, 3]) {
    const fixture = open(5, factor);
    runs(fixture, { cores: 1 });
    expect(wanted(fixture)).toBe(factor * 12 - 1);
  }
  const full = open(5, 3);
  runs(full, { cores: 1 }, { cores: 11 });
  expect(wanted(full)).toBe(5);
});

test("countWanted() is limited by memory where tasks take more of that", () => {
  const fixture = open(5, 3);
  runs(fixture, { cores: 1, memoryBytes: 200 * MB });
  expect(wanted(fixture)).toBe((3 * 1_200 - 200) / 200);
});

test("countWanted() takes the mean size of the tasks that wait", () => {
  const small = { memoryBytes: MB, diskBytes: MB };
  const fixture = open(5, 10);
  runs(fixture, { ...small, cores: 1 }, { ...small, cores: 11 });
  // It waits, as nothing is dispatched ahead to a worker without a feature.
  fixture.submits({ request: { cores: 2 }, features: ["none"] });
  expect(wanted(fixture)).toBe((10 * 12 - 1 - 11) / 2 - 1);
  fixture.submits({ request: { cores: 4 }, features: ["none"] });
  expect(wanted(fixture)).toBe((10 * 12 - 1 - 11) / 3 - 2);
});

test("countWanted() wants twice as many tasks as there are workers, however large they are", () => {
  const fixture = open(1);
  for (const name of ["a", "b", "c"]) fixture.joins(name, { cores: 1 });
  fixture.submits({ request: { cores: 100 } });
  expect(wanted(fixture)).toBe(6 - 1);
});

test("countWanted() forgets workers that are away and what they hold", () => {
  const fixture = open(1);
  runs(fixture, { cores: 1 });
  fixture.breaks("a");
  expect(wanted(fixture)).toBe(1);
  fixture.passes(60_000);
  // What ran there waits again.
  expect(wanted(fixture)).toBe(0);
  fixture.joins("b", WORKER);
  expect(wanted(fixture)).toBe(2 * 12 - 1);
});
