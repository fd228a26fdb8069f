import { expect, test } from "bun:test";

import { ManagerFixture } from "./fixture.ts";

/** Ends the try that came to a worker first, with its cores taken at once by what waits. */
function endFirst(fixture: ManagerFixture): void {
  for (const { workerId, tries } of fixture.state.workers.values()) {
    const [first] = tries.values();
    if (first !== undefined) return fixture.finishes(workerId, first.taskId);
  }
}

/** Ends of small tasks until the wide one is at a worker, while ever more of them come. */
function endsUntilPlaced(fixture: ManagerFixture, wide: { cores: number; priority?: number }) {
  const task = fixture.submits({ category: "wide", ...wide });
  for (let count = 0; count <= 50; count++) {
    if (fixture.task(task).state.kind === "dispatched") return count;
    fixture.submits({ category: "small" }, { category: "small" });
    endFirst(fixture);
  }
  return undefined;
}

function busyPool(workers: { [name: string]: number }): ManagerFixture {
  const fixture = new ManagerFixture();
  for (const [name, cores] of Object.entries(workers)) fixture.joins(name, { cores });
  fixture.submits(...Array(60).fill({ category: "small" }));
  return fixture;
}

test("reserveFor() keeps a worker for a category that would find none with room ever", () => {
  const fixture = busyPool({ only: 4 });
  // Eight are there, of which half wait: all have to end.
  expect(endsUntilPlaced(fixture, { cores: 4 })).toBe(8);
});

test("reserveFor() lets others have the worker again once the task is there", () => {
  const fixture = busyPool({ only: 4 });
  endsUntilPlaced(fixture, { cores: 4 });
  expect(fixture.state.reservations.size).toBe(0);
  fixture.passes(1);
  expect(fixture.state.workers.values().next().value?.committed.cores).toBeGreaterThan(4);
});

test("reserveFor() keeps one worker of several, and gives it back when the task is called off", () => {
  const fixture = busyPool({ a: 4, b: 4, c: 4 });
  const task = fixture.submits({ category: "wide", cores: 4 });
  expect(fixture.state.reservations.size).toBe(1);
  fixture.submits({ category: "other", cores: 4 });
  expect(fixture.state.reservations.size).toBe(1);
  fixture.cancels(task);
  fixture.passes(1);
  expect([...fixture.state.reservations.keys()].map(({ category }) => category.name)).toEqual([
    "other",
  ]);
});

test("reserveFor() keeps no worker from what is more urgent, and none for what could not run", () => {
  const fixture = busyPool({ only: 2 });
  fixture.submits({ category: "wide", cores: 2 });
  fixture.submits({ category: "impossible", cores: 3 });
  expect([...fixture.state.reservations.keys()].map(({ category }) => category.name)).toEqual([
    "wide",
  ]);
  const urgent = fixture.submits({ category: "urgent", priority: 1 });
  for (let count = 0; count < 4; count++) endFirst(fixture);
  expect(fixture.task(urgent).state.kind).toBe("dispatched");
});

test("reserveFor() looks for another worker when the one that was kept is lost", () => {
  const fixture = busyPool({ a: 4, b: 4 });
  fixture.submits({ category: "wide", cores: 4 });
  const [kept] = fixture.state.reservations.values();
  fixture.exits(kept!.workerId);
  expect(fixture.state.reservations.values().next().value).not.toBe(kept);
});
