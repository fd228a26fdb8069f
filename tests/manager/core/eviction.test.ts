import { expect, test } from "bun:test";

import type { CacheName, FileId, WorkerId } from "../../../shared/ids.ts";
import { ManagerFixture } from "./fixture.ts";
import { idOf } from "./wishes.ts";

/** What worker "a" is told to delete when it suggests these. */
function deletions(fixture: ManagerFixture, ...names: string[]): string[] {
  const files = names.map((name) => {
    const generation = fixture.state.filesByName.get(name as CacheName)?.generation ?? 0;
    return { name: name as CacheName, generation };
  });
  fixture.says("a", { kind: "room_wanted", files });
  const told = fixture.told("a");
  expect(told.at(-1)).toEqual({ kind: "room_answered" });
  return told.flatMap((message) => message.kind === "delete" ? [message.name as string] : []);
}

test("answerRoomWanted() lets files go that the manager has, and nothing that is needed there", () => {
  const fixture = new ManagerFixture({ dispatchAhead: 2, dispatchAheadMs: 0 });
  const [idle, waited] = [fixture.local("idle"), fixture.local("waited")];
  fixture.joins("a");
  const first = fixture.brought("a", { inputs: [idle] });
  fixture.finishes("a", first);
  const second = fixture.submits({ inputs: [waited] });
  fixture.brings("a");
  expect(deletions(fixture, "idle", "waited")).toEqual(["idle"]);
  expect(fixture.file(idle).readyCount).toBe(0);
  fixture.finishes("a", second);
  expect(deletions(fixture, "waited")).toEqual(["waited"]);
});

test("answerRoomWanted() keeps the last copy of a temp that somebody waits for", () => {
  const fixture = new ManagerFixture();
  const temp = fixture.temp("temp");
  fixture.joins("a");
  fixture.finishes("a", fixture.submits({ outputs: [temp] }));
  const consumer = fixture.submits({ inputs: [temp], cores: 2 });
  expect(deletions(fixture, "temp")).toEqual([]);
  // Nobody waits any more, and its task can make it again.
  fixture.cancels(consumer);
  expect(deletions(fixture, "temp")).toEqual(["temp"]);
  fixture.says("a", { kind: "replica_gone", name: "temp" as CacheName, generation: 1 });
  fixture.submits({ inputs: [temp] });
  expect(fixture.toldOf("a", "dispatch")).toMatchObject({
    tasks: [{ outputs: [{ name: "temp" }] }],
  });
});

test("answerRoomWanted() keeps the last copy of a temp that cannot be made again", () => {
  const fixture = new ManagerFixture({ recovery: "off" });
  const temp = fixture.temp("temp");
  fixture.joins("a");
  fixture.finishes("a", fixture.submits({ outputs: [temp] }));
  expect(deletions(fixture, "temp")).toEqual([]);
});

/** A temp that the workers "a" and "b" have. */
function atBoth(fixture: ManagerFixture): FileId {
  const temp = fixture.temp("temp");
  fixture.joins("a");
  fixture.finishes("a", fixture.submits({ outputs: [temp] }));
  fixture.joins("b", { cores: 2 });
  fixture.finishes("b", fixture.brought("b", { inputs: [temp], cores: 2 }));
  return temp;
}

test("answerRoomWanted() lets one of two copies of a temp go, also when both workers ask", () => {
  const fixture = new ManagerFixture({ recovery: "off" });
  const temp = atBoth(fixture);
  expect(fixture.file(temp).readyCount).toBe(2);
  expect(deletions(fixture, "temp")).toEqual(["temp"]);
  const files = [{ name: "temp" as CacheName, generation: 1 }];
  fixture.says("b", { kind: "room_wanted", files });
  expect(fixture.told("b")).toEqual([{ kind: "room_answered" }]);
});

test("answerRoomWanted() answers also what it does not know", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  expect(deletions(fixture, "nothing")).toEqual([]);
});

test("returnTry() gives a crowded worker no more before something ends there", () => {
  const fixture = new ManagerFixture({ dispatchAhead: 2, dispatchAheadMs: 0 });
  fixture.joins("a", { cores: 1 });
  const [first, second] = [fixture.submits({}), fixture.submits({})];
  expect(fixture.task(second).state.kind).toBe("dispatched");
  fixture.says("a", { kind: "recalled", taskId: second, try: 1, isCrowded: true });
  expect(fixture.task(second).state.kind).toBe("ready");
  expect(fixture.state.workers.get("a" as WorkerId)!.lieCount).toBe(0);
  fixture.finishes("a", first);
  expect(fixture.task(second).state.kind).toBe("dispatched");
});

test("returnTry() takes the claim to be crowded by nothing else for a lie", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a", { cores: 1 });
  const only = fixture.submits({});
  fixture.says("a", { kind: "recalled", taskId: only, try: 1, isCrowded: true });
  expect(fixture.state.workers.get("a" as WorkerId)!.lieCount).toBe(1);
});

test("failTransfer() of a file that has no room fails who needs it as disk_full", () => {
  const fixture = new ManagerFixture();
  const file = fixture.local("query");
  fixture.joins("a");
  const task = fixture.submits({ inputs: [file] });
  const [transfer] = fixture.state.transfers.values();
  fixture.says("a", {
    kind: "transfer_failed",
    transferId: transfer!.transferId,
    name: "query" as CacheName,
    generation: 0,
    message: "no room",
    canRetry: false,
    isDiskFull: true,
  });
  expect(fixture.outcome(task)).toBe("disk_full");
});

test("answerRoomWanted() has a wanted copy that went come back after a while, not at once", () => {
  const fixture = new ManagerFixture({ replicas: 2 });
  const temp = fixture.temp("temp");
  fixture.joins("a");
  fixture.finishes("a", fixture.submits({ outputs: [temp] }));
  fixture.joins("b");
  fixture.brings("b");
  expect(fixture.file(temp).readyCount).toBe(2);
  expect(deletions(fixture, "temp")).toEqual(["temp"]);
  fixture.says("a", { kind: "replica_gone", name: "temp" as CacheName, generation: 1 });
  expect(fixture.fetches).toEqual([]);
  fixture.passes(5_000);
  expect(fixture.fetches).toEqual(["a temp from b"]);
});

test("answerRoomWanted() counts on no other copy that may be damaged", () => {
  const fixture = new ManagerFixture({ recovery: "off" });
  const temp = atBoth(fixture);
  fixture.file(temp).replicas.get(fixture.state.workers.get(idOf("b"))!)!.isSuspect = true;
  expect(deletions(fixture, "temp")).toEqual([]);
});
