import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import process from "node:process";

import { join } from "@std/path";

import { describeExplanation } from "../../manager/explanation_text.ts";
import { Manager } from "../../manager/manager.ts";
import type { TaskSelection } from "../../manager/client_protocol.ts";
import { FakeClient } from "./fake_client.ts";
import { FakeWorker } from "./fake_worker.ts";

let home = "";

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "tendril-explain-"));
  process.env["TENDRIL_HOME"] = home;
});

afterEach(async () => {
  delete process.env["TENDRIL_HOME"];
  await rm(home, { recursive: true, force: true });
});

function ask(selection: TaskSelection, after = 0) {
  return { kind: "explain", selection, after } as const;
}

test("TaskHandle.explain() says why a task waits, since when it runs and how it ended", async () => {
  await using manager = await Manager.start({ name: "oak" });
  const task = manager.submit({ command: "false", gpus: 2 });
  expect(task.explain().reasons).toEqual([{ kind: "not_seen" }]);
  const worker = await FakeWorker.join("oak");
  await worker.next("reconcile");
  expect(describeExplanation(task.explain())).toEqual([
    "task 1 waits: needs 2 gpus; the only worker has none",
  ]);
  expect(manager.status().unplaceable).toMatchObject([{ taskCount: 1, category: "default" }]);
  const other = manager.submit({ command: "false" });
  const [given] = await worker.nextTasks(1);
  expect(other.explain()).toMatchObject({
    state: "dispatched",
    reasons: [{ kind: "starting" }, {}],
  });
  worker.finish(given!, { outcome: "exit", message: "status 1" });
  await other;
  expect(other.explain()).toEqual({
    taskId: other.id,
    state: "done",
    reasons: [{ kind: "ended", outcome: "exit", message: "status 1", try: 1 }],
  });
  task.cancel();
  await task;
  expect(task.explain().reasons).toMatchObject([{ kind: "ended", outcome: "cancelled", try: 0 }]);
});

test("RemoteTask.explain() asks the manager, which refuses tasks that there are not", async () => {
  await using _manager = await Manager.start({ name: "oak" });
  await using remote = await Manager.connect({ name: "oak" });
  const task = remote.submit({ command: "true" });
  expect(await task.explain()).toMatchObject({ taskId: 1, reasons: [{ kind: "no_worker" }] });
  await expect(remote.explain(9)).rejects.toThrow("Cannot find task 9: the tasks are 1 to 1");
});

test("explainTasks() tells of tasks in pages, and of all only those that have not ended", async () => {
  await using _manager = await Manager.start({ name: "oak" });
  const client = await FakeClient.join("oak");
  const firstId = await client.submit({ command: "true" }, Array.from({ length: 600 }, () => ({})));
  const first = await client.expect("explained", ask({ kind: "last" }));
  expect([first.explanations.length, first.hasMore]).toEqual([500, true]);
  const last = first.explanations.at(-1)!.taskId;
  const second = await client.expect("explained", ask({ kind: "last" }, last));
  expect([second.explanations.length, second.hasMore]).toEqual([100, false]);
  expect(second.explanations.at(-1)!.taskId - firstId).toBe(599);
  const cancelled = { kind: "ids", ranges: [[firstId, firstId + 597]] } as const;
  await client.expect("cancelled", { kind: "cancel", selection: cancelled });
  await client.expect("waited", { kind: "wait", selection: cancelled, progressMs: 0 });
  const all = await client.expect("explained", ask({ kind: "all" }));
  expect(all.explanations.map(({ taskId }) => taskId - firstId)).toEqual([598, 599]);
  const ended = await client.expect(
    "explained",
    ask({ kind: "ids", ranges: [[firstId, firstId]] }),
  );
  expect(ended.explanations).toMatchObject([{ state: "done", reasons: [{ kind: "ended" }] }]);
});
