import { expect, test } from "bun:test";

import type { CacheName } from "../../../shared/ids.ts";
import { NO_RESOURCES } from "../../../shared/resources.ts";
import { factsOf, WorkerFixture } from "./fixture.ts";

const MODULE = factsOf("module");

test("startMake() waits for all that a command needs, then runs it within the room there is", () => {
  const fixture = WorkerFixture.connected({ cores: 2, cached: [factsOf("one")] });
  const transferId = fixture.makesByCommand("made", { inputs: ["one", "two", "one"] });
  expect(fixture.making).toEqual([]);
  fixture.brings(fixture.fetches("two"), factsOf("two"));
  expect(fixture.making).toEqual(["made 1"]);
  expect(fixture.state.used.cores).toBe(1);
  fixture.isGiven(1, { inputs: ["made"] });
  fixture.brings(transferId, factsOf("made"));
  expect(fixture.toldOf("replica_ready")).toMatchObject([{ transferId }]);
  expect(fixture.orders).toEqual(["run 1.1"]);
  expect(fixture.state.waiters.size + fixture.state.makes.size).toBe(0);
});

test("startMakes() has a command wait for running tries, and lets no other try go before it", () => {
  const fixture = WorkerFixture.connected({ cores: 2 });
  fixture.isGiven(1, { cores: 2 });
  const transferId = fixture.makesByCommand("made", { cores: 2 });
  fixture.isGiven(2, { cores: 1 });
  fixture.finishes(1);
  expect([fixture.making, fixture.orders]).toEqual([["made 2"], ["make made"]]);
  fixture.brings(transferId, factsOf("made"));
  expect(fixture.orders).toEqual(["run 2.1"]);
});

test("startMakes() takes what cores there are when all that it asked for do not come in time", () => {
  const fixture = WorkerFixture.connected({ cores: 4 });
  fixture.isGiven(1, { cores: 3 });
  fixture.makesByCommand("made", { cores: 4 });
  fixture.passes(5_000);
  expect(fixture.making).toEqual([]);
  fixture.passes(5_000);
  expect(fixture.making).toEqual(["made 1"]);
});

test("startMakes() gives a command the limits that it states, whatever room is free", () => {
  const fixture = WorkerFixture.connected({ cores: 4 });
  fixture.isGiven(1, { memoryBytes: 2 ** 34 - 1_000 });
  fixture.makesByCommand("made", { memoryBytes: 5_000, diskBytes: 700 });
  fixture.passes(10_000);
  expect(fixture.instructions.find(({ kind }) => kind === "make")).toMatchObject({
    order: { recipe: { resources: { memoryBytes: 5_000, diskBytes: 700 } } },
  });
});

test("startMakes() does not wait for instances, which may stay, nor for more than there is", () => {
  const fixture = WorkerFixture.connected({ cores: 2, cached: [MODULE] });
  fixture.startsInstance(1, { resources: { ...NO_RESOURCES, cores: 2 } });
  fixture.feed({ kind: "instance_ready", instanceId: 1 as never });
  // A call there waits for what the command makes.
  fixture.isGiven(1, { library: "digits", inputs: ["made"] });
  const transferId = fixture.makesByCommand("made", { cores: 8 });
  expect(fixture.making).toEqual(["made 0"]);
  fixture.brings(transferId, factsOf("made"));
  expect(fixture.orders).toEqual(["call 1 in 1"]);
});

test("deleteFile() takes a command back that waits for room, and stops one that runs", () => {
  const fixture = WorkerFixture.connected();
  fixture.isGiven(1, {});
  fixture.makesByCommand("made");
  fixture.deletes("made");
  expect(fixture.toldOf("replica_gone").length).toBe(1);
  fixture.finishes(1);
  expect(fixture.orders).toEqual([]);
  const transferId = fixture.makesByCommand("made");
  fixture.deletes("made");
  expect(fixture.orders).toEqual([`stop transfer ${transferId}`]);
  fixture.brings(transferId, factsOf("made"), "stopped");
  expect(fixture.toldOf("replica_gone").length).toBe(1);
  expect(fixture.state.used.cores).toBe(0);
});

test("startMakes() fails a command whose input went while it waited for room", () => {
  const fixture = WorkerFixture.connected({ cached: [factsOf("query")] });
  fixture.isGiven(1, {});
  const transferId = fixture.makesByCommand("made", { inputs: ["query"] });
  fixture.deletes("query");
  fixture.finishes(1);
  expect(fixture.toldOf("transfer_failed")).toMatchObject([{ transferId, canRetry: true }]);
});

test("endTransfer() trusts nothing that was made of an input to which a try wrote", () => {
  const fixture = WorkerFixture.connected({ cores: 2, cached: [factsOf("query")] });
  fixture.isGiven(1, { inputs: ["query"] });
  const transferId = fixture.makesByCommand("made", { inputs: ["query"] });
  fixture.finishes(1, { outcome: "input_modified", modified: ["query"] });
  fixture.brings(transferId, factsOf("made"));
  expect(fixture.orders).toEqual(["delete made 0"]);
  expect(fixture.toldOf("transfer_failed")).toMatchObject([{ transferId, canRetry: true }]);
});

test("endTransfer() repeats tries that shared an input with a command that wrote to it", () => {
  const fixture = WorkerFixture.connected({ cores: 2, cached: [factsOf("query")] });
  fixture.isGiven(1, { inputs: ["query"] });
  const transferId = fixture.makesByCommand("made", { inputs: ["query"] });
  fixture.brings(transferId, factsOf("made"), "it wrote to its input", ["query" as CacheName]);
  expect(fixture.toldOf("replica_gone")).toMatchObject([{ name: "query" }]);
  fixture.finishes(1);
  expect(fixture.toldOf("result")).toMatchObject([{ result: { isAmbiguous: true } }]);
});
