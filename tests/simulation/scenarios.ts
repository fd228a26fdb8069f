/**
 * The scenarios that are simulated over many seeds: by tests over a few of them, by
 * `scripts/simulate` over as many as it is told.
 *
 * @module
 */

import { CATEGORY_MODES } from "../../manager/core/category.ts";
import { PLACEMENTS } from "../../manager/core/policy.ts";
import { combinedScenario } from "./combined.ts";
import { governedScenario } from "./governed.ts";
import { librariesScenario } from "./libraries.ts";
import type { Outcomes, Scenario } from "./scenario.ts";
import { simulate } from "./simulator.ts";
import { TURNS_CORES } from "./turns.ts";

/** A scenario for every seed. */
export interface NamedScenario {
  readonly name: string;
  /** What holds in every run of it. */
  readonly claim: string;
  /** Seeds that the tests run. */
  readonly tested: { readonly first: number; readonly last: number };
  /** Tasks may fail, and are cancelled: all of them settle, but not all as a success. */
  readonly mayFail?: boolean;
  readonly of: (seed: number) => Scenario;
}

/** A workflow to which nothing happens. */
export const CALM: Omit<Scenario, "seed"> = {
  taskCount: 60,
  workerCount: 4,
  disturbanceCount: 0,
  faultChance: 0,
  failChance: 0,
  cancelCount: 0,
};

/** What a cluster does to a workflow besides breaking connections. */
const HARDSHIP: Partial<Scenario> = {
  meddleChance: 0.03,
  hangChance: 0.01,
  fullChance: 0.01,
  longChance: 0.05,
  partitionChance: 0.2,
};

const PRUNINGS = ["never", "consumed", "depth:1", "depth:2", "depth:3"] as const;

const RECOVERIES = ["on_demand", "immediate"] as const;

/** All of them. */
export const SCENARIOS: readonly NamedScenario[] = [
  {
    name: "disturbed",
    claim: "loses no task though workers break and come back",
    tested: { first: 1, last: 80 },
    of: (seed) => ({
      ...CALM,
      disturbanceCount: 4 + seed % 12,
      faultChance: 0.02 * (seed % 4),
      ...(seed % 2 === 0 ? { ...HARDSHIP, slowWorkerCount: seed % 3 } : {}),
      ...(seed % 5 === 0 ? { policies: { recovery: "immediate" } } : {}),
      seed,
    }),
  },
  {
    // Walls between hosts that stay: temps go by way of the manager, and no try is lost to that.
    name: "walled",
    claim: "brings every file to who needs it though peers are walled off",
    tested: { first: 501, last: 560 },
    of: (seed) => ({
      ...CALM,
      seed,
      retries: 0,
      wallChance: [0.3, 0.7, 1][seed % 3]!,
      hiddenChance: seed % 2 === 0 ? 0.4 : 0,
      partitionChance: seed % 5 === 0 ? 0.5 : 0,
      disturbanceCount: seed % 4 === 0 ? 6 : 0,
      ...(seed % 7 === 0 ? { policies: { peerTransfers: false } } : {}),
    }),
  },
  {
    // Peers that stand still, crawl, or cannot be reached for a while: others are asked.
    name: "stalling",
    claim: "gets files from elsewhere when sources stall and hosts are parted",
    tested: { first: 6001, last: 6060 },
    of: (seed) => ({
      ...CALM,
      seed,
      retries: 0,
      partitionChance: [0.2, 0.5, 0.8][seed % 3]!,
      stallChance: seed % 2 === 0 ? 0.05 : 0,
      slowChance: seed % 5 === 0 ? 0.05 : 0,
      faultChance: seed % 4 === 0 ? 0.03 : 0,
      disturbanceCount: seed % 6 === 0 ? 4 : 0,
      diskBytes: seed % 7 === 0 ? 45_000_000 : 2 ** 40,
      policies: {
        transfersFromManager: 1 + seed % 4,
        transfersPerWorker: 1 + seed % 3,
        transferStallTimeoutMs: 2_000,
        minTransferTimeoutMs: 3_000,
        replicas: 1 + seed % 2,
      },
      ...(seed % 3 === 0 ? { tunedTo: { peerTransfers: seed % 2 === 0 } } : {}),
    }),
  },
  {
    // Disks that hold a few files: what is idle goes, and what has no room waits.
    name: "small_disks",
    claim: "gets through on disks that hold a part of the files",
    tested: { first: 701, last: 760 },
    of: (seed) => ({
      ...CALM,
      seed,
      diskBytes: [31_000_000, 33_000_000, 38_000_000][seed % 3]!,
      disturbanceCount: seed % 2 === 0 ? 6 : 0,
      faultChance: seed % 4 === 0 ? 0.03 : 0,
    }),
  },
  {
    // What tasks write unasked fills disks of several sizes; who grew too large goes elsewhere.
    name: "growing",
    claim: "gets through though tries outgrow small disks",
    tested: { first: 5001, last: 5060 },
    of: (seed) => ({
      ...CALM,
      ...(seed % 3 === 0 ? HARDSHIP : {}),
      seed,
      growChance: 0.3,
      diskBytes: seed % 2 === 0 ? 36_000_000 : [31_000_000, 34_000_000, 90_000_000],
      disturbanceCount: seed % 4 === 0 ? 6 : 0,
      faultChance: seed % 5 === 0 ? 0.03 : 0,
      policies: {
        placement: PLACEMENTS[seed % PLACEMENTS.length]!,
        pruneTemps: seed % 7 === 0 ? "consumed" : "never",
        shiftDiskLoad: seed % 2 === 1,
      },
    }),
  },
  {
    // Temps move from small disks to large ones while workers break and copies are made.
    name: "shifting",
    claim: "loses nothing by moving temps to emptier disks",
    tested: { first: 5201, last: 5240 },
    of: (seed) => ({
      ...CALM,
      ...(seed % 2 === 0 ? HARDSHIP : {}),
      seed,
      diskBytes: [40_000_000, 400_000_000, 80_000_000],
      disturbanceCount: seed % 9,
      faultChance: 0.02 * (seed % 3),
      policies: { shiftDiskLoad: true, replicas: 1 + seed % 2, pruneExtraReplicas: seed % 4 === 0 },
      ...(seed % 5 === 0 ? { tunedTo: { shiftDiskLoad: false } } : {}),
    }),
  },
  {
    name: "failing",
    claim: "settles every task once though tasks fail and are cancelled",
    tested: { first: 1001, last: 1080 },
    mayFail: true,
    of: (seed) => ({
      ...CALM,
      ...(seed % 3 === 0 ? HARDSHIP : {}),
      seed,
      disturbanceCount: seed % 10,
      faultChance: 0.03,
      failChance: 0.05,
      cancelCount: 5,
      policies: {
        recoveryTries: 3,
        dispatchAheadMs: 0,
        dispatchAhead: 1 + seed % 3,
        recovery: RECOVERIES[seed % 2]!,
      },
    }),
  },
  {
    // Temps are kept and given up; later tasks read what was kept, wherever it is by then.
    name: "kept",
    claim: "lets later tasks read what was kept, or tells them that it is gone",
    tested: { first: 8301, last: 8312 },
    of: (seed) => ({
      ...CALM,
      ...(seed % 3 === 0 ? HARDSHIP : {}),
      seed,
      keepsFiles: true,
      disturbanceCount: seed % 10,
      faultChance: 0.02 * (seed % 3),
      wallChance: seed % 5 === 0 ? 0.3 : 0,
      flipChance: seed % 4 === 0 ? 0.05 : 0,
      diskBytes: seed % 7 === 0 ? 40_000_000 : 2 ** 40,
      ...(seed % 6 === 0 ? { killEachMs: 2_000 } : {}),
      policies: {
        replicas: 1 + seed % 2,
        pruneTemps: PRUNINGS[seed % 5]!,
        recovery: RECOVERIES[seed % 2]!,
      },
    }),
  },
  {
    // Users are asked what tries cost, and answer late or never; tasks pause; a part is called off.
    name: "controlled",
    claim: "settles every task once though users decide late and call many off",
    tested: { first: 8001, last: 8040 },
    mayFail: true,
    of: (seed) => ({
      ...CALM,
      ...(seed % 3 === 0 ? HARDSHIP : {}),
      seed,
      isControlled: true,
      retries: 3,
      disturbanceCount: seed % 10,
      faultChance: 0.02 * (seed % 3),
      failChance: 0.15,
      cancelCount: seed % 4,
      policies: { retryTimeoutMs: 2_000, recoveryTries: 3, recovery: RECOVERIES[seed % 2]! },
    }),
  },
  {
    // Copies of temps are made, go again and are lost, while everything else goes wrong.
    name: "copies",
    claim: "keeps as many copies of temps as are wanted, and no more",
    tested: { first: 2001, last: 2080 },
    of: (seed) => ({
      ...CALM,
      ...(seed % 2 === 0 ? HARDSHIP : {}),
      ...(seed % 3 === 0 ? { wallChance: 0.3 } : {}),
      seed,
      disturbanceCount: seed % 12,
      faultChance: 0.02 * (seed % 4),
      policies: {
        replicas: 1 + seed % 3,
        pruneTemps: PRUNINGS[seed % 5]!,
        pruneExtraReplicas: seed % 4 === 0,
        transfersPerWorker: seed % 7 === 0 ? 1 : 4,
      },
      tunedTo: seed % 6 === 0
        ? { replicas: 3, pruneTemps: "never" }
        : seed % 6 === 1
        ? { recovery: "immediate" }
        : { replicas: 1 + seed % 2, pruneTemps: "consumed", pruneExtraReplicas: true },
    }),
  },
  {
    // The workers of a graph of four stages are killed one after the other, once a second.
    name: "stages",
    claim: "ends a graph of four stages though a worker is killed every second",
    tested: { first: 3001, last: 3008 },
    of: (seed) => ({
      ...CALM,
      graph: "stages",
      taskCount: 200,
      seed,
      workerCores: 1,
      killEachMs: 1_000,
      partitionChance: 0.1 * (seed % 5),
      faultChance: 0.01 * (seed % 3),
      policies: { replicas: 1 + seed % 2, recovery: RECOVERIES[seed % 3 === 0 ? 1 : 0]! },
    }),
  },
  {
    // Each run of a task makes other bytes, copies are damaged on disks and on the way.
    name: "nondeterministic",
    claim: "lets nobody read bytes of two makings, or damaged ones",
    tested: { first: 4001, last: 4016 },
    of: (seed) => ({
      ...CALM,
      ...(seed % 2 === 0 ? { graph: "stages", taskCount: 80, workerCores: 1 } : {}),
      ...(seed % 5 === 0 ? HARDSHIP : {}),
      seed,
      isNondeterministic: true,
      killEachMs: 500 + 250 * (seed % 4),
      partitionChance: 0.1 * (seed % 4),
      flipChance: 0.05,
      keeperCount: 1 + seed % 3,
      rotChance: 0.2,
      disturbanceCount: seed % 2 === 0 ? 0 : seed % 9,
      policies: { replicas: 1 + seed % 3, recovery: RECOVERIES[seed % 3 === 0 ? 1 : 0]! },
    }),
  },
  {
    // Chains go to workers together; workers have to end, and are slow; hosts are blocked and drained.
    name: "places",
    claim: "ends a workflow though workers end, hosts are blocked and chains travel together",
    tested: { first: 8001, last: 8040 },
    // A strict input may be at the manager alone after a loss.
    mayFail: true,
    of: (seed) => ({
      ...CALM,
      ...(seed % 3 === 0 ? HARDSHIP : {}),
      seed,
      disturbanceCount: seed % 8,
      faultChance: 0.02 * (seed % 3),
      wallMs: seed % 4 === 0 ? 0 : 4_000,
      hostChangeCount: seed % 6,
      strictChance: 0.3,
      timedChance: seed % 2 === 0 ? 0.3 : 0,
      policies: {
        taskGroups: seed % 5 !== 0,
        slowWorkerFactor: seed % 2 === 0 ? 2 : 0,
        hostFailures: 2,
        hostBlockTimeMs: 2_000,
        slowHostTimeoutMs: 3_000,
        replicas: 1 + seed % 2,
        dispatchAhead: 1 + seed % 3,
      },
    }),
  },
  {
    // One worker after the other is killed while chains are there.
    name: "chains",
    claim: "ends stages that go to workers together though those are killed",
    tested: { first: 8101, last: 8108 },
    of: (seed) => ({
      ...CALM,
      graph: "stages",
      taskCount: 120,
      seed,
      workerCores: 1,
      killEachMs: 1_000,
      wallMs: seed % 2 === 0 ? 5_000 : 0,
      policies: { taskGroups: true, recovery: RECOVERIES[seed % 2]! },
    }),
  },
  {
    // Sizes are learnt, and found too small, while workers break; some categories may do little.
    name: "categories",
    claim: "sizes tasks as their categories say, and repeats those that had too little",
    tested: { first: 8201, last: 8240 },
    of: (seed) => ({
      ...CALM,
      seed,
      hasCategories: true,
      disturbanceCount: seed % 3 === 0 ? 8 : 0,
      faultChance: 0.02 * (seed % 3),
      memoryBytes: 10e9,
      categories: [
        { name: "a", mode: CATEGORY_MODES[seed % CATEGORY_MODES.length]! },
        { name: "b", first: { memoryBytes: 800e6 }, maxConcurrent: 1 + seed % 3 },
        { name: "c", mode: CATEGORY_MODES[(seed >> 1) % CATEGORY_MODES.length]! },
      ],
      policies: {
        categorySteadyTasks: 3,
        categoryMode: seed % 4 === 0 ? "min_waste" : "fixed",
        dispatchAhead: 1 + seed % 2,
        rampDown: seed % 5 === 0,
        proportionalWholeTasks: seed % 7 === 0,
      },
      ...(seed % 6 === 0 ? { tunedTo: { categoryMode: "greedy_bucketing" } } : {}),
    }),
  },
  {
    // Only one instance of two libraries fits a worker, and tasks need all of one as well.
    name: "turns",
    claim: "has libraries and tasks take turns where there is room for one of them",
    tested: { first: 9001, last: 9040 },
    of: (seed) => ({
      ...CALM,
      graph: "turns",
      seed,
      taskCount: 120,
      workerCores: TURNS_CORES,
      workerCount: 1 + seed % 3,
      isRanked: seed % 3 === 0,
      startMs: [20, 20, 900][seed % 3]!,
      badHostChance: seed % 4 === 0 ? 0.3 : 0,
      longChance: seed % 5 === 0 ? 0.05 : 0,
      killEachMs: seed % 7 === 0 ? 2_500 : 0,
      disturbanceCount: seed % 2 === 0 ? seed % 9 : 0,
      faultChance: 0.02 * (seed % 4),
      wallMs: seed % 11 === 0 ? 9_000 : 0,
      policies: {
        libraryTurnMs: [100, 500, 2_000][seed % 3]!,
        libraryIdleTimeoutMs: [0, 300, 2_000][(seed >> 1) % 3]!,
        dispatchAhead: 1 + seed % 2,
        dispatchAheadMs: 0,
        replicas: 1 + seed % 2,
        recovery: RECOVERIES[seed % 3 === 0 ? 1 : 0]!,
        // Some hosts start nothing as long as there are faults.
        libraryRetries: 100_000,
      },
      ...(seed % 6 === 0 ? { tunedTo: { libraryIdleTimeoutMs: 100, libraryTurnMs: 50 } } : {}),
    }),
  },
  {
    // Several libraries of all kinds and sizes, and whatever calls can state.
    name: "libraries",
    claim: "settles every call once whatever calls state and whatever becomes of instances",
    tested: { first: 9101, last: 9108 },
    mayFail: true,
    of: (seed) => librariesScenario(CALM, seed),
  },
  {
    name: "combined",
    claim: "ends a workflow whatever hardships and policies meet",
    tested: { first: 7001, last: 7040 },
    of: (seed) => combinedScenario(CALM, seed),
  },
  {
    name: "governed",
    claim: "settles every task once whatever rules for tasks meet",
    tested: { first: 1, last: 40 },
    mayFail: true,
    of: (seed) => governedScenario(CALM, seed),
  },
];

/** The same scenario, of which is compared what is recorded. */
export function recorded(scenario: NamedScenario): NamedScenario {
  return { ...scenario, of: (seed) => ({ ...scenario.of(seed), records: {} }) };
}

/** Runs one seed of a scenario; throws when something that it claims does not hold. */
export function simulateNamed({ of, mayFail = false }: NamedScenario, seed: number): Outcomes {
  const scenario = of(seed);
  const run = simulate(scenario);
  const { outcomes, messages, state } = run;
  if (outcomes.size !== scenario.taskCount) {
    throw new Error(`${outcomes.size} of ${scenario.taskCount} tasks were returned`);
  }
  const failed = [...outcomes].find(([, outcome]) => outcome !== "success");
  if (failed !== undefined && !mayFail) {
    const [taskId, outcome] = failed;
    throw new Error(`Task ${taskId} ended as ${outcome}: ${messages.get(taskId)}`);
  }
  if (state.tasks.size > 0) throw new Error(`${state.tasks.size} tasks are left at the end`);
  return run;
}
