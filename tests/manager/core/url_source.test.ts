import { expect, test } from "bun:test";

import type { FileId } from "../../../shared/ids.ts";
import { factsOf, ManagerFixture } from "./fixture.ts";
import { idOf } from "./wishes.ts";

/** Workers of which each runs only what asks for its own feature. */
function joinsEach(fixture: ManagerFixture, ...names: string[]): void {
  for (const name of names) fixture.joins(name, { cores: 8, features: [name] });
}

/** Has each worker need the file. */
function needsAt(fixture: ManagerFixture, file: FileId, ...names: string[]): void {
  fixture.submits(...names.map((name) => ({ inputs: [file], features: [name] })));
}

test("awaitsPeer() has a url fetched once, and the others take it from there", () => {
  const fixture = new ManagerFixture();
  const file = fixture.url("data");
  joinsEach(fixture, "a", "b", "c");
  needsAt(fixture, file, "a", "b", "c");
  expect(fixture.fetches).toEqual(["a data from url"]);
  fixture.brings("a");
  expect(fixture.fetches).toEqual(["b data from a", "c data from a"]);
  fixture.brings("b");
  fixture.brings("c");
  expect(fixture.state.urlSources.size).toBe(0);
});

test("awaitsPeer() waits for a holder that is busy rather than ask the url again", () => {
  const fixture = new ManagerFixture({ transfersPerWorker: 1 });
  const file = fixture.url("data");
  joinsEach(fixture, "a", "b", "c");
  needsAt(fixture, file, "a", "b", "c");
  fixture.brings("a");
  expect(fixture.fetches).toEqual(["b data from a"]);
  fixture.brings("b");
  expect(fixture.fetches.length).toBe(1);
  expect(fixture.fetches[0]).toStartWith("c data from ");
  expect(fixture.fetches[0]).not.toBe("c data from url");
});

test("awaitsPeer() asks the url as often as it may where peers do not share", () => {
  const fixture = new ManagerFixture({ transfersPerUrl: 2 });
  const file = fixture.url("data", { peerTransfer: false });
  joinsEach(fixture, "a", "b", "c");
  needsAt(fixture, file, "a", "b", "c");
  expect(fixture.fetches).toEqual(["a data from url", "b data from url"]);
  fixture.brings("a");
  expect(fixture.fetches).toEqual(["c data from url"]);
});

test("awaitsPeer() sends a worker to the url that can reach nobody who has the file", () => {
  const fixture = new ManagerFixture();
  const file = fixture.url("data");
  joinsEach(fixture, "a", "b");
  needsAt(fixture, file, "a", "b");
  fixture.brings("a");
  expect(fixture.fetches).toEqual(["b data from a"]);
  fixture.failsToBring("b", { isUnreachable: true });
  expect(fixture.fetches).toEqual(["b data from url"]);
});

test("failTransfer() has another worker ask the url when the first one failed", () => {
  const fixture = new ManagerFixture();
  const file = fixture.url("data");
  joinsEach(fixture, "a", "b", "c");
  needsAt(fixture, file, "a", "b", "c");
  fixture.failsToBring("a");
  expect(fixture.fetches).toEqual(["b data from url"]);
  fixture.brings("b");
  expect(fixture.fetches).toEqual(["c data from b"]);
  fixture.passes(10_000);
  expect(fixture.fetches).toEqual(["a data from b"]);
});

test("loseWorker() lets another worker ask the url", () => {
  const fixture = new ManagerFixture();
  const file = fixture.url("data");
  joinsEach(fixture, "a", "b");
  needsAt(fixture, file, "a", "b");
  fixture.exits("a");
  expect(fixture.fetches).toEqual(["b data from url"]);
});

test("noteUrlFailure() fails all who wait when the server refuses, with what it said", () => {
  const fixture = new ManagerFixture();
  const file = fixture.url("data");
  joinsEach(fixture, "a", "b", "c");
  needsAt(fixture, file, "a", "b", "c");
  fixture.failsToBring("a", { canRetry: false });
  for (const end of fixture.ends.values()) {
    expect(end).toMatchObject({ outcome: "transfer_failed", message: "broken" });
  }
  expect(fixture.ends.size).toBe(3);
  expect(fixture.fetches).toEqual([]);
  expect(fixture.state.urlSources.size).toBe(0);
  // Nothing is remembered against the url.
  needsAt(fixture, file, "a");
  expect(fixture.fetches).toEqual(["a data from url"]);
});

test("noteUrlFailure() gives a url up after three failures, whichever workers had them", () => {
  const fixture = new ManagerFixture();
  const file = fixture.url("data");
  const workers = ["a", "b", "c", "d"];
  joinsEach(fixture, ...workers);
  needsAt(fixture, file, ...workers);
  for (const worker of ["a", "b"]) {
    expect(fixture.fetches).toEqual([`${worker} data from url`]);
    fixture.failsToBring(worker);
  }
  expect(fixture.ends.size).toBe(0);
  fixture.failsToBring("c");
  expect(fixture.ends.size).toBe(4);
  fixture.passes(60_000);
  expect(fixture.state.transfers.size).toBe(0);
});

test("noteUrlFailure() leaves it to each host what its own disks have", () => {
  const fixture = new ManagerFixture();
  const file = fixture.url("data", { host: "" });
  joinsEach(fixture, "a", "b");
  needsAt(fixture, file, "a", "b");
  fixture.failsToBring("a", { canRetry: false });
  expect(fixture.ends.size).toBe(1);
  expect(fixture.fetches).toEqual(["b data from url"]);
});

test("failTransfer() ends tasks as input_modified when a url has changed", () => {
  const fixture = new ManagerFixture();
  const file = fixture.url("data");
  fixture.joins("a");
  const task = fixture.submits({ inputs: [file] });
  const [transfer] = fixture.state.transfers.values();
  const { transferId } = transfer!;
  fixture.says("a", {
    kind: "transfer_failed",
    transferId,
    name: fixture.file(file).bound!.name,
    generation: 0,
    message: "it has changed",
    canRetry: false,
    isModified: true,
  });
  expect(fixture.ends.get(task)).toMatchObject({
    outcome: "input_modified",
    message: "it has changed",
  });
});

test("readyReplica() takes no second version of a url, and has the first fetched", () => {
  const fixture = new ManagerFixture();
  const file = fixture.url("data", { peerTransfer: false });
  joinsEach(fixture, "a", "b");
  needsAt(fixture, file, "a", "b");
  const [first, second] = [...fixture.state.transfers.values()];
  const says = (worker: string, transferId: never, digest: string) =>
    fixture.says(worker, {
      kind: "replica_ready",
      transferId,
      file: factsOf("data", 0, digest),
      movedBytes: 1_000,
    });
  says("a", first!.transferId as never, "one");
  says("b", second!.transferId as never, "other");
  expect(fixture.toldOf("b", "delete")).toMatchObject({ name: "data" });
  expect(fixture.file(file).replicas.get(fixture.state.workers.get(idOf("b"))!)?.state).toBe(
    "pending",
  );
  fixture.passes(10_000);
  const again = fixture.instructions.find(({ kind }) => kind === "fetch");
  expect(again).toMatchObject({ order: { digest: "one", sizeBytes: 1_000 } });
});

test("sourceRef() tells workers by what a url was named", () => {
  const fixture = new ManagerFixture();
  const origin = { kind: "url", url: "http://h/x", host: "h:80", isOutput: false } as const;
  const file = fixture.declares(origin, {});
  const bound = { name: "x" as never, sizeBytes: 5, digest: "", isDirectory: false };
  const validator = '"1"';
  fixture.feed({
    kind: "file_bound",
    fileId: file,
    bound: { ...bound, isExecutable: false, validator },
  });
  fixture.joins("a");
  fixture.submits({ inputs: [file] });
  const [fetch] = fixture.instructions.filter(({ kind }) => kind === "fetch");
  expect(fetch).toMatchObject({ from: { kind: "url", url: "http://h/x", validator } });
});
