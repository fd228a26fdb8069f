import { expect, test } from "bun:test";

import { urlSource } from "../../../manager/core/source.ts";
import type { CacheName, FileId } from "../../../shared/ids.ts";
import { ManagerFixture } from "./fixture.ts";
import { idOf } from "./wishes.ts";

const LARGE = { sizeBytes: 10_000_000 };

test("beginTransfer() has small contents come from the manager though a peer has them", () => {
  const fixture = new ManagerFixture();
  const file = fixture.local("query");
  fixture.joins("a");
  fixture.submits({ inputs: [file] });
  expect(fixture.fetches).toEqual(["a query from manager"]);
  fixture.brings("a");
  fixture.joins("b");
  fixture.submits({ inputs: [file] }, { inputs: [file] }, { inputs: [file] });
  expect(fixture.fetches).toEqual(["b query from manager"]);
});

test("beginTransfer() has each worker make an environment, though peers have it", () => {
  const fixture = new ManagerFixture();
  const archive = fixture.local("env.tar", LARGE);
  const environment = fixture.environment("env", archive);
  for (const worker of ["a", "b"]) {
    fixture.joins(worker);
    fixture.submits({ environments: [environment] });
    expect(fixture.toldOf(worker, "make")).toMatchObject({ name: "env" });
    fixture.brings(worker);
    expect(fixture.fetches.filter((fetch) => fetch.includes(" env "))).toEqual([]);
  }
});

test("chooseSource() leaves a file to the peers once it was sent as often as may be at a time", () => {
  const fixture = new ManagerFixture({ transfersFromManager: 2, transfersPerWorker: 1 });
  const file = fixture.local("database", LARGE);
  const workers = ["a", "b", "c", "d", "e"];
  for (const worker of workers) fixture.joins(worker);
  fixture.submits(...workers.map(() => ({ inputs: [file], cores: 1 })));
  const [first, second] = fixture.fetches.map((fetch) => fetch.split(" ")[0]!);
  expect(fixture.fetches.map((fetch) => fetch.split(" ").at(-1))).toEqual(["manager", "manager"]);
  fixture.brings(first!);
  // The manager has a slot, the peer has none: those who wait do so for the peer.
  expect(fixture.fetches.map((fetch) => fetch.split(" ").at(-1))).toEqual([first]);
  fixture.brings(second!);
  expect(fixture.fetches.map((fetch) => fetch.split(" ").at(-1))).toEqual([second]);
  expect(fixture.file(file).firstHandCount).toBe(2);
});

test("chooseSource() goes back to the manager when the peers are gone", () => {
  const fixture = new ManagerFixture({ transfersFromManager: 1, transfersPerWorker: 1 });
  const file = fixture.local("database", LARGE);
  for (const worker of ["a", "b", "c"]) fixture.joins(worker);
  fixture.submits(...["a", "b", "c"].map(() => ({ inputs: [file] })));
  const [first = ""] = fixture.fetches[0]!.split(" ");
  fixture.brings(first);
  expect(fixture.fetches.length).toBe(1);
  fixture.exits(first);
  expect(fixture.fetches.map((fetch) => fetch.split(" ").at(-1))).toEqual(["manager"]);
});

test("chooseSource() has a holder send a large file to three at a time, a small one to more", () => {
  for (const [sizeBytes, count] of [[100_000_000, 3], [1_000_000, 5]] as const) {
    const fixture = new ManagerFixture({ transfersFromManager: 1 });
    const file = fixture.local("database", { sizeBytes });
    const workers = ["a", "b", "c", "d", "e", "f"];
    for (const worker of workers) fixture.joins(worker);
    fixture.submits(...workers.map(() => ({ inputs: [file] })));
    fixture.brings(fixture.fetches[0]!.split(" ")[0]!);
    expect(fixture.fetches.length).toBe(count);
  }
});

test("beginTransfer() never exceeds transfersPerWorker in a broadcast to many workers", () => {
  const fixture = new ManagerFixture({ transfersFromManager: 1, transfersPerWorker: 3 });
  const file = fixture.local("database", LARGE);
  const names = Array.from({ length: 40 }, (_, index) => `w${index}`);
  for (const name of names) fixture.joins(name);
  fixture.submits(...names.map(() => ({ inputs: [file] })));
  const holders = new Set<string>();
  let rounds = 0;
  let waiting = fixture.fetches;
  // Every round each fetch of the one before is done; what that frees starts the next ones.
  while (waiting.length > 0) {
    rounds += 1;
    const next: string[] = [];
    for (const fetch of waiting) {
      const worker = fetch.split(" ")[0]!;
      fixture.brings(worker);
      holders.add(worker);
      next.push(...fixture.fetches);
    }
    waiting = next;
  }
  expect(holders.size).toBe(40);
  // Growth is geometric: one source would have taken 40 rounds.
  expect(rounds).toBeLessThan(8);
  expect(fixture.state.transfers.size).toBe(0);
});

test("beginTransfer() leaves peers alone when the file forbids them", () => {
  const fixture = new ManagerFixture({ transfersFromManager: 1 });
  const file = fixture.local("secret", { ...LARGE, peerTransfer: false });
  fixture.joins("a");
  fixture.submits({ inputs: [file] });
  fixture.brings("a");
  fixture.joins("b");
  fixture.submits({ inputs: [file] }, { inputs: [file] }, { inputs: [file] });
  expect(fixture.fetches).toEqual(["b secret from manager"]);
});

test("beginTransfer() keeps transfersPerUrl for each host", () => {
  const fixture = new ManagerFixture({ transfersPerUrl: 1 });
  const files = [
    fixture.url("x1", { host: "x" }),
    fixture.url("x2", { host: "x" }),
    fixture.url("y1", { host: "y" }),
  ];
  fixture.joins("a", { cores: 3 });
  fixture.submits(...files.map((file) => ({ inputs: [file] })));
  expect(fixture.fetches).toEqual(["a x1 from url", "a y1 from url"]);
  fixture.brings("a");
  expect(fixture.fetches).toEqual(["a x2 from url"]);
});

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

test("offerSlots() passes over a file that the source cannot serve any more", () => {
  const fixture = new ManagerFixture({ transfersPerWorker: 1 });
  joinsEach(fixture, "a", "b", "c", "d", "e", "f");
  const [busy, both, only] = ["busy", "both", "only"].map((name) => made(fixture, "a", name));
  const other = made(fixture, "b", "other");
  fixture.submits({ inputs: [both!], features: ["b"] });
  fixture.brings("b");
  // a and b each serve one; the next one waits for both, the one after for a alone.
  fixture.submits({ inputs: [busy!], features: ["c"] }, { inputs: [other], features: ["d"] });
  expect(fixture.fetches).toEqual(["c busy from a", "d other from b"]);
  fixture.submits({ inputs: [both!], features: ["e"] });
  fixture.submits({ inputs: [only!], features: ["f"] });
  expect(fixture.fetches).toEqual([]);
  fixture.says("a", { kind: "replica_gone", name: "both" as CacheName, generation: 1 });
  fixture.brings("c");
  expect(fixture.fetches).toEqual(["f only from a"]);
});

test("startQueued() waits for a busy worker that has got the file meanwhile", () => {
  const fixture = new ManagerFixture({ transfersPerWorker: 1 });
  joinsEach(fixture, "a", "b", "c", "d");
  const file = made(fixture, "a", "file");
  const other = made(fixture, "b", "other");
  fixture.submits({ inputs: [other], features: ["c"] }, { inputs: [file], features: ["b"] });
  fixture.submits({ inputs: [file], features: ["d"] });
  expect(fixture.fetches).toEqual([]);
  fixture.breaks("a");
  fixture.brings("b");
  fixture.passes(3_000);
  expect(fixture.fetches).toEqual([]);
  fixture.brings("c");
  expect(fixture.fetches).toEqual(["d file from b"]);
});

test("loseSource() lets transfers from a lost worker start again elsewhere", () => {
  const fixture = new ManagerFixture();
  joinsEach(fixture, "a", "b");
  const file = fixture.local("file", LARGE);
  fixture.submits({ inputs: [file], features: ["a"] });
  fixture.brings("a");
  fixture.submits({ inputs: [file], features: ["b"] });
  expect(fixture.fetches).toEqual(["b file from a"]);
  fixture.exits("a");
  expect(fixture.fetches).toEqual(["b file from manager"]);
});

test("failTransfer() tries again after a delay, from another source if there is one", () => {
  const fixture = new ManagerFixture();
  const file = fixture.local("database", LARGE);
  fixture.joins("a");
  fixture.submits({ inputs: [file] });
  fixture.brings("a");
  fixture.joins("b", { cores: 4 });
  fixture.submits({ inputs: [file], cores: 4 });
  expect(fixture.fetches).toEqual(["b database from a"]);
  fixture.joins("c");
  fixture.failsToBring("b");
  expect(fixture.fetches).toEqual([]);
  fixture.passes(100);
  expect(fixture.fetches.length).toBe(1);
});

test("failTransfer() fails the tries that need the file when every attempt has failed", () => {
  const fixture = new ManagerFixture();
  const file = fixture.local("database", LARGE);
  fixture.joins("a");
  const task = fixture.submits({ inputs: [file] });
  for (let attempt = 1; attempt < 6; attempt++) {
    fixture.failsToBring("a");
    fixture.passes(10_000);
    expect(fixture.outcome(task)).toBeUndefined();
  }
  fixture.failsToBring("a");
  expect(fixture.outcome(task)).toBe("transfer_failed");
  expect(fixture.state.transfers.size).toBe(0);
  expect(fixture.state.workers.get(idOf("a"))?.replicas.size).toBe(0);
});

test("failTransfer() does not repeat what cannot work", () => {
  const fixture = new ManagerFixture();
  const file = fixture.local("database", LARGE);
  fixture.joins("a");
  const task = fixture.submits({ inputs: [file] });
  fixture.failsToBring("a", { canRetry: false });
  expect(fixture.outcome(task)).toBe("transfer_failed");
});

test("urlSource() enters no host from which nothing has come yet", () => {
  const { state } = new ManagerFixture();
  urlSource(state, "example.org");
  expect(state.urlSources.size).toBe(0);
});

test("leaveQueue() forgets the host of a url that peers have passed on", () => {
  const fixture = new ManagerFixture({ transfersPerUrl: 1, transfersPerWorker: 1 });
  const url = fixture.url("url", { host: "example.org" });
  for (const worker of ["a", "b", "c"]) fixture.joins(worker, { cores: 1, features: [worker] });
  const asks = (worker: string) => fixture.submits({ inputs: [url], features: [worker] });
  asks("a");
  fixture.brings("a");
  asks("b");
  asks("c");
  // It waits for a peer, and would take a slot of the host if the peers went.
  expect(fixture.state.urlSources.size).toBe(1);
  fixture.brings("b");
  fixture.brings("c");
  expect(fixture.file(url).readyCount).toBe(3);
  expect(fixture.state.urlSources.size).toBe(0);
});
