/** The state that a manager begins with. */

import { newHeap } from "../../shared/heap.ts";
import { newRandom } from "../../shared/random.ts";
import { NO_RESOURCES } from "../../shared/resources.ts";
import { newCallingOff } from "./cancel.ts";
import { newCapacityIndex } from "./capacity_index.ts";
import { newRoomSums } from "./hunger.ts";
import type { Policies } from "./policy.ts";
import { newCounters } from "./counters.ts";
import { type ManagerState, newSource } from "./state.ts";
import { newUnplaceable } from "./unplaceable.ts";
import type { Upkeep } from "./upkeep.ts";

/** What a manager starts with. */
export interface ManagerOptions {
  readonly managerId: string;
  readonly epoch: number;
  readonly seed: number;
  readonly policies: Policies;
}

/** The state of a manager that has seen no event. */
export function newManagerState(options: ManagerOptions): ManagerState {
  return {
    managerId: options.managerId,
    epoch: options.epoch,
    policies: options.policies,
    random: newRandom(options.seed),
    nowMs: 0,
    tasks: new Map(),
    files: new Map(),
    filesByName: new Map(),
    unclaimed: new Map(),
    workers: new Map(),
    index: newCapacityIndex(),
    room: newRoomSums(),
    disks: newCapacityIndex(),
    categories: new Map(),
    classes: new Map(),
    classByTemplate: new WeakMap(),
    unlearnt: new Set(),
    kinds: new Map(),
    kindsChange: 0,
    most: NO_RESOURCES,
    unplaceable: newUnplaceable(),
    reservations: new Map(),
    busyClasses: new Set(),
    changedWorkers: new Set(),
    recallable: new Set(),
    strictFiles: new Map(),
    resized: new Set(),
    hosts: new Map(),
    ending: new Set(),
    departureLookAtMs: 0,
    outOfTime: new Set(),
    shortOfTime: new Set(),
    libraries: new Map(),
    hosting: new Set(),
    spareServices: new Set(),
    shortLibraries: new Set(),
    claims: new Map(),
    transfers: new Map(),
    managerSource: newSource("manager"),
    urlSources: new Map(),
    reachTroubleUntilMs: 0,
    unservingCount: 0,
    transferRates: newRates(),
    stranded: new Map(),
    spooled: new Map(),
    spooledBytes: 0,
    lost: new Set(),
    keeps: new Map(),
    keptWaits: { untilMs: new Map(), idle: new Set() },
    upkeep: newUpkeep(),
    calledOff: newCallingOff(),
    deliveries: new Map(),
    deliveryQueue: new Set(),
    collectingCount: 0,
    deadlines: newHeap((a, b) => a.atMs < b.atMs),
    deadlinesMax: 0,
    joinedCount: 0,
    isEvictionPlanned: false,
    isClosed: false,
    lastId: 0,
    lastTaskId: 0,
    counters: newCounters(),
    outbox: new Map(),
    instructions: [],
    fetches: [],
    facts: [],
  };
}

function newRates(): ManagerState["transferRates"] {
  const none = () => ({ bytes: 0, ms: 0 });
  return { manager: none(), url: none(), worker: none() };
}

function newUpkeep(): Upkeep {
  return {
    reviews: new Map(),
    rest: undefined,
    scarce: [],
    receivers: new Set(),
    shifts: new Map(),
    fuller: new Set(),
  };
}
