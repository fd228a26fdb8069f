import { expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import type { CacheName, TransferId, WorkerId } from "../../shared/ids.ts";
import { issueTicket, type TicketClaims, ticketHeader } from "../../shared/ticket.ts";
import { CacheStore } from "../../worker/cache_store.ts";
import type { WorkerEvent } from "../../worker/core/event.ts";
import type { PeerDoor } from "../../worker/peer_door.ts";
import { PeerServer } from "../../worker/peer_server.ts";
import { Transfers } from "../../worker/transfer.ts";
import type { Trees } from "../../worker/trees.ts";

const KEY = randomBytes(32);
const SOURCE = "worker-1" as WorkerId;

const TREES: Trees = {
  async *read(_path, offset) {
    const text = "first second third".slice(offset);
    for (const part of text.split(/(?<= )/)) {
      yield await Promise.resolve(new TextEncoder().encode(part));
    }
  },
  write: () => Promise.reject(new Error("not here")),
  measure: () => Promise.reject(new Error("not here")),
  unpack: () => Promise.reject(new Error("not here")),
};

const LOOPBACK_DOOR: PeerDoor = {
  host: "127.0.0.1",
  port: 0,
  isSecure: false,
  advertise: [],
};

class Bench implements AsyncDisposable {
  readonly directory: string = mkdtempSync(join(tmpdir(), "tendril-test-"));
  readonly cache: CacheStore = new CacheStore(join(this.directory, "cache"));
  readonly server: PeerServer = new PeerServer({
    workerId: SOURCE,
    cache: this.cache,
    trees: TREES,
  });

  private constructor() {
    this.server.openSession({ transferKey: KEY, clockOffsetMs: 0 });
  }

  static async open(door: Partial<PeerDoor> = {}): Promise<Bench> {
    const bench = new Bench();
    await bench.server.open({ ...LOOPBACK_DOOR, ...door });
    return bench;
  }

  get url(): string {
    return this.server.address.urls[0]!;
  }

  add(name: string, text: string): void {
    const path = this.cache.newIncomingPath();
    writeFileSync(path, text);
    const file = {
      name: name as CacheName,
      generation: 1,
      sizeBytes: text.length,
      digest: sha256(text),
      isDirectory: false,
    };
    this.cache.commit(path, file, "workflow");
  }

  get(name: string, headers: Record<string, string>): Promise<Response> {
    return fetch(`${this.url}/files/${name}`, { headers });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.close();
    await this.cache.close();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function ticket(claims: Partial<TicketClaims> = {}, key: Uint8Array = KEY): string {
  return ticketHeader(issueTicket(key, {
    source: SOURCE,
    destination: "worker-2",
    method: "GET",
    name: "data",
    generation: 1,
    sizeBytes: -1,
    digest: "",
    expiresAtMs: Date.now() + 60_000,
    ...claims,
  }));
}

test("PeerServer serves a file, whole and in part, to who has a ticket", async () => {
  await using bench = await Bench.open();
  bench.add("data", "0123456789");
  const whole = await bench.get("data", { Authorization: ticket() });
  expect([whole.status, await whole.text()]).toEqual([200, "0123456789"]);
  expect(whole.headers.get("ETag")).toBe(`"${sha256("0123456789")}"`);
  const part = await bench.get("data", { Authorization: ticket(), Range: "bytes=4-" });
  expect([part.status, await part.text()]).toEqual([206, "456789"]);
  expect(part.headers.get("Content-Range")).toBe("bytes 4-9/10");
  const beyond = await bench.get("data", { Authorization: ticket(), Range: "bytes=10-" });
  expect(beyond.status).toBe(416);
});

test("PeerServer refuses who has no ticket, another's, an old one or one for another file", async () => {
  await using bench = await Bench.open();
  bench.add("data", "secret");
  bench.add("other", "secret");
  const wrong: (Record<string, string>)[] = [
    {},
    { Authorization: "Tendril nonsense" },
    { Authorization: ticket({}, randomBytes(32)) },
    { Authorization: ticket({ source: "worker-3" }) },
    { Authorization: ticket({ method: "PUT", destination: SOURCE }) },
    { Authorization: ticket({ name: "other" }) },
    { Authorization: ticket({ expiresAtMs: Date.now() - 1 }) },
  ];
  for (const headers of wrong) {
    const response = await bench.get("data", headers);
    expect([response.status, await response.text()]).toEqual([
      403,
      "No valid ticket for this file",
    ]);
  }
  bench.server.openSession({ transferKey: randomBytes(32), clockOffsetMs: 0 });
  expect((await bench.get("data", { Authorization: ticket() })).status).toBe(403);
});

test("PeerServer measures expiry in the manager's time", async () => {
  await using bench = await Bench.open();
  bench.add("data", "x");
  const headers = { Authorization: ticket({ expiresAtMs: 1_000_000 }) };
  bench.server.openSession({ transferKey: KEY, clockOffsetMs: 500_000 - Date.now() });
  expect((await bench.get("data", headers)).status).toBe(200);
  bench.server.openSession({ transferKey: KEY, clockOffsetMs: 1_000_000 - Date.now() });
  expect((await bench.get("data", headers)).status).toBe(403);
});

test("PeerServer answers 404 for another generation and 412 for other contents", async () => {
  await using bench = await Bench.open();
  bench.add("data", "x");
  const authorized = (claims: Partial<TicketClaims>) => ({ Authorization: ticket(claims) });
  expect((await bench.get("data", authorized({ generation: 2 }))).status).toBe(404);
  expect((await bench.get("data", authorized({ digest: sha256("y") }))).status).toBe(412);
  expect((await bench.get("data", authorized({ sizeBytes: 2 }))).status).toBe(412);
  const headers = { ...authorized({}), "If-Match": `"${sha256("y")}"` };
  expect((await bench.get("data", headers)).status).toBe(412);
  bench.cache.delete("data" as CacheName, 1);
  expect((await bench.get("data", authorized({}))).status).toBe(404);
});

test("PeerServer lets no path out of the cache", async () => {
  await using bench = await Bench.open();
  const paths = [
    "/files/..%2F..%2Fetc%2Fpasswd",
    "/files/../../etc/passwd",
    "/files/%2e%2e/%2e%2e/etc/passwd",
    "/files//etc/passwd",
    "/files/..",
    "/files/.",
    "/files/",
    "/files/a%00b",
    "/files/a%2",
    "/files/%ff",
    "/etc/passwd",
    "/",
  ];
  for (const path of paths) {
    const status = await rawStatus(bench.url, path, ticket({ name: "../../etc/passwd" }));
    expect([path, [400, 404].includes(status)]).toEqual([path, true]);
  }
});

test("PeerServer serves a directory as a stream of known length, from any offset", async () => {
  await using bench = await Bench.open();
  const path = bench.cache.newIncomingPath();
  writeFileSync(path, "");
  const text = "first second third";
  const name = "data" as CacheName;
  const file = {
    name,
    generation: 1,
    sizeBytes: text.length,
    digest: sha256(text),
    isDirectory: true,
  };
  bench.cache.commit(path, file, "workflow");
  const whole = await bench.get("data", { Authorization: ticket() });
  expect([whole.headers.get("Content-Length"), await whole.text()]).toEqual(["18", text]);
  const part = await bench.get("data", { Authorization: ticket(), Range: "bytes=8-" });
  expect([part.status, await part.text()]).toEqual([206, text.slice(8)]);
});

test("a file of 1 GB goes from worker to worker in a bounded memory", async () => {
  await using sender = await Bench.open();
  await using receiver = await Bench.open();
  const sizeBytes = 2 ** 30;
  const path = sender.cache.newIncomingPath();
  writeFileSync(path, "");
  truncateSync(path, sizeBytes);
  const name = "data" as CacheName;
  const file = { name, generation: 1, sizeBytes, digest: "", isDirectory: false };
  sender.cache.commit(path, file, "workflow");
  const { promise: ended, resolve } = Promise.withResolvers<WorkerEvent>();
  const transfers = new Transfers({
    cache: receiver.cache,
    trees: TREES,
    managerUrl: () => undefined,
    push: resolve,
  });
  const startBytes = process.memoryUsage().rss;
  let mostBytes = 0;
  const timer = setInterval(() => mostBytes = Math.max(mostBytes, process.memoryUsage().rss), 5);
  transfers.fetch({
    kind: "fetch",
    transferId: 1 as TransferId,
    ...file,
    isExecutable: false,
    level: "task",
    source: {
      kind: "worker",
      workerId: SOURCE,
      urls: sender.server.address.urls,
      ticket: ticket().slice("Tendril ".length),
    },
  });
  const end = await ended;
  clearInterval(timer);
  expect(end).toMatchObject({ kind: "transfer_ended", movedBytes: sizeBytes });
  expect(receiver.cache.get(name)?.facts.sizeBytes).toBe(sizeBytes);
  expect(mostBytes).toBeGreaterThan(0);
  // Both ends are in this process, and 200 MB each is what they may take.
  expect(mostBytes - startBytes).toBeLessThan(300_000_000);
}, 30_000);

/** The status of a path as it is written: `fetch` would tidy it first. */
function rawStatus(url: string, path: string, authorization: string): Promise<number> {
  const { hostname, port } = new URL(url);
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const socket = connect(Number(port), hostname, () => {
    socket.write(
      `GET ${path} HTTP/1.1\r\nHost: ${hostname}\r\nAuthorization: ${authorization}\r\n` +
        "Connection: close\r\n\r\n",
    );
  });
  socket.on("data", (chunk) => {
    resolve(Number(/^HTTP\/1\.1 (\d+)/.exec(chunk.toString())?.[1]));
    socket.destroy();
  });
  socket.on("error", reject);
  return promise;
}
