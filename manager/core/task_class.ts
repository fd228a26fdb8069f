/** Classes: tasks alike in all that decides where they fit wait in one queue. */

import { newOrderedQueue } from "../../shared/ordered_queue.ts";
import { requestOf } from "../../shared/resources.ts";
import { allocate, type Allocation, missingAt } from "./allocation.ts";
import { callAllocation } from "./call_room.ts";
import { categoryOf, demandOf, forgetCategory, sizeClass } from "./category.ts";
import { reviewOutOfTime } from "./drain.ts";
import type { TaskDefinition } from "./event.ts";
import { countCall } from "./library.ts";
import type { ManagerState, TaskClass, TaskRecord, WorkerRecord } from "./state.ts";

/** What tries of a task need more than it says, as earlier ones had too little. */
export type Raise = Pick<TaskClass, "atLeast" | "workerDiskBytes" | "workerMemoryBytes">;

const NO_RAISE: Raise = { atLeast: {}, workerDiskBytes: 0, workerMemoryBytes: 0 };

/** The class of a task, found by its template; of one that needs more than it says, another. */
export function classOf(
  state: ManagerState,
  definition: TaskDefinition,
  raise: Raise = NO_RAISE,
): TaskClass {
  const { template, features } = definition;
  const isByTemplate = features.length === 0 && raise === NO_RAISE;
  const known = isByTemplate ? state.classByTemplate.get(template) : undefined;
  if (known !== undefined && known.useCount > 0) return known;
  const { request, category, minTimeMs, library } = template;
  const { atLeast, workerDiskBytes, workerMemoryBytes } = raise;
  const least = [atLeast, workerDiskBytes, workerMemoryBytes];
  const key = JSON.stringify([category, request, least, minTimeMs, library, features], amounts);
  // One without tasks may be of a category that was forgotten, and has begun anew since.
  const current = state.categories.get(category);
  const isKnown = known !== undefined && (current ?? known.category) === known.category &&
    known.library === libraryOf(state, library);
  const taskClass = state.classes.get(key) ??
    (isKnown ? known : newClass(state, { key, definition, raise }));
  if (isByTemplate) state.classByTemplate.set(template, taskClass);
  return taskClass;
}

/** A task enters the class, or leaves it: a class without tasks is forgotten. */
export function countUse(state: ManagerState, taskClass: TaskClass, change: 1 | -1): void {
  const { key, category, library } = taskClass;
  taskClass.useCount += change;
  if (library !== undefined) countCall(state, library, change);
  if (taskClass.useCount === 0) {
    state.classes.delete(key);
    category.classes.delete(taskClass);
    state.unplaceable.classes.delete(taskClass);
    state.resized.delete(taskClass);
    taskClass.unfitAt = undefined;
    forgetCategory(state, category);
  } else if (change > 0 && taskClass.useCount === 1) {
    state.classes.set(key, taskClass);
    state.categories.set(category.name, category);
    category.classes.add(taskClass);
    // What was said of the category since then.
    sizeClass(state, taskClass);
    if (state.outOfTime.size > 0) reviewOutOfTime(state);
  }
}

/** What a try of the class is given at the worker; undefined where it never fits. */
export function allocationAt(
  state: ManagerState,
  taskClass: TaskClass,
  { resources }: Pick<WorkerRecord, "resources">,
): Allocation | undefined {
  const { allocations } = taskClass;
  const known = allocations.get(resources);
  if (known !== undefined || allocations.has(resources)) return known;
  const isLarge = resources.diskBytes >= taskClass.workerDiskBytes &&
    resources.memoryBytes >= taskClass.workerMemoryBytes;
  const allocation = isLarge ? allocate(taskClass.demand, resources, state.policies) : undefined;
  allocations.set(resources, allocation);
  return allocation;
}

/** The resource of which a worker has too little for any try of the class, and what one needs. */
export function shortageAt(
  { demand: { request, least }, workerDiskBytes, workerMemoryBytes }: TaskClass,
  { resources }: WorkerRecord,
): { readonly resource: string; readonly amount: number } | undefined {
  if (resources.diskBytes < workerDiskBytes) return { resource: "disk", amount: workerDiskBytes };
  if (resources.memoryBytes < workerMemoryBytes) {
    return { resource: "memory", amount: workerMemoryBytes };
  }
  for (const wanted of [request, least]) {
    const resource = missingAt(wanted, resources);
    if (resource !== undefined) return { resource, amount: requestOf(wanted, resource) };
  }
  return undefined;
}

/** Cores that a try holds wherever it runs, at least; for looks that stop where no more are free. */
export function leastCores({ demand: { request } }: TaskClass): number {
  const { cores, gpus = 0 } = request;
  if (cores === undefined) return gpus > 0 ? 0 : 1;
  // All cores of a worker: the smallest may have little.
  return cores === Infinity ? 1 : cores;
}

/** True when `a` is to be dispatched before `b`, of the same category. */
export function comesFirst(a: TaskRecord, b: TaskRecord): boolean {
  const order = compareRanks(a, b);
  return order !== 0 ? order < 0 : a.definition.taskId < b.definition.taskId;
}

/**
 * Below 0 when `a` is to be dispatched before `b` whatever their categories hold: by priority,
 * then what is repeated with more than it had, then what makes lost temps again.
 */
export function compareRanks(a: TaskRecord, b: TaskRecord): number {
  return b.definition.priority - a.definition.priority || rankOf(a) - rankOf(b);
}

function rankOf({ exhaustedCount, isSettled }: TaskRecord): number {
  if (exhaustedCount > 0) return 0;
  return isSettled ? 1 : 2;
}

function newClass(
  state: ManagerState,
  { key, definition, raise }: {
    readonly key: string;
    readonly definition: TaskDefinition;
    readonly raise: Raise;
  },
): TaskClass {
  const { template, features } = definition;
  const { request: stated, minTimeMs, library } = template;
  const { atLeast, workerDiskBytes, workerMemoryBytes } = raise;
  const category = categoryOf(state, template.category);
  return {
    key,
    category,
    stated,
    atLeast,
    workerDiskBytes,
    workerMemoryBytes,
    drawn: undefined,
    ownAllocation: library === undefined ? undefined : callAllocation(stated),
    demand: demandOf(state, { stated, atLeast, category, drawn: undefined }),
    allocations: new Map(),
    features,
    unfitAt: undefined,
    minTimeMs,
    library: libraryOf(state, library),
    ready: newOrderedQueue(comesFirst),
    readyCount: 0,
    queuedCount: 0,
    useCount: 0,
    runningCount: 0,
    leavingCount: 0,
    isBlocked: false,
    servedUntilMs: Infinity,
    suitedAt: -1,
    meanRanMs: undefined,
    endedCount: 0,
    unwatched: new Set(),
    provenHost: undefined,
  };
}

function libraryOf({ libraries }: ManagerState, name: string | undefined) {
  return name === undefined ? undefined : libraries.get(name);
}

/** `Infinity`, which JSON has no word for. */
function amounts(_key: string, value: unknown): unknown {
  return value === Infinity ? "all" : value;
}
