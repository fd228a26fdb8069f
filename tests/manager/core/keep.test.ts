import { expect, test } from "bun:test";

import { directoryContentName, fileContentName } from "../../../shared/cache_name.ts";
import type { CacheName, FileId, KeepId } from "../../../shared/ids.ts";
import type { FileFacts, LastingLevel } from "../../../shared/task.ts";
import { ManagerFixture } from "./fixture.ts";
import { idOf } from "./wishes.ts";

const DIGEST = "0123456789abcdef".repeat(4);
const NAME = fileContentName(DIGEST);
const CONTENTS: FileFacts = {
  name: NAME,
  generation: 0,
  sizeBytes: 1_000,
  digest: DIGEST,
  isDirectory: false,
};

/** A temp that a worker has made. */
function madeBy(fixture: ManagerFixture, worker: string): FileId {
  const temp = fixture.temp("temp");
  const task = fixture.submits({ outputs: [temp] });
  fixture.starts(worker, task);
  fixture.finishes(worker, task, { digest: DIGEST });
  return temp;
}

function wantsKept(fixture: ManagerFixture, fileId: FileId, level: LastingLevel = "worker"): void {
  fixture.feed({ kind: "file_keep_wanted", fileId, requestId: 5, level });
}

/** The number of the wish that was told last. */
function keepIdOf(fixture: ManagerFixture): KeepId {
  const [keep] = [...fixture.state.keeps.values()].toReversed();
  return keep!.keepId;
}

function hasKept(fixture: ManagerFixture, worker: string, file: FileFacts = CONTENTS): void {
  fixture.says(worker, { kind: "kept", keepId: keepIdOf(fixture), file, level: "worker" });
}

function answers(fixture: ManagerFixture) {
  return fixture.instructions.filter(({ kind }) => kind === "file_kept");
}

test("keepFile() has a holder keep what a task made, and answers with its new name", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const temp = madeBy(fixture, "a");
  wantsKept(fixture, temp, "forever");
  expect(fixture.told("a")).toMatchObject([
    { kind: "keep", name: "temp", generation: 1, level: "forever" },
  ]);
  hasKept(fixture, "a");
  expect(answers(fixture)).toEqual([
    { kind: "file_kept", requestId: 5, message: "", file: CONTENTS },
  ]);
  expect(fixture.facts).toMatchObject([{ kind: "file_kept", fileId: temp, workerId: "a" }]);
  expect(fixture.state.keeps.size).toBe(0);
  // What becomes of the temp is nothing to it.
  fixture.feed({ kind: "file_undeclared", fileId: temp });
  expect(fixture.told("a")).toEqual([{ kind: "delete", name: "temp" as CacheName, generation: 1 }]);
  expect(fixture.state.unclaimed.get(NAME)?.size).toBe(1);
});

test("keepFile() refuses what no task made, what nobody has and what is not known", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const unmade = fixture.temp("unmade");
  const made = madeBy(fixture, "a");
  fixture.exits("a");
  for (
    const [fileId, why] of [
      [unmade, "no task has made it"],
      [fixture.local("query"), "no task has made it"],
      [made, "no worker has it any more"],
      [99 as FileId, "it was undeclared"],
    ] as const
  ) {
    wantsKept(fixture, fileId);
    const message = expect.stringContaining(`Cannot keep file ${fileId}: ${why}`);
    expect(answers(fixture)).toMatchObject([{ requestId: 5, message }]);
  }
});

test("keepFile() is content with one holder, and knows of those that answer later", () => {
  const fixture = new ManagerFixture({ replicas: 2 });
  fixture.joins("a");
  fixture.joins("b");
  const temp = fixture.temp("temp");
  const task = fixture.submits({ outputs: [temp] });
  fixture.starts("a", task);
  fixture.finishes("a", task, { digest: DIGEST });
  fixture.brings("b");
  wantsKept(fixture, temp);
  expect([fixture.toldOf("a", "keep"), fixture.toldOf("b", "keep")]).toMatchObject([{}, {}]);
  const keepId = keepIdOf(fixture);
  fixture.says("a", { kind: "keep_failed", keepId, message: "no room" });
  expect(answers(fixture)).toEqual([]);
  hasKept(fixture, "b");
  expect(answers(fixture)).toMatchObject([{ message: "", file: CONTENTS }]);
  expect(fixture.state.unclaimed.get(NAME)?.size).toBe(1);
});

test("keepFile() fails when every holder has failed, or was lost", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const temp = madeBy(fixture, "a");
  wantsKept(fixture, temp);
  const keepId = keepIdOf(fixture);
  fixture.says("a", { kind: "keep_failed", keepId, message: "no room" });
  const failed = { requestId: 5, message: `Cannot keep file ${temp}: no room` };
  expect(answers(fixture)).toMatchObject([failed]);
  wantsKept(fixture, temp);
  fixture.exits("a");
  const lost = { message: `Cannot keep file ${temp}: worker a on host of a was lost` };
  expect(answers(fixture)).toMatchObject([lost]);
});

test("repeatKeeps() tells a worker again that is back", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const temp = madeBy(fixture, "a");
  wantsKept(fixture, temp);
  fixture.breaks("a");
  const replicas = [{ ...fixture.lastFacts("temp"), level: "workflow" as const }];
  fixture.returns("a", { replicas });
  expect(fixture.toldOf("a", "keep")).toMatchObject({ name: "temp", generation: 1 });
  hasKept(fixture, "a");
  expect(answers(fixture)).toMatchObject([{ message: "" }]);
});

test("endKeep() believes no name that is not of the contents", () => {
  const other = "f".repeat(64);
  for (
    const file of [
      { ...CONTENTS, name: fileContentName(other) },
      { ...CONTENTS, name: fileContentName(other), digest: other },
      { ...CONTENTS, sizeBytes: 7 },
      { ...CONTENTS, generation: 1 },
      { ...CONTENTS, name: directoryContentName(DIGEST), isDirectory: true },
    ]
  ) {
    const fixture = new ManagerFixture();
    fixture.joins("a");
    wantsKept(fixture, madeBy(fixture, "a"));
    hasKept(fixture, "a", file);
    expect(answers(fixture)).toMatchObject([{ message: expect.stringContaining("is kept where") }]);
    expect(fixture.instructions.some(({ kind }) => kind === "refused")).toBe(true);
    expect(fixture.state.unclaimed.size).toBe(0);
  }
});

test("endKeep() takes no second answer for a lie", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  wantsKept(fixture, madeBy(fixture, "a"));
  const keepId = keepIdOf(fixture);
  hasKept(fixture, "a");
  fixture.says("a", { kind: "kept", keepId, file: CONTENTS, level: "worker" });
  expect(fixture.instructions).toEqual([]);
});

test("endKeep() has what it kept kept again that was to be removed meanwhile", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const temp = madeBy(fixture, "a");
  wantsKept(fixture, temp);
  hasKept(fixture, "a");
  wantsKept(fixture, temp);
  // The worker is told to make room before it has answered.
  fixture.says("a", { kind: "room_wanted", files: [{ name: NAME, generation: 0 }] });
  expect(fixture.toldOf("a", "delete")).toMatchObject({ name: NAME });
  hasKept(fixture, "a");
  expect(fixture.toldOf("a", "keep")).toMatchObject({ name: "temp" });
  fixture.says("a", { kind: "replica_gone", name: NAME, generation: 0 });
  hasKept(fixture, "a");
  expect(fixture.state.workers.get(idOf("a"))?.replicas.get(NAME)?.state).toBe("ready");
});

test("endKeep() has a buffer of the same contents stay when nobody needs it any more", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const bound = { name: NAME, sizeBytes: 1_000, digest: DIGEST };
  const kind = { isDirectory: false, isExecutable: false };
  const buffer = fixture.declares({ kind: "manager" }, {}, { ...bound, ...kind });
  const reader = fixture.brought("a", { inputs: [buffer] });
  fixture.finishes("a", reader);
  const temp = madeBy(fixture, "a");
  wantsKept(fixture, temp);
  hasKept(fixture, "a");
  expect(fixture.file(buffer).readyCount).toBe(1);
  fixture.feed({ kind: "file_undeclared", fileId: buffer });
  expect(fixture.told("a")).toEqual([]);
  expect(fixture.state.unclaimed.get(NAME)?.size).toBe(1);
});
