/** Categories: tasks alike in resource use, what is said of all of them and what they hold. */

import type { ResourceRequest } from "../../shared/resources.ts";
import { DEFAULT_REQUEST, type Demand } from "./allocation.ts";
import type { CategoryChange, CategorySpec } from "./event.ts";
import { drawFrom, type Learning } from "./learning.ts";
import { reviewReservation } from "./reservation.ts";
import type { ManagerState, TaskClass } from "./state.ts";

/** How the first try of a task is sized for which something was not stated. */
export type CategoryMode =
  | "fixed"
  | "max"
  | "min_waste"
  | "max_throughput"
  | "greedy_bucketing"
  | "exhaustive_bucketing";

/** All of them. */
export const CATEGORY_MODES: readonly CategoryMode[] = [
  "fixed",
  "max",
  "min_waste",
  "max_throughput",
  "greedy_bucketing",
  "exhaustive_bucketing",
];

/** Tasks alike in resource use. */
export interface CategoryRecord {
  readonly name: string;
  spec: CategorySpec;
  /** False of one that tasks name and nothing is said of. */
  isDeclared: boolean;
  /** What its tasks have used, once one has ended while its mode was to learn of it. */
  learning: Learning | undefined;
  /** What its next first tries are allocated of what was not stated, as was learnt. */
  learnt: ResourceRequest;
  /** Its classes that have tasks. */
  readonly classes: Set<TaskClass>;
  /** Tries at workers that have not ended. */
  runningCount: number;
  /** Cores that they hold; of calls those of their slots. */
  heldCores: number;
}

/** Categories of which something was learnt that are kept though nobody has said anything of them. */
const LEARNT_MAX = 1_000;

/**
 * Of a category that cuts what was used into buckets, until it knows enough.
 *
 * Source: `bucketing_manager.c` of CCTools 8.0.0.
 */
export const BUCKETING_DEFAULT: ResourceRequest = {
  cores: 1,
  memoryBytes: 1_000_000_000,
  diskBytes: 1_000_000_000,
  gpus: 0,
};

/** The resources that a category has limits of. */
export const CATEGORY_FIELDS = ["cores", "memoryBytes", "diskBytes", "gpus"] as const;

/** The category of that name; it is made when it is first named. */
export function categoryOf(state: ManagerState, name: string): CategoryRecord {
  let category = state.categories.get(name);
  if (category === undefined) {
    category = {
      name,
      spec: { name, mode: undefined, max: {}, min: {}, first: {}, maxConcurrent: 0 },
      isDeclared: false,
      learning: undefined,
      learnt: {},
      classes: new Set(),
      runningCount: 0,
      heldCores: 0,
    };
    state.categories.set(name, category);
  }
  return category;
}

/** What is said of a category holds for its tries that are dispatched from now on. */
export function declareCategory(state: ManagerState, change: CategoryChange): void {
  const category = categoryOf(state, change.name);
  category.spec = { ...category.spec, ...change };
  category.isDeclared = true;
  state.unlearnt.add(category);
  for (const taskClass of category.classes) taskClass.drawn = undefined;
  resize(state, category);
}

/** How first tries of the category are sized. */
export function modeOf({ policies }: ManagerState, { spec }: CategoryRecord): CategoryMode {
  return spec.mode ?? policies.categoryMode;
}

/** True of modes that cut what was used into buckets. */
export function isBucketing(mode: CategoryMode): boolean {
  return mode === "greedy_bucketing" || mode === "exhaustive_bucketing";
}

/** True while as many of its tries are at workers as may be. */
export function isFull({ spec: { maxConcurrent }, runningCount }: CategoryRecord): boolean {
  return maxConcurrent > 0 && runningCount >= maxConcurrent;
}

/** Nothing is kept of a category without tasks of which nothing is known. */
export function forgetCategory(state: ManagerState, category: CategoryRecord): void {
  const isUsed = category.classes.size > 0 || category.runningCount > 0;
  if (isUsed || category.isDeclared) return;
  if (category.learning !== undefined && state.categories.size <= LEARNT_MAX) return;
  state.unlearnt.delete(category);
  if (state.categories.get(category.name) === category) state.categories.delete(category.name);
}

/** A try of the class goes to a worker, or has left one. */
export function countRunning(
  state: ManagerState,
  taskClass: TaskClass,
  { cores, change }: { readonly cores: number; readonly change: 1 | -1 },
): void {
  const { category, library } = taskClass;
  taskClass.runningCount += change;
  // It may have to be seen to that it has a turn.
  if (taskClass.runningCount === 0) taskClass.isBlocked = false;
  const slotCores = library === undefined ? 0 : library.spec.resources.cores / library.spec.slots;
  category.runningCount += change;
  category.heldCores += change * (cores + slotCores);
  if (category.runningCount > 0) return;
  // What is left by the rounding of sums.
  category.heldCores = 0;
  // One that finds no room now may be kept a worker.
  for (const other of category.classes) other.isBlocked = false;
  forgetCategory(state, category);
}

/** Has the classes of a category ask for what is right now. */
export function resize(state: ManagerState, category: CategoryRecord): void {
  for (const taskClass of category.classes) sizeClass(state, taskClass);
}

/** Has one class ask for what is right now. */
export function sizeClass(state: ManagerState, taskClass: TaskClass): void {
  const { category } = taskClass;
  const buckets = category.learning?.buckets;
  const isDrawn = buckets !== undefined && isBucketing(modeOf(state, category));
  taskClass.drawn = isDrawn ? taskClass.drawn ?? drawFrom(buckets, state.random) : undefined;
  taskClass.demand = demandOf(state, taskClass);
  taskClass.allocations.clear();
  taskClass.isBlocked = false;
  reviewReservation(state, taskClass);
  if (taskClass.unfitAt !== undefined) state.resized.add(taskClass);
}

/** A try was given what had been drawn for it: for the next one it is drawn anew. */
export function drawAgain(state: ManagerState, taskClass: TaskClass): void {
  if (taskClass.drawn === undefined) return;
  taskClass.drawn = undefined;
  sizeClass(state, taskClass);
}

/**
 * What tries of a class ask for: what the task states, else what was learnt, else the first guess;
 * never more than the most of the category, unless the task states it. What a try needs at least
 * after one that had too little, it is given.
 */
export function demandOf(
  state: ManagerState,
  { stated, atLeast, category, drawn }: Pick<
    TaskClass,
    "stated" | "atLeast" | "category" | "drawn"
  >,
): Demand {
  const { spec: { max, min, first }, learnt } = category;
  const mode = modeOf(state, category);
  const known = drawn ?? learnt;
  const unknown = isBucketing(mode) ? BUCKETING_DEFAULT : NOTHING;
  const request: { -readonly [Key in keyof ResourceRequest]: ResourceRequest[Key] } = {};
  for (const field of CATEGORY_FIELDS) {
    const guess = known[field] ?? first[field] ??
      (max[field] === undefined ? unknown[field] : undefined);
    let amount = stated[field];
    if (amount === undefined && guess !== undefined) {
      const sized = capped(Math.max(guess, min[field] ?? 0), max[field]);
      const most = mostOf(state, field);
      // A guess keeps no task from running: it is of all that a worker has, if need be. Of a disk,
      // on which files are cached, all is not kept free.
      const isAllOfDisk = field === "diskBytes" && most !== undefined && sized >= most;
      amount = isAllOfDisk ? Infinity : capped(sized, most);
    }
    amount ??= max[field];
    const needed = atLeast[field];
    if (needed !== undefined) amount = Math.max(amount ?? 0, capped(needed, max[field]));
    if (amount !== undefined) request[field] = amount;
  }
  if (stated.custom !== undefined) request.custom = stated.custom;
  const isBare = Object.keys(request).every((field) => field === "custom");
  // Of a category that learns, nothing is known yet: the first of them are to have enough.
  const bare = mode === "fixed" ? DEFAULT_REQUEST : { cores: Infinity };
  return { request: isBare ? { ...bare, ...request } : request, least: min };
}

const NOTHING: ResourceRequest = {};

/** The most that any worker has; undefined while there is none. */
function mostOf({ most, kinds }: ManagerState, field: keyof typeof most): number | undefined {
  const amount = most[field];
  return kinds.size === 0 || typeof amount !== "number" ? undefined : amount;
}

function capped(amount: number, most: number | undefined): number {
  return most === undefined ? amount : Math.min(amount, most);
}
