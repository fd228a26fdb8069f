import { expect, test } from "bun:test";

import { factsOf, WorkerFixture } from "./fixture.ts";

function usedBytes(fixture: WorkerFixture): number[] {
  return fixture.toldOf("disk_used").map((message) => message.usedBytes);
}

test("tellDisk() says nothing of a disk that is empty", () => {
  const fixture = WorkerFixture.connected();
  expect(usedBytes(fixture)).toEqual([]);
  fixture.passes(60_000);
  expect(usedBytes(fixture)).toEqual([]);
});

test("tellDisk() tells at once what is there when a manager takes the worker in", () => {
  const cached = [factsOf("old")].map((file) => ({ ...file, isOwn: true }));
  const fixture = WorkerFixture.connected({ cached });
  expect(usedBytes(fixture)).toEqual([1_000]);
  fixture.feed({ kind: "connection_closed" });
  fixture.connects();
  expect(usedBytes(fixture)).toEqual([1_000]);
});

test("tellDisk() tells of much soon, and of all that came meanwhile in one message", () => {
  const fixture = WorkerFixture.connected({ diskBytes: 20_000 });
  fixture.brings(fixture.fetches("a"), factsOf("a"));
  expect(usedBytes(fixture)).toEqual([1_000]);
  fixture.brings(fixture.fetches("b"), factsOf("b"));
  fixture.brings(fixture.fetches("c"), factsOf("c"));
  expect(usedBytes(fixture)).toEqual([]);
  fixture.passes(250);
  expect(usedBytes(fixture)).toEqual([3_000]);
});

test("tellDisk() tells of little after a while", () => {
  const fixture = WorkerFixture.connected({ diskBytes: 1_000_000 });
  fixture.brings(fixture.fetches("a"), factsOf("a"));
  fixture.brings(fixture.fetches("b"), factsOf("b"));
  fixture.passes(9_999);
  expect(usedBytes(fixture)).toEqual([]);
  fixture.passes(1);
  expect(usedBytes(fixture)).toEqual([2_000]);
});

test("tellDisk() tells nothing when all is as it was told", () => {
  const fixture = WorkerFixture.connected({ diskBytes: 20_000 });
  fixture.brings(fixture.fetches("a"), factsOf("a"));
  fixture.brings(fixture.fetches("b"), factsOf("b"));
  fixture.deletes("b");
  fixture.passes(60_000);
  expect(usedBytes(fixture)).toEqual([]);
});
