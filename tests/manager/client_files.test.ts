import { afterEach, beforeEach, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import process from "node:process";

import { join } from "@std/path";

import { writeAccessFile } from "../../manager/access.ts";
import type { FileTicket } from "../../manager/client_protocol.ts";
import { readManagerOptions } from "../../manager/config.ts";
import { findPlace } from "../../manager/place.ts";
import { RunDirectory } from "../../manager/run_directory.ts";
import { Shell } from "../../manager/shell.ts";
import { openPackStream, planPack } from "../../shared/archive/pack.ts";
import { newSecret } from "../../shared/handshake.ts";
import type { FileId } from "../../shared/ids.ts";
import { ticketHeader } from "../../shared/ticket.ts";
import { FakeClient, taskOf } from "./fake_client.ts";
import { FakeWorker, outputOf } from "./fake_worker.ts";

let home = "";

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "tendril-files-"));
  process.env["TENDRIL_HOME"] = home;
});

afterEach(async () => {
  delete process.env["TENDRIL_HOME"];
  await rm(home, { recursive: true, force: true });
});

/** A manager with limits of the test's own. */
class Fixture implements AsyncDisposable {
  readonly shell: Shell;
  readonly spool: string;

  private constructor(shell: Shell, spool: string) {
    this.shell = shell;
    this.spool = spool;
  }

  static async start(
    clientLimits: { readonly graceMs?: number; readonly uploadWaitMs?: number } = {},
  ): Promise<Fixture> {
    const secrets = { worker: newSecret(), client: newSecret(), viewer: newSecret() };
    const spool = join(home, "spool");
    const config = readManagerOptions({ runDirectory: false });
    const identity = { name: "oak", managerId: "0123456789abcdef" };
    const shell = await Shell.start({
      config,
      ...identity,
      runDirectory: new RunDirectory(config, identity),
      secrets,
      spool,
      clientLimits,
      place: await findPlace(config),
      onBug: (error) => {
        throw error;
      },
    });
    await writeAccessFile({
      version: 1,
      name: "oak",
      managerId: "0123456789abcdef",
      urls: [shell.url],
      secrets,
      pid: process.pid,
      host: hostname(),
      startedAtMs: Date.now(),
    });
    return new Fixture(shell, spool);
  }

  put(ticket: FileTicket, body: BodyInit): Promise<Response> {
    const headers = { authorization: ticketHeader(ticket.ticket) };
    return fetch(`${this.shell.url}/files/${ticket.name}`, { method: "PUT", headers, body });
  }

  get(ticket: FileTicket): Promise<Response> {
    const headers = { authorization: ticketHeader(ticket.ticket) };
    return fetch(`${this.shell.url}/files/${ticket.name}`, { headers });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.shell.release("the test is over");
    await this.shell.close();
  }
}

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

async function declareUpload(
  client: FakeClient,
  bytes: Uint8Array,
  more: { readonly isDirectory?: boolean; readonly isExecutable?: boolean } = {},
): Promise<{ readonly fileId: FileId; readonly upload: FileTicket }> {
  const { fileId, upload } = await client.expect("declared", {
    kind: "declare",
    file: {
      kind: "upload",
      sizeBytes: bytes.length,
      digest: sha256(bytes),
      isDirectory: false,
      isExecutable: false,
      ...more,
    },
    level: "workflow",
  });
  return { fileId, upload: upload! };
}

test("ClientFiles takes an upload, once, and tasks that have it start when it is there", async () => {
  await using fixture = await Fixture.start();
  const client = await FakeClient.join("oak");
  const worker = await FakeWorker.join("oak");
  const bytes = randomBytes(200_000);
  const { fileId, upload } = await declareUpload(client, bytes);
  const taskId = await client.submit({ command: "a", inputs: [{ mount: "in", fileId }] });
  const shown = await client.expect("tasks", {
    kind: "tasks",
    selection: { kind: "all" },
    states: [],
    isFailed: false,
    after: 0,
  });
  expect(shown.tasks[0]?.state).toBe("waiting");
  expect((await fixture.put(upload, bytes)).status).toBe(204);
  const order = await worker.next("fetch");
  expect(order.name).toBe(`file-sha256-${sha256(bytes)}` as never);
  const { ticket } = order.source as { ticket: string };
  const served = await fixture.get({ ...upload, ticket });
  expect(sha256(new Uint8Array(await served.arrayBuffer()))).toBe(sha256(bytes));
  expect((await worker.nextTasks(1))[0]?.taskId).toBe(taskId as never);
  expect((await fixture.put(upload, bytes)).status).toBe(409);
});

test("ClientFiles refuses contents that are not those announced, and leaves nothing", async () => {
  await using fixture = await Fixture.start();
  const client = await FakeClient.join("oak");
  const bytes = randomBytes(1000);
  for (const wrong of [bytes.subarray(1), Buffer.concat([bytes, bytes]), randomBytes(1000)]) {
    const { fileId, upload } = await declareUpload(client, bytes);
    const answer = await fixture.put(upload, wrong);
    expect(answer.ok).toBe(false);
    expect(await readdir(fixture.spool)).toEqual([]);
    // A body of another length may be sent again.
    if (answer.status !== 422) continue;
    const taskId = await client.submit({ command: "a", inputs: [{ mount: "in", fileId }] });
    const { result } = await client.expect("result", { kind: "result", taskId: taskId as never });
    expect(result.outcome).toBe("input_missing");
    expect(result.message).toMatch(/Cannot have the contents of file \d+: .*expected/);
  }
});

test("ClientFiles refuses an upload without a ticket of that client, name and method", async () => {
  await using fixture = await Fixture.start();
  const client = await FakeClient.join("oak");
  const bytes = randomBytes(1000);
  const { upload } = await declareUpload(client, bytes);
  const other = await declareUpload(client, randomBytes(10));
  expect((await fixture.put({ ...upload, ticket: "" }, bytes)).status).toBe(403);
  expect((await fixture.put({ ...upload, ticket: other.upload.ticket }, bytes)).status).toBe(403);
  expect((await fixture.get(upload)).status).toBe(403);
  expect((await fixture.put(upload, bytes)).status).toBe(204);
});

test("ClientFiles takes a directory as a canonical stream, and gives it back as the same", async () => {
  await using fixture = await Fixture.start();
  const client = await FakeClient.join("oak");
  const path = join(home, "tree");
  await mkdir(join(path, "sub"), { recursive: true });
  await writeFile(join(path, "sub", "tool"), "#!/bin/sh\n");
  await chmod(join(path, "sub", "tool"), 0o755);
  const plan = await planPack(path);
  const part = { startByte: 0, endByte: plan.sizeBytes };
  const bytes = new Uint8Array(await new Response(openPackStream(plan, part)).arrayBuffer());
  const { fileId, upload } = await declareUpload(client, bytes, { isDirectory: true });
  expect((await fixture.put(upload, bytes)).status).toBe(204);
  const { file } = await client.expect("fetched", { kind: "fetch", fileId });
  expect(file).toMatchObject({ isDirectory: true, digest: sha256(bytes), sizeBytes: bytes.length });
  const served = await fixture.get(file);
  expect(sha256(new Uint8Array(await served.arrayBuffer()))).toBe(sha256(bytes));
});

test("The manager sends one file to more readers than its fast path takes", async () => {
  await using fixture = await Fixture.start();
  const client = await FakeClient.join("oak");
  const worker = await FakeWorker.join("oak");
  const bytes = randomBytes(2 ** 21 + 1);
  const path = join(home, "data");
  await writeFile(path, bytes);
  const declare = { kind: "declare", file: { kind: "local", path }, level: "worker" } as const;
  const { fileId } = await client.expect("declared", declare);
  const { file } = await client.expect("fetched", { kind: "fetch", fileId });
  const digests = await Promise.all(Array.from({ length: 48 }, async () => {
    const served = await fixture.get(file);
    return sha256(new Uint8Array(await served.arrayBuffer()));
  }));
  expect(new Set(digests)).toEqual(new Set([sha256(bytes)]));
  worker.close();
});

test("ClientFiles brings an output to the manager for its client", async () => {
  await using fixture = await Fixture.start();
  const client = await FakeClient.join("oak");
  const worker = await FakeWorker.join("oak");
  const declare = { kind: "declare", file: { kind: "buffer" }, level: "workflow" } as const;
  const { fileId } = await client.expect("declared", declare);
  await client.submit({ command: "a", outputs: [{ mount: "out", fileId }] });
  const fetched = client.expect("fetched", { kind: "fetch", fileId });
  const [task] = await worker.nextTasks(1);
  const content = new TextEncoder().encode("made");
  const output = outputOf(task!, { sizeBytes: 4, digest: sha256(content), content });
  worker.finish(task!, { outputs: [output] });
  const { file } = await fetched;
  expect(await (await fixture.get(file)).text()).toBe("made");
  await client.expect("done", { kind: "undeclare", fileId });
  expect(await client.ask({ kind: "fetch", fileId })).toMatchObject({
    kind: "failed",
    message: `Cannot take file ${fileId}: no client has declared it, or not any more`,
  });
});

test("ClientFiles waits for no contents that nobody asks for any more", async () => {
  await using fixture = await Fixture.start();
  const client = await FakeClient.join("oak");
  const declare = { kind: "declare", file: { kind: "buffer" }, level: "workflow" } as const;
  const { fileId } = await client.expect("declared", declare);
  await client.submit({ command: "a", outputs: [{ mount: "out", fileId }] });
  // All together ask for more than a manager waits for.
  for (let clientCount = 0; clientCount < 20; clientCount++) {
    const other = await FakeClient.join("oak");
    for (let count = 0; count < 60; count++) void other.ask({ kind: "fetch", fileId });
    await other.ask({ kind: "ping" });
    other.close();
    await other.ended;
  }
  const path = join(home, "data");
  await writeFile(path, "here");
  const local = { kind: "declare", file: { kind: "local", path }, level: "workflow" } as const;
  const { fileId: hereId } = await client.expect("declared", local);
  const { file } = await client.expect("fetched", { kind: "fetch", fileId: hereId });
  expect(await (await fixture.get(file)).text()).toBe("here");
});

test("ClientFiles declares paths of this machine, and shows files without secrets", async () => {
  await using _fixture = await Fixture.start();
  const client = await FakeClient.join("oak");
  const declare = (file: object) =>
    client.ask({ kind: "declare", file, level: "workflow" } as never);
  expect(await declare({ kind: "local", path: "data" })).toMatchObject({
    kind: "failed",
    isUsage: true,
    message: 'Cannot declare "data" as a file: expected an absolute path',
  });
  expect(await declare({ kind: "url", url: "gopher://host/x" })).toMatchObject({ kind: "failed" });
  await declare({ kind: "local", path: join(home, "data") });
  const archive = await declare({ kind: "url", url: "http://user:word@host:8/a.tar?key=1#x" });
  const { fileId } = archive as { fileId: FileId };
  await declare({ kind: "unpack", archive: fileId });
  const { files } = await client.expect("files", { kind: "files", after: 0 });
  expect(files.map(({ kind, source }) => [kind, source])).toEqual([
    ["local", join(home, "data")],
    ["url", "http://host:8/a.tar"],
    ["mini_task", undefined],
  ]);
  const rest = await client.expect("files", { kind: "files", after: fileId });
  expect(rest.files).toHaveLength(1);
});

test("ClientFiles gives the files of a client up some time after it has gone", async () => {
  await using fixture = await Fixture.start({ graceMs: 50 });
  const client = await FakeClient.join("oak");
  const watcher = await FakeClient.join("oak");
  const bytes = randomBytes(1000);
  const arrived = await declareUpload(client, bytes);
  await fixture.put(arrived.upload, bytes);
  const missing = await declareUpload(client, randomBytes(10));
  const taskId = await client.submit({
    command: "a",
    inputs: [{ mount: "in", fileId: missing.fileId }],
  });
  client.close();
  const { result } = await watcher.expect("result", { kind: "result", taskId: taskId as never });
  expect(result.outcome).toBe("input_missing");
  expect(result.message).toContain("its client went away");
  while ((await watcher.expect("files", { kind: "files", after: 0 })).files.length > 0);
  while ((await readdir(fixture.spool)).length > 0);
  expect((await fixture.put(missing.upload, randomBytes(10))).status).toBe(404);
});

test("ClientFiles keeps the files of a client that comes back", async () => {
  await using fixture = await Fixture.start({ graceMs: 60_000 });
  const client = await FakeClient.join("oak");
  const bytes = randomBytes(1000);
  const { fileId, upload } = await declareUpload(client, bytes);
  client.close();
  await client.ended;
  const { clientId } = client;
  const back = await FakeClient.join("oak", { clientId });
  expect((await fixture.put(upload, bytes)).status).toBe(204);
  const { file } = await back.expect("fetched", { kind: "fetch", fileId });
  expect(sha256(new Uint8Array(await (await fixture.get(file)).arrayBuffer()))).toBe(sha256(bytes));
});

test("ClientFiles keeps a file that is given up while tasks that have it are submitted", async () => {
  await using _fixture = await Fixture.start();
  const client = await FakeClient.join("oak");
  const second = await FakeClient.join("oak", { clientId: client.clientId });
  const path = join(home, "data");
  await writeFile(path, "oak");
  const { fileId } = await client.expect("declared", {
    kind: "declare",
    file: { kind: "local", path },
    level: "workflow",
  });
  const members = Array.from({ length: 10_000 }, () => ({}));
  const inputs = [{ mount: "in", fileId }];
  const submitted = client.submit({ command: "a", inputs }, members);
  // What the core had of it is let go of at once: nothing but the submission holds the file.
  for (let isGone = false; !isGone;) {
    await second.ask({ kind: "cancel", selection: { kind: "all" } });
    isGone = (await second.ask({ kind: "undeclare", fileId })).kind === "done";
  }
  await submitted;
  const last = { kind: "last" } as const;
  await second.expect("cancelled", { kind: "cancel", selection: last });
  const wait = { kind: "wait", selection: last, progressMs: 0 } as const;
  expect((await second.expect("waited", wait)).counts.cancelled).toBe(10_000);
  while ((await second.expect("files", { kind: "files", after: 0 })).files.length > 0);
});

test("ClientFiles fails what nobody sends in time, and with it the tasks that wait", async () => {
  await using _fixture = await Fixture.start({ uploadWaitMs: 50 });
  const client = await FakeClient.join("oak");
  const { fileId } = await declareUpload(client, randomBytes(10));
  const taskId = await client.submit({ command: "a", inputs: [{ mount: "in", fileId }] });
  const { result } = await client.expect("result", { kind: "result", taskId: taskId as never });
  expect(result.outcome).toBe("input_missing");
  expect(result.message).toContain("its client has not sent them within 50 ms");
});

test("ClientFiles serves a client's output to a task of many, each with its own", async () => {
  await using _fixture = await Fixture.start();
  const client = await FakeClient.join("oak");
  const worker = await FakeWorker.join("oak", { cores: 2 });
  const paths = [join(home, "a"), join(home, "b")];
  const outputs: { mount: string; fileId: FileId }[] = [];
  for (const path of paths) {
    const { fileId } = await client.expect("declared", {
      kind: "declare",
      file: { kind: "local", path },
      level: "workflow",
    });
    outputs.push({ mount: "out", fileId });
  }
  const submit = (members: readonly object[]) =>
    client.ask({
      kind: "submit",
      submissionId: randomBytes(8).toString("hex"),
      part: 0,
      task: taskOf({ command: "a" }),
      members: members.map((member) => ({ env: {}, outputs: [], ...member })),
    });
  expect(await submit([{ outputs: [outputs[0]] }, { outputs: [outputs[0]] }])).toMatchObject({
    kind: "failed",
    message: 'Cannot take output "out": another task makes its file as well',
  });
  expect((await submit(outputs.map((output) => ({ outputs: [output] })))).kind).toBe("submitted");
  const tasks = await worker.nextTasks(2);
  for (const [index, task] of tasks.entries()) {
    const content = new TextEncoder().encode(`made ${index}`);
    const output = outputOf(task, { sizeBytes: 6, digest: sha256(content), content });
    worker.finish(task, { outputs: [output] });
  }
  const wait = { kind: "wait", selection: { kind: "last" }, progressMs: 0 } as const;
  expect((await client.expect("waited", wait)).counts.succeeded).toBe(2);
  expect(await Promise.all(paths.map((path) => readFile(path, "utf8")))).toEqual([
    "made 0",
    "made 1",
  ]);
});
