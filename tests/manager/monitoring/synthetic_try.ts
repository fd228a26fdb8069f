/** Tries of the tasks of a made-up run: where and when they ran, and how they ended. */

import { popHeap, pushHeap } from "../../../shared/heap.ts";
import { nextRandom, nextRandomBelow } from "../../../shared/random.ts";
import {
  addReplica,
  addTransfer,
  arrivalOf,
  AWAY_MS,
  between,
  BYTES_PER_MS,
  type Plan,
  POPULAR_FILE,
  type Slot,
  TASK_MS,
  workerIdOf,
} from "./synthetic_draft.ts";
import type { TaskPlan } from "./synthetic_rows.ts";

/** Tries it until it has ended. */
export function runTask(plan: Plan, task: TaskPlan, inputs: readonly number[]): void {
  const fails = nextRandomBelow(plan.random, 1_000);
  const isHopeless = fails < 5;
  if (fails === 999) {
    Object.assign(task, { outcome: "cancelled", endedAtMs: task.submittedAtMs + 0.5 });
    task.message = "It was cancelled";
    return;
  }
  let readyAtMs = task.submittedAtMs;
  for (const fileId of inputs) {
    const producer = plan.files[fileId - 1]!.producerTaskId;
    if (producer !== null) readyAtMs = Math.max(readyAtMs, plan.tasks[producer - 1]!.endedAtMs!);
  }
  const failing = isHopeless ? 2 : fails < 25 ? 1 : 0;
  let failed = 0;
  for (let attempt = 1;; attempt++) {
    const slot = popHeap(plan.slots)!;
    const isLost = runTry(plan, {
      task,
      inputs,
      slot,
      attempt,
      readyAtMs,
      fails: failed < failing,
    });
    readyAtMs = slot.freeAtMs;
    if (isLost) slot.freeAtMs = plan.lostAtMs + AWAY_MS;
    pushHeap(plan.slots, slot);
    if (isLost) continue;
    if (failed >= failing) return;
    failed++;
    if (isHopeless && failed === failing) return;
  }
}

interface TryPlan {
  readonly task: TaskPlan;
  readonly inputs: readonly number[];
  readonly slot: Slot;
  readonly attempt: number;
  readonly readyAtMs: number;
  readonly fails: boolean;
}

/** Runs one try, and tells whether its worker was lost under it. */
function runTry(plan: Plan, { task, inputs, slot, attempt, readyAtMs, fails }: TryPlan): boolean {
  const { worker } = slot;
  let dispatchedAtMs = Math.max(slot.freeAtMs, readyAtMs) + 0.25;
  if (worker === 1 && isAway(plan, dispatchedAtMs)) dispatchedAtMs = plan.lostAtMs + AWAY_MS;
  const staged = inputs.reduce((ms, fileId) => ms + fetch(plan, fileId, worker, dispatchedAtMs), 5);
  const ran = task.kind === "call" ? between(plan, 20, 200) : between(plan, 0.2, 2) * TASK_MS;
  const isLost = worker === 1 && dispatchedAtMs < plan.lostAtMs &&
    dispatchedAtMs + staged + ran >= plan.lostAtMs;
  const startedAtMs = dispatchedAtMs + staged;
  const endedAtMs = isLost ? plan.lostAtMs : startedAtMs + ran;
  slot.freeAtMs = endedAtMs;
  const outcome = isLost ? "worker_lost" : !fails ? "success" : failureOf(task);
  const message = outcome === "success" ? "" : messageOf(outcome, task);
  plan.attempts.push({
    taskId: task.taskId,
    try: attempt,
    workerId: workerIdOf(worker),
    lane: startedAtMs < endedAtMs ? slot.lane : null,
    dispatchedAtMs,
    startedAtMs: startedAtMs < endedAtMs ? startedAtMs : null,
    endedAtMs,
    outcome,
    message,
    isRecovery: 0,
  });
  if (!isLost) endTry(plan, task, { worker, attempt, outcome, message, staged, ran });
  return isLost;
}

function endTry(
  plan: Plan,
  task: TaskPlan,
  { worker, attempt, outcome, message, staged, ran }: {
    worker: number;
    attempt: number;
    outcome: string;
    message: string;
    staged: number;
    ran: number;
  },
): void {
  const { workerId, dispatchedAtMs, endedAtMs } = plan.attempts.at(-1)!;
  const hasProcess = task.kind === "command";
  Object.assign(task, {
    outcome,
    message,
    tryCount: attempt,
    exitCode: !hasProcess || outcome === "signal" ? null : outcome === "exit" ? 1 : 0,
    signal: outcome === "signal" ? "SIGSEGV" : null,
    workerId,
    host: plan.workers[worker]!.host,
    dispatchedAtMs,
    startedAtMs: dispatchedAtMs + staged,
    endedAtMs: endedAtMs! + 1.5,
    stagedMs: staged,
    ranMs: ran,
    valueBytes: hasProcess || outcome !== "success" ? null : 64,
    stdoutBytes: hasProcess ? 40 : null,
    stderrBytes: outcome === "success" ? 0 : 60,
  });
  if (hasProcess) {
    Object.assign(task, {
      usedCores: Math.round(between(plan, 0.5, 1) * 100) / 100,
      usedMemoryBytes: 4096 * nextRandomBelow(plan.random, 400_000),
      usedDiskBytes: 4096 * nextRandomBelow(plan.random, 10_000),
      usedProcessCount: 1,
      usedCpuMs: ran * 0.9,
    });
  }
  if (outcome !== "success") {
    task.stdoutTail = `reading sample ${task.taskId}\n`;
    task.stderrTail = `Traceback: sample ${task.taskId}\nValueError: no reads left after filter\n`;
  }
}

function failureOf({ taskId, kind }: TaskPlan): string {
  if (kind === "call") return "call_error";
  return taskId % 7 === 0 ? "resources_exhausted" : taskId % 5 === 0 ? "signal" : "exit";
}

function messageOf(outcome: string, { taskId }: TaskPlan): string {
  switch (outcome) {
    case "worker_lost":
      return "The worker was lost: it did not come back within 3 s";
    case "resources_exhausted":
      return "It used 2.1 GB of memory, where it was given 2 GB";
    case "signal":
      return "It was ended by SIGSEGV";
    case "call_error":
      return `ValueError: no reads left in sample ${taskId}`;
    default:
      return "It ended with exit code 1";
  }
}

/** Brings a file to the worker, and tells how long that takes. */
function fetch(plan: Plan, fileId: number, worker: number, atMs: number): number {
  if (fileId === POPULAR_FILE) return Math.max(0, plan.popularAtMs[worker]! - atMs);
  const home = plan.homes[fileId];
  const arrival = arrivalOf(plan, fileId, worker);
  if (arrival !== undefined) return Math.max(0, arrival - atMs);
  const { kind, sizeBytes } = plan.files[fileId - 1]!;
  const ms = 1 + sizeBytes! / BYTES_PER_MS * (1 + nextRandom(plan.random));
  addTransfer(plan, {
    fileId,
    source: kind === "url" && home === undefined ? "url" : "worker",
    sourceId: home === undefined ? null : workerIdOf(home),
    target: "worker",
    workerId: workerIdOf(worker),
    state: "done",
    startedAtMs: atMs + 0.5,
    endedAtMs: atMs + ms,
    movedBytes: sizeBytes!,
    message: null,
  });
  addReplica(plan, fileId, worker, atMs + ms);
  return ms;
}

function isAway(plan: Plan, atMs: number): boolean {
  return atMs >= plan.lostAtMs && atMs < plan.lostAtMs + AWAY_MS;
}
