import { expect, test } from "bun:test";

import { factsOf, WorkerFixture } from "./fixture.ts";

/** A worker with room for `count` files of 1,000 bytes, and `names` of them in its cache. */
function small(count: number, ...names: string[]): WorkerFixture {
  const fixture = WorkerFixture.connected({ diskBytes: count * 1_000 });
  for (const name of names) fixture.brings(fixture.fetches(name), factsOf(name));
  return fixture;
}

function suggested(fixture: WorkerFixture): string[] {
  return fixture.toldOf("room_wanted").flatMap(({ files }) => files.map(({ name }) => name));
}

test("startTransfersThatFit() starts no transfer that there is no room for", () => {
  const fixture = small(2);
  const first = fixture.fetches("a");
  expect(fixture.orders).toEqual(["fetch a"]);
  fixture.fetches("b");
  expect(fixture.orders).toEqual(["fetch b"]);
  fixture.fetches("c");
  expect(fixture.orders).toEqual([]);
  // What failed gives its room to what waits.
  fixture.brings(first, factsOf("a"), "connection reset");
  expect(fixture.orders).toEqual(["fetch c"]);
});

test("relieveDisk() suggests the least recently used files that are enough", () => {
  const fixture = small(3, "a", "b", "c");
  fixture.isGiven(1, { inputs: ["a"] });
  fixture.finishes(1);
  fixture.fetches("d");
  expect(fixture.orders).toEqual([]);
  expect(suggested(fixture)).toEqual(["b"]);
});

test("relieveDisk() starts what waits once the manager let a file go", () => {
  const fixture = small(2, "a", "b");
  fixture.fetches("c");
  expect(suggested(fixture)).toEqual(["a"]);
  fixture.deletes("a");
  expect(fixture.orders).toEqual(["delete a 0", "fetch c"]);
  fixture.hears({ kind: "room_answered" });
  expect(fixture.told).toEqual([]);
});

test("relieveDisk() suggests others when the manager keeps a file, and that one no more", () => {
  const fixture = small(2, "a", "b");
  fixture.fetches("c");
  expect(suggested(fixture)).toEqual(["a"]);
  fixture.hears({ kind: "room_answered" });
  expect(suggested(fixture)).toEqual(["b"]);
});

test("relieveDisk() suggests no file that a try reads or waits for", () => {
  const fixture = small(3, "a", "b", "c");
  fixture.isGiven(1, { inputs: ["a"] }, { inputs: ["b", "d"] });
  fixture.fetches("d");
  expect(suggested(fixture)).toEqual(["c"]);
});

test("relieveDisk() suggests nothing that is to be kept for ever, nor what it found at start", () => {
  const fixture = WorkerFixture.connected({ diskBytes: 2_000, cached: [factsOf("old")] });
  const transferId = fixture.fetches("a");
  fixture.brings(transferId, factsOf("a"));
  fixture.state.cache.set("a" as never, {
    ...fixture.state.cache.get("a" as never)!,
    level: "forever",
  });
  fixture.brings(fixture.fetches("b"), factsOf("b"));
  fixture.fetches("c");
  expect(suggested(fixture)).toEqual(["b"]);
  fixture.hears({ kind: "room_answered" });
  expect(suggested(fixture)).toEqual([]);
});

test("relieveDisk() gives back the try that came last when several cannot all have their files", () => {
  const fixture = small(3, "a", "b");
  fixture.isGiven(1, { inputs: ["a", "c"] }, { inputs: ["b", "d"] });
  const transferId = fixture.fetches("c");
  fixture.fetches("d");
  expect(fixture.told).toEqual([]);
  // "c" is here and runs the first: the second waits for its end.
  fixture.brings(transferId, factsOf("c"));
  expect(fixture.orders).toEqual(["run 1.1"]);
  expect(fixture.toldOf("recalled")).toEqual([]);
  fixture.finishes(1);
  expect(suggested(fixture)).toEqual(["a"]);

  const stuck = small(2, "a", "b");
  stuck.isGiven(1, { inputs: ["a", "c"] }, { inputs: ["b", "d"] });
  stuck.fetches("c");
  expect(stuck.toldOf("recalled")).toMatchObject([{ taskId: 2, isCrowded: true }]);
  expect(suggested(stuck)).toEqual(["b"]);
});

test("relieveDisk() fails what one try has no room for, after asking for a while", () => {
  const fixture = small(2, "a", "b");
  fixture.isGiven(1, { inputs: ["a", "b", "c"] });
  const transferId = fixture.fetches("c");
  expect(fixture.told).toEqual([]);
  for (let ms = 0; ms < 5_000; ms += 500) {
    fixture.passes(500);
    if (ms < 4_500) expect(fixture.toldOf("transfer_failed")).toEqual([]);
  }
  expect(fixture.toldOf("transfer_failed")).toMatchObject([
    { transferId, isDiskFull: true, canRetry: false },
  ]);
  expect(fixture.state.disk).toMatchObject({ cachedBytes: 2_000, comingBytes: 0 });
});

test("relieveDisk() fails at once what is larger than the disk", () => {
  const fixture = WorkerFixture.connected({ diskBytes: 999 });
  const transferId = fixture.fetches("a");
  expect(fixture.toldOf("transfer_failed")).toMatchObject([
    { transferId, isDiskFull: true, canRetry: false, message: expect.stringContaining("1000") },
  ]);
});

test("relieveDisk() asks again over a new connection", () => {
  const fixture = small(1, "a");
  fixture.fetches("b");
  expect(suggested(fixture)).toEqual(["a"]);
  fixture.feed({ kind: "connection_closed" });
  fixture.connects();
  expect(suggested(fixture)).toEqual(["a"]);
});

test("startWhatFits() starts a command once its disk is free, its inputs included in it", () => {
  const fixture = small(3, "a", "b", "c");
  fixture.isGiven(1, { inputs: ["a"], diskBytes: 2_000 });
  expect(fixture.orders).toEqual([]);
  expect(suggested(fixture)).toEqual(["b"]);
  fixture.deletes("b");
  expect(fixture.orders).toEqual(["delete b 0", "run 1.1"]);
  expect(fixture.state.disk.runningBytes).toBe(1_000);
  fixture.finishes(1);
  expect(fixture.state.disk.runningBytes).toBe(0);
});

test("startWhatFits() starts nothing on a disk that is over its limit", () => {
  const fixture = small(2, "a");
  fixture.isGiven(1, { outputs: ["b", "c"] });
  fixture.finishes(1);
  expect(suggested(fixture)).toEqual(["a"]);
  fixture.isGiven(2, {});
  expect(fixture.orders).toEqual([]);
  fixture.deletes("a");
  expect(fixture.orders).toEqual(["delete a 0", "run 2.1"]);
});

test("endTask() keeps no outputs that are larger than the disk", () => {
  const fixture = WorkerFixture.connected({ diskBytes: 1_500 });
  fixture.isGiven(1, { outputs: ["a", "b"] });
  fixture.finishes(1);
  expect(fixture.toldOf("result")).toMatchObject([
    {
      result: { outcome: "disk_full", message: expect.stringContaining("2000 bytes"), outputs: [] },
    },
  ]);
  expect(fixture.orders).toEqual(["delete a 1", "delete b 1"]);
});

test("relieveDisk() refuses what nothing here waits for, to be tried another time", () => {
  const fixture = small(1, "a");
  fixture.isGiven(1, { inputs: ["a", "b"] });
  const transferId = fixture.fetches("copy");
  expect(fixture.toldOf("transfer_failed")).toMatchObject([
    { transferId, isDiskFull: true, canRetry: true },
  ]);
  expect(fixture.state.disk.waiting.size).toBe(0);
});

test("requestLeave() starts no recipe whose input comes while it leaves", () => {
  const fixture = small(3);
  fixture.makes("env", "env.tar");
  fixture.isGiven(1, {});
  fixture.feed({ kind: "leave_requested", reason: "SIGTERM" });
  // Ordered before the manager heard of it.
  const transferId = fixture.fetches("env.tar");
  fixture.brings(transferId, factsOf("env.tar"));
  expect(fixture.orders.filter((order) => order.startsWith("make"))).toEqual([]);
  expect(fixture.state.disk.comingBytes).toBe(0);
});
