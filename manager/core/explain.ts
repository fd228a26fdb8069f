/**
 * Why a task does not run now, from the predicates that schedule it. Nothing is kept for it: each
 * question looks at the workers, once for all tasks of a class, and at the inputs of the task.
 *
 * @module
 */

import { unreachable } from "../../shared/assert.ts";
import { visitBefore } from "../../shared/ordered_queue.ts";
import type { TaskId } from "../../shared/ids.ts";
import { callReasons, turnReason } from "./explain_call.ts";
import { INPUTS_TOLD_MAX, missingInputReasons, neededBy } from "./explain_input.ts";
import { retrievalReasons, tryReasons } from "./explain_try.ts";
import { isFull } from "./category.ts";
import type { Explanation, Reason } from "./explanation.ts";
import { inputFiles } from "./file.ts";
import type { Hold } from "./hold.ts";
import { isWaitingForWorkers } from "./schedule.ts";
import type { ManagerState, TaskClass, TaskRecord } from "./state.ts";
import { strictHolders, strictInputs } from "./strict_input.ts";
import { comesFirst, compareRanks } from "./task_class.ts";
import { taskStateOf } from "./task_standing.ts";
import { surveyWorkers, type WorkerSurvey } from "./worker_survey.ts";

/** Tasks that are counted before one: then there are that many, or more. */
export const QUEUE_COUNTED_MAX = 1_000;

/** Root causes of root causes that are told: of a task that makes a file of a library, and so on. */
const ROOTS_MAX = 2;

/** One question, about one task or many. */
export interface Inquiry {
  readonly state: ManagerState;
  /** By the clock of the state's events. */
  readonly nowMs: number;
  /** What was found out about the workers for each class so far. */
  readonly surveys: Map<TaskClass, WorkerSurvey>;
}

/** Begins a question. It is good until the state changes. */
export function newInquiry(state: ManagerState, nowMs: number = state.nowMs): Inquiry {
  return { state, nowMs: Math.max(nowMs, state.nowMs), surveys: new Map() };
}

/** Why the task does not run, or how it does; undefined when the core has no record of it. */
export function explain(inquiry: Inquiry, taskId: TaskId): Explanation | undefined {
  const task = inquiry.state.tasks.get(taskId);
  if (task === undefined) return undefined;
  const reasons = reasonsOf(inquiry, task);
  if (task.isSettled && task.state.kind !== "done") {
    const { recoveryTries: mostCount } = inquiry.state.policies;
    reasons.push({ kind: "recovery", count: task.recoveryCount, mostCount });
  }
  return { taskId, state: taskStateOf(task), reasons };
}

/** As `explain`, of a record; `depth` tasks wait for it of which it is the root cause. */
function reasonsOf(inquiry: Inquiry, task: TaskRecord, depth = 0): Reason[] {
  const { state } = task;
  switch (state.kind) {
    case "waiting": {
      const { hold } = task;
      const held = hold === undefined ? [] : holdReasons(inquiry, task, hold);
      // Of a root cause one is enough.
      if (depth > 0 && hold !== undefined) return held;
      return [...held, ...inputReasons(inquiry, task, depth)];
    }
    case "ready":
      return readyReasons(inquiry, task, depth);
    case "dispatched":
      return tryReasons(inquiry, state.attempt);
    case "retrieving":
      return retrievalReasons(inquiry, task, state.pending);
    case "done":
      // Others leave the tables as they end.
      return [{ kind: "ended", outcome: "success", message: "", try: task.tryCount }];
    default:
      return unreachable(state);
  }
}

function inputReasons(inquiry: Inquiry, task: TaskRecord, depth: number): Reason[] {
  return missingInputReasons(inquiry.state, inputFiles(inquiry.state, task), {
    most: depth > 0 ? 1 : INPUTS_TOLD_MAX,
    nowMs: inquiry.nowMs,
    nameOf: (file) => neededBy(task, file),
    rootOf: (producer) => rootOf(inquiry, producer, depth),
  });
}

function rootOf(inquiry: Inquiry, producer: TaskRecord, depth: number): Reason | undefined {
  return depth < ROOTS_MAX ? reasonsOf(inquiry, producer, depth + 1)[0] : undefined;
}

function holdReasons(inquiry: Inquiry, task: TaskRecord, hold: Hold): Reason[] {
  const reason = holdReason(inquiry, task, hold);
  if (hold.kind !== "strict_input") return [reason];
  const holders = strictHolders(inquiry.state, task);
  return [reason, ...surveyWorkers(inquiry, task.taskClass, holders).reasons];
}

function holdReason({ state, nowMs }: Inquiry, task: TaskRecord, hold: Hold): Reason {
  switch (hold.kind) {
    case "start_after":
      return { kind: "start_after", leftMs: Math.max(0, hold.untilMs - nowMs) };
    case "back_off": {
      const failureCount = task.failureCount + (task.troubles?.forsaken.count ?? 0);
      return { kind: "back_off", leftMs: Math.max(0, hold.untilMs - nowMs), failureCount };
    }
    case "strict_input": {
      const mounts = strictInputs(state, task).map(({ mount }) => mount);
      return { kind: "strict_input", mounts, holderCount: strictHolders(state, task).length };
    }
    case "retry_asked":
      return { kind: "retry_asked", outcome: hold.failure.outcome };
    case "arguments": {
      const awaited = hold.awaits.filter((id) => state.tasks.get(id)?.isSettled === false);
      return {
        kind: "arguments",
        taskIds: awaited.slice(0, INPUTS_TOLD_MAX),
        count: awaited.length,
      };
    }
    case "called_off":
      return { kind: "called_off" };
    default:
      return unreachable(hold);
  }
}

function readyReasons(inquiry: Inquiry, task: TaskRecord, depth: number): Reason[] {
  const { state } = inquiry;
  if (isWaitingForWorkers(state)) {
    const { joinedCount, policies: { waitForWorkers: wantedCount } } = state;
    return [{ kind: "few_workers", joinedCount, wantedCount }];
  }
  const { library, category } = task.taskClass;
  if (isFull(category)) return fullReasons(state, task);
  if (library === undefined) return placeReasons(inquiry, task);
  return callReasons(inquiry, {
    task,
    library,
    places: () => placeReasons(inquiry, task),
    rootOf: (producer) => rootOf(inquiry, producer, depth),
  });
}

function fullReasons(state: ManagerState, task: TaskRecord): Reason[] {
  const { name: category, runningCount, spec: { maxConcurrent } } = task.taskClass.category;
  const full = { kind: "category_full", category, runningCount, maxConcurrent } as const;
  return [full, ...queueReasons(state, task)];
}

/** What keeps it from workers, then who goes before it. */
function placeReasons(inquiry: Inquiry, task: TaskRecord): Reason[] {
  const { state, surveys } = inquiry;
  const { taskClass } = task;
  if (state.workers.size === 0) return [{ kind: "no_worker" }];
  let survey = surveys.get(taskClass);
  if (survey === undefined) surveys.set(taskClass, survey = surveyForTurn(inquiry, taskClass));
  const { reasons, candidateCount } = survey;
  const [first, ...others] = reasons;
  if (first === undefined || candidateCount === 0) return [...reasons];
  return [first, ...queueReasons(state, task), ...others];
}

/** The survey of a class; that it waits for its turn comes first. */
function surveyForTurn(inquiry: Inquiry, taskClass: TaskClass): WorkerSurvey {
  const { state, nowMs } = inquiry;
  const survey = surveyWorkers(inquiry, taskClass);
  const turn = turnReason(state, taskClass, nowMs);
  return turn === undefined ? survey : { ...survey, reasons: [turn, ...survey.reasons] };
}

function queueReasons({ busyClasses }: ManagerState, task: TaskRecord): Reason[] {
  const { taskClass } = task;
  const alikeCount = countBefore(taskClass, (other) => comesFirst(other, task));
  let otherCount = 0;
  for (const other of busyClasses) {
    if (other === taskClass || otherCount >= QUEUE_COUNTED_MAX) continue;
    otherCount += countBefore(other, (item) => compareRanks(item, task) < 0);
  }
  if (alikeCount + otherCount === 0) return [];
  return [{ kind: "queue", alikeCount, otherCount: Math.min(otherCount, QUEUE_COUNTED_MAX) }];
}

/** Ready tasks of a class that are before others; looks at those and at few besides. */
function countBefore(
  taskClass: TaskClass,
  isBefore: (task: TaskRecord) => boolean,
): number {
  let count = 0;
  visitBefore(taskClass.ready, isBefore, (item) => {
    if (item.state.kind === "ready" && item.taskClass === taskClass) count += 1;
    return count >= QUEUE_COUNTED_MAX;
  });
  return count;
}
