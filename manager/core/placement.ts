/**
 * Which worker gets a task: the rules of the policy `placement`, or of the task. Each looks at a bounded number of
 * workers that have room, however many there are; one whose disk has no room for what the task
 * needs is taken only when none of these has.
 *
 * @module
 */

import { nextRandomBelow } from "../../shared/random.ts";
import { fitsWithin } from "../../shared/resources.ts";
import { missingAt } from "./allocation.ts";
import { instanceNeed } from "./call_room.ts";
import { mayWaitAt } from "./instance_yield.ts";
import { isIndexed, memberAt, visitFreest } from "./capacity_index.ts";
import { type DiskNeed, diskNeed, freeDiskBytes, hasDiskFor, lacksMost, NO_NEED } from "./disk.ts";
import { inputFiles } from "./file.ts";
import type { Policies } from "./policy.ts";
import { canReach, hasTrouble } from "./reach.ts";
import { isReserved } from "./reservation.ts";
import { isHere } from "./spool.ts";
import type { FileRecord, ManagerState, TaskClass, TaskRecord, WorkerRecord } from "./state.ts";
import { allocationAt, leastCores } from "./task_class.ts";

/** Holders of an input that are considered for its consumer. */
const HOLDERS_PROBED = 16;

/** Workers that are looked at, freest first, for a class that fitted nowhere before. */
const WORKERS_PROBED = 64;

/** Workers with room of which the best is chosen, where the first is not good enough. */
const CANDIDATES_MAX = 16;

/** Workers that are drawn before the first one with room is taken. */
const DRAWS_MAX = 8;

/** Most that `dispatchAheadMs` may multiply what waits at a worker. */
const AHEAD_FACTOR_MAX = 512;

/** Where a task goes. */
export type Choice =
  | { readonly kind: "worker"; readonly worker: WorkerRecord }
  /** Nobody has room now. */
  | { readonly kind: "none" }
  /** Those that have room have disks that its inputs do not fit on together. */
  | { readonly kind: "too_small"; readonly need: DiskNeed };

/** What workers are judged by. */
interface Wish {
  readonly taskClass: TaskClass;
  readonly need: DiskNeed;
  readonly placement: Policies["placement"];
  /** How much may wait there, as a multiple of what it can run. */
  readonly factor: number;
  /** True of a worker that inputs can reach by way of the manager only, if at all. */
  readonly isRemote: (worker: WorkerRecord) => boolean;
}

const NONE: Choice = { kind: "none" };

/** Where the inputs are, or what the policy says, if there is room; else where the task may wait. */
export function chooseWorker(
  state: ManagerState,
  taskClass: TaskClass,
  task: TaskRecord,
): Choice {
  const need = diskNeed(state, task);
  const isPlain = need === NO_NEED && task.definition.environments.length === 0;
  const placement = placementOf(state, task);
  const other = task.slow === undefined ? undefined : otherThan(state, task, task.slow.worker);
  if (other !== undefined) return { kind: "worker", worker: other };
  if (isPlain && takesFirst(placement)) {
    const first = firstWithRoom(state, taskClass);
    return first === undefined ? NONE : { kind: "worker", worker: first };
  }
  const wish: Wish = {
    taskClass,
    need,
    placement,
    factor: aheadFactor(state, taskClass),
    isRemote: (worker) => bytesOutOfReach(state, task, worker) > 0,
  };
  const found = holderFor(state, task, { wish, factor: 1 }) ?? draw(state, wish);
  if (found !== undefined) return { kind: "worker", worker: found };
  const { candidates, remote, ahead, full, fullAhead, isTooSmall } = lookAround(state, wish);
  const now = bestOf(placement, candidates) ?? remote ?? full;
  if (now !== undefined) return { kind: "worker", worker: now };
  const later = ahead ?? fullAhead;
  if (later !== undefined) {
    const holder = holderFor(state, task, { wish, factor: wish.factor });
    return { kind: "worker", worker: holder ?? later };
  }
  return isTooSmall ? { kind: "too_small", need } : NONE;
}

/**
 * The worker with most bytes of the task's inputs among those that `accept` takes; what it cannot
 * reach of the others counts against it.
 */
export function bestHolder(
  state: ManagerState,
  task: TaskRecord,
  accept: (worker: WorkerRecord) => boolean,
): WorkerRecord | undefined {
  if (placementOf(state, task) !== "files" || task.definition.inputs.length === 0) return undefined;
  const bytesByWorker = new Map<WorkerRecord, number>();
  for (const file of inputFiles(state, task)) {
    let probed = 0;
    for (const [worker, replica] of file.replicas) {
      probed += 1;
      // A file that is everywhere tells nothing.
      if (probed > HOLDERS_PROBED) break;
      if (replica.state === "deleting") continue;
      const sizeBytes = Math.max(replica.facts?.sizeBytes ?? file.bound?.sizeBytes ?? 0, 1);
      bytesByWorker.set(worker, (bytesByWorker.get(worker) ?? 0) + sizeBytes);
    }
  }
  let best: WorkerRecord | undefined;
  let bestBytes = 0;
  for (const [worker, heldBytes] of bytesByWorker) {
    if (heldBytes <= bestBytes || !isIndexed(worker)) continue;
    const bytes = heldBytes - bytesOutOfReach(state, task, worker);
    if (bytes > bestBytes && accept(worker)) [best, bestBytes] = [worker, bytes];
  }
  return best;
}

/** Bytes of the task's inputs that no holder could give to `worker`. Costs nothing where all is well. */
function bytesOutOfReach(state: ManagerState, task: TaskRecord, worker: WorkerRecord): number {
  if (!hasTrouble(state)) return 0;
  let bytes = 0;
  for (const file of inputFiles(state, task)) {
    if (isComingTo(state, file, worker)) continue;
    let probed = 0;
    let isInReach = false;
    for (const holder of file.replicas.keys()) {
      isInReach ||= canReach(state, worker, holder);
      probed += 1;
      if (isInReach || probed >= HOLDERS_PROBED) break;
    }
    if (!isInReach) bytes += Math.max(file.bound?.sizeBytes ?? 0, 1);
  }
  return bytes;
}

/** True when the file is at `worker`, or can be had there from where no peer is asked. */
function isComingTo(state: ManagerState, file: FileRecord, worker: WorkerRecord): boolean {
  if (file.origin.kind === "url" || file.origin.kind === "recipe") return true;
  return file.replicas.has(worker) || isHere(state, file);
}

/** True when `worker` could ever run tasks of this class. */
export function suits(
  worker: Pick<WorkerRecord, "features">,
  taskClass: Pick<TaskClass, "features">,
): boolean {
  return taskClass.features.length === 0 ||
    taskClass.features.every((feature) => worker.features.has(feature));
}

/** True when a task of the class can be dispatched to the worker now. */
export function hasRoom(
  state: ManagerState,
  worker: WorkerRecord,
  taskClass: TaskClass,
): boolean {
  return isIndexed(worker) &&
    fits(state, worker, { taskClass, factor: aheadFactor(state, taskClass) });
}

/** How much may be dispatched to a worker, as a multiple of what it can run. */
export function aheadFactor(state: ManagerState, taskClass: TaskClass): number {
  const { dispatchAhead, dispatchAheadMs } = state.policies;
  const { meanRanMs } = taskClass;
  if (meanRanMs === undefined) return dispatchAhead;
  const factor = 1 + dispatchAheadMs / Math.max(meanRanMs, 0.001);
  return Math.max(dispatchAhead, Math.min(factor, AHEAD_FACTOR_MAX));
}

/** One that has the inputs; where most of them lack, it must have room for these. */
function holderFor(
  state: ManagerState,
  task: TaskRecord,
  { wish: { taskClass, need }, factor }: { readonly wish: Wish; readonly factor: number },
): WorkerRecord | undefined {
  if (task.definition.inputs.length === 0) return undefined;
  return bestHolder(state, task, (worker) => {
    if (!fits(state, worker, { taskClass, factor }) || isTooSmallFor(worker, need)) return false;
    return hasDiskFor(worker, need) || !lacksMost(worker, need);
  });
}

/** The freest worker with room now for a task that the one it was at was too slow for. */
function otherThan(
  state: ManagerState,
  { taskClass }: TaskRecord,
  slow: WorkerRecord,
): WorkerRecord | undefined {
  let found: WorkerRecord | undefined;
  let probedCount = 0;
  visitFreest(state.index, (worker) => {
    probedCount += 1;
    if (worker !== slow && fits(state, worker, { taskClass, factor: 1 })) found = worker;
    return found !== undefined || probedCount >= WORKERS_PROBED;
  });
  return found;
}

/** The rule by which a worker is chosen for the task: its own, else that of all. */
function placementOf(
  { policies }: ManagerState,
  { definition }: TaskRecord,
): Policies["placement"] {
  return definition.template.placement ?? policies.placement;
}

/** True when the freest worker is as good as any other for a task without inputs. */
function takesFirst(placement: Policies["placement"]): boolean {
  return placement === "files" || placement === "spread";
}

/**
 * Where a task goes that needs nothing but room, as `lookAround` would find it: the first with some
 * now, else the first where it may wait. Most tasks of large workflows are such, and cost no more.
 */
function firstWithRoom(state: ManagerState, taskClass: TaskClass): WorkerRecord | undefined {
  const now = { taskClass, factor: 1 };
  const later = { taskClass, factor: aheadFactor(state, taskClass) };
  const cores = leastCores(taskClass);
  let found: WorkerRecord | undefined;
  let ahead: WorkerRecord | undefined;
  let probedCount = 0;
  visitFreest(state.index, (worker) => {
    if (fits(state, worker, now)) found = worker;
    else if (ahead === undefined && fits(state, worker, later)) ahead = worker;
    probedCount += 1;
    const isFree = worker.resources.cores - worker.committed.cores >= cores;
    return found !== undefined || ahead !== undefined && !isFree ||
      taskClass.isBlocked && probedCount >= WORKERS_PROBED;
  });
  // Those that were not looked at are no freer, unless the look was cut short.
  const isCut = taskClass.isBlocked && probedCount >= WORKERS_PROBED;
  if (found !== undefined || !isCut) return found ?? ahead;
  for (const worker of state.changedWorkers) {
    if (!isIndexed(worker)) continue;
    if (fits(state, worker, now)) return worker;
    if (ahead === undefined && fits(state, worker, later)) ahead = worker;
  }
  return ahead;
}

/** What was seen of the workers so far. */
interface Survey {
  /** With room now, on the disk too. */
  readonly candidates: WorkerRecord[];
  /** With room now, but its inputs reach it by way of the manager only. */
  remote: WorkerRecord | undefined;
  /** Where the task may wait. */
  ahead: WorkerRecord | undefined;
  /** With room now, or some to wait, but none on the disk. */
  full: WorkerRecord | undefined;
  fullAhead: WorkerRecord | undefined;
  /** One had room but for its disk, which is smaller than the inputs. */
  isTooSmall: boolean;
  probedCount: number;
  /** Seen since there was one to fall back on. */
  furtherCount: number;
}

/** From the freest down: some with room now, and the first where the task may wait. */
function lookAround(state: ManagerState, wish: Wish): Survey {
  const { taskClass } = wish;
  const survey: Survey = {
    candidates: [],
    remote: undefined,
    ahead: undefined,
    full: undefined,
    fullAhead: undefined,
    isTooSmall: false,
    probedCount: 0,
    furtherCount: 0,
  };
  const wanted = takesFirst(wish.placement) ? 1 : CANDIDATES_MAX;
  // Among those that are as free, not always the same ones.
  const start = takesFirst(wish.placement) ? 0 : nextRandomBelow(state.random, 2 ** 30);
  visitFreest(state.index, (worker) => {
    see(state, survey, { worker, wish });
    return survey.candidates.length >= wanted || isEnough(survey, worker, taskClass);
  }, start);
  if (!taskClass.isBlocked || survey.candidates.length > 0) return survey;
  const { probedCount, furtherCount } = survey;
  // All that are free enough were looked at.
  if (probedCount < WORKERS_PROBED && furtherCount <= CANDIDATES_MAX) return survey;
  for (const worker of state.changedWorkers) {
    if (isIndexed(worker)) see(state, survey, { worker, wish });
    if (survey.candidates.length > 0) break;
  }
  return survey;
}

/** Notes what the worker is good for. */
function see(
  state: ManagerState,
  survey: Survey,
  { worker, wish }: { readonly worker: WorkerRecord; readonly wish: Wish },
): void {
  const { taskClass, need, isRemote } = wish;
  // One that is busy for good is all that most looks find: it costs one comparison.
  if (!fits(state, worker, wish)) return;
  const isNow = fits(state, worker, { taskClass, factor: 1 });
  if (isTooSmallFor(worker, need)) survey.isTooSmall = true;
  else if (hasDiskFor(worker, need)) {
    if (isNow && isRemote(worker)) survey.remote ??= worker;
    else if (isNow) survey.candidates.push(worker);
    else survey.ahead ??= worker;
  } else if (isNow) survey.full ??= worker;
  else survey.fullAhead ??= worker;
}

/** True when those that follow are not worth a look. */
function isEnough(survey: Survey, last: WorkerRecord, taskClass: TaskClass): boolean {
  survey.probedCount += 1;
  const { ahead, remote, candidates } = survey;
  const hasOne = ahead !== undefined || remote !== undefined || candidates.length > 0;
  // They are no freer.
  const isFree = last.resources.cores - last.committed.cores >= leastCores(taskClass);
  if (hasOne && !isFree) return true;
  const hasFull = survey.full !== undefined || survey.fullAhead !== undefined;
  if (hasOne || hasFull || survey.isTooSmall) survey.furtherCount += 1;
  if (survey.furtherCount > CANDIDATES_MAX) return true;
  // A class that fitted nowhere fits only where room was given back: no need to look at all.
  return taskClass.isBlocked && survey.probedCount >= WORKERS_PROBED;
}

/** With `random`: one with room, of some that were drawn from all. */
function draw(
  state: ManagerState,
  { taskClass, need, placement }: Wish,
): WorkerRecord | undefined {
  const { index, random } = state;
  if (placement !== "random" || index.count === 0) return undefined;
  for (let drawn = 0; drawn < DRAWS_MAX; drawn++) {
    const worker = memberAt(index, nextRandomBelow(random, index.count));
    if (worker === undefined || !fits(state, worker, { taskClass, factor: 1 })) continue;
    if (!isTooSmallFor(worker, need) && hasDiskFor(worker, need)) return worker;
  }
  return undefined;
}

function bestOf(
  placement: Policies["placement"],
  candidates: readonly WorkerRecord[],
): WorkerRecord | undefined {
  let [best] = candidates;
  if (best === undefined || placement !== "disk" && placement !== "fast") return best;
  for (const worker of candidates) {
    const isBetter = placement === "disk"
      ? freeDiskBytes(worker) > freeDiskBytes(best)
      : worker.slowness < best.slowness;
    if (isBetter) best = worker;
  }
  return best;
}

function isTooSmallFor({ resources }: WorkerRecord, { inputBytes }: DiskNeed): boolean {
  return inputBytes > resources.diskBytes;
}

/** What keeps a class from a worker. */
export type Obstacle =
  /** The worker never has that much of a resource, or lacks a feature. */
  | "too_small"
  | "feature"
  /** It has to end before a try would. */
  | "time"
  /** Others hold what it has. */
  | "busy";

/**
 * What keeps a try of the class from being dispatched to a worker that takes any; `factor` is how
 * much may be there, as a multiple of what it can run.
 */
export function obstacleAt(
  state: ManagerState,
  worker: WorkerRecord,
  { taskClass, factor }: { readonly taskClass: TaskClass; readonly factor: number },
): Obstacle | undefined {
  const allocation = allocationAt(state, taskClass, worker);
  // Ahead or not, a task must be able to run there at all.
  if (allocation === undefined) return "too_small";
  // What a worker is kept for does not wait there, where others might go before it.
  const isKept = worker.reservedFor !== undefined;
  const room = { used: worker.committed, more: allocation.held, factor: isKept ? 1 : factor };
  if (!fitsWithin(worker.resources, room)) return "busy";
  if (worker.instances.size > 0 && !mayWaitAt(worker, allocation.held)) return "busy";
  if (isKept && isReserved(worker, taskClass)) return "busy";
  return unfitnessOf(state, worker, taskClass);
}

/** What keeps a try of the class, or an instance for it, from the worker though nobody else were there. */
export function lastingObstacleAt(
  state: ManagerState,
  worker: WorkerRecord,
  taskClass: TaskClass,
): Exclude<Obstacle, "busy"> | undefined {
  const { library } = taskClass;
  const isEnough = library === undefined
    ? allocationAt(state, taskClass, worker) !== undefined
    : missingAt(instanceNeed(taskClass, library), worker.resources) === undefined;
  if (!isEnough) return "too_small";
  return unfitnessOf(state, worker, taskClass);
}

/** What keeps tries of the class from the worker, however much it has. */
function unfitnessOf(
  state: ManagerState,
  worker: WorkerRecord,
  taskClass: TaskClass,
): "feature" | "time" | undefined {
  if (!suits(worker, taskClass)) return "feature";
  return isTimeLeft(state, worker, taskClass) ? undefined : "time";
}

/** Time that a worker is to have left for a try of the class. */
export function neededMs({ minTimeMs, meanRanMs }: TaskClass): number {
  return Math.max(minTimeMs, meanRanMs ?? 0);
}

/** True when a try of the class can end before the worker has to. */
export function isTimeLeft(
  { nowMs }: ManagerState,
  { endsAtMs }: WorkerRecord,
  taskClass: TaskClass,
): boolean {
  return endsAtMs === Infinity || nowMs + neededMs(taskClass) <= endsAtMs;
}

function fits(
  state: ManagerState,
  worker: WorkerRecord,
  wish: { readonly taskClass: TaskClass; readonly factor: number },
): boolean {
  const obstacle = obstacleAt(state, worker, wish);
  if (obstacle === "time") state.shortOfTime.add(worker);
  return obstacle === undefined;
}
