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

test("reserveFor() is tried again when the last try of a category ends, without room for another", () => {
  const fixture = new ManagerFixture({ dispatchAhead: 1, dispatchAheadMs: 0 });
  fixture.joins("only", { cores: 4 });
  const wide = fixture.submits({ category: "wide" });
  fixture.submits(...Array(8).fill({ category: "small" }));
  fixture.submits({ category: "wide", cores: 4 });
  expect(fixture.state.reservations.size).toBe(0);
  fixture.finishes("only", wide);
  expect(fixture.state.reservations.size).toBe(1);
});

test("endReservationsOfFull() keeps no worker for a category that may run nothing more", () => {
  const fixture = new ManagerFixture({ dispatchAhead: 1, dispatchAheadMs: 0 });
  fixture.category("wide", { maxConcurrent: 1 });
  fixture.joins("only", { cores: 4 });
  fixture.submits(...Array(8).fill({ category: "small" }));
  fixture.submits({ category: "wide", cores: 4 });
  expect(fixture.state.reservations.size).toBe(1);
  fixture.submits({ category: "wide", priority: 1 });
  endFirst(fixture);
  // The more urgent one of the category has come first.
  expect(fixture.dispatched).toEqual(["only 10.1"]);
  expect(fixture.state.reservations.size).toBe(0);
});

test("reviewReservation() lets a worker go that has less than the class asks for by now", () => {
  const fixture = new ManagerFixture({ dispatchAhead: 1, dispatchAheadMs: 0 });
  fixture.joins("only", { cores: 4, memoryBytes: 4e9 });
  fixture.submits(...Array(8).fill({ category: "small" }));
  fixture.submits({ category: "wide", request: { cores: 4 } });
  expect(fixture.state.reservations.size).toBe(1);
  fixture.category("wide", { max: { memoryBytes: 8e9 } });
  expect(fixture.state.reservations.size).toBe(0);
});

test("isReserved() lets a task by that is more urgent than what the worker is kept for", () => {
  const fixture = new ManagerFixture({ dispatchAhead: 1, dispatchAheadMs: 0 });
  fixture.joins("only", { cores: 4 });
  fixture.submits(...Array(8).fill({ category: "small" }));
  fixture.submits({ category: "wide", cores: 4 });
  endFirst(fixture);
  expect(fixture.dispatched).toEqual([]);
  const urgent = fixture.submits({ category: "small", priority: 1 });
  expect(fixture.dispatched).toEqual([`only ${urgent}.1`]);
});

test("isReserved() keeps instances of libraries from a worker too", () => {
  const fixture = new ManagerFixture({ dispatchAhead: 1, dispatchAheadMs: 0 });
  fixture.library("library", fixture.local("module"));
  fixture.joins("only", { cores: 2 });
  fixture.submits({ category: "small" }, { category: "small" });
  const wide = fixture.submits({ category: "wide", cores: 2 });
  fixture.submits({ library: "library" });
  endFirst(fixture);
  expect(fixture.toldOf("only", "start_instance")).toBeUndefined();
  endFirst(fixture);
  expect(fixture.dispatched).toEqual([`only ${wide}.1`]);
});
