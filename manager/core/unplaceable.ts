/**
 * Classes of tasks that no worker that is there could ever run: said once for each, and again when
 * what is missing has changed.
 *
 * @module
 */

import { pushHeap } from "../../shared/heap.ts";
import {
  amountOf,
  RESOURCE_FIELDS,
  RESOURCE_NAMES,
  type ResourceRequest,
  type Resources,
} from "../../shared/resources.ts";
import { instanceNeed } from "./call_room.ts";
import { suits } from "./placement.ts";
import type { ManagerState, TaskClass } from "./state.ts";
import { allocationAt } from "./task_class.ts";
import type { WorkerKind } from "./worker_kind.ts";

/** Time for other workers to join before it is said that these are not enough. */
const PATIENCE_MS = 2_000;

/** Classes that are remembered; what is beyond it is not said. */
const CLASSES_MAX = 1_000;

/** Classes of which one look tells. */
const TOLD_MAX = 10;

/** What a class asks for that no worker has. */
export type Missing =
  /** No worker has that much. */
  | {
    readonly kind: "resource";
    /** As users name it. */
    readonly name: string;
    readonly needed: number;
    /** The most that one of the workers has. */
    readonly most: number;
  }
  | { readonly kind: "feature"; readonly name: string }
  /** Each of them is there, and no worker has all of them. */
  | { readonly kind: "together"; readonly names: readonly string[] };

/** Ready tasks of one class that no worker which is there could ever run. */
export interface UnplaceableTasks {
  /** Of the tasks. */
  readonly category: string;
  /** Name of the library that they are calls of; absent of others. */
  readonly library?: string;
  /** Those that are ready. */
  readonly taskCount: number;
  /** What no worker has. */
  readonly missing: Missing;
  /** Workers that are there. */
  readonly workerCount: number;
}

/** Classes that no worker could run. */
export interface Unplaceable {
  /** `{class: what was said to be missing, as text; empty when nothing was said yet}` */
  readonly classes: Map<TaskClass, string>;
  /** They are looked at some time from now. */
  isPlanned: boolean;
}

/** None. */
export function newUnplaceable(): Unplaceable {
  return { classes: new Map(), isPlanned: false };
}

/**
 * A class has found no room: if no worker could ever run it, that is said in a moment. Costs a
 * look at each kind of workers, once for each change of these.
 */
export function noteBlocked(state: ManagerState, taskClass: TaskClass): void {
  if (taskClass.suitedAt === state.kindsChange) return;
  const { classes } = state.unplaceable;
  if (isPlaceable(state, taskClass)) {
    taskClass.suitedAt = state.kindsChange;
    return;
  }
  if (!classes.has(taskClass)) {
    if (classes.size >= CLASSES_MAX) return;
    classes.set(taskClass, "");
    plan(state);
  }
}

/** Kinds of workers have come or gone: what was said may not hold any more. */
export function reviewUnplaceable(state: ManagerState): void {
  if (state.unplaceable.classes.size > 0) plan(state);
}

/** Says of what is missing what was not said before. */
export function tellUnplaceable(state: ManagerState): void {
  const { unplaceable: { classes }, kinds, facts } = state;
  state.unplaceable.isPlanned = false;
  // Nothing is missing but workers.
  if (kinds.size === 0) return;
  for (const [taskClass, said] of classes) {
    const tasks = tasksOf(state, taskClass);
    if (tasks === undefined) {
      classes.delete(taskClass);
      continue;
    }
    const text = JSON.stringify(tasks.missing);
    if (text === said) continue;
    classes.set(taskClass, text);
    facts.push({ kind: "class_unplaceable", ...tasks });
  }
}

/** Tasks that wait for what no worker has, of some classes; none while there are no workers. */
export function unplaceableTasks(state: ManagerState): readonly UnplaceableTasks[] {
  const found: UnplaceableTasks[] = [];
  if (state.kinds.size === 0) return found;
  for (const taskClass of state.unplaceable.classes.keys()) {
    const tasks = tasksOf(state, taskClass);
    if (tasks !== undefined) found.push(tasks);
    if (found.length >= TOLD_MAX) break;
  }
  return found;
}

/** Undefined when none is ready, or a worker could run them after all. */
function tasksOf(state: ManagerState, taskClass: TaskClass): UnplaceableTasks | undefined {
  const { category: { name: category }, library, readyCount: taskCount } = taskClass;
  if (taskCount === 0 || isPlaceable(state, taskClass)) return undefined;
  const missing = missingOf(state, taskClass);
  const tasks = { category, taskCount, missing, workerCount: countWorkers(state) };
  return library === undefined ? tasks : { ...tasks, library: library.spec.name };
}

/** Why no worker that is there could run tries of the class, of one that none could. */
export function missingOf(state: ManagerState, taskClass: TaskClass): Missing {
  const kinds = [...state.kinds.values()];
  const feature = taskClass.features.find((name) => !kinds.some((kind) => kind.features.has(name)));
  if (feature !== undefined) return { kind: "feature", name: feature };
  const wanted = wantedOf(taskClass);
  for (const [name, needed] of wanted) {
    const most = Math.max(...kinds.map(({ resources }) => resourceOf(resources, name)));
    if (needed > most) return { kind: "resource", name, needed, most };
  }
  return { kind: "together", names: [...wanted.keys(), ...taskClass.features] };
}

function plan(state: ManagerState): void {
  if (state.unplaceable.isPlanned) return;
  state.unplaceable.isPlanned = true;
  pushHeap(state.deadlines, { atMs: state.nowMs + PATIENCE_MS, kind: "unplaceable" });
}

function isPlaceable(state: ManagerState, taskClass: TaskClass): boolean {
  for (const kind of state.kinds.values()) {
    if (suits(kind, taskClass) && isEnough(state, kind, taskClass)) return true;
  }
  return false;
}

function isEnough(state: ManagerState, kind: WorkerKind, taskClass: TaskClass): boolean {
  const { library } = taskClass;
  if (library === undefined) return allocationAt(state, taskClass, kind) !== undefined;
  for (const [name, needed] of amountsOf(instanceNeed(taskClass, library))) {
    if (needed > resourceOf(kind.resources, name)) return false;
  }
  return true;
}

/** `{resource: what its tries, or an instance of its library with one, need of one worker}` */
function wantedOf(taskClass: TaskClass): Map<string, number> {
  const { library, demand, workerDiskBytes, workerMemoryBytes } = taskClass;
  const wanted = amountsOf(library ? instanceNeed(taskClass, library) : demand.request);
  for (const [name, bytes] of [["disk", workerDiskBytes], ["memory", workerMemoryBytes]] as const) {
    if (bytes > (wanted.get(name) ?? 0)) wanted.set(name, bytes);
  }
  for (const [name, amount] of amountsOf(demand.least)) {
    if (library === undefined && !wanted.has(name)) wanted.set(name, amount);
  }
  return wanted;
}

function amountsOf(request: ResourceRequest): Map<string, number> {
  const amounts = new Map<string, number>();
  for (const name of RESOURCE_NAMES) {
    const amount = request[RESOURCE_FIELDS[name]] ?? 0;
    if (amount > 0 && amount !== Infinity) amounts.set(name, amount);
  }
  for (const [name, amount] of Object.entries(request.custom ?? {})) amounts.set(name, amount);
  return amounts;
}

function resourceOf(resources: Resources, name: string): number {
  const known = RESOURCE_NAMES.find((other) => other === name);
  return known === undefined ? amountOf(resources, name) : resources[RESOURCE_FIELDS[known]];
}

function countWorkers({ kinds }: ManagerState): number {
  let count = 0;
  for (const { workerCount } of kinds.values()) count += workerCount;
  return count;
}
