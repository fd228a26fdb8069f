import { expect, test } from "bun:test";

import { Catalog } from "../../manager/catalog.ts";
import type { TaskSelection } from "../../manager/client_protocol.ts";
import { NO_OUTPUT } from "../../manager/output_log.ts";
import { TaskWait } from "../../manager/task_wait.ts";
import type { TaskId, WorkerId } from "../../shared/ids.ts";
import type { Outcome } from "../../shared/task.ts";

const requested = { cores: 1, memoryBytes: 0, diskBytes: 0, gpus: 0 };
const ALL: TaskSelection = { kind: "all" };

function add(catalog: Catalog, id: number, command = "true"): void {
  const body = { kind: "command", command } as const;
  const task = { id: id as TaskId, body, library: undefined, tag: undefined, category: undefined };
  catalog.add({ ...task, requested });
}

function end(catalog: Catalog, id: number, outcome: Outcome = "success", message = ""): void {
  const times = { submittedAtMs: 1, dispatchedAtMs: 2, endedAtMs: 3 };
  catalog.end({ taskId: id as TaskId, try: 1, outcome, message, ...times }, NO_OUTPUT);
}

function hear(catalog: Catalog, kind: "try_started" | "try_ended", id: number, number = 1): void {
  const workerId = "w" as WorkerId;
  catalog.hear([{ kind, taskId: id as TaskId, try: number, workerId, outcome: "worker_lost" }]);
}

const ids = (catalog: Catalog, selection: TaskSelection, after?: number) =>
  [...catalog.select(selection, after)].map(({ id }) => Number(id));
const ranges = (...given: [number, number][]): TaskSelection => ({ kind: "ids", ranges: given });

test("Catalog.select() gives ranges in any order once each, by id, above a number", () => {
  const catalog = new Catalog();
  for (let id = 1; id <= 9; id++) add(catalog, id);
  expect(ids(catalog, ranges([8, 9], [3, 1], [2, 4]))).toEqual([1, 2, 3, 4, 8, 9]);
  expect(ids(catalog, ranges([8, 9], [3, 1]), 2)).toEqual([3, 8, 9]);
  expect(ids(catalog, ALL, 7)).toEqual([8, 9]);
  expect(ids(catalog, ranges())).toEqual([]);
  expect(() => ids(catalog, ranges([1, 12]))).toThrow("Cannot find task 12: the tasks are 1 to 9");
  expect(() => ids(catalog, ranges([0, 3]))).toThrow("Cannot find task 0: the tasks are 1 to 9");
  expect(() => ids(new Catalog(), ranges([1, 1]))).toThrow("no task was submitted");
});

test("Catalog.select() gives the parts of the newest submission as the last", () => {
  const catalog = new Catalog();
  for (let id = 1; id <= 9; id++) add(catalog, id);
  expect(() => ids(catalog, { kind: "last" })).toThrow("no client has submitted a task");
  catalog.noteSubmission("old", { firstId: 1, count: 2 });
  catalog.noteSubmission("new", { firstId: 3, count: 2 });
  catalog.noteSubmission("new", { firstId: 7, count: 3 });
  expect(ids(catalog, { kind: "last" })).toEqual([3, 4, 7, 8, 9]);
});

test("Catalog forgets the tasks that ended first, and no pending one", () => {
  const catalog = new Catalog({ endedMax: 3 });
  for (let id = 1; id <= 6; id++) add(catalog, id);
  for (const id of [2, 1, 3, 4]) end(catalog, id);
  expect(ids(catalog, ALL)).toEqual([1, 3, 4, 5, 6]);
  expect(catalog.get(2)).toBeUndefined();
  end(catalog, 6);
  expect(ids(catalog, ALL)).toEqual([3, 4, 5, 6]);
});

test("Catalog finds tasks among many that it has forgotten", () => {
  const catalog = new Catalog({ endedMax: 10 });
  const kept = [1, 777, 40_000, 99_999];
  for (let id = 1; id <= 100_000; id++) {
    add(catalog, id);
    if (!kept.includes(id)) end(catalog, id);
  }
  expect(ids(catalog, ALL)).toEqual([1, 777, 40_000, ...range(99_990, 100_000)]);
  expect(kept.map((id) => Number(catalog.get(id)?.id))).toEqual(kept);
  expect([778, 39_999, 0, 100_001].map((id) => catalog.get(id))).toEqual([
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
  expect(catalog.lastId).toBe(100_000);
  expect(ids(catalog, ranges([500, 41_000]))).toEqual([777, 40_000]);
});

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

test("Catalog cuts commands and messages, and names calls", () => {
  const catalog = new Catalog();
  add(catalog, 1, "x".repeat(1000));
  catalog.add({
    id: 2 as TaskId,
    body: { kind: "call", function: "evaluate", arguments: new Uint8Array() },
    library: "digits",
    tag: undefined,
    category: undefined,
    requested,
  });
  end(catalog, 1, "exit", "y".repeat(1000));
  expect(catalog.get(1)?.command).toBe(`${"x".repeat(199)}…`);
  expect(catalog.get(1)?.ending?.message).toHaveLength(500);
  expect(catalog.get(2)?.command).toBe("digits.evaluate");
});

test("TaskWait counts tasks as they run, are lost and end, and ends with the last one", async () => {
  const catalog = new Catalog();
  for (let id = 1; id <= 4; id++) add(catalog, id);
  end(catalog, 1);
  const wait = new TaskWait(catalog.select(ALL));
  const both = new TaskWait(catalog.select(ranges([2, 3])));
  const counts = { total: 4, pending: 3, running: 0, succeeded: 1, failed: 0, cancelled: 0 };
  expect(wait.counts).toEqual(counts);
  hear(catalog, "try_started", 2);
  hear(catalog, "try_started", 3);
  expect(wait.counts).toEqual({ ...counts, pending: 1, running: 2 });
  hear(catalog, "try_ended", 3);
  expect(wait.counts).toEqual({ ...counts, pending: 2, running: 1 });
  hear(catalog, "try_started", 3, 2);
  // Of a try before the current one.
  hear(catalog, "try_ended", 3, 1);
  expect(wait.counts).toEqual({ ...counts, pending: 1, running: 2 });
  end(catalog, 2, "exit");
  end(catalog, 3, "cancelled");
  await both.ended;
  expect(both.counts).toMatchObject({ total: 2, failed: 1, cancelled: 1 });
  expect(wait.counts).toEqual({ ...counts, pending: 1, failed: 1, cancelled: 1 });
  // What runs again to remake a temp has ended all the same.
  hear(catalog, "try_started", 2, 2);
  expect(wait.counts).toMatchObject({ running: 0, failed: 1 });
  end(catalog, 4);
  await wait.ended;
  expect(wait.failures.map(({ id }) => Number(id))).toEqual([2, 3]);
});

test("TaskWait that was stopped leaves the tasks when another one comes", async () => {
  const catalog = new Catalog();
  add(catalog, 1);
  const first = new TaskWait(catalog.select(ALL));
  first.stop();
  await first.ended;
  const second = new TaskWait(catalog.select(ALL));
  expect(catalog.get(1)?.waits).toEqual([second]);
});
