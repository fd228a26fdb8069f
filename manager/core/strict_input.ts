/**
 * Strict inputs: a task that has some runs only where all of them are, and none is copied for it.
 * Holders alone are looked at. Where they are busy the task is held apart from its class until one of
 * them has room; where no worker has them and nothing brings them to one, it ends.
 *
 * @module
 */

import { type Heap, newHeap, peekHeap, popHeap, pushHeap } from "../../shared/heap.ts";
import { isIndexed } from "./capacity_index.ts";
import { wantedCopies } from "./copy_policy.ts";
import { fileOf } from "./file.ts";
import { missingAt } from "./allocation.ts";
import { aheadFactor, hasRoom, lastingObstacleAt, obstacleAt, suits } from "./placement.ts";
import type { FileRecord, ManagerState, TaskClass, TaskRecord, WorkerRecord } from "./state.ts";
import { finishTask, holdTask, releaseTask } from "./task.ts";
import { comesFirst } from "./task_class.ts";
import { dispatch } from "./try.ts";

/** Tasks that wait for room at one worker, best first; those that do not any more are stale. */
export interface StrictQueue {
  readonly heap: Heap<TaskRecord>;
  /** What is in `heap`. */
  readonly members: Set<TaskRecord>;
}

/** Holders that are looked at for one task. */
const HOLDERS_PROBED = 64;

/** Other tasks that are looked at for one that would bring a file. */
const CONSUMERS_PROBED = 64;

/** A strict input under the name that the task has for it. */
interface StrictInput {
  readonly mount: string;
  readonly file: FileRecord;
}

const NO_INPUTS: readonly StrictInput[] = [];

/** The strict inputs of a task; most have none. */
export function strictInputs(state: ManagerState, task: TaskRecord): readonly StrictInput[] {
  if (!task.definition.inputs.some(({ isStrict }) => isStrict)) return NO_INPUTS;
  const strict = task.definition.inputs.filter(({ isStrict }) => isStrict === true);
  return strict.map(({ mount, fileId }) => ({ mount, file: fileOf(state, fileId) }));
}

/** False of a worker at which a strict input of the task is not. */
export function hasStrictInputs(
  state: ManagerState,
  worker: WorkerRecord,
  task: TaskRecord,
): boolean {
  return strictInputs(state, task).every(({ file }) => isReadyAt(file, worker));
}

/** Dispatches a ready task with strict inputs, or holds it, or ends it as they can be nowhere. */
export function placeStrict(
  state: ManagerState,
  task: TaskRecord,
  inputs: readonly StrictInput[],
): void {
  const { taskClass } = task;
  const { ready, isComing } = holdersOf(inputs);
  const chosen = freestOf(state, ready, task);
  if (chosen !== undefined) return dispatch(state, task, chosen);
  const isAway = !ready.some((worker) => couldFit(worker, taskClass)) && !isComing;
  if (isAway && !inputs.every(({ file }) => mayCome(state, file, task))) {
    const where = ready.length === 0 ? "" : ", but at workers that could not run it";
    const message = `Cannot run the task: ${describe(inputs)}${where}, and nothing brings it there`;
    const lacking = inputs.find(({ file }) => file.replicas.size === 0);
    const mount = lacking === undefined ? {} : { mount: lacking.mount };
    return finishTask(state, task, { outcome: "unsatisfiable", message, ...mount });
  }
  for (const worker of ready) {
    const obstacle = lastingObstacleAt(state, worker, taskClass);
    // One that never fits there would keep those behind it waiting.
    if (obstacle === undefined) enqueue(worker, task);
    else if (obstacle === "too_small") noteUnfit(state, worker, task);
  }
  holdTask(state, task, { kind: "strict_input" });
}

/** False of a worker without a feature, or with less than the tasks of the class state themselves. */
function couldFit(worker: WorkerRecord, taskClass: TaskClass): boolean {
  return suits(worker, taskClass) && missingAt(taskClass.stated, worker.resources) === undefined;
}

/** What nobody has stated may be less some time: the task is looked at again when it is another. */
function noteUnfit(state: ManagerState, worker: WorkerRecord, task: TaskRecord): void {
  const unfitAt = task.taskClass.unfitAt ??= new Map<WorkerRecord, Set<TaskRecord>>();
  let tasks = unfitAt.get(worker);
  if (tasks === undefined) {
    for (const other of unfitAt.keys()) if (!isKnown(state, other)) unfitAt.delete(other);
    unfitAt.set(worker, tasks = new Set());
  }
  tasks.add(task);
}

/** Tasks of the class wait where they fit now, though they did not before. */
function reviewUnfit(state: ManagerState, taskClass: TaskClass): void {
  for (const [worker, tasks] of taskClass.unfitAt ?? []) {
    if (!isKnown(state, worker)) {
      taskClass.unfitAt?.delete(worker);
      continue;
    }
    if (lastingObstacleAt(state, worker, taskClass) !== undefined) continue;
    taskClass.unfitAt?.delete(worker);
    for (const task of tasks) if (isHeld(task)) enqueue(worker, task);
    if (isIndexed(worker)) state.changedWorkers.add(worker);
  }
}

function isKnown({ workers }: ManagerState, worker: WorkerRecord): boolean {
  return workers.get(worker.workerId) === worker;
}

function isHeld({ state, hold }: TaskRecord): boolean {
  return state.kind === "waiting" && hold?.kind === "strict_input";
}

/** A consumer of the file has ended, which was to bring it to a worker, perhaps. */
export function noteConsumed(state: ManagerState, file: FileRecord): void {
  // With more of them it is taken for granted that one does.
  if (file.readyCount === 0 || file.consumers.size <= CONSUMERS_PROBED) noteStrict(state, file);
}

/** Tasks that are held for the file are to be looked at again in the next pass. */
export function noteStrict(state: ManagerState, file: FileRecord): void {
  if (file.hasStrict) state.strictFiles.add(file);
}

/** Lets tasks be placed whose holders may have room now, or whose files came or went. */
export function wakeStrict(state: ManagerState): void {
  for (const file of state.strictFiles) {
    for (const task of file.consumers) {
      if (task.hold?.kind === "strict_input") releaseTask(state, task);
    }
  }
  state.strictFiles.clear();
  for (const taskClass of state.resized) reviewUnfit(state, taskClass);
  state.resized.clear();
  for (const worker of state.changedWorkers) {
    if (worker.strictQueue !== undefined) wakeAt(state, worker, worker.strictQueue);
  }
}

/** True of a worker at which a task waits for room, as it can have that at few others. */
export function hasStrictTask({ strictQueue }: WorkerRecord): boolean {
  if (strictQueue === undefined) return false;
  const { heap, members } = strictQueue;
  for (let head = peekHeap(heap); head !== undefined; head = peekHeap(heap)) {
    if (isHeld(head)) return true;
    popHeap(heap);
    members.delete(head);
  }
  return false;
}

function wakeAt(state: ManagerState, worker: WorkerRecord, { heap, members }: StrictQueue): void {
  let left = Math.ceil(worker.resources.cores) + 1;
  for (let head = peekHeap(heap); head !== undefined && left > 0; head = peekHeap(heap)) {
    const isWaiting = isHeld(head);
    if (isWaiting && !hasRoom(state, worker, head.taskClass)) return;
    popHeap(heap);
    members.delete(head);
    if (!isWaiting) continue;
    left -= 1;
    releaseTask(state, head);
  }
}

/** Workers at which a task may run for its strict inputs. */
export function strictHolders(state: ManagerState, task: TaskRecord): readonly WorkerRecord[] {
  return holdersOf(strictInputs(state, task)).ready;
}

/** Workers that have all of them; and whether all of them come to some worker, or are there. */
function holdersOf(
  inputs: readonly StrictInput[],
): { readonly ready: WorkerRecord[]; readonly isComing: boolean } {
  const ready: WorkerRecord[] = [];
  let isComing = false;
  const [rarest] = inputs.toSorted((a, b) => a.file.replicas.size - b.file.replicas.size);
  let probed = 0;
  for (const worker of rarest?.file.replicas.keys() ?? []) {
    probed += 1;
    if (probed > HOLDERS_PROBED) break;
    if (inputs.every(({ file }) => isReadyAt(file, worker))) ready.push(worker);
    else isComing ||= inputs.every(({ file }) => file.replicas.has(worker));
  }
  return { ready, isComing };
}

function isReadyAt(file: FileRecord, worker: WorkerRecord): boolean {
  const replica = file.replicas.get(worker);
  return replica?.state === "ready" && replica.generation === file.generation;
}

/** The freest one with room now; else one where the task may wait. */
function freestOf(
  state: ManagerState,
  holders: readonly WorkerRecord[],
  { taskClass }: TaskRecord,
): WorkerRecord | undefined {
  for (const factor of [1, aheadFactor(state, taskClass)]) {
    let freest: WorkerRecord | undefined;
    for (const worker of holders) {
      if (!isIndexed(worker) || obstacleAt(state, worker, { taskClass, factor })) continue;
      if (freest === undefined || freeCores(worker) > freeCores(freest)) freest = worker;
    }
    if (freest !== undefined) return freest;
  }
  return undefined;
}

function freeCores({ resources, committed }: WorkerRecord): number {
  return resources.cores - committed.cores;
}

/** True when something brings the file to a worker, or will: another task, or the policy for copies. */
function mayCome(state: ManagerState, file: FileRecord, task: TaskRecord): boolean {
  // A temp that is at the manager alone is not copied from there for its own sake.
  const isCopied = file.origin.kind !== "temp" || file.readyCount > 0;
  if (isCopied && wantedCopies(state.policies, file) > file.replicas.size) return true;
  let probed = 0;
  for (const other of file.consumers) {
    probed += 1;
    if (probed > CONSUMERS_PROBED) return true;
    if (other === task) continue;
    if (strictInputs(state, other).every((strict) => strict.file !== file)) return true;
  }
  return false;
}

function enqueue(worker: WorkerRecord, task: TaskRecord): void {
  worker.strictQueue ??= { heap: newHeap(comesFirst), members: new Set() };
  const { heap, members } = worker.strictQueue;
  if (members.has(task)) return;
  members.add(task);
  pushHeap(heap, task);
}

function describe(inputs: readonly StrictInput[]): string {
  const [first] = inputs;
  if (inputs.length === 1) return `its strict input "${first?.mount}" is at no worker`;
  const names = inputs.map(({ mount }) => `"${mount}"`).join(", ");
  return `no worker has all of its strict inputs ${names}`;
}
