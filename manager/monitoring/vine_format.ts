/**
 * How TaskVine writes times, amounts and results in its logs.
 *
 * Source: CCTools, taskvine/src/manager/vine_txn_log.c and dttools/src/rmsummary.c.
 *
 * @module
 */

import { unreachable } from "../../shared/assert.ts";
import type { Resources } from "../../shared/resources.ts";
import type { Outcome } from "../../shared/task.ts";
import type { RequestedAmounts, TryEnd } from "./record.ts";

const MEGABYTE: number = 1024 * 1024;

/** A word of TaskVine's for how a task ended. */
export type VineResult =
  | "SUCCESS"
  | "UNKNOWN"
  | "INPUT_MISSING"
  | "OUTPUT_MISSING"
  | "SIGNAL"
  | "RESOURCE_EXHAUSTION"
  | "MAX_RETRIES"
  | "MAX_END_TIME"
  | "MAX_WALL_TIME"
  | "FORSAKEN";

/** The result and exit status of a task, or of a try. */
export function resultOf(
  outcome: Outcome,
  { end, hasRun }: { readonly end: TryEnd | undefined; readonly hasRun: boolean },
): string {
  const status = end?.exitCode ?? (outcome === "success" ? 0 : outcome === "call_error" ? 1 : -1);
  return `${wordFor(outcome, hasRun)}  ${status}`;
}

function wordFor(outcome: Outcome, hasRun: boolean): VineResult {
  switch (outcome) {
    // A task that ran to its end is a success of TaskVine's, whatever it exited with.
    case "success":
    case "exit":
    case "call_error":
      return "SUCCESS";
    case "signal":
      return "SIGNAL";
    case "input_missing":
    case "input_modified":
      return "INPUT_MISSING";
    case "output_missing":
      return "OUTPUT_MISSING";
    case "transfer_failed":
      // What went wrong after it had run was on the way of its outputs.
      return hasRun ? "OUTPUT_MISSING" : "INPUT_MISSING";
    case "timeout":
      return "MAX_WALL_TIME";
    case "expired":
      return "MAX_END_TIME";
    case "resources_exhausted":
    case "disk_full":
      return "RESOURCE_EXHAUSTION";
    case "worker_lost":
      return "MAX_RETRIES";
    case "start_failed":
    case "library_failed":
    case "unsatisfiable":
      return "FORSAKEN";
    case "cancelled":
      return "UNKNOWN";
    default:
      return unreachable(outcome);
  }
}

/** Microseconds since the epoch. */
export function microseconds(ms: number): string {
  return String(Math.round(ms * 1_000));
}

/** Whole megabytes, as few as have room for it; what is all that there is, is told as nothing. */
export function megabytes(bytes: number): number {
  return Number.isFinite(bytes) ? Math.ceil(bytes / MEGABYTE) : 0;
}

/** Of calls that follow each other most are of one worker. */
let lastWorker = { workerId: "", name: "worker-_" };

/** TaskVine's tools pass over workers that are called otherwise. */
export function workerName(workerId: string): string {
  if (lastWorker.workerId !== workerId) {
    const name = oneWord(workerId);
    lastWorker = { workerId, name: name.startsWith("worker-") ? name : `worker-${name}` };
  }
  return lastWorker.name;
}

/** Why a worker left, in TaskVine's words. */
export function disconnectionOf(reason: string): "IDLE_OUT" | "FAILURE" | "EXPLICIT" {
  if (/\bidle\b/.test(reason)) return "IDLE_OUT";
  const isFailure = /silent|did not come back|process ended|started again|^Cannot /.test(reason);
  return isFailure ? "FAILURE" : "EXPLICIT";
}

/** Text that has no blanks, so that lines split where they should. */
export function oneWord(text: string): string {
  // deno-lint-ignore no-control-regex -- a terminal may show the log
  const word = text.replace(/[\s\x00-\x1f\x7f-\x9f]+/g, "_");
  return word === "" ? "_" : word;
}

/** What was asked for, of a command or a call: as much as was stated. */
export function requestedJson(requested: RequestedAmounts, isCall: boolean): string {
  if (isCall) return NO_AMOUNTS;
  const { memoryBytes, diskBytes = 0, gpus, cores = 1 } = requested;
  return amountsJson({ memoryBytes, diskBytes, gpus, cores });
}

/** Amounts that are stated, and nothing of the others. */
export function amountsJson(
  { memoryBytes, diskBytes, gpus, cores }: {
    readonly [Name in keyof RequestedAmounts]: number | undefined;
  },
): string {
  const parts: string[] = [];
  if (memoryBytes !== undefined) parts.push(`"memory":[${megabytes(memoryBytes)},"MB"]`);
  if (diskBytes !== undefined) parts.push(`"disk":[${megabytes(diskBytes)},"MB"]`);
  if (gpus !== undefined) parts.push(`"gpus":[${finite(gpus)},"gpus"]`);
  if (cores !== undefined) parts.push(`"cores":[${finite(cores)},"cores"]`);
  return `{${parts.join(",")}}`;
}

/** What a worker has. */
export function workerJson({ memoryBytes, diskBytes, cores }: Resources): string {
  return amountsJson({ memoryBytes, diskBytes, cores, gpus: undefined });
}

/** A try at the instant when it was given to its worker. */
export function commitJson(dispatchedAtMs: number, allocated: Resources | undefined): string {
  const amounts = allocated === undefined ? NO_AMOUNTS : amountsJson(allocated);
  return `{${commitFields(dispatchedAtMs)},${amounts.slice(1)}`;
}

/** A try of which nothing is known but when it was given to its worker. */
export function lostJson(dispatchedAtMs: number): string {
  return `{${commitFields(dispatchedAtMs)}}`;
}

/** A try that was retrieved, on the clock of the manager. */
export function measuredJson(
  { startMs, ranMs, retrievedMs, dispatchedAtMs, allocated, end }: {
    readonly startMs: number;
    readonly ranMs: number;
    /** How long its outputs took. */
    readonly retrievedMs: number;
    readonly dispatchedAtMs: number;
    readonly allocated: Resources | undefined;
    readonly end: Pick<TryEnd, "used" | "valueBytes" | "stdoutBytes" | "stderrBytes">;
  },
): string {
  const { used, valueBytes = 0, stdoutBytes, stderrBytes } = end;
  const [start, stop] = [seconds(startMs), seconds(startMs + ranMs)];
  const size = (valueBytes + stdoutBytes + stderrBytes) / MEGABYTE;
  const isBare = allocated === undefined && used === undefined;
  const amounts = isBare ? NO_AMOUNTS : amountsJson({ ...NOTHING, ...allocated, ...used });
  return `{"time_worker_start":[${start},"s"],"time_worker_end":[${stop},"s"],` +
    `"time_output_mgr":[${seconds(retrievedMs)},"s"],"size_output_mgr":[${size},"MB"],` +
    `${commitFields(dispatchedAtMs)},"start":[${start},"s"],"end":[${stop},"s"],` +
    `"wall_time":[${seconds(ranMs)},"s"],${amounts.slice(1)}`;
}

const NO_AMOUNTS = '{"memory":[0,"MB"],"disk":[0,"MB"],"gpus":[0,"gpus"],"cores":[0,"cores"]}';

const NOTHING = { memoryBytes: 0, diskBytes: 0, gpus: 0, cores: 0 };

/** Of a call that is told of once it has ended they stand in two lines. */
let lastCommit = { atMs: Number.NaN, fields: "" };

function commitFields(dispatchedAtMs: number): string {
  if (lastCommit.atMs === dispatchedAtMs) return lastCommit.fields;
  const at = seconds(dispatchedAtMs);
  const fields = `"time_commit_start":[${at},"s"],"time_commit_end":[${at},"s"],` +
    `"time_input_mgr":[0,"s"],"size_input_mgr":[0,"MB"]`;
  lastCommit = { atMs: dispatchedAtMs, fields };
  return fields;
}

function seconds(ms: number): string {
  return String(Math.round(ms * 1_000) / 1e6);
}

function finite(amount: number): number {
  return Number.isFinite(amount) ? amount : 0;
}
