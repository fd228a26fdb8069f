import { expect, test } from "bun:test";

import type { FileId, TaskId, TransferId } from "../../../shared/ids.ts";
import { ManagerFixture } from "./fixture.ts";

/** The number of the newest order that `worker` was given to store a file. */
function orderOf(fixture: ManagerFixture, worker: string): TransferId {
  const order = fixture.toldOf(worker, "send");
  if (order === undefined) throw new Error(`${worker} was told to store nothing`);
  return order.transferId;
}

/** A task at `a` that has made an output for a url. */
function makes(fixture: ManagerFixture, name = "out"): { file: FileId; task: TaskId } {
  const file = fixture.urlOutput(name);
  const task = fixture.submits({ outputs: [file] });
  fixture.finishes("a", task);
  return { file, task };
}

test("queueStore() has an output stored at its url, and the task settles when it is there", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const { file, task } = makes(fixture);
  const to = { kind: "url", url: "http://host/out" } as const;
  expect(fixture.toldOf("a", "send")).toMatchObject({ name: "out", generation: 1, to });
  const transferId = orderOf(fixture, "a");
  expect(fixture.outcome(task)).toBeUndefined();
  fixture.says("a", { kind: "stored", transferId });
  expect(fixture.outcome(task)).toBe("success");
  expect(fixture.toldOf("a", "result_ack")).toMatchObject({ tries: [{ taskId: task, try: 1 }] });
  expect(fixture.facts).toContainEqual(
    expect.objectContaining({ kind: "transfer_ended", fileId: file, from: "worker", to: "url" }),
  );
  expect(fixture.state.counters.workerToUrlBytes).toBe(1_000);
  expect(fixture.state.urlSources.size).toBe(0);
  // The answer is told again.
  fixture.says("a", { kind: "stored", transferId });
  expect(fixture.state.workers.values().next().value?.lieCount).toBe(0);
});

test("startStores() keeps transfersPerUrl, with fetches of the same host in it", () => {
  const fixture = new ManagerFixture({ transfersPerUrl: 2 });
  fixture.joins("a", { cores: 4 });
  const input = fixture.url("input");
  fixture.submits({ inputs: [input] });
  const outputs = ["x", "y"].map((name) => fixture.urlOutput(name));
  const other = fixture.urlOutput("z", { host: "other" });
  const tasks = [...outputs, other].map((file) => fixture.submits({ outputs: [file] }));
  fixture.finishes("a", tasks[0]!);
  const first = orderOf(fixture, "a");
  fixture.finishes("a", tasks[1]!);
  expect(fixture.toldOf("a", "send")).toBeUndefined();
  fixture.finishes("a", tasks[2]!);
  expect(fixture.toldOf("a", "send")).toMatchObject({ name: "z" });
  fixture.says("a", { kind: "stored", transferId: first });
  expect(fixture.toldOf("a", "send")).toMatchObject({ name: "y" });
});

test("startStores() starts more at once when transfersPerUrl is raised", () => {
  const fixture = new ManagerFixture({ transfersPerUrl: 1 });
  fixture.joins("a", { cores: 2 });
  makes(fixture, "one");
  makes(fixture, "two");
  const policies = { ...fixture.state.policies, transfersPerUrl: 2 };
  fixture.feed({ kind: "policies_set", policies });
  expect(fixture.toldOf("a", "send")).toMatchObject({ name: "two" });
});

test("retryDelivery() orders a store again, and gives up after three", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const { task } = makes(fixture);
  for (let attempt = 1; attempt <= 3; attempt++) {
    const transferId = orderOf(fixture, "a");
    fixture.says("a", { kind: "send_failed", transferId, message: "busy" });
  }
  expect(fixture.ends.get(task)).toMatchObject({ outcome: "transfer_failed", message: "busy" });
  expect(fixture.state.urlSources.size).toBe(0);
});

test("retryDelivery() repeats nothing that is final", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const { task } = makes(fixture);
  const transferId = orderOf(fixture, "a");
  fixture.says("a", { kind: "send_failed", transferId, message: "forbidden", isFinal: true });
  expect(fixture.ends.get(task)).toMatchObject({
    outcome: "transfer_failed",
    message: "forbidden",
  });
});

test("loseWorker() runs a task again whose output was on its way to a url", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const { task } = makes(fixture);
  fixture.exits("a");
  expect(fixture.task(task)).toMatchObject({ lossCount: 1, state: { kind: "ready" } });
  fixture.joins("b");
  expect(fixture.dispatched).toEqual(["b 1.2"]);
  fixture.finishes("b", task);
  fixture.says("b", { kind: "stored", transferId: orderOf(fixture, "b") });
  expect(fixture.outcome(task)).toBe("success");
});

test("loseWorker() has all outputs of one run, though a url had one of them", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const [one, other] = [fixture.urlOutput("one"), fixture.urlOutput("other", { host: "b" })];
  const task = fixture.submits({ outputs: [one, other] });
  fixture.finishes("a", task);
  fixture.says("a", { kind: "stored", transferId: orderOf(fixture, "a") });
  fixture.exits("a");
  fixture.joins("b");
  expect(fixture.toldOf("b", "dispatch")?.tasks[0]?.outputs.map(({ name }) => name)).toEqual(
    ["one", "other"] as never,
  );
});

test("orderStore() is repeated to a worker that comes back", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const { task } = makes(fixture);
  const before = orderOf(fixture, "a");
  fixture.breaks("a");
  fixture.returns("a", {
    results: [{ taskId: task, try: 1 }],
    replicas: [{ ...fixture.lastFacts("out"), level: "workflow" }],
  });
  const transferId = orderOf(fixture, "a");
  expect(transferId).not.toBe(before);
  fixture.says("a", { kind: "stored", transferId });
  expect(fixture.outcome(task)).toBe("success");
});

test("stopStore() calls off what a cancelled task was storing", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const { task } = makes(fixture);
  const transferId = orderOf(fixture, "a");
  fixture.cancels(task);
  expect(fixture.toldOf("a", "stop_send")).toEqual({ kind: "stop_send", transferId });
  expect(fixture.state.deliveries.size).toBe(0);
  fixture.says("a", { kind: "send_failed", transferId, message: "stopped" });
});

test("isAtUrl() has an output come from its worker, and from its url when that is gone", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a", { features: ["a"] });
  const file = fixture.urlOutput("out");
  const task = fixture.submits({ outputs: [file], features: ["a"] });
  const readers = [fixture.submits({ inputs: [file], features: ["b"] })];
  expect(fixture.task(readers[0]!).state.kind).toBe("waiting");
  fixture.finishes("a", task);
  const transferId = orderOf(fixture, "a");
  fixture.joins("b", { features: ["b"], cores: 2 });
  expect(fixture.fetches).toEqual(["b out from a"]);
  fixture.says("a", { kind: "stored", transferId });
  fixture.exits("a");
  expect(fixture.fetches).toEqual(["b out from url"]);
  const order = fixture.instructions.find(({ kind }) => kind === "fetch");
  expect(order).toMatchObject({ order: { digest: `out by ${task}`, generation: 1 } });
});

test("isAtUrl() is false of an output that was lost before it was stored", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a", { features: ["a"] });
  fixture.joins("b", { features: ["b"] });
  const file = fixture.urlOutput("out");
  const task = fixture.submits({ outputs: [file], features: ["a"] });
  const reader = fixture.submits({ inputs: [file], features: ["b"] });
  fixture.finishes("a", task);
  expect(fixture.fetches).toEqual(["b out from a"]);
  fixture.exits("a");
  expect(fixture.fetches).toEqual([]);
  expect(fixture.task(reader).state.kind).toBe("waiting");
});

test("endStore() counts a lie of a worker that says so of what the manager waits for", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const task = fixture.submits({ outputs: [fixture.local("x")] });
  fixture.finishes("a", task);
  const [collect] = fixture.instructions.filter(({ kind }) => kind === "collect");
  const { transferId } = collect as { transferId: TransferId };
  fixture.says("a", { kind: "stored", transferId });
  expect(fixture.outcome(task)).toBeUndefined();
  fixture.says("a", { kind: "stored", transferId: 10_000 as TransferId });
  const [worker] = fixture.state.workers.values();
  expect(worker?.lieCount).toBe(2);
});
