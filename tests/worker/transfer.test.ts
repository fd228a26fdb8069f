import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { chmodSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";

import { join } from "@std/path";

import { newCertificate } from "../../shared/certificate.ts";
import type { CacheName, TransferId } from "../../shared/ids.ts";
import type { FetchSource, ManagerMessage } from "../../shared/protocol.ts";
import { serve } from "../../shared/runtime/serve.ts";
import type { FileFacts } from "../../shared/task.ts";
import type { WorkerEvent } from "../../worker/core/event.ts";
import { TransferBench } from "./transfer_bench.ts";

type FetchOrder = Extract<ManagerMessage, { kind: "fetch" }>;
async function listen(
  handle: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<{ url: string } & AsyncDisposable> {
  const server = createServer(handle);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    url: `http://127.0.0.1:${address.port}`,
    [Symbol.asyncDispose]: () => {
      server.closeAllConnections();
      return new Promise<void>((resolve) => void server.close(() => resolve()));
    },
  };
}

function order(source: FetchSource, contents: Partial<FileFacts> = {}): FetchOrder {
  return {
    kind: "fetch",
    transferId: 1 as TransferId,
    name: "data" as CacheName,
    generation: 0,
    sizeBytes: contents.sizeBytes ?? -1,
    digest: contents.digest ?? "",
    isDirectory: false,
    isExecutable: false,
    level: "workflow",
    stallMs: 30_000,
    source,
  };
}

function ticketed(ticket: string) {
  return { kind: "manager", ticket } as const;
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function randomBytes(count: number): Uint8Array {
  const bytes = new Uint8Array(count);
  for (let index = 0; index < count; index++) bytes[index] = (index * 2654435761) >>> 13;
  return bytes;
}

test("Transfers.fetch() commits inline bytes at once", async () => {
  await using bench = new TransferBench();
  const bytes = new TextEncoder().encode("some text");
  const digest = sha256(bytes);
  const end = await bench.fetch(order({ kind: "inline", bytes }, { sizeBytes: 9, digest }));
  expect(end.outcome).toEqual({
    kind: "ready",
    file: { name: "data" as CacheName, generation: 0, sizeBytes: 9, digest, isDirectory: false },
  });
  expect(end.movedBytes).toBe(9);
  expect(readFileSync(bench.cache.get("data" as CacheName)!.path, "utf8")).toBe("some text");
});

test("Transfers.fetch() resumes where the connection broke, and only of the same contents", async () => {
  await using bench = new TransferBench();
  const bytes = randomBytes(1_000_000);
  const digest = sha256(bytes);
  const asked: (string | undefined)[][] = [];
  await using server = await listen((request, response) => {
    const { range, "if-match": ifMatch, authorization } = request.headers;
    asked.push([range, ifMatch, authorization]);
    const start = Number(/bytes=(\d+)-/.exec(range ?? "")?.[1] ?? 0);
    response.writeHead(range === undefined ? 200 : 206, {
      "Content-Length": bytes.length - start,
      ETag: `"${digest}"`,
      ...(range && { "Content-Range": `bytes ${start}-${bytes.length - 1}/${bytes.length}` }),
    });
    if (asked.length === 3) response.end(bytes.subarray(start));
    else response.write(bytes.subarray(start, start + 300_000), () => response.destroy());
  });
  const source: FetchSource = {
    kind: "worker",
    workerId: "w" as never,
    urls: [server.url],
    ticket: "T",
  };
  const end = await bench.fetch(order(source, { sizeBytes: bytes.length, digest }));
  expect(end.outcome.kind).toBe("ready");
  expect(asked.length).toBe(3);
  expect(asked[0]).toEqual([undefined, `"${digest}"`, "Tendril T"]);
  expect(asked[2]![0]).toStartWith("bytes=");
  expect(asked[2]!.slice(1)).toEqual([`"${digest}"`, "Tendril T"]);
  expect(end.movedBytes).toBe(bytes.length);
  const stored = readFileSync(bench.cache.get("data" as CacheName)!.path);
  expect(sha256(stored)).toBe(digest);
});

test("Transfers.fetch() starts a url anew when its server cannot resume", async () => {
  await using bench = new TransferBench();
  const bytes = randomBytes(200_000);
  let requestCount = 0;
  await using server = await listen((_request, response) => {
    requestCount += 1;
    response.writeHead(200, { "Content-Length": bytes.length });
    if (requestCount > 1) response.end(bytes);
    else response.write(bytes.subarray(0, 100_000), () => response.destroy());
  });
  const end = await bench.fetch(order({ kind: "url", url: `${server.url}/x` }));
  expect(end.outcome).toMatchObject({ kind: "ready", file: { digest: sha256(bytes) } });
  expect(requestCount).toBe(2);
});

test("Transfers.fetch() refuses other contents and leaves nothing behind", async () => {
  await using bench = new TransferBench();
  const bytes = randomBytes(100_000);
  await using server = await listen((_request, response) => void response.end(bytes));
  const source: FetchSource = { kind: "url", url: server.url };
  const digest = sha256(new Uint8Array(1));
  const end = await bench.fetch(order(source, { sizeBytes: bytes.length, digest }));
  expect(end.outcome).toEqual({
    kind: "failed",
    message:
      `Cannot bring file "data" into the cache: "${server.url}/" has changed: its contents ` +
      `have digest ${sha256(bytes)} where ${digest} was expected`,
    canRetry: false,
    isModified: true,
  });
  const short = await bench.fetch(order(source, { sizeBytes: 99_999 }));
  expect(short.outcome).toMatchObject({ kind: "failed", canRetry: false, isModified: true });
  const stated = { ...order(source, { digest }), name: `file-sha256-${digest}` as CacheName };
  expect((await bench.fetch(stated)).outcome).toEqual({
    kind: "failed",
    message: `Cannot bring file "file-sha256-${digest}" into the cache: "${server.url}/" is not ` +
      `what it is stated to be: its contents have digest ${sha256(bytes)} where ${digest} was ` +
      "expected",
    canRetry: false,
    isCorrupt: true,
  });
  expect(bench.cache.files()).toEqual([]);
  await bench.cache.close();
  expect(readdirSync(join(bench.directory, "cache", "incoming"))).toEqual([]);
});

test("Transfers.fetch() tells a refusal of a url from one of a peer", async () => {
  await using bench = new TransferBench();
  await using server = await listen((_request, response) => void response.writeHead(404).end());
  const url = await bench.fetch(order({ kind: "url", url: server.url }));
  expect(url.outcome).toEqual({
    kind: "failed",
    message: `Cannot bring file "data" into the cache: "${server.url}/" answered 404 Not Found`,
    canRetry: false,
  });
  const urls = [server.url];
  const peer = await bench.fetch(
    order({ kind: "worker", workerId: "w" as never, urls, ticket: "T" }),
  );
  expect(peer.outcome).toMatchObject({ kind: "failed", canRetry: true });
});

test("Transfers.fetch() takes the next address of a peer when one does not answer", async () => {
  await using bench = new TransferBench();
  await using server = await listen((_request, response) => void response.end("here"));
  const gone = await listen(() => {});
  await gone[Symbol.asyncDispose]();
  const urls = [gone.url, server.url];
  const end = await bench.fetch(
    order({ kind: "worker", workerId: "w" as never, urls, ticket: "T" }),
  );
  expect(end.outcome).toMatchObject({ kind: "ready", file: { sizeBytes: 4 } });
});

test("Transfers.fetch() asks a peer first where it answered before", async () => {
  await using bench = new TransferBench();
  let deafCount = 0;
  await using deaf = await listen((request) => {
    deafCount += 1;
    request.destroy();
  });
  await using server = await listen((_request, response) => void response.end("here"));
  const urls = [deaf.url, server.url];
  const workerId = "w" as never;
  const source = { kind: "worker", workerId, urls, ticket: "T" } as const;
  expect((await bench.fetch(order(source))).outcome).toMatchObject({ kind: "ready" });
  const again = { ...order(source), name: "more" as CacheName };
  expect((await bench.fetch(again)).outcome).toMatchObject({ kind: "ready" });
  expect(deafCount).toBe(1);
});

test("Transfers.fetch() and put() accept only the certificate that is known", async () => {
  await using bench = new TransferBench();
  const [known, other] = [await newCertificate([]), await newCertificate([])];
  const put = Promise.withResolvers<string>();
  const app = {
    fetch: async (request: Request) => {
      if (request.method === "PUT") put.resolve(await request.text());
      return new Response("here");
    },
  };
  const server = serve(app, { tls: known });
  const urls = [`https://127.0.0.1:${server.port}`];
  const source = { kind: "worker", workerId: "w" as never, urls, ticket: "a-secret" } as const;
  const wrong = await bench.fetch(order({ ...source, certificate: other.certificate }));
  expect(wrong.outcome).toMatchObject({ kind: "failed", canRetry: true, isUnreachable: true });
  expect(JSON.stringify(wrong)).not.toContain("a-secret");
  const right = await bench.fetch(order({ ...source, certificate: known.certificate }));
  expect(right.outcome).toMatchObject({ kind: "ready" });

  bench.managerUrl = urls[0];
  bench.managerCertificate = other.certificate;
  const transferId = 5 as TransferId;
  const name = "data" as CacheName;
  const send = { kind: "send", transferId, name, generation: 0, to: ticketed("a-secret") } as const;
  bench.transfers.put(send);
  const failed = await bench.nextEvent();
  expect(failed).toMatchObject({ kind: "send_failed", transferId });
  expect(JSON.stringify(failed)).not.toContain("a-secret");
  const fromManager = order({ kind: "manager", ticket: "a-secret" });
  const refused = await bench.fetch({ ...fromManager, name: "other" as CacheName });
  expect(refused.outcome).toMatchObject({ kind: "failed", isUnreachable: true });
  bench.managerCertificate = known.certificate;
  bench.transfers.put(send);
  expect(await put.promise).toBe("here");
  await server.close();
});

test("Transfers.fetch() reads file urls of the worker's host", async () => {
  await using bench = new TransferBench();
  const path = join(bench.directory, "a file");
  writeFileSync(path, "contents");
  const url = new URL(`file://${path}`).href;
  const end = await bench.fetch(order({ kind: "url", url }));
  expect(end.outcome).toMatchObject({ kind: "ready", file: { sizeBytes: 8 } });
  const missing = await bench.fetch(order({ kind: "url", url: `${url}-missing` }));
  expect(missing.outcome).toEqual({
    kind: "failed",
    message: `Cannot bring file "data" into the cache: "${path}-missing" ` +
      "cannot be read on this worker",
    canRetry: false,
  });
});

test("Transfers.stop() ends a fetch that brings nothing", async () => {
  await using bench = new TransferBench();
  const { promise: asked, resolve } = Promise.withResolvers<void>();
  await using server = await listen((_request, response) => {
    response.writeHead(200);
    response.write("a", () => resolve());
  });
  bench.transfers.fetch(order({ kind: "url", url: server.url }), Infinity);
  await asked;
  bench.transfers.stop(1 as TransferId);
  const end = await bench.nextEvent();
  expect(end).toMatchObject({ kind: "transfer_ended", outcome: { kind: "failed" } });
});

test("Transfers.put() sends a file with its length and the ticket", async () => {
  await using bench = new TransferBench();
  const bytes = randomBytes(3_000_000);
  const path = bench.cache.newIncomingPath();
  writeFileSync(path, bytes);
  const name = "out" as CacheName;
  const isDirectory = false;
  const file = { name, generation: 2, sizeBytes: bytes.length, digest: "", isDirectory };
  bench.cache.commit(path, file, "workflow");
  const { promise: got, resolve } = Promise.withResolvers<unknown[]>();
  await using server = await listen(async (request, response) => {
    const hash = createHash("sha256");
    for await (const chunk of request) hash.update(chunk);
    const { "content-length": length, authorization } = request.headers;
    response.end();
    resolve([request.method, request.url, length, authorization, hash.digest("hex")]);
  });
  bench.managerUrl = server.url;
  const transferId = 5 as TransferId;
  bench.transfers.put({ kind: "send", transferId, name, generation: 2, to: ticketed("T") });
  const length = String(bytes.length);
  expect(await got).toEqual(["PUT", "/files/out", length, "Tendril T", sha256(bytes)]);
});

test("Transfers.put() tells why the manager refused a file", async () => {
  await using bench = new TransferBench();
  const path = bench.cache.newIncomingPath();
  writeFileSync(path, "x");
  const name = "out" as CacheName;
  const file = { name, generation: 0, sizeBytes: 1, digest: "", isDirectory: false };
  bench.cache.commit(path, file, "workflow");
  await using server = await listen((request, response) => {
    request.resume();
    response.writeHead(403).end("No valid ticket");
  });
  bench.managerUrl = server.url;
  const transferId = 5 as TransferId;
  bench.transfers.put({ kind: "send", transferId, name, generation: 0, to: ticketed("T") });
  expect(await bench.nextEvent()).toMatchObject({
    kind: "send_failed",
    transferId,
    message: 'Cannot send file "out" to the manager: the manager answered 403 No valid ticket',
  });
});

/** What a manager finds of a PUT whose bytes are others than it was told of. */
async function putDamaged(damage: (path: string) => void): Promise<WorkerEvent[]> {
  await using bench = new TransferBench();
  const path = bench.cache.newIncomingPath();
  const bytes = randomBytes(100_000);
  writeFileSync(path, bytes);
  const [name, digest] = ["out" as CacheName, sha256(bytes)];
  const file = { name, generation: 3, sizeBytes: bytes.length, digest, isDirectory: false };
  damage(bench.cache.commit(path, file, "workflow").path);
  let putCount = 0;
  const ended = Promise.withResolvers<void>();
  await using server = await listen(async (request, response) => {
    const hash = createHash("sha256");
    for await (const chunk of request) hash.update(chunk);
    putCount += 1;
    // The first is damaged on its way.
    const isSame = hash.digest("hex") === digest && putCount > 1;
    response.writeHead(isSame ? 204 : 422).end(isSame ? "" : "found other contents");
    if (isSame) ended.resolve();
  });
  bench.managerUrl = server.url;
  const transferId = 5 as TransferId;
  bench.transfers.put({ kind: "send", transferId, name, generation: 3, to: ticketed("T") });
  const failure = bench.nextEvent().then(async (event) => [event, await bench.nextEvent()]);
  return await Promise.race([ended.promise.then(() => []), failure]);
}

test("Transfers.put() sends again what was damaged on the way", async () => {
  expect(await putDamaged(() => {})).toEqual([]);
});

test("Transfers.put() says that a file here is damaged, and sends it no more", async () => {
  const flip = (path: string) => {
    const bytes = readFileSync(path);
    bytes[77_777]! ^= 4;
    chmodSync(path, 0o644);
    writeFileSync(path, bytes);
  };
  expect(await putDamaged(flip)).toMatchObject([
    { kind: "file_verified", name: "out", generation: 3, isIntact: false },
    { kind: "send_failed", transferId: 5 },
  ]);
});
