/** Scenarios in which hardships and policies meet that nobody has put together, drawn by the seed. */

import { PLACEMENTS, type Policies } from "../../manager/core/policy.ts";
import { newRandom, nextRandom, nextRandomBelow, type RandomState } from "../../shared/random.ts";
import type { Scenario } from "./scenario.ts";

/** Disks that hold all, a few files, or some more than others. */
const DISKS: readonly NonNullable<Scenario["diskBytes"]>[] = [
  2 ** 40,
  36_000_000,
  45_000_000,
  [34_000_000, 80_000_000, 400_000_000],
];

const PRUNINGS = ["never", "consumed", "depth:1", "depth:2", "depth:3"] as const;

const RECOVERIES = ["on_demand", "immediate"] as const;

/** `calm` with some of everything. */
export function combinedScenario(calm: Omit<Scenario, "seed">, seed: number): Scenario {
  const random = newRandom(seed);
  const maybe = (chance: number, value: number) => nextRandom(random) < chance ? value : 0;
  const isStaged = nextRandom(random) < 0.2;
  return {
    ...calm,
    seed,
    ...(isStaged ? { graph: "stages", taskCount: 80, workerCores: 1 } : {}),
    disturbanceCount: maybe(0.6, nextRandomBelow(random, 14)),
    faultChance: maybe(0.5, 0.05 * nextRandom(random)),
    partitionChance: maybe(0.5, 0.7 * nextRandom(random)),
    wallChance: maybe(0.2, 0.3),
    hiddenChance: maybe(0.15, 0.3),
    stallChance: maybe(0.3, 0.05),
    slowChance: maybe(0.2, 0.05),
    meddleChance: maybe(0.3, 0.03),
    hangChance: maybe(0.2, 0.01),
    fullChance: maybe(0.3, 0.02),
    longChance: maybe(0.3, 0.05),
    flipChance: maybe(0.3, 0.05),
    growChance: maybe(0.3, 0.3),
    slowWorkerCount: maybe(0.2, 1),
    keeperCount: maybe(0.3, 2),
    rotChance: maybe(0.3, 0.2),
    killEachMs: maybe(0.25, 1_000),
    isNondeterministic: nextRandom(random) < 0.25,
    diskBytes: pick(random, DISKS),
    policies: { ...drawPolicies(random), ...drawLimits(random) },
    // What goes on under one limit is not to be judged by another.
    ...(nextRandom(random) < 0.4 ? { tunedTo: drawPolicies(random) } : {}),
  };
}

function drawPolicies(random: RandomState): Partial<Policies> {
  return {
    replicas: 1 + nextRandomBelow(random, 3),
    pruneTemps: pick(random, PRUNINGS),
    pruneExtraReplicas: nextRandom(random) < 0.4,
    shiftDiskLoad: nextRandom(random) < 0.5,
    recovery: pick(random, RECOVERIES),
    placement: pick(random, PLACEMENTS),
    workerEvictionIntervalMs: nextRandom(random) < 0.1 ? 4_000 : 0,
  };
}

function drawLimits(random: RandomState): Partial<Policies> {
  const isHasty = nextRandom(random) < 0.5;
  return {
    peerTransfers: nextRandom(random) < 0.85,
    transfersFromManager: 1 + nextRandomBelow(random, 4),
    transfersPerWorker: 1 + nextRandomBelow(random, 5),
    transfersPerUrl: 1 + nextRandomBelow(random, 4),
    transfersToManager: 1 + nextRandomBelow(random, 4),
    dispatchAhead: 1 + nextRandomBelow(random, 3),
    ...(isHasty ? { transferStallTimeoutMs: 2_000, minTransferTimeoutMs: 3_000 } : {}),
  };
}

/** One of them. */
export function pick<T>(random: RandomState, values: readonly T[]): T {
  const value = values[nextRandomBelow(random, values.length)];
  if (value === undefined) throw new RangeError("Cannot pick one of none");
  return value;
}
