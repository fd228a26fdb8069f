import { expect, test } from "bun:test";
import { createHash, randomBytes, X509Certificate } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import { newCertificate } from "../../shared/certificate.ts";
import type { CacheName, TransferId, WorkerId } from "../../shared/ids.ts";
import { pinnedFetch } from "../../shared/runtime/fetch.ts";
import { TIME_LIMITS, type TimeLimits } from "../../shared/runtime/request_limits.ts";
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
  unpack: () => Promise.reject(new Error("not here")),
};

/** Readers that the runtime serves by itself. */
const FAST_SERVES = 16;

const LOOPBACK_DOOR: PeerDoor = {
  host: "127.0.0.1",
  port: 0,
  isSecure: false,
  advertise: [],
};

class Bench implements AsyncDisposable {
  readonly directory: string = mkdtempSync(join(tmpdir(), "tendril-test-"));
  readonly cache: CacheStore = new CacheStore(join(this.directory, "cache"));
  readonly server: PeerServer;

  private constructor(limits: TimeLimits = TIME_LIMITS) {
    this.server = new PeerServer({ workerId: SOURCE, cache: this.cache, trees: TREES, limits });
    this.server.openSession({ transferKey: KEY, clockOffsetMs: 0 });
  }

  static async open(door: Partial<PeerDoor> = {}, limits?: TimeLimits): Promise<Bench> {
    const bench = new Bench(limits);
    await bench.server.open({ ...LOOPBACK_DOOR, ...door });
    return bench;
  }

  get url(): string {
    const { protocol, port } = new URL(this.server.address.urls.at(-1)!);
    return `${protocol}//127.0.0.1:${port}`;
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

  /** A file larger than what the system keeps for a connection. */
  addLarge(name: string): void {
    const path = this.cache.newIncomingPath();
    writeFileSync(path, "");
    const sizeBytes = 2 ** 26;
    truncateSync(path, sizeBytes);
    const file = { name: name as CacheName, generation: 1, sizeBytes, digest: "" };
    this.cache.commit(path, { ...file, isDirectory: false }, "workflow");
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

test("PeerServer serves nobody what is right under its own path only", async () => {
  await using bench = await Bench.open();
  const path = bench.cache.newIncomingPath();
  mkdirSync(path);
  const place = bench.cache.reserve("data" as CacheName, "workflow");
  const file = { name: "data" as CacheName, generation: 1, sizeBytes: 512, digest: "" };
  bench.cache.commit(path, { ...file, isDirectory: true }, "workflow", place);
  const answer = await bench.get("data", { Authorization: ticket() });
  expect([answer.status, await answer.text()]).toEqual([404, "This file is of no use elsewhere"]);
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

test("PeerServer takes GET alone, under its own names alone, and counts what it turns away", async () => {
  await using bench = await Bench.open({ advertise: [{ host: "Node7" }] });
  bench.add("data", "x");
  const headers = { Authorization: ticket() };
  for (const method of ["HEAD", "PUT", "POST", "DELETE", "OPTIONS"]) {
    const response = await fetch(`${bench.url}/files/data`, { method, headers });
    expect([method, response.status]).toEqual([method, 405]);
  }
  const statusOf = async (host: string) => {
    return (await bench.get("data", { ...headers, Host: host })).status;
  };
  for (const host of ["127.0.0.1:1", "[::1]", "10.1.2.3", "localhost:80", "node7", "NODE7:9"]) {
    expect([host, await statusOf(host)]).toEqual([host, 200]);
  }
  for (const host of ["evil.example", "node7.evil.example", "127.0.0.1.evil.example"]) {
    expect([host, await statusOf(host)]).toEqual([host, 421]);
  }
  await bench.get("data", {});
  await fetch(`${bench.url}/elsewhere`);
  expect(bench.server.takeRefused()).toBe(5 + 3 + 2);
  expect(bench.server.takeRefused()).toBe(0);
});

test("PeerServer speaks TLS with a certificate for each of its addresses", async () => {
  await using bench = await Bench.open({
    isSecure: true,
    advertise: [{ host: "node7" }, { host: "10.0.0.7", port: 80 }],
  });
  bench.add("data", "secret");
  const { urls, certificate } = bench.server.address;
  expect(urls.slice(0, 2)).toEqual([
    expect.stringMatching(/^https:..node7:/),
    "https://10.0.0.7:80",
  ]);
  const names = new X509Certificate(certificate!).subjectAltName;
  expect(names).toContain("DNS:node7");
  expect(names).toContain("IP Address:10.0.0.7");
  const { port } = new URL(urls[0]!);
  const url = `https://127.0.0.1:${port}/files/data`;
  const headers = { Authorization: ticket() };
  expect(await (await pinnedFetch(url, { headers }, certificate)).text()).toBe("secret");
  const other = (await newCertificate([])).certificate;
  await expect(pinnedFetch(url, { headers }, other)).rejects.toThrow();
  await expect(fetch(url.replace("https", "http"), { headers })).rejects.toThrow();
});

test("PeerServer.open() listens anew only where what is open will not do", async () => {
  await using bench = await Bench.open();
  bench.add("data", "x");
  const { url } = bench;
  await bench.server.open({ ...LOOPBACK_DOOR });
  expect(bench.url).toBe(url);
  await bench.server.open({ ...LOOPBACK_DOOR, isSecure: true });
  expect(bench.url).toStartWith("https://");
  await expect(fetch(`${url}/files/data`)).rejects.toThrow();
  await bench.server.open({ ...LOOPBACK_DOOR });
  expect(bench.server.address.certificate).toBeUndefined();
  expect((await bench.get("data", { Authorization: ticket() })).status).toBe(200);
});

test(
  "PeerServer answers that it is busy while too many read, and goes on when one leaves",
  async () => {
    await using bench = await Bench.open();
    bench.addLarge("data");
    bench.add("small", "x");
    const readers = await Promise.all(
      Array.from({ length: FAST_SERVES + 128 }, () => stuckReader(bench.url, ticket())),
    );
    const get = () => bench.get("small", { Authorization: ticket({ name: "small" }) });
    const refused = await get();
    expect([refused.status, refused.headers.get("Retry-After")]).toEqual([503, "1"]);
    for (const reader of readers.slice(FAST_SERVES, FAST_SERVES + 2)) reader.destroy();
    await until(async () => (await get()).status === 200);
    for (const reader of readers) reader.destroy();
  },
  60_000,
);

test("PeerServer cuts who reads nothing for too long", async () => {
  await using bench = await Bench.open({}, { headS: 1, silenceS: 1 });
  bench.addLarge("data");
  const readers = await Promise.all(
    Array.from({ length: FAST_SERVES + 1 }, () => stuckReader(bench.url, ticket())),
  );
  // A deleted file goes when its last reader has, but for those of the fast path.
  bench.cache.delete("data" as CacheName, 1);
  const path = join(bench.directory, "cache", "files", "data");
  expect(existsSync(path)).toBe(true);
  await until(() => Promise.resolve(!existsSync(path)));
  for (const reader of readers) reader.destroy();
}, 60_000);

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
    runner: { make: () => Promise.reject(new Error("nothing is made here")) },
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
    stallMs: 30_000,
    source: {
      kind: "worker",
      workerId: SOURCE,
      urls: sender.server.address.urls,
      ticket: ticket().slice("Tendril ".length),
    },
  }, sizeBytes);
  const end = await ended;
  clearInterval(timer);
  expect(end).toMatchObject({ kind: "transfer_ended", movedBytes: sizeBytes });
  expect(receiver.cache.get(name)?.facts.sizeBytes).toBe(sizeBytes);
  expect(mostBytes).toBeGreaterThan(0);
  // Both ends are in this process, and 200 MB each is what they may take.
  expect(mostBytes - startBytes).toBeLessThan(300_000_000);
}, 60_000);

/** Asks for "data" and reads the head of the answer, and nothing after it. */
function stuckReader(url: string, authorization: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const socket = connect(Number(port), hostname, () => {
    socket.write(
      `GET /files/data HTTP/1.1\r\nHost: ${hostname}\r\nAuthorization: ${authorization}\r\n\r\n`,
    );
  });
  socket.once("data", () => {
    socket.pause();
    resolve(socket);
  });
  socket.on("error", reject);
  return promise;
}

/** Waits for what no event tells. */
async function until(isTrue: () => Promise<boolean>): Promise<void> {
  const limitMs = performance.now() + 40_000;
  while (!await isTrue()) {
    if (performance.now() > limitMs) throw new Error("it never came to be");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

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
