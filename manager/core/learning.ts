/**
 * What a category learns of its tasks: each success adds to what is known, and from time to time
 * the first allocations of those to come follow from it.
 *
 * Source: `category.c` and `bucketing_manager.c` of CCTools 8.0.0; widths of buckets, and how many
 * samples are waited for, are theirs.
 *
 * @module
 */

import type { RandomState } from "../../shared/random.ts";
import type { ResourceRequest } from "../../shared/resources.ts";
import type { TryResult } from "../../shared/task.ts";
import {
  type Bucket,
  chooseAllocation,
  exhaustiveBuckets,
  greedyBuckets,
  newSamples,
  noteSample,
  type Samples,
} from "./bucketing.ts";
import { type CategoryMode, type CategoryRecord, isBucketing, modeOf, resize } from "./category.ts";
import { maxSeen, maxThroughput, minWaste } from "./first_allocation.ts";
import type { ManagerState, WorkerRecord } from "./state.ts";
import { newUsageHistory, noteUsage, type UsageHistory } from "./usage_history.ts";

/** Resources that are measured of a task. */
export const LEARNT_FIELDS = ["cores", "memoryBytes", "diskBytes"] as const;

/** One of them. */
export type LearntField = (typeof LEARNT_FIELDS)[number];

/** What is known of one resource. */
interface Known {
  readonly history: UsageHistory;
  readonly samples: Samples;
}

/** What the tasks of a category have used: as much of it for a task that is the millionth. */
export interface Learning {
  readonly known: { readonly [Field in LearntField]: Known };
  /** Successes since allocations followed from them. */
  newCount: number;
  /** One of these used more than any before. */
  hasNewMost: boolean;
  /** From which first allocations are drawn; undefined in other modes, and before there are enough. */
  buckets: Buckets | undefined;
}

/** Of each resource. */
export type Buckets = { readonly [Field in LearntField]: readonly Bucket[] };

/** Least differences that matter. */
const WIDTHS: { readonly [Field in LearntField]: number } = {
  cores: 1,
  memoryBytes: 250_000_000,
  diskBytes: 250_000_000,
};

/** What is added to the most that was used, as a part of the width: the next may use a little more. */
const MARGIN = 1 / 3;

/** Successes before buckets are made of them. */
const SAMPLES_MIN = 10;

/** What a try used until it ended. */
interface Use {
  readonly worker: WorkerRecord;
  readonly used: TryResult["used"];
  readonly ranMs: number;
}

/**
 * A try of the category had too little. Mode `max_throughput` counts how many tasks an allocation is
 * enough for, and those that need little succeed first: without the others it would give ever less.
 */
export function noteShortage(state: ManagerState, category: CategoryRecord, use: Use): void {
  if (modeOf(state, category) === "max_throughput") noteUse(state, category, use);
}

/** A try of the category has succeeded; what it used was not more than its worker has. */
export function noteUse(state: ManagerState, category: CategoryRecord, use: Use): void {
  const { worker: { resources }, used } = use;
  if (used === undefined || modeOf(state, category) === "fixed") return;
  const learning = category.learning ??= newLearning();
  const timeMs = Math.max(1, use.ranMs);
  for (const field of LEARNT_FIELDS) {
    const { history, samples } = learning.known[field];
    const amount = field === "cores" ? Math.max(1, Math.ceil(used.cores - 1e-3)) : used[field];
    const value = Math.min(amount, resources[field]);
    if (value > history.max) learning.hasNewMost = true;
    noteUsage(history, { value, timeMs });
    noteSample(samples, value);
  }
  learning.newCount += 1;
  if (isDue(state, category, learning)) state.unlearnt.add(category);
}

/** Has first allocations follow from what was used since; once a step, however much that was. */
export function learn(state: ManagerState): void {
  for (const category of state.unlearnt) {
    const { learning } = category;
    if (learning === undefined) continue;
    relearn(learning, category, modeOf(state, category));
    resize(state, category);
  }
  state.unlearnt.clear();
}

/** The most that any task of the category is known to have used, rounded up; 0 when none is. */
export function mostUsed({ learning }: CategoryRecord, field: LearntField): number {
  return (learning && maxSeen(learning.known[field].history)) ?? 0;
}

/** One allocation, by the shares of the buckets. */
export function drawFrom(buckets: Buckets, random: RandomState): ResourceRequest {
  const drawn: Partial<Record<LearntField, number>> = {};
  for (const field of LEARNT_FIELDS) {
    const amount = chooseAllocation(buckets[field], { atLeast: 0, random });
    if (amount !== undefined && amount > 0) drawn[field] = amount;
  }
  return drawn;
}

function newLearning(): Learning {
  const known = (field: LearntField): Known => {
    return { history: newUsageHistory(WIDTHS[field]), samples: newSamples() };
  };
  return {
    known: {
      cores: known("cores"),
      memoryBytes: known("memoryBytes"),
      diskBytes: known("diskBytes"),
    },
    newCount: 0,
    hasNewMost: false,
    buckets: undefined,
  };
}

function isDue(state: ManagerState, category: CategoryRecord, learning: Learning): boolean {
  if (isBucketing(modeOf(state, category))) return true;
  if (learning.newCount >= state.policies.categorySteadyTasks) return true;
  return learning.hasNewMost && category.learnt.cores !== undefined;
}

function relearn(learning: Learning, category: CategoryRecord, mode: CategoryMode): void {
  const isEnough = learning.known.cores.samples.samples.length >= SAMPLES_MIN;
  learning.buckets = isBucketing(mode) && isEnough ? bucketsOf(learning, mode) : undefined;
  const isCounted = mode !== "fixed" && !isBucketing(mode);
  // A mode that was just set knows what was learnt under another one.
  category.learnt = isCounted ? firstAllocation(learning, mode) : {};
  learning.newCount = 0;
  learning.hasNewMost = false;
}

function bucketsOf({ known }: Learning, mode: CategoryMode): Buckets {
  const of = mode === "greedy_bucketing" ? greedyBuckets : exhaustiveBuckets;
  return {
    cores: of(known.cores.samples),
    memoryBytes: of(known.memoryBytes.samples),
    diskBytes: of(known.diskBytes.samples),
  };
}

function firstAllocation({ known }: Learning, mode: CategoryMode): ResourceRequest {
  const found: Partial<Record<LearntField, number>> = {};
  for (const field of LEARNT_FIELDS) {
    const { history } = known[field];
    // Cores are whole.
    const margin = field === "cores" ? 0 : history.width * MARGIN;
    const amount = mode === "min_waste"
      ? minWaste(history)
      : mode === "max_throughput"
      ? maxThroughput(history)
      : maxSeen(history, margin);
    // Where nothing was seen to be used there is nothing to limit.
    if (amount !== undefined && amount > 0 && history.max > 0) found[field] = amount;
  }
  return found;
}
