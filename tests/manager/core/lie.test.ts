import { expect, test } from "bun:test";

import type { WorkerReport } from "../../../manager/core/event.ts";
import { LIES_MAX } from "../../../manager/core/lie.ts";
import type { CacheName, InstanceId, TaskId, TransferId } from "../../../shared/ids.ts";
import type { OutputFacts, TryResult } from "../../../shared/task.ts";
import { factsOf, ManagerFixture } from "./fixture.ts";
import { idOf } from "./wishes.ts";

/** What the last step refused to believe. */
function lies(fixture: ManagerFixture): string[] {
  return fixture.instructions.flatMap((told) => told.kind === "refused" ? [told.what] : []);
}

const LARGE = { sizeBytes: 10_000_000 };
const FAR = 1_000_000;

const STRANGE: readonly WorkerReport[] = [
  { kind: "tries_started", tries: [{ taskId: FAR as TaskId, try: 1 }] },
  { kind: "recalled", taskId: FAR as TaskId, try: 1 },
  {
    kind: "replica_ready",
    transferId: FAR as TransferId,
    file: factsOf("file"),
    movedBytes: 1,
  },
  {
    kind: "transfer_failed",
    transferId: FAR as TransferId,
    name: "file" as CacheName,
    generation: 0,
    message: "",
    canRetry: true,
  },
  { kind: "send_failed", transferId: FAR as TransferId, message: "" },
  { kind: "instance_ready", instanceId: FAR as InstanceId },
  { kind: "instance_gone", instanceId: FAR as InstanceId, reason: "died", message: "" },
];

for (const message of STRANGE) {
  test(`checkGiven() counts a ${message.kind} of what was never given, which changes nothing`, () => {
    const fixture = new ManagerFixture();
    fixture.joins("a");
    const task = fixture.submits({});
    fixture.says("a", message);
    expect(lies(fixture).length).toBe(1);
    fixture.finishes("a", task);
    expect(fixture.outcome(task)).toBe("success");
  });
}

test("tryAt() gives no worker the try of another one", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  fixture.joins("b", { features: ["b"] });
  const task = fixture.submits({ features: ["b"] });
  const result = fixture.result("b", task);
  fixture.says("a", { kind: "result", result });
  expect(lies(fixture)).toEqual([`try 1 of task ${task} was never given to it`]);
  expect(fixture.outcome(task)).toBeUndefined();
  fixture.says("b", { kind: "result", result });
  expect([lies(fixture), fixture.outcome(task)]).toEqual([[], "success"]);
});

test("tryAt() does not take a try for another one whose key is the same", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const [first, second] = [fixture.submits({}), fixture.submits({})];
  const result = { ...fixture.result("a", second), taskId: first, try: 65_537 };
  fixture.says("a", { kind: "result", result });
  expect(lies(fixture).length).toBe(1);
  expect(fixture.outcome(second)).toBeUndefined();
});

test("endTry() takes a result that comes twice once, and counts no lie", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const task = fixture.submits({});
  const result = fixture.result("a", task);
  fixture.says("a", { kind: "result", result }, { kind: "result", result });
  expect([lies(fixture), fixture.outcome(task)]).toEqual([[], "success"]);
});

/** What a worker may say of the outputs of a try instead of the truth. */
const FALSE_OUTPUTS: Readonly<Record<string, (truth: OutputFacts) => OutputFacts[]>> = {
  missing: () => [],
  "told twice": (truth) => [truth, truth],
  "of another making": (truth) => [{ ...truth, generation: 7 }],
  "of absurd size": (truth) => [{ ...truth, sizeBytes: 2 ** 52 }],
  "of another size than they ride with": (truth) => [{ ...truth, content: new Uint8Array(3) }],
  "those of another task": (truth) => [truth, { ...truth, name: "other" as CacheName }],
  "called by other contents": (truth) => {
    const name = `file-sha256-${"0".repeat(64)}` as CacheName;
    return [truth, { ...truth, name, digest: "1".repeat(64) }];
  },
};

for (const [what, make] of Object.entries(FALSE_OUTPUTS)) {
  test(`outputLie() voids a success whose outputs are ${what}, and the task runs again`, () => {
    const fixture = new ManagerFixture();
    fixture.joins("a");
    fixture.joins("b", { features: ["b"] });
    const [output, other] = [fixture.temp("output"), fixture.temp("other")];
    fixture.submits({ outputs: [other], features: ["b"] });
    const task = fixture.submits({ outputs: [output] });
    const [holder] = [...fixture.state.tasks.values()].flatMap(({ definition, state }) => {
      const isIt = definition.taskId === task && state.kind === "dispatched";
      return isIt ? [state.attempt.worker.workerId] : [];
    });
    const truth = fixture.result(holder!, task);
    const outputs = truth.outputs.flatMap(make);
    fixture.says(holder!, { kind: "result", result: { ...truth, outputs } });
    expect(lies(fixture).length).toBe(1);
    expect(fixture.outcome(task)).toBeUndefined();
    expect(fixture.task(task).tryCount).toBe(2);
    expect(fixture.file(output).isAvailable).toBe(false);
  });
}

test("outputLie() has a task end as lost when no worker tells the truth of it", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const task = fixture.submits({ outputs: [fixture.temp("output")], workerLosses: 1 });
  for (let count = 0; count < 2; count++) {
    const result: TryResult = { ...fixture.result("a", task), outputs: [] };
    fixture.says("a", { kind: "result", result });
  }
  expect(fixture.ends.get(task)).toMatchObject({
    outcome: "worker_lost",
    message: 'Cannot believe worker a on host of a: output "output" is missing from a success',
  });
});

test("discard() lets the result of an ended try delete nothing but what that try made", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a", { cores: 2 });
  const input = fixture.local("input");
  const reader = fixture.brought("a", { inputs: [input] });
  const cancelled = fixture.submits({});
  const result = fixture.result("a", cancelled);
  fixture.cancels(cancelled);
  const outputs = [{ ...factsOf("input"), generation: 0 }];
  fixture.says("a", { kind: "result", result: { ...result, outputs } });
  expect(fixture.toldOf("a", "delete")).toBeUndefined();
  fixture.finishes("a", reader);
  expect(fixture.outcome(reader)).toBe("success");
});

test("replicaLie() takes no copy that has other contents than the file", () => {
  for (
    const facts of [
      { sizeBytes: 5 },
      { digest: "1".repeat(64) },
      { isDirectory: true },
      { name: "other" as CacheName },
    ]
  ) {
    const fixture = new ManagerFixture();
    fixture.joins("a");
    const file = fixture.local("database", LARGE);
    fixture.submits({ inputs: [file] });
    const [transferId] = fixture.state.transfers.keys();
    const truth = { ...factsOf("database"), ...LARGE };
    fixture.says("a", {
      kind: "replica_ready",
      transferId: transferId!,
      file: { ...truth, ...facts },
      movedBytes: 1,
    });
    expect(lies(fixture).length).toBe(1);
    expect(fixture.file(file).readyCount).toBe(0);
    fixture.passes(1_000);
    expect(fixture.fetches).toEqual(["a database from manager"]);
  }
});

test("factsLie() finds no lie in a program that is named by its contents", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const digest = "0".repeat(64);
  const name = `file-sha256-${digest}-x`;
  const bound = { ...factsOf(name, 0, digest), ...LARGE, isExecutable: true };
  const program = fixture.declares({ kind: "manager" }, {}, bound);
  const task = fixture.submits({ inputs: [program] });
  const [transferId] = fixture.state.transfers.keys();
  const file = { ...factsOf(name, 0, digest), ...LARGE };
  fixture.says("a", { kind: "replica_ready", transferId: transferId!, file, movedBytes: 1 });
  expect([lies(fixture), fixture.file(program).readyCount]).toEqual([[], 1]);
  fixture.finishes("a", task);
  expect(fixture.outcome(task)).toBe("success");
});

test("readyReplica() takes no transfer of another worker", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a", { features: ["a"] });
  fixture.joins("b");
  const file = fixture.local("database", LARGE);
  fixture.submits({ inputs: [file], features: ["a"] });
  const [transferId] = fixture.state.transfers.keys();
  const facts = { ...factsOf("database"), ...LARGE };
  fixture.says("b", {
    kind: "replica_ready",
    transferId: transferId!,
    file: facts,
    movedBytes: 1,
  });
  expect(lies(fixture)).toEqual(["a transfer of another worker"]);
  expect(fixture.file(file).readyCount).toBe(0);
});

test("judgeReplica() has contents deleted that are not those of their name", () => {
  const fixture = new ManagerFixture();
  const name = `file-sha256-${"0".repeat(64)}`;
  const replica = { ...factsOf(name, 0, "1".repeat(64)), level: "forever" as const };
  fixture.joins("a", { hello: { replicas: [replica] } });
  expect(lies(fixture).length).toBe(1);
  expect(fixture.toldOf("a", "reconcile")?.replicas).toMatchObject([{ name, verdict: "delete" }]);
});

test("returnTry() counts tries given back that nobody asked for", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const taskId = fixture.submits({});
  fixture.says("a", { kind: "recalled", taskId, try: 1 });
  expect(lies(fixture).length).toBe(1);
  expect(fixture.task(taskId).tryCount).toBe(2);
});

test("learnDuration() learns no more than the time that the try was away", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const task = fixture.submits({});
  const { taskClass } = fixture.task(task);
  fixture.finishes("a", task, { ranMs: 1e15 });
  expect(taskClass.meanRanMs).toBeLessThan(10_000);
});

test("expelLiar() closes a connection with the last of its lies, and others go on", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  fixture.joins("b", { features: ["b"] });
  const task = fixture.submits({ features: ["b"] });
  for (let count = 1; count < LIES_MAX; count++) fixture.says("a", STRANGE[0]!);
  expect(fixture.state.workers.has(idOf("a"))).toBe(true);
  fixture.says("a", STRANGE[0]!);
  expect(fixture.instructions).toContainEqual({
    kind: "disconnect",
    workerId: idOf("a"),
    session: fixture.session("a"),
    reason: 'Cannot believe worker "a": it said 16 things that cannot be; the last: ' +
      "try 1 of task 1000000 was never given to it",
  });
  expect(fixture.state.workers.has(idOf("a"))).toBe(false);
  fixture.finishes("b", task);
  expect(fixture.outcome(task)).toBe("success");
});

test("noteLie() starts anew with a connection, and counts nothing that comes late", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const task = fixture.submits({});
  const result = fixture.result("a", task);
  for (let count = 1; count < LIES_MAX; count++) fixture.says("a", STRANGE[0]!);
  fixture.breaks("a");
  fixture.passes(60_000);
  fixture.joins("a");
  fixture.says("a", { kind: "result", result }, {
    kind: "tries_started",
    tries: [{ taskId: task, try: 1 }],
  });
  expect(lies(fixture)).toEqual([]);
  for (let count = 1; count < LIES_MAX; count++) fixture.says("a", STRANGE[0]!);
  fixture.returns("a");
  fixture.says("a", STRANGE[0]!);
  expect(fixture.state.workers.get(idOf("a"))?.lieCount).toBe(1);
});
