/** What a call waits for before it is at a worker, and whose turn it is meanwhile. */

import { lacking, requestOf } from "../../shared/resources.ts";
import { isServed } from "./call_room.ts";
import { INPUTS_TOLD_MAX, missingInputReasons, neededByLibrary } from "./explain_input.ts";
import type { PlaceReason, Reason } from "./explanation.ts";
import { expectedTurn } from "./instance_turn.ts";
import { canStart, libraryFiles } from "./library.ts";
import type { InstanceRecord, LibraryRecord } from "./library_record.ts";
import { placesFor, roomForInstance } from "./schedule.ts";
import type { ManagerState, TaskClass, TaskRecord, WorkerRecord } from "./state.ts";

/** Libraries that are named as those that hold the room. */
const LIBRARIES_TOLD_MAX = 4;

/** A call that is ready, and what is known of it besides. */
interface ReadyCall {
  readonly task: TaskRecord;
  readonly library: LibraryRecord;
  /** What keeps an instance from workers, and who goes first. */
  readonly places: () => Reason[];
  /** What keeps the last task of a chain. */
  readonly rootOf: (task: TaskRecord) => Reason | undefined;
}

/** Why a call that is ready is not at a worker. */
export function callReasons(
  { state, nowMs }: { readonly state: ManagerState; readonly nowMs: number },
  { task: { taskClass }, library, places, rootOf }: ReadyCall,
): Reason[] {
  const { now, ahead } = placesFor(state, library, taskClass);
  const isStartable = canStart(state, library);
  const isNext = library.failure !== undefined || now !== undefined || ahead !== undefined ||
    isStartable && roomForInstance(state, { taskClass, library }) !== undefined;
  if (isNext) return [{ kind: "placed_next" }];
  const failed = failureReasons(state, library);
  const roomless = roomlessAt(taskClass, library);
  const taken = roomless !== undefined
    ? [roomless]
    : isServed(state, taskClass, library)
    ? slotReasons(library, nowMs)
    : [];
  if (!isStartable) {
    const files = missingInputReasons(state, libraryFiles(state, library), {
      most: INPUTS_TOLD_MAX,
      nowMs,
      nameOf: (file) => neededByLibrary(library, file),
      rootOf,
    });
    return [...taken, ...files, ...failed];
  }
  if (taken.length === 0) return [...places(), ...failed];
  // Where there is room for one more instance, the calls are done sooner without.
  const others = places().filter(({ kind }) => kind !== "placed_next");
  return [...taken, ...failed, ...others];
}

/** How often instances of the library failed since one was ready, and what the last of them said. */
export function failureReasons(
  { policies }: ManagerState,
  { spec: { name }, failureCount, lastFailure }: LibraryRecord,
): PlaceReason[] {
  if (failureCount === 0) return [];
  return [{
    kind: "instances_failed",
    library: name,
    failureCount,
    mostCount: policies.libraryRetries,
    message: lastFailure,
  }];
}

/** That the class waits for instances of libraries to make way for it; undefined when it does not. */
export function turnReason(
  state: ManagerState,
  taskClass: TaskClass,
  nowMs: number,
): PlaceReason | undefined {
  if (taskClass.readyCount === 0 || state.libraries.size === 0) return undefined;
  if (taskClass.leavingCount > 0) {
    const leaving = [...instancesOf(state)].filter(({ makesWayFor }) => makesWayFor === taskClass);
    return { kind: "turn", libraries: namesOf(leaving), isLeaving: true };
  }
  const plan = expectedTurn(state, taskClass);
  if (plan === undefined || plan.leaving.length === 0) return undefined;
  const leftMs = Math.max(0, plan.atMs - nowMs);
  return {
    kind: "turn",
    libraries: namesOf(plan.leaving),
    isLeaving: false,
    // Of one that starts nobody knows when its turn begins.
    ...(leftMs < Infinity ? { leftMs } : {}),
  };
}

/** What the instances that there are have to do, those that start before all when none is ready. */
function slotReasons(library: LibraryRecord, nowMs: number): PlaceReason[] {
  const { spec: { name, slots }, activeCount } = library;
  let callCount = 0;
  for (const { callCount: count } of library.services.values()) callCount += count;
  const slotCount = activeCount * slots;
  const taken = { kind: "slots", library: name, slotCount, callCount } as const;
  const workers = new Set<WorkerRecord>();
  let [instanceCount, forMs] = [0, 0];
  for (const { state, worker, startedAtMs } of library.instances) {
    if (state !== "starting") continue;
    workers.add(worker);
    instanceCount += 1;
    forMs = Math.max(forMs, nowMs - startedAtMs);
  }
  if (instanceCount === 0) return [taken];
  const workerCount = workers.size;
  const of = { library: name, instanceCount, workerCount, forMs };
  const starting = { kind: "instances_starting", ...of } as const;
  return instanceCount === activeCount ? [starting, taken] : [taken, starting];
}

function* instancesOf({ libraries }: ManagerState): Generator<InstanceRecord> {
  for (const { instances } of libraries.values()) yield* instances;
}

function namesOf(instances: readonly InstanceRecord[]): readonly string[] {
  return [...new Set(instances.map(({ library }) => library.spec.name))].slice(
    0,
    LIBRARIES_TOLD_MAX,
  );
}

/** Where calls of the class would have slots, and lack room for what they state themselves. */
function roomlessAt({ ownAllocation }: TaskClass, library: LibraryRecord): Reason | undefined {
  if (ownAllocation === undefined) return undefined;
  const { held: more } = ownAllocation;
  const counts = new Map<string, number>();
  for (const { worker, callCount, slotCount } of library.services.values()) {
    if (callCount >= slotCount) continue;
    const resource = lacking(worker.resources, { used: worker.committed, more, factor: 1 });
    if (resource !== undefined) counts.set(resource, (counts.get(resource) ?? 0) + 1);
  }
  let [resource, workerCount] = ["", 0];
  for (const [name, count] of counts) {
    if (count > workerCount) [resource, workerCount] = [name, count];
  }
  if (workerCount === 0) return undefined;
  const amount = requestOf(more, resource);
  return { kind: "call_room", library: library.spec.name, resource, amount, workerCount };
}
