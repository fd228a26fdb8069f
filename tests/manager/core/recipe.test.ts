import { expect, test } from "bun:test";

import type { CacheName, WorkerId } from "../../../shared/ids.ts";
import { ManagerFixture } from "./fixture.ts";

/** Two workers of one core, each with a task that needs the mini task's file. */
function pair(wish: { peerTransfer: boolean }) {
  const fixture = new ManagerFixture({ dispatchAhead: 1, dispatchAheadMs: 0 });
  const mini = fixture.miniTask("mini", [], wish);
  for (const worker of ["a", "b"]) fixture.joins(worker, { cores: 1 });
  const tasks = [0, 1].map(() => fixture.submits({ inputs: [mini] }));
  return { fixture, mini, tasks };
}

test("chooseMaking() has each worker make its own file", () => {
  const { fixture, mini } = pair({ peerTransfer: false });
  const makers = [...fixture.file(mini).replicas.values()].map(({ transfer }) => transfer?.source);
  expect(makers.map((source) => source?.kind)).toEqual(["recipe", "recipe"]);
});

test("chooseMaking() has one worker make what may pass between them, and the others fetch it", () => {
  const { fixture, mini } = pair({ peerTransfer: true });
  expect(fixture.file(mini).queued.size).toBe(1);
  fixture.brings("a");
  expect(fixture.fetches).toEqual(["b mini from a"]);
});

test("passMaking() has the next worker make what the first one could not", () => {
  const { fixture, mini } = pair({ peerTransfer: true });
  fixture.failsToBring("a");
  expect(fixture.toldOf("b", "make")).toMatchObject({ name: "mini" });
  expect(fixture.file(mini).maker?.worker.workerId).toBe("b" as WorkerId);
  fixture.brings("b");
  // The delay before its own attempt is over.
  fixture.passes(10_000);
  expect(fixture.fetches).toEqual(["a mini from b"]);
});

test("passMaking() has another worker make what the first one was lost with", () => {
  const { fixture } = pair({ peerTransfer: true });
  fixture.exits("a");
  expect(fixture.toldOf("b", "make")).toMatchObject({ name: "mini" });
});

test("order() checks a fetched copy against the making that it comes from", () => {
  const { fixture, mini } = pair({ peerTransfer: true });
  // An earlier one, which is gone.
  fixture.file(mini).bound = { ...fixture.file(mini).bound!, sizeBytes: 5, digest: "other" };
  fixture.brings("a");
  const orders = fixture.instructions.flatMap((each) => each.kind === "fetch" ? [each.order] : []);
  expect(orders).toMatchObject([{ name: "mini", sizeBytes: 1_000 }]);
});

test("callOffMaking() ends a command when the only task that waits for it is cancelled", () => {
  const { fixture, tasks } = pair({ peerTransfer: false });
  fixture.cancels(tasks[0]!);
  expect(fixture.toldOf("a", "delete")).toMatchObject({ name: "mini" });
  expect(fixture.toldOf("b", "delete")).toBeUndefined();
});

test("isWanted() keeps what a mini task is made of by way of others", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const temp = fixture.temp("temp");
  fixture.finishes("a", fixture.submits({ outputs: [temp] }));
  const first = fixture.miniTask("first", [temp]);
  const second = fixture.miniTask("second", [first, temp]);
  const task = fixture.submits({ inputs: [second] });
  for (const fileId of [temp, first, second]) {
    fixture.feed({ kind: "file_undeclared", fileId });
  }
  expect(fixture.told("a")).toEqual([]);
  fixture.brings("a");
  fixture.brings("a");
  fixture.finishes("a", task);
  expect(fixture.outcome(task)).toBe("success");
  expect(fixture.state.files.size).toBe(0);
});

test("canBeMade() has a lost temp made again for the file that is made of it", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const temp = fixture.temp("temp");
  const producer = fixture.submits({ outputs: [temp] });
  fixture.finishes("a", producer);
  const mini = fixture.miniTask("mini", [temp]);
  fixture.joins("b");
  fixture.exits("a");
  const task = fixture.submits({ inputs: [mini] });
  expect(fixture.dispatched).toEqual([`b ${producer}.2`]);
  fixture.finishes("b", producer);
  expect(fixture.toldOf("b", "make")).toMatchObject({ name: "mini" });
  fixture.brings("b");
  fixture.finishes("b", task);
  expect(fixture.outcome(task)).toBe("success");
});

test("retireMade() makes anew what was made of a temp that has other bytes now", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const temp = fixture.temp("temp");
  const producer = fixture.submits({ outputs: [temp] });
  fixture.finishes("a", producer, { digest: "first" });
  const mini = fixture.miniTask("mini", [temp]);
  const task = fixture.brought("a", { inputs: [mini] });
  fixture.finishes("a", task);
  fixture.says("a", { kind: "replica_gone", name: "temp" as CacheName, generation: 1 });
  expect(fixture.file(mini).readyCount).toBe(1);
  const reader = fixture.submits({ inputs: [mini, temp] });
  fixture.finishes("a", producer, { digest: "second" });
  expect(fixture.toldOf("a", "delete")).toMatchObject({ name: "mini" });
  expect(fixture.toldOf("a", "make")).toMatchObject({ name: "mini" });
  fixture.brings("a");
  fixture.finishes("a", reader);
  expect(fixture.outcome(reader)).toBe("success");
});

test("retireMaking() brings the new making of an input to who makes something of it", () => {
  const fixture = new ManagerFixture();
  for (const worker of ["a", "b"]) fixture.joins(worker, { features: [worker] });
  const [temp, other] = [fixture.temp("temp"), fixture.temp("other")];
  const producer = fixture.submits({ outputs: [temp, other], features: ["a"] });
  fixture.finishes("a", producer);
  // It can be had all the time, as the manager has it too.
  fixture.feed({ kind: "file_requested", fileId: temp, requestId: 1 });
  fixture.delivers(temp);
  const mini = fixture.miniTask("mini", [temp]);
  fixture.submits({ inputs: [mini], features: ["b"] });
  expect(fixture.fetches).toEqual(["b temp from manager"]);
  // Its task runs again, and makes both again.
  fixture.says("a", { kind: "replica_gone", name: "other" as CacheName, generation: 1 });
  fixture.submits({ inputs: [other], features: ["a"] });
  fixture.finishes("a", producer);
  expect(fixture.toldOf("b", "delete")).toMatchObject({ name: "temp", generation: 1 });
  expect(fixture.fetches).toEqual(["b temp from a"]);
});

test("abandonTransfer() calls off what was to be made of a file that does not come", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const mini = fixture.miniTask("mini", [fixture.local("source")]);
  const task = fixture.submits({ inputs: [mini] });
  const { file, transferId } = [...fixture.state.transfers.values()].find(({ source }) => {
    return source?.kind === "manager";
  })!;
  const failed = { name: file.bound!.name, generation: 0, message: "broken", canRetry: false };
  fixture.says("a", { kind: "transfer_failed", transferId, ...failed });
  expect(fixture.outcome(task)).toBe("transfer_failed");
  expect(fixture.toldOf("a", "delete")).toMatchObject({ name: "mini" });
});

test("retireMade() has what was made of other bytes made again once where it is needed", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a", { cores: 4 });
  const archive = fixture.temp("archive");
  const producer = fixture.submits({ outputs: [archive] });
  fixture.finishes("a", producer, { digest: "first" });
  const environment = fixture.environment("env", archive);
  fixture.library("digits", fixture.local("module"), { environments: [environment] });
  fixture.submits({ library: "digits" });
  fixture.brings("a");
  // The instance still starts as its environment's archive turns out to be damaged.
  fixture.says("a", { kind: "replica_gone", name: "archive" as CacheName, generation: 1 });
  fixture.finishes("a", producer, { digest: "second" });
  expect(fixture.told("a").filter(({ kind }) => kind === "make")).toHaveLength(1);
});
