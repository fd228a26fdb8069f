import { expect, test } from "bun:test";

import type { TaskId } from "../../../shared/ids.ts";
import { ManagerFixture } from "./fixture.ts";

test("recallSome() gives what waits at one worker to one that is free, by its share there", () => {
  const fixture = new ManagerFixture({ dispatchAhead: 2, dispatchAheadMs: 0 });
  const gib = 2 ** 30;
  fixture.joins("a", { cores: 4, memoryBytes: 8 * gib });
  // A quarter of the memory: a quarter of the cores.
  const wish = { request: { memoryBytes: 2 * gib } };
  fixture.submits(...Array.from({ length: 8 }, () => wish));
  expect(fixture.dispatched.length).toBe(8);
  fixture.starts("a", ...[1, 2, 3, 4].map((id) => id as TaskId));
  // Of this one it is a half, so that it has two cores of four.
  fixture.joins("b", { cores: 4, memoryBytes: 4 * gib });
  const recalls = fixture.told("a").filter(({ kind }) => kind === "recall");
  expect(recalls.length).toBe(2);
  for (const { taskId } of recalls as { taskId: TaskId }[]) {
    fixture.says("a", { kind: "recalled", taskId, try: 1 });
    expect(fixture.dispatched).toEqual([`b ${taskId}.2`]);
    const { allocation } = [...fixture.state.workers.values()].at(-1)!.tries.values().next().value!;
    expect(allocation?.resources).toMatchObject({ cores: 2, memoryBytes: 2 * gib });
  }
});

test("recallSome() takes a task with a custom resource only where there is some", () => {
  const fixture = new ManagerFixture({ dispatchAhead: 2, dispatchAheadMs: 0 });
  fixture.joins("a", { cores: 2, custom: { license: 1 } });
  const licensed = { request: { cores: 1, custom: { license: 1 } } };
  const first = fixture.submits(licensed, licensed) - 1;
  expect(fixture.dispatched.length).toBe(2);
  fixture.starts("a", first as TaskId);
  const others = fixture.submits({}, {}) - 1;
  fixture.starts("a", others as TaskId);
  fixture.joins("plain", { cores: 2 });
  const asked = (worker: string) => {
    return fixture.told(worker).flatMap((message) => {
      return message.kind === "recall" ? [message.taskId] : [];
    });
  };
  expect(asked("a")).not.toContain(first + 1 as TaskId);
  fixture.joins("licensed", { cores: 2, custom: { license: 1 } });
  expect([...asked("a"), ...asked("plain")].length).toBeLessThanOrEqual(1);
});

test("schedule() holds everything until waitForWorkers have joined, then uses all of them", () => {
  const fixture = new ManagerFixture({ waitForWorkers: 3, dispatchAhead: 1, dispatchAheadMs: 0 });
  fixture.submits(...Array.from({ length: 6 }, () => ({ features: ["fast"], cores: 1 })));
  for (const name of ["a", "b", "c"]) {
    expect(fixture.dispatched).toEqual([]);
    fixture.joins(name, { cores: 2, features: name === "b" ? [] : ["fast"] });
  }
  expect(fixture.dispatched.map((tryOf) => tryOf[0]).sort()).toEqual(["a", "a", "c", "c"]);
  // Once they have joined, nothing is held when one goes.
  fixture.exits("a");
  fixture.joins("d", { cores: 2, features: ["fast"] });
  expect(fixture.dispatched.length).toBe(2);
});

test("schedule() gives tasks by priority and feature over several workers", () => {
  const fixture = new ManagerFixture({ dispatchAhead: 1, dispatchAheadMs: 0 });
  fixture.submits({ features: ["gpu"] }, { priority: 2 }, { features: ["gpu"], priority: 1 }, {});
  fixture.joins("plain");
  expect(fixture.dispatched).toEqual(["plain 2.1"]);
  fixture.joins("fast", { features: ["gpu"] });
  expect(fixture.dispatched).toEqual(["fast 3.1"]);
  fixture.finishes("fast", 3 as TaskId);
  expect(fixture.dispatched).toEqual(["fast 1.1"]);
  fixture.finishes("plain", 2 as TaskId);
  expect(fixture.dispatched).toEqual(["plain 4.1"]);
});
