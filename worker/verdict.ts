/** What a try is reported as: the words for each way in which it can end. */

import { unreachable } from "../shared/assert.ts";
import type { Exceeded, Outcome, TryResult } from "../shared/task.ts";
import { describeExceeded, describeTimeout } from "./core/limit.ts";
import type { WorkerInstruction } from "./core/instruction.ts";
import { whenFull } from "./disk_usage.ts";
import type { CallEnd } from "./library/library_call.ts";
import type { TaskEnd } from "./process.ts";
import { isDiskFull } from "./task_output.ts";

/** What a finished try is reported as, less what every result has. */
export type Verdict =
  & Pick<TryResult, "outcome" | "message" | "outputs">
  & Partial<Pick<TryResult, "exitCode" | "signal" | "mount" | "exceeded">>;

/** Why a try was told to stop. */
export type Stop =
  | { readonly reason: Exclude<StopReason, "resources_exhausted"> }
  /** `isShare`: the tries of the worker are beyond what it has, and not this one beyond its limit. */
  | {
    readonly reason: "resources_exhausted";
    readonly exceeded: Exceeded;
    readonly isShare: boolean;
  };

/** Of a call that was cancelled. */
export const CALL_CANCELLED = "The call was stopped: it was cancelled";

/** A message for a person; the whole of an error is in its value. */
const MESSAGE_CHARS_MAX = 2_000;

type StopReason = Extract<WorkerInstruction, { kind: "stop_task" }>["reason"];

/** A file that a try needs is not there, although the manager had been told so. */
export class MissingError extends Error {
  override readonly name = "MissingError";
}

/** A verdict without outputs. */
export function verdictOf(outcome: Outcome, message: string): Verdict {
  return { outcome, message, outputs: [] };
}

/** Of a try that was stopped; `timeoutMs` is what it had. */
export function stopped(stop: Stop, timeoutMs: number): Verdict {
  switch (stop.reason) {
    case "resources_exhausted": {
      const { exceeded } = stop;
      return { ...verdictOf(stop.reason, describeExceeded(exceeded, stop)), exceeded };
    }
    case "timeout":
      return verdictOf(stop.reason, `The try was stopped: ${describeTimeout(timeoutMs)}`);
    case "cancelled":
      return verdictOf(stop.reason, "The try was stopped: it was cancelled");
    case "disk_full":
      return verdictOf(stop.reason, "The try was stopped: the disk of the worker was full");
    default:
      return unreachable(stop);
  }
}

/** What the end of a command that nobody stopped says of it; its outputs are to be looked at. */
export function endVerdict(end: TaskEnd, directory: string): Verdict {
  if (end.kind === "start_failed") return verdictOf("start_failed", end.message);
  if (end.kind === "signal") {
    const message = `The command was ended by ${end.signal}${whenFull(directory)}`;
    return { ...verdictOf("signal", message), ...statusOf(end) };
  }
  if (end.exitCode !== 0) {
    const message = `The command ended with exit code ${end.exitCode}${whenFull(directory)}`;
    return { ...verdictOf("exit", message), ...statusOf(end) };
  }
  if (end.hasSurvivors) {
    const message = "A process that the command left behind could not be ended";
    return { ...verdictOf("exit", message), ...statusOf(end) };
  }
  return { ...verdictOf("success", ""), ...statusOf(end) };
}

/** What the end of a call says of it; `timeoutMs` is what it had. */
export function callVerdict(end: CallEnd, timeoutMs: number): Verdict {
  switch (end.kind) {
    case "ok":
    case "ok_file":
      return verdictOf("success", "");
    case "error": {
      const { name, message } = end.thrown;
      return verdictOf("call_error", `${name}: ${message}`.slice(0, MESSAGE_CHARS_MAX));
    }
    case "lost":
      return verdictOf("library_failed", end.message.slice(0, MESSAGE_CHARS_MAX));
    case "stopped":
      return verdictOf(end.stop.outcome, end.stop.message);
    case "cancelled":
      return verdictOf(end.kind, CALL_CANCELLED);
    case "timeout":
      return verdictOf(end.kind, `The call was stopped: ${describeTimeout(timeoutMs)}`);
    default:
      return unreachable(end);
  }
}

/** How its process ended. */
export function statusOf(end: TaskEnd): Pick<Verdict, "exitCode" | "signal"> {
  if (end.kind === "exit") return { exitCode: end.exitCode };
  return end.kind === "signal" ? { signal: end.signal } : {};
}

/** Of a try that this worker could not run. */
export function failure(error: unknown): Verdict {
  const found = error instanceof Error ? error.message : String(error);
  if (isDiskFull(error)) {
    return verdictOf("disk_full", `Cannot run the task: the disk of the worker is full: ${found}`);
  }
  if (error instanceof MissingError) return verdictOf("input_missing", found);
  return verdictOf("start_failed", `Cannot run the task: ${found}`);
}

/** A try that is beyond its memory grows until it is gone. */
export function withPeak(stop: Stop, peakBytes: number): Stop {
  if (stop.reason !== "resources_exhausted" || stop.exceeded.resource !== "memory") return stop;
  const used = Math.max(stop.exceeded.used, peakBytes);
  return { ...stop, exceeded: { ...stop.exceeded, used } };
}
