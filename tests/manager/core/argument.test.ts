import { expect, test } from "bun:test";

import { explain, newInquiry } from "../../../manager/core/explain.ts";
import { valueFileId } from "../../../manager/core/value_file.ts";
import type { TaskId } from "../../../shared/ids.ts";
import type { TaskBody } from "../../../shared/task.ts";
import { ManagerFixture } from "./fixture.ts";

const CALL = { library: "digits" };
const BODY: TaskBody = { kind: "call", function: "g", arguments: new Uint8Array(3) };

/** A library at worker `a`, a call there, and one that waits for its value. */
function withWaiting(
  wish: Parameters<ManagerFixture["submits"]>[0] = {},
): { fixture: ManagerFixture; call: TaskId; waiting: TaskId } {
  const fixture = new ManagerFixture({ dispatchAheadMs: 0 });
  fixture.library("digits", fixture.local("module"));
  fixture.joins("a", { cores: 4 });
  const call = fixture.submits(CALL);
  const waiting = fixture.submits({ ...CALL, ...wish, awaits: [call] });
  return { fixture, call, waiting };
}

test("learnArguments() has a call run that waited for a value, with what is known now", () => {
  const { fixture, call, waiting } = withWaiting();
  expect(fixture.task(waiting).state.kind).toBe("waiting");
  fixture.finishes("a", call, { valueBytes: 2_000_000 });
  const inputs = [{ mount: "", fileId: valueFileId(call) }];
  fixture.feed({ kind: "arguments_known", taskId: waiting, inputs });
  expect(fixture.task(waiting).state.kind).toBe("waiting");
  // Its user has no more use for the value, but the call has.
  fixture.feed({ kind: "file_undeclared", fileId: valueFileId(call) });
  fixture.feed({ kind: "arguments_known", taskId: waiting, inputs: [], body: BODY });
  expect(fixture.toldOf("a", "dispatch")?.tasks).toMatchObject([
    { taskId: waiting, body: BODY, inputs: [{ name: `value-manager-${call}`, generation: 1 }] },
  ]);
  fixture.finishes("a", waiting);
  expect(fixture.outcome(waiting)).toBe("success");
  expect(fixture.state.files.has(valueFileId(call))).toBe(false);
});

test("learnArguments() lets a call start no sooner than its user wants", () => {
  const { fixture, call, waiting } = withWaiting({ startsAtMs: 5_000 });
  fixture.finishes("a", call);
  fixture.feed({ kind: "arguments_known", taskId: waiting, inputs: [], body: BODY });
  expect(fixture.task(waiting).hold?.kind).toBe("start_after");
  fixture.passes(5_000);
  expect(fixture.task(waiting).state.kind).toBe("dispatched");
});

test("failArguments() ends the call, and what needs its outputs", () => {
  const fixture = new ManagerFixture({ dispatchAheadMs: 0 });
  fixture.library("digits", fixture.local("module"));
  const temp = fixture.temp("plot");
  const call = fixture.submits(CALL);
  const waiting = fixture.submits({ ...CALL, awaits: [call], outputs: [temp] });
  const reader = fixture.submits({ inputs: [temp] });
  fixture.feed({ kind: "arguments_failed", taskId: waiting, message: "Cannot run: no" });
  expect(fixture.ends.get(waiting)).toMatchObject({
    outcome: "input_missing",
    message: "Cannot run: no",
  });
  expect(fixture.outcome(reader)).toBe("input_missing");
  fixture.cancels(call);
});

test("learnArguments() changes nothing for a call that has ended otherwise", () => {
  for (const end of ["cancel", "expire"] as const) {
    const { fixture, waiting } = withWaiting({ endsAtMs: 1_000 });
    if (end === "cancel") fixture.cancels(waiting);
    else fixture.passes(1_000);
    expect(fixture.outcome(waiting)).toBe(end === "cancel" ? "cancelled" : "expired");
    fixture.feed({ kind: "arguments_known", taskId: waiting, inputs: [], body: BODY });
    fixture.feed({ kind: "arguments_failed", taskId: waiting, message: "no" });
    expect(fixture.state.tasks.has(waiting)).toBe(false);
  }
});

test("explain() says which tasks a call waits for", () => {
  const { fixture, call, waiting } = withWaiting();
  const reasons = () => explain(newInquiry(fixture.state), waiting)?.reasons;
  expect(reasons()).toEqual([{ kind: "arguments", taskIds: [call], count: 1 }]);
  fixture.finishes("a", call);
  expect(reasons()).toEqual([{ kind: "arguments", taskIds: [], count: 0 }]);
});
