/** What a try is given when there are more workers than tasks to give them. */

import { allocate, type Allocation } from "./allocation.ts";
import { modeOf } from "./category.ts";
import type { ManagerState, TaskClass, WorkerRecord } from "./state.ts";
import { allocationAt } from "./task_class.ts";

/**
 * What a try of the class is given at the worker: with the policy `rampDown`, all of one that has
 * nothing else to do, when fewer tasks are ready than there are workers and its category learns.
 * Nobody else wants the room, and it will not be too little.
 *
 * Source: `ramp-down-heuristic` of TaskVine.
 */
export function allocationFor(
  state: ManagerState,
  taskClass: TaskClass,
  worker: WorkerRecord,
): Allocation | undefined {
  const { policies, counters, index } = state;
  const allocation = allocationAt(state, taskClass, worker);
  const isWanted = policies.rampDown && worker.tries.size === 0 && worker.instances.size === 0 &&
    counters.ready <= index.count && modeOf(state, taskClass.category) !== "fixed";
  if (!isWanted || allocation === undefined) return allocation;
  const { stated, demand: { least }, category: { spec: { max } } } = taskClass;
  const all = { cores: Infinity, memoryBytes: Infinity, diskBytes: Infinity };
  return allocate({ request: { ...all, ...max, ...stated }, least }, worker.resources, policies) ??
    allocation;
}
