import { expect, test } from "bun:test";

import type { TaskId } from "../../../shared/ids.ts";
import { factsOf, WorkerFixture } from "./fixture.ts";

test("takeTasks() starts a try when its inputs are here in the making it asks for", () => {
  const fixture = WorkerFixture.connected({ cached: [factsOf("temp", 1)] });
  fixture.isGiven(1, { inputs: [["temp", 2], "query"] });
  expect(fixture.orders).toEqual([]);
  fixture.brings(fixture.fetches("query"), factsOf("query"));
  expect(fixture.orders).toEqual([]);
  fixture.brings(fixture.fetches("temp", 2), factsOf("temp", 2));
  expect(fixture.orders).toEqual(["run 1.1"]);
});

test("takeTasks() takes a repeated dispatch once", () => {
  const fixture = WorkerFixture.connected({ cores: 2 });
  fixture.isGiven(1, {});
  fixture.isGiven(1, {});
  expect(fixture.orders).toEqual([]);
  fixture.finishes(1);
  fixture.isGiven(1, {});
  expect(fixture.orders).toEqual([]);
});

test("killTry() ends a try that has not started at once", () => {
  const fixture = WorkerFixture.connected();
  fixture.isGiven(1, {}, {}, { inputs: ["absent"] });
  for (const taskId of [2, 3]) {
    fixture.kills(taskId);
    expect(fixture.orders).toEqual([]);
    expect(fixture.toldOf("result")).toMatchObject([{ result: { taskId, outcome: "cancelled" } }]);
  }
  expect(fixture.state.waiters.size).toBe(0);
  fixture.finishes(1);
  expect(fixture.orders).toEqual([]);
});

test("killTry() stops a running try once and reports what it ends as", () => {
  const fixture = WorkerFixture.connected();
  fixture.isGiven(1, {});
  fixture.kills(1);
  expect(fixture.orders).toEqual(["stop 1.1 as cancelled"]);
  fixture.kills(1);
  expect(fixture.orders).toEqual([]);
  fixture.finishes(1, { outcome: "cancelled" });
  expect(fixture.toldOf("result")).toMatchObject([{ result: { outcome: "cancelled" } }]);
});

test("killTry() deletes the outputs of a try that was done before it could be stopped", () => {
  const fixture = WorkerFixture.connected();
  fixture.isGiven(1, { outputs: ["temp"] });
  fixture.kills(1);
  fixture.finishes(1);
  expect(fixture.orders).toEqual(["delete temp 1"]);
  expect(fixture.toldOf("result")).toMatchObject([{
    result: { outcome: "cancelled", outputs: [] },
  }]);
  expect(fixture.state.cache.size).toBe(0);
});

test("killTry() tells of an earlier making that the outputs of a killed try replaced", () => {
  const fixture = WorkerFixture.connected({ cached: [factsOf("temp", 1)] });
  fixture.isGiven(1, { try: 2, outputs: ["temp"] });
  fixture.kills(1, 2);
  fixture.finishes(1, { try: 2 });
  expect(fixture.toldOf("replica_gone")).toMatchObject([{ name: "temp", generation: 1 }]);
});

test("recallTry() gives back what has not started, and nothing else", () => {
  const fixture = WorkerFixture.connected();
  fixture.isGiven(1, {}, {});
  fixture.hears({ kind: "recall", taskId: 1 as TaskId, try: 1 });
  expect(fixture.told).toEqual([]);
  fixture.hears({ kind: "recall", taskId: 2 as TaskId, try: 1 });
  expect(fixture.told).toEqual([{ kind: "recalled", taskId: 2, try: 1 }] as never);
  fixture.finishes(1);
  expect(fixture.orders).toEqual([]);
});

test("expireTries() stops a try when its time is up", () => {
  const fixture = WorkerFixture.connected();
  fixture.isGiven(1, { timeoutMs: 1_000 });
  fixture.passes(999);
  expect(fixture.orders).toEqual([]);
  fixture.passes(1);
  expect(fixture.orders).toEqual(["stop 1.1 as timeout"]);
  fixture.finishes(1, { outcome: "timeout" });
  expect(fixture.toldOf("result")).toMatchObject([{ result: { outcome: "timeout" } }]);
});

test("expireTries() leaves a try its success that was done as its time ran out", () => {
  const fixture = WorkerFixture.connected();
  fixture.isGiven(1, { timeoutMs: 1_000, outputs: ["temp"] });
  fixture.passes(1_000);
  fixture.finishes(1);
  expect(fixture.toldOf("result")).toMatchObject([{ result: { outcome: "success" } }]);
  expect(fixture.state.cache.size).toBe(1);
});

test("expireTries() counts the time from the start, not from the dispatch", () => {
  const fixture = WorkerFixture.connected();
  fixture.isGiven(1, {}, { timeoutMs: 100 });
  fixture.passes(500);
  fixture.finishes(1);
  expect(fixture.orders).toEqual(["run 2.1"]);
  fixture.passes(99);
  expect(fixture.orders).toEqual([]);
  fixture.passes(1);
  expect(fixture.orders).toEqual(["stop 2.1 as timeout"]);
});

test("startRunning() keeps no timeouts of thousands of tries that have ended", () => {
  const fixture = WorkerFixture.connected({ cores: 2 });
  // It ends last, and its time is up first.
  fixture.isGiven(1, { timeoutMs: 60_000 });
  for (let taskId = 2; taskId <= 3_000; taskId++) {
    fixture.isGiven(taskId, { timeoutMs: 3_600_000 });
    fixture.finishes(taskId);
  }
  expect(fixture.state.deadlines.items.length).toBeLessThan(1_100);
  fixture.passes(60_000);
  expect(fixture.orders).toEqual(["stop 1.1 as timeout"]);
});

test("endTask() drops a modified input and has it fetched again", () => {
  const fixture = WorkerFixture.connected({ cached: [factsOf("query")] });
  fixture.isGiven(1, { inputs: ["query"] }, { inputs: ["query"] });
  fixture.finishes(1, { outcome: "input_modified", modified: ["query"] });
  expect(fixture.toldOf("replica_gone")).toMatchObject([{ name: "query", generation: 0 }]);
  expect(fixture.toldOf("result")[0]?.result.isAmbiguous).toBeUndefined();
  // The one that waits reads the original only.
  expect(fixture.orders).toEqual([]);
  fixture.brings(fixture.fetches("query"), factsOf("query"));
  expect(fixture.orders).toEqual(["run 2.1"]);
});

test("endTask() trusts nothing of tries that shared an input which one of them modified", () => {
  const fixture = WorkerFixture.connected({ cores: 2, cached: [factsOf("query")] });
  fixture.isGiven(1, { inputs: ["query"] }, { inputs: ["query"], outputs: ["temp"] });
  fixture.finishes(1, { outcome: "input_modified", modified: ["query"] });
  expect(fixture.toldOf("result")).toMatchObject([{
    result: { outcome: "input_modified", isAmbiguous: true },
  }]);
  fixture.finishes(2);
  expect(fixture.toldOf("result")).toMatchObject([{
    result: { outcome: "input_modified", isAmbiguous: true, outputs: [] },
  }]);
  // What it wrote is on the disk and in no table.
  expect(fixture.orders).toEqual(["delete temp 1"]);
  expect(fixture.state.cache.size).toBe(0);
});

test("endTask() gives the room of a try to the next one", () => {
  const fixture = WorkerFixture.connected();
  fixture.isGiven(1, {}, {});
  fixture.finishes(1, { outcome: "exit" });
  expect(fixture.orders).toEqual(["run 2.1"]);
});
