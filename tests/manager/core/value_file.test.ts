import { expect, test } from "bun:test";

import { taskOfValue, valueFileId } from "../../../manager/core/value_file.ts";
import type { CacheName, TaskId } from "../../../shared/ids.ts";
import { VALUE_BYTES_MAX } from "../../../shared/protocol.ts";
import { instanceAt, ManagerFixture } from "./fixture.ts";

const CALL = { library: "digits" };
const LARGE = { valueBytes: 2_000_000 };

/** A library at worker `a`, and a call there that has returned a large value. */
function withValue(): { fixture: ManagerFixture; call: TaskId } {
  const fixture = new ManagerFixture({ dispatchAheadMs: 0 });
  fixture.library("digits", fixture.local("module"));
  fixture.joins("a");
  const call = fixture.submits(CALL);
  fixture.finishes("a", call, LARGE);
  return { fixture, call };
}

/** The worker of the value is gone, and another one is there. */
function lost(): { fixture: ManagerFixture; call: TaskId; reader: TaskId } {
  const { fixture, call } = withValue();
  fixture.joins("b");
  fixture.exits("a");
  const reader = fixture.submits({ inputs: [valueFileId(call)] });
  return { fixture, call, reader };
}

test("declareValue() makes a large value a temp of its call, and a small one nothing", () => {
  const { fixture, call } = withValue();
  const file = fixture.file(valueFileId(call));
  expect(file).toMatchObject({ origin: { kind: "temp" }, generation: 1, readyCount: 1 });
  expect([file.producer?.definition.taskId, taskOfValue(file.fileId)]).toEqual([call, call]);
  expect(fixture.ends.get(call)?.result?.valueFile?.name).toBe(
    `value-manager-${call}` as CacheName,
  );
  const small = fixture.submits(CALL);
  fixture.finishes("a", small);
  expect(fixture.outcome(small)).toBe("success");
  expect(fixture.state.files.has(valueFileId(small))).toBe(false);
  expect(fixture.state.tasks.has(small)).toBe(false);
  expect(taskOfValue(fixture.local("other"))).toBeUndefined();
});

test("undeclareFile() of a value removes it, and its call with it", () => {
  const { fixture, call } = withValue();
  const fileId = valueFileId(call);
  fixture.feed({ kind: "file_undeclared", fileId });
  expect(fixture.toldOf("a", "delete")).toMatchObject({
    name: `value-manager-${call}`,
    generation: 1,
  });
  expect(fixture.state.files.has(fileId)).toBe(false);
  expect(fixture.state.tasks.has(call)).toBe(false);
});

test("declareValue() is not asked when a lost value is made again, of whatever size", () => {
  const { fixture, call, reader } = lost();
  expect(fixture.toldOf("b", "dispatch")?.tasks).toMatchObject([{
    taskId: call,
    hasValueFile: true,
  }]);
  fixture.finishes("b", call, { valueBytes: 10 });
  expect(fixture.file(valueFileId(call))).toMatchObject({ generation: 2, readyCount: 1 });
  fixture.finishes("b", reader);
  expect(fixture.outcome(reader)).toBe("success");
  expect(fixture.ends.get(call)?.try).toBe(1);
});

test("finishTask() gives up a value whose call fails when it is run again", () => {
  const { fixture, call, reader } = lost();
  for (let count = 1; count <= 5; count++) {
    fixture.finishes("b", call, { outcome: "call_error", message: "Error: no" });
  }
  expect(fixture.ends.get(reader)).toMatchObject({
    outcome: "input_missing",
    message: `Cannot make file "value-manager-${call}" again: task ${call}, which makes it, ` +
      "ended as call_error: Error: no",
  });
});

test("endTry() drops a large value of a call that runs again for another output", () => {
  const fixture = new ManagerFixture({ dispatchAheadMs: 0 });
  fixture.library("digits", fixture.local("module"));
  fixture.joins("a");
  const temp = fixture.temp("made");
  const call = fixture.submits({ ...CALL, outputs: [temp] });
  fixture.finishes("a", call);
  fixture.joins("b");
  fixture.exits("a");
  fixture.submits({ inputs: [temp] });
  fixture.finishes("b", call, LARGE);
  expect(fixture.toldOf("b", "delete")).toMatchObject({
    name: `value-manager-${call}`,
    generation: 2,
  });
  expect(fixture.state.files.has(valueFileId(call))).toBe(false);
});

test("endTry() of a cancelled call has its value deleted", () => {
  const fixture = new ManagerFixture({ dispatchAheadMs: 0 });
  fixture.library("digits", fixture.local("module"));
  fixture.joins("a");
  const call = fixture.submits(CALL);
  const result = fixture.result("a", call, LARGE);
  fixture.cancels(call);
  fixture.says("a", { kind: "result", result });
  expect(fixture.toldOf("a", "delete")).toMatchObject({ name: `value-manager-${call}` });
});

for (
  const [what, change] of [
    ["another name", { name: "value-manager-77" as CacheName }],
    ["another generation", { generation: 2 }],
    ["a directory", { isDirectory: true }],
    ["a small file", { sizeBytes: VALUE_BYTES_MAX }],
  ] as const
) {
  test(`valueLie() believes no value of ${what}`, () => {
    const fixture = new ManagerFixture({ dispatchAheadMs: 0 });
    fixture.library("digits", fixture.local("module"));
    fixture.joins("a");
    const call = fixture.submits(CALL);
    const result = fixture.result("a", call, LARGE);
    const valueFile = { ...result.valueFile!, ...change };
    fixture.says("a", { kind: "result", result: { ...result, valueFile } });
    expect(fixture.instructions.filter(({ kind }) => kind === "refused").length).toBe(1);
    expect(fixture.outcome(call)).toBeUndefined();
  });
}

test("valueLie() believes no value of a command, of a failure, or beside another", () => {
  const fixture = new ManagerFixture({ dispatchAheadMs: 0 });
  fixture.library("digits", fixture.local("module"));
  fixture.joins("a", { cores: 4 });
  const refused = () => fixture.instructions.filter(({ kind }) => kind === "refused").length;
  const command = fixture.submits({});
  fixture.finishes("a", command, LARGE);
  expect(refused()).toBe(1);
  const call = fixture.submits(CALL);
  const result = { ...fixture.result("a", call, LARGE), value: new Uint8Array(1) };
  fixture.says("a", { kind: "result", result });
  expect(refused()).toBe(1);
  fixture.finishes("a", call, { ...LARGE, outcome: "call_error" });
  expect([refused(), fixture.outcome(call)]).toEqual([1, "call_error"]);
});

test("reconcile() keeps the value of a result that is to come", () => {
  const fixture = new ManagerFixture({ dispatchAheadMs: 0 });
  fixture.library("digits", fixture.local("module"));
  fixture.joins("a");
  const call = fixture.submits(CALL);
  const result = fixture.result("a", call, LARGE);
  const instanceId = instanceAt(fixture, "a");
  fixture.breaks("a");
  const held = { ...result.valueFile!, level: "workflow" } as const;
  const strange = { ...held, name: "value-manager-99" as CacheName };
  const instances = [{ instanceId, library: "digits", isReady: true }];
  const results = [{ taskId: call, try: 1 }];
  fixture.returns("a", { results, instances, replicas: [held, strange] });
  expect(fixture.toldOf("a", "reconcile")?.replicas).toMatchObject([
    { name: held.name, verdict: "keep" },
    { name: strange.name, verdict: "delete" },
  ]);
  fixture.says("a", { kind: "result", result });
  expect(fixture.file(valueFileId(call)).readyCount).toBe(1);
});
