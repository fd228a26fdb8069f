import { expect, test } from "bun:test";

import type { Question } from "../../../manager/dashboard/api.ts";
import { readQuestion } from "../../../manager/dashboard/question.ts";

const TASKS = { kind: "tasks", sort: "id", isDescending: false, offset: 0, limit: 10 };

const GOOD: readonly unknown[] = [
  { kind: "run" },
  { kind: "overview", points: 5_000, fromMs: 0, toMs: 0 },
  { ...TASKS, search: "a b", states: ["done"], outcomes: ["failed"], taskKind: "call" },
  { kind: "task", taskId: 0 },
  { kind: "timeline", barsMax: 1, workerIds: ["w"], fromMs: -1.5 },
  { kind: "workers" },
  { kind: "worker", workerId: "w" },
  { kind: "files", sort: "size", isDescending: true, offset: 0, limit: 1_000, level: "worker" },
  { kind: "file", fileId: 1 },
  { kind: "transfers", isRunning: true, limit: 1 },
  { kind: "vine", transfersMax: 20_000 },
  { kind: "graph", grouping: "auto" },
];

test("readQuestion() takes every kind of question", () => {
  for (const question of GOOD) expect(readQuestion(question)).toBe(question as Question);
});

test.each<[unknown, string]>([
  [undefined, 'question "undefined" as one that the records answer: question is not a map'],
  [[], "is not a map"],
  ["run", "is not a map"],
  [{}, "question.kind is not known"],
  [{ kind: "__proto__" }, "question.kind is not known"],
  [{ kind: "drop\u0000" }, "question.kind is not known"],
  [{ kind: "overview" }, "question.points is not a whole number from 1"],
  [{ kind: "overview", points: 5_001 }, "question.points is more than 5000"],
  [{ kind: "overview", points: 1, fromMs: 2, toMs: 1 }, "question.toMs comes before .fromMs"],
  [{ kind: "overview", points: 1, fromMs: NaN }, "question.fromMs is not a finite number"],
  [{ kind: "overview", points: 1, toMs: 1e16 }, "question.toMs is more than"],
  [{ ...TASKS, limit: 1_001 }, "question.limit is more than 1000"],
  [{ ...TASKS, limit: 0 }, "question.limit is not a whole number from 1"],
  [{ ...TASKS, offset: -1 }, "question.offset is not a whole number from 0"],
  [{ ...TASKS, sort: "task_id; DROP TABLE task" }, "question.sort is not one of id, name"],
  [{ ...TASKS, search: "x".repeat(1_001) }, "question.search is longer than 1000 characters"],
  [{ ...TASKS, states: ["done", "gone"] }, "question.states[1] is not one of pending"],
  [{ ...TASKS, states: Array(6).fill("done") }, "question.states has more than 5 items"],
  [{ ...TASKS, outcomes: [7] }, "question.outcomes[0] is not text"],
  [{ ...TASKS, isDescending: "yes" }, "question.isDescending is not true or false"],
  [{ ...TASKS, taskKind: "job" }, "question.taskKind is not one of command, call"],
  [{ kind: "task", taskId: 1.5 }, "question.taskId is not a whole number"],
  [{ kind: "timeline", barsMax: 1e9 }, "question.barsMax is more than 100000"],
  [{ kind: "timeline", barsMax: 1, workerIds: Array(1_001).fill("w") }, "has more than 1000 items"],
  [{ kind: "worker", workerId: "" }, "question.workerId is empty"],
  [{ kind: "graph", grouping: "all" }, "question.grouping is not one of"],
])("readQuestion() refuses what is none, and names the field: %#", (value, message) => {
  expect(() => readQuestion(value)).toThrow(TypeError);
  expect(() => readQuestion(value)).toThrow(message);
});

test("readQuestion() repeats little of what a stranger said", () => {
  expect(() => readQuestion({ kind: "x".repeat(1e6) })).toThrow(/^.{0,150}$/);
});
