import { expect, test } from "bun:test";

import type { TaskId } from "../../../shared/ids.ts";
import { countOrdered } from "../../../shared/ordered_queue.ts";
import { ManagerFixture } from "./fixture.ts";

function submitMany(fixture: ManagerFixture, count: number): TaskId[] {
  fixture.checksInvariants = false;
  const last = fixture.submits(...Array.from({ length: count }, () => ({})));
  fixture.checksInvariants = true;
  return Array.from({ length: count }, (_, index) => last - count + 1 + index as TaskId);
}

test("cancelTasks() dispatches none of them any more, and ends them in parts", () => {
  const fixture = new ManagerFixture();
  const tasks = submitMany(fixture, 1_200);
  fixture.feed({ kind: "tasks_cancelled", taskIds: tasks.slice(0, 1_100) });
  expect(fixture.ends.size).toBe(500);
  fixture.joins("a", { cores: 4 });
  // The first that was not called off is the first that the worker gets.
  expect(fixture.dispatched[0]).toBe(`a ${tasks[1_100]}.1`);
  fixture.passes(0);
  expect(fixture.ends.size).toBe(1_100);
  expect(new Set([...fixture.ends.values()].map(({ outcome }) => outcome))).toEqual(
    new Set(["cancelled"]),
  );
  expect(fixture.state.tasks.size).toBe(100);
});

test("cancelTasks() ends at once what is at a worker, which is told to end it", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const task = fixture.submits({});
  fixture.starts("a", task);
  fixture.feed({ kind: "tasks_cancelled", taskIds: [task] });
  expect(fixture.outcome(task)).toBe("cancelled");
  expect(fixture.toldOf("a", "kill")).toMatchObject({ taskId: task, try: 1 });
});

test("cancelTasks() ends as cancelled what needs something that another of them makes", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const temp = fixture.temp("temp");
  const maker = fixture.submits({ outputs: [temp] });
  const reader = fixture.submits({ inputs: [temp] });
  const other = fixture.submits({ inputs: [temp] });
  fixture.starts("a", maker);
  fixture.feed({ kind: "tasks_cancelled", taskIds: [reader, maker] });
  expect(fixture.outcome(maker)).toBe("cancelled");
  expect(fixture.outcome(reader)).toBe("cancelled");
  expect(fixture.ends.get(other)).toMatchObject({
    outcome: "input_missing",
    message: `Cannot run: task ${maker}, which makes an input, was cancelled`,
  });
});

test("cancelTasks() ends a task that is held, or whose user is asked", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const asked = fixture.submits({ retries: 1, retry: { isAsked: true, delayMs: 0 } });
  fixture.finishes("a", asked, { outcome: "exit" });
  const pausing = fixture.submits({ retries: 1, retry: { isAsked: false, delayMs: 1_000 } });
  fixture.finishes("a", pausing, { outcome: "exit" });
  fixture.feed({ kind: "tasks_cancelled", taskIds: [pausing, asked] });
  expect(fixture.outcome(asked)).toBe("cancelled");
  expect(fixture.outcome(pausing)).toBe("cancelled");
  fixture.passes(100_000);
  expect(fixture.state.tasks.size).toBe(0);
});

test("cancelTask() hands over no result of a task that ends at the same moment", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const temp = fixture.temp("temp");
  const task = fixture.submits({ outputs: [temp] });
  fixture.starts("a", task);
  const result = fixture.result("a", task);
  fixture.feed({ kind: "tasks_cancelled", taskIds: [task] });
  fixture.says("a", { kind: "result", result });
  expect(fixture.ends.size).toBe(1);
  expect(fixture.outcome(task)).toBe("cancelled");
  expect(fixture.toldOf("a", "delete")).toMatchObject({ name: "temp" });
});

test("cancelTask() calls off outputs on their way home", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const file = fixture.local("out");
  const task = fixture.submits({ outputs: [file] });
  fixture.starts("a", task);
  fixture.finishes("a", task);
  expect(fixture.task(task).state.kind).toBe("retrieving");
  fixture.feed({ kind: "tasks_cancelled", taskIds: [task] });
  expect(fixture.outcome(task)).toBe("cancelled");
  expect(fixture.instructions.some(({ kind }) => kind === "abandon")).toBe(true);
  expect(fixture.state.deliveries.size).toBe(0);
});

test("setState() keeps the queue of a class from filling with tasks that were called off", () => {
  const fixture = new ManagerFixture();
  // One that fits nowhere keeps the class busy.
  fixture.submits({});
  fixture.checksInvariants = false;
  for (let round = 0; round < 50; round++) {
    const tasks = submitMany(fixture, 100);
    fixture.checksInvariants = false;
    fixture.feed({ kind: "tasks_cancelled", taskIds: tasks });
  }
  const [taskClass] = fixture.state.classes.values();
  expect(taskClass?.readyCount).toBe(1);
  expect(countOrdered(taskClass!.ready)).toBeLessThan(3_000);
});

test("cancelTasks() has removed what a try has left of which its user is asked", () => {
  const fixture = new ManagerFixture();
  const left = fixture.temp("left");
  fixture.joins("a");
  const retry = { isAsked: true, delayMs: 0 };
  const task = fixture.submits({ failureOutputs: [left], retries: 1, retry });
  fixture.finishes("a", task, { outcome: "exit" });
  expect(fixture.task(task).hold?.kind).toBe("retry_asked");
  fixture.feed({ kind: "tasks_cancelled", taskIds: [task] });
  expect(fixture.outcome(task)).toBe("cancelled");
  expect(fixture.toldOf("a", "delete")).toMatchObject({ name: "left" });
  expect(fixture.toldOf("a", "result_ack")).toMatchObject({ tries: [{ taskId: task, try: 1 }] });
});
