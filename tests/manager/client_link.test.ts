import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import process from "node:process";

import { join } from "@std/path";

import {
  ClientLinks,
  type ClientLinksOptions,
  type ClientWish,
} from "../../manager/client_link.ts";
import {
  CLIENT_VERSION,
  type ClientAnswer,
  type ClientRequest,
} from "../../manager/client_protocol.ts";
import { clientAnswer } from "../../manager/client_shapes.ts";
import { Door } from "../../manager/door.ts";
import { Manager } from "../../manager/manager.ts";
import { Refusals } from "../../manager/refusal.ts";
import { type Channel, dialChannel } from "../../shared/channel.ts";
import type { Socket, SocketHandlers } from "../../shared/runtime/socket.ts";
import { FakeClient } from "./fake_client.ts";

let home = "";

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "tendril-link-"));
  process.env["TENDRIL_HOME"] = home;
});

afterEach(async () => {
  delete process.env["TENDRIL_HOME"];
  await rm(home, { recursive: true, force: true });
});

test("ClientLinks answers open, ping and status", async () => {
  await using manager = await Manager.start({ name: "oak" });
  const client = await FakeClient.join("oak");
  expect((await client.ask({ kind: "ping" })).kind).toBe("pong");
  const { status } = await client.expect("status", { kind: "status" });
  expect(status).toEqual(manager.status());
});

test("ClientLinks refuses another version with both versions, and closes", async () => {
  await using manager = await Manager.start({ name: "oak" });
  const client = await FakeClient.join("oak", { isSilent: true });
  const answer = await client.ask({ kind: "open", version: 99, clientId: "0123456789" });
  expect(answer).toMatchObject({ kind: "failed", isUsage: true });
  expect(JSON.stringify(answer)).toContain("version 99: this manager's is 1");
  await client.ended;
  expect(manager.status().refused.client_request).toBe(1);
});

test("ClientLinks takes nothing before open, and open once", async () => {
  await using _manager = await Manager.start({ name: "oak" });
  const early = await FakeClient.join("oak", { isSilent: true });
  expect(await early.ask({ kind: "ping" })).toMatchObject({
    kind: "failed",
    message: 'Cannot take request "ping" before open',
  });
  expect((await early.ended).reason).toBe("The first request must be open");
  const client = await FakeClient.join("oak");
  expect(await client.ask({ kind: "open", version: 1, clientId: "0123456789" })).toMatchObject({
    kind: "failed",
    isUsage: true,
  });
  expect((await client.ask({ kind: "ping" })).kind).toBe("pong");
});

test("ClientLinks lets viewers look, and nothing else", async () => {
  await using _manager = await Manager.start({ name: "oak" });
  const viewer = await FakeClient.join("oak", { role: "viewer" });
  expect((await viewer.ask({ kind: "status" })).kind).toBe("status");
  const task = { command: "true", inputs: [], outputs: [], environments: [], env: {} };
  const buffer = { kind: "buffer" } as const;
  for (
    const wish of [
      { kind: "submit", submissionId: "0123456789", part: 0, task, members: [] },
      { kind: "cancel", selection: { kind: "all" } },
      { kind: "declare", file: buffer, level: "workflow" },
      { kind: "undeclare", fileId: 1 as never },
      { kind: "fetch", fileId: 1 as never },
      { kind: "tune", policies: {} },
    ] as const
  ) {
    expect(await viewer.ask(wish)).toMatchObject({
      kind: "failed",
      message: `Cannot take request "${wish.kind}" of a viewer: it may only look`,
    });
  }
});

test("ClientLinks closes a connection whose messages are no requests, and no other", async () => {
  await using _manager = await Manager.start({ name: "oak" });
  const client = await FakeClient.join("oak");
  for (const message of [{ kind: "explode" }, { kind: "wait", requestId: "x" }, { kind: "logs" }]) {
    const bad = await FakeClient.join("oak");
    bad.sendRaw(message);
    expect((await bad.ended).reason).toContain("Cannot take message");
  }
  expect((await client.ask({ kind: "ping" })).kind).toBe("pong");
});

test("ClientLinks closes a connection with too many requests, and counts it", async () => {
  await using manager = await Manager.start({ name: "oak" });
  const client = await FakeClient.join("oak");
  const firstId = await client.submit({ command: "true" });
  for (let count = 0; count <= 64; count++) {
    const answer = client.ask({ kind: "result", taskId: firstId as never });
    if (count < 64) continue;
    expect(await answer).toMatchObject({
      kind: "failed",
      message: "Cannot wait for more than 64 things at a time",
    });
  }
  client.sendMany(Array.from({ length: 1001 }, () => ({ kind: "ping" })));
  expect((await client.ended).reason).toBe("The manager takes 1000 requests at a time");
  expect(manager.status().refused.flood).toBe(1);
});

test("ClientLinks forgets a client that hangs up in the midst of anything", async () => {
  await using manager = await Manager.start({ name: "oak" });
  const watcher = await FakeClient.join("oak");
  const members = Array.from({ length: 5000 }, () => ({}));
  for (
    const last of [
      (_client: FakeClient) => {},
      (client: FakeClient) => client.ask({ kind: "ping" }),
      (client: FakeClient) => client.submit({ command: "true" }, members),
      (client: FakeClient) =>
        client.ask({ kind: "wait", selection: { kind: "all" }, progressMs: 1 }),
      (client: FakeClient) => client.ask({ kind: "cancel", selection: { kind: "all" } }),
    ]
  ) {
    const client = await FakeClient.join("oak");
    void last(client);
    client.close();
    await client.ended;
  }
  // The part that was taken is there whole, and all of it was called off.
  const { counts } = await watcher.expect("waited", {
    kind: "wait",
    selection: { kind: "all" },
    progressMs: 0,
  });
  expect(counts).toMatchObject({ total: 5000, cancelled: 5000 });
  expect(manager.isEmpty()).toBe(true);
});

/** A client and a manager's end without a network, where the test decides what is read. */
class Line {
  readonly refusals: Refusals = new Refusals();
  readonly wishes: ClientWish[] = [];
  readonly answers: ClientAnswer[] = [];
  readonly ended: Promise<string>;
  isBlocked = false;
  channel: Channel<ClientRequest> | undefined;
  readonly #server: SocketHandlers;
  readonly #serverSocket: Socket;
  #isOpen = true;

  constructor(limits: Partial<ClientLinksOptions> = {}) {
    const end = Promise.withResolvers<string>();
    this.ended = end.promise;
    const links = new ClientLinks({
      host: "here",
      secrets: { client: "secret" },
      desk: {
        answer: (wish) => {
          this.wishes.push(wish);
          return { kind: "pong", requestId: wish.requestId };
        },
        joined: () => {},
        left: () => {},
      },
      door: new Door(this.refusals.count),
      onBug: () => {},
      ...limits,
    });
    const client = dialChannel<ClientAnswer, ClientRequest>({ role: "client", secret: "secret" }, {
      check: clientAnswer,
      handlers: {
        open: (channel) => this.channel = channel,
        messages: (_channel, answers) => this.answers.push(...answers),
        close: (_channel, { reason }) => end.resolve(reason),
      },
    });
    this.#server = links.accept();
    this.#serverSocket = this.#socket(() => client, () => clientSocket);
    const clientSocket: Socket = this.#socket(() => this.#server, () => this.#serverSocket);
    this.#server.open?.(this.#serverSocket);
    client.open?.(clientSocket);
  }

  /** The client reads again. */
  read(): void {
    this.isBlocked = false;
    this.#server.drain?.(this.#serverSocket);
  }

  #socket(other: () => SocketHandlers, otherSocket: () => Socket): Socket {
    return {
      bufferedBytes: 0,
      send: (data) => {
        const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
        queueMicrotask(() => this.#isOpen && other().message(otherSocket(), bytes));
        return this.isBlocked ? "backpressure" : "sent";
      },
      close: (code, reason) => {
        if (!this.#isOpen) return;
        this.#isOpen = false;
        other().close(otherSocket(), code, reason);
      },
    };
  }
}

test("ClientLinks looks at no further request while a client does not read", async () => {
  const line = new Line();
  while (line.channel === undefined) await Promise.resolve();
  const ping = (requestId: number): ClientRequest => ({ kind: "ping", requestId });
  line.channel.send([{
    kind: "open",
    requestId: 0,
    version: CLIENT_VERSION,
    clientId: "a".repeat(8),
  }]);
  while (line.answers.length < 1) await Promise.resolve();
  line.isBlocked = true;
  line.channel.send([ping(1), ping(2), ping(3)]);
  while (line.answers.length < 2) await Promise.resolve();
  expect(line.wishes.map(({ requestId }) => requestId)).toEqual([1]);
  line.read();
  while (line.answers.length < 4) await Promise.resolve();
  expect(line.wishes.map(({ requestId }) => requestId)).toEqual([1, 2, 3]);
  expect(line.refusals.counts().backlog).toBe(0);
  line.channel.close("done");
});

test("ClientLinks closes a client that never reads, and counts it", async () => {
  const line = new Line({ backlogTimeoutMs: 10 });
  while (line.channel === undefined) await Promise.resolve();
  line.isBlocked = true;
  line.channel.send([{
    kind: "open",
    requestId: 0,
    version: CLIENT_VERSION,
    clientId: "a".repeat(8),
  }]);
  expect(await line.ended).toBe("The client does not read its answers");
  expect(line.refusals.counts().backlog).toBe(1);
});

test("ClientLinks closes a client that is not heard of: one that is half open stays for ever", async () => {
  const line = new Line({ silenceMsMax: 20 });
  expect(await line.ended).toBe("The client is silent");
});
