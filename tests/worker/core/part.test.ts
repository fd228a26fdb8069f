import { expect, test } from "bun:test";

import type { CacheName, TransferId } from "../../../shared/ids.ts";
import { freeDiskBytes } from "../../../worker/core/disk.ts";
import { factsOf, WorkerFixture } from "./fixture.ts";

const PEER = { kind: "worker", workerId: "b" as never, urls: [], ticket: "" } as const;

/** A transfer of `name` fails and leaves `keptBytes` of it. */
function fails(
  fixture: WorkerFixture,
  transferId: TransferId,
  { name, keptBytes }: { readonly name: string; readonly keptBytes: number },
): void {
  fixture.feed({
    kind: "transfer_ended",
    transferId,
    name: name as CacheName,
    generation: 0,
    movedBytes: keptBytes,
    outcome: {
      kind: "failed",
      message: "it broke off",
      canRetry: true,
      isSourceFault: true,
      keptBytes,
    },
  });
}

test("keepPart() holds room for what came of a file, which the next attempt goes on with", () => {
  const fixture = WorkerFixture.connected({ diskBytes: 1_500 });
  fails(fixture, fixture.fetches("a"), { name: "a", keptBytes: 700 });
  expect(fixture.toldOf("transfer_failed")).toMatchObject([
    { isSourceFault: true, movedBytes: 700 },
  ]);
  expect(freeDiskBytes(fixture.state)).toBe(800);
  // It needs 1,000 bytes, of which 700 are its own.
  fixture.fetches("a", 0, PEER);
  expect(fixture.orders).toEqual(["fetch a"]);
  expect(freeDiskBytes(fixture.state)).toBe(500);
});

test("forgetOldestPart() gives the room of parts to what has none, a task among others", () => {
  const fixture = WorkerFixture.connected({ diskBytes: 2_000 });
  fails(fixture, fixture.fetches("a"), { name: "a", keptBytes: 700 });
  fails(fixture, fixture.fetches("b"), { name: "b", keptBytes: 700 });
  fixture.fetches("c");
  expect(fixture.orders).toEqual(["forget the part of a", "fetch c"]);
  fixture.isGiven(1, { diskBytes: 1_000 });
  expect(fixture.orders).toEqual(["forget the part of b", "run 1.1"]);
});

test("expireParts() removes what nobody comes for", () => {
  const fixture = WorkerFixture.connected();
  fails(fixture, fixture.fetches("a"), { name: "a", keptBytes: 700 });
  fixture.passes(119_999);
  expect(fixture.orders).toEqual([]);
  fixture.passes(1);
  expect(fixture.orders).toEqual(["forget the part of a"]);
  expect(fixture.state.disk.keptBytes).toBe(0);
});

test("forgetPart() is called for a file that is deleted, or comes by another way", () => {
  const fixture = WorkerFixture.connected();
  fails(fixture, fixture.fetches("a"), { name: "a", keptBytes: 700 });
  fixture.deletes("a");
  expect(fixture.orders).toEqual(["forget the part of a"]);
  fails(fixture, fixture.fetches("b"), { name: "b", keptBytes: 700 });
  fixture.isGiven(1, { outputs: ["b"] });
  fixture.finishes(1);
  expect(fixture.orders).toEqual(["forget the part of b"]);
});

test("keepPart() holds a bounded number of parts", () => {
  const fixture = WorkerFixture.connected();
  for (let index = 0; index < 16; index++) {
    fails(fixture, fixture.fetches(`f${index}`), { name: `f${index}`, keptBytes: 10 });
  }
  expect(fixture.orders).toEqual([]);
  fails(fixture, fixture.fetches("last"), { name: "last", keptBytes: 10 });
  expect(fixture.orders).toEqual(["forget the part of f0"]);
});

test("adoptTransfer() has another source go on with what came from the first", () => {
  const fixture = WorkerFixture.connected();
  const first = fixture.fetches("a");
  fixture.fetches("a", 0, PEER);
  expect(fixture.orders).toEqual([`stop transfer ${first} for another`, "fetch a"]);
  fails(fixture, first, { name: "a", keptBytes: 700 });
  // It is the second one's already.
  expect([fixture.orders, fixture.told, fixture.state.disk.keptBytes]).toEqual([[], [], 0]);
});

test("endTransfer() removes what came of a file that nobody wants any more", () => {
  const fixture = WorkerFixture.connected();
  const first = fixture.fetches("a");
  fixture.deletes("a");
  expect(fixture.orders).toEqual([`stop transfer ${first}`]);
  fails(fixture, first, { name: "a", keptBytes: 700 });
  expect(fixture.orders).toEqual(["forget the part of a"]);
  expect(fixture.toldOf("replica_gone").length).toBe(1);
  const second = fixture.fetches("a");
  fixture.fetches("a", 0, PEER);
  fixture.deletes("a");
  fixture.brings(second + 1 as TransferId, factsOf("a"), "stopped");
  fails(fixture, second, { name: "a", keptBytes: 700 });
  expect(fixture.orders).toEqual(["forget the part of a"]);
});

test("endTransfer() keeps no part of a file that was made here while it came", () => {
  const fixture = WorkerFixture.connected();
  const transferId = fixture.fetches("a");
  fixture.isGiven(1, { outputs: ["a"] });
  fixture.finishes(1);
  fails(fixture, transferId, { name: "a", keptBytes: 700 });
  expect(fixture.state.cache.has("a" as CacheName)).toBe(true);
  expect(fixture.state.disk.parts.size).toBe(0);
});
