/** What is known of the workers' disks, and what tasks need of them. */

import { setCapacity, visitFreest } from "./capacity_index.ts";
import { inputFiles } from "./file.ts";
import { allocate } from "./allocation.ts";
import { suits } from "./placement.ts";
import { outlivesWorkflow } from "./replica.ts";
import type { FileRecord, ManagerState, TaskClass, TaskRecord, WorkerRecord } from "./state.ts";

/** Workers that are looked at for the one with the largest disk, of those with about the largest. */
const DISKS_PROBED = 64;

/** Sizes of disks that are told apart, to each doubling: 9 % lie between two. */
const STEPS_PER_DOUBLING = 8;

/** What a task needs of the disk of a worker. */
export interface DiskNeed {
  /** Its inputs of known size. */
  readonly inputs: readonly FileRecord[];
  /** All of them together. */
  readonly inputBytes: number;
  /** What it stated beyond its inputs. */
  readonly ownBytes: number;
}

const NO_FILES: readonly FileRecord[] = [];

/** What nothing is known of needs nothing. */
export const NO_NEED: DiskNeed = { inputs: NO_FILES, inputBytes: 0, ownBytes: 0 };

/** Enters a worker that has joined among the disks. */
export function indexDisk(state: ManagerState, worker: WorkerRecord): void {
  setCapacity(state.disks, worker.disk, diskStep(worker.resources.diskBytes));
}

/** What a worker has free, beside what is on its way there; below 0 when it is over its limit. */
export function freeDiskBytes(worker: WorkerRecord): number {
  return worker.resources.diskBytes - worker.diskUsedBytes - worker.comingBytes;
}

/** The part of a worker's disk that is in use, or will be. */
export function diskShare(worker: WorkerRecord): number {
  return 1 - freeDiskBytes(worker) / Math.max(1, worker.resources.diskBytes);
}

/** What a task needs; linear in its inputs. */
export function diskNeed(state: ManagerState, task: TaskRecord): DiskNeed {
  const { definition: { inputs: mounts }, taskClass } = task;
  const statedBytes = statedDisk(taskClass);
  if (mounts.length === 0 && statedBytes === 0) return NO_NEED;
  const inputs: FileRecord[] = [];
  let inputBytes = 0;
  for (const file of inputFiles(state, task)) {
    const sizeBytes = sizeOf(file);
    // What is kept for later workflows may have been there before, and not count.
    if (sizeBytes === 0 || outlivesWorkflow(file.level)) continue;
    inputs.push(file);
    inputBytes += sizeBytes;
  }
  return { inputs, inputBytes, ownBytes: Math.max(0, statedBytes - inputBytes) };
}

/** True when the worker has free what the task needs beyond the inputs that it has or gets. */
export function hasDiskFor(worker: WorkerRecord, { inputs, ownBytes }: DiskNeed): boolean {
  if (ownBytes === 0 && inputs.length === 0) return true;
  return missingBytes(worker, inputs) + ownBytes <= freeDiskBytes(worker);
}

/** True when more of the task's inputs would have to come than are there already. */
export function lacksMost(worker: WorkerRecord, { inputs, inputBytes }: DiskNeed): boolean {
  return 2 * missingBytes(worker, inputs) > inputBytes;
}

/** The largest disk of a worker that could run tasks of the class but for their disk; 0 without one. */
export function largestDiskFor(state: ManagerState, taskClass: TaskClass): number {
  const { demand: { request, least }, workerMemoryBytes } = taskClass;
  const demand = { request: { ...request, diskBytes: 0 }, least: { ...least, diskBytes: 0 } };
  let largest = 0;
  let probed = 0;
  visitFreest(state.disks, ({ workerId }) => {
    const worker = state.workers.get(workerId);
    if (worker === undefined) return false;
    probed += 1;
    // Those that follow have less, or about as much.
    const isLess = diskStep(worker.resources.diskBytes) < diskStep(largest);
    if (largest > 0 && isLess || probed > DISKS_PROBED) return true;
    const { resources } = worker;
    if (!suits(worker, taskClass) || resources.memoryBytes < workerMemoryBytes) return false;
    if (allocate(demand, resources, state.policies) === undefined) return false;
    largest = Math.max(largest, worker.resources.diskBytes);
    return false;
  });
  return largest;
}

/** What tries of the class need of the disk, in bytes; 0 of a share, or of all that there is. */
function statedDisk({ workerDiskBytes, demand: { request } }: TaskClass): number {
  const { diskBytes = 0 } = request;
  return Math.max(workerDiskBytes, diskBytes === Infinity ? 0 : diskBytes);
}

/** The size that all disks have which are not smaller by much; many sizes have one. */
export function roundedDisk(bytes: number): number {
  return Math.floor(2 ** (diskStep(bytes) / STEPS_PER_DOUBLING));
}

/** The least size that is larger by what counts. */
export function nextDisk(bytes: number): number {
  return Math.floor(2 ** ((diskStep(bytes) + 1) / STEPS_PER_DOUBLING));
}

function diskStep(bytes: number): number {
  return Math.floor(Math.log2(Math.max(1, bytes)) * STEPS_PER_DOUBLING + 1e-9);
}

function missingBytes(worker: WorkerRecord, inputs: readonly FileRecord[]): number {
  let bytes = 0;
  for (const file of inputs) if (!file.replicas.has(worker)) bytes += sizeOf(file);
  return bytes;
}

function sizeOf({ bound }: FileRecord): number {
  return Math.max(0, bound?.sizeBytes ?? 0);
}
