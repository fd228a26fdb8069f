import { expect, test } from "bun:test";

import type { CacheName, FileId, TaskId } from "../../../shared/ids.ts";
import { factsOf, ManagerFixture } from "./fixture.ts";
import { idOf } from "./wishes.ts";

test("readyReplica() has a copy of another making fetched anew", () => {
  const fixture = new ManagerFixture();
  const temp = fixture.temp("temp");
  fixture.joins("a");
  fixture.finishes("a", fixture.submits({ outputs: [temp] }));
  fixture.joins("b", { cores: 2 });
  fixture.submits({ inputs: [temp], cores: 2 });
  const [transfer] = fixture.state.transfers.values();
  fixture.says("b", {
    kind: "replica_ready",
    transferId: transfer!.transferId,
    file: factsOf("temp", 7),
    movedBytes: 0,
  });
  expect(fixture.file(temp).readyCount).toBe(1);
  fixture.passes(100);
  expect(fixture.fetches).toEqual(["b temp from a"]);
});

test("loseReplica() fetches again what an unstarted try at the worker needs", () => {
  const fixture = new ManagerFixture({ dispatchAhead: 2, dispatchAheadMs: 0 });
  const file = fixture.local("query");
  fixture.joins("a");
  fixture.submits({ inputs: [file] }, { inputs: [file] });
  fixture.brings("a");
  fixture.starts("a", 1 as never);
  fixture.says("a", { kind: "replica_gone", name: "query" as CacheName, generation: 0 });
  expect(fixture.fetches).toEqual(["a query from manager"]);
});

test("loseReplica() takes an unstarted try back when the only copy of its input is gone", () => {
  const fixture = new ManagerFixture({ dispatchAhead: 2, dispatchAheadMs: 0 });
  const temp = fixture.temp("temp");
  fixture.joins("a");
  const maker = fixture.submits({ outputs: [temp] });
  fixture.finishes("a", maker);
  const consumer = fixture.submits({ inputs: [temp] });
  fixture.says("a", { kind: "replica_gone", name: "temp" as CacheName, generation: 1 });
  expect(fixture.toldOf("a", "kill")).toMatchObject({ taskId: consumer });
  expect(fixture.task(consumer).state.kind).toBe("waiting");
  expect(fixture.task(maker).state.kind).toBe("dispatched");
});

test("loseReplica() takes the answer to a deletion for that, not for a loss", () => {
  const fixture = new ManagerFixture();
  const file = fixture.local("query", { level: "task" });
  fixture.joins("a");
  const task = fixture.submits({ inputs: [file] });
  fixture.brings("a");
  fixture.finishes("a", task);
  expect(fixture.toldOf("a", "delete")).toMatchObject({ name: "query" });
  // It is wanted again before the worker has answered.
  fixture.submits({ inputs: [file] });
  expect(fixture.fetches).toEqual(["a query from manager"]);
  fixture.says("a", { kind: "replica_gone", name: "query" as CacheName, generation: 0 });
  expect(fixture.fetches).toEqual([]);
  fixture.brings("a");
  expect(fixture.file(file).readyCount).toBe(1);
});

test("deleteReplica() calls off a fetch that was ordered in the same step", () => {
  const fixture = new ManagerFixture();
  const file = fixture.local("query");
  fixture.joins("a");
  const task = fixture.submits({ inputs: [file] });
  fixture.brings("a");
  const message = {
    kind: "replica_gone",
    name: "query" as CacheName,
    generation: 0,
  } as const;
  fixture.feed(
    { kind: "message_received", workerId: idOf("a"), session: fixture.session("a"), message },
    { kind: "task_cancelled", taskId: task },
    { kind: "file_undeclared", fileId: file },
  );
  // After its deletion it would come to stay.
  expect(fixture.fetches).toEqual([]);
  expect(fixture.state.transfers.size).toBe(0);
});

test("keepUnclaimed() lets a later declaration find what a worker brought along", () => {
  const fixture = new ManagerFixture();
  const replica = { ...factsOf("database"), level: "worker" as const };
  fixture.joins("a", { hello: { replicas: [replica] } });
  expect(fixture.toldOf("a", "reconcile")?.replicas).toMatchObject([{ verdict: "keep" }]);
  const file = fixture.local("database", { level: "worker" });
  fixture.submits({ inputs: [file] });
  expect(fixture.fetches).toEqual([]);
  expect(fixture.file(file).readyCount).toBe(1);
});

test("noteUnclaimed() lets a second declaration find what the first one left", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const first = fixture.local("database", { level: "worker" });
  const task = fixture.submits({ inputs: [first] });
  fixture.brings("a");
  fixture.finishes("a", task);
  fixture.feed({ kind: "file_undeclared", fileId: first });
  expect(fixture.told("a")).toEqual([]);
  expect(fixture.state.files.size).toBe(0);
  const second = fixture.local("database", { level: "worker" });
  expect(fixture.file(second).readyCount).toBe(1);
  fixture.exits("a");
  expect(fixture.file(second).readyCount).toBe(0);
  expect(fixture.state.unclaimed.size).toBe(0);
});

test("markReady() deletes copies of an earlier making that came back", () => {
  const fixture = new ManagerFixture();
  const temp = fixture.temp("temp");
  fixture.joins("a", { features: ["a"] });
  const maker = fixture.submits({ outputs: [temp], features: [] });
  fixture.finishes("a", maker);
  fixture.breaks("a");
  fixture.passes(3_000);
  fixture.joins("b");
  fixture.submits({ inputs: [temp] });
  fixture.finishes("b", maker);
  const replica = { ...fixture.lastFacts("temp"), generation: 1, level: "workflow" as const };
  fixture.returns("a", { replicas: [replica] });
  expect(fixture.toldOf("a", "reconcile")?.replicas).toMatchObject([
    { name: "temp", generation: 1, verdict: "delete" },
  ]);
  expect([...fixture.file(temp).replicas.keys()].map(({ workerId }) => workerId)).toEqual(
    [idOf("b")],
  );
});

const TEMP = { name: "temp" as CacheName, generation: 1 };

/** A temp that `a` has made, which `b` found to be other bytes than those told. */
function receivedCorrupt(fixture: ManagerFixture): { maker: TaskId; consumer: TaskId } {
  const temp = fixture.temp("temp");
  fixture.joins("a");
  const maker = fixture.submits({ outputs: [temp] });
  fixture.finishes("a", maker);
  fixture.joins("b", { cores: 2 });
  const consumer = fixture.submits({ inputs: [temp], cores: 2 });
  expect(fixture.fetches).toEqual(["b temp from a"]);
  fixture.failsToBring("b", { isCorrupt: true });
  return { maker, consumer };
}

test("suspectReplica() has the source look at its copy, which nobody gets until it answers", () => {
  const fixture = new ManagerFixture();
  receivedCorrupt(fixture);
  expect(fixture.told("a")).toEqual([{ kind: "verify", ...TEMP }]);
  fixture.passes(1_000);
  expect(fixture.fetches).toEqual([]);
  // It was damaged on the way.
  fixture.says("a", { kind: "replica_verified", ...TEMP });
  expect(fixture.fetches).toEqual(["b temp from a"]);
});

test("suspectReplica() of a damaged copy has it made again for who waits", () => {
  const fixture = new ManagerFixture();
  const { maker, consumer } = receivedCorrupt(fixture);
  fixture.says("a", { kind: "replica_gone", ...TEMP });
  expect(fixture.state.counters.replicasDamaged).toBe(1);
  expect(fixture.dispatched).toEqual([`a ${maker}.2`]);
  fixture.finishes("a", maker);
  expect(fixture.dispatched).toEqual([`b ${consumer}.2`]);
});

test("suspectReplica() asks again when the worker comes back", () => {
  const fixture = new ManagerFixture();
  receivedCorrupt(fixture);
  fixture.breaks("a");
  fixture.returns("a", { replicas: [{ ...fixture.lastFacts("temp"), level: "workflow" }] });
  expect(fixture.toldOf("a", "verify")).toEqual({ kind: "verify", ...TEMP });
  fixture.says("a", { kind: "replica_verified", ...TEMP });
  fixture.passes(1_000);
  expect(fixture.fetches).toEqual(["b temp from a"]);
});

test("suspectReplica() is asked of another copy while one of two is looked at", () => {
  const fixture = new ManagerFixture();
  const temp = fixture.temp("temp");
  fixture.joins("a");
  fixture.finishes("a", fixture.submits({ outputs: [temp] }));
  fixture.joins("b", { cores: 2 });
  fixture.brought("b", { inputs: [temp], cores: 2 });
  fixture.joins("c", { cores: 3 });
  fixture.submits({ inputs: [temp], cores: 3 });
  const [first] = fixture.fetches;
  fixture.failsToBring("c", { isCorrupt: true });
  fixture.passes(1_000);
  expect([first, ...fixture.fetches].toSorted()).toEqual(["c temp from a", "c temp from b"]);
});

test("adoptUnclaimed() has what an earlier workflow left looked at before it is used", () => {
  const fixture = new ManagerFixture();
  const level = "worker" as const;
  fixture.joins("a", { hello: { replicas: [{ ...factsOf("query"), level }] } });
  fixture.submits({ inputs: [fixture.local("query", { level })] });
  expect(fixture.fetches).toEqual([]);
  expect(fixture.state.workers.get(idOf("a"))?.replicas.get("query" as CacheName))
    .toMatchObject({ state: "ready", isSuspect: true });
});

test("reconcile() has a file that is kept for ever looked at when its worker is another process", () => {
  const fixture = new ManagerFixture();
  fixture.local("query", { level: "forever" });
  const level = "forever" as const;
  fixture.joins("a", { hello: { replicas: [{ ...factsOf("query"), level }] } });
  expect(fixture.toldOf("a", "verify")).toMatchObject({ name: "query", generation: 0 });
});

/** A local file of which nobody knows the digest, and its orders. */
function localFile(fixture: ManagerFixture): FileId {
  const bound = { name: "big" as CacheName, sizeBytes: 1_000_000, digest: "" };
  const rest = { isDirectory: false, isExecutable: false };
  return fixture.declares({ kind: "manager" }, {}, { ...bound, ...rest });
}

function bringsBig(fixture: ManagerFixture, worker: string, digest: string): void {
  const transfer = [...fixture.state.transfers.values()]
    .find((each) => each.worker.workerId === worker);
  fixture.says(worker, {
    kind: "replica_ready",
    transferId: transfer!.transferId,
    file: { ...factsOf("big", 0, digest), sizeBytes: 1_000_000 },
    movedBytes: 1_000_000,
  });
}

test("learnDigest() has all further copies of a local file be as the first", () => {
  const fixture = new ManagerFixture();
  const big = localFile(fixture);
  fixture.joins("a");
  fixture.submits({ inputs: [big] });
  bringsBig(fixture, "a", "first");
  fixture.joins("b", { cores: 2 });
  fixture.submits({ inputs: [big], cores: 2 });
  const order = fixture.instructions.find((each) => each.kind === "fetch");
  expect(order).toMatchObject({ order: { name: "big", digest: "first" } });
});

test("isOtherCopy() takes the first of two copies that were ordered without a digest", () => {
  const fixture = new ManagerFixture();
  const big = localFile(fixture);
  fixture.joins("a", { cores: 2 });
  fixture.joins("b", { cores: 2 });
  fixture.submits({ inputs: [big], cores: 2 }, { inputs: [big], cores: 2 });
  bringsBig(fixture, "a", "first");
  bringsBig(fixture, "b", "second");
  expect(fixture.file(big).readyCount).toBe(1);
  expect(fixture.state.workers.get(idOf("b"))?.lieCount).toBe(0);
  fixture.passes(100);
  bringsBig(fixture, "b", "first");
  expect(fixture.file(big).readyCount).toBe(2);
});

test("deleteReplica() tells that the copy is gone, of one that was there", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const data = fixture.local("data");
  const task = fixture.brought("a", { inputs: [data] });
  fixture.finishes("a", task);
  fixture.feed({ kind: "file_undeclared", fileId: data });
  expect(fixture.told("a")).toMatchObject([{ kind: "delete", name: "data" }]);
  const gone = { kind: "replica_gone", fileId: data, workerId: idOf("a"), name: "data" } as const;
  expect(fixture.facts.filter(({ kind }) => kind === "replica_gone")).toEqual([
    { ...gone, name: "data" as CacheName },
  ]);
});
