/** Urls as a worker's transfers fetch and store them; the wire itself is tested with shared/url. */

import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

import { join } from "@std/path";

import type { CacheName, TransferId } from "../../shared/ids.ts";
import type { FetchSource, ManagerMessage, SendTarget } from "../../shared/protocol.ts";
import { stampOf, stampValidator } from "../../shared/file_stamp.ts";
import { serveDocument, someBytes, UrlServer } from "../url_server.ts";
import { TransferBench } from "./transfer_bench.ts";

type FetchOrder = Extract<ManagerMessage, { kind: "fetch" }>;

const NAME = "data" as CacheName;

function order(source: Extract<FetchSource, { kind: "url" }>, transferId = 1): FetchOrder {
  return {
    kind: "fetch",
    transferId: transferId as TransferId,
    name: NAME,
    generation: 0,
    sizeBytes: -1,
    digest: "",
    isDirectory: false,
    isExecutable: false,
    level: "workflow",
    stallMs: 30_000,
    source,
  };
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Has the cache hold an output. */
function commits(bench: TransferBench, bytes: Uint8Array, digest = sha256(bytes)): void {
  const path = bench.cache.newIncomingPath();
  writeFileSync(path, bytes);
  const facts = { name: NAME, generation: 1, sizeBytes: bytes.length, digest, isDirectory: false };
  bench.cache.commit(path, facts, "workflow");
}

function stores(bench: TransferBench, to: SendTarget, transferId: number): void {
  const id = transferId as TransferId;
  bench.transfers.put({ kind: "send", transferId: id, name: NAME, generation: 1, to });
}

test("Transfers.fetch() goes on with what an earlier attempt at a url has left", async () => {
  await using bench = new TransferBench();
  const bytes = someBytes(4_000_000);
  let isBusy = true;
  await using server = await UrlServer.open((request, response, count) => {
    if (count === 1) {
      return serveDocument(request, response, { bytes, etag: '"1"', breaksAfter: 3_000_000 });
    }
    if (isBusy) return void response.writeHead(503, { "Retry-After": "0" }).end();
    serveDocument(request, response, { bytes, etag: '"1"' });
  });
  // What is known is what a part is kept for.
  const wanted = { ...order({ kind: "url", url: server.url() }), sizeBytes: bytes.length };
  const failed = await bench.fetch(wanted);
  expect(failed.outcome).toMatchObject({ kind: "failed", canRetry: true, isSourceFault: true });
  isBusy = false;
  const end = await bench.fetch({ ...wanted, transferId: 2 as TransferId });
  expect(end.outcome).toMatchObject({ kind: "ready", file: { digest: sha256(bytes) } });
  expect(failed.movedBytes + end.movedBytes).toBe(bytes.length);
  expect(server.heard.at(-1)!.headers["range"]).toStartWith("bytes=");
});

test("Transfers.fetch() takes a file url as it was named, and not when it has changed", async () => {
  await using bench = new TransferBench();
  const path = join(bench.directory, "a program");
  writeFileSync(path, "contents", { mode: 0o755 });
  const validator = stampValidator(await stampOf(path));
  const source = { kind: "url", url: pathToFileURL(path).href, validator } as const;
  const end = await bench.fetch(order(source));
  expect(end.outcome).toMatchObject({ kind: "ready", file: { sizeBytes: 8, isExecutable: true } });
  utimesSync(path, 5, 5);
  const changed = await bench.fetch({ ...order(source, 2), name: "other" as CacheName });
  expect(changed.outcome).toMatchObject({ kind: "failed", canRetry: false, isModified: true });
});

test("Transfers.put() stores a file once though it is told to twice", async () => {
  await using bench = new TransferBench();
  commits(bench, someBytes(10));
  const asked = Promise.withResolvers<() => void>();
  await using server = await UrlServer.open((request, response) => {
    request.resume();
    asked.resolve(() => void response.writeHead(204).end());
  });
  const to = { kind: "url", url: server.url() } as const;
  stores(bench, to, 1);
  const answer = await asked.promise;
  stores(bench, to, 2);
  answer();
  expect(await bench.nextEvent()).toEqual({ kind: "stored", transferId: 2 as TransferId });
  expect(server.heard).toHaveLength(1);
});

test("Transfers.stop() ends a store under its newest number", async () => {
  await using bench = new TransferBench();
  commits(bench, someBytes(10));
  const asked = Promise.withResolvers<void>();
  await using server = await UrlServer.open((request) => {
    request.on("error", () => {
      // The worker hangs up.
    });
    asked.resolve();
  });
  const to = { kind: "url", url: server.url("/x?key=secret") } as const;
  stores(bench, to, 1);
  await asked.promise;
  stores(bench, to, 2);
  bench.transfers.stop(2 as TransferId);
  expect(await bench.nextEvent()).toEqual({
    kind: "send_failed",
    transferId: 2 as TransferId,
    message: `Cannot store file "data" at "${server.url("/x")}": it was stopped`,
    isFinal: false,
  });
});

test("Transfers.put() drops what is damaged, and says that another time may do better", async () => {
  await using bench = new TransferBench();
  commits(bench, someBytes(10), sha256(someBytes(9)));
  const path = join(bench.directory, "target");
  stores(bench, { kind: "url", url: pathToFileURL(path).href }, 1);
  expect(await bench.nextEvent()).toEqual({
    kind: "file_verified",
    name: NAME,
    generation: 1,
    isIntact: false,
  });
  expect(await bench.nextEvent()).toMatchObject({ kind: "send_failed", isFinal: false });
  expect(existsSync(path)).toBe(false);
});

test("Transfers.put() stores at file urls, and says when that can never be", async () => {
  await using bench = new TransferBench();
  commits(bench, new TextEncoder().encode("contents"));
  const path = join(bench.directory, "target");
  stores(bench, { kind: "url", url: pathToFileURL(path).href, mode: 0o600 }, 1);
  expect(await bench.nextEvent()).toEqual({ kind: "stored", transferId: 1 as TransferId });
  expect(readFileSync(path, "utf8")).toBe("contents");
  stores(bench, { kind: "url", url: pathToFileURL(join(path, "below")).href }, 2);
  expect(await bench.nextEvent()).toMatchObject({ kind: "send_failed", isFinal: true });
});
