import { expect, test } from "bun:test";

import { type Asking, RemoteResults } from "../../manager/remote_results.ts";
import type { TaskId } from "../../shared/ids.ts";

/** A manager whose tasks never end, and which has forgotten those above 40. */
const FORGETFUL: Asking = {
  ask: (
    question: { readonly kind: string; readonly taskId?: number; readonly states?: unknown },
  ) => {
    if (question.kind === "tasks") {
      const ids = Array.from({ length: 40 }, (_, index) => index + 1);
      const isAll = JSON.stringify(question.states) === "[]";
      const tasks = isAll ? ids.map((id) => ({ id, state: "running" })) : [];
      return Promise.resolve({ tasks, hasMore: false });
    }
    if ((question.taskId ?? 0) <= 40) return new Promise(() => {});
    return Promise.reject(new Error(`task ${question.taskId} is not remembered`));
  },
} as never;

test("of() fails for tasks that the manager has forgotten, while others go on", async () => {
  const results = new RemoteResults(FORGETFUL);
  const waited = Array.from({ length: 45 }, (_, index) => results.of(index + 1 as TaskId));
  const ends = await Promise.allSettled(waited.slice(40));
  expect(ends.map((end) => end.status === "rejected" ? end.reason.message : "")).toEqual(
    [41, 42, 43, 44, 45].map((id) => `task ${id} is not remembered`),
  );
  const first = await Promise.race([waited[39], Promise.resolve("pending")]);
  expect(first).toBe("pending" as never);
});
