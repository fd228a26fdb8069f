/**
 * What follows a try that needed more than it had: another one with more, as long as there is a
 * worker that has it. What a task states itself is its own affair.
 *
 * Source of the steps: `category_next_label` and `resubmit_task_on_exhaustion` of CCTools 8.0.0,
 * of which the second, growing a sandbox, squares its size by mistake.
 *
 * @module
 */

import { RESOURCE_FIELDS, type ResourceRequest } from "../../shared/resources.ts";
import type { Exceeded } from "../../shared/task.ts";
import { formatSize } from "../../shared/units.ts";
import { allocate } from "./allocation.ts";
import { chooseAllocation } from "./bucketing.ts";
import { demandOf, isBucketing, modeOf } from "./category.ts";
import { nextDisk } from "./disk.ts";
import { mostUsed } from "./learning.ts";
import { suits } from "./placement.ts";
import type { ManagerState, TryRecord } from "./state.ts";
import type { Raise } from "./task_class.ts";

/** Repetitions of one task with more than it had: as many doublings are a factor of a thousand. */
const EXHAUSTED_TRIES_MAX = 10;

/** What a try that had too little leads to. */
export type Verdict =
  /** A failure of the task's own. */
  | { readonly kind: "own" }
  | { readonly kind: "again"; readonly raise: Raise }
  /** Nobody has more; `message` says of what. */
  | { readonly kind: "hopeless"; readonly message: string };

const OWN: Verdict = { kind: "own" };

type Field = "memoryBytes" | "diskBytes";

/** What follows a try that ended as `resources_exhausted`. */
export function afterExhaustion(
  state: ManagerState,
  attempt: TryRecord,
  exceeded: Exceeded | undefined,
): Verdict {
  const { allocation, taskClass, task, worker } = attempt;
  // What a call does not state is its instance's: more of it would be of no use to the call.
  const isCall = taskClass.library !== undefined;
  if (exceeded === undefined || allocation === undefined || isCall) return OWN;
  const field = RESOURCE_FIELDS[exceeded.resource];
  if (field !== "memoryBytes" && field !== "diskBytes") return OWN;
  if (taskClass.stated[field] !== undefined) return OWN;
  const { category: { name, spec: { max } } } = taskClass;
  const hadBytes = allocation.resources[field];
  const had = `it had ${formatSize(hadBytes)} of ${exceeded.resource} on worker ` +
    `${worker.workerId} on ${worker.host}`;
  const most = max[field];
  if (most !== undefined && (hadBytes >= most || exceeded.used > most)) {
    const limit = `the max of category "${name}"`;
    const message = hadBytes >= most
      ? `${had}, ${limit}`
      : `${had} and used ${formatSize(exceeded.used)}: ${limit} is ${formatSize(most)}`;
    return { kind: "hopeless", message };
  }
  if (task.exhaustedCount >= EXHAUSTED_TRIES_MAX) {
    const message = `${had}, in the last of ${
      task.exhaustedCount + 1
    } tries of which each had more`;
    return { kind: "hopeless", message };
  }
  const hadAll = hadBytes >= worker.resources[field] ||
    exceeded.limit >= worker.resources[field];
  const raise = hadAll
    ? largerWorker(attempt, field)
    : moreOf(state, attempt, { field, hadBytes, usedBytes: exceeded.used });
  if (isPlaceable(state, attempt, raise)) return { kind: "again", raise };
  const allBytes = worker.resources[field];
  const where = !hadAll
    ? "less than it has"
    : hadBytes >= allBytes
    ? "all that it has"
    : `which has ${formatSize(allBytes)}`;
  const message = `${had}, ${where}, and no worker that could run it has more`;
  return { kind: "hopeless", message };
}

/** More than it had, at any worker: as much as the mode of its category says. */
function moreOf(
  state: ManagerState,
  { taskClass }: TryRecord,
  { field, hadBytes, usedBytes }: {
    readonly field: Field;
    readonly hadBytes: number;
    readonly usedBytes: number;
  },
): Raise {
  const { category, atLeast, workerDiskBytes, workerMemoryBytes } = taskClass;
  const mode = modeOf(state, category);
  const tooLittle = Math.max(hadBytes, usedBytes);
  const seen = mode === "fixed" ? 0 : mostUsed(category, field);
  let wanted = Infinity;
  if (field === "diskBytes") wanted = tooLittle * state.policies.sandboxGrowFactor;
  else if (isBucketing(mode)) {
    const buckets = category.learning?.buckets?.[field] ?? [];
    wanted = chooseAllocation(buckets, { atLeast: tooLittle, random: state.random }) ?? Infinity;
  } else if (mode !== "max" && seen > tooLittle) {
    // What the formulas of these modes reckon with.
    wanted = seen;
  }
  const most = category.spec.max[field] ?? Infinity;
  // Few amounts, so that there are few classes.
  const rounded = wanted === Infinity || wanted === seen ? wanted : nextDisk(wanted);
  const amount = rounded >= Math.min(most, state.most[field]) ? Infinity : rounded;
  return {
    atLeast: { ...atLeast, [field]: amount } satisfies ResourceRequest,
    workerDiskBytes,
    workerMemoryBytes,
  };
}

/** All of a worker that has more than this one. */
function largerWorker({ taskClass, worker: { resources } }: TryRecord, field: Field): Raise {
  const { atLeast, workerDiskBytes, workerMemoryBytes } = taskClass;
  const { memoryBytes, diskBytes } = resources;
  return {
    atLeast: { ...atLeast, [field]: Infinity },
    workerDiskBytes: field === "diskBytes" ? nextDisk(diskBytes) : workerDiskBytes,
    workerMemoryBytes: field === "memoryBytes" ? memoryBytes + 1 : workerMemoryBytes,
  };
}

/** True when a worker that is there could run it then. */
function isPlaceable(state: ManagerState, { taskClass }: TryRecord, raise: Raise): boolean {
  const { stated, category, drawn, features } = taskClass;
  const demand = demandOf(state, { stated, atLeast: raise.atLeast, category, drawn });
  for (const kind of state.kinds.values()) {
    const { resources } = kind;
    if (resources.diskBytes < raise.workerDiskBytes) continue;
    if (resources.memoryBytes < raise.workerMemoryBytes) continue;
    if (!suits(kind, { features })) continue;
    if (allocate(demand, resources, state.policies) !== undefined) return true;
  }
  return false;
}
