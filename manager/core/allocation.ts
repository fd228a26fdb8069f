/**
 * What one try is given of a worker: what was stated, and of the rest a share in proportion.
 *
 * Source of the rules: `vine_manager_choose_resources_for_task` of CCTools 8.0.0, from which these
 * differ in two points. A task for which nothing at all is stated gets one core with its share,
 * not the whole worker. A share is no limit while its worker has something left.
 *
 * @module
 */

import {
  amountOf,
  RESOURCE_FIELDS,
  RESOURCE_NAMES,
  type ResourceName,
  type ResourceRequest,
  type Resources,
} from "../../shared/resources.ts";

/** What a try is given. */
export interface Allocation {
  /** Of each resource. */
  readonly resources: Resources;
  /** What is counted as taken: a disk that nobody stated is shared with all that is cached there. */
  readonly held: Resources;
  /** Of these the amounts are shares, and no limits. */
  readonly shares: readonly ("memory" | "disk")[];
}

/** The policies that allocations follow. */
export interface AllocationRules {
  /** What is not stated is a share in proportion; else it is all of a worker. */
  readonly proportionalResources: boolean;
  /** Shares are rounded up so that a whole number of tasks fills a worker. */
  readonly proportionalWholeTasks: boolean;
  /** Part of the disk that shares are taken of. */
  readonly taskDiskShare: number;
}

/** What a task asks for. */
export interface Demand {
  readonly request: ResourceRequest;
  /** No share is smaller. */
  readonly least: ResourceRequest;
}

/** Of a task for which nothing is stated. */
export const DEFAULT_REQUEST: ResourceRequest = { cores: 1 };

/** What a try is given of a worker with `capacity`; undefined where that has too little. */
export function allocate(
  { request, least }: Demand,
  capacity: Resources,
  rules: AllocationRules,
): Allocation | undefined {
  if (missingAt(request, capacity) !== undefined) return undefined;
  const share = shareOf(request, capacity, rules);
  const stated = (name: ResourceName): number | undefined => {
    const field = RESOURCE_FIELDS[name];
    const amount = request[field];
    return amount === undefined ? undefined : Math.min(amount, capacity[field]);
  };
  const shared = (name: ResourceName, factor: number): number => {
    const field = RESOURCE_FIELDS[name];
    // A worker that has none gives none, and nobody looks at it.
    const amount = Math.floor(capacity[field] * share * factor);
    const atLeast = Math.max(least[field] ?? 0, 1, amount);
    return Math.min(capacity[field], atLeast);
  };
  const gpus = stated("gpus") ?? least.gpus ?? 0;
  const resources: Resources = {
    cores: stated("cores") ?? (gpus > 0 ? least.cores ?? 0 : shared("cores", 1)),
    memoryBytes: stated("memory") ?? shared("memory", 1),
    diskBytes: stated("disk") ?? shared("disk", rules.taskDiskShare),
    gpus,
    ...(request.custom === undefined ? {} : { custom: request.custom }),
  };
  const shares = (["memory", "disk"] as const).filter((name) => {
    // All of a disk cannot be kept free: what is cached there is on it as well.
    const isAllOfDisk = name === "disk" && request.diskBytes === Infinity;
    return stated(name) === undefined || isAllOfDisk;
  });
  if (missingAt(resources, capacity) !== undefined) return undefined;
  const isDiskHeld = stated("disk") !== undefined && request.diskBytes !== Infinity;
  return { resources, held: isDiskHeld ? resources : { ...resources, diskBytes: 0 }, shares };
}

/** The first resource of which a worker with `capacity` has too little, whoever holds it now. */
export function missingAt(request: ResourceRequest, capacity: Resources): string | undefined {
  for (const name of RESOURCE_NAMES) {
    const field = RESOURCE_FIELDS[name];
    const amount = request[field] ?? 0;
    if (amount !== Infinity && amount > capacity[field]) return name;
  }
  for (const [name, amount] of Object.entries(request.custom ?? {})) {
    if (amount > amountOf(capacity, name)) return name;
  }
  return undefined;
}

/** The largest part that is stated of any resource of the worker, of which the others get as much. */
function shareOf(request: ResourceRequest, capacity: Resources, rules: AllocationRules): number {
  if (!rules.proportionalResources) return 1;
  let share = 0;
  for (const name of RESOURCE_NAMES) {
    const field = RESOURCE_FIELDS[name];
    const amount = request[field] ?? 0;
    if (amount === Infinity) return 1;
    if (capacity[field] > 0) share = Math.max(share, amount / capacity[field]);
  }
  // Of what is stated exactly, more than that would be wasted.
  const isExact = request.memoryBytes !== undefined || request.diskBytes !== undefined;
  const isWhole = rules.proportionalWholeTasks && !isExact && share > 0;
  return isWhole ? 1 / Math.floor(1 / share + 1e-9) : share;
}
