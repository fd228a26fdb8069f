/**
 * A made-up run as the rows of `monitoring.db`. Groups of ten tasks each fetch, align, score by a function call and merge; a large file goes from the manager
 * through all workers; some tries fail, one worker is lost and joins again. A seed is a run.
 *
 * @module
 */

import { type Heap, newHeap, popHeap, pushHeap } from "../../../shared/heap.ts";
import {
  newRandom,
  nextRandom,
  nextRandomBelow,
  type RandomState,
} from "../../../shared/random.ts";
import type {
  AttemptPlan,
  FilePlan,
  InstancePlan,
  MountPlan,
  NotePlan,
  ReplicaPlan,
  SyntheticPlan,
  TaskPlan,
  TransferPlan,
  WorkerPlan,
} from "./synthetic_rows.ts";

/** What is made up. */
export interface SyntheticOptions {
  readonly tasks: number;
  readonly workers: number;
  /** Default 1. */
  readonly seed?: number;
  /** Tasks that each worker runs at once; default 4. */
  readonly slots?: number;
  readonly startedAtMs?: number;
  /** The records end after this part of the run, as while it goes on; default 1, the whole of it. */
  readonly until?: number;
}

const POPULAR_BYTES = 1_200_000_000;
const POPULAR_FILE = 1;
/** A network of 10 Gbit/s. */
const BYTES_PER_MS = 1_250_000;
/** Each worker hands the popular file to so many others. */
const SPREAD = 2;
const WORKERS_MAX = 10_000;
const AWAY_MS = 30_000;
const TASK_MS = 8_000;

interface Slot {
  readonly worker: number;
  readonly lane: number;
  freeAtMs: number;
}

interface Plan {
  readonly random: RandomState;
  readonly startedAtMs: number;
  readonly lostAtMs: number;
  readonly slots: Heap<Slot>;
  /** `[when each worker has the popular file]` */
  readonly popularAtMs: number[];
  readonly tasks: TaskPlan[];
  readonly attempts: AttemptPlan[];
  readonly mounts: MountPlan[];
  readonly files: FilePlan[];
  readonly replicas: ReplicaPlan[];
  readonly transfers: TransferPlan[];
  readonly workers: WorkerPlan[];
  readonly instances: InstancePlan[];
  readonly notes: NotePlan[];
  /** `[where the file is first, by file number]` */
  readonly homes: (number | undefined)[];
  /** `{file number and worker: when it is there}` */
  readonly arrivals: Map<number, number>;
  /** `{task: the file that it makes}` */
  readonly outputs: Map<number, number>;
}

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

/** Id of the worker of that index. */
export function workerIdOf(worker: number): string {
  return `w-${String(worker + 1).padStart(4, "0")}`;
}

function workerOf(workerId: string): number {
  return Number(workerId.slice(2)) - 1;
}

function newPlan({ tasks, workers, seed = 1, slots = 4, startedAtMs }: SyntheticOptions): Plan {
  const begin = startedAtMs ?? Date.UTC(2026, 2, 4, 5, 6, 7);
  return {
    random: newRandom(seed),
    startedAtMs: begin,
    lostAtMs: workers > 1 ? begin + 0.4 * tasks * TASK_MS / (workers * slots) : Infinity,
    slots: newHeap((a, b) =>
      a.freeAtMs !== b.freeAtMs
        ? a.freeAtMs < b.freeAtMs
        : a.worker !== b.worker
        ? a.worker < b.worker
        : a.lane < b.lane
    ),
    popularAtMs: [],
    tasks: [],
    attempts: [],
    mounts: [],
    files: [],
    replicas: [],
    transfers: [],
    workers: [],
    instances: [],
    notes: [{
      noteId: 1,
      atMs: begin + 2_000,
      kind: "host_blocked",
      subject: "node9999",
      text: "Host node9999 is blocked for 60 s: its worker failed three tasks in a row",
    }],
    homes: [],
    arrivals: new Map(),
    outputs: new Map(),
  };
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

/** Tries it until it has ended. */
function runTask(plan: Plan, task: TaskPlan, inputs: readonly number[]): void {
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
  const arrival = plan.arrivals.get(fileId * WORKERS_MAX + worker);
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

function isAway(plan: Plan, atMs: number): boolean {
  return atMs >= plan.lostAtMs && atMs < plan.lostAtMs + AWAY_MS;
}

function addFile(
  plan: Plan,
  file: Pick<FilePlan, "kind" | "source" | "cacheName" | "level" | "sizeBytes"> & {
    producerTaskId?: number;
  },
): number {
  const fileId = plan.files.length + 1;
  const { producerTaskId = null, ...rest } = file;
  plan.files.push({
    fileId,
    ...rest,
    isDirectory: 0,
    producerTaskId,
    isNondeterministic: 0,
    mergedInto: null,
    declaredAtMs: plan.startedAtMs,
    forgottenAtMs: null,
  });
  return fileId;
}

function addTransfer(plan: Plan, transfer: Omit<TransferPlan, "transferId">): void {
  plan.transfers.push({ transferId: plan.transfers.length + 1, ...transfer });
}

function addReplica(plan: Plan, fileId: number, worker: number, readyAtMs: number): void {
  plan.homes[fileId] ??= worker;
  plan.arrivals.set(fileId * WORKERS_MAX + worker, readyAtMs);
  const { sizeBytes } = plan.files[fileId - 1]!;
  plan.replicas.push({
    fileId,
    workerId: workerIdOf(worker),
    readyAtMs,
    goneAtMs: null,
    generation: 0,
    sizeBytes: sizeBytes!,
  });
}

function between(plan: Plan, low: number, high: number): number {
  return low + (high - low) * nextRandom(plan.random);
}
