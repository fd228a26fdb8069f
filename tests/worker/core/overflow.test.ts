import { expect, test } from "bun:test";

import type { TaskId } from "../../../shared/ids.ts";
import { factsOf, WorkerFixture } from "./fixture.ts";

/** A worker with a disk of 10,000 bytes and 4 cores, on which tries of these reservations run. */
function running(...reserved: number[]): WorkerFixture {
  const fixture = WorkerFixture.connected({ cores: 4, diskBytes: 10_000 });
  fixture.isGiven(1, ...reserved.map((diskBytes) => ({ diskBytes })));
  return fixture;
}

test("measureTry() counts what a try has written once that is more than it reserved", () => {
  const fixture = running(2_000, 0);
  fixture.measures(1, 1_500);
  expect(fixture.state.disk.runningBytes).toBe(2_000);
  fixture.measures(1, 3_000);
  fixture.measures(2, 500);
  expect(fixture.state.disk.runningBytes).toBe(3_500);
  fixture.finishes(1);
  expect(fixture.state.disk.runningBytes).toBe(500);
  // It ended while it was looked at.
  fixture.measures(1, 9_000);
  expect(fixture.state.disk.runningBytes).toBe(500);
});

test("measureTry() leaves no room to a transfer that the sandbox has taken", () => {
  const fixture = running(0);
  fixture.measures(1, 9_500);
  fixture.fetches("a");
  expect(fixture.orders).toEqual([]);
  fixture.finishes(1);
  expect(fixture.orders).toEqual(["fetch a"]);
});

test("stopOvergrown() has files evicted first, and stops nothing where that is enough", () => {
  const fixture = running(0);
  fixture.brings(fixture.fetches("old"), factsOf("old"));
  fixture.measures(1, 9_500);
  expect(fixture.toldOf("room_wanted")).toMatchObject([{ files: [{ name: "old" }] }]);
  fixture.deletes("old");
  fixture.hears({ kind: "room_answered" });
  expect(fixture.orders).toEqual([]);
  expect(fixture.state.tries.size).toBe(1);
});

test("stopOvergrown() stops the try that grew most beyond its reservation, and no other", () => {
  const fixture = running(1_000, 5_000, 0);
  fixture.measures(2, 5_500);
  fixture.measures(3, 2_000);
  expect(fixture.orders).toEqual([]);
  fixture.measures(1, 2_600);
  // Over by 100: the third has the most that it had not reserved.
  expect(fixture.orders).toEqual(["stop 3.1 as disk_full"]);
  fixture.measures(1, 2_700);
  expect(fixture.orders).toEqual([]);
  fixture.finishes(3, { outcome: "disk_full" });
  const [{ result } = { result: undefined }] = fixture.toldOf("result");
  expect(result?.outcome).toBe("disk_full");
  expect(result?.message).toContain("its sandbox had 2 kB on the disk, none of it reserved");
  expect(result?.message).toContain("100 B more than the 10 kB of disk");
  expect(fixture.state.tries.size).toBe(2);
  expect(fixture.orders).toEqual([]);
});

test("stopOvergrown() stops nothing that keeps to what it reserved", () => {
  const fixture = running(6_000, 4_000);
  fixture.measures(1, 6_000);
  fixture.brings(fixture.fetches("extra"), factsOf("extra"));
  fixture.measures(2, 4_000);
  expect(fixture.orders).toEqual([]);
});

test("stopOvergrown() waits a while without a manager, who could let files go", () => {
  const fixture = running(0, 0);
  fixture.feed({ kind: "connection_closed" });
  fixture.measures(1, 9_000);
  fixture.measures(2, 2_000);
  expect(fixture.orders).toEqual([]);
  fixture.nowMs += 3_000;
  fixture.measures(2, 2_000);
  expect(fixture.orders).toEqual(["stop 1.1 as disk_full"]);
});

test("stopWhoeverHasAll() asks for no files when none that could go is enough", () => {
  const fixture = running(0, 0);
  fixture.brings(fixture.fetches("old"), factsOf("old"));
  fixture.measures(1, 10_500);
  expect(fixture.orders).toEqual(["stop 1.1 as disk_full"]);
});

test("stopOvergrown() waits no longer than that for files that are kept again and again", () => {
  const fixture = running(0, 0);
  fixture.brings(fixture.fetches("kept"), factsOf("kept"));
  fixture.measures(1, 10_000);
  for (let ms = 0; ms < 3_000; ms += 500) {
    expect(fixture.orders).toEqual([]);
    fixture.nowMs += 500;
    // What ends meanwhile has the same file asked for anew.
    fixture.hears({ kind: "room_answered" }, { kind: "result_ack", tries: [] });
  }
  expect(fixture.orders).toEqual(["stop 1.1 as disk_full"]);
});

test("stopRunning() of a try that is stopped for the disk leaves its end to the manager", () => {
  const fixture = running(0);
  fixture.measures(1, 11_000);
  fixture.kills(1);
  expect(fixture.orders).toEqual([]);
  fixture.finishes(1, { outcome: "disk_full" });
  expect(fixture.toldOf("result")).toMatchObject([{ result: { taskId: 1 as TaskId } }]);
});

test("askForRoom() suggests files when the disk itself was full", () => {
  const fixture = running(0);
  fixture.brings(fixture.fetches("old"), factsOf("old"));
  fixture.finishes(1, { outcome: "disk_full" });
  expect(fixture.toldOf("room_wanted")).toMatchObject([{ files: [{ name: "old" }] }]);
  fixture.hears({ kind: "room_answered" });
  const transferId = fixture.fetches("new");
  fixture.feed({
    kind: "transfer_ended",
    transferId,
    name: factsOf("new").name,
    generation: 0,
    movedBytes: 0,
    outcome: { kind: "failed", message: "full", canRetry: true, isDiskFull: true },
  });
  expect(fixture.toldOf("room_wanted")).toMatchObject([{ files: [{ name: "old" }] }]);
});
