import { expect, test } from "bun:test";

import type { TaskId } from "../../../shared/ids.ts";
import { ManagerFixture } from "./fixture.ts";
import { idOf } from "./wishes.ts";

/** What the last step told of tries, tasks and workers, as `KIND TRY OUTCOME`. */
function toldBy({ facts }: ManagerFixture): string[] {
  return facts.flatMap((fact) => {
    switch (fact.kind) {
      case "try_started":
      case "try_returned":
        return [`${fact.kind} ${fact.try}`];
      case "try_ended":
        return [`${fact.kind} ${fact.try} ${fact.outcome}`];
      case "task_ended":
      case "recovery_ended":
        return [`${fact.kind} ${fact.outcome}`];
      case "outputs_lost":
      case "recovery_started":
      case "worker_joined":
      case "worker_reconnected":
      case "worker_left":
        return [fact.kind];
      default:
        return [];
    }
  });
}

test("tellEnd() tells of a try that runs and is called off at once, and not once more", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const task = fixture.submits({});
  fixture.starts("a", task);
  fixture.cancels(task);
  expect(toldBy(fixture)).toEqual(["try_ended 1 cancelled", "task_ended cancelled"]);
  fixture.finishes("a", task, { outcome: "cancelled" });
  expect(toldBy(fixture)).toEqual([]);
});

test("tellReturn() tells of a try that is called off before it has started", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const task = fixture.submits({});
  fixture.cancels(task);
  expect(toldBy(fixture)).toEqual(["try_returned 1", "task_ended cancelled"]);
  // It had started meanwhile.
  fixture.starts("a", task);
  expect(toldBy(fixture)).toEqual([]);
});

test("tellEnd() tells why a try cannot start whose input does not come", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  fixture.submits({ inputs: [fixture.local("data")] });
  fixture.failsToBring("a", { canRetry: false });
  expect(toldBy(fixture)).toEqual(["try_ended 1 transfer_failed", "task_ended transfer_failed"]);
  const ended = fixture.facts.find(({ kind }) => kind === "try_ended");
  expect(ended).toMatchObject({ message: "broken" });
});

test("leaveWorker() ends tries, and a worker that comes back before it is gone has left", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const task: TaskId = fixture.submits({});
  fixture.starts("a", task);
  fixture.says("a", { kind: "leaving", reason: "wall time" });
  expect(toldBy(fixture)).toEqual(["worker_left"]);
  fixture.returns("a", { tries: [{ taskId: task, try: 1, phase: "running" }] });
  expect(toldBy(fixture)).toEqual([]);
  fixture.finishes("a", task);
  expect(toldBy(fixture)).toEqual([]);
  fixture.exits("a");
  expect(toldBy(fixture)).toEqual([]);
});

test("loseRetrieval() tells that outputs were lost of a try that had succeeded", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const output = fixture.declares({ kind: "manager" }, {}, undefined);
  fixture.feed({
    kind: "file_bound",
    fileId: output,
    bound: {
      name: "out" as never,
      sizeBytes: -1,
      digest: "",
      isDirectory: false,
      isExecutable: false,
    },
  });
  const task = fixture.submits({ outputs: [output] });
  fixture.starts("a", task);
  fixture.finishes("a", task);
  expect(toldBy(fixture)).toEqual(["try_ended 1 success"]);
  fixture.exits("a");
  expect(toldBy(fixture)).toEqual(["worker_left", "outputs_lost"]);
});

test("tryRecoveryAgain() tells that the run before has ended", () => {
  const fixture = new ManagerFixture({ recoveryTries: 2 });
  fixture.joins("a");
  const temp = fixture.temp("temp");
  const maker = fixture.submits({ outputs: [temp] });
  fixture.finishes("a", maker);
  fixture.submits({ inputs: [temp], features: ["none has it"] });
  fixture.exits("a");
  expect(toldBy(fixture)).toEqual(["worker_left", "recovery_started"]);
  fixture.joins("b");
  fixture.finishes("b", maker, { outcome: "exit", message: "status 1" });
  expect(toldBy(fixture)).toEqual(["try_ended 2 exit", "recovery_ended exit", "recovery_started"]);
});

test("failTransfer() gives another attempt another number, and tells each end once", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  fixture.submits({ inputs: [fixture.local("data")] });
  const told: [kind: string, id: number, bytes: number][] = [];
  const note = () => {
    for (const fact of fixture.facts) {
      if ("transferId" in fact) told.push([fact.kind, fact.transferId, fact.movedBytes]);
    }
  };
  note();
  fixture.failsToBring("a", { movedBytes: 300 });
  note();
  fixture.passes(10_000);
  note();
  fixture.brings("a");
  note();
  const [first, , second] = told.map(([, id]) => id);
  expect(first).not.toBe(second);
  expect(told).toEqual([
    ["transfer_started", first!, 0],
    ["transfer_failed", first!, 300],
    ["transfer_started", second!, 0],
    ["transfer_ended", second!, 1_000],
  ]);
  expect(fixture.state.counters.managerToWorkerBytes).toBe(1_300);
});

test("callOffTransfer() tells that nobody waits for the file there any more", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const data = fixture.local("data");
  const task = fixture.submits({ inputs: [data] });
  fixture.feed({ kind: "file_undeclared", fileId: data });
  fixture.cancels(task);
  expect(fixture.facts).toContainEqual(expect.objectContaining({
    kind: "transfer_called_off",
    fileId: data,
    workerId: idOf("a"),
  }));
});
