import { expect, test } from "bun:test";

import type { CacheName, TaskId } from "../../../shared/ids.ts";
import { ManagerFixture } from "./fixture.ts";

test("endTry() runs a task again while its retries last, then says how it failed", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const task = fixture.submits({ retries: 2 });
  for (const number of [1, 2]) {
    fixture.finishes("a", task, { outcome: "exit", message: "status 3" });
    expect(fixture.dispatched).toEqual([`a ${task}.${number + 1}`]);
  }
  fixture.finishes("a", task, { outcome: "exit", message: "status 3" });
  expect(fixture.ends.get(task)).toMatchObject({ outcome: "exit", message: "status 3", try: 3 });
  expect(fixture.state.tasks.size).toBe(0);
});

test("loseTry() counts workers lost while the task ran, up to workerLosses", () => {
  const fixture = new ManagerFixture();
  const task = fixture.submits({ workerLosses: 1 });
  for (const name of ["a", "b"]) {
    fixture.joins(name);
    fixture.starts(name, task);
    fixture.exits(name);
  }
  expect(fixture.outcome(task)).toBe("worker_lost");
  expect(fixture.ends.get(task)?.message).toContain("2 workers");
});

test("loseTry() does not count a worker lost before the task started", () => {
  const fixture = new ManagerFixture();
  const task = fixture.submits({ workerLosses: 0 });
  for (const name of ["a", "b", "c"]) {
    fixture.joins(name);
    fixture.exits(name);
  }
  expect(fixture.task(task)).toMatchObject({ lossCount: 0, tryCount: 3 });
});

test("loseTry() does not count a worker that said it leaves", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const task = fixture.submits({ workerLosses: 0 });
  fixture.starts("a", task);
  fixture.joins("b");
  fixture.says("a", { kind: "leaving", reason: "wall time" });
  expect(fixture.dispatched).toEqual([`b ${task}.2`]);
  fixture.exits("a");
  expect(fixture.task(task).lossCount).toBe(0);
});

test("endTry() repeats an ambiguous input_modified without counting it, three times", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const task = fixture.submits({});
  for (let count = 0; count < 3; count++) {
    fixture.finishes("a", task, { outcome: "input_modified", isAmbiguous: true });
    expect(fixture.task(task).failureCount).toBe(0);
  }
  fixture.finishes("a", task, { outcome: "input_modified", isAmbiguous: true });
  expect(fixture.outcome(task)).toBe("input_modified");
});

test("endTry() discards the late result of a try that was ended and deletes its outputs", () => {
  const fixture = new ManagerFixture();
  const temp = fixture.temp("temp");
  fixture.joins("a");
  const task = fixture.submits({ outputs: [temp] });
  const result = fixture.result("a", task);
  fixture.cancels(task);
  expect(fixture.told("a")).toEqual([{ kind: "kill", taskId: task, try: 1 }]);
  fixture.says("a", { kind: "result", result });
  expect(fixture.told("a")).toEqual([
    { kind: "delete", name: "temp" as CacheName, generation: 1 },
    { kind: "result_ack", tries: [{ taskId: task, try: 1 }] },
  ]);
  expect(fixture.state.workers.size).toBe(1);
});

test("endTry() keeps the room of a killed try until the worker says that it is free", () => {
  const fixture = new ManagerFixture({ dispatchAhead: 1, dispatchAheadMs: 0 });
  fixture.joins("a");
  const first = fixture.submits({});
  fixture.starts("a", first);
  fixture.cancels(first);
  const second = fixture.submits({});
  expect(fixture.dispatched).toEqual([]);
  fixture.finishes("a", first, { outcome: "cancelled" });
  expect(fixture.dispatched).toEqual([`a ${second}.1`]);
});

test("endTry() answers a second telling of a settled result", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const task = fixture.submits({});
  const result = fixture.result("a", task);
  fixture.says("a", { kind: "result", result });
  fixture.says("a", { kind: "result", result });
  expect(fixture.told("a")).toEqual([
    { kind: "result_ack", tries: [{ taskId: task, try: 1 }] },
  ]);
});

test("endTry() lets a timeout count as the task's own failure", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const task = fixture.submits({ retries: 1 });
  fixture.finishes("a", task, { outcome: "timeout" });
  fixture.finishes("a", task, { outcome: "timeout" });
  expect(fixture.ends.get(task)).toMatchObject({ outcome: "timeout", try: 2 });
});

test("startTries() tells the fact of a start once", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const task = fixture.submits({});
  fixture.starts("a", task);
  expect(fixture.facts.map(({ kind }) => kind)).toEqual(["try_started"]);
  fixture.starts("a", task);
  expect(fixture.facts).toEqual([]);
});

test("learnDuration() has short tasks wait elsewhere where none may follow the one that ended", () => {
  const fixture = new ManagerFixture({ dispatchAhead: 1, dispatchAheadMs: 1_000 });
  const resources = { cores: 2, memoryBytes: 0, diskBytes: 0, gpus: 0 };
  fixture.library("first", fixture.local("module"), { resources });
  fixture.joins("a", { cores: 2 });
  const first = fixture.submits({}, {}) - 1 as TaskId;
  // The worker is kept for it.
  fixture.submits({ library: "first" });
  fixture.joins("b");
  fixture.submits({});
  const next = fixture.submits({});
  expect(fixture.dispatched).toEqual([]);
  fixture.finishes("a", first, { ranMs: 1 });
  expect(fixture.dispatched).toEqual([`b ${next}.1`]);
});
