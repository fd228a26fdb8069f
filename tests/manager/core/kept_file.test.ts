import { expect, test } from "bun:test";

import { explain, newInquiry } from "../../../manager/core/explain.ts";
import { directoryContentName, fileContentName } from "../../../shared/cache_name.ts";
import type { FileId } from "../../../shared/ids.ts";
import type { CacheLevel, FileFacts } from "../../../shared/task.ts";
import { ManagerFixture } from "./fixture.ts";
import type { WorkerWish } from "./wishes.ts";

const DIGEST = "0123456789abcdef".repeat(4);
const NAME = fileContentName(DIGEST);
const FACTS: FileFacts = {
  name: NAME,
  generation: 0,
  sizeBytes: 1_000,
  digest: DIGEST,
  isDirectory: false,
};
const GRACE_MS = 3_000;
const MISSING = `Cannot read kept file "${NAME}": no worker that is there has it`;

function kept(fixture: ManagerFixture): FileId {
  const bound = { name: NAME, sizeBytes: 1_000, digest: DIGEST };
  const kind = { isDirectory: false, isExecutable: false };
  return fixture.declares({ kind: "kept" }, { level: "worker" }, { ...bound, ...kind });
}

/** A worker that has it since an earlier workflow. */
function holder(level: CacheLevel = "worker", facts: FileFacts = FACTS): WorkerWish {
  return { hello: { replicas: [{ ...facts, level }] } };
}

function isIntact(fixture: ManagerFixture, worker: string): void {
  fixture.says(worker, { kind: "replica_verified", name: NAME, generation: 0 });
}

function isDamaged(fixture: ManagerFixture, worker: string): void {
  fixture.says(worker, { kind: "replica_gone", name: NAME, generation: 0 });
}

test("declareFile() finds a kept file at workers that joined before, and at those that join", () => {
  for (const level of ["worker", "forever"] as const) {
    const fixture = new ManagerFixture();
    fixture.joins("a", holder(level));
    const file = kept(fixture);
    expect(fixture.toldOf("a", "verify")).toMatchObject({ name: NAME, generation: 0 });
    expect(fixture.file(file).readyCount).toBe(1);
    fixture.joins("b", holder(level));
    expect(fixture.toldOf("b", "verify")).toMatchObject({ name: NAME, generation: 0 });
    expect(fixture.file(file).readyCount).toBe(2);
    // Nobody has it from a copy that is not looked at yet.
    fixture.joins("c");
    fixture.feed({ kind: "file_replicated", fileId: file, count: 3 });
    fixture.passes(1);
    expect(fixture.fetches).toEqual([]);
    isIntact(fixture, "b");
    expect(fixture.fetches).toEqual([`c ${NAME} from b`]);
  }
});

test("undeclareFile() leaves the copies of a kept file where they are", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a", holder());
  const file = kept(fixture);
  fixture.feed({ kind: "file_undeclared", fileId: file });
  expect(fixture.told("a")).toEqual([]);
  expect(fixture.state.unclaimed.get(NAME)?.size).toBe(1);
  // A full disk may have it, as nobody needs it.
  fixture.says("a", { kind: "room_wanted", files: [{ name: NAME, generation: 0 }] });
  expect(fixture.toldOf("a", "delete")).toMatchObject({ name: NAME });
});

test("awaitKept() waits as long as no worker is there, and for a grace once one is", () => {
  const fixture = new ManagerFixture();
  const file = kept(fixture);
  const task = fixture.submits({ inputs: [file] });
  fixture.passes(60_000);
  expect(fixture.outcome(task)).toBe(undefined);
  const reason = {
    kind: "input_kept" as const,
    file: { fileId: file, mount: "mount0" },
    name: NAME,
  };
  expect(explain(newInquiry(fixture.state, fixture.nowMs), task)?.reasons).toEqual([reason]);
  fixture.joins("a");
  fixture.passes(GRACE_MS - 1);
  expect(explain(newInquiry(fixture.state, fixture.nowMs), task)?.reasons).toEqual([{
    ...reason,
    leftMs: 1,
  }]);
  expect(fixture.outcome(task)).toBe(undefined);
  fixture.passes(1);
  expect(fixture.ends.get(task)).toMatchObject({ outcome: "input_missing", message: MISSING });
});

test("awaitKept() has a task run that finds the file within the grace", () => {
  const fixture = new ManagerFixture();
  const task = fixture.submits({ inputs: [kept(fixture)] });
  fixture.joins("a");
  fixture.passes(GRACE_MS - 1);
  fixture.joins("b", holder());
  expect(fixture.dispatched).toEqual([`b ${task}.1`]);
  fixture.passes(GRACE_MS);
  expect(fixture.outcome(task)).toBe(undefined);
});

test("awaitKept() waits until as many workers have joined as are waited for", () => {
  const fixture = new ManagerFixture({ waitForWorkers: 2 });
  const task = fixture.submits({ inputs: [kept(fixture)] });
  fixture.joins("a");
  fixture.passes(10 * GRACE_MS);
  expect(fixture.outcome(task)).toBe(undefined);
  fixture.joins("b");
  fixture.passes(GRACE_MS);
  expect(fixture.outcome(task)).toBe("input_missing");
});

test("awaitKept() waits anew when those that are there have gone", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const task = fixture.submits({ inputs: [kept(fixture)] });
  fixture.exits("a");
  fixture.passes(10 * GRACE_MS);
  expect(fixture.outcome(task)).toBe(undefined);
  fixture.joins("b", holder());
  expect(fixture.dispatched).toEqual([`b ${task}.1`]);
});

test("awaitKept() ends what waits for a file whose last holder is lost, or has it damaged", () => {
  for (const isLost of [false, true]) {
    const fixture = new ManagerFixture();
    fixture.joins("a", { ...holder(), cores: 1 });
    fixture.joins("b", { cores: 1, features: ["other"] });
    const file = kept(fixture);
    const task = fixture.submits({ inputs: [file] });
    if (isLost) fixture.exits("a");
    else isDamaged(fixture, "a");
    expect(fixture.file(file).isAvailable).toBe(false);
    expect(fixture.outcome(task)).toBe(undefined);
    fixture.passes(GRACE_MS);
    expect(fixture.ends.get(task)).toMatchObject({ outcome: "input_missing", message: MISSING });
  }
});

test("awaitKept() answers a user who asks for the contents, and ends what is made of it", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const file = kept(fixture);
  const made = fixture.miniTask("mini", [file]);
  const task = fixture.submits({ inputs: [made] });
  fixture.feed({ kind: "file_requested", fileId: file, requestId: 3 });
  fixture.passes(GRACE_MS);
  expect(fixture.ends.get(task)).toMatchObject({ outcome: "input_missing", message: MISSING });
  expect(fixture.instructions).toContainEqual({
    kind: "file_delivered",
    requestId: 3,
    fileId: file,
    isDelivered: false,
    message: MISSING,
  });
});

test("endKeptWait() lets later tasks have what is there again, and what is made of it", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const file = kept(fixture);
  const made = fixture.miniTask("mini", [file]);
  const first = fixture.submits({ inputs: [made] });
  fixture.passes(GRACE_MS);
  expect(fixture.outcome(first)).toBe("input_missing");
  const again = kept(fixture);
  fixture.joins("b", holder());
  const second = fixture.submits({ inputs: [made, again] });
  expect(fixture.dispatched).toEqual([`b ${second}.1`]);
});

test("mergeFile() has a kept file from where a second declaration says that it is", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const task = fixture.submits({ inputs: [kept(fixture)] });
  const bound = { name: NAME, sizeBytes: 1_000, digest: DIGEST };
  const kind = { isDirectory: false, isExecutable: false };
  fixture.declares({ kind: "manager" }, {}, { ...bound, ...kind });
  expect(fixture.fetches).toEqual([`a ${NAME} from manager`]);
  fixture.passes(GRACE_MS);
  expect(fixture.outcome(task)).toBe(undefined);
});

test("order() has a kept directory checked against the copy that it comes from", () => {
  const fixture = new ManagerFixture();
  const name = directoryContentName(DIGEST);
  const stream = { ...FACTS, name, isDirectory: true, sizeBytes: 5_120, digest: "f".repeat(64) };
  fixture.joins("a", { ...holder("worker", stream), cores: 1 });
  fixture.joins("b");
  // Of another making of the same contents, whose stream has other times.
  const bound = { name, sizeBytes: 4_096, digest: "", isDirectory: true, isExecutable: false };
  const file = fixture.declares({ kind: "kept" }, { level: "worker" }, bound);
  fixture.says("a", { kind: "replica_verified", name, generation: 0 });
  fixture.feed({ kind: "file_replicated", fileId: file, count: 2 });
  fixture.passes(1);
  const orders = fixture.instructions.filter((each) => each.kind === "fetch");
  expect(orders).toMatchObject([{ order: { sizeBytes: 5_120, digest: stream.digest } }]);
  fixture.brings("b");
  expect(fixture.file(file).readyCount).toBe(2);
});
