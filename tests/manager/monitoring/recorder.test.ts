import { expect, test } from "bun:test";

import type { LibrarySpec } from "../../../manager/core/event.ts";
import type { FileId, TaskId } from "../../../shared/ids.ts";
import { until } from "../../until.ts";
import { instanceAt } from "../core/fixture.ts";
import { EPOCH_MS, RecordedCore } from "./recorded_run.ts";

const VALUE = new Uint8Array(5);

/** A core with a worker and an instance of a library there. */
function withLibrary(spec: Partial<LibrarySpec> = {}): RecordedCore {
  const core = new RecordedCore();
  core.joins("a");
  core.library("lib", core.local("module"), { slots: 2, ...spec });
  return core;
}

/** Submits calls, for which an instance starts. */
function callAll(core: RecordedCore, count: number): TaskId[] {
  const ids = Array.from({ length: count }, () => core.submits({ library: "lib" }));
  core.brings("a");
  core.says("a", { kind: "instance_ready", instanceId: instanceAt(core, "a") });
  return ids;
}

/** Ends the calls that are at their worker, until none is left. */
function endAll(core: RecordedCore, ids: readonly TaskId[]): void {
  for (let round = 0; core.ends.size < ids.length && round < ids.length; round++) {
    for (const taskId of ids) {
      const state = core.state.tasks.get(taskId)?.state;
      if (state?.kind !== "dispatched") continue;
      const result = { ...core.result("a", taskId, { ranMs: 2 }), value: VALUE };
      core.says("a", { kind: "result", result });
    }
  }
}

test("Recorder starts its writer with the first task or worker, and tells what came before", () => {
  const core = new RecordedCore();
  const file = core.local("data");
  core.recorder.hear([], 1);
  expect(core.startCount).toBe(0);
  core.joins("a");
  expect(core.kinds.slice(0, 3)).toEqual(["run_started", "file_declared", "file_bound"]);
  expect(core.startCount).toBe(1);
  expect(core.of("file_declared")).toMatchObject([{ fileId: file, fileKind: "buffer" }]);
});

test("Recorder.close() leaves no trace of a manager that had no task and no worker", () => {
  const core = new RecordedCore();
  core.local("data");
  core.recorder.close();
  expect([core.startCount, core.written.length]).toEqual([0, 0]);
});

test("Recorder tells the life of a task in order, at the time of each step", () => {
  const core = new RecordedCore();
  core.joins("a");
  core.tags.set(1, "red");
  const taskId = core.submits({ category: "big", memoryBytes: 1e9, priority: 3 });
  core.starts("a", taskId);
  core.finishes("a", taskId, { used: { memoryBytes: 5, cpuMs: 9 }, ranMs: 4 });
  core.recorder.flush();
  const told = core.written.filter(({ record }) => "taskId" in record);
  expect(told.map(({ record }) => record.kind)).toEqual([
    "task_submitted",
    "try_dispatched",
    "try_started",
    "try_ended",
    "task_ended",
  ]);
  expect(told.map(({ atMs }) => atMs - EPOCH_MS)).toEqual([20, 20, 30, 40, 40]);
  expect(core.of("task_submitted")).toMatchObject([{
    tag: "red",
    taskKind: "command",
    category: "big",
    priority: 3,
    requested: { memoryBytes: 1e9 },
  }]);
  expect(core.of("try_ended")[0]?.end).toMatchObject({ ranMs: 4, used: { cpuMs: 9 } });
});

test("Recorder keeps the ends of what a failure wrote, and of a success their sizes", () => {
  const core = new RecordedCore();
  core.joins("a", { cores: 2 });
  const [good, bad] = [core.submits({}), core.submits({})];
  const stderr = new TextEncoder().encode("é".repeat(4_000) + "!");
  for (const [taskId, outcome] of [[good, "success"], [bad, "exit"]] as const) {
    const result = { ...core.result("a", taskId, { outcome, used: {} }), stderr };
    core.says("a", { kind: "result", result });
  }
  const ends = core.of("try_ended").map(({ end }) => end);
  expect(ends.map((end) => end?.stderrBytes)).toEqual([8_001, 8_001]);
  expect(ends[0]?.stderrTail).toBeUndefined();
  // The cut falls into a character: what is left of it is not shown.
  expect(ends[1]?.stderrTail).toBe("é".repeat(2_047) + "!");
});

test("Recorder makes one record of many calls that end well, and none of their tries", () => {
  const core = withLibrary();
  core.tags.set(2, "odd");
  const ids = callAll(core, 6);
  endAll(core, ids);
  expect([...core.ends.keys()]).toEqual(ids);
  const kinds = new Set(core.kinds);
  for (const kind of ["task_submitted", "try_dispatched", "try_ended", "task_ended"] as const) {
    expect(kinds.has(kind)).toBe(false);
  }
  const [submitted] = core.of("calls_submitted");
  expect(submitted?.sorts.map(({ name, library }) => [library, name])).toEqual([["lib", "f"]]);
  expect([submitted?.taskId, submitted?.tags]).toEqual([ids, [[1, "odd"]]]);
  const [ended] = core.of("calls_ended");
  expect(ended?.workers).toEqual([{ workerId: "a", host: "host of a" }]);
  expect(ended?.taskId).toEqual(ids);
  expect(ended?.valueBytes).toEqual(ids.map(() => VALUE.length));
  expect(ended?.endedAtMs.every((atMs) => atMs > EPOCH_MS)).toBe(true);
});

test("Recorder tells of the tries of calls that fail, or go on after a batch", () => {
  const core = withLibrary();
  const [bad, slow] = callAll(core, 2);
  core.finishes("a", bad!, { outcome: "call_error", message: "no" });
  const told = (taskId: TaskId) => {
    core.recorder.flush();
    return core.written.flatMap(({ record }) =>
      "taskId" in record && record.taskId === taskId ? [record.kind] : []
    );
  };
  expect(told(bad!)).toEqual(["try_dispatched", "try_ended", "task_ended"]);
  expect(told(slow!)).toEqual(["try_dispatched"]);
  core.says("a", { kind: "result", result: { ...core.result("a", slow!), value: VALUE } });
  expect(told(slow!)).toEqual(["try_dispatched"]);
  expect(core.of("calls_ended").map(({ taskId }) => taskId)).toEqual([[slow]] as number[][]);
});

test("Recorder says nothing of a try that began just before a batch, and ends before the next", async () => {
  const core = withLibrary();
  // Later than the recorder's own clock will be: what begins is young at the end of each batch.
  core.nowMs = performance.now() + 1e6;
  const [taskId] = callAll(core, 1);
  const kinds = () => core.written.map(({ record }) => record.kind);
  await until(() => kinds().includes("calls_submitted"), "the first batch");
  expect(core.state.tasks.get(taskId!)?.state.kind).toBe("dispatched");
  core.says("a", { kind: "result", result: { ...core.result("a", taskId!), value: VALUE } });
  await until(() => kinds().includes("calls_ended"), "the second batch");
  expect(kinds()).not.toContain("try_dispatched");
  core.recorder.close();
});

test("Recorder hands on what was told within a moment, and samples the last change", async () => {
  const core = new RecordedCore();
  core.joins("a");
  await until(() => core.written.length > 0, "the first batch");
  const before = core.written.length;
  core.submits({});
  await until(() => core.written.length > before, "the second batch");
  await until(
    () => core.written.filter(({ record }) => record.kind === "sample").length === 2,
    "a sample of the second",
  );
  core.recorder.close();
});

test("Recorder takes many facts down in slices, in order and all of them", async () => {
  const core = new RecordedCore();
  core.joins("a");
  core.recorder.flush();
  const gone = Array.from({ length: 30_000 }, (_, index) => ({
    kind: "file_forgotten",
    fileId: index + 1 as FileId,
  } as const));
  core.recorder.hear(gone, core.nowMs);
  expect(core.recorder.waitingCount).toBe(gone.length);
  await until(() => core.recorder.waitingCount === 0, "all of them");
  const told = core.written.flatMap(({ record }) =>
    record.kind === "file_forgotten" ? [record.fileId] : []
  );
  expect(told).toEqual(gone.map(({ fileId }) => fileId));
  core.recorder.close();
});

test("Recorder takes down at once what is more than may wait", () => {
  const core = new RecordedCore();
  core.joins("a");
  const gone = Array.from({ length: 200_001 }, () => ({
    kind: "file_forgotten",
    fileId: 1 as FileId,
  } as const));
  core.recorder.hear(gone, core.nowMs);
  expect(core.recorder.waitingCount).toBe(0);
  core.recorder.close();
});

test("Recorder samples on while tasks run and nothing changes, and no longer", async () => {
  const core = new RecordedCore();
  const samples = (): number => core.kinds.filter((kind) => kind === "sample").length;
  core.dispatchedCount = 1;
  core.joins("a");
  await until(() => samples() > 3, "it samples on");
  core.dispatchedCount = 0;
  core.recorder.close();
  const { length } = core.written;
  expect(core.kinds.at(-1)).toBe("run_ended");
  await new Promise((resolve) => setImmediate(resolve));
  expect(core.written.length).toBe(length);
});
