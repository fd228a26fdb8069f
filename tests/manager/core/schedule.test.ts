import { expect, test } from "bun:test";

import type { TaskId } from "../../../shared/ids.ts";
import { ManagerFixture } from "./fixture.ts";

test("schedule() gives the best task first: by priority, then by number", () => {
  const fixture = new ManagerFixture({ dispatchAhead: 1, dispatchAheadMs: 0 });
  fixture.submits({}, { priority: 1 }, {}, { priority: 1 });
  fixture.joins("a", { cores: 3 });
  expect(fixture.dispatched).toEqual(["a 2.1", "a 4.1", "a 1.1"]);
});

test("schedule() gives tasks of different classes in the order of their priority", () => {
  const fixture = new ManagerFixture({ dispatchAhead: 1, dispatchAheadMs: 0 });
  fixture.submits({ cores: 1 }, { cores: 2, priority: 1 }, { cores: 1, priority: 2 });
  fixture.joins("a", { cores: 3 });
  expect(fixture.dispatched).toEqual(["a 3.1", "a 2.1"]);
});

test("schedule() spreads over idle workers before it dispatches ahead", () => {
  const fixture = new ManagerFixture({ dispatchAhead: 2, dispatchAheadMs: 0 });
  for (const name of ["a", "b"]) fixture.joins(name, { cores: 2 });
  fixture.submits(...Array.from({ length: 10 }, () => ({})));
  const counts = ["a", "b"].map((name) =>
    fixture.dispatched.filter((tryOf) => tryOf.startsWith(name)).length
  );
  expect(counts).toEqual([4, 4]);
  expect(fixture.state.counters.ready).toBe(2);
});

test("schedule() dispatches short tasks further ahead than long ones", () => {
  const fixture = new ManagerFixture({ dispatchAhead: 2, dispatchAheadMs: 20 });
  fixture.joins("a");
  const first = fixture.submits({});
  fixture.submits(...Array.from({ length: 100 }, () => ({})));
  expect(fixture.state.counters.dispatched).toBe(2);
  fixture.finishes("a", first, { ranMs: 1 });
  expect(fixture.state.counters.dispatched).toBe(21);
});

test("schedule() passes over a class that fits nowhere without looking at workers again", () => {
  const fixture = new ManagerFixture({ dispatchAhead: 1, dispatchAheadMs: 0 });
  for (let index = 0; index < 20; index++) fixture.joins(`w${index}`);
  const doomed = fixture.submits({ gpus: 1 });
  let looks = 0;
  const { workers } = fixture.state;
  for (const worker of workers.values()) {
    const { resources } = worker;
    Object.defineProperty(worker, "resources", {
      get: () => {
        looks += 1;
        return resources;
      },
    });
  }
  const small = fixture.submits({});
  fixture.state.changedWorkers.clear();
  const [entry] = fixture.dispatched;
  looks = 0;
  fixture.checksInvariants = false;
  fixture.feed({ kind: "tick" });
  expect(looks).toBe(0);
  fixture.checksInvariants = true;
  // An end at one worker makes the class look at that worker only.
  looks = 0;
  fixture.finishes(entry!.split(" ")[0]!, small);
  expect(fixture.task(doomed).state.kind).toBe("ready");
  fixture.joins("gpu", { gpus: 1 });
  expect(fixture.dispatched).toEqual([`gpu ${doomed}.1`]);
});

test("schedule() gives tasks to workers with their features only", () => {
  const fixture = new ManagerFixture();
  fixture.joins("plain");
  const task = fixture.submits({ features: ["avx512"] });
  expect(fixture.dispatched).toEqual([]);
  fixture.joins("fast", { features: ["avx512", "ssd"] });
  expect(fixture.dispatched).toEqual([`fast ${task}.1`]);
});

test("schedule() waits for waitForWorkers workers", () => {
  const fixture = new ManagerFixture({ waitForWorkers: 2 });
  fixture.submits({});
  fixture.joins("a");
  expect(fixture.dispatched).toEqual([]);
  fixture.joins("b");
  expect(fixture.dispatched.length).toBe(1);
});

test("schedule() puts a task where most bytes of its inputs are", () => {
  const fixture = new ManagerFixture();
  const file = fixture.local("large", { sizeBytes: 1_000_000 });
  fixture.joins("a");
  fixture.submits({ inputs: [file] });
  fixture.brings("a");
  fixture.finishes("a", 1 as TaskId);
  fixture.joins("b", { cores: 8 });
  fixture.submits({ inputs: [file] });
  expect(fixture.dispatched).toEqual(["a 2.1"]);
});

test("schedule() recalls as many tries for an idle worker as it can run", () => {
  const fixture = new ManagerFixture({ dispatchAhead: 2, dispatchAheadMs: 0 });
  fixture.joins("a", { cores: 4 });
  const last = fixture.submits(...Array.from({ length: 8 }, () => ({})));
  fixture.starts("a", ...[1, 2, 3, 4].map((id) => id as TaskId));
  fixture.joins("b", { cores: 3 });
  const recalls = fixture.told("a").filter(({ kind }) => kind === "recall");
  expect(recalls.length).toBe(3);
  fixture.says("a", { kind: "recalled", taskId: 5 as TaskId, try: 1 });
  expect(fixture.dispatched).toEqual(["b 5.2"]);
  expect(fixture.task(last).state.kind).toBe("dispatched");
});

test("schedule() recalls another try when the one it asked for had started", () => {
  const fixture = new ManagerFixture({ dispatchAhead: 2, dispatchAheadMs: 0 });
  fixture.joins("a");
  fixture.submits({}, {});
  fixture.joins("b");
  const recalled = () =>
    fixture.told("a").filter((message) => message.kind === "recall").map(({ taskId }) => taskId);
  expect(recalled().map(Number)).toEqual([1]);
  // The message that it has started crossed the recall.
  fixture.starts("a", 1 as TaskId);
  expect(recalled().map(Number)).toEqual([2]);
  fixture.says("a", { kind: "recalled", taskId: 2 as TaskId, try: 1 });
  expect(fixture.dispatched).toEqual(["b 2.2"]);
});

test("schedule() recalls for an idle worker though other tasks fit nowhere", () => {
  const fixture = new ManagerFixture({ dispatchAhead: 2, dispatchAheadMs: 0 });
  fixture.joins("a");
  fixture.submits({}, {}, { gpus: 1 });
  fixture.starts("a", 1 as TaskId);
  fixture.joins("b");
  expect(fixture.toldOf("a", "recall")).toMatchObject({ taskId: 2, try: 1 });
});

test("roomForInstance() finds a part of a core behind a worker with none", () => {
  const fixture = new ManagerFixture({ dispatchAhead: 1, dispatchAheadMs: 0 });
  const module = fixture.local("module");
  const resources = { cores: 0.5, memoryBytes: 0, diskBytes: 0, gpus: 0 };
  fixture.joins("a");
  fixture.submits({ cores: 1 });
  fixture.joins("b");
  fixture.library("kept", module, { resources, instanceCount: 1 });
  fixture.library("digits", module, { resources });
  const call = fixture.submits({ library: "digits" });
  expect(fixture.dispatched).toEqual([`b ${call}.1`]);
});
