import { expect, test } from "bun:test";

import type { CacheName, WorkerId } from "../../../shared/ids.ts";
import type { FetchSource } from "../../../shared/protocol.ts";
import { factsOf, WorkerFixture } from "./fixture.ts";

test("startFetch() answers at once for a file that is here", () => {
  const fixture = WorkerFixture.connected({ cached: [factsOf("query")] });
  const transferId = fixture.fetches("query");
  expect(fixture.orders).toEqual([]);
  expect(fixture.told).toEqual([
    { kind: "replica_ready", transferId, file: factsOf("query"), movedBytes: 0 },
  ]);
});

test("startFetch() brings one file once and answers the newest order for it", () => {
  const fixture = WorkerFixture.connected();
  const first = fixture.fetches("query");
  const second = fixture.fetches("query");
  expect(fixture.orders).toEqual([]);
  fixture.brings(first, factsOf("query"));
  expect(fixture.toldOf("replica_ready")).toMatchObject([{ transferId: second }]);
});

test("startFetch() of another making stops the one under way", () => {
  const fixture = WorkerFixture.connected();
  const first = fixture.fetches("temp", 1);
  const second = fixture.fetches("temp", 2);
  expect(fixture.orders).toEqual([`stop transfer ${first}`, "fetch temp"]);
  // The first comes all the same: it goes as it came.
  fixture.brings(first, factsOf("temp", 1));
  expect(fixture.orders).toEqual(["delete temp 1"]);
  expect(fixture.told).toEqual([]);
  fixture.brings(second, factsOf("temp", 2));
  expect(fixture.toldOf("replica_ready")).toMatchObject([{ transferId: second }]);
});

const PEER: FetchSource = { kind: "worker", workerId: "w2" as WorkerId, urls: [], ticket: "" };

test("startFetch() from another source stops the one under way, and takes what comes first", () => {
  const fixture = WorkerFixture.connected();
  const first = fixture.fetches("temp", 1, PEER);
  const second = fixture.fetches("temp", 1);
  expect(fixture.orders).toEqual([`stop transfer ${first} for another`, "fetch temp"]);
  fixture.brings(first, factsOf("temp", 1));
  expect(fixture.orders).toEqual([`stop transfer ${second}`]);
  expect(fixture.toldOf("replica_ready")).toMatchObject([{ transferId: second }]);
  // The other one was at its end as well: the same making, and no reason to remove it.
  fixture.brings(second, factsOf("temp", 1));
  expect(fixture.orders).toEqual([]);
  expect(fixture.state.cache.has("temp" as CacheName)).toBe(true);
});

test("endTransfer() reports a failure under the newest number", () => {
  const fixture = WorkerFixture.connected();
  const first = fixture.fetches("query");
  const second = fixture.fetches("query");
  fixture.brings(first, factsOf("query"), "connection reset");
  expect(fixture.told).toMatchObject([
    { kind: "transfer_failed", transferId: second, message: "connection reset", canRetry: true },
  ]);
  expect(fixture.state.transfers.size + fixture.state.transfersByName.size).toBe(0);
});

test("endTransfer() says when the source could not be reached at all", () => {
  const fixture = WorkerFixture.connected();
  const transferId = fixture.fetches("query");
  const outcome = {
    kind: "failed",
    message: "nobody",
    canRetry: true,
    isUnreachable: true,
  } as const;
  const end = { ...factsOf("query"), transferId, movedBytes: 0, outcome };
  fixture.feed({ ...end, kind: "transfer_ended" });
  expect(fixture.toldOf("transfer_failed")).toMatchObject([{ transferId, isUnreachable: true }]);
});

test("deleteFile() removes a file and answers, also when there is none", () => {
  const fixture = WorkerFixture.connected({ cached: [factsOf("temp", 2)] });
  fixture.deletes("temp", 1);
  expect(fixture.orders).toEqual([]);
  expect(fixture.told).toEqual([{ kind: "replica_gone", name: "temp", generation: 1 }] as never);
  fixture.deletes("temp", 2);
  expect(fixture.orders).toEqual(["delete temp 2"]);
  expect(fixture.told).toEqual([{ kind: "replica_gone", name: "temp", generation: 2 }] as never);
});

test("deleteFile() stops a transfer and answers when it has ended", () => {
  const fixture = WorkerFixture.connected();
  const transferId = fixture.fetches("query");
  fixture.deletes("query");
  expect(fixture.orders).toEqual([`stop transfer ${transferId}`]);
  expect(fixture.told).toEqual([]);
  fixture.brings(transferId, factsOf("query"));
  expect(fixture.orders).toEqual(["delete query 0"]);
  expect(fixture.toldOf("replica_gone").length).toBe(1);
  expect(fixture.state.cache.size).toBe(0);
});

test("deleteFile() of one making leaves the transfer of another alone", () => {
  const fixture = WorkerFixture.connected({ cached: [factsOf("temp", 3)] });
  const transferId = fixture.fetches("temp", 4);
  fixture.deletes("temp", 3);
  expect(fixture.orders).toEqual(["delete temp 3"]);
  fixture.brings(transferId, factsOf("temp", 4));
  expect(fixture.toldOf("replica_ready")).toMatchObject([{ transferId, file: { generation: 4 } }]);
});

test("deleteFile() then fetch in one frame brings the file anew", () => {
  const fixture = WorkerFixture.connected();
  const first = fixture.fetches("query");
  fixture.deletes("query");
  const second = fixture.fetches("query");
  expect(fixture.orders).toEqual(["fetch query"]);
  expect(fixture.toldOf("replica_gone").length).toBe(1);
  fixture.brings(first, factsOf("query"), "stopped");
  expect(fixture.told).toEqual([]);
  fixture.brings(second, factsOf("query"));
  expect(fixture.toldOf("replica_ready")).toMatchObject([{ transferId: second }]);
});

test("startMake() waits for its input, then makes the file once", () => {
  const fixture = WorkerFixture.connected();
  const transferId = fixture.makes("env", "env.tar");
  expect(fixture.orders).toEqual([]);
  fixture.brings(fixture.fetches("env.tar"), factsOf("env.tar"));
  expect(fixture.orders).toEqual(["make env"]);
  fixture.isGiven(1, { environments: ["env"] });
  expect(fixture.orders).toEqual([]);
  fixture.brings(transferId, factsOf("env"));
  expect(fixture.orders).toEqual(["run 1.1"]);
  expect(fixture.state.waiters.size).toBe(0);
});

test("startMake() that was called off before its input came makes nothing", () => {
  const fixture = WorkerFixture.connected();
  fixture.makes("env", "env.tar");
  fixture.deletes("env");
  expect(fixture.toldOf("replica_gone").length).toBe(1);
  fixture.brings(fixture.fetches("env.tar"), factsOf("env.tar"));
  expect(fixture.orders).toEqual([]);
});

test("removeFile() sends a queued try back to staging", () => {
  const fixture = WorkerFixture.connected({ cached: [factsOf("query")] });
  fixture.isGiven(1, {}, { inputs: ["query"] });
  fixture.deletes("query");
  fixture.finishes(1);
  expect(fixture.orders).toEqual([]);
  fixture.brings(fixture.fetches("query"), factsOf("query"));
  expect(fixture.orders).toEqual(["run 2.1"]);
});
