import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import process from "node:process";

import { join } from "@std/path";

import { Manager } from "../../manager/manager.ts";
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
