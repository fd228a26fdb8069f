import { expect, test } from "bun:test";

import type { TaskEnd } from "../../manager/core/instruction.ts";
import { TaskHandle, type TaskOwner } from "../../manager/task_handle.ts";
import type { TaskId } from "../../shared/ids.ts";

/** A handle of a task, and the tasks whose results were taken from the queue. */
function newHandle(): { readonly handle: TaskHandle<unknown>; readonly taken: TaskId[] } {
  const taken: TaskId[] = [];
  const owner: TaskOwner = {
    stateOf: () => "ready",
    explain: () => undefined,
    cancel: () => {},
    follow: async function* () {},
    taken: ({ id }) => void taken.push(id),
  };
  const [tag, category] = [undefined, undefined];
  return { handle: new TaskHandle({ id: 7 as TaskId, owner, tag, category, request: {} }), taken };
}

const END: TaskEnd = {
  taskId: 7 as TaskId,
  try: 1,
  outcome: "success",
  message: "",
  submittedAtMs: 1,
  dispatchedAtMs: 2,
  endedAtMs: 3,
};

test("TaskHandle.onEnded() tells all who asked, in order, once the task ends; it counts as awaited", () => {
  const { handle, taken } = newHandle();
  const told: string[] = [];
  handle.onEnded(({ outcome }) => told.push(`first ${outcome}`));
  handle.onEnded(({ outcome }) => told.push(`second ${outcome}`));
  expect(handle.isAwaited).toBe(true);
  expect(told).toEqual([]);
  handle.settle(END);
  expect(told).toEqual(["first success", "second success"]);
  expect(taken).toEqual([]);
});

test("TaskHandle.onEnded() tells of a task that has ended in a moment, and takes its result", async () => {
  const { handle, taken } = newHandle();
  handle.settle(END);
  const told: TaskEnd[] = [];
  handle.onEnded((end) => told.push(end));
  expect(told).toEqual([]);
  await Promise.resolve();
  expect(told).toEqual([END]);
  expect(taken).toEqual([7 as TaskId]);
});
