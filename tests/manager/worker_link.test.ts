import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import process from "node:process";

import { join } from "@std/path";

import type { ClientAnswer, ClientRequest } from "../../manager/client_protocol.ts";
import { Manager } from "../../manager/manager.ts";
import { accessPath, readAccessFile } from "../../shared/access_file.ts";
import { type ChannelEnd, dialChannel } from "../../shared/channel.ts";
import type { Role } from "../../shared/handshake.ts";
import type { Check } from "../../shared/message_check.ts";
import { connect } from "../../shared/runtime/connect.ts";
import type { TaskId } from "../../shared/ids.ts";
import { ticketHeader } from "../../shared/ticket.ts";
import { FakeWorker } from "./fake_worker.ts";

let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tendril-test-"));
  process.env["TENDRIL_HOME"] = join(folder, "home");
});

afterAll(async () => {
  delete process.env["TENDRIL_HOME"];
  await rm(folder, { recursive: true, force: true });
});

const anything: Check<ClientAnswer> = () => undefined;

/** Dials a path of the manager as `role`; gives how that ended. */
async function dial(
  manager: Manager,
  identity: { readonly path: string; readonly role: Role; readonly secret: string },
): Promise<ChannelEnd> {
  const { promise, resolve } = Promise.withResolvers<ChannelEnd>();
  const handlers = dialChannel<ClientAnswer, ClientRequest>(identity, {
    check: anything,
    refused: resolve,
    handlers: {
      open: () => {},
      messages: () => {},
      close: (_channel, end) => resolve(end),
    },
  });
  await connect(`${manager.address.replace("http", "ws")}${identity.path}`, { handlers });
  return await promise;
}

test("WorkerLinks welcomes a worker with a key, a session and a heartbeat", async () => {
  await using manager = await Manager.start({ policies: { workerTimeout: "9s" } });
  const worker = await FakeWorker.join(manager.name);
  const welcome = await worker.next("welcome");
  expect(welcome.transferKey.length).toBe(32);
  expect(welcome.heartbeatMs).toBe(3000);
  expect(welcome.managerId).toBe(worker.access.managerId);
  await worker.next("reconcile");
});

test("WorkerLinks gives two workers different keys, and one worker the same again", async () => {
  await using manager = await Manager.start();
  const first = await FakeWorker.join(manager.name, { workerId: "a" });
  const other = await FakeWorker.join(manager.name, { workerId: "b" });
  const { transferKey, session } = await first.next("welcome");
  expect((await other.next("welcome")).transferKey).not.toEqual(transferKey);
  first.close();
  await first.ended;
  const again = await (await FakeWorker.join(manager.name, { workerId: "a" })).next("welcome");
  expect(again.transferKey).toEqual(transferKey);
  expect(again.session).not.toBe(session);
});

test("WorkerLinks refuses a hello of another protocol with both versions", async () => {
  await using manager = await Manager.start();
  const worker = await FakeWorker.join(manager.name, { protocol: 99 });
  expect((await worker.ended).reason).toMatch(/protocol 99 with a manager of protocol \d/);
});

test("WorkerLinks closes a connection that speaks before its hello, and no other", async () => {
  await using manager = await Manager.start();
  const good = await FakeWorker.join(manager.name, { workerId: "good" });
  await good.next("welcome");
  const bad = await FakeWorker.join(manager.name, { workerId: "bad", isSilent: true });
  bad.send({ kind: "leaving", reason: "early" });
  expect((await bad.ended).reason).toContain('"leaving" before hello');
  manager.submit({ command: "a" });
  expect((await good.nextTasks(1)).length).toBe(1);
});

test("WorkerLinks refuses a second hello on one connection", async () => {
  await using manager = await Manager.start();
  const worker = await FakeWorker.join(manager.name);
  await worker.next("welcome");
  worker.greet();
  expect((await worker.ended).reason).toContain("second hello");
});

test("WorkerLinks refuses a hello that cannot be true, and counts it", async () => {
  await using manager = await Manager.start();
  const worker = await FakeWorker.join(manager.name, { cores: 1e300 });
  expect((await worker.ended).reason).toContain("Cannot take 1e+300 as the cores of a worker");
  expect(manager.status().refused.lie).toBe(1);
  expect(manager.status().workers.connected).toBe(0);
});

test("WorkerLinks closes the connection of a worker that goes on saying what cannot be", async () => {
  await using manager = await Manager.start();
  const good = await FakeWorker.join(manager.name, { workerId: "good" });
  const liar = await FakeWorker.join(manager.name, { workerId: "liar" });
  await Promise.all([good.next("welcome"), liar.next("welcome")]);
  for (let count = 0; count < 40; count++) liar.finish({ taskId: 999 as TaskId, try: 1 });
  expect((await liar.ended).reason).toContain('Cannot believe worker "liar"');
  expect(manager.status().refused.lie).toBe(16);
  const task = manager.submit({ command: "a" });
  good.finish((await good.nextTasks(1))[0]!);
  expect((await task).outcome).toBe("success");
});

test("WorkerLinks cuts a worker that floods it, while another one finishes its tasks", async () => {
  await using manager = await Manager.start();
  const good = await FakeWorker.join(manager.name, { workerId: "good" });
  const flood = await FakeWorker.join(manager.name, { workerId: "flood", cores: 0.001 });
  await Promise.all([good.next("welcome"), flood.next("welcome")]);
  // What costs the sender least: a slow machine can send more of it than is allowed, too.
  const frame = Array.from({ length: 20_000 }, () => ({ kind: "heartbeat" }) as const);
  let isOver = false;
  const ended = flood.ended.finally(() => isOver = true);
  const flooding = (async () => {
    for (let count = 0; count < 2_000 && !isOver; count++) {
      flood.send(...frame);
      await new Promise((resolve) => setTimeout(resolve));
    }
  })();
  for (let count = 0; count < 20; count++) {
    const task = manager.submit({ command: "a" });
    good.finish((await good.nextTasks(1))[0]!);
    expect((await task).outcome).toBe("success");
  }
  expect((await ended).reason).toContain("floods the manager");
  await flooding;
  expect(manager.status().refused.flood).toBe(1);
  expect(manager.status().workers.connected).toBe(1);
}, 60_000);

test("WorkerLinks sends heartbeats, and closes a connection that is silent", async () => {
  await using manager = await Manager.start({ policies: { workerTimeout: 300 } });
  const worker = await FakeWorker.join(manager.name);
  await worker.next("heartbeat");
  expect((await worker.ended).reason).toBe("Nothing was heard for 300 ms");
});

test("Manager refuses the secrets of another role", async () => {
  await using manager = await Manager.start({ name: "asked" });
  const { secrets } = await readAccessFile(accessPath("asked"));
  const { client = "", worker = "" } = secrets;
  for (
    const identity of [
      { path: "/client", role: "client", secret: worker },
      { path: "/client", role: "worker", secret: worker },
      { path: "/worker", role: "client", secret: client },
      { path: "/worker", role: "worker", secret: client },
    ] as const
  ) {
    expect(await dial(manager, identity)).toHaveProperty("fault");
  }
});

test("Manager serves a directory as a stream of the length it announced", async () => {
  await using manager = await Manager.start();
  const path = join(folder, "tree");
  await mkdir(join(path, "sub"), { recursive: true });
  await writeFile(join(path, "sub", "b"), "b".repeat(100_000));
  manager.submit({ command: "a", inputs: { d: manager.file(path, { cache: "worker" }) } });
  const worker = await FakeWorker.join(manager.name);
  const order = await worker.next("fetch");
  expect(order.isDirectory).toBe(true);
  expect(order.name).toMatch(/^dir1-sha256-[0-9a-f]{64}$/);
  const { ticket } = order.source as { ticket: string };
  const response = await fetch(`${manager.address}/files/${order.name}`, {
    headers: { authorization: ticketHeader(ticket) },
  });
  expect((await response.arrayBuffer()).byteLength).toBe(order.sizeBytes);
});

test("Manager.start() starts local workers with secrets in a file, and ends them", async () => {
  const program = join(folder, "fake-tendril");
  const script = '#!/bin/sh\necho "$@" > "$0.args"\nexec sleep 600\n';
  await writeFile(program, script, { mode: 0o755 });
  process.env["TENDRIL_BIN"] = program;
  try {
    const manager = await Manager.start({ workers: { count: 1, cores: 3, memory: "1GB" } });
    const args = await eventually(() => readFile(`${program}.args`, "utf8"));
    expect(args).toMatch(
      /^worker --single --cores 3 --memory 10{9} --workspace \S+ --access \S+ --log-level info$/m,
    );
    const accessFile = / --access (\S+)/.exec(args)?.[1] ?? "";
    const access = await readAccessFile(accessFile);
    expect(Object.keys(access.secrets)).toEqual(["worker"]);
    expect(args).not.toContain(access.secrets.worker ?? "");
    await manager.close();
    expect(await readFile(accessFile).catch(() => "gone")).toBe("gone");
  } finally {
    delete process.env["TENDRIL_BIN"];
  }
});

test("Manager.start() says how to get the binary when it cannot be run, and leaves nothing", async () => {
  process.env["TENDRIL_BIN"] = join(folder, "no-such-binary");
  try {
    await expect(Manager.start({ name: "lost", workers: 1 })).rejects.toThrow(
      /Cannot use TENDRIL_BIN ".*no-such-binary" as the tendril binary/,
    );
    expect(await readdir(join(folder, "home", "managers"))).not.toContain("lost.json");
  } finally {
    delete process.env["TENDRIL_BIN"];
  }
});

/** The first result of `attempt` that is not empty; retried while it fails. */
async function eventually(attempt: () => Promise<string>): Promise<string> {
  while (true) {
    const found = await attempt().catch(() => "");
    if (found !== "") return found;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
