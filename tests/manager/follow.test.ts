import { afterEach, beforeEach, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import process from "node:process";
import { setImmediate } from "node:timers/promises";

import { join } from "@std/path";

import { Manager } from "../../manager/manager.ts";
import type { WatchId } from "../../shared/ids.ts";
import { type DispatchedTask, WATCH_CREDIT_BYTES } from "../../shared/protocol.ts";
import { FakeClient } from "./fake_client.ts";
import { FakeWorker, outputOf } from "./fake_worker.ts";

let home = "";

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "tendril-follow-"));
  process.env["TENDRIL_HOME"] = home;
});

afterEach(async () => {
  delete process.env["TENDRIL_HOME"];
  await rm(home, { recursive: true, force: true });
});

const encode = (text: string) => new TextEncoder().encode(text);

/** The next task of `worker`, which starts it. */
async function start(worker: FakeWorker): Promise<DispatchedTask> {
  const [task] = await worker.nextTasks(1);
  worker.send({ kind: "tries_started", tries: [{ taskId: task!.taskId, try: task!.try }] });
  return task!;
}

/** A piece of a watch. */
function piece(watchId: WatchId, atByte: number, text: string) {
  return { kind: "piece", watchId, atByte, bytes: encode(text) } as const;
}

test("follow() asks for what a running task writes, and for more as it is read", async () => {
  await using manager = await Manager.start({ name: "oak" });
  const handle = manager.submit({ command: "true" });
  const texts = handle.follow("stderr");
  const first = texts.next();
  const worker = await FakeWorker.join("oak");
  const task = await start(worker);
  const watch = await worker.next("watch");
  expect(watch).toMatchObject({
    taskId: task.taskId,
    try: 1,
    source: { kind: "stream", stream: "stderr" },
    fromByte: 0,
    creditBytes: WATCH_CREDIT_BYTES,
    canSkip: true,
  });
  const half = "x".repeat(WATCH_CREDIT_BYTES / 8);
  worker.send(piece(watch.watchId, 0, half), piece(watch.watchId, half.length, half));
  expect((await first).value).toBe(half);
  expect((await texts.next()).value).toBe(half);
  const credit = await worker.next("watch_credit");
  expect(credit).toEqual({ ...credit, watchId: watch.watchId, bytes: 2 * half.length });
  worker.send(piece(watch.watchId, 10 * half.length, "\u00e4 after a gap\n"));
  expect((await texts.next()).value).toBe(
    `\n[… ${8 * half.length} bytes skipped]\n\u00e4 after a gap\n`,
  );
  worker.send({ kind: "watch_ended", watchId: watch.watchId, reason: "ended" });
  worker.finish(task);
  expect((await texts.next()).done).toBe(true);
  worker.close();
});

test("follow() that is left asks for no more", async () => {
  await using manager = await Manager.start({ name: "oak" });
  const handle = manager.submit({ command: "true" });
  const worker = await FakeWorker.join("oak");
  await start(worker);
  const texts = handle.follow("stdout");
  const first = texts.next();
  const { watchId } = await worker.next("watch");
  worker.send(piece(watchId, 0, "one"));
  await first;
  await texts.return();
  expect(await worker.next("unwatch")).toEqual({ kind: "unwatch", watchId });
  worker.close();
});

test("follow() goes on where it was when its worker is back", async () => {
  await using manager = await Manager.start({ name: "oak" });
  const handle = manager.submit({ command: "true" });
  const texts = handle.follow("stdout");
  const first = texts.next();
  const worker = await FakeWorker.join("oak");
  const task = await start(worker);
  const { watchId } = await worker.next("watch");
  worker.send(piece(watchId, 0, "one "));
  expect((await first).value).toBe("one ");
  const { session } = await worker.next("welcome");
  worker.close();
  await worker.ended;
  const tryId = { taskId: task.taskId, try: task.try };
  const again = await FakeWorker.join("oak", { isSilent: true });
  again.greet({ session, tries: [{ ...tryId, phase: "running" }] });
  const next = await again.next("watch");
  expect(next).toMatchObject({ ...tryId, fromByte: 4 });
  expect(next.watchId).not.toBe(watchId);
  // What was said for the connection that broke is not taken twice.
  again.send(piece(watchId, 0, "one "), piece(next.watchId, 4, "two"));
  expect((await texts.next()).value).toBe("two");
  again.finish(task, { stdout: encode("one two three") });
  expect((await texts.next()).value).toBe(" three");
  expect((await texts.next()).done).toBe(true);
  again.close();
});

test("follow() takes nothing of another worker, nothing twice and no flood", async () => {
  await using manager = await Manager.start({ name: "oak" });
  const handle = manager.submit({ command: "true", outputs: { log: manager.temp() } });
  const texts = handle.follow("log");
  const first = texts.next();
  const worker = await FakeWorker.join("oak");
  await start(worker);
  const { watchId } = await worker.next("watch");
  const other = await FakeWorker.join("oak", { workerId: "worker-b" });
  await other.next("reconcile");
  other.send(piece(watchId, 0, "false"), { kind: "watch_ended", watchId, reason: "shrunk" });
  // A round trip: what it said was heard.
  other.send({ kind: "heartbeat", refused: 1 });
  while (manager.status().refused.ticket === 0) await setImmediate();
  worker.send(piece(watchId, 0, "true"));
  expect((await first).value).toBe("true");
  worker.send(piece(watchId, 0, "true"));
  expect(await worker.next("unwatch")).toEqual({ kind: "unwatch", watchId });
  expect((await texts.next()).value).toContain("not followed any more");
  worker.close();
  other.close();
});

test("follow() refuses what is no output", async () => {
  await using manager = await Manager.start({ name: "oak" });
  const worker = await FakeWorker.join("oak");
  const handle = manager.submit({ command: "true", inputs: { secret: manager.buffer("x") } });
  await start(worker);
  expect(() => handle.follow("../secret")).toThrow(TypeError);
  await expect(handle.follow("secret").next()).rejects.toThrow(
    'Cannot follow "secret" of task 1: it is no output of it',
  );
  worker.close();
});

test("follow() before the task is known reads nothing of what is no output", async () => {
  await using manager = await Manager.start({ name: "oak" });
  const handle = manager.submit({ command: "true", inputs: { secret: manager.buffer("x") } });
  const texts = handle.follow("secret");
  const first = texts.next();
  const worker = await FakeWorker.join("oak");
  const task = await start(worker);
  worker.finish(task);
  expect((await first).done).toBe(true);
  worker.close();
});

test("follow() of a remote task goes on over its pauses, and is told of its end", async () => {
  await using _manager = await Manager.start({ name: "oak" });
  await using remote = await Manager.connect({ name: "oak" });
  const worker = await FakeWorker.join("oak");
  const handle = remote.submit({ command: "true" });
  const texts = handle.follow("stdout");
  const first = texts.next();
  const task = await start(worker);
  const { watchId } = await worker.next("watch");
  worker.send(piece(watchId, 0, "one "));
  expect((await first).value).toBe("one ");
  worker.send(piece(watchId, 4, "two "));
  expect((await texts.next()).value).toBe("two ");
  worker.finish(task, { stdout: encode("one two three") });
  expect((await texts.next()).value).toBe("three");
  expect((await texts.next()).done).toBe(true);
  const late: string[] = [];
  for await (const text of handle.follow("stdout")) late.push(text);
  expect(late).toEqual(["one two three"]);
  worker.close();
});

test("A client whose connection broke follows on from what it has", async () => {
  await using _manager = await Manager.start({ name: "oak" });
  const client = await FakeClient.join("oak");
  const worker = await FakeWorker.join("oak");
  const taskId = await client.submit({ command: "true" }, [{}]);
  const task = await start(worker);
  const wish = {
    kind: "follow",
    followId: "follow-one",
    taskId: task.taskId,
    source: { kind: "stream", stream: "stdout" },
  } as const;
  expect(Number(task.taskId)).toBe(taskId);
  const asked = client.ask({ ...wish, try: 0, fromByte: 0 });
  const { watchId } = await worker.next("watch");
  worker.send(piece(watchId, 0, "one "));
  expect(await asked).toMatchObject({ part: { try: 1, atByte: 0, bytes: encode("one ") } });
  client.close();
  expect(await worker.next("unwatch")).toEqual({ kind: "unwatch", watchId });
  const again = await FakeClient.join("oak", { clientId: client.clientId });
  const more = again.ask({ ...wish, try: 1, fromByte: 4 });
  const next = await worker.next("watch");
  expect(next.fromByte).toBe(4);
  worker.send(piece(next.watchId, 4, "two"));
  expect(await more).toMatchObject({ part: { try: 1, atByte: 4, bytes: encode("two") } });
  again.close();
  worker.close();
});

test("A watched output is written in order as it grows, and no further after a gap", async () => {
  await using manager = await Manager.start({ name: "oak" });
  const path = join(home, "results");
  await writeFile(path, "of an earlier run");
  const handle = manager.submit({
    command: "true",
    outputs: { r: { file: manager.file(path), watch: true } },
  });
  const worker = await FakeWorker.join("oak");
  const task = await start(worker);
  const { watchId, source, canSkip } = await worker.next("watch");
  expect([source, canSkip]).toEqual([{ kind: "mount", mount: "r" }, false]);
  worker.send(piece(watchId, 0, "one "), piece(watchId, 4, "two "));
  while (await readFile(path, "utf8") !== "one two ") await setImmediate();
  worker.send(piece(watchId, 10, "far"));
  expect(await worker.next("unwatch")).toEqual({ kind: "unwatch", watchId });
  worker.finish(task, { outcome: "exit", exitCode: 1, message: "it failed" });
  expect((await handle).outcome).toBe("exit");
  expect(await readFile(path, "utf8")).toBe("one two ");
});

test("A watched output is not written through a link", async () => {
  await using manager = await Manager.start({ name: "oak" });
  const [path, other] = [join(home, "results"), join(home, "other")];
  await writeFile(other, "another file of the user's");
  await symlink(other, path);
  const handle = manager.submit({
    command: "true",
    outputs: { r: { file: manager.file(path), watch: true } },
  });
  const worker = await FakeWorker.join("oak");
  const task = await start(worker);
  worker.finish(task, { outcome: "exit", exitCode: 1 });
  expect((await handle).outcome).toBe("exit");
  // What is to be written is written by then.
  await manager.close();
  expect(await readFile(other, "utf8")).toBe("another file of the user's");
});

test("Contents of a watched output are not what was seen of it, but what its task made", async () => {
  await using manager = await Manager.start({ name: "oak" });
  const file = manager.file(join(home, "results"));
  const worker = await FakeWorker.join("oak", { cores: 1 });
  const texts: string[] = [];
  for (const text of ["first", "second"]) {
    const handle = manager.submit({
      command: "true",
      outputs: { r: { file, watch: true } },
    });
    const task = await start(worker);
    const { watchId } = await worker.next("watch");
    worker.send(piece(watchId, 0, text.slice(0, 2)));
    while (new TextDecoder().decode(await file.seen()) !== text.slice(0, 2)) await setImmediate();
    const contents = file.text().then((found) => texts.push(found));
    const content = encode(text);
    const digest = createHash("sha256").update(content).digest("hex");
    worker.finish(task, {
      outputs: [outputOf(task, { sizeBytes: content.length, digest, content })],
    });
    expect((await handle).message).toBe("");
    await contents;
  }
  expect(texts).toEqual(["first", "second"]);
});

test("A client's task has its outputs watched, and its inputs mounted as they are wished", async () => {
  await using _manager = await Manager.start({ name: "oak" });
  await using remote = await Manager.connect({ name: "oak" });
  const worker = await FakeWorker.join("oak");
  remote.submit({
    command: "true",
    inputs: { in: { file: remote.buffer("x"), symlink: true } },
    outputs: {
      r: { file: remote.file(join(home, "results")), watch: true },
      log: { file: remote.buffer(), only: "failure" },
    },
  });
  const { transferId, kind: _kind, source: _source, stallMs: _stallMs, level: _level, ...facts } =
    await worker.next("fetch");
  const { name, generation, sizeBytes, digest, isDirectory } = facts;
  const file = { name, generation, sizeBytes, digest, isDirectory };
  worker.send({ kind: "replica_ready", transferId, file, movedBytes: 1 });
  const task = await start(worker);
  expect(task.inputs).toMatchObject([{ mount: "in", isSymlink: true }]);
  expect(task.outputs.map(({ mount, only }) => [mount, only]))
    .toEqual([["r", undefined], ["log", "failure"]]);
  expect(await worker.next("watch")).toMatchObject({ source: { kind: "mount", mount: "r" } });
  worker.close();
});

test("submit() refuses mounts with options that make no sense", async () => {
  await using manager = await Manager.start({ name: "oak" });
  const submit = (mounts: object) => () => manager.submit({ command: "true", ...mounts });
  const file = manager.buffer();
  expect(submit({ outputs: { r: { file, watch: "yes" } } })).toThrow(
    'Cannot take watch of output "r" "yes" as true or false',
  );
  expect(submit({ outputs: { r: { file, strict: true } } })).toThrow(
    'Cannot take "strict" as an option of output "r": there are file, watch, only',
  );
  expect(submit({ outputs: { r: { file, only: "never" } } })).toThrow(RangeError);
  expect(submit({ outputs: { r: { file: manager.temp(), watch: true } } })).toThrow(
    'Cannot watch output "r" as a temp file: expected a local file or a buffer',
  );
  expect(submit({ outputs: { r: { file: manager.temp(), only: "failure" } } })).toThrow(TypeError);
  expect(submit({ inputs: { r: { file, watch: true } } })).toThrow(TypeError);
});
