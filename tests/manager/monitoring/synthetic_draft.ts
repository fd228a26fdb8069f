/**
 * A made-up run while it is made up: its rows so far, and what the next of them depend on.
 *
 * @module
 */

import { type Heap, newHeap } from "../../../shared/heap.ts";
import { newRandom, nextRandom, type RandomState } from "../../../shared/random.ts";
import type {
  AttemptPlan,
  FilePlan,
  InstancePlan,
  MountPlan,
  NotePlan,
  ReplicaPlan,
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

/** Of the file that every worker gets. */
export const POPULAR_BYTES = 1_200_000_000;
/** Its number. */
export const POPULAR_FILE = 1;
/** A network of 10 Gbit/s. */
export const BYTES_PER_MS = 1_250_000;
/** For how long the lost worker is away. */
export const AWAY_MS = 30_000;
/** How long tasks run, about. */
export const TASK_MS = 8_000;
const WORKERS_MAX = 10_000;

/** A place of a worker at which one task after the other runs. */
export interface Slot {
  readonly worker: number;
  readonly lane: number;
  freeAtMs: number;
}

/** The rows so far. */
export interface Plan {
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

/** A run in which nothing has happened. */
export function newPlan(
  { tasks, workers, seed = 1, slots = 4, startedAtMs }: SyntheticOptions,
): Plan {
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

/** Id of the worker of that index. */
export function workerIdOf(worker: number): string {
  return `w-${String(worker + 1).padStart(4, "0")}`;
}

/** Declares a file; gives its number. */
export function addFile(
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

/** Adds a transfer. */
export function addTransfer(plan: Plan, transfer: Omit<TransferPlan, "transferId">): void {
  plan.transfers.push({ transferId: plan.transfers.length + 1, ...transfer });
}

/** A worker has the file from then on. */
export function addReplica(plan: Plan, fileId: number, worker: number, readyAtMs: number): void {
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

/** Since when the worker has the file; undefined when it has not. */
export function arrivalOf(plan: Plan, fileId: number, worker: number): number | undefined {
  return plan.arrivals.get(fileId * WORKERS_MAX + worker);
}

/** A number from there to there. */
export function between(plan: Plan, low: number, high: number): number {
  return low + (high - low) * nextRandom(plan.random);
}
