/** Classes: tasks alike in all that decides where they fit wait in one queue. */

import { newHeap } from "../../shared/heap.ts";
import { requestOf } from "../../shared/resources.ts";
import { allocate, type Allocation, missingAt } from "./allocation.ts";
import { categoryOf, demandOf, forgetCategory } from "./category.ts";
import { reviewOutOfTime } from "./drain.ts";
import type { TaskDefinition } from "./event.ts";
import type { ManagerState, TaskClass, TaskRecord, WorkerRecord } from "./state.ts";

/** What tries of a task need more than it says, as earlier ones had too little. */
export type Raise = Pick<TaskClass, "atLeast" | "workerDiskBytes">;

const NO_RAISE: Raise = { atLeast: {}, workerDiskBytes: 0 };

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
  const { atLeast, workerDiskBytes } = raise;
  const parts = [category, request, atLeast, workerDiskBytes, minTimeMs, library, features];
  const key = JSON.stringify(parts, amounts);
  const taskClass = state.classes.get(key) ?? known ?? newClass(state, { key, definition, raise });
  if (isByTemplate) state.classByTemplate.set(template, taskClass);
  return taskClass;
}

/** A task enters the class, or leaves it: a class without tasks is forgotten. */
export function countUse(state: ManagerState, taskClass: TaskClass, change: 1 | -1): void {
  const { key, category } = taskClass;
  taskClass.useCount += change;
  if (taskClass.useCount === 0) {
    state.classes.delete(key);
    category.classes.delete(taskClass);
    forgetCategory(state, category);
  } else if (change > 0 && taskClass.useCount === 1) {
    state.classes.set(key, taskClass);
    state.categories.set(category.name, category);
    category.classes.add(taskClass);
    // What was said of the category since then.
    taskClass.demand = demandOf(taskClass);
    taskClass.allocations.clear();
    if (state.outOfTime.size > 0) reviewOutOfTime(state);
  }
}

/** What a try of the class is given at the worker; undefined where it never fits. */
export function allocationAt(
  state: ManagerState,
  taskClass: TaskClass,
  { resources }: WorkerRecord,
): Allocation | undefined {
  const { allocations } = taskClass;
  const known = allocations.get(resources);
  if (known !== undefined || allocations.has(resources)) return known;
  const isLarge = resources.diskBytes >= taskClass.workerDiskBytes;
  const allocation = isLarge ? allocate(taskClass.demand, resources, state.policies) : undefined;
  allocations.set(resources, allocation);
  return allocation;
}

/** The resource of which a worker has too little for any try of the class, and what one needs. */
export function shortageAt(
  { demand: { request, least }, workerDiskBytes }: TaskClass,
  { resources }: WorkerRecord,
): { readonly resource: string; readonly amount: number } | undefined {
  if (resources.diskBytes < workerDiskBytes) return { resource: "disk", amount: workerDiskBytes };
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

/** True when `a` is to be dispatched before `b`. */
export function comesFirst(a: TaskRecord, b: TaskRecord): boolean {
  const { priority, taskId } = a.definition;
  const other = b.definition;
  return priority !== other.priority ? priority > other.priority : taskId < other.taskId;
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
  const { atLeast, workerDiskBytes } = raise;
  const category = categoryOf(state, template.category);
  return {
    key,
    category,
    stated,
    atLeast,
    workerDiskBytes,
    demand: demandOf({ stated, atLeast, category }),
    allocations: new Map(),
    features,
    minTimeMs,
    library: library === undefined ? undefined : state.libraries.get(library),
    ready: newHeap(comesFirst),
    readyCount: 0,
    useCount: 0,
    isBlocked: false,
    meanRanMs: undefined,
    provenHost: undefined,
  };
}

/** `Infinity`, which JSON has no word for. */
function amounts(_key: string, value: unknown): unknown {
  return value === Infinity ? "all" : value;
}
