import { expect, test } from "bun:test";

import type { RetryDecision, RetryRule } from "../../../manager/core/retry.ts";
import type { TaskId } from "../../../shared/ids.ts";
import { ManagerFixture } from "./fixture.ts";

const PLAIN: RetryRule = { isAsked: false, delayMs: 0 };
const ASKED: RetryRule = { isAsked: true, delayMs: 0 };

function decide(
  fixture: ManagerFixture,
  { task, number, decision }: { task: TaskId; number: number; decision: RetryDecision },
): void {
  fixture.feed({ kind: "retry_decided", taskId: task, try: number, decision });
}

function cost(amount: number): RetryDecision {
  return { kind: "cost", cost: amount };
}

test("judgeFailure() pauses before each repetition, twice as long each time, up to a minute", () => {
  const fixture = new ManagerFixture({ workerTimeoutMs: 1e9 });
  fixture.joins("a");
  const task = fixture.submits({ retries: 9, retry: { ...PLAIN, delayMs: 8_000 } });
  for (const pauseMs of [8_000, 16_000, 32_000, 60_000, 60_000]) {
    fixture.finishes("a", task, { outcome: "exit" });
    expect(fixture.task(task).hold?.kind).toBe("back_off");
    fixture.passes(pauseMs - 1);
    expect(fixture.task(task).state.kind).toBe("waiting");
    fixture.passes(1);
    expect(fixture.task(task).state.kind).toBe("dispatched");
  }
  expect(fixture.task(task).hold).toBeUndefined();
});

test("judgeFailure() keeps a pause that is longer than a minute as it is", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const task = fixture.submits({ retries: 2, retry: { ...PLAIN, delayMs: 100_000 } });
  for (const _ of [1, 2]) {
    fixture.finishes("a", task, { outcome: "exit" });
    fixture.passes(99_999);
    expect(fixture.task(task).state.kind).toBe("waiting");
    fixture.passes(1);
    expect(fixture.task(task).state.kind).toBe("dispatched");
  }
});

test("judgeFailure() repeats only what ended in one of the stated ways", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const task = fixture.submits({ retries: 5, retry: { ...PLAIN, on: ["signal", "timeout"] } });
  fixture.finishes("a", task, { outcome: "signal" });
  fixture.finishes("a", task, { outcome: "timeout" });
  expect(fixture.task(task).tryCount).toBe(3);
  fixture.finishes("a", task, { outcome: "exit" });
  expect(fixture.ends.get(task)).toMatchObject({ outcome: "exit", try: 3 });
});

test("judgeFailure() asks what a try costs, and adds up what it is told", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const task = fixture.submits({ retries: 1, retry: ASKED });
  for (const [index, amount] of [0, 0.5, 0.5].entries()) {
    fixture.finishes("a", task, { outcome: "exit", message: "status 3" });
    expect(fixture.asked).toEqual([`${task}.${index + 1} exit`]);
    expect(fixture.task(task).state.kind).toBe("waiting");
    decide(fixture, { task, number: index + 1, decision: cost(amount) });
    expect(fixture.dispatched).toEqual([`a ${task}.${index + 2}`]);
  }
  fixture.finishes("a", task, { outcome: "exit", message: "status 3" });
  decide(fixture, { task, number: 4, decision: cost(0.1) });
  expect(fixture.ends.get(task)).toMatchObject({ outcome: "exit", message: "status 3", try: 4 });
});

test("decideRetry() ends a task at a cost without limit, and one of which nobody can tell", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const first = fixture.submits({ retries: 100, retry: ASKED });
  fixture.finishes("a", first, { outcome: "signal" });
  decide(fixture, { task: first, number: 1, decision: cost(Infinity) });
  expect(fixture.outcome(first)).toBe("signal");
  const second = fixture.submits({ retries: 100, retry: ASKED });
  fixture.finishes("a", second, { outcome: "exit", message: "status 3" });
  decide(fixture, { task: second, number: 1, decision: { kind: "none", why: "it threw" } });
  expect(fixture.ends.get(second)).toMatchObject({
    outcome: "exit",
    message: "status 3; whether to try again could not be decided: it threw",
  });
});

test("decideRetry() ends a task whose failures cost nothing, a thousand times", () => {
  const fixture = new ManagerFixture();
  fixture.checksInvariants = false;
  fixture.joins("a");
  const task = fixture.submits({ retry: ASKED });
  const result = fixture.result("a", task, { outcome: "exit" });
  for (let number = 1; number <= 1001; number++) {
    expect(fixture.outcome(task)).toBeUndefined();
    fixture.says("a", { kind: "result", result: { ...result, try: number } });
    decide(fixture, { task, number, decision: cost(0) });
  }
  expect(fixture.outcome(task)).toBe("exit");
});

test("decideRetry() has no effect of an answer about another try, or after the end", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const task = fixture.submits({ retries: 5, retry: ASKED });
  fixture.finishes("a", task, { outcome: "exit" });
  decide(fixture, { task, number: 9, decision: cost(0) });
  expect(fixture.task(task).hold?.kind).toBe("retry_asked");
  decide(fixture, { task, number: 1, decision: cost(0) });
  decide(fixture, { task, number: 1, decision: cost(0) });
  expect(fixture.task(task)).toMatchObject({ tryCount: 2, hold: undefined });
  fixture.finishes("a", task, { outcome: "exit" });
  fixture.cancels(task);
  decide(fixture, { task, number: 2, decision: cost(0) });
  expect(fixture.outcome(task)).toBe("cancelled");
});

test("endHold() ends a task as its try did when nobody says in time what that costs", () => {
  const fixture = new ManagerFixture({ retryTimeoutMs: 5_000 });
  fixture.joins("a");
  const task = fixture.submits({ retries: 5, retry: ASKED });
  fixture.finishes("a", task, { outcome: "exit", message: "status 3" });
  fixture.passes(4_999);
  expect(fixture.outcome(task)).toBeUndefined();
  fixture.passes(1);
  expect(fixture.ends.get(task)).toMatchObject({
    outcome: "exit",
    message: "status 3; whether to try again could not be decided: nobody said so in 5 s",
  });
});

test("judgeFailure() ends a task that workers give up more often than it allows, and says where", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a", { host: "x" });
  const task = fixture.submits({ retries: 0, retry: { ...PLAIN, maxForsaken: 1 } });
  fixture.finishes("a", task, { outcome: "start_failed", message: "no sandbox" });
  expect(fixture.task(task)).toMatchObject({ failureCount: 0, tryCount: 2 });
  fixture.finishes("a", task, { outcome: "start_failed", message: "no sandbox" });
  expect(fixture.ends.get(task)).toMatchObject({
    outcome: "start_failed",
    message: "no sandbox; it was given up 2 times before it ran, by a on x, a on x",
  });
});

test("judgeFailure() forsakes a task whose input cannot be brought, and counts no retry", () => {
  const fixture = new ManagerFixture();
  fixture.joins("a");
  const url = fixture.url("data");
  const task = fixture.submits({ inputs: [url], retries: 5, retry: { ...PLAIN, maxForsaken: 1 } });
  fixture.failsToBring("a", { canRetry: false });
  expect(fixture.task(task)).toMatchObject({ failureCount: 0, tryCount: 2 });
  fixture.failsToBring("a", { canRetry: false });
  expect(fixture.outcome(task)).toBe("transfer_failed");
  expect(fixture.ends.get(task)?.message).toContain("given up 2 times before it ran, by a on host");
});

test("noteLoss() names a task that may have ended its workers, and those", () => {
  const fixture = new ManagerFixture();
  const task = fixture.submits({ workerLosses: 1 });
  for (const worker of ["a", "b"]) {
    fixture.joins(worker, { host: "x" });
    fixture.starts(worker, task);
    fixture.exits(worker);
  }
  expect(fixture.ends.get(task)).toMatchObject({
    outcome: "worker_lost",
    message: "The task is suspected of ending its workers: 2 workers were lost while it ran " +
      "there, a on x, b on x",
  });
});
