import { expect, test } from "bun:test";

import type { InstanceId } from "../../../shared/ids.ts";
import { factsOf, WorkerFixture } from "./fixture.ts";

test("verifyFile() keeps what has not started from reading a file until it was looked at", () => {
  const fixture = WorkerFixture.connected({ cores: 2, cached: [factsOf("data")] });
  fixture.isAsked("data");
  expect(fixture.orders).toEqual(["verify data 0"]);
  fixture.isGiven(1, { inputs: ["data"] });
  fixture.isAsked("data");
  expect(fixture.orders).toEqual([]);
  fixture.verifies("data", true);
  expect(fixture.orders).toEqual(["run 1.1"]);
  expect(fixture.toldOf("replica_verified")).toMatchObject([{ name: "data", generation: 0 }]);
});

test("verifyFile() holds back a try that waits for room with all its files there", () => {
  const fixture = WorkerFixture.connected({ cached: [factsOf("data")] });
  fixture.isGiven(1, { inputs: [] }, { inputs: ["data"] });
  fixture.isAsked("data");
  fixture.finishes(1);
  expect(fixture.orders).toEqual([]);
  fixture.verifies("data", true);
  expect(fixture.orders).toEqual(["run 2.1"]);
});

test("verifyFile() says at once that a file is not there", () => {
  const fixture = WorkerFixture.connected({ cached: [factsOf("data", 2)] });
  fixture.isAsked("data", 1);
  expect(fixture.told).toMatchObject([{ kind: "replica_gone", name: "data", generation: 1 }]);
});

test("endVerification() drops a damaged file, and who waits for it waits for another copy", () => {
  const fixture = WorkerFixture.connected({ cached: [factsOf("data")] });
  fixture.isAsked("data");
  fixture.isGiven(1, { inputs: ["data"] });
  fixture.verifies("data", false);
  expect(fixture.orders).toEqual(["delete data 0"]);
  expect(fixture.told).toMatchObject([{ kind: "replica_gone", name: "data", generation: 0 }]);
  fixture.brings(fixture.fetches("data"), factsOf("data"));
  expect(fixture.orders).toEqual(["run 1.1"]);
});

test("endVerification() lets no success count that has read a damaged file", () => {
  const fixture = WorkerFixture.connected({ cores: 2, cached: [factsOf("data")] });
  fixture.isGiven(1, { inputs: ["data"], outputs: ["out"] }, { inputs: [] });
  fixture.verifies("data", false);
  fixture.finishes(1);
  expect(fixture.orders).toEqual(["delete out 1"]);
  expect(fixture.toldOf("result")).toMatchObject([
    { result: { outcome: "input_modified", isAmbiguous: true, outputs: [] } },
  ]);
  fixture.finishes(2);
  expect(fixture.toldOf("result")).toMatchObject([{ result: { outcome: "success" } }]);
});

test("endVerification() lets no call count that has read a damaged file", () => {
  const cached = [factsOf("data"), factsOf("module")];
  const fixture = WorkerFixture.connected({ cores: 2, cached });
  fixture.startsInstance(1);
  fixture.feed({ kind: "instance_ready", instanceId: 1 as InstanceId });
  fixture.isGiven(1, { library: "digits", inputs: ["data"] });
  fixture.verifies("data", false);
  fixture.answers(1);
  expect(fixture.toldOf("result")).toMatchObject([{ result: { outcome: "input_modified" } }]);
});

test("endVerification() says nothing of a file that was deleted meanwhile", () => {
  const fixture = WorkerFixture.connected({ cached: [factsOf("data")] });
  fixture.isAsked("data");
  fixture.deletes("data");
  expect(fixture.toldOf("replica_gone").length).toBe(1);
  fixture.verifies("data", false);
  expect([fixture.told, fixture.orders]).toEqual([[], []]);
});
