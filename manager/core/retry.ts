/**
 * What becomes of a task one of whose tries failed: it is tried again at once or after a pause, its
 * user is asked, or it ends.
 *
 * Costs add up as in Parsl: a try that failed costs 1 unless the user says otherwise, and a task is
 * tried again while all of them together are at most its `retries`.
 *
 * @module
 */

import type { Outcome, TryId } from "../../shared/task.ts";
import { type Failure, finishFailed } from "./failure_output.ts";
import type { ManagerState, TaskRecord, TryRecord, WorkerRecord } from "./state.ts";
import { endOf, planHold, type TimedHold } from "./task.ts";
import { discard, retry } from "./try.ts";

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
    return finishFailed(state, attempt, failure);
  }
  if (rule?.isAsked === true) return ask(state, attempt, failure);
  if (task.failureCount <= retries) return tryAgain(state, attempt);
  finishFailed(state, attempt, failure);
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
  const { attempt, failure, session } = task.hold;
  const isRepeated = decision.kind === "cost" && mayRepeat(task, decision.cost);
  const { link } = attempt.worker;
  // A worker that was away meanwhile has been told that nobody wants what the try left.
  const isThere = link.kind === "open" && link.session === session;
  if (isRepeated || !isThere) dropAsked(state, task);
  task.hold = undefined;
  if (isRepeated) return tryAgain(state, attempt);
  const why = decision.kind === "none"
    ? `; whether to try again could not be decided: ${decision.why}`
    : "";
  const left = isThere ? failure : withoutOutputs(failure);
  finishFailed(state, attempt, { ...left, message: `${failure.message}${why}` });
}

function mayRepeat(task: TaskRecord, cost: number): boolean {
  const troubles = troublesOf(task);
  troubles.cost += cost;
  const { retries } = task.definition;
  return troubles.cost <= retries && task.failureCount <= Math.max(retries, CHEAP_FAILURES_MAX);
}

/** What the try left of which the user is asked goes, if the user is. */
export function dropAsked(state: ManagerState, { hold }: TaskRecord): void {
  if (hold?.kind !== "retry_asked") return;
  const { attempt, failure: { result } } = hold;
  if (result !== undefined && result.outputs.length > 0) discard(state, attempt, result);
}

function withoutOutputs({ outcome, message, result }: Failure): Failure {
  return { outcome, message, ...(result && { result: { ...result, outputs: [] } }) };
}

function ask(state: ManagerState, attempt: TryRecord, failure: Failure): void {
  const { task, worker: { link: { session } } } = attempt;
  const untilMs = state.nowMs + state.policies.retryTimeoutMs;
  hold(state, attempt, { kind: "retry_asked", untilMs, attempt, failure, session });
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
  attempt.task.hold = planHold(state, attempt.task, timed);
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
  finishFailed(state, attempt, { ...failure, message });
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
