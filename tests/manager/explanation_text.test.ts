import { expect, test } from "bun:test";

import type { Explanation, Reason } from "../../manager/core/explanation.ts";
import { describeExplanations } from "../../manager/explanation_text.ts";
import type { FileId, TaskId, WorkerId } from "../../shared/ids.ts";

const NO_GPUS = {
  kind: "resource",
  resource: "gpus",
  amount: 3,
  most: 1,
  workerCount: 4,
  ofCount: 4,
} as const;

function of(taskId: number, state: Explanation["state"], ...reasons: Reason[]): Explanation {
  return { taskId: taskId as TaskId, state, reasons };
}

test("describeExplanations() tells of tasks alike together, in the order of the first", () => {
  const busy = { kind: "busy", resource: "cores", workerCount: 4, ofCount: 4 } as const;
  const queue = (alikeCount: number) => ({ kind: "queue", alikeCount, otherCount: 0 }) as const;
  expect(describeExplanations([
    of(1, "ready", busy, queue(0)),
    of(2, "ready", NO_GPUS),
    of(3, "ready", busy, queue(1)),
    of(4, "ready", NO_GPUS),
    of(5, "ready", busy, queue(1)),
    of(7, "ready", NO_GPUS),
  ])).toEqual([
    "tasks 1,3,5 (3) wait: 4 of 4 workers could run it but are busy: their cores are taken",
    "tasks 2,4,7 (3) wait: needs 3 gpus; the most that one of 4 workers has is 1",
  ]);
});

test("describeExplanations() leaves out of groups what is each one's own", () => {
  const at = (forMs: number) => {
    const place = { workerId: "w" as WorkerId, host: "h", try: 1 };
    return [{ kind: "running", forMs }, { kind: "at_worker", ...place, forMs }] as const;
  };
  expect(describeExplanations([of(1, "running", ...at(1_000)), of(2, "running", ...at(2_000))]))
    .toEqual(["tasks 1-2 (2) are running"]);
  expect(describeExplanations([of(1, "running", ...at(1_000))])).toEqual([
    "task 1 is running for 1 s",
    "task 1 is running: at worker w on h, try 1, for 1 s",
  ]);
});

test("describeExplanations() names the task that all of a group wait for, if it is one", () => {
  const file = { fileId: 1 as FileId, mount: "in" };
  const waits = (taskId: number, producer: number) => {
    const chain = [{ taskId: producer as TaskId, state: "running" }] as const;
    return of(taskId, "waiting", { kind: "input_made", file, chain });
  };
  expect(describeExplanations([waits(2, 1), waits(3, 1), waits(8, 6), waits(9, 7)])).toEqual([
    'tasks 2-3 (2) wait for input "in" of task 1, which is running',
    'tasks 8-9 (2) wait for input "in" of another task, which is running',
  ]);
});

test("describeExplanations() shows no control characters of what others named", () => {
  const reason = { kind: "ended", outcome: "exit", message: "\u001b[2Jno\noak", try: 2 } as const;
  expect(describeExplanations([of(1, "done", reason)])).toEqual([
    "task 1 is done: ended as exit in try 2: [2Jno oak",
  ]);
});

test("describeExplanations() tells of calls together that wait for the same instances", () => {
  const library = "model";
  const starting = (forMs: number): Reason => {
    return { kind: "instances_starting", library, instanceCount: 3, workerCount: 2, forMs };
  };
  const turn = (leftMs: number): Reason => {
    return { kind: "turn", libraries: ["other", "third"], isLeaving: false, leftMs };
  };
  const own = (forMs: number): Reason => ({ kind: "instance", library, forMs });
  expect(describeExplanations([
    of(1, "ready", starting(1_000)),
    of(2, "ready", starting(2_000)),
    of(3, "ready", turn(100)),
    of(4, "ready", turn(200)),
    of(5, "dispatched", own(1_000)),
    of(6, "dispatched", own(2_000)),
  ])).toEqual([
    'tasks 1-2 (2) wait: 3 instances of library "model" start at 2 workers',
    'tasks 3-4 (2) wait for a turn: instances of libraries "other", "third" hold the room',
    'tasks 5-6 (2) are dispatched: instance of library "model" starts',
  ]);
});

test("describeExplanations() names few of the workers that are passed over, and for groups none", () => {
  const passed = (workerCount: number): Reason => {
    const workers = [{ workerId: "w" as WorkerId, host: "h", leftMs: 2_000 }];
    return { kind: "passed_over", workerCount, ofCount: 4, library: "model", workers };
  };
  expect(describeExplanations([of(1, "ready", passed(3))])).toEqual([
    'task 1 waits: 3 of 4 workers could run an instance of library "model" but are passed over, ' +
    'as starts of library "model" failed there: worker w on h for 2 s more and others',
  ]);
  expect(describeExplanations([of(1, "ready", passed(1)), of(2, "ready", passed(1))])).toEqual([
    'tasks 1-2 (2) wait: 1 of 4 workers could run an instance of library "model" but is passed ' +
    'over, as a start of library "model" failed there',
  ]);
});
