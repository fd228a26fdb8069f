/**
 * Which GPUs and which processors each try and instance has: never a GPU for two at a time.
 *
 * Processors are given out only where tries are pinned to them. Whole cores are processors of its
 * own; what is left of fractional ones is a part of one that it shares with other parts, as long as
 * together they are no more than that one. Where parts have left too few processors free for whole
 * cores, although there are cores enough, those with the least on them are shared.
 *
 * @module
 */

import { assert } from "../../shared/assert.ts";
import type { Resources } from "../../shared/resources.ts";

/** What one try or instance has of them. */
export interface HeldDevices {
  /** As the worker's own variable names them. */
  readonly gpus: readonly string[];
  /** Processors that it may run on; none is all of them. */
  readonly cpus: readonly number[];
}

/** Nothing of its own. */
export const NO_DEVICES: HeldDevices = { gpus: [], cpus: [] };

/** What a worker has of them. */
export interface DevicePool {
  /** In the order in which they are given out. */
  readonly gpuIds: readonly string[];
  readonly takenGpus: Set<string>;
  /** `{processor: cores that are on it}`, in their order; empty when nothing is pinned. */
  readonly cpuLoads: Map<number, number>;
}

/** Sums of parts of cores are not exact. */
const LOAD_SLACK = 1e-6;

/** A pool of which nothing is taken. */
export function newDevicePool(gpuIds: readonly string[], cpus: readonly number[]): DevicePool {
  return { gpuIds, takenGpus: new Set(), cpuLoads: new Map(cpus.map((cpu) => [cpu, 0])) };
}

/** Takes what `resources` are made of. Its room is held: there is enough. */
export function takeDevices(pool: DevicePool, { cores, gpus }: Resources): HeldDevices {
  const hasPins = pool.cpuLoads.size > 0 && cores > 0;
  if (gpus === 0 && !hasPins) return NO_DEVICES;
  const ids = pool.gpuIds.filter((id) => !pool.takenGpus.has(id)).slice(0, gpus);
  assert(ids.length === gpus, `${gpus} GPUs must be free, not ${ids.length}`);
  for (const id of ids) pool.takenGpus.add(id);
  return { gpus: ids, cpus: hasPins ? takeCpus(pool.cpuLoads, cores) : [] };
}

/** Gives them back; `resources` are those that they were taken for. */
export function returnDevices(
  pool: DevicePool,
  { gpus, cpus }: HeldDevices,
  { cores }: Resources,
): void {
  for (const id of gpus) pool.takenGpus.delete(id);
  for (const [index, cpu] of cpus.entries()) {
    const load = (pool.cpuLoads.get(cpu) ?? 0) - Math.min(1, cores - index);
    pool.cpuLoads.set(cpu, load < LOAD_SLACK ? 0 : load);
  }
}

/** The last one has the part of a core, if there is one. */
function takeCpus(loads: Map<number, number>, cores: number): number[] {
  const cpus: number[] = [];
  for (let rest = cores; rest > LOAD_SLACK; rest--) {
    const more = Math.min(1, rest);
    const cpu = bestCpu(loads, cpus, more);
    // A try has at most all cores, and so no more processors than there are.
    if (cpu === undefined) break;
    cpus.push(cpu);
    loads.set(cpu, (loads.get(cpu) ?? 0) + more);
  }
  return cpus;
}

/** The fullest on which there is room for so much, or else the emptiest; none of `taken`. */
function bestCpu(
  loads: ReadonlyMap<number, number>,
  taken: readonly number[],
  more: number,
): number | undefined {
  let fullest: number | undefined;
  let emptiest: number | undefined;
  for (const [cpu, load] of loads) {
    if (taken.includes(cpu)) continue;
    const fits = load + more <= 1 + LOAD_SLACK;
    if (fits && (fullest === undefined || load > (loads.get(fullest) ?? 0))) fullest = cpu;
    if (emptiest === undefined || load < (loads.get(emptiest) ?? 0)) emptiest = cpu;
  }
  return fullest ?? emptiest;
}
