/** What a manager turns away at its doors, and counts. */

import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";

import { join } from "@std/path";

import { Door } from "../../manager/door.ts";
import { Manager } from "../../manager/manager.ts";
import { type RefusalCounts, type RefusalKind, Refusals } from "../../manager/refusal.ts";
import { acceptChannel, type ChannelEnd, dialChannel } from "../../shared/channel.ts";
import { connect } from "../../shared/runtime/connect.ts";
import { HEADER_BYTES_MAX, TARGET_CHARS_MAX } from "../../shared/runtime/request_limits.ts";
import type { SocketHandlers } from "../../shared/runtime/socket.ts";
import { head, speak } from "../raw_http.ts";
import { FakeWorker } from "./fake_worker.ts";

/** A manager in a home of its own. */
async function withManager(work: (manager: Manager) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "tendril-test-"));
  const before = process.env["TENDRIL_HOME"];
  process.env["TENDRIL_HOME"] = join(folder, "home");
  try {
    await using manager = await Manager.start({ dashboard: true });
    await work(manager);
  } finally {
    if (before === undefined) delete process.env["TENDRIL_HOME"];
    else process.env["TENDRIL_HOME"] = before;
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Kinds that were counted since `before`. */
function countedSince(before: RefusalCounts, manager: Manager): RefusalKind[] {
  const { refused } = manager.status();
  const kinds = Object.keys(refused) as RefusalKind[];
  return kinds.filter((kind) => refused[kind] > before[kind]);
}

const UPGRADE = {
  connection: "Upgrade",
  upgrade: "websocket",
  "sec-websocket-version": "13",
  "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
} as const;

/** `[what, request, status, kind that counts it]`. */
const REQUESTS: readonly (readonly [string, string, number, RefusalKind])[] = [
  ["unknown path", head("GET /nothing"), 404, "request"],
  ["wrong method of the page", head("PUT /", { "content-length": 0 }), 405, "request"],
  ["no session", head("GET /api/status"), 401, "session"],
  ["no session to look on", head("GET /live", UPGRADE), 401, "session"],
  [
    "wrong secret",
    head("GET /metrics", { authorization: "Bearer AAAA" }),
    401,
    "session",
  ],
  [
    "session for another origin",
    head("POST /session", { "content-length": 0, origin: "http://x.y" }),
    403,
    "origin",
  ],
  ["no token", head("POST /session", { "content-length": 2 }) + "{}", 400, "body"],
  ["wrong method of a file", head("DELETE /files/a"), 405, "request"],
  ["wrong method of a socket", head("POST /worker", { "content-length": 0 }), 405, "request"],
  ["no upgrade", head("GET /worker"), 426, "request"],
  ["upgrade of a file", head("GET /files/a", UPGRADE), 403, "ticket"],
  ["upgrade of nothing", head("GET /other", UPGRADE), 404, "request"],
  [
    "upgrade without a key",
    head("GET /client", { connection: "Upgrade", upgrade: "websocket" }),
    400,
    "request",
  ],
  [
    "page of another origin",
    head("GET /client", { ...UPGRADE, origin: "http://x.y" }),
    403,
    "origin",
  ],
  ["sandboxed page", head("GET /client", { ...UPGRADE, origin: "null" }), 403, "origin"],
  ["file for another origin", head("GET /files/a", { origin: "http://x.y" }), 403, "origin"],
  ["no ticket", head("GET /files/file-a"), 403, "ticket"],
  ["no ticket to put", head("PUT /files/file-a", { "content-length": 1e9 }), 403, "ticket"],
  ["forged ticket", head("GET /files/a", { authorization: "Tendril a.b" }), 403, "ticket"],
  ["another scheme", head("GET /files/a", { authorization: "Basic YTpi" }), 403, "ticket"],
  ["slash in a name", head("GET /files/a%2Fb"), 400, "request"],
  ["dots in a name", head("GET /files/..%2f..%2fetc%2fpasswd"), 400, "request"],
  ["NUL in a name", head("GET /files/a%00b"), 400, "request"],
  ["broken escape", head("GET /files/%"), 400, "request"],
  ["long target", head(`GET /files/${"a".repeat(TARGET_CHARS_MAX)}`), 414, "request"],
  ["large header", head("GET /client", { x: "a".repeat(HEADER_BYTES_MAX) }), 431, "request"],
];

test("startServer() refuses what leads nowhere, or is forbidden, and counts each", async () => {
  await withManager(async (manager) => {
    for (const [what, request, status, kind] of REQUESTS) {
      const before = manager.status().refused;
      const { statuses } = await speak(manager.address, request);
      expect([what, statuses, countedSince(before, manager)]).toEqual([what, [status], [kind]]);
    }
    const { text } = await speak(manager.address, head("DELETE /files/a"));
    expect(text.toLowerCase()).toContain("allow: get, put");
    const worker = await FakeWorker.join(manager.name);
    await worker.next("welcome");
    worker.close();
  });
});

test("startServer() answers HTTP/1.0 and absolute targets as any other request", async () => {
  await withManager(async (manager) => {
    const old = await speak(manager.address, "GET /files/a HTTP/1.0\r\nHost: localhost\r\n\r\n");
    expect(old.text).toContain("403");
    const absolute = head("GET http://localhost/files/a");
    expect((await speak(manager.address, absolute)).statuses).toEqual([403]);
    const twice = head("GET /files/a").replace("close", "keep-alive") + "\0\x01garbage\r\n\r\n";
    const { statuses } = await speak(manager.address, twice);
    expect(statuses[0]).toBe(403);
    expect(statuses.slice(1).filter((status) => status !== 400)).toEqual([]);
  });
});

/** How a connection of that role and secret ends that is not accepted. */
async function refusedAt(manager: Manager, secret: string): Promise<ChannelEnd> {
  const { promise, resolve } = Promise.withResolvers<ChannelEnd>();
  const handlers = dialChannel({ role: "worker", secret }, {
    check: () => undefined,
    refused: resolve,
    handlers: { open: () => {}, messages: () => {}, close: () => {} },
  });
  await connect(`${manager.address.replace("http", "ws")}/worker`, { handlers });
  return await promise;
}

/** Sends one frame on a new connection; resolves when it was closed. */
async function sendFrame(manager: Manager, bytes: Uint8Array): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  await connect(`${manager.address.replace("http", "ws")}/worker`, {
    handlers: { open: (socket) => socket.send(bytes), message: () => {}, close: () => resolve() },
  });
  await promise;
}

test("WorkerLinks counts wrong secrets and frames that break the rules", async () => {
  await withManager(async (manager) => {
    // The proof of the manager tells who does not know the secret, who then hangs up.
    expect((await refusedAt(manager, "wrong")).reason).toContain("secret");
    let before = manager.status().refused;
    for (const bytes of [[7, 7], [0, 0xff], [0, 0x81, 0xc1, 0x00]]) {
      await sendFrame(manager, new Uint8Array(bytes));
    }
    await sendFrame(manager, new Uint8Array(9 * 1024 * 1024));
    expect(countedSince(before, manager)).toEqual(["frame"]);
    expect(manager.status().refused.frame - before.frame).toBe(4);
    before = manager.status().refused;
    // [{kind: "x"}], which no handshake knows.
    const unknown = [0, 0x81, 0xa1, 0x64, ...new TextEncoder().encode("kind"), 0x61, 0x78];
    await sendFrame(manager, new Uint8Array(unknown));
    expect(countedSince(before, manager)).toEqual(["handshake"]);
  });
});

test("Door lets in as many handshakes as it has room for, and again when one has ended", () => {
  const refusals = new Refusals();
  const door = new Door(refusals.count, 2);
  const accept = (): SocketHandlers =>
    acceptChannel({ worker: "secret" }, {
      check: () => undefined,
      door,
      handlers: { open: () => {}, messages: () => {}, close: () => {} },
    });
  const socket = { send: () => "sent" as const, bufferedBytes: 0, close: () => {} };
  const admitted = [door.admit(accept), door.admit(accept)] as SocketHandlers[];
  for (const handlers of admitted) handlers.open?.(socket);
  const refused = door.admit(accept) as Response;
  expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "2"]);
  expect(refusals.counts().connection).toBe(1);
  for (const handlers of admitted) handlers.close(socket, 1006, "");
  expect(door.admit(accept) instanceof Response).toBe(false);
});

test("acceptChannel() counts a handshake that takes too long", async () => {
  const refusals = new Refusals();
  const ended = Promise.withResolvers<string>();
  const handlers = acceptChannel({ worker: "secret" }, {
    check: () => undefined,
    door: new Door(refusals.count),
    handshakeTimeoutMs: 1,
    handlers: { open: () => {}, messages: () => {}, close: () => {} },
  });
  handlers.open?.({
    send: () => "sent",
    bufferedBytes: 0,
    close: (_code, reason) => ended.resolve(reason),
  });
  expect(await ended.promise).toBe("The handshake took too long");
  expect(refusals.counts().handshake_timeout).toBe(1);
});
