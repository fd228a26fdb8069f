/** The tunable rules of the manager; DESIGN section 9. Ranges are checked in config.ts. */

import type { CategoryMode } from "./category.ts";

/** Rules for the choice of a worker; placement.ts. */
export const PLACEMENTS: readonly Placement[] = ["files", "fast", "random", "spread", "disk"];

/** How a worker is chosen for a task. */
export type Placement = "files" | "fast" | "random" | "spread" | "disk";

/** Values of every policy that the manager honours. */
export interface Policies {
  /** Wanted copies of each temp. */
  readonly replicas: number;
  /**
   * When a temp is removed: when all its consumers have succeeded and its user has let go of it,
   * or when that many levels of consumers have succeeded.
   */
  readonly pruneTemps: "never" | "consumed" | `depth:${number}`;
  /** Remove copies of temps above the wanted number while nothing needs them. */
  readonly pruneExtraReplicas: boolean;
  /** Move temps from workers whose disks are fuller than those of others. */
  readonly shiftDiskLoad: boolean;
  /** Workers fetch from workers. */
  readonly peerTransfers: boolean;
  /** Workers see the files of the manager's machine under the same paths. */
  readonly sharedFileSystem: boolean;
  /** Transfers out of one worker at a time. */
  readonly transfersPerWorker: number;
  /** Workers fetching from one url host at a time. */
  readonly transfersPerUrl: number;
  /** Transfers out of the manager at a time. */
  readonly transfersFromManager: number;
  /** Transfers into the manager at a time. */
  readonly transfersToManager: number;
  /** When a lost temp is made again: when something waits for it, at once, or never. */
  readonly recovery: "on_demand" | "immediate" | "off";
  /**
   * `files`: where most input bytes are; `spread`: where most cores are free; `disk`: where most
   * disk is free; `fast`: where tries ran shortest beside others alike; `random`: anywhere.
   */
  readonly placement: Placement;
  /** Silence after which a transfer is given up, for another source if there is one. */
  readonly transferStallTimeoutMs: number;
  /** A transfer may take this many times as long as one of its size does at the mean rate. */
  readonly transferOutlierFactor: number;
  /** No transfer is too slow before that. */
  readonly minTransferTimeoutMs: number;
  /** Bytes per second: what counts as the mean rate before there is one. */
  readonly defaultTransferRate: number;
  /** What is dispatched to a worker at most, as a multiple of what it can run. */
  readonly dispatchAhead: number;
  /** Work of this duration may wait at a worker, though it be more than `dispatchAhead` allows. */
  readonly dispatchAheadMs: number;
  /** Nothing is dispatched until so many workers have joined. */
  readonly waitForWorkers: number;
  /** Workers above this many are refused; 0 is no limit. */
  readonly maxWorkers: number;
  /** A worker is sent away at random once in this time, to see a workflow live with it; 0 is never. */
  readonly workerEvictionIntervalMs: number;
  /** Silence after which a worker is lost. */
  readonly workerTimeoutMs: number;
  /** Time that a worker has to come back after its connection closed. */
  readonly reconnectGraceMs: number;
  /** Runs of one task to remake its lost temps. */
  readonly recoveryTries: number;
  /** What a task does not state is a share of its worker in proportion to what it does; else all. */
  readonly proportionalResources: boolean;
  /** Such shares are rounded up so that a whole number of tasks fills a worker. */
  readonly proportionalWholeTasks: boolean;
  /** Part of a worker's disk that such shares are taken of. */
  readonly taskDiskShare: number;
  /** Failures in a row that are a host's doing, after which it is blocked; 0 is never. */
  readonly hostFailures: number;
  /** How long it is blocked the first time. */
  readonly hostBlockTimeMs: number;
  /** A try that runs for longer than this times the mean of its class goes elsewhere; 0 is never. */
  readonly slowWorkerFactor: number;
  /** How long the host of a worker is blocked that is sent away as it is too slow. */
  readonly slowHostTimeoutMs: number;
  /** Tasks that are joined by temps go to one worker together; group.ts. */
  readonly taskGroups: boolean;
  /** How tries are sized of categories of which nothing else is said. */
  readonly categoryMode: CategoryMode;
  /** Successes of a category after which its first allocations follow from them anew. */
  readonly categorySteadyTasks: number;
  /** How many times as much disk the next try has of one that outgrew what nobody stated. */
  readonly sandboxGrowFactor: number;
  /**
   * With more workers than ready tasks a try of a category that learns is given all of a worker
   * that has nothing else to do.
   */
  readonly rampDown: boolean;
  /** Tasks that are to wait, at least, for `hungry` to be 0. */
  readonly hungryMinimum: number;
  /** As many times what the workers can run is wanted in all. */
  readonly hungryFactor: number;
  /** Time that a user's function has to say whether a try is repeated. */
  readonly retryTimeoutMs: number;
  /** Failed starts in a row after which a library is given up. */
  readonly libraryRetries: number;
  /** An instance that nothing has called for so long ends, unless it is to be kept; 0 is never. */
  readonly libraryIdleTimeoutMs: number;
  /** Busy instances serve for so long, at least, before they make way for what they keep out. */
  readonly libraryTurnMs: number;
}

/** The values that hold unless a user says otherwise. */
export const DEFAULT_POLICIES: Policies = {
  replicas: 1,
  pruneTemps: "never",
  pruneExtraReplicas: false,
  shiftDiskLoad: false,
  peerTransfers: true,
  sharedFileSystem: false,
  transfersPerWorker: 10,
  transfersPerUrl: 4,
  transfersFromManager: 4,
  transfersToManager: 4,
  transferStallTimeoutMs: 30_000,
  transferOutlierFactor: 10,
  minTransferTimeoutMs: 60_000,
  defaultTransferRate: 1_000_000,
  recovery: "on_demand",
  placement: "files",
  dispatchAhead: 2,
  dispatchAheadMs: 20,
  waitForWorkers: 0,
  maxWorkers: 0,
  workerEvictionIntervalMs: 0,
  workerTimeoutMs: 30_000,
  reconnectGraceMs: 3_000,
  recoveryTries: 5,
  proportionalResources: true,
  proportionalWholeTasks: false,
  taskDiskShare: 0.75,
  hostFailures: 5,
  hostBlockTimeMs: 60_000,
  slowWorkerFactor: 0,
  slowHostTimeoutMs: 900_000,
  taskGroups: false,
  categoryMode: "fixed",
  categorySteadyTasks: 25,
  sandboxGrowFactor: 2,
  rampDown: false,
  hungryMinimum: 10,
  hungryFactor: 2,
  retryTimeoutMs: 60_000,
  libraryRetries: 3,
  libraryIdleTimeoutMs: 300_000,
  libraryTurnMs: 2_000,
};
