import { expect, test } from "bun:test";

import type { CacheName, FileId, TaskId } from "../../../shared/ids.ts";
import type { ManagerInstruction } from "../../../manager/core/instruction.ts";
import { ManagerFixture } from "./fixture.ts";

type Collect = Extract<ManagerInstruction, { kind: "collect" }>;

function collectsOf(fixture: ManagerFixture): Collect[] {
  return fixture.instructions.filter((each): each is Collect => each.kind === "collect");
}

function delivers(fixture: ManagerFixture, deliveryId: number, isDelivered = true): void {
  fixture.feed({ kind: "delivery_ended", deliveryId, isDelivered, message: "no space left" });
}

/** Outputs whose contents are collected, one task each, all at `a`. */
function finishesWithOutputs(fixture: ManagerFixture, count: number): FileId[] {
  const files = Array.from({ length: count }, (_, index) => fixture.local(`output${index}`));
  fixture.joins("a", { cores: count });
  fixture.submits(...files.map((file) => ({ outputs: [file] })));
  return files;
}

test("deliverOutputs() settles a task when every output is in place", () => {
  const fixture = new ManagerFixture();
  const [one, other] = [fixture.local("one"), fixture.local("other")];
  fixture.joins("a");
  const task = fixture.submits({ outputs: [one, other] });
  fixture.finishes("a", task);
  const collects = collectsOf(fixture);
  expect(collects.map(({ file }) => file.name)).toEqual(["one", "other"] as never);
  delivers(fixture, collects[0]!.deliveryId);
  expect(fixture.outcome(task)).toBeUndefined();
  delivers(fixture, collects[1]!.deliveryId);
  expect(fixture.outcome(task)).toBe("success");
  expect(fixture.toldOf("a", "result_ack")).toMatchObject({ tries: [{ taskId: task, try: 1 }] });
});

test("requestFile() of a file that was given up at the same time is answered", () => {
  const fixture = new ManagerFixture();
  const temp = fixture.temp("temp");
  fixture.feed(
    { kind: "file_undeclared", fileId: temp },
    { kind: "file_requested", fileId: temp, requestId: 7 },
  );
  const message = `Cannot fetch file ${temp}: it was undeclared`;
  expect(fixture.instructions).toMatchObject([
    { kind: "file_delivered", requestId: 7, fileId: temp, isDelivered: false, message },
  ]);
});

test("deliverOutputs() stores small contents that rode in the result", () => {
  const fixture = new ManagerFixture();
  const file = fixture.local("output");
  fixture.joins("a");
  const task = fixture.submits({ outputs: [file] });
  fixture.finishes("a", task, { isInline: true });
  const [store] = fixture.instructions;
  expect(store).toMatchObject({ kind: "store", fileId: file });
  // The contents are here: the loss of the worker means nothing any more.
  fixture.exits("a");
  delivers(fixture, (store as { deliveryId: number }).deliveryId);
  expect(fixture.outcome(task)).toBe("success");
});

test("collectQueued() brings transfersToManager files at a time", () => {
  const fixture = new ManagerFixture({ transfersToManager: 2 });
  finishesWithOutputs(fixture, 3);
  const collects: Collect[] = [];
  for (const taskId of [1, 2, 3]) {
    fixture.finishes("a", taskId as TaskId);
    collects.push(...collectsOf(fixture));
  }
  expect(collects.length).toBe(2);
  delivers(fixture, collects[0]!.deliveryId);
  expect(collectsOf(fixture).length).toBe(1);
});

test("retryDelivery() orders a PUT again, and gives up after six", () => {
  const fixture = new ManagerFixture();
  finishesWithOutputs(fixture, 1);
  fixture.finishes("a", 1 as TaskId);
  for (let attempt = 1; attempt <= 5; attempt++) {
    const { transferId } = collectsOf(fixture)[0]!;
    fixture.says("a", { kind: "send_failed", transferId, message: "broken pipe" });
    expect(collectsOf(fixture).length).toBe(1);
  }
  const { transferId } = collectsOf(fixture)[0]!;
  fixture.says("a", { kind: "send_failed", transferId, message: "broken pipe" });
  expect(fixture.ends.get(1 as TaskId)).toMatchObject({
    outcome: "transfer_failed",
    message: "broken pipe",
  });
});

test("endDelivery() fails a task whose output cannot be put in place", () => {
  const fixture = new ManagerFixture();
  finishesWithOutputs(fixture, 1);
  fixture.finishes("a", 1 as TaskId);
  delivers(fixture, collectsOf(fixture)[0]!.deliveryId, false);
  expect(fixture.ends.get(1 as TaskId)).toMatchObject({
    outcome: "transfer_failed",
    message: "no space left",
  });
  expect(fixture.state.deliveries.size).toBe(0);
});

test("loseWorker() ends the try whose outputs were on their way, and counts the loss", () => {
  const fixture = new ManagerFixture();
  finishesWithOutputs(fixture, 1);
  const task = 1 as TaskId;
  fixture.finishes("a", task);
  const { deliveryId } = collectsOf(fixture)[0]!;
  fixture.exits("a");
  expect(fixture.instructions).toContainEqual({ kind: "abandon", deliveryId });
  expect(fixture.task(task)).toMatchObject({ lossCount: 1, state: { kind: "ready" } });
  fixture.joins("b");
  expect(fixture.dispatched).toEqual(["b 1.2"]);
});

test("loseRetrieval() has all outputs made again, though one had arrived", () => {
  const fixture = new ManagerFixture();
  const [one, other] = [fixture.local("one"), fixture.local("other")];
  fixture.joins("a");
  const task = fixture.submits({ outputs: [one, other] });
  fixture.finishes("a", task);
  delivers(fixture, collectsOf(fixture)[0]!.deliveryId);
  fixture.exits("a");
  fixture.joins("b");
  expect(fixture.toldOf("b", "dispatch")?.tasks[0]?.outputs.map(({ name }) => name)).toEqual(
    ["one", "other"] as never,
  );
  expect(fixture.file(one).isAtManager).toBe(false);
  fixture.finishes("b", task);
  for (const { deliveryId } of collectsOf(fixture)) delivers(fixture, deliveryId);
  const outputs = fixture.ends.get(task)?.result?.outputs ?? [];
  expect(outputs.map(({ name, generation }) => [name as string, generation])).toEqual([
    ["one", 2],
    ["other", 2],
  ]);
});

test("requestFile() answers at once what the manager has or can never have", () => {
  const fixture = new ManagerFixture();
  const here = fixture.local("here");
  const failed = fixture.declares({ kind: "manager" }, {});
  const outcome = "input_missing";
  fixture.feed({ kind: "file_failed", fileId: failed, outcome, message: "no such file" });
  fixture.feed({ kind: "file_requested", fileId: here, requestId: 1 }, {
    kind: "file_requested",
    fileId: failed,
    requestId: 2,
  });
  expect(fixture.instructions).toEqual([
    { kind: "file_delivered", requestId: 1, fileId: here, isDelivered: true, message: "" },
    {
      kind: "file_delivered",
      requestId: 2,
      fileId: failed,
      isDelivered: false,
      message: "no such file",
    },
  ]);
});

/** A temp that both `a` and `b` have, and its request. */
function requestsShared(fixture: ManagerFixture): FileId {
  const temp = fixture.temp("temp");
  fixture.joins("a");
  fixture.finishes("a", fixture.submits({ outputs: [temp] }));
  fixture.joins("b", { cores: 2 });
  fixture.finishes("b", fixture.brought("b", { inputs: [temp], cores: 2 }));
  fixture.feed({ kind: "file_requested", fileId: temp, requestId: 1 });
  return temp;
}

test("retryDelivery() asks another holder for what a user wants", () => {
  const fixture = new ManagerFixture();
  requestsShared(fixture);
  const [first] = collectsOf(fixture);
  const { workerId, transferId } = first!;
  fixture.says(workerId, { kind: "send_failed", transferId, message: "broken pipe" });
  const [second] = collectsOf(fixture);
  expect([first!.workerId, second!.workerId].toSorted()).toEqual(["a", "b"] as never);
  delivers(fixture, second!.deliveryId);
  expect(fixture.instructions).toMatchObject([{ kind: "file_delivered", isDelivered: true }]);
});

test("loseDeliveries() asks another holder when the first one is lost", () => {
  const fixture = new ManagerFixture();
  requestsShared(fixture);
  const [first] = collectsOf(fixture);
  fixture.exits(first!.workerId);
  const [second] = collectsOf(fixture);
  expect([first!.workerId, second!.workerId].toSorted()).toEqual(["a", "b"] as never);
});

test("requestFile() has a lost temp made again", () => {
  const fixture = new ManagerFixture();
  const temp = fixture.temp("temp");
  fixture.joins("a");
  const maker = fixture.submits({ outputs: [temp] });
  fixture.finishes("a", maker);
  fixture.exits("a");
  fixture.joins("b");
  fixture.feed({ kind: "file_requested", fileId: temp, requestId: 1 });
  expect(fixture.dispatched).toEqual([`b ${maker}.2`]);
  fixture.finishes("b", maker);
  expect(collectsOf(fixture)).toMatchObject([{ workerId: "b", file: { generation: 2 } }]);
});

test("collectAgain() has a task run again whose output was found damaged at its worker", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const task = fixture.submits({ outputs: [fixture.local("out")] });
  fixture.finishes("a", task);
  const { transferId } = collectsOf(fixture)[0]!;
  fixture.says(
    "a",
    { kind: "replica_gone", name: "out" as CacheName, generation: 1 },
    { kind: "send_failed", transferId, message: "it is not what it was" },
  );
  expect(fixture.dispatched).toEqual([`a ${task}.2`]);
  fixture.finishes("a", task);
  delivers(fixture, collectsOf(fixture)[0]!.deliveryId);
  expect(fixture.outcome(task)).toBe("success");
});
