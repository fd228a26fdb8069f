import { expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { join } from "@std/path";

import type { CacheName, TransferId } from "../../shared/ids.ts";
import type { ManagerMessage } from "../../shared/protocol.ts";
import { TransferBench } from "./transfer_bench.ts";

type FetchOrder = Extract<ManagerMessage, { kind: "fetch" }>;

const NAME = "data" as CacheName;
const BYTES: Uint8Array = randomBytes(6_000_000);
const DIGEST: string = createHash("sha256").update(BYTES).digest("hex");

/** Where a source that fails stops. */
const HALF = 3_000_000;

let lastTransfer = 0;

type Behaviour = "whole" | "breaks" | "stalls";

/** A source of a file, which sends all of it, or breaks off or falls silent in its middle. */
class Source implements AsyncDisposable {
  readonly asked: { readonly range: string | undefined; readonly ifMatch: string | undefined }[] =
    [];
  sentBytes = 0;
  readonly #server = createServer((request, response) => this.#answer(request, response));
  readonly #how: Behaviour;
  readonly #bytes: Uint8Array;
  readonly #tag: string;

  private constructor(how: Behaviour, bytes: Uint8Array, tag: string) {
    this.#how = how;
    this.#bytes = bytes;
    this.#tag = tag;
  }

  static async open(
    how: Behaviour,
    { bytes = BYTES, tag = `"${DIGEST}"` }: { bytes?: Uint8Array; tag?: string } = {},
  ): Promise<Source> {
    const source = new Source(how, bytes, tag);
    await new Promise<void>((resolve) => source.#server.listen(0, "127.0.0.1", resolve));
    return source;
  }

  order(wish: Partial<FetchOrder> = {}): FetchOrder {
    const { port } = this.#server.address() as AddressInfo;
    return {
      kind: "fetch",
      transferId: ++lastTransfer as TransferId,
      name: NAME,
      generation: 0,
      sizeBytes: BYTES.length,
      digest: DIGEST,
      isDirectory: false,
      isExecutable: false,
      level: "workflow",
      // A machine that stands still for a moment is no source that does.
      stallMs: this.#how === "stalls" ? 500 : 30_000,
      source: {
        kind: "worker",
        workerId: `worker ${port}` as never,
        urls: [`http://127.0.0.1:${port}`],
        ticket: "T",
      },
      ...wish,
    };
  }

  #answer({ headers }: IncomingMessage, response: ServerResponse): void {
    const { range, "if-match": ifMatch } = headers;
    this.asked.push({ range, ifMatch });
    if (ifMatch !== this.#tag) return void response.writeHead(412).end();
    // After the first time it breaks off before it has sent anything.
    const isSpent = this.#how === "breaks" && this.asked.length > 1;
    const start = Number(/bytes=(\d+)-/.exec(range ?? "")?.[1] ?? 0);
    const { length } = this.#bytes;
    if (isSpent) return void response.destroy();
    response.writeHead(range === undefined ? 200 : 206, {
      "Content-Length": length - start,
      ETag: this.#tag,
      ...(range && { "Content-Range": `bytes ${start}-${length - 1}/${length}` }),
    });
    const end = this.#how === "whole" ? length : HALF;
    this.sentBytes += Math.max(0, end - start);
    response.write(this.#bytes.subarray(start, end), () => {
      if (this.#how === "breaks") response.destroy();
      else if (this.#how === "whole") response.end();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => void this.#server.close(() => resolve()));
  }
}

function incoming(bench: TransferBench): string[] {
  return readdirSync(join(bench.directory, "cache", "incoming"));
}

/** Fetches from `second` after `first` has failed in the middle; returns what both moved. */
async function fetchTwice(
  bench: TransferBench,
  first: FetchOrder,
  second: FetchOrder,
): Promise<{ readonly moved: readonly number[]; readonly keptBytes: number }> {
  const failed = await bench.fetch(first);
  if (failed.outcome.kind !== "failed") throw new Error("It did not fail");
  expect(failed.outcome).toMatchObject({ canRetry: true, isSourceFault: true });
  const ended = await bench.fetch(second);
  expect(ended.outcome).toMatchObject({ kind: "ready", file: { digest: DIGEST } });
  const stored = readFileSync(bench.cache.get(NAME)!.path);
  expect(stored.equals(BYTES)).toBe(true);
  await bench.cache.emptied();
  expect(incoming(bench)).toEqual([]);
  const { keptBytes = 0 } = failed.outcome;
  return { moved: [failed.movedBytes, ended.movedBytes], keptBytes };
}

test("Parts have a second source go on where the first one fell silent", async () => {
  await using bench = new TransferBench();
  await using silent = await Source.open("stalls");
  await using other = await Source.open("whole");
  const { moved, keptBytes } = await fetchTwice(bench, silent.order(), other.order());
  expect([moved[0], keptBytes]).toEqual([HALF, HALF]);
  expect(moved[1]).toBe(BYTES.length - HALF);
  expect(silent.asked.length).toBe(1);
  expect(other.asked).toEqual([{ range: `bytes=${HALF}-`, ifMatch: `"${DIGEST}"` }]);
}, 60_000);

test("Parts have a second source go on where the first one broke off", async () => {
  await using bench = new TransferBench();
  await using broken = await Source.open("breaks");
  await using other = await Source.open("whole");
  const { moved, keptBytes } = await fetchTwice(bench, broken.order(), other.order());
  expect(moved[0]! + moved[1]!).toBe(BYTES.length);
  expect(keptBytes).toBe(moved[0]!);
  expect(keptBytes).toBeGreaterThan(0);
}, 60_000);

test("Parts go on by name and generation where no digest is known", async () => {
  await using bench = new TransferBench();
  const tag = `"${NAME}/0"`;
  await using silent = await Source.open("stalls", { tag });
  await using other = await Source.open("whole", { tag });
  const digest = "";
  const orders = [silent.order({ digest }), other.order({ digest })] as const;
  const { moved } = await fetchTwice(bench, ...orders);
  expect(moved).toEqual([HALF, BYTES.length - HALF]);
  expect(other.asked).toEqual([{ range: `bytes=${HALF}-`, ifMatch: tag }]);
}, 60_000);

test("Parts of another making or digest are dropped, and not gone on with", async () => {
  const others: Partial<FetchOrder>[] = [{ generation: 1 }, { isExecutable: true }];
  for (const wish of others) {
    await using bench = new TransferBench();
    await using silent = await Source.open("stalls");
    await using other = await Source.open("whole");
    const { moved } = await fetchTwice(bench, silent.order(), other.order(wish));
    expect(moved).toEqual([HALF, BYTES.length]);
    expect(other.asked.map(({ range }) => range)).toEqual([undefined]);
  }
}, 60_000);

test("Parts that turn out wrong are not held against the source that had the rest", async () => {
  await using bench = new TransferBench();
  await using wrong = await Source.open("stalls", { bytes: randomBytes(BYTES.length) });
  await using other = await Source.open("whole");
  const { moved } = await fetchTwice(bench, wrong.order(), other.order());
  expect(moved).toEqual([HALF, BYTES.length - HALF + BYTES.length]);
  expect(other.asked.map(({ range }) => range)).toEqual([`bytes=${HALF}-`, undefined]);
}, 60_000);

test("Parts are not held of a file that came whole and wrong", async () => {
  await using bench = new TransferBench();
  await using wrong = await Source.open("whole", { bytes: randomBytes(BYTES.length) });
  const end = await bench.fetch(wrong.order());
  expect(end.outcome).toMatchObject({ kind: "failed", isCorrupt: true });
  expect(end.outcome).not.toHaveProperty("keptBytes");
  await bench.cache.emptied();
  expect(incoming(bench)).toEqual([]);
}, 60_000);

test(
  "Transfers.stop() leaves what has come to the next fetch when that goes on with it",
  async () => {
    await using bench = new TransferBench();
    await using slow = await Source.open("stalls");
    await using other = await Source.open("whole");
    const first = slow.order({ stallMs: 60_000 });
    bench.transfers.fetch(first, Infinity);
    await bench.grown(HALF);
    bench.transfers.stop(first.transferId, { goesOn: true });
    bench.transfers.fetch(other.order(), Infinity);
    expect(await bench.nextEvent()).toMatchObject({ outcome: { kind: "failed", keptBytes: HALF } });
    // The first one's end is told to nobody: its bytes count with the second.
    expect(await bench.nextEvent()).toMatchObject({
      outcome: { kind: "ready", file: { digest: DIGEST } },
      movedBytes: BYTES.length,
    });
    expect(other.asked.map(({ range }) => range)).toEqual([`bytes=${HALF}-`]);
  },
  60_000,
);

test("Transfers.stop() and forgetPart() leave nothing of what nobody goes on with", async () => {
  await using bench = new TransferBench();
  await using silent = await Source.open("stalls");
  const order = silent.order({ stallMs: 60_000 });
  bench.transfers.fetch(order, Infinity);
  await bench.grown(HALF);
  bench.transfers.stop(order.transferId);
  const end = await bench.nextEvent();
  expect(end).toMatchObject({ outcome: { kind: "failed" } });
  await bench.cache.emptied();
  expect(incoming(bench)).toEqual([]);
  await bench.fetch(silent.order());
  expect(incoming(bench).length).toBe(1);
  bench.transfers.forgetPart(NAME);
  await bench.cache.emptied();
  expect(incoming(bench)).toEqual([]);
}, 60_000);
