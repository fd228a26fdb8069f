import { expect, test } from "bun:test";

import type { FileId, TaskId } from "../../../shared/ids.ts";
import { ManagerFixture } from "./fixture.ts";

/** A task that runs at `a` and makes `log` when it fails, and `output` when it does not. */
function running(retries = 0): {
  readonly fixture: ManagerFixture;
  readonly task: TaskId;
  readonly log: FileId;
  readonly output: FileId;
} {
  const fixture = new ManagerFixture();
  const [log, output] = [fixture.local("log"), fixture.local("output")];
  fixture.joins("a");
  const task = fixture.submits({ outputs: [output], failureOutputs: [log], retries });
  return { fixture, task, log, output };
}

const FAILURE = { outcome: "exit", message: "it failed" } as const;

test("A failed task settles once what it left for its user is in place", () => {
  const { fixture, task, log } = running();
  fixture.finishes("a", task, FAILURE);
  expect(fixture.outcome(task)).toBeUndefined();
  fixture.delivers(log);
  expect(fixture.ends.get(task)).toMatchObject(FAILURE);
  expect(fixture.toldOf("a", "result_ack")).toMatchObject({ tries: [{ taskId: task, try: 1 }] });
});

test("A failure whose output cannot be put in place, or is lost, stays the failure that it was", () => {
  for (const how of ["full disk", "lost worker"]) {
    const { fixture, task, log } = running();
    fixture.finishes("a", task, FAILURE);
    if (how === "full disk") fixture.delivers(log, "no space left");
    else fixture.exits("a");
    expect(fixture.ends.get(task)).toMatchObject({ ...FAILURE, try: 1 });
  }
});

test("What a try left that is repeated is dropped", () => {
  const { fixture, task, log } = running(1);
  fixture.finishes("a", task, FAILURE);
  expect(fixture.toldOf("a", "delete")).toMatchObject({ name: "log", generation: 1 });
  expect(fixture.state.deliveries.size).toBe(0);
  fixture.finishes("a", task, FAILURE);
  expect(fixture.outcome(task)).toBeUndefined();
  fixture.delivers(log);
  expect(fixture.ends.get(task)).toMatchObject({ ...FAILURE, try: 2 });
});

test("Who waits for what a task makes when it fails is told that it succeeded", () => {
  const { fixture, task, log, output } = running();
  const reader = fixture.submits({ inputs: [log] });
  fixture.finishes("a", task);
  fixture.delivers(output);
  expect(fixture.outcome(task)).toBe("success");
  const message = `Cannot have what task ${task} makes when it fails: it succeeded`;
  expect(fixture.ends.get(reader)).toMatchObject({ outcome: "input_missing", message });
});

test("A task that is cancelled while its failure is brought here is cancelled", () => {
  const { fixture, task } = running();
  fixture.finishes("a", task, FAILURE);
  fixture.cancels(task);
  expect(fixture.outcome(task)).toBe("cancelled");
  expect(fixture.state.deliveries.size).toBe(0);
});

test("Outputs of a success in a failure, and of a failure in a success, are lies", () => {
  for (const outcome of ["exit", "success"] as const) {
    const { fixture, task } = running();
    const other = outcome === "exit" ? "success" : "exit";
    const { outputs } = fixture.result("a", task, { outcome: other });
    const result = { ...fixture.result("a", task, { outcome }), outputs };
    fixture.says("a", { kind: "result", result });
    expect(fixture.instructions.filter(({ kind }) => kind === "refused")).toHaveLength(1);
    expect(fixture.outcome(task)).toBe(outcome === "exit" ? "exit" : undefined);
  }
});
