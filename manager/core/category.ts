/** Categories: tasks alike in resource use, what is said of all of them and what they hold. */

import type { ResourceRequest } from "../../shared/resources.ts";
import { DEFAULT_REQUEST, type Demand } from "./allocation.ts";
import type { CategorySpec } from "./event.ts";
import type { ManagerState, TaskClass } from "./state.ts";

/** How the first try of a task is sized for which something was not stated. */
export const CATEGORY_MODES = [
  "fixed",
  "max",
  "min_waste",
  "max_throughput",
  "greedy_bucketing",
  "exhaustive_bucketing",
] as const;

/** One of them. */
export type CategoryMode = (typeof CATEGORY_MODES)[number];

/** Tasks alike in resource use. */
export interface CategoryRecord {
  readonly name: string;
  spec: CategorySpec;
  /** False of one that tasks name and nothing is said of. */
  isDeclared: boolean;
  /** What its next first tries are allocated of what was not stated, as was learnt. */
  learnt: ResourceRequest;
  /** Its classes that have tasks. */
  readonly classes: Set<TaskClass>;
  /** Tries at workers that have not ended. */
  runningCount: number;
  /** Cores that they hold; of calls those of their slots. */
  heldCores: number;
}

/** The category of that name; it is made when it is first named. */
export function categoryOf(state: ManagerState, name: string): CategoryRecord {
  let category = state.categories.get(name);
  if (category === undefined) {
    category = {
      name,
      spec: { name, mode: "fixed", max: {}, min: {}, first: {}, maxConcurrent: 0 },
      isDeclared: false,
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
export function declareCategory(state: ManagerState, spec: CategorySpec): void {
  const category = categoryOf(state, spec.name);
  category.spec = spec;
  category.isDeclared = true;
  resize(category);
}

/** Nothing is kept of a category without tasks of which nothing is known. */
export function forgetCategory(state: ManagerState, category: CategoryRecord): void {
  const isUsed = category.classes.size > 0 || category.runningCount > 0;
  if (isUsed || category.isDeclared) return;
  if (state.categories.get(category.name) === category) state.categories.delete(category.name);
}

/** A try of the class goes to a worker, or has left one. */
export function countRunning(
  state: ManagerState,
  { category, library }: TaskClass,
  { cores, change }: { readonly cores: number; readonly change: 1 | -1 },
): void {
  const slotCores = library === undefined ? 0 : library.spec.resources.cores / library.spec.slots;
  category.runningCount += change;
  category.heldCores += change * (cores + slotCores);
  if (category.runningCount > 0) return;
  // What is left by the rounding of sums.
  category.heldCores = 0;
  forgetCategory(state, category);
}

/** Has the classes of a category ask for what is right now. */
export function resize(category: CategoryRecord): void {
  for (const taskClass of category.classes) {
    taskClass.demand = demandOf(taskClass);
    taskClass.allocations.clear();
    taskClass.isBlocked = false;
  }
}

/**
 * What tries of a class ask for: what the task states, else what was learnt, else the first guess;
 * never more than the most of the category, unless the task states it. What a try needs at least
 * after one that had too little, it is given.
 */
export function demandOf(
  { stated, atLeast, category }: Pick<TaskClass, "stated" | "atLeast" | "category">,
): Demand {
  const { spec: { max, min, first, mode }, learnt } = category;
  const request: { -readonly [Key in keyof ResourceRequest]: ResourceRequest[Key] } = {};
  for (const field of ["cores", "memoryBytes", "diskBytes", "gpus"] as const) {
    const guess = learnt[field] ?? first[field];
    const sized = guess === undefined ? undefined : Math.max(guess, min[field] ?? 0);
    let amount = stated[field] ?? (sized === undefined ? max[field] : capped(sized, max[field]));
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

function capped(amount: number, most: number | undefined): number {
  return most === undefined ? amount : Math.min(amount, most);
}
