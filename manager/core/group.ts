/**
 * Task groups, with the policy `taskGroups`: chains of tasks that are joined by temps go to one worker
 * together. With a try is dispatched, to the same worker, the task that alone reads a temp of it; it
 * waits there for its input, so that no temp crosses the network and no round trip to the manager lies
 * between two links.
 *
 * A follower holds no room before the try that it awaits has ended well, whose room it then takes. When
 * that fails, is taken back or lost, the follower comes back, with those that follow it.
 *
 * @module
 */

import { recallAll } from "./drain.ts";
import { inputFiles, outputFiles } from "./file.ts";
import { obstacleAt } from "./placement.ts";
import { changeRoom } from "./room.ts";
import type { FileRecord, ManagerState, TaskRecord, TryRecord } from "./state.ts";
import { waitOrQueue } from "./task.ts";
import { allocationAt } from "./task_class.ts";
import { dispatch, endAttempt } from "./try.ts";

/** Tries of one chain that wait at a worker behind the one that runs. */
const FOLLOWERS_MAX = 16;

/** More than any worker has of anything: a follower need not find room. */
const ANY_FACTOR = 1e9;

/** The task was submitted: a try that is at a worker may be all that it waits for. */
export function joinGroup(state: ManagerState, task: TaskRecord): void {
  if (!state.policies.taskGroups || task.state.kind !== "waiting" || task.hold !== undefined) {
    return;
  }
  if (task.state.missing !== 1) return;
  for (const { isAvailable, producer } of inputFiles(state, task)) {
    if (isAvailable || producer?.state.kind !== "dispatched") continue;
    const { attempt } = producer.state;
    let length = 1;
    for (let before = attempt.awaits; before !== undefined; before = before.awaits) length += 1;
    if (length <= FOLLOWERS_MAX) follow(state, attempt);
    return;
  }
}

/** A try was dispatched, or a chain has become shorter: what follows it goes to its worker as well. */
export function leadGroup(state: ManagerState, attempt: TryRecord): void {
  if (!state.policies.taskGroups || attempt.awaits !== undefined) return;
  let last = attempt;
  for (let length = 0; length < FOLLOWERS_MAX; length++) {
    const next = last.follower?.isEnded === false ? last.follower : follow(state, last);
    if (next === undefined) return;
    last = next;
  }
}

/** The try has ended well: who awaits it has its input, and takes its room. */
export function promoteFollower(state: ManagerState, { follower }: TryRecord): void {
  if (follower === undefined || follower.isEnded) return;
  follower.awaits = undefined;
  const { worker, allocation, isStarted } = follower;
  if (allocation !== undefined) {
    changeRoom(state, worker, allocation.held, 1);
    follower.taskClass.category.heldCores += allocation.held.cores;
  }
  if (!isStarted) worker.unstarted.add(follower);
  // It has come to its turn where nothing more is to start.
  if (worker.bar !== undefined) recallAll(state, worker);
  leadGroup(state, follower);
}

/** The try ends otherwise: who awaits it comes back. */
export function dropFollower(state: ManagerState, attempt: TryRecord): void {
  const { follower } = attempt;
  attempt.follower = undefined;
  if (follower === undefined || follower.isEnded || follower.awaits !== attempt) return;
  endAttempt(state, follower);
  waitOrQueue(state, follower.task);
}

/** True of a file that a try is not given by anybody: the try that it awaits makes it there. */
export function isMadeFor({ awaits }: TryRecord, file: FileRecord): boolean {
  return awaits !== undefined && !file.isAvailable && file.producer === awaits.task;
}

/** The making of a file that the try is to read, where that is still to come. */
export function comingGeneration(attempt: TryRecord, file: FileRecord): number | undefined {
  return isMadeFor(attempt, file) ? attempt.awaits?.try : undefined;
}

/** Dispatches the task that alone reads a temp of the try, if it could run where that does. */
function follow(state: ManagerState, attempt: TryRecord): TryRecord | undefined {
  for (const { file } of outputFiles(state, attempt.task)) {
    if (file.origin.kind !== "temp" || file.consumers.size !== 1 || file.isAvailable) continue;
    for (const task of file.consumers) {
      if (!mayFollow(state, task, attempt)) continue;
      dispatch(state, task, attempt.worker, attempt);
      return attempt.follower;
    }
  }
  return undefined;
}

function mayFollow(
  state: ManagerState,
  { state: standing, hold, taskClass, definition }: TaskRecord,
  { worker, allocation, follower, isEnded, taskClass: leader }: TryRecord,
): boolean {
  if (standing.kind !== "waiting" || standing.missing !== 1 || hold !== undefined) return false;
  if (isEnded || allocation === undefined || follower?.isEnded === false) return false;
  if (leader.library !== undefined) return false;
  // Where so many may run at a time, the scheduling pass counts.
  if (taskClass.library !== undefined || taskClass.category.spec.maxConcurrent > 0) return false;
  if (definition.inputs.some(({ isStrict }) => isStrict)) return false;
  const own = allocationAt(state, taskClass, worker);
  if (own === undefined || own.held.cores > allocation.held.cores) return false;
  return worker.bar === undefined && !worker.isLeaving &&
    obstacleAt(state, worker, { taskClass, factor: ANY_FACTOR }) === undefined;
}
