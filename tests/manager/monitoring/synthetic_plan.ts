/**
 * A made-up run as the rows of `monitoring.db`. Groups of ten tasks each fetch, align, score by a
 * function call and merge; a large file goes from the manager through all workers; some tries fail,
 * one worker is lost and joins again. A seed is a run.
 *
 * @module
 */

import { pushHeap } from "../../../shared/heap.ts";
import { nextRandom, nextRandomBelow } from "../../../shared/random.ts";
import {
  addFile,
  addReplica,
  addTransfer,
  AWAY_MS,
  between,
  BYTES_PER_MS,
  newPlan,
  type Plan,
  POPULAR_BYTES,
  POPULAR_FILE,
  type SyntheticOptions,
  workerIdOf,
} from "./synthetic_draft.ts";
import type { SyntheticPlan, TaskPlan } from "./synthetic_rows.ts";
import { runTask } from "./synthetic_try.ts";

/** Each worker hands the popular file to so many others. */
const SPREAD = 2;

/** Makes the whole run. */
export function planSyntheticRun(options: SyntheticOptions): SyntheticPlan {
  const plan = newPlan(options);
  addWorkers(plan, options.workers);
  spreadPopular(plan);
  for (let worker = 0; worker < options.workers; worker++) {
    for (let lane = 0; lane < (options.slots ?? 4); lane++) {
      const { joinedAtMs } = plan.workers[worker]!;
      pushHeap(plan.slots, { worker, lane, freeAtMs: joinedAtMs });
    }
  }
  for (let index = 0; index < options.tasks; index++) addTask(plan, index, options.tasks);
  let endedAtMs = plan.startedAtMs + 1_000;
  for (const task of plan.tasks) endedAtMs = Math.max(endedAtMs, task.endedAtMs ?? 0);
  loseWorker(plan);
  return { ...plan, endedAtMs: endedAtMs + 500 };
}

function workerOf(workerId: string): number {
  return Number(workerId.slice(2)) - 1;
}

function addWorkers(plan: Plan, count: number): void {
  for (let worker = 0; worker < count; worker++) {
    plan.workers.push({
      workerId: workerIdOf(worker),
      joinedAtMs: plan.startedAtMs + between(plan, 100, 5_000),
      leftAtMs: null,
      reason: null,
      host: `node${String((worker >> 1) + 1).padStart(4, "0")}`,
      pid: 1_000 + worker,
      address: `10.0.${worker >> 8}.${worker & 255}:40000`,
      cores: 8,
      memoryBytes: 32e9,
      diskBytes: 200e9,
      gpus: worker % 50 === 0 ? 1 : 0,
      features: JSON.stringify(worker % 50 === 0 ? ["cuda"] : []),
    });
    if (worker % 5 === 0) {
      const { joinedAtMs } = plan.workers[worker]!;
      plan.instances.push({
        instanceId: plan.instances.length + 1,
        library: "scoring",
        workerId: workerIdOf(worker),
        state: "ready",
        startingAtMs: joinedAtMs + 50,
        readyAtMs: joinedAtMs + 900,
        endedAtMs: null,
      });
    }
  }
}

/** The manager feeds one worker, and each that has the file the next ones. */
function spreadPopular(plan: Plan): void {
  addFile(plan, {
    kind: "local",
    source: "/data/reference.fasta",
    cacheName: "file-reference",
    level: "workflow",
    sizeBytes: POPULAR_BYTES,
  });
  plan.workers.forEach(({ workerId, joinedAtMs }, worker) => {
    const parent = worker === 0 ? undefined : Math.floor((worker - 1) / SPREAD);
    const from = parent === undefined ? plan.startedAtMs : plan.popularAtMs[parent]!;
    let begin = Math.max(from, joinedAtMs);
    if (worker % 97 === 13) begin = addFailedTransfer(plan, { worker, parent, begin });
    const endedAtMs = begin + POPULAR_BYTES / BYTES_PER_MS * (1 + nextRandom(plan.random));
    plan.popularAtMs.push(endedAtMs);
    addTransfer(plan, {
      fileId: POPULAR_FILE,
      source: parent === undefined ? "manager" : "worker",
      sourceId: parent === undefined ? null : workerIdOf(parent),
      target: "worker",
      workerId,
      state: "done",
      startedAtMs: begin,
      endedAtMs,
      movedBytes: POPULAR_BYTES,
      message: null,
    });
    addReplica(plan, POPULAR_FILE, worker, endedAtMs);
  });
}

function addFailedTransfer(
  plan: Plan,
  { worker, parent, begin }: { worker: number; parent: number | undefined; begin: number },
): number {
  addTransfer(plan, {
    fileId: POPULAR_FILE,
    source: parent === undefined ? "manager" : "worker",
    sourceId: parent === undefined ? null : workerIdOf(parent),
    target: "worker",
    workerId: workerIdOf(worker),
    state: "failed",
    startedAtMs: begin,
    endedAtMs: begin + 300,
    movedBytes: 1_000_000,
    message: "Cannot fetch file-reference: the peer closed the connection",
  });
  return begin + 400;
}

/** Adds a task of its group of ten: 4 fetch, 4 align what was fetched, 1 scores, 1 merges. */
function addTask(plan: Plan, index: number, count: number): void {
  const taskId = index + 1;
  const place = index % 10;
  const first = taskId - place;
  const task = newTask(plan, { taskId, place, count });
  plan.tasks.push(task);
  const inputs = inputsOf(plan, { place, first });
  for (const [at, fileId] of inputs.entries()) {
    plan.mounts.push({ taskId, role: "input", mount: `input-${at}.dat`, fileId });
  }
  const output = place === 8 ? undefined : addOutput(plan, task, place);
  const broken = inputs.find((fileId) => {
    const producer = plan.files[fileId - 1]!.producerTaskId;
    return producer !== null && plan.tasks[producer - 1]!.outcome !== "success";
  });
  if (broken !== undefined) return endWithoutTry(plan, task, broken);
  runTask(plan, task, inputs);
  if (output !== undefined && task.outcome === "success") makeOutput(plan, task, output);
}

const CATEGORIES = ["fetch", "align", "score", "merge"] as const;

function newTask(
  plan: Plan,
  { taskId, place, count }: { taskId: number; place: number; count: number },
): TaskPlan {
  const category = CATEGORIES[place < 4 ? 0 : place < 8 ? 1 : place === 8 ? 2 : 3]!;
  const isCall = category === "score";
  const sample = String(taskId).padStart(6, "0");
  return {
    taskId,
    kind: isCall ? "call" : "command",
    name: isCall ? "score_reads" : category,
    command: isCall
      ? "score_reads"
      : `./bin/${category} --sample S${sample} --threads 1 --seed ${
        taskId * 7
      } > out_${sample}.txt`,
    library: isCall ? "scoring" : null,
    function: isCall ? "score_reads" : null,
    category,
    tag: taskId % 3 === 0 ? `batch_${taskId % 20}%` : null,
    priority: 0,
    state: "done",
    outcome: null,
    message: "",
    tryCount: 0,
    exitCode: null,
    signal: null,
    mount: null,
    workerId: null,
    host: null,
    submittedAtMs: plan.startedAtMs + 1_000 * taskId / Math.max(1, count / 10),
    dispatchedAtMs: null,
    startedAtMs: null,
    endedAtMs: null,
    stagedMs: null,
    ranMs: null,
    requestedCores: isCall ? null : 1,
    requestedMemoryBytes: isCall ? null : 2e9,
    requestedDiskBytes: null,
    requestedGpus: null,
    allocatedCores: isCall ? null : 1,
    allocatedMemoryBytes: isCall ? null : 2e9,
    allocatedDiskBytes: isCall ? null : 10e9,
    allocatedGpus: isCall ? null : 0,
    usedCores: null,
    usedMemoryBytes: null,
    usedDiskBytes: null,
    usedProcessCount: null,
    usedCpuMs: null,
    recoveryCount: 0,
    argumentBytes: isCall ? 180 : null,
    valueBytes: null,
    stdoutBytes: null,
    stderrBytes: null,
    stdoutTail: null,
    stderrTail: null,
  };
}

/** Numbers of the files that a task of that place in the group that begins with `first` reads. */
function inputsOf(plan: Plan, { place, first }: { place: number; first: number }): number[] {
  const outputOf = (taskId: number): number => plan.outputs.get(taskId)!;
  if (place < 4) return [urlFile(plan, first)];
  if (place < 8) return [POPULAR_FILE, outputOf(first + place - 4)];
  if (place === 8) return [outputOf(first + 7)];
  return [4, 5, 6, 7].map((at) => outputOf(first + at));
}

/** One archive for every fifty tasks. */
function urlFile(plan: Plan, first: number): number {
  const source = `https://data.example.org/reads/${Math.floor(first / 50)}.tar.gz`;
  const known = plan.files.findLast(({ kind }) => kind === "url");
  if (known?.source === source) return known.fileId;
  return addFile(plan, {
    kind: "url",
    source,
    cacheName: `url-${Math.floor(first / 50)}`,
    level: "worker",
    sizeBytes: 20_000_000 + nextRandomBelow(plan.random, 5_000_000),
  });
}

function addOutput(plan: Plan, { taskId }: TaskPlan, place: number): number {
  const isTemp = place < 8;
  const fileId = addFile(plan, {
    kind: isTemp ? "temp" : "local",
    source: isTemp ? null : `/data/results/merged-${taskId}.txt`,
    cacheName: `temp-run-${taskId}`,
    level: "workflow",
    sizeBytes: null,
    producerTaskId: taskId,
  });
  plan.outputs.set(taskId, fileId);
  plan.mounts.push({ taskId, role: "output", mount: "out.txt", fileId });
  return fileId;
}

function endWithoutTry(plan: Plan, task: TaskPlan, fileId: number): void {
  const producer = plan.tasks[plan.files[fileId - 1]!.producerTaskId! - 1]!;
  task.outcome = producer.outcome === "cancelled" ? "cancelled" : "input_missing";
  task.message =
    `Cannot run task ${task.taskId}: task ${producer.taskId}, which makes its input, ` +
    `has ended as ${producer.outcome}`;
  task.endedAtMs = Math.max(task.submittedAtMs, producer.endedAtMs!) + 1;
}

function makeOutput(plan: Plan, task: TaskPlan, fileId: number): void {
  const file = plan.files[fileId - 1]!;
  const worker = workerOf(task.workerId!);
  file.sizeBytes = 10_000 + nextRandomBelow(plan.random, 5_000_000);
  addReplica(plan, fileId, worker, task.endedAtMs! - 1);
  if (file.kind !== "local") return;
  const ms = 1 + file.sizeBytes / BYTES_PER_MS;
  addTransfer(plan, {
    fileId,
    source: "worker",
    sourceId: null,
    target: "manager",
    workerId: task.workerId!,
    state: "done",
    startedAtMs: task.endedAtMs! - 1,
    endedAtMs: task.endedAtMs! + ms,
    movedBytes: file.sizeBytes,
    message: null,
  });
  task.endedAtMs = task.endedAtMs! + ms + 0.5;
}

/** What the lost worker held is gone, and it comes back empty. */
function loseWorker(plan: Plan): void {
  const session = plan.workers[1];
  if (session === undefined || session.joinedAtMs > plan.lostAtMs) return;
  const { lostAtMs } = plan;
  for (const replica of plan.replicas) {
    if (replica.workerId !== session.workerId || replica.readyAtMs >= lostAtMs) continue;
    replica.goneAtMs = lostAtMs;
  }
  for (const instance of plan.instances) {
    if (instance.workerId !== session.workerId) continue;
    instance.state = "died";
    instance.endedAtMs = lostAtMs;
  }
  session.leftAtMs = lostAtMs;
  session.reason = "It did not come back within 3 s";
  plan.workers.push({
    ...session,
    joinedAtMs: lostAtMs + AWAY_MS,
    leftAtMs: null,
    reason: null,
    pid: session.pid + 50_000,
  });
}
