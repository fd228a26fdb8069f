import { expect, test } from "bun:test";

import type { TaskId } from "../../../shared/ids.ts";
import { ManagerFixture } from "./fixture.ts";

test("cancelTask() ends a task that waits for an input, and what waits for its outputs", () => {
  const fixture = new ManagerFixture();
  const [input, output] = [fixture.temp("input"), fixture.temp("output")];
  const maker = fixture.submits({ outputs: [input] });
  const task = fixture.submits({ inputs: [input], outputs: [output] });
  const last = fixture.submits({ inputs: [output] });
  fixture.cancels(task);
  expect(fixture.outcome(task)).toBe("cancelled");
  expect(fixture.ends.get(last)).toMatchObject({
    outcome: "input_missing",
    message: `Cannot run: task ${task}, which makes an input, was cancelled`,
  });
  expect(fixture.outcome(maker)).toBeUndefined();
});

test("cancelTask() ends a ready task, which is not dispatched any more", () => {
  const fixture = new ManagerFixture();
  const task = fixture.submits({});
  fixture.cancels(task);
  fixture.joins("a");
  expect(fixture.dispatched).toEqual([]);
  expect(fixture.outcome(task)).toBe("cancelled");
});

test("cancelTask() kills a try that stages or runs and settles at once", () => {
  for (const isStarted of [false, true]) {
    const fixture = new ManagerFixture();
    fixture.joins("a");
    const task = fixture.submits({});
    if (isStarted) fixture.starts("a", task);
    fixture.cancels(task);
    expect(fixture.toldOf("a", "kill")).toEqual({ kind: "kill", taskId: task, try: 1 });
    expect(fixture.outcome(task)).toBe("cancelled");
  }
});

test("cancelTask() abandons what a task was bringing home", () => {
  const fixture = new ManagerFixture();
  const output = fixture.local("output");
  fixture.joins("a");
  const task = fixture.submits({ outputs: [output] });
  fixture.finishes("a", task);
  expect(fixture.task(task).state.kind).toBe("retrieving");
  fixture.cancels(task);
  expect(fixture.instructions.map(({ kind }) => kind)).toContain("abandon");
  expect(fixture.toldOf("a", "result_ack")).toMatchObject({ tries: [{ taskId: task, try: 1 }] });
  expect(fixture.outcome(task)).toBe("cancelled");
  expect(fixture.state.deliveries.size).toBe(0);
});

test("cancelTask() leaves a settled task as it is", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const temp = fixture.temp("temp");
  const task = fixture.submits({ outputs: [temp] });
  fixture.finishes("a", task);
  fixture.cancels(task);
  expect(fixture.instructions).toEqual([]);
  expect(fixture.file(temp).isAvailable).toBe(true);
});

test("submitTask() fails a task at once whose input has failed", () => {
  const fixture = new ManagerFixture();
  const file = fixture.declares({ kind: "manager" }, {});
  const early = fixture.submits({ inputs: [file] });
  const outcome = "input_missing";
  fixture.feed({ kind: "file_failed", fileId: file, outcome, message: "no such file" });
  const late = fixture.submits({ inputs: [file] });
  for (const task of [early, late]) {
    expect(fixture.ends.get(task)).toMatchObject({ outcome, message: "no such file", try: 0 });
  }
  expect(fixture.state.tasks.size).toBe(0);
});

test("finishTask() drops a task without temps and keeps one with temps as their lineage", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a", { cores: 2 });
  const temp = fixture.temp("temp");
  const plain = fixture.submits({});
  const maker = fixture.submits({ outputs: [temp] });
  fixture.finishes("a", plain);
  fixture.finishes("a", maker);
  expect([...fixture.state.tasks.keys()]).toEqual([maker]);
  fixture.feed({ kind: "file_undeclared", fileId: temp });
  expect(fixture.state.tasks.size).toBe(0);
  expect(fixture.toldOf("a", "delete")).toMatchObject({ name: "temp", generation: 1 });
});

test("finishTask() ends a long chain of tasks that needed its output", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const files = fixture.temps("chain", 3_000);
  fixture.submits(...files.map((file, index) => {
    const inputs = index === 0 ? [] : [files[index - 1]!];
    return { inputs, outputs: [file] };
  }));
  fixture.finishes("a", 1 as TaskId, { outcome: "exit", message: "status 1" });
  expect(fixture.ends.size).toBe(3_000);
  expect(fixture.ends.get(3_000 as TaskId)).toMatchObject({ outcome: "input_missing" });
  expect(fixture.state.tasks.size).toBe(0);
});
