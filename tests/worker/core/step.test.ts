import { expect, test } from "bun:test";

import { tryKey } from "../../../worker/core/state.ts";
import { factsOf, WorkerFixture } from "./fixture.ts";

test("step() says hello with all that the manager cannot know", () => {
  const fixture = WorkerFixture.connected({ cores: 2, cached: [factsOf("kept")] });
  fixture.isGiven(1, {}, { inputs: ["absent"] }, {});
  fixture.finishes(3);
  fixture.feed({ kind: "connection_closed" });
  fixture.feed({ kind: "connection_opened", peer: { urls: [] } });
  expect(fixture.toldOf("hello")).toMatchObject([{
    session: "session",
    tries: [
      { taskId: 1, try: 1, phase: "running" },
      { taskId: 2, try: 1, phase: "staging" },
    ],
    results: [{ taskId: 3, try: 1 }],
    replicas: [{ name: "kept", generation: 0, level: "workflow" }],
  }]);
});

test("step() holds what comes up until reconcile, then says it after the results", () => {
  const fixture = WorkerFixture.connected({ cores: 2 });
  fixture.isGiven(1, {}, {});
  fixture.finishes(1);
  fixture.feed({ kind: "connection_closed" });
  fixture.feed({ kind: "connection_opened", peer: { urls: [] } });
  fixture.finishes(2);
  expect(fixture.told).toEqual([]);
  fixture.hears({
    kind: "reconcile",
    tries: [{ taskId: 2 as never, try: 1, verdict: "keep" }],
    results: [{ taskId: 1 as never, try: 1, verdict: "resend" }],
    replicas: [],
    instances: [],
  });
  expect(fixture.toldOf("result").map(({ result }) => result.taskId)).toEqual([1, 2] as never);
});

test("step() keeps a result until it is acknowledged", () => {
  const fixture = WorkerFixture.connected();
  fixture.isGiven(1, {});
  fixture.finishes(1);
  expect(fixture.state.results.size).toBe(1);
  fixture.hears({ kind: "result_ack", tries: [{ taskId: 1 as never, try: 1 }] });
  expect(fixture.state.results.size).toBe(0);
});

test("step() forgets results on the verdicts acknowledge and discard only", () => {
  const fixture = WorkerFixture.connected({ cores: 4 });
  fixture.isGiven(1, {}, {}, {}, {});
  for (const taskId of [1, 2, 3, 4]) fixture.finishes(taskId);
  fixture.feed({ kind: "connection_closed" });
  const verdicts = ["resend", "keep", "acknowledge", "discard"] as const;
  fixture.connects({
    results: verdicts.map((verdict, index) => ({ taskId: index + 1 as never, try: 1, verdict })),
  });
  expect([...fixture.state.results.keys()]).toEqual([
    tryKey({ taskId: 1, try: 1 }),
    tryKey({ taskId: 2, try: 1 }),
  ]);
  expect(fixture.toldOf("result").length).toBe(1);
});

test("step() tells of all tries that it started in one message", () => {
  const fixture = WorkerFixture.connected({ cores: 2 });
  fixture.isGiven(1, {}, {});
  expect(fixture.told).toEqual([
    { kind: "tries_started", tries: [{ taskId: 1, try: 1 }, { taskId: 2, try: 1 }] },
  ] as never);
});

test("step() answers an order to send a file that it does not have", () => {
  const fixture = WorkerFixture.connected({ cached: [factsOf("output", 2)] });
  const to = { kind: "manager", ticket: "" } as const;
  const order = { kind: "send", transferId: 5 as never, name: "output" as never, to } as const;
  fixture.hears({ ...order, generation: 2 });
  expect(fixture.orders).toEqual(["put output"]);
  fixture.hears({ ...order, generation: 1 });
  expect(fixture.toldOf("send_failed")).toMatchObject([{ transferId: 5 }]);
});

test("step() tells of what was sent to a url, and stops it when nobody waits for it", () => {
  const fixture = WorkerFixture.connected({ cached: [factsOf("output", 2)] });
  const to = { kind: "url", url: "http://host/output" } as const;
  const transferId = 5 as never;
  fixture.hears({ kind: "send", transferId, name: "output" as never, generation: 2, to });
  fixture.feed({ kind: "stored", transferId });
  expect(fixture.toldOf("stored")).toMatchObject([{ transferId }]);
  fixture.feed({ kind: "send_failed", transferId, message: "no", isFinal: true });
  expect(fixture.toldOf("send_failed")).toMatchObject([{ transferId, isFinal: true }]);
  fixture.hears({ kind: "stop_send", transferId });
  expect(fixture.orders).toEqual(["stop transfer 5"]);
});
