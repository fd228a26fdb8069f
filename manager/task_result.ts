/** How a task ended, as scripts read it. */

import type { TaskId } from "../shared/ids.ts";
import type { ResourceRequest, Resources } from "../shared/resources.ts";
import type { Exceeded, Outcome, Usage, UsageSample } from "../shared/task.ts";
import type { TaskEnd } from "./core/instruction.ts";
import type { RemoteResult } from "./remote_task.ts";
import type { TaskHandle } from "./task_handle.ts";

/** When things happened to a task, epoch milliseconds (0: never), and how long they took. */
export interface TaskTimes {
  /** When the script submitted it. */
  readonly submittedAtMs: number;
  /** When its last try was given to a worker. */
  readonly dispatchedAtMs: number;
  /** When its process or call started, on the worker's clock. */
  readonly startedAtMs: number;
  /** When the manager had all of its result. */
  readonly endedAtMs: number;
  /** From the dispatch's arrival at the worker until the start. */
  readonly stagedMs: number;
  /** From the start until the end of the process or call. */
  readonly ranMs: number;
}

/** What an awaited task gives; a task that failed is a value too. */
export interface TaskResult {
  /** The handle whose result this is. */
  readonly task: TaskHandle<unknown>;
  /** Number of the task. */
  readonly id: TaskId;
  /** The label that the script gave it. */
  readonly tag: string | undefined;
  /** What it is like, as the script said. */
  readonly category: string | undefined;
  /** Number of the last try, from 1; 0 when there was none. */
  readonly try: number;
  /** How it ended. */
  readonly outcome: Outcome;
  /** Status of its process, when it had one. */
  readonly exitCode?: number;
  /** `SIGKILL` and the like, when a signal ended it. */
  readonly signal?: string;
  /** The mount that the outcome is about, as of a missing output. */
  readonly mount?: string;
  /** One line that says what went wrong; empty on success. */
  readonly message: string;
  /** The end of what it wrote, at most 64 KiB. */
  readonly stdout: string;
  /** As `stdout`, and apart from it. */
  readonly stderr: string;
  /** The worker of its last try. */
  readonly workerId: string | undefined;
  /** The host of that worker. */
  readonly host: string | undefined;
  /** When things happened to it. */
  readonly times: TaskTimes;
  /** What the task stated. */
  readonly requested: ResourceRequest;
  /** What its last try was given of its worker; absent when there was none, and of calls. */
  readonly allocated?: Resources;
  /** What its last try used, at most; absent when it was not measured, as calls are. */
  readonly used?: Usage;
  /** Of `resources_exhausted`: what it had too little of, and how much of it. */
  readonly exceeded?: Exceeded;
  /** What it used as time went on, if the task asked for it. */
  readonly series?: readonly UsageSample[];
}

/** What a result tells beside the end of the task. */
export interface TaskLabels {
  readonly tag: string | undefined;
  readonly category: string | undefined;
  readonly request: ResourceRequest;
}

/** It never changes, and is not free to ask for. */
const TIME_ORIGIN_MS: number = performance.timeOrigin;

/** Thrown by `orThrow` and `value` for a task that did not succeed. */
export class TaskError extends Error {
  /** Always `"TaskError"`. */
  override readonly name = "TaskError";
  /** How the task ended. */
  readonly result: TaskResult | RemoteResult;

  /** Made by the handles of tasks. */
  constructor(
    result: TaskResult | RemoteResult,
    message: string = describe(result),
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.result = result;
  }
}

/** The result that scripts read of `end`. */
export function taskResult(
  task: TaskHandle<unknown>,
  end: TaskEnd,
  labels: TaskLabels,
): TaskResult {
  const { result, mount, allocated } = end;
  const told: { -readonly [Key in keyof TaskResult]: TaskResult[Key] } = {
    task,
    id: end.taskId,
    tag: labels.tag,
    category: labels.category,
    try: end.try,
    outcome: end.outcome,
    message: end.message,
    stdout: decode(result?.stdout),
    stderr: decode(result?.stderr),
    workerId: end.workerId,
    host: end.host,
    times: timesOf(end),
    requested: labels.request,
  };
  if (mount !== undefined) told.mount = mount;
  if (allocated !== undefined) told.allocated = allocated;
  if (result === undefined) return told;
  const { exitCode, signal, used, exceeded, series } = result;
  if (exitCode !== undefined) told.exitCode = exitCode;
  if (signal !== undefined) told.signal = signal;
  if (used !== undefined) told.used = used;
  if (exceeded !== undefined) told.exceeded = exceeded;
  if (series !== undefined) told.series = series;
  return told;
}

/** When things happened to a task that has ended. */
export function timesOf({ result, submittedAtMs, dispatchedAtMs, endedAtMs }: TaskEnd): TaskTimes {
  return {
    submittedAtMs: toEpochMs(submittedAtMs),
    dispatchedAtMs: toEpochMs(dispatchedAtMs),
    startedAtMs: result?.times.startedAtMs ?? 0,
    endedAtMs: toEpochMs(endedAtMs),
    stagedMs: result?.times.stagedMs ?? 0,
    ranMs: result?.times.ranMs ?? 0,
  };
}

/** One line: `Task 7 ended as exit: The command ended with exit code 3: no such option`. */
function describe(result: TaskResult | RemoteResult): string {
  const { id, outcome, message, stderr } = result;
  // Of a command that failed by itself, what it said says most.
  const isOwn = outcome === "exit" || outcome === "signal";
  const said = isOwn ? stderr.trimEnd().split("\n").at(-1) ?? "" : "";
  const parts = [message, said].filter((part) => part !== "");
  return [`Task ${id} ended as ${outcome}`, ...parts].join(": ");
}

function decode(bytes: Uint8Array | undefined): string {
  return bytes === undefined || bytes.length === 0 ? "" : new TextDecoder().decode(bytes);
}

/** Monotonic milliseconds of this process as epoch milliseconds; 0 stays 0. */
function toEpochMs(atMs: number): number {
  return atMs === 0 ? 0 : TIME_ORIGIN_MS + atMs;
}
