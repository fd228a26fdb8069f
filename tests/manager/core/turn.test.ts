import { expect, test } from "bun:test";

import { ManagerFixture } from "./fixture.ts";

/** Cores that tries of each category hold. */
function held(fixture: ManagerFixture): { [category: string]: number } {
  const entries = [...fixture.state.categories].map(([name, { heldCores }]) => [name, heldCores]);
  return Object.fromEntries(entries);
}

function pool(cores: number): ManagerFixture {
  const fixture = new ManagerFixture({ dispatchAhead: 1, dispatchAheadMs: 0 });
  fixture.joins("worker", { cores });
  return fixture;
}

test("takeTurns() has categories share the cores, though one has come first with many tasks", () => {
  const fixture = pool(6);
  fixture.submits(
    ...Array(20).fill({ category: "first" }),
    ...Array(20).fill({ category: "second" }),
    ...Array(20).fill({ category: "third" }),
  );
  expect(held(fixture)).toEqual({ first: 2, second: 2, third: 2 });
});

test("takeTurns() counts cores, not tasks", () => {
  const fixture = pool(8);
  fixture.submits(
    ...Array(20).fill({ category: "wide", cores: 4 }),
    ...Array(20).fill({ category: "narrow" }),
  );
  expect(held(fixture)).toEqual({ wide: 4, narrow: 4 });
});

test("takeTurns() puts priority before fairness", () => {
  const fixture = pool(4);
  fixture.submits(
    ...Array(4).fill({ category: "usual" }),
    ...Array(4).fill({ category: "urgent", priority: 1 }),
  );
  expect(held(fixture)).toEqual({ usual: 0, urgent: 4 });
});

test("takeTurns() takes the tasks of one category in order, whatever their classes", () => {
  const fixture = pool(1);
  const ids = [0, 1, 2, 3].map((index) => fixture.submits({ memoryBytes: index % 2 }));
  const order = ids.map((id) => {
    const [tried] = fixture.state.workers.values().next().value!.tries.values();
    fixture.finishes("worker", id);
    return tried?.taskId;
  });
  expect(order).toEqual(ids);
});

test("takeTurns() dispatches no more tries of a category than may be at workers", () => {
  const fixture = pool(8);
  fixture.category("few", { maxConcurrent: 2 });
  const ids = [1, 2, 3].map(() => fixture.submits({ category: "few" }));
  expect(held(fixture)).toEqual({ few: 2 });
  fixture.submits({ category: "other" });
  expect(held(fixture)).toEqual({ few: 2, other: 1 });
  fixture.finishes("worker", ids[0]!);
  expect(fixture.dispatched).toEqual([`worker ${ids[2]}.1`]);
  fixture.submits(...Array(3).fill({ category: "few" }));
  expect(held(fixture)["few"]).toBe(2);
  fixture.category("few", { maxConcurrent: 0 });
  expect(held(fixture)["few"]).toBe(5);
});

test("takeTurns() counts a cancelled try until its worker has ended it", () => {
  const fixture = pool(8);
  fixture.category("one", { maxConcurrent: 1 });
  const [first, second] = [1, 2].map(() => fixture.submits({ category: "one" }));
  fixture.cancels(first!);
  expect(fixture.task(second!).state.kind).toBe("ready");
  fixture.finishes("worker", first!, { outcome: "cancelled" });
  expect(fixture.dispatched).toEqual([`worker ${second}.1`]);
});

test("takeTurns() has a class looked at again that was passed over as its category was full", () => {
  const fixture = new ManagerFixture({ dispatchAhead: 1, dispatchAheadMs: 0 });
  fixture.joins("large", { cores: 2 });
  fixture.joins("small", { cores: 1 });
  fixture.category("one", { maxConcurrent: 1 });
  const other = fixture.submits({ cores: 2, category: "other" });
  const wide = fixture.submits({ cores: 2, category: "one" });
  const narrow = fixture.submits({ cores: 1, category: "one" });
  // Only now there is room for the first.
  fixture.finishes("large", other);
  expect(fixture.dispatched).toEqual([]);
  fixture.finishes("small", narrow);
  expect(fixture.dispatched).toEqual([`large ${wide}.1`]);
});
