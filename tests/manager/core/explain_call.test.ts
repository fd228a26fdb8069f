import { expect, test } from "bun:test";

import { explain, newInquiry } from "../../../manager/core/explain.ts";
import type { Explanation } from "../../../manager/core/explanation.ts";
import { LAST_FAILURE_CHARS_MAX } from "../../../manager/core/start_failure.ts";
import { explanationShape } from "../../../manager/explanation_shapes.ts";
import { describeExplanation } from "../../../manager/explanation_text.ts";
import type { TaskId, WorkerId } from "../../../shared/ids.ts";
import { instanceAt, ManagerFixture } from "./fixture.ts";

const NO_AHEAD = { dispatchAhead: 1, dispatchAheadMs: 0 };
const CALL = { library: "digits" };

function withLibrary(...workers: string[]): ManagerFixture {
  const fixture = new ManagerFixture(NO_AHEAD);
  fixture.library("digits", fixture.local("module"));
  for (const worker of workers) fixture.joins(worker);
  return fixture;
}

/** What is said, as a client takes it that has read it as JSON. */
function explained({ state, nowMs }: ManagerFixture, taskId: TaskId): Explanation {
  const found = explain(newInquiry(state, nowMs), taskId);
  const read = JSON.parse(JSON.stringify(found)) as Explanation;
  expect(explanationShape(read)).toBeUndefined();
  expect(read).toEqual(found!);
  return read;
}

function lines(fixture: ManagerFixture, taskId: TaskId): readonly string[] {
  return describeExplanation(explained(fixture, taskId));
}

function failsAt(fixture: ManagerFixture, worker: string, message: string): void {
  const instanceId = instanceAt(fixture, worker);
  fixture.says(worker, { kind: "instance_gone", instanceId, reason: "start_failed", message });
}

function readyAt(fixture: ManagerFixture, worker: string): void {
  const instanceId = instanceAt(fixture, worker);
  fixture.says(worker, { kind: "instance_ready", instanceId, startMs: 10 });
}

/** The worker of two at which the first call is, and the other one. */
function placesOf(fixture: ManagerFixture): readonly [string, string] {
  return fixture.dispatched[0]?.startsWith("a ") === true ? ["a", "b"] : ["b", "a"];
}

test("explain() says since when the instance starts that a call is given to", () => {
  const fixture = withLibrary("a");
  const call = fixture.submits(CALL);
  expect(explained(fixture, call).reasons.map(({ kind }) => kind)).toEqual([
    "input_coming",
    "instance",
    "at_worker",
  ]);
  expect(lines(fixture, call)[0]).toStartWith(
    'task 1 is dispatched: module (file 1) of library "digits"',
  );
  fixture.brings("a");
  fixture.passes(12_000);
  expect(explained(fixture, call).reasons[0]).toEqual({
    kind: "instance",
    library: "digits",
    forMs: 12_000,
  });
  expect(lines(fixture, call)[0]).toBe(
    'task 1 is dispatched: instance of library "digits" starts, for 12 s now',
  );
});

test("explain() says how often instances failed, and what the last of them said", () => {
  const fixture = withLibrary("a");
  const call = fixture.submits({ ...CALL, retries: 3 });
  fixture.brings("a");
  failsAt(fixture, "a", "no module x");
  failsAt(fixture, "a", "no module y");
  const { reasons } = explained(fixture, call);
  expect(reasons[0]).toEqual({ kind: "instance", library: "digits", forMs: 0 });
  expect(reasons[1]).toEqual({
    kind: "instances_failed",
    library: "digits",
    failureCount: 2,
    mostCount: 3,
    message: "no module y",
  });
  expect(lines(fixture, call)[1]).toBe(
    'task 1 is dispatched: 2 instances of library "digits" failed in a row, of 3 until it is ' +
      "given up; the last said: no module y",
  );
  readyAt(fixture, "a");
  const kinds = explained(fixture, call).reasons.map(({ kind }) => kind);
  expect(kinds).not.toContain("instances_failed");
  expect(fixture.state.libraries.get("digits")?.lastFailure).toBe("");
});

test("noteFailure() keeps a part of a long message only", () => {
  const fixture = withLibrary("a");
  fixture.submits(CALL);
  failsAt(fixture, "a", "x".repeat(2 * LAST_FAILURE_CHARS_MAX));
  const { lastFailure } = fixture.state.libraries.get("digits")!;
  expect(lastFailure).toBe("x".repeat(LAST_FAILURE_CHARS_MAX));
});

test("explain() says at how many workers instances start that calls wait for", () => {
  const fixture = withLibrary("a", "b");
  const last = fixture.submits(CALL, CALL, CALL, CALL);
  fixture.passes(12_000);
  const [starting, slots, ...others] = explained(fixture, last).reasons;
  expect(starting).toEqual({
    kind: "instances_starting",
    library: "digits",
    instanceCount: 2,
    workerCount: 2,
    forMs: 12_000,
  });
  expect(slots).toEqual({ kind: "slots", library: "digits", slotCount: 2, callCount: 2 });
  expect(others).toEqual([
    { kind: "busy", resource: "cores", workerCount: 2, ofCount: 2, library: "digits" },
    { kind: "queue", alikeCount: 1, otherCount: 0 },
  ]);
  expect(lines(fixture, last).slice(0, 2)).toEqual([
    'task 4 waits: 2 instances of library "digits" start at 2 workers, for 12 s now',
    'task 4 waits: library "digits" has 2 slots and 2 calls for them',
  ]);
  readyAt(fixture, "a");
  expect(explained(fixture, last).reasons.map(({ kind }) => kind)).toEqual([
    "slots",
    "instances_starting",
    "busy",
    "queue",
  ]);
  readyAt(fixture, "b");
  expect(explained(fixture, last).reasons.map(({ kind }) => kind)).toEqual([
    "slots",
    "busy",
    "queue",
  ]);
});

test("explain() says which workers are passed over after a failed start, and for how long", () => {
  const fixture = withLibrary("a", "b");
  fixture.submits({ category: "long" });
  const [, free] = placesOf(fixture);
  const call = fixture.submits(CALL);
  failsAt(fixture, free, "no module x");
  fixture.passes(200);
  expect(explained(fixture, call).reasons).toEqual([
    {
      kind: "passed_over",
      workerCount: 1,
      ofCount: 2,
      library: "digits",
      workers: [{ workerId: free as WorkerId, host: `host of ${free}`, leftMs: 300 }],
    },
    { kind: "busy", resource: "cores", workerCount: 1, ofCount: 2, library: "digits" },
    {
      kind: "instances_failed",
      library: "digits",
      failureCount: 1,
      mostCount: 3,
      message: "no module x",
    },
  ]);
  expect(lines(fixture, call)[0]).toBe(
    'task 2 waits: 1 of 2 workers could run an instance of library "digits" but is passed over, ' +
      `as a start of library "digits" failed there: worker ${free} on host of ${free} for ` +
      "300 ms more",
  );
});

test("explain() says that a call waits for its turn, and who holds the room how long yet", () => {
  const fixture = withLibrary("a");
  fixture.library("other", fixture.local("module of other"));
  const running = fixture.submits({ library: "other" });
  fixture.submits(...Array.from({ length: 8 }, () => ({ library: "other" })));
  fixture.brings("a");
  const call = fixture.submits(CALL);
  expect(explained(fixture, call).reasons[0]).toEqual({
    kind: "turn",
    libraries: ["other"],
    isLeaving: false,
  });
  expect(lines(fixture, call)[0]).toBe(
    `task ${call} waits for a turn: instances of library "other" hold the room`,
  );
  readyAt(fixture, "a");
  fixture.starts("a", running);
  fixture.passes(500);
  expect(lines(fixture, call).slice(0, 2)).toEqual([
    `task ${call} waits for a turn: instances of library "other" hold the room, for 1.5 s more`,
    `task ${call} waits: the only worker could run an instance of library "digits" but is busy: ` +
    "its cores are taken",
  ]);
  fixture.passes(1_500);
  expect(explained(fixture, call).reasons[0]).toEqual({
    kind: "turn",
    libraries: ["other"],
    isLeaving: true,
  });
  expect(lines(fixture, call)[0]).toBe(
    `task ${call} waits for a turn: instances of library "other" make way`,
  );
});

test("explain() says that a task waits for its turn where instances hold the room", () => {
  const fixture = withLibrary("a");
  fixture.submits(...Array.from({ length: 8 }, () => CALL));
  readyAt(fixture, "a");
  const task = fixture.submits({});
  expect(lines(fixture, task)[0]).toBe(
    `task ${task} waits for a turn: instances of library "digits" hold the room, for 2 s more`,
  );
});

test("explain() names the inputs of a library that are not there, as those of a task", () => {
  const fixture = new ManagerFixture(NO_AHEAD);
  const model = fixture.temp("model");
  const inputs = [{ mount: "data/model.bin", fileId: model }];
  fixture.library("digits", fixture.local("module"), { inputs });
  fixture.joins("a");
  const maker = fixture.submits({ outputs: [model] });
  fixture.starts("a", maker);
  const call = fixture.submits(CALL);
  expect(lines(fixture, call)).toEqual([
    `task ${call} waits for input "data/model.bin" of library "digits" of task ${maker}, which ` +
    "is running",
  ]);
});

test("explain() says that workers with room are kept for others", () => {
  const fixture = new ManagerFixture(NO_AHEAD);
  fixture.joins("a", { cores: 2 });
  fixture.submits({});
  fixture.submits({ cores: 2, category: "wide" });
  const task = fixture.submits({ category: "late" });
  expect(explained(fixture, task).reasons[0]).toEqual({
    kind: "kept",
    workerCount: 1,
    ofCount: 1,
  });
  expect(lines(fixture, task)[0]).toBe(
    `task ${task} waits: the only worker could run it but is kept for others, which have found ` +
      "no room for longer",
  );
});
