/**
 * What becomes of a task one of whose tries failed: it is tried again at once or after a pause, its
 * user is asked, or it ends.
 *
 * Costs add up as in Parsl: a try that failed costs 1 unless the user says otherwise, and a task is
 * tried again while all of them together are at most its `retries`.
 *
 * @module
 */

import type { Outcome, TryId, TryResult } from "../../shared/task.ts";
import { planHoldEnd, type TimedHold } from "./hold.ts";
import type { ManagerState, TaskRecord, TryRecord, WorkerRecord } from "./state.ts";
import { endOf, finishTask } from "./task.ts";
import { retry } from "./try.ts";

/** Tries that failed of a task whose user says that they cost little, before it ends. */
const CHEAP_FAILURES_MAX = 1000;

/** Pauses before tries are doubled up to this; a pause that is longer by itself stays as it is. */
const DELAY_MS_MAX = 60_000;

/** Workers that a message names. */
const NAMES_MAX = 8;

/** Failures for which a task cannot be blamed: it never ran. */
const FORSAKEN: readonly Outcome[] = ["transfer_failed", "start_failed"];

/** When a try that failed is repeated. */
export interface RetryRule {
  /** The user is asked what a try that failed costs. */
  readonly isAsked: boolean;
  /** Pause before the first repetition, doubled before each further one; 0 is none. */
  readonly delayMs: number;
  /** Only tries that ended in one of these ways are repeated; absent is any. */
  readonly on?: readonly Outcome[];
  /**
   * How often the task may be given up by workers before it ran, uncounted; once more and it ends.
   * Absent counts them as failures of its own.
   */
  readonly maxForsaken?: number;
}

/** What a try costs of the task's `retries`; Infinity ends the task. Or why that is not known. */
export type RetryDecision =
  | { readonly kind: "cost"; readonly cost: number }
  | { readonly kind: "none"; readonly why: string };

/** How a try failed. */
export interface Failure {
  readonly outcome: Outcome;
  readonly message: string;
  readonly result?: TryResult;
}

/** What went wrong so far with one task. */
export interface TroubleRecord {
  /** Of its failures together, where its user is asked. */
  cost: number;
  /** Where it was given up before it ran. */
  readonly forsaken: Places;
  /** Where it ran when the worker was lost. */
  readonly lost: Places;
}

interface Places {
  count: number;
  /** The first of them. */
  readonly names: string[];
}

/** A try failed by itself: the task is tried again, or ends, or its user is asked which. */
export function judgeFailure(state: ManagerState, attempt: TryRecord, failure: Failure): void {
  const { task } = attempt;
  const { definition: { template: { retry: rule }, retries } } = task;
  if (rule?.maxForsaken !== undefined && FORSAKEN.includes(failure.outcome)) {
    return forsake(state, { attempt, failure, most: rule.maxForsaken });
  }
  task.failureCount += 1;
  if (rule?.on !== undefined && !rule.on.includes(failure.outcome)) {
    return finishTask(state, task, { ...failure, attempt });
  }
  if (rule?.isAsked === true) return ask(state, attempt, failure);
  if (task.failureCount <= retries) return tryAgain(state, attempt);
  finishTask(state, task, { ...failure, attempt });
}

/** The user said what a try costs; an answer that nobody waits for any more has no effect. */
export function decideRetry(
  state: ManagerState,
  { taskId, try: number }: TryId,
  decision: RetryDecision,
): void {
  const task = state.tasks.get(taskId);
  if (task?.hold?.kind !== "retry_asked" || task.hold.attempt.try !== number) return;
  endAsking(state, task, decision);
}

/** The user did not say in time what a try costs. */
export function giveUpAsking(state: ManagerState, task: TaskRecord): void {
  const seconds = state.policies.retryTimeoutMs / 1000;
  endAsking(state, task, { kind: "none", why: `nobody said so in ${seconds} s` });
}

/** Notes a worker that was lost while the task ran there; returns what to say of all of them. */
export function noteLoss(task: TaskRecord, worker: WorkerRecord): string {
  const { lost } = troublesOf(task);
  const names = note(lost, worker);
  const workers = lost.count === 1 ? "a worker was" : `${lost.count} workers were`;
  return `The task is suspected of ending its workers: ${workers} lost while it ran there, ${names}`;
}

function endAsking(state: ManagerState, task: TaskRecord, decision: RetryDecision): void {
  if (task.hold?.kind !== "retry_asked") return;
  const { attempt, failure } = task.hold;
  if (decision.kind === "none") {
    const message =
      `${failure.message}; whether to try again could not be decided: ${decision.why}`;
    return finishTask(state, task, { ...failure, message, attempt });
  }
  const troubles = troublesOf(task);
  troubles.cost += decision.cost;
  const { retries } = task.definition;
  const isMany = task.failureCount > Math.max(retries, CHEAP_FAILURES_MAX);
  if (troubles.cost > retries || isMany) return finishTask(state, task, { ...failure, attempt });
  task.hold = undefined;
  tryAgain(state, attempt);
}

function ask(state: ManagerState, attempt: TryRecord, failure: Failure): void {
  const { task } = attempt;
  const untilMs = state.nowMs + state.policies.retryTimeoutMs;
  hold(state, attempt, { kind: "retry_asked", untilMs, attempt, failure });
  const end = endOf(state, task, { ...failure, attempt });
  state.instructions.push({ kind: "ask_retry", end });
}

/** The pause is as long as the failures before it say, those of infrastructure among them. */
function tryAgain(state: ManagerState, attempt: TryRecord): void {
  const { task } = attempt;
  const delayMs = task.definition.template.retry?.delayMs ?? 0;
  if (delayMs === 0) return retry(state, attempt);
  const count = task.failureCount + (task.troubles?.forsaken.count ?? 0);
  const doubledMs = delayMs * 2 ** Math.min(count - 1, 30);
  const pauseMs = Math.min(doubledMs, Math.max(delayMs, DELAY_MS_MAX));
  hold(state, attempt, { kind: "back_off", untilMs: state.nowMs + pauseMs });
}

function hold(state: ManagerState, attempt: TryRecord, timed: TimedHold): void {
  attempt.task.hold = timed;
  planHoldEnd(state, attempt.task, timed);
  retry(state, attempt);
}

function forsake(
  state: ManagerState,
  { attempt, failure, most }: {
    readonly attempt: TryRecord;
    readonly failure: Failure;
    readonly most: number;
  },
): void {
  const { task, worker } = attempt;
  const { forsaken } = troublesOf(task);
  const names = note(forsaken, worker);
  if (forsaken.count <= most) return tryAgain(state, attempt);
  const times = forsaken.count === 1 ? "once" : `${forsaken.count} times`;
  const message = `${failure.message}; it was given up ${times} before it ran, by ${names}`;
  finishTask(state, task, { ...failure, message, attempt });
}

function troublesOf(task: TaskRecord): TroubleRecord {
  task.troubles ??= {
    cost: 0,
    forsaken: { count: 0, names: [] },
    lost: { count: 0, names: [] },
  };
  return task.troubles;
}

/** One place more; returns them as text. */
function note(places: Places, { workerId, host }: WorkerRecord): string {
  places.count += 1;
  if (places.names.length < NAMES_MAX) places.names.push(`${workerId} on ${host}`);
  const more = places.count - places.names.length;
  return places.names.join(", ") + (more === 0 ? "" : ` and ${more} more`);
}
