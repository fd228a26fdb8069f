import { expect, test } from "bun:test";

import type { FileId } from "../../../shared/ids.ts";
import { ManagerFixture } from "./fixture.ts";
import { idOf } from "./wishes.ts";

const LARGE = { sizeBytes: 100_000_000 };

/** A file that is at "a" and at the manager; "b" begins to fetch it from "a". */
function fetching(fixture: ManagerFixture): FileId {
  const file = fixture.local("database", LARGE);
  for (const worker of ["a", "b"]) fixture.joins(worker, { cores: 8, features: [worker] });
  fixture.submits({ inputs: [file], features: ["a"] });
  fixture.passes(1_000);
  fixture.brings("a", LARGE.sizeBytes);
  fixture.submits({ inputs: [file], features: ["b"] });
  expect(fixture.fetches).toEqual(["b database from a"]);
  return file;
}

/** Lets time pass until something is fetched, at most `limitMs`; returns how long that took. */
function waitsForFetch(fixture: ManagerFixture, limitMs: number): number {
  const startMs = fixture.nowMs;
  // An order to fetch has a number of its own.
  const before = fixture.state.lastId;
  while (fixture.state.lastId === before && fixture.nowMs - startMs < limitMs) fixture.passes(100);
  return fixture.nowMs - startMs;
}

test("limitMs() gives a transfer ten times its time at the rate that is assumed before any", () => {
  const fixture = new ManagerFixture();
  fetching(fixture);
  // 100 MB at 1 MB/s between workers, times 10.
  expect(waitsForFetch(fixture, 2_000_000)).toBe(1_000_000);
  expect([...fixture.state.transfers.values()].map(({ source }) => source?.kind)).toEqual([
    "manager",
  ]);
});

test("limitMs() goes by the mean rate, and never below the minimum", () => {
  const fixture = new ManagerFixture({ transferOutlierFactor: 2, minTransferTimeoutMs: 5_000 });
  const file = fetching(fixture);
  fixture.passes(10_000);
  fixture.brings("b", LARGE.sizeBytes);
  fixture.joins("c", { features: ["c"] });
  fixture.submits({ inputs: [file], features: ["c"] });
  // 100 MB took 10 s between workers.
  expect(waitsForFetch(fixture, 100_000)).toBe(20_000);
  // From the other peer it may take twice as long, as the first time was not enough.
  expect(waitsForFetch(fixture, 100_000)).toBe(40_000);
  expect([...fixture.state.transfers.values()][0]!.source?.kind).toBe("manager");
  // The manager sent 100 MB in 1 s: the minimum holds, and is doubled for each time before.
  expect(waitsForFetch(fixture, 19_900)).toBe(19_900);
});

test("hurryTransfer() leaves a slow transfer alone while there is no other source", () => {
  const fixture = new ManagerFixture({ minTransferTimeoutMs: 1_000, defaultTransferRate: 1e9 });
  const file = fixture.local("database", LARGE);
  fixture.joins("a");
  const task = fixture.submits({ inputs: [file] });
  const [transferId] = fixture.state.transfers.keys();
  fixture.passes(3_600_000);
  expect([...fixture.state.transfers.keys()]).toEqual([transferId!]);
  expect(fixture.state.managerSource.faultCount).toBe(0);
  fixture.brings("a");
  fixture.finishes("a", task);
  expect(fixture.outcome(task)).toBe("success");
});

test("hurryTransfer() makes the answer of the slow source void, and passes it over for a while", () => {
  const fixture = new ManagerFixture({ minTransferTimeoutMs: 1_000, defaultTransferRate: 1e9 });
  const file = fetching(fixture);
  const [slow] = fixture.state.transfers.keys();
  fixture.passes(1_000);
  expect(fixture.fetches).toEqual(["b database from manager"]);
  expect(fixture.state.workers.get(idOf("a"))!.source.asideUntilMs).toBeGreaterThan(fixture.nowMs);
  fixture.says("b", {
    kind: "transfer_failed",
    transferId: slow!,
    name: "database" as never,
    generation: 0,
    message: "late",
    canRetry: true,
  });
  expect(fixture.state.transfers.size).toBe(1);
  fixture.brings("b", LARGE.sizeBytes);
  expect(fixture.file(file).readyCount).toBe(2);
  expect(fixture.state.workers.get(idOf("b"))!.lieCount).toBe(0);
});

test("wakeForSource() sets no timer for each transfer, however many there are", () => {
  const fixture = new ManagerFixture({ transfersFromManager: 1_000 });
  fixture.joins("a", { cores: 600 });
  const files = Array.from({ length: 500 }, (_, index) => fixture.local(`file ${index}`, LARGE));
  fixture.submits(...files.map((file) => ({ inputs: [file] })));
  expect(fixture.state.transfers.size).toBe(500);
  expect(fixture.state.deadlines.items.length).toBeLessThan(10);
});

test("reviewTransfers() takes up what waits for a peer when peers may pass on no more", () => {
  const fixture = new ManagerFixture({ transfersFromManager: 1, transfersPerWorker: 1 });
  const file = fixture.local("database", LARGE);
  for (const worker of ["a", "b", "c"]) fixture.joins(worker);
  fixture.submits(...["a", "b", "c"].map(() => ({ inputs: [file] })));
  fixture.brings(fixture.fetches[0]!.split(" ")[0]!);
  // One comes from the peer, one waits for it.
  expect(fixture.fetches.length).toBe(1);
  fixture.tunes({ peerTransfers: false });
  expect(fixture.fetches.map((fetch) => fetch.split(" ").at(-1))).toEqual(["manager"]);
});

test("reviewTransfers() has a file come from its holder when peers may pass on after all", () => {
  const fixture = new ManagerFixture({ peerTransfers: false });
  for (const worker of ["a", "b"]) fixture.joins(worker, { features: [worker] });
  const temp = fixture.temp("temp");
  fixture.finishes("a", fixture.submits({ outputs: [temp], features: ["a"] }));
  fixture.submits({ inputs: [temp], features: ["b"] });
  expect(fixture.collects).toEqual(["temp from a"]);
  fixture.tunes({ peerTransfers: true });
  expect(fixture.fetches).toEqual(["b temp from a"]);
  expect([fixture.state.stranded.size, fixture.state.deliveries.size]).toEqual([0, 0]);
});

test("reviewTransfers() brings a temp by way of the manager when peers may pass on no more", () => {
  const fixture = new ManagerFixture({ transfersPerWorker: 1 });
  for (const worker of ["a", "b", "c"]) fixture.joins(worker, { features: [worker] });
  const temp = fixture.temp("temp");
  fixture.finishes("a", fixture.submits({ outputs: [temp], features: ["a"] }));
  fixture.submits({ inputs: [temp], features: ["b"] }, { inputs: [temp], features: ["c"] });
  expect(fixture.fetches).toEqual(["b temp from a"]);
  fixture.tunes({ peerTransfers: false });
  expect(fixture.collects).toEqual(["temp from a"]);
  fixture.delivers(temp);
  expect(fixture.fetches).toEqual(["c temp from manager"]);
});
