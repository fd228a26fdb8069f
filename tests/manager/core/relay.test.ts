import { expect, test } from "bun:test";

import type { CacheName, FileId, TaskId } from "../../../shared/ids.ts";
import { ManagerFixture } from "./fixture.ts";
import { idOf } from "./wishes.ts";

const UNREACHABLE = { isUnreachable: true };

/** Workers of which each runs only what asks for its own feature. */
function joinsEach(fixture: ManagerFixture, ...names: string[]): void {
  for (const name of names) fixture.joins(name, { cores: 8, features: [name] });
}

/** Makes a temp at `worker`. */
function made(fixture: ManagerFixture, worker: string, name: string): FileId {
  const file = fixture.temp(name);
  fixture.finishes(worker, fixture.submits({ outputs: [file], features: [worker] }));
  return file;
}

/** A task that reads `file` at `worker`. */
function reads(fixture: ManagerFixture, worker: string, file: FileId): TaskId {
  return fixture.submits({ inputs: [file], features: [worker] });
}

test("failTransfer() asks another holder at once when one cannot be reached", () => {
  const fixture = new ManagerFixture();
  joinsEach(fixture, "a", "b", "c");
  const file = made(fixture, "a", "file");
  reads(fixture, "b", file);
  expect(fixture.fetches).toEqual(["b file from a"]);
  fixture.brings("b");
  reads(fixture, "c", file);
  const [first] = fixture.fetches;
  fixture.failsToBring("c", UNREACHABLE);
  expect(fixture.fetches.length).toBe(1);
  expect(fixture.fetches[0]).not.toBe(first!);
  const [transfer] = fixture.state.transfers.values();
  expect(transfer!.attemptCount).toBe(0);
});

test("failTransfer() takes a holder whose connections twice brought nothing for one out of reach", () => {
  const fixture = new ManagerFixture();
  joinsEach(fixture, "a", "b");
  const file = made(fixture, "a", "file");
  reads(fixture, "b", file);
  fixture.failsToBring("b", { isSourceFault: true });
  fixture.passes(1_000);
  expect([fixture.fetches, fixture.collects]).toEqual([["b file from a"], []]);
  fixture.failsToBring("b", { isSourceFault: true });
  expect([fixture.fetches, fixture.collects]).toEqual([[], ["file from a"]]);
});

test("failTransfer() brings a file by way of the manager when no holder can be reached", () => {
  const fixture = new ManagerFixture();
  joinsEach(fixture, "a", "b", "c");
  const file = made(fixture, "a", "file");
  const readers = [reads(fixture, "b", file), reads(fixture, "c", file)];
  fixture.failsToBring("b", UNREACHABLE);
  expect(fixture.collects).toEqual(["file from a"]);
  fixture.failsToBring("c", UNREACHABLE);
  expect(fixture.collects).toEqual([]);
  fixture.delivers(file);
  expect(fixture.fetches).toEqual(["b file from manager", "c file from manager"]);
  fixture.brings("b");
  fixture.brings("c");
  for (const [index, worker] of ["b", "c"].entries()) fixture.finishes(worker, readers[index]!);
  expect(fixture.unspooled).toEqual([file]);
  expect(fixture.state.spooledBytes).toBe(0);
});

test("canReach() forgets what it knows with a new connection of either, and with time", () => {
  const fixture = new ManagerFixture();
  joinsEach(fixture, "a", "b");
  const files = ["1", "2", "3", "4"].map((name) => made(fixture, "a", name));
  const asks = (index: number) => {
    reads(fixture, "b", files[index]!);
    return fixture.fetches.length === 1;
  };
  expect(asks(0)).toBe(true);
  fixture.failsToBring("b", UNREACHABLE);
  expect(asks(1)).toBe(false);
  fixture.returns("a", {
    replicas: files.map((_, index) => {
      const name = String(index + 1);
      return { ...fixture.lastFacts(name), level: "workflow" as const };
    }),
  });
  expect(asks(2)).toBe(true);
  fixture.failsToBring("b", UNREACHABLE);
  fixture.passes(300_000);
  expect(asks(3)).toBe(true);
});

test("canReach() hides a holder that several cannot reach, until one does", () => {
  const fixture = new ManagerFixture();
  joinsEach(fixture, "a", "b", "c", "d", "e", "f");
  const [one, two] = [made(fixture, "a", "one"), made(fixture, "a", "two")];
  for (const worker of ["b", "c", "d"]) reads(fixture, worker, one);
  reads(fixture, "e", two);
  for (const worker of ["b", "c", "d"]) fixture.failsToBring(worker, UNREACHABLE);
  reads(fixture, "f", two);
  expect([fixture.fetches, fixture.collects]).toEqual([[], ["two from a"]]);
  fixture.brings("e");
  const three = made(fixture, "a", "three");
  reads(fixture, "f", three);
  expect(fixture.fetches).toEqual(["f three from a"]);
});

test("canReach() sends nobody to a worker that says no address", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a", { features: ["a"], hello: { urls: [] } });
  joinsEach(fixture, "b");
  const file = made(fixture, "a", "file");
  reads(fixture, "b", file);
  expect([fixture.fetches, fixture.collects]).toEqual([[], ["file from a"]]);
});

test("noteUnreached() keeps a bounded number of holders for each worker", () => {
  const fixture = new ManagerFixture();
  const names = Array.from({ length: 30 }, (_, index) => `w${index}`);
  fixture.joins("reader", { cores: 64, features: ["reader"] });
  joinsEach(fixture, ...names);
  for (const name of names) {
    reads(fixture, "reader", made(fixture, name, `temp of ${name}`));
    fixture.failsToBring("reader", UNREACHABLE);
  }
  expect(fixture.state.workers.get(idOf("reader"))!.reach.unreached.size).toBe(16);
  // Every one of them comes all the same.
  expect(fixture.state.stranded.size).toBe(30);
});

test("bringHome() is the way of temps that workers may not pass on", () => {
  const fixture = new ManagerFixture();
  joinsEach(fixture, "a", "b");
  const file = fixture.temp("secret", { peerTransfer: false });
  fixture.finishes("a", fixture.submits({ outputs: [file], features: ["a"] }));
  reads(fixture, "b", file);
  expect([fixture.fetches, fixture.collects]).toEqual([[], ["secret from a"]]);
  fixture.delivers(file);
  expect(fixture.fetches).toEqual(["b secret from manager"]);
});

test("callOffHome() ends what is on its way when no worker waits for it any more", () => {
  const fixture = new ManagerFixture();
  joinsEach(fixture, "a", "b");
  const file = made(fixture, "a", "file");
  const reader = reads(fixture, "b", file);
  fixture.failsToBring("b", UNREACHABLE);
  fixture.cancels(reader);
  // The file stays on its way to the worker until nothing there waits for it.
  fixture.feed({ kind: "file_undeclared", fileId: file });
  expect(fixture.instructions.map(({ kind }) => kind)).toContain("abandon");
  expect([fixture.state.deliveries.size, fixture.state.stranded.size]).toEqual([0, 0]);
});

test("bringHome() keeps a copy that a user has asked for until the file is undeclared", () => {
  const fixture = new ManagerFixture();
  joinsEach(fixture, "a", "b");
  const file = made(fixture, "a", "file");
  const reader = reads(fixture, "b", file);
  fixture.failsToBring("b", UNREACHABLE);
  fixture.feed({ kind: "file_requested", fileId: file, requestId: 1 });
  expect(fixture.collects).toEqual([]);
  fixture.delivers(file);
  expect(fixture.instructions).toContainEqual(
    { kind: "file_delivered", requestId: 1, fileId: file, isDelivered: true, message: "" },
  );
  fixture.brings("b");
  fixture.finishes("b", reader);
  expect(fixture.unspooled).toEqual([]);
  fixture.feed({ kind: "file_undeclared", fileId: file });
  expect(fixture.unspooled).toEqual([file]);
});

test("canBeHad() counts a copy at the manager when its holder is lost", () => {
  const fixture = new ManagerFixture();
  joinsEach(fixture, "a", "b");
  const file = made(fixture, "a", "file");
  reads(fixture, "b", file);
  fixture.failsToBring("b", UNREACHABLE);
  fixture.delivers(file);
  fixture.exits("a");
  expect(fixture.file(file).isAvailable).toBe(true);
  expect(fixture.state.counters.recoveries).toBe(0);
});

test("failStranded() has a file made again that its holder cannot send either", () => {
  const fixture = new ManagerFixture();
  joinsEach(fixture, "a", "b");
  const file = made(fixture, "a", "file");
  reads(fixture, "b", file);
  fixture.failsToBring("b", UNREACHABLE);
  fixture.delivers(file, "the disk is full");
  expect(fixture.state.counters.recoveries).toBe(1);
});

test("failStranded() fails who needs the file, and says who cannot reach whom", () => {
  const fixture = new ManagerFixture({ recovery: "off" });
  joinsEach(fixture, "a", "b");
  const file = made(fixture, "a", "file");
  const reader = reads(fixture, "b", file);
  fixture.failsToBring("b", UNREACHABLE);
  fixture.delivers(file, "the disk is full");
  expect(fixture.ends.get(reader)).toMatchObject({
    outcome: "transfer_failed",
    message: "Worker b on host of b cannot reach worker a on host of a, and file " +
      '"file" did not come by way of the manager: the disk is full',
  });
});

test("failFetch() brings a copy anew that the manager cannot read", () => {
  const fixture = new ManagerFixture();
  joinsEach(fixture, "a", "b");
  const file = made(fixture, "a", "file");
  reads(fixture, "b", file);
  fixture.failsToBring("b", UNREACHABLE);
  fixture.delivers(file);
  const [transfer] = fixture.state.transfers.values();
  fixture.feed({ kind: "fetch_failed", transferId: transfer!.transferId, message: "gone" });
  expect(fixture.unspooled).toEqual([file]);
  fixture.passes(100);
  expect(fixture.collects).toEqual(["file from a"]);
});

test("loseHolder() has who waited for a copy that is gone come by another way", () => {
  const fixture = new ManagerFixture();
  joinsEach(fixture, "a", "b", "c");
  const file = made(fixture, "a", "file");
  reads(fixture, "b", file);
  fixture.brings("b");
  reads(fixture, "c", file);
  // Whichever it was, it is sent to the other one now.
  fixture.failsToBring("c", UNREACHABLE);
  const [fetch] = fixture.fetches;
  const left = fetch === "c file from a" ? "a" : "b";
  fixture.failsToBring("c", { isCorrupt: true });
  fixture.passes(1_000);
  expect([fixture.fetches, fixture.collects]).toEqual([[], []]);
  fixture.says(left, { kind: "replica_gone", name: "file" as CacheName, generation: 1 });
  expect(fixture.collects).toEqual([`file from ${left === "a" ? "b" : "a"}`]);
});
