import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import process from "node:process";

import { join } from "@std/path";

import type { TaskSelection } from "../../manager/client_protocol.ts";
import { Manager } from "../../manager/manager.ts";
import type { CacheName, TaskId } from "../../shared/ids.ts";
import type { DispatchedTask } from "../../shared/protocol.ts";
import { FakeClient, taskOf } from "./fake_client.ts";
import { FakeWorker, outputOf } from "./fake_worker.ts";

let home = "";

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "tendril-desk-"));
  process.env["TENDRIL_HOME"] = home;
});

afterEach(async () => {
  delete process.env["TENDRIL_HOME"];
  await rm(home, { recursive: true, force: true });
});

const encode = (text: string) => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const ALL: TaskSelection = { kind: "all" };
const LAST: TaskSelection = { kind: "last" };

function ids(...ranges: [number, number][]): TaskSelection {
  return { kind: "ids", ranges };
}

function rows(selection: TaskSelection, more: object = {}) {
  return { kind: "tasks", selection, states: [], isFailed: false, after: 0, ...more } as const;
}

test("Submissions give members their own variables over those of the submission", async () => {
  await using _manager = await Manager.start({ name: "oak" });
  const client = await FakeClient.join("oak");
  const firstId = await client.submit(
    { command: "echo $TENDRIL_ARRAY_ID", env: { A: "1" }, tag: "array" },
    [{ TENDRIL_ARRAY_ID: "7" }, { TENDRIL_ARRAY_ID: "8" }, {}],
  );
  const worker = await FakeWorker.join("oak", { cores: 4 });
  const dispatch = await worker.next("dispatch");
  expect(dispatch.shapes).toHaveLength(1);
  expect(dispatch.shapes[0]?.env).toEqual({ A: "1" });
  const { command } = { command: "echo $TENDRIL_ARRAY_ID" };
  expect(dispatch.tasks.map(({ taskId, body }) => [taskId - firstId, body])).toEqual([
    [0, { kind: "command", command, env: { TENDRIL_ARRAY_ID: "7" } }],
    [1, { kind: "command", command, env: { TENDRIL_ARRAY_ID: "8" } }],
    [2, { kind: "command", command }],
  ]);
});

test("Submissions refuse what submit() refuses, with its message, and take nothing", async () => {
  await using manager = await Manager.start({ name: "oak" });
  const client = await FakeClient.join("oak");
  const submit = (task: object, part = 0) =>
    client.ask({
      kind: "submit",
      submissionId: "0123456789",
      part,
      task: { ...taskOf({ command: "true" }), ...task },
      members: [{ env: {}, outputs: [] }],
    });
  for (const wrong of [{ command: "" }, { cores: 1e9 }, { priority: 1e10 }, { gpus: 5000 }]) {
    const expected = thrownBy(() => manager.submit({ command: "true", ...wrong }));
    expect(await submit(wrong)).toMatchObject({
      kind: "failed",
      isUsage: true,
      message: expected,
    });
  }
  expect(await submit({ inputs: [{ mount: "in", fileId: 99 }] })).toMatchObject({
    message: "Cannot take file 99: no client has declared it, or not any more",
  });
  expect(await submit({}, 1)).toMatchObject({
    message: "Cannot take part 1 of a submission: expected part 0",
  });
  expect(manager.status().tasks.submitted).toBe(0);
  expect(manager.status().refused.client_request).toBe(6);
});

function thrownBy(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error("Nothing was thrown");
}

test("Submissions take a part once, also when it is asked for by another connection", async () => {
  await using _manager = await Manager.start({ name: "oak" });
  const wish = {
    kind: "submit",
    submissionId: "0123456789",
    part: 0,
    task: taskOf({ command: "true" }),
    members: Array.from({ length: 2000 }, () => ({ env: {}, outputs: [] })),
  } as const;
  const first = await FakeClient.join("oak");
  const answer = await first.expect("submitted", wish);
  const second = await FakeClient.join("oak");
  const again = await second.expect("submitted", wish);
  expect([again.firstId, again.count]).toEqual([answer.firstId, 2000]);
  const next = await second.expect("submitted", { ...wish, part: 1 });
  expect(next.firstId).toBe((answer.firstId + 2000) as TaskId);
  expect((await second.expect("tasks", rows(ALL))).tasks).toHaveLength(4000);
});

test("Submissions take the largest part while another client is answered", async () => {
  await using _manager = await Manager.start({ name: "oak" });
  const client = await FakeClient.join("oak");
  const other = await FakeClient.join("oak");
  let isTaken = false;
  const members = Array.from({ length: 10_000 }, (_, index) => ({ N: String(index) }));
  const taken = client.submit({ command: "true" }, members).finally(() => isTaken = true);
  let pongCount = 0;
  while (!isTaken) {
    await other.ask({ kind: "ping" });
    pongCount += 1;
  }
  expect(pongCount).toBeGreaterThan(1);
  await taken;
  const page = await other.expect("tasks", rows(LAST));
  expect([page.tasks.length, page.hasMore]).toEqual([10_000, false]);
  const rest = await other.expect("tasks", rows(ALL, { after: 9_999 }));
  expect(rest.tasks.map(({ id }) => Number(id))).toEqual([10_000]);
});

test("Submissions of several clients may come at the same time", async () => {
  await using manager = await Manager.start({ name: "oak" });
  const clients = await Promise.all([1, 2, 3].map(() => FakeClient.join("oak")));
  const members = Array.from({ length: 3000 }, () => ({}));
  const submitted = clients.map((client) => client.submit({ command: "true" }, members));
  manager.submit({ command: "true" });
  const firstIds = (await Promise.all(submitted)).sort((a, b) => a - b);
  expect(firstIds).toEqual([2, 3002, 6002]);
  expect((await clients[0]!.expect("tasks", rows(ALL))).tasks).toHaveLength(9001);
});

test("ClientTasks.cancel() ends tasks that the core has not heard of yet", async () => {
  await using _manager = await Manager.start({ name: "oak" });
  const client = await FakeClient.join("oak");
  const other = await FakeClient.join("oak");
  const submitted = client.submit(
    { command: "true" },
    Array.from({ length: 10_000 }, () => ({})),
  );
  // The newest first, which the core is told of last.
  const cancel = { kind: "cancel", selection: ids([9_501, 10_000]) } as const;
  let answer = await other.ask(cancel);
  while (answer.kind === "failed") answer = await other.ask(cancel);
  expect(answer).toMatchObject({ kind: "cancelled", count: 500 });
  await submitted;
  const wait = { kind: "wait", selection: cancel.selection, progressMs: 0 } as const;
  const { counts } = await other.expect("waited", wait);
  expect(counts).toMatchObject({ total: 500, cancelled: 500 });
});

test("ClientTasks.wait() tells progress, counts and failures with what they wrote", async () => {
  await using _manager = await Manager.start({ name: "oak" });
  const client = await FakeClient.join("oak");
  await client.submit({ command: "true", tag: "t" }, [{}, {}, {}]);
  const waited = client.expect("waited", { kind: "wait", selection: LAST, progressMs: 1 });
  const worker = await FakeWorker.join("oak", { cores: 4 });
  const [one, two, three] = await worker.nextTasks(3);
  worker.send({ kind: "tries_started", tries: [one!, two!] });
  while (client.progress.at(-1)?.counts.running !== 2) await client.ask({ kind: "ping" });
  expect(client.progress.at(-1)?.counts).toMatchObject({ total: 3, pending: 1, running: 2 });
  worker.finish(one!, { stdout: encode("fine") });
  worker.finish(two!, {
    outcome: "exit",
    exitCode: 3,
    message: "status 3",
    stdout: encode("out"),
    stderr: encode("no such option\n"),
  });
  const told = () => client.progress.flatMap((progress) => progress.failures);
  while (told().length === 0) await client.ask({ kind: "ping" });
  expect(told().map(({ id, stderr }) => [Number(id), decode(stderr)])).toEqual([
    [Number(two!.taskId), "no such option\n"],
  ]);
  await client.expect("cancelled", {
    kind: "cancel",
    selection: ids([three!.taskId, 3]),
  });
  const { counts, failures } = await waited;
  expect(counts).toEqual({
    total: 3,
    pending: 0,
    running: 0,
    succeeded: 1,
    failed: 1,
    cancelled: 1,
  });
  const failed = failures.find(({ outcome }) => outcome === "exit");
  expect(failed).toMatchObject({ tag: "t", exitCode: 3, message: "status 3", try: 1 });
  expect([decode(failed!.stdout), decode(failed!.stderr)]).toEqual(["out", "no such option\n"]);
});

test("ClientTasks.result() and logs() give how a task ended, and what it wrote", async () => {
  await using manager = await Manager.start({ name: "oak" });
  const client = await FakeClient.join("oak");
  const taskId = await client.submit({ command: "echo hi", category: "c" }) as TaskId;
  const before = await client.expect("logs", { kind: "logs", taskId });
  expect(before.logs).toMatchObject({ state: "ready", isKept: false });
  const asked = client.expect("result", { kind: "result", taskId });
  const worker = await FakeWorker.join("oak");
  const [task] = await worker.nextTasks(1);
  worker.finish(task!, { stdout: encode("hi\n") });
  const { result } = await asked;
  expect(result).toMatchObject({
    id: taskId,
    outcome: "success",
    category: "c",
    exitCode: 0,
    workerId: "worker-a",
    host: "localhost",
  });
  expect(decode(result.stdout)).toBe("hi\n");
  const { logs } = await client.expect("logs", { kind: "logs", taskId });
  expect(logs).toMatchObject({ state: "done", outcome: "success", isKept: true });
  expect(decode(logs.stdout)).toBe("hi\n");
  expect(await client.ask({ kind: "logs", taskId: 9 as TaskId })).toMatchObject({
    kind: "failed",
    isUsage: false,
    message: "Cannot find task 9: the tasks are 1 to 1",
  });
  // A script sees nothing of the tasks of clients.
  expect(manager.isEmpty()).toBe(true);
  expect(await manager.wait()).toBeUndefined();
});

test("ClientTasks.tasks() shows tasks of scripts too, by state, failure and number", async () => {
  await using manager = await Manager.start({ name: "oak" });
  const script = manager.submit({ command: "x".repeat(5000), tag: "mine" });
  const client = await FakeClient.join("oak");
  await client.submit({ command: "true" }, [{}, {}]);
  const worker = await FakeWorker.join("oak", { cores: 1 });
  const [task] = await worker.nextTasks(1);
  worker.finish(task!, { outcome: "exit", exitCode: 1, message: "status 1" });
  await script;
  const { tasks } = await client.expect("tasks", rows(ALL));
  expect(tasks.map(({ id, state }) => [Number(id), state])).toEqual([
    [1, "done"],
    [2, "dispatched"],
    [3, "dispatched"],
  ]);
  expect(tasks[0]).toMatchObject({ outcome: "exit", tag: "mine", host: "localhost", try: 1 });
  expect(tasks[0]?.command).toHaveLength(200);
  expect(tasks[1]).toMatchObject({ workerId: "worker-a", try: 1, endedAtMs: 0 });
  const failed = await client.expect("tasks", rows(ALL, { isFailed: true }));
  expect(failed.tasks.map(({ id }) => Number(id))).toEqual([1]);
  const filter = { tag: "mine", worker: "localhost", outcomes: ["exit"] };
  const found = await client.expect("tasks", rows(ALL, { filter, limit: 1, sort: "time" }));
  expect(found.tasks.map(({ id }) => Number(id))).toEqual([1]);
  const pending = await client.expect("tasks", rows(ids([3, 2]), { states: ["dispatched"] }));
  expect(pending.tasks.map(({ id }) => Number(id))).toEqual([2, 3]);
});

test("ClientTasks.wait() ends at once for what has ended, and says what there is not", async () => {
  await using _manager = await Manager.start({ name: "oak" });
  const client = await FakeClient.join("oak");
  const wait = (selection: TaskSelection) => client.ask({ kind: "wait", selection, progressMs: 0 });
  expect(await wait(ALL)).toMatchObject({ kind: "waited", counts: { total: 0 } });
  expect(await wait(LAST)).toMatchObject({
    kind: "failed",
    isUsage: false,
    message: "Cannot find the last submission: no client has submitted a task",
  });
  await client.submit({ command: "true" });
  await client.expect("cancelled", { kind: "cancel", selection: LAST });
  expect(await wait(LAST)).toMatchObject({ counts: { total: 1, cancelled: 1 } });
  expect(await wait(ids([1, 2]))).toMatchObject({
    message: "Cannot find task 2: the tasks are 1 to 1",
  });
});

test("RequestDesk shows workers, and tunes policies or says which there are", async () => {
  await using manager = await Manager.start({ name: "oak" });
  const client = await FakeClient.join("oak");
  await FakeWorker.join("oak", { cores: 3 });
  while (manager.status().workers.connected === 0) await client.ask({ kind: "ping" });
  const { workers } = await client.expect("workers", { kind: "workers" });
  expect(workers).toMatchObject([{
    workerId: "worker-a",
    state: "connected",
    resources: { cores: 3 },
    tasks: 0,
    cachedBytes: 0,
  }]);
  await client.expect("done", { kind: "tune", policies: { transfersPerWorker: 3 } });
  const wrong = await client.expect("failed", { kind: "tune", policies: { speed: 3 } });
  expect(wrong.isUsage).toBe(true);
  expect(wrong.message).toContain(
    'Cannot take "speed" as an option of policies: there are replicas',
  );
});

test("RequestDesk shows libraries, their instances and calls", async () => {
  await using manager = await Manager.start({ name: "oak" });
  const client = await FakeClient.join("oak");
  const library = manager.library({ name: "digits", command: "true", slots: 2, mode: "fork" });
  const list = async () => (await client.expect("libraries", { kind: "libraries" })).libraries;
  const row = {
    name: "digits",
    program: "command",
    mode: "fork",
    slots: 2,
    failedStarts: 0,
  } as const;
  const none = { starting: 0, ready: 0, retiring: 0 };
  expect(await list()).toEqual([
    { ...row, instances: none, workers: 0, calls: { waiting: 0, running: 0, done: 0, failed: 0 } },
  ]);
  const calls = [library.call("f"), library.call("f"), library.call("f")];
  const worker = await FakeWorker.join("oak", { cores: 1 });
  const { instanceId } = await worker.next("start_instance");
  const [first, second] = await worker.nextTasks(2);
  worker.send({ kind: "instance_ready", instanceId }, { kind: "tries_started", tries: [first!] });
  worker.finish(second!);
  await calls[1];
  expect(await list()).toMatchObject([{
    instances: { ...none, ready: 1 },
    workers: 1,
    calls: { waiting: 1, running: 1, done: 1, failed: 0 },
  }]);
  const [third] = await worker.nextTasks(1);
  worker.finish(first!);
  worker.finish(third!, { outcome: "call_error", message: "no" });
  await Promise.all([calls[0], calls[2]]);
  expect(await list()).toMatchObject([{
    calls: { waiting: 0, running: 0, done: 2, failed: 1 },
  }]);
  worker.close();
});

test("ClientTasks.tasks() and status show a recovery, and files what came out otherwise", async () => {
  await using manager = await Manager.start({ name: "oak" });
  const client = await FakeClient.join("oak");
  const temp = manager.temp();
  const task = manager.submit({ command: "make", outputs: { out: temp } });
  const worker = await FakeWorker.join("oak", { cores: 4 });
  const finish = (dispatched: DispatchedTask, digest: string) => {
    const facts = { sizeBytes: 100_000, digest: digest.repeat(64) };
    worker.finish(dispatched, { outputs: [outputOf(dispatched, facts)] });
  };
  const [first] = await worker.nextTasks(1);
  finish(first!, "a");
  await task;
  const generation = first!.try;
  worker.send({ kind: "replica_gone", name: temp.cacheName as CacheName, generation });
  const wanted = temp.text().catch(() => "not delivered");
  const [again] = await worker.nextTasks(1);
  const before = await client.expect("status", { kind: "status" });
  expect(before.status.tasks).toMatchObject({ recoveries: 1, recoveriesWaiting: 0 });
  expect(before.status.tasks).toMatchObject({ recoveriesRunning: 1, nondeterministic: 0 });
  expect((await client.expect("tasks", rows(ALL))).tasks).toMatchObject([
    { id: task.id, state: "done", recovery: "dispatched", outcome: "success", try: 1 },
  ]);
  finish(again!, "b");
  // The first may have been asked for before its loss was heard of.
  let order = await worker.next("send");
  while (order.generation !== again!.try) {
    worker.send({ kind: "send_failed", transferId: order.transferId, message: "it is gone" });
    order = await worker.next("send");
  }
  const after = await client.expect("status", { kind: "status" });
  expect(after.status.tasks).toMatchObject({ recoveriesRunning: 0, nondeterministic: 1 });
  expect(after.status.damaged).toBe(1);
  const [row] = (await client.expect("tasks", rows(ALL))).tasks;
  expect([row?.state, row?.recovery]).toEqual(["done", undefined]);
  expect((await client.expect("files", { kind: "files", after: 0 })).files).toMatchObject([
    { kind: "temp", isNondeterministic: true },
  ]);
  await manager.close();
  expect(await wanted).toBe("not delivered");
});

test("RequestDesk lists the workers of a host, the files of a kind or level, and one library", async () => {
  await using manager = await Manager.start({ name: "oak" });
  const client = await FakeClient.join("oak");
  await FakeWorker.join("oak");
  const [buffer, temp] = [manager.buffer("oak"), manager.temp()];
  const workers = async (host: string) => {
    return (await client.expect("workers", { kind: "workers", host })).workers.length;
  };
  const files = async (wish: object) => {
    const found = await client.expect("files", { kind: "files", after: 0, ...wish });
    return found.files.map(({ fileId }) => fileId);
  };
  expect([await workers("localhost"), await workers("elsewhere")]).toEqual([1, 0]);
  expect(await files({ kinds: ["buffer"] })).toEqual([buffer.id]);
  expect(await files({ kinds: ["temp", "buffer"], levels: ["workflow"] })).toEqual(
    [buffer.id, temp.id],
  );
  expect(await files({ levels: ["forever"] })).toEqual([]);
  const asked = { kind: "libraries", name: "digits" } as const;
  expect((await client.expect("libraries", asked)).libraries).toEqual([]);
});
