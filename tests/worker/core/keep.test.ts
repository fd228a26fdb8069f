import { expect, test } from "bun:test";

import type { CacheName, KeepId } from "../../../shared/ids.ts";
import type { FileFacts, LastingLevel } from "../../../shared/task.ts";
import { factsOf, WorkerFixture } from "./fixture.ts";

const CONTENTS: FileFacts = { ...factsOf("contents"), digest: "digest of made" };
const MADE = { name: "made" as CacheName, generation: 1 };

function isAskedToKeep(
  fixture: WorkerFixture,
  keepId: number,
  level: LastingLevel = "worker",
): void {
  fixture.hears({ kind: "keep", keepId: keepId as KeepId, ...MADE, level });
}

/** The shell has kept it: by another name of its bytes unless it is a copy. */
function keeps(
  fixture: WorkerFixture,
  keepId: number,
  { level = "worker", isCopy = false }: { level?: LastingLevel; isCopy?: boolean } = {},
): void {
  const source = isCopy ? {} : { source: MADE };
  const outcome = { kind: "kept", file: CONTENTS, level, isFound: false, ...source } as const;
  fixture.feed({ kind: "file_kept", keepId: keepId as KeepId, outcome });
}

function withMade(diskBytes?: number): WorkerFixture {
  const cached = [factsOf("made", 1)];
  const fixture = WorkerFixture.connected(
    diskBytes === undefined ? { cached } : { cached, diskBytes },
  );
  // What a process finds is not its own, and takes nothing of its disk.
  const record = fixture.state.cache.get(MADE.name)!;
  record.ownBytes = record.sizeBytes;
  fixture.state.disk.cachedBytes = record.sizeBytes;
  return fixture;
}

test("keepFile() has the shell keep a file once, and tells when it has", () => {
  const fixture = withMade();
  isAskedToKeep(fixture, 7);
  expect(fixture.orders).toEqual(["keep made 1 as worker"]);
  // Told again, as its answer may have been lost.
  isAskedToKeep(fixture, 7);
  expect([fixture.orders, fixture.told]).toEqual([[], []]);
  keeps(fixture, 7);
  const kept = { kind: "kept", keepId: 7, file: CONTENTS, level: "worker" };
  expect(fixture.told.filter(({ kind }) => kind === "kept")).toEqual([kept as never]);
  expect(fixture.state.cache.get(CONTENTS.name)).toMatchObject({ level: "worker" });
});

test("keepFile() says of a file that is not here that it is not", () => {
  const fixture = WorkerFixture.connected({ cached: [factsOf("made", 2)] });
  isAskedToKeep(fixture, 7);
  expect(fixture.orders).toEqual([]);
  expect(fixture.toldOf("keep_failed")).toMatchObject([{
    keepId: 7,
    message: 'Cannot keep file "made": this worker does not have it any more',
  }]);
});

test("endKeep() tells why a file could not be kept", () => {
  const fixture = withMade();
  isAskedToKeep(fixture, 7, "forever");
  const outcome = { kind: "failed", message: "no room" } as const;
  fixture.feed({ kind: "file_kept", keepId: 7 as KeepId, outcome });
  expect(fixture.toldOf("keep_failed")).toMatchObject([{ keepId: 7, message: "no room" }]);
  expect(fixture.state.cache.has(CONTENTS.name)).toBe(false);
});

test("endKeep() counts the bytes of two names once, and those of the one that is left", () => {
  for (const first of ["made", "contents"]) {
    const fixture = withMade();
    isAskedToKeep(fixture, 7);
    keeps(fixture, 7);
    expect(fixture.state.disk.cachedBytes).toBe(1_000);
    fixture.deletes(first, first === "made" ? 1 : 0);
    expect(fixture.state.disk.cachedBytes).toBe(1_000);
    expect([...fixture.state.cache.values()]).toMatchObject([{ ownBytes: 1_000, twin: undefined }]);
  }
  const copied = withMade();
  isAskedToKeep(copied, 7);
  keeps(copied, 7, { isCopy: true });
  expect(copied.state.disk.cachedBytes).toBe(2_000);
});

test("endKeep() lets what was kept go for room when its first name is gone, and no sooner", () => {
  const fixture = withMade(1_500);
  isAskedToKeep(fixture, 7);
  keeps(fixture, 7);
  fixture.fetches("query");
  expect(fixture.toldOf("room_wanted")).toMatchObject([{ files: [{ name: "made" }] }]);
  fixture.hears(
    { kind: "delete", ...MADE },
    { kind: "room_answered" },
  );
  expect(fixture.toldOf("room_wanted")).toMatchObject([{ files: [{ name: "contents" }] }]);
});

test("endKeep() raises the level of what is here under that name", () => {
  const fixture = withMade();
  isAskedToKeep(fixture, 7);
  keeps(fixture, 7);
  isAskedToKeep(fixture, 8, "forever");
  keeps(fixture, 8, { level: "forever" });
  expect(fixture.state.cache.get(CONTENTS.name)).toMatchObject({ level: "forever", twin: "made" });
  expect(fixture.toldOf("kept")).toMatchObject([{ keepId: 8, level: "forever" }]);
});

test("dropDamaged() drops both names of bytes that are not what they were", () => {
  const fixture = withMade();
  isAskedToKeep(fixture, 7);
  keeps(fixture, 7);
  fixture.isGiven(1, { inputs: ["contents"], outputs: ["out"] });
  fixture.verifies("made", false, 1);
  expect(fixture.orders).toEqual(["delete made 1", "delete contents 0"]);
  expect(fixture.toldOf("replica_gone").map(({ name }) => String(name))).toEqual([
    "made",
    "contents",
  ]);
  // What was read of the other name does not count.
  fixture.finishes(1);
  expect(fixture.toldOf("result")).toMatchObject([{ result: { outcome: "input_modified" } }]);
});

test("loseModified() drops the other name of an input that a task wrote to", () => {
  const fixture = withMade();
  isAskedToKeep(fixture, 7);
  keeps(fixture, 7);
  fixture.isGiven(1, { inputs: [["made", 1]] });
  fixture.finishes(1, { outcome: "input_modified", modified: ["made"] });
  expect(fixture.orders).toEqual(["delete contents 0"]);
  expect(fixture.state.cache.size).toBe(0);
});

test("finishLeaving() waits for what is being kept", () => {
  const fixture = withMade();
  isAskedToKeep(fixture, 7);
  fixture.hears({ kind: "release", reason: "done" });
  expect(fixture.orders).toEqual([]);
  keeps(fixture, 7);
  expect(fixture.orders).toEqual(["leave"]);
});
