import { expect, test } from "bun:test";

import { DEFAULT_POLICIES, type Policies } from "../../../manager/core/policy.ts";
import type { CacheName, FileId } from "../../../shared/ids.ts";
import { ManagerFixture } from "./fixture.ts";

/** A worker "full" that made temps of 1,000 bytes on a disk of 10,000, then an empty worker. */
function unequal(
  temps: readonly string[],
  policies: Partial<Policies> = { shiftDiskLoad: true },
): { fixture: ManagerFixture; files: FileId[] } {
  const fixture = new ManagerFixture(policies);
  fixture.joins("full", { diskBytes: 10_000 });
  const files = temps.map((name) => {
    const temp = fixture.temp(name);
    fixture.finishes("full", fixture.submits({ outputs: [temp] }));
    return temp;
  });
  fixture.joins("empty", { diskBytes: 10_000 });
  return { fixture, files };
}

function gone(fixture: ManagerFixture, worker: string, name: string): void {
  fixture.says(worker, { kind: "replica_gone", name: name as CacheName, generation: 1 });
}

function holders(fixture: ManagerFixture, fileId: FileId): string[] {
  return [...fixture.file(fileId).replicas.keys()].map(({ workerId }) => String(workerId));
}

test("shiftLoad() copies a temp to an emptier disk, then removes it from the fuller one", () => {
  const { fixture, files: [temp] } = unequal(["t1"]);
  fixture.holds("full", 5_000);
  expect(fixture.fetches).toEqual(["empty t1 from full"]);
  expect(fixture.toldOf("full", "delete")).toBeUndefined();
  fixture.brings("empty");
  expect(fixture.toldOf("full", "delete")).toMatchObject({ name: "t1" });
  expect(holders(fixture, temp!)).toEqual(["empty"]);
});

test("shiftLoad() moves nothing unless the policy says so, which may change while it runs", () => {
  const { fixture } = unequal(["t1"], {});
  fixture.holds("full", 9_000);
  expect(fixture.fetches).toEqual([]);
  const policies = { ...DEFAULT_POLICIES, shiftDiskLoad: true };
  fixture.feed({ kind: "policies_set", policies });
  expect(fixture.fetches).toEqual(["empty t1 from full"]);
  fixture.feed({ kind: "policies_set", policies: DEFAULT_POLICIES });
  // What has begun comes to its end.
  fixture.brings("empty");
  expect(fixture.toldOf("full", "delete")).toMatchObject({ name: "t1" });
});

test("shiftLoad() moves one file at a time, until the disks are about as full", () => {
  const { fixture } = unequal(["t1", "t2", "t3", "t4", "t5", "t6"]);
  fixture.holds("full", 6_000);
  const moved: string[] = [];
  const { shifts } = fixture.state.upkeep;
  for (let round = 0; round < 20 && shifts.size > 0; round++) {
    expect(shifts.size).toBe(1);
    const [name] = [...shifts.values()].map(({ file }) => String(file.bound?.name));
    moved.push(name!);
    fixture.brings("empty");
    gone(fixture, "full", name!);
    fixture.holds("full", 6_000 - 1_000 * moved.length);
    fixture.holds("empty", 1_000 * moved.length);
  }
  // 4,000 and 2,000 are 20 points apart: one more makes them equal, and none comes back.
  expect(moved).toEqual(["t1", "t2", "t3"]);
  fixture.holds("empty", 3_500);
  fixture.holds("full", 3_000);
  fixture.passes(60_000);
  expect(fixture.fetches).toEqual([]);
});

test("shiftLoad() moves nothing that would make the other disk the fuller one", () => {
  const { fixture } = unequal(["t1"]);
  fixture.joins("small", { diskBytes: 1_500 });
  fixture.holds("empty", 4_000);
  fixture.holds("full", 5_000);
  expect(fixture.fetches).toEqual([]);
});

test("shiftLoad() leaves a temp alone that a task waits for at the fuller worker", () => {
  const { fixture, files: [temp] } = unequal(["t1"]);
  fixture.submits({ inputs: [temp!] });
  fixture.holds("full", 9_000);
  expect(fixture.fetches).toEqual([]);
});

test("shiftLoad() keeps both copies when a task has come to need the old one", () => {
  const { fixture, files: [temp] } = unequal(["t1"]);
  fixture.holds("full", 5_000);
  const task = fixture.submits({ inputs: [temp!] });
  expect(fixture.dispatched).toEqual([`full ${task}.1`]);
  fixture.brings("empty");
  expect(fixture.toldOf("full", "delete")).toBeUndefined();
  expect(holders(fixture, temp!)).toEqual(["full", "empty"]);
  // As soon as it has ended, within a while, the old one goes.
  fixture.finishes("full", task);
  expect(fixture.toldOf("full", "delete")).toMatchObject({ name: "t1" });
});

test("shiftLoad() gives up a move whose copy fails, and comes back to it later", () => {
  const { fixture, files: [temp] } = unequal(["t1"]);
  fixture.holds("full", 5_000);
  fixture.failsToBring("empty");
  expect(holders(fixture, temp!)).toEqual(["full"]);
  expect(fixture.state.upkeep.shifts.size).toBe(0);
  fixture.passes(999);
  fixture.holds("full", 5_001);
  expect(fixture.fetches).toEqual([]);
  fixture.passes(1);
  fixture.holds("full", 5_002);
  expect(fixture.state.upkeep.shifts.size).toBe(1);
});

test("shiftLoad() loses nothing when the emptier worker goes before the copy is there", () => {
  const { fixture, files: [temp] } = unequal(["t1"]);
  fixture.holds("full", 5_000);
  fixture.exits("empty");
  expect(holders(fixture, temp!)).toEqual(["full"]);
  expect(fixture.state.upkeep.shifts.size).toBe(0);
});

test("shiftLoad() keeps the old copy while the worker with the new one is away", () => {
  const { fixture, files: [temp] } = unequal(["t1"]);
  fixture.holds("full", 5_000);
  // It is needed where it is, until it is there twice.
  const waiting = fixture.submits({ inputs: [temp!] });
  fixture.brings("empty");
  fixture.breaks("empty");
  fixture.finishes("full", waiting);
  expect(holders(fixture, temp!)).toContain("full");
  fixture.returns("empty", {
    replicas: [{ ...fixture.lastFacts("t1"), level: "workflow" }],
  });
  expect(holders(fixture, temp!)).toEqual(["empty"]);
});

test("shiftLoad() makes a copy that was wanted in any case, and counts it", () => {
  const fixture = new ManagerFixture({ shiftDiskLoad: true, replicas: 3 });
  for (const worker of ["full", "away"]) fixture.joins(worker, { diskBytes: 10_000 });
  const temp = fixture.temp("temp");
  fixture.finishes("full", fixture.submits({ outputs: [temp] }));
  fixture.brings("away");
  fixture.breaks("away");
  fixture.joins("empty", { diskBytes: 10_000 });
  expect(fixture.file(temp).scarceAt).toBe(2);
  fixture.holds("full", 5_000);
  expect(fixture.fetches).toEqual(["empty temp from full"]);
  expect(fixture.file(temp).scarceAt).toBe(-1);
});
