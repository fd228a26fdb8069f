import { expect, test } from "bun:test";
import { inspect } from "node:util";

import {
  AppError,
  CancelledError,
  DependencyError,
  type FailedCall,
  JoinError,
  rootOf,
} from "../../../manager/dataflow/app_error.ts";
import type { TryFailure } from "../../../manager/dataflow/executor.ts";
import type { TaskId } from "../../../shared/ids.ts";
import { errorOfThrown } from "../../../shared/thrown.ts";

const STACK = "ValueError: no reads\n    at count (/project/stats.ts:3:9)";

function callOf(callId: number, app: string): FailedCall {
  return { callId: callId as TaskId, app, call: `${app}("a.fq", 7)` };
}

/** What a function threw on a worker. */
function failureOf(more: Partial<TryFailure> = {}): TryFailure {
  const thrown = { name: "ValueError", message: "no reads", stack: STACK };
  return {
    kind: "call_error",
    message: "ValueError: no reads",
    cause: errorOfThrown(thrown),
    workerId: "worker-3",
    host: "node7",
    stdout: "lots of output\n".repeat(1_000),
    stderr: "reading\nbroken line\n",
    ...more,
  };
}

const APP_TEXT = `AppError: Call 4, count("a.fq", 7), failed after 3 tries as call_error ` +
  `(worker worker-3 on node7): ValueError: no reads
  | reading
  | broken line
${STACK}`;

test("AppError prints the call, where it ran, what it wrote and the remote stack, and no fields", () => {
  const error = new AppError(callOf(4, "count"), [failureOf(), failureOf()], 3);
  expect(error.stack).toBe(APP_TEXT);
  expect(inspect(error)).toBe(APP_TEXT);
  expect(Object.keys(error).filter((key) => key !== "name")).toEqual([]);
  expect([error.name, error.tryCount, error.failures.length]).toEqual(["AppError", 3, 2]);
});

test("AppError has what the function threw as its cause, with class name and stack", () => {
  const error = new AppError(callOf(4, "count"), [failureOf()], 1);
  const cause = error.cause as Error;
  expect([cause.name, cause.message, cause.stack]).toEqual(["ValueError", "no reads", STACK]);
  expect([error.failure.kind, error.failure.host]).toEqual(["call_error", "node7"]);
});

test("AppError shows the last lines of what was written, and shortens long ones", () => {
  const stderr = `${"x".repeat(5_000)}\n`.repeat(50);
  const { message } = new AppError(callOf(4, "count"), [failureOf({ stderr })], 1);
  const lines = message.split("\n");
  expect([lines.length, message.length < 2_500]).toEqual([11, true]);
});

test("DependencyError prints the chain, the nearest call first, and how the last one failed", () => {
  const root = new AppError(callOf(4, "count"), [failureOf()], 1);
  const middle = new DependencyError(callOf(5, "sum"), root, root.call);
  const error = new DependencyError(callOf(6, "plot"), middle, middle.call);
  expect(inspect(error)).toBe(
    `DependencyError: Cannot run call 6, plot("a.fq", 7): it depends on call 5, sum("a.fq", 7) <- ` +
      `call 4, count("a.fq", 7), which failed as call_error (worker worker-3 on node7): ` +
      `ValueError: no reads\n  | reading\n  | broken line\n${STACK}`,
  );
  expect(error.chain.map(({ callId }) => Number(callId))).toEqual([5, 4]);
  expect([error.cause, error.root, rootOf(error)]).toEqual([middle, root, root]);
});

test("DependencyError names a promise that failed", () => {
  const error = new DependencyError(callOf(6, "plot"), new Error("no network"));
  expect(error.message).toBe(
    'Cannot run call 6, plot("a.fq", 7): it depends on a promise among its arguments, which ' +
      "failed: no network",
  );
  expect(error.chain).toEqual([]);
});

test("JoinError and CancelledError print one line", () => {
  const cancelled = new CancelledError(callOf(4, "count"), "it was cancelled");
  const join = new JoinError(callOf(6, "tree"), cancelled, cancelled.call);
  expect(inspect(cancelled)).toBe(
    'CancelledError: Cannot give the result of call 4, count("a.fq", 7): it was cancelled',
  );
  expect(inspect(join)).toBe(
    'JoinError: Cannot run call 6, tree("a.fq", 7): it joins call 4, count("a.fq", 7), which has ' +
      "no result: it was cancelled",
  );
  expect(String(join).split("\n").length).toBe(1);
});
