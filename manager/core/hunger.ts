/**
 * How many more tasks a manager should be given so that its workers do not run dry.
 *
 * As TaskVine's `hungry` (taskvine.md, 1.6): the most of a fixed minimum, a factor times the number
 * of workers, and what a factor times their capacity has room for, less the tasks that wait already.
 * The size of a task is the mean of those that wait; of what those do not state, and when none
 * waits, that of those at workers.
 *
 * @module
 */

import type { Resources } from "../../shared/resources.ts";
import type { ManagerState, TaskClass } from "./state.ts";

const FIELDS = ["cores", "memoryBytes", "diskBytes", "gpus"] as const;

type Amounts = { [Field in (typeof FIELDS)[number]]: number };

/** Sums over the workers to which something may be dispatched. */
export interface RoomSums {
  workerCount: number;
  readonly total: Amounts;
  readonly committed: Amounts;
}

/** Of no workers. */
export function newRoomSums(): RoomSums {
  const none = { cores: 0, memoryBytes: 0, diskBytes: 0, gpus: 0 };
  return { workerCount: 0, total: { ...none }, committed: { ...none } };
}

/** A worker counts from now on, or not any more. */
export function countWorker(
  sums: RoomSums,
  worker: { readonly resources: Resources; readonly committed: Resources },
  sign: 1 | -1,
): void {
  sums.workerCount += sign;
  if (sums.workerCount === 0) return void Object.assign(sums, newRoomSums());
  addAmounts(sums.total, worker.resources, sign);
  addAmounts(sums.committed, worker.committed, sign);
}

/** Workers that count hold more, or less. */
export function addAmounts(amounts: Amounts, more: Resources, sign: 1 | -1): void {
  amounts.cores += sign * more.cores;
  amounts.memoryBytes += sign * more.memoryBytes;
  amounts.diskBytes += sign * more.diskBytes;
  amounts.gpus += sign * more.gpus;
}

/** Tasks that are wanted beside those that wait and `unseenCount` that were submitted just now. */
export function countWanted(state: ManagerState, unseenCount: number): number {
  const { hungryMinimum, hungryFactor } = state.policies;
  const { workerCount, total, committed } = state.room;
  const size = meanSize(state);
  let room = Infinity;
  for (const field of FIELDS) {
    if (size[field] <= 0) continue;
    room = Math.min(room, (hungryFactor * total[field] - committed[field]) / size[field]);
  }
  // Sums of fractions are a little off.
  const roomCount = Math.floor(room + 1e-6);
  const wanted = Math.max(hungryMinimum, Math.ceil(hungryFactor * workerCount), roomCount);
  const { waiting, ready } = state.counters;
  return Math.max(0, wanted - waiting - ready - unseenCount);
}

/** What one more task is likely to take; a core if nothing is known. */
function meanSize(state: ManagerState): Amounts {
  const { room: { committed, total, workerCount }, counters } = state;
  const running = Math.max(1, counters.dispatched);
  const whole = Math.max(1, workerCount);
  const queued = [...state.classes.values()].filter(({ queuedCount }) => queuedCount > 0);
  const count = queued.reduce((sum, { queuedCount }) => sum + queuedCount, 0);
  const size: Amounts = { cores: 0, memoryBytes: 0, diskBytes: 0, gpus: 0 };
  for (const field of FIELDS) {
    const usual = committed[field] / running;
    const sumOf = (taskClass: TaskClass): number => {
      const amount = statedBy(taskClass, field) ?? usual;
      return taskClass.queuedCount * (amount === Infinity ? total[field] / whole : amount);
    };
    size[field] = count === 0
      ? usual
      : queued.reduce((sum, taskClass) => sum + sumOf(taskClass), 0) / count;
  }
  if (FIELDS.every((field) => size[field] <= 0)) size.cores = 1;
  return size;
}

/** Of a call the part of its instance that its slot is, and what it holds beside that. */
function statedBy(
  { demand, library, ownAllocation }: TaskClass,
  field: keyof Amounts,
): number | undefined {
  if (library === undefined) return demand.request[field];
  return library.spec.resources[field] / library.spec.slots + (ownAllocation?.held[field] ?? 0);
}
