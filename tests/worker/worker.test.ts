import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import process from "node:process";

import { join } from "@std/path";

import type { CacheName, TransferId } from "../../shared/ids.ts";
import type { OutputMount } from "../../shared/task.ts";
import { FakeManager, SHAPE } from "./fake_manager.ts";
import { WorkerProcess } from "./worker_process.ts";

function output(mount: string, more: Partial<OutputMount> = {}): OutputMount {
  const name = `temp-${mount}` as CacheName;
  return { mount, name, generation: 1, level: "workflow", isReturned: true, ...more };
}

function text(bytes: Uint8Array | undefined): string {
  return new TextDecoder().decode(bytes);
}

function isAlive(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return !readFileSync(`/proc/${processId}/stat`, "latin1").includes(") Z ");
  } catch {
    return false;
  }
}

/** Waits for what no event tells, with a limit far beyond what it should take. */
async function until(isTrue: () => boolean): Promise<void> {
  const limitMs = performance.now() + 40_000;
  while (!isTrue()) {
    if (performance.now() > limitMs) throw new Error("it never came to be");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test("a worker says hello, runs commands and hands over their outputs", async () => {
  await using manager = new FakeManager();
  await using _worker = new WorkerProcess(manager, "--single", "--feature", "blue");
  const hello = await manager.next("hello");
  expect(hello.resources.cores).toBe(2);
  expect(hello.features).toEqual(["blue"]);
  const result = await manager.run(
    "echo out; echo err >&2; printf data > o; mkdir d; echo x > d/y",
    {
      outputs: [output("o"), output("d", { isReturned: false })],
    },
  );
  expect(result).toMatchObject({ outcome: "success", message: "", exitCode: 0 });
  expect([text(result.stdout), text(result.stderr)]).toEqual(["out\n", "err\n"]);
  expect(result.outputs.map(({ name, sizeBytes, isDirectory }) => [name, sizeBytes, isDirectory]))
    .toEqual([["temp-o" as CacheName, 4, false], [
      "temp-d" as CacheName,
      expect.any(Number),
      true,
    ]]);
  expect(text(result.outputs[0]?.content)).toBe("data");
  const inputs = [
    { mount: "a", name: "temp-o" as CacheName, generation: 1 },
    { mount: "b", name: "temp-d" as CacheName, generation: 1 },
  ];
  const second = await manager.run("cat a b/y", { taskId: 2, inputs });
  expect(text(second.stdout)).toBe("datax\n");
}, 60_000);

test("a worker tells exactly how a command failed", async () => {
  await using manager = new FakeManager();
  await using _worker = new WorkerProcess(manager, "--single");
  await manager.next("hello");
  const cases: [string, object][] = [
    ["exit 3", { outcome: "exit", exitCode: 3, message: "The command ended with exit code 3" }],
    ["no-such-program-anywhere", { outcome: "exit", exitCode: 127 }],
    ["kill -KILL $$", { outcome: "signal", signal: "SIGKILL" }],
    ["true", { outcome: "output_missing", mount: "o", message: 'Output "o" was not made' }],
  ];
  for (const [index, [command, wanted]] of cases.entries()) {
    const outputs = command === "true" ? [output("o")] : [];
    const result = await manager.run(command, { taskId: index + 1, outputs });
    expect(result).toMatchObject(wanted);
    expect(result.outputs).toEqual([]);
  }
  const shape = { ...SHAPE, timeoutMs: 50 };
  const late = await manager.run("sleep 60", { taskId: 10, shape });
  expect(late).toMatchObject({
    outcome: "timeout",
    message: "The try was stopped: its time was up: 50 ms",
  });
}, 60_000);

test("a worker drops an input that a task wrote to", async () => {
  await using manager = new FakeManager();
  await using _worker = new WorkerProcess(manager, "--single");
  await manager.next("hello");
  await manager.run("head -c 200000 /dev/zero > o", { outputs: [output("o")] });
  const inputs = [{ mount: "in", name: "temp-o" as CacheName, generation: 1 }];
  const result = await manager.run("chmod u+w in; echo changed >> in", { taskId: 2, inputs });
  if (result.outcome === "success") {
    // The file system can reflink, so that the task wrote to a copy of its own.
    const after = await manager.run("wc -c < in", { taskId: 3, inputs });
    expect(text(after.stdout).trim()).toBe("200000");
    return;
  }
  expect(result).toMatchObject({ outcome: "input_modified", mount: "in" });
  expect(await manager.next("replica_gone")).toMatchObject({ name: "temp-o", generation: 1 });
}, 60_000);

test("a worker fetches files of its manager and sends files back", async () => {
  await using manager = new FakeManager();
  await using _worker = new WorkerProcess(manager, "--single");
  await manager.next("hello");
  manager.files.set("big", new Uint8Array(300_000).fill(65));
  manager.send({
    kind: "fetch",
    transferId: 1 as TransferId,
    name: "big" as CacheName,
    generation: 0,
    sizeBytes: 300_000,
    digest: "",
    isDirectory: false,
    isExecutable: false,
    level: "worker",
    stallMs: 30_000,
    source: { kind: "manager", ticket: manager.ticket("big", "GET") },
  });
  const ready = await manager.next("replica_ready");
  expect([ready.movedBytes, ready.file.sizeBytes]).toEqual([300_000, 300_000]);
  const inputs = [{ mount: "in", name: "big" as CacheName, generation: 0 }];
  await manager.run("cat in in > o", { inputs, outputs: [output("o")] });
  manager.send({
    kind: "send",
    transferId: 2 as TransferId,
    name: "temp-o" as CacheName,
    generation: 1,
    to: { kind: "manager", ticket: manager.ticket("temp-o", "PUT") },
  });
  await until(() => manager.files.get("temp-o")?.length === 600_000);
}, 60_000);

test("a worker unpacks an environment and runs tasks inside it", async () => {
  await using manager = new FakeManager();
  await using _worker = new WorkerProcess(manager, "--single");
  await manager.next("hello");
  const script = "mkdir -p e/bin; printf '#!/bin/sh\\necho hello from $TENDRIL_ENVIRONMENT' " +
    "> e/bin/greet; chmod 755 e/bin/greet; tar -czf o -C e .";
  await manager.run(script, { outputs: [output("o")] });
  const order = { kind: "make", level: "worker" } as const;
  const input = "temp-o" as CacheName;
  const name = "env" as CacheName;
  const transferId = 1 as TransferId;
  manager.send({ ...order, transferId, name, recipe: { kind: "environment", input } });
  const { file } = await manager.next("replica_ready");
  expect(file).toMatchObject({ name: "env", isDirectory: true });
  const shape = { ...SHAPE, environments: [name] };
  const result = await manager.run("greet", { taskId: 2, shape });
  expect(text(result.stdout)).toMatch(/^hello from \/.*\/cache\/files\/env\n?$/);
  const bad = { kind: "unpack", input } as const;
  await manager.run("echo no archive > o", {
    taskId: 3,
    outputs: [output("o", { generation: 2 })],
  });
  const other = "other" as CacheName;
  manager.send({ ...order, transferId: 2 as TransferId, name: other, recipe: bad });
  const failed = await manager.next("transfer_failed");
  expect(failed).toMatchObject({ name: "other", canRetry: false });
}, 60_000);

test("a worker breaks a connection over which it hears nothing", async () => {
  await using manager = new FakeManager();
  manager.heartbeatMs = 20;
  await using _worker = new WorkerProcess(manager, "--single");
  await manager.next("hello");
  await manager.next("heartbeat");
  await manager.next("hello", ({ session }) => session === "session-1");
}, 60_000);

test("a worker that lost its connection goes on and hands over results once", async () => {
  await using manager = new FakeManager();
  await using _worker = new WorkerProcess(manager, "--single");
  await manager.next("hello");
  const flag = join(manager.directory, "flag");
  manager.dispatch(`until [ -e ${flag} ]; do sleep 0.01; done; echo done`, {});
  await manager.next("tries_started");
  await manager.cut();
  const hello = await manager.next("hello");
  expect(hello.session).toBe("session-1" as never);
  expect(hello.tries).toEqual([{ taskId: 1 as never, try: 1, phase: "running" }]);
  await Bun.write(flag, "");
  const { result } = await manager.next("result");
  expect(text(result.stdout)).toBe("done\n");
  await manager.cut();
  expect((await manager.next("hello")).results).toEqual([{ taskId: 1 as never, try: 1 }]);
  expect((await manager.next("result")).result.outcome).toBe("success");
}, 60_000);

test("a worker that gets SIGTERM stops what runs, says so and ends with code 0", async () => {
  await using manager = new FakeManager();
  await using worker = new WorkerProcess(manager);
  await manager.next("hello");
  manager.dispatch("sleep 60 & echo $! > pid; echo $$; wait", { outputs: [output("pid")] });
  await manager.next("tries_started");
  const workspace = join(manager.directory, "workspace");
  worker.kill("SIGTERM");
  expect(await manager.next("leaving")).toMatchObject({ reason: "it got SIGTERM" });
  const { result } = await manager.next("result");
  expect(result.outcome).toBe("cancelled");
  manager.send({ kind: "result_ack", tries: [{ taskId: result.taskId, try: 1 }] });
  expect(await worker.ended).toEqual({ code: 0, signal: null });
  const left = readdirSync(workspace, { recursive: true }).filter((path) =>
    String(path).includes("/sandboxes/")
  );
  expect(left).toEqual([]);
}, 60_000);

test("nothing of a worker is left when it is killed", async () => {
  await using manager = new FakeManager();
  await using worker = new WorkerProcess(manager);
  await manager.next("hello");
  const path = join(manager.directory, "pids");
  manager.dispatch(`echo $$ > ${path}; (setsid sleep 60 & echo $! >> ${path}); sleep 60`, {});
  await until(() =>
    existsSync(path) && statSync(path).size > 0 &&
    readFileSync(path, "utf8").trim().split("\n").length === 2
  );
  const processIds = readFileSync(path, "utf8").trim().split("\n").map(Number);
  worker.kill("SIGKILL");
  expect((await worker.ended).signal).toBe("SIGKILL");
  await until(() => processIds.every((processId) => !isAlive(processId)));
}, 60_000);

test("a worker with a wrong secret is told so and ends with code 1", async () => {
  await using manager = new FakeManager();
  manager.writeAccess("x".repeat(43));
  await using worker = new WorkerProcess(manager);
  expect(await worker.ended).toEqual({ code: 1, signal: null });
  expect(worker.stderr).toContain('Cannot join manager "fake": it refuses: ');
  expect(worker.stderr).not.toContain("xxxx");
  expect(manager.connectionCount).toBe(0);
}, 60_000);

test("a worker ends when its manager is gone for longer than its idle timeout", async () => {
  await using manager = new FakeManager();
  await using worker = new WorkerProcess(manager, "--idle-timeout", "200ms");
  await manager.next("hello");
  await manager.stop();
  expect(await worker.ended).toEqual({ code: 0, signal: null });
}, 60_000);

test(
  "a worker that is not single keeps its worker files and waits for the next manager",
  async () => {
    await using manager = new FakeManager();
    await using worker = new WorkerProcess(manager);
    const first = await manager.next("hello");
    await manager.run("echo x > k; echo y > w", {
      outputs: [output("k", { level: "worker" }), output("w")],
    });
    const closed = manager.closed();
    manager.send({ kind: "release", reason: "the workflow is over" });
    await closed;
    expect(manager.connectionCount).toBe(1);
    await using next = new FakeManager();
    const access = JSON.parse(readFileSync(next.accessPath, "utf8"));
    await Bun.write(manager.accessPath, JSON.stringify({ ...access, managerId: "m2" }));
    const hello = await next.next("hello");
    expect(hello.workerId).toBe(first.workerId);
    expect(hello.session).toBeUndefined();
    expect(hello.replicas.map(({ name, level }) => [name, level])).toEqual([
      ["temp-k" as CacheName, "worker"],
    ]);
    worker.kill("SIGTERM");
    expect(await worker.ended).toEqual({ code: 0, signal: null });
  },
  60_000,
);
