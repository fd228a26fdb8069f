/** The dashboard of a real manager, asked over HTTP. */

import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import process from "node:process";

import { join } from "@std/path";

import { dashboardLine } from "../../manager/cli_dashboard.ts";
import { KEY_HEADER } from "../../manager/dashboard/api.ts";
import { Manager } from "../../manager/manager.ts";
import type { WatchId } from "../../shared/ids.ts";
import { STREAM_KEPT_BYTES } from "../../shared/protocol.ts";
import { until } from "../until.ts";
import { FakeClient } from "./fake_client.ts";
import { FakeWorker } from "./fake_worker.ts";

let home = "";

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "tendril-dashboard-"));
  process.env["TENDRIL_HOME"] = home;
});

afterEach(async () => {
  delete process.env["TENDRIL_HOME"];
  await rm(home, { recursive: true, force: true });
});

/** Opens a link as a page does; gives its cookie, its key and what it may. */
async function openLink(link: string): Promise<{ cookie: string; key: string; canAct: boolean }> {
  const { origin, hash } = new URL(link);
  const body = JSON.stringify({ token: hash.replace("#token=", "") });
  const response = await fetch(`${origin}/session`, { method: "POST", body });
  const { canAct, key } = await response.json() as { canAct: boolean; key: string };
  return { cookie: response.headers.getSetCookie()[0]?.split(";")[0] ?? "", key, canAct };
}

/** Asks with the rights of a client. */
async function asker(
  manager: Manager,
): Promise<(path: string, body?: object) => Promise<readonly [number, unknown]>> {
  const { cookie, key } = await openLink(manager.dashboardLink());
  return async (path, body) => {
    const response = await fetch(`${manager.address}${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: { cookie, [KEY_HEADER]: key },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return [response.status, await response.json()];
  };
}

function piece(watchId: WatchId, atByte: number, text: string) {
  return { kind: "piece", watchId, atByte, bytes: new TextEncoder().encode(text) } as const;
}

test("Manager.dashboardLink() opens the dashboard once, and /api tells what status() does", async () => {
  await using manager = await Manager.start({ name: "oak", dashboard: true });
  const link = manager.dashboardLink();
  expect(link).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/#token=[\w-]{43}$/);
  expect((await openLink(link)).canAct).toBe(true);
  expect((await openLink(link)).cookie).toBe("");
  const ask = await asker(manager);
  // Nothing is recorded before there is something to record.
  expect((await ask("/api/ask", { kind: "run" }))[0]).toBe(404);
  const [status, told] = await ask("/api/status");
  expect(status).toBe(200);
  const { tasks, workers, name } = manager.status();
  expect(told).toMatchObject({ version: 1, name, tasks, workers });
});

test("Manager shows why a task waits, what it writes and has written, and hosts", async () => {
  await using manager = await Manager.start({ name: "oak", dashboard: true });
  const ask = await asker(manager);
  const handle = manager.submit({ command: "true" });
  await until(async () => (await ask("/api/tasks/1/explain"))[0] === 200, "it is known");
  const [, { text }] = await ask("/api/tasks/1/explain") as [number, { text: string }];
  expect(text).toStartWith("task 1 waits: ");
  expect(await ask("/api/tasks/1/output")).toEqual([
    200,
    { stdout: "", stderr: "", isRunning: false },
  ]);
  const worker = await FakeWorker.join("oak");
  const [task] = await worker.nextTasks(1);
  worker.send({ kind: "tries_started", tries: [{ taskId: task!.taskId, try: task!.try }] });
  await until(() => handle.state === "running", "it runs");
  const watching = ask("/api/tasks/1/output");
  for (const stream of ["stdout", "stderr"]) {
    const { watchId, source } = await worker.next("watch");
    expect(source).toEqual({ kind: "stream", stream } as never);
    worker.send(piece(watchId, 0, `${stream} `), piece(watchId, 7, "so far"));
  }
  const soFar = { stdout: "stdout so far", stderr: "stderr so far", isRunning: true };
  expect(await watching).toEqual([200, soFar]);
  expect(await ask("/api/tasks/1/output")).toEqual([200, soFar]);
  worker.finish(task!, { stdout: new TextEncoder().encode("all"), stderr: new Uint8Array([0xff]) });
  await handle;
  expect(await ask("/api/tasks/1/output")).toEqual([
    200,
    { stdout: "all", stderr: "\ufffd", isRunning: false },
  ]);
  expect((await ask("/api/tasks/2/explain"))[0]).toBe(404);
  expect((await ask("/api/hosts/node%201", { change: "block" }))[0]).toBe(200);
  manager.drainHost("node 2");
  await until(async () => {
    const [, { hosts }] = await ask("/api/hosts") as [number, { hosts: readonly unknown[] }];
    return hosts.length === 2;
  }, "they are barred");
  expect(await ask("/api/hosts")).toEqual([200, {
    hosts: [
      { host: "node 1", state: "blocked", reason: "its user blocked it" },
      { host: "node 2", state: "draining", reason: "its user drains it" },
    ],
  }]);
  worker.close();
});

test("Manager keeps the end of what a running task writes, and says how much there was", async () => {
  await using manager = await Manager.start({ name: "oak", dashboard: true });
  const ask = await asker(manager);
  const handle = manager.submit({ command: "true" });
  const worker = await FakeWorker.join("oak");
  const [task] = await worker.nextTasks(1);
  worker.send({ kind: "tries_started", tries: [{ taskId: task!.taskId, try: task!.try }] });
  await until(() => handle.state === "running", "it runs");
  const watching = ask("/api/tasks/1/output");
  const { watchId } = await worker.next("watch");
  const part = "x".repeat(STREAM_KEPT_BYTES / 2);
  worker.send(...[0, 1, 2].map((index) => piece(watchId, index * part.length, part)));
  // Far behind, it goes on near the end.
  worker.send(piece(watchId, 1e9, "end"));
  const [, first] = await watching as [number, { stdout: string }];
  expect(first.stdout).toBe("[tendril: 1000000003 bytes were written, here are the last 3]\nend");
  worker.finish(task!);
  await handle;
  worker.close();
});

test("Manager without a dashboard serves none, and makes no link to it", async () => {
  await using manager = await Manager.start({ name: "oak", dashboard: false });
  expect(() => manager.dashboardLink()).toThrow(
    "Cannot make a link to the dashboard: this manager has none",
  );
  expect(dashboardLine(manager, true)).toBeUndefined();
  for (const path of ["/", "/assets/page.js", "/api/status", "/metrics", "/live"]) {
    const response = await fetch(`${manager.address}${path}`);
    await response.text();
    expect([path, response.status]).toEqual([path, 404]);
  }
  const client = await FakeClient.join("oak");
  expect(await client.ask({ kind: "dashboard" })).toMatchObject({ kind: "failed" });
  client.close();
});

test("Manager gives clients a link with their right: a viewer's lets look only", async () => {
  await using manager = await Manager.start({ name: "oak", dashboard: true });
  for (const [role, canAct] of [["client", true], ["viewer", false]] as const) {
    const client = await FakeClient.join("oak", { role });
    const answer = await client.expect("dashboard", { kind: "dashboard" });
    expect(answer.canAct).toBe(canAct);
    const opened = await openLink(`${manager.address}/${answer.fragment}`);
    expect(opened.canAct).toBe(canAct);
    const response = await fetch(`${manager.address}/api/hosts/node`, {
      method: "POST",
      headers: { cookie: opened.cookie, [KEY_HEADER]: opened.key },
      body: '{"change":"block"}',
    });
    await response.text();
    expect(response.status).toBe(canAct ? 200 : 403);
    client.close();
  }
});

test("dashboardLine() has a token on a terminal only", async () => {
  await using manager = await Manager.start({ name: "oak", dashboard: true });
  const { address } = manager;
  expect(dashboardLine(manager, true)).toMatch(/^dashboard: http:\/\/127[^ ]+#token=[\w-]{43}\n$/);
  expect(dashboardLine(manager, false)).toBe(
    `dashboard: ${address}/ (for a link: tendril dashboard --name oak)\n`,
  );
});
