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
