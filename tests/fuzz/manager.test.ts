/** A manager goes on serving while anything at all comes to its doors. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";

import { join } from "@std/path";

import { Manager } from "../../manager/manager.ts";
import { type AccessFile, accessPath, readAccessFile } from "../../shared/access_file.ts";
import type { Role } from "../../shared/handshake.ts";
import { FakeClient } from "../manager/fake_client.ts";
import { FakeWorker } from "../manager/fake_worker.ts";
import { head, open } from "../raw_http.ts";
import { frameOf, RawLink } from "../raw_link.ts";
import { WORKER_SAMPLES } from "../shared/message_samples.ts";
import { Fuzzer } from "./fuzzer.ts";

const LIMIT_MS = 7_200_000;

/** Connections that are open at the same time. */
const AT_ONCE = 16;

/** An input that is not answered by then was half a request: what follows is not waited for. */
const ANSWER_MS = 300;

let folder = "";

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "tendril-test-"));
  process.env["TENDRIL_HOME"] = join(folder, "home");
});

afterAll(() => {
  delete process.env["TENDRIL_HOME"];
  rmSync(folder, { recursive: true, force: true });
});

/** A worker joins, a client is answered, and something was counted. */
async function expectServing(manager: Manager): Promise<void> {
  const worker = await FakeWorker.join(manager.name, { workerId: "honest" });
  await worker.next("welcome");
  const client = await FakeClient.join(manager.name);
  const { status } = await client.expect("status", { kind: "status" });
  expect(status.workers.connected).toBeGreaterThan(0);
  expect(Object.values(status.refused).some((count) => count > 0)).toBe(true);
  worker.close();
  client.close();
}

/** Sends bytes and hangs up; resolves when the server has done so too, or says nothing. */
function knock(url: string, bytes: Uint8Array): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const socket = open(url);
  const timer = setTimeout(() => socket.destroy(), ANSWER_MS);
  socket.on("error", () => {});
  socket.on("data", () => {});
  socket.on("close", () => {
    clearTimeout(timer);
    resolve();
  });
  socket.end(bytes);
  return promise;
}

const UPGRADE = {
  connection: "Upgrade",
  upgrade: "websocket",
  "sec-websocket-version": 13,
  "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
};

const REQUESTS: readonly Uint8Array[] = [
  head("GET /files/file-a", { authorization: "Tendril a.b", range: "bytes=0-5" }),
  head("PUT /files/file-a", { "content-length": 5, authorization: "Tendril a.b" }) + "hello",
  head("PUT /files/file-a", { "transfer-encoding": "chunked" }) + "5\r\nhello\r\n0\r\n\r\n",
  head("GET /worker", UPGRADE),
  head("GET /client", { ...UPGRADE, origin: "http://localhost" }),
  head("GET /worker", UPGRADE) + "\x82\x85\0\0\0\0\x00\x81\xa1\x61\x61",
  head("GET http://localhost/files/..%2fa"),
  head("POST /nothing", { expect: "100-continue", "content-length": 1 }) + "a",
].map((text) => Uint8Array.from(text, (char) => char.charCodeAt(0)));

test("startServer() takes any bytes for requests and goes on serving", async () => {
  const fuzzer = new Fuzzer();
  await using manager = await Manager.start();
  const open: Set<Promise<void>> = new Set();
  await fuzzer.run(0.04, async () => {
    const knocked = knock(manager.address, fuzzer.mutated(fuzzer.pick(REQUESTS), REQUESTS));
    const entry = knocked.finally(() => open.delete(entry));
    open.add(entry);
    if (open.size >= AT_ONCE) await Promise.race(open);
  });
  await Promise.all(open);
  await expectServing(manager);
}, LIMIT_MS);

/** Has an accepted connection of `role` send faulty frames, and another when it was closed. */
async function fuzzChannel(
  manager: Manager,
  { role, greeting, frames }: {
    readonly role: Role;
    readonly greeting: Uint8Array;
    readonly frames: readonly Uint8Array[];
  },
): Promise<void> {
  const fuzzer = new Fuzzer();
  const access: AccessFile = await readAccessFile(accessPath(manager.name));
  const secret = access.secrets[role] ?? "";
  let link: RawLink | undefined;
  await fuzzer.run(0.03, async (index) => {
    if (!link?.isOpen) {
      link = await RawLink.dial({ url: manager.address, role, secret });
      expect(link.isAccepted).toBe(true);
      if (fuzzer.below(10) > 0) link.send(greeting);
    }
    const frame = fuzzer.mutated(fuzzer.pick(frames), frames);
    if (fuzzer.below(8) > 0 && frame.length > 0) frame[0] = 0;
    link.send(frame);
    // Whether it was taken is seen when the next connection's answer comes, or its end.
    if (index % 4 === 0) {
      link.close();
      await link.ended;
    }
  });
  link?.close();
}

test("WorkerLinks takes any bytes from a worker that is accepted and goes on serving", async () => {
  await using manager = await Manager.start();
  const samples = Object.values(WORKER_SAMPLES).flat();
  const [hello] = WORKER_SAMPLES.hello;
  const frames = samples.map((sample) => frameOf([sample]));
  frames.push(frameOf(samples.filter(({ kind }) => kind !== "hello")));
  if (hello === undefined) throw new Error("There is no sample of a hello");
  await fuzzChannel(manager, { role: "worker", greeting: frameOf([hello]), frames });
  await expectServing(manager);
}, LIMIT_MS);

test("ClientLinks takes any bytes from a client that is accepted and goes on serving", async () => {
  await using manager = await Manager.start();
  const open = { kind: "open", requestId: 1, version: 1, clientId: "fuzz" };
  const selection = { kind: "ids", ranges: [[1, 5], [9, 9]] };
  const task = {
    command: "true",
    inputs: [{ mount: "in", fileId: 1 }],
    outputs: [],
    environments: [],
    env: { A: "b" },
    cores: 1,
    features: ["x"],
  };
  const file = { kind: "url", url: "http://localhost/x" };
  const upload = { kind: "upload", sizeBytes: 5, digest: "a".repeat(64), isDirectory: false };
  const requests = [
    open,
    { kind: "ping", requestId: 2 },
    { kind: "status", requestId: 3 },
    { kind: "declare", requestId: 4, file, level: "workflow" },
    { kind: "declare", requestId: 5, file: { ...upload, isExecutable: false }, level: "task" },
    { kind: "undeclare", requestId: 6, fileId: 1 },
    { kind: "replicate", requestId: 17, fileId: 1, count: 2 },
    { kind: "prune", requestId: 18, fileId: 1 },
    { kind: "host", requestId: 19, host: "north", change: "block", forMs: 1000 },
    { kind: "dismiss", requestId: 20, count: 2 },
    { kind: "fetch", requestId: 7, fileId: 1 },
    {
      kind: "submit",
      requestId: 8,
      submissionId: "s",
      part: 0,
      task,
      members: [{ env: {}, outputs: [] }],
    },
    { kind: "wait", requestId: 9, selection, progressMs: 100 },
    { kind: "result", requestId: 10, taskId: 1 },
    { kind: "cancel", requestId: 11, selection: { kind: "last" } },
    { kind: "tasks", requestId: 12, selection, states: ["done"], isFailed: false, after: 0 },
    { kind: "workers", requestId: 13 },
    { kind: "files", requestId: 14, after: 0 },
    { kind: "logs", requestId: 15, taskId: 1 },
    { kind: "explain", requestId: 19, selection, after: 0 },
    { kind: "tune", requestId: 16, policies: { replicas: 2, recovery: "off" } },
  ];
  const frames = requests.map((request) => frameOf([request]));
  await fuzzChannel(manager, { role: "client", greeting: frameOf([open]), frames });
  await expectServing(manager);
}, LIMIT_MS);
