/** What a simulated run is made of, and what is known of it at its end. */

import type { CategoryChange } from "../../manager/core/event.ts";
import type { Fact } from "../../manager/core/fact.ts";
import type { Policies } from "../../manager/core/policy.ts";
import type { ManagerState } from "../../manager/core/state.ts";
import type { TaskId } from "../../shared/ids.ts";
import type { ResourceRequest } from "../../shared/resources.ts";
import type { Outcome } from "../../shared/task.ts";
import type { KeptFiles } from "./kept.ts";

/** What to simulate. Chances are from 0 to 1. */
export interface Scenario {
  readonly seed: number;
  /** Default a random graph over files of all kinds. */
  readonly graph?: "stages" | "skewed" | "turns" | "libraries";
  /** Tasks of the graph "turns" have priorities. */
  readonly isRanked?: boolean;
  /** Chance that no instance of a library can be started on a host, while there are faults. */
  readonly badHostChance?: number;
  /** How long instances of each library take to start at most; 20 ms unless stated. */
  readonly startMs?: number;
  /** Of tasks of the graph "skewed". */
  readonly request?: ResourceRequest;
  /** What is said of categories at the start. */
  readonly categories?: readonly CategoryChange[];
  /** Tasks are of several categories, some state no cores, and their memory is limited. */
  readonly hasCategories?: boolean;
  /** Users have temps kept, and read what was kept by its contents; kept.ts. */
  readonly keepsFiles?: boolean;
  /** Of each worker; 16 GiB unless stated. */
  readonly memoryBytes?: number;
  /**
   * What is recorded of the run is compared with what happened; recorded.ts. Who records it is not
   * told of the facts that are named.
   */
  readonly records?: { readonly unheard?: Fact["kind"] };
  /** Invariants are checked after each event, or after so many. */
  readonly checkEach?: number;
  readonly taskCount: number;
  readonly workerCount: number;
  /** Disturbances of connections and processes, each at a random instant. */
  readonly disturbanceCount: number;
  /** Chance that a transfer, an instance or a call fails by itself, while there are faults. */
  readonly faultChance: number;
  /** Chance that a try ends by its own failure. */
  readonly failChance: number;
  /** Tasks that the user cancels. */
  readonly cancelCount: number;
  /** Chance that a try writes to one of its inputs, while there are faults. */
  readonly meddleChance?: number;
  /** Chance that a try never ends by itself and is stopped by its timeout, while there are faults. */
  readonly hangChance?: number;
  /** Chance that a try or a transfer finds the disk full, while there are faults. */
  readonly fullChance?: number;
  /** Chance that a try runs for seconds: others that wait behind it are recalled. */
  readonly longChance?: number;
  /** Chance that a host cannot reach another one for a while, in one direction, amid faults. */
  readonly partitionChance?: number;
  /** Chance that a host never reaches another one, in one direction. */
  readonly wallChance?: number;
  /** Chance that a transfer stands still until its worker gives it up, while there are faults. */
  readonly stallChance?: number;
  /** Chance that a transfer takes minutes, while there are faults. */
  readonly slowChance?: number;
  /** Chance that the files of a host are reached by nobody, ever. */
  readonly hiddenChance?: number;
  /** Tasks make other bytes in each of their tries. */
  readonly isNondeterministic?: boolean;
  /** Chance that a file is damaged on its way to a worker, while there are faults. */
  readonly flipChance?: number;
  /** Workers that keep copies and are too small for any task. */
  readonly keeperCount?: number;
  /** Chance that a copy at a keeper is damaged on its disk as it is read, while there are faults. */
  readonly rotChance?: number;
  /** A worker is killed in each such time and another one started, while there are faults. */
  readonly killEachMs?: number;
  /** Cores of each worker; 2 to 4 unless stated. */
  readonly workerCores?: number;
  /** Tasks have rules for their repetition, users answer late or never, and call a part off. */
  readonly isControlled?: boolean;
  /** Further tries after a task's own failure; 100 unless tasks fail in the scenario. */
  readonly retries?: number;
  /** Hosts that workers share; each has its own unless stated. */
  readonly hostCount?: number;
  /** Workers differ in features and licenses, and some tasks want these; some have to end in time. */
  readonly isVaried?: boolean;
  /** What is said of categories in the middle of the run. */
  readonly redeclared?: readonly CategoryChange[];
  /** Workers whose connection takes a second each way. */
  readonly slowWorkerCount?: number;
  readonly policies?: Partial<Policies>;
  /** Policies that are put in force while the workflow runs; users prune and replicate files too. */
  readonly tunedTo?: Partial<Policies>;
  /** Of each worker, or of one after the other; much unless stated. */
  readonly diskBytes?: number | readonly number[];
  /** Each process of a worker ends after so long, as its allocation does; 0 is never. */
  readonly wallMs?: number;
  /** Times that a host is blocked for a while, drained, or unblocked, amid faults. */
  readonly hostChangeCount?: number;
  /** Chance that inputs of a task which are temps are strict. */
  readonly strictChance?: number;
  /** Chance that a task has a startAfter and a minTime. */
  readonly timedChance?: number;
  /** Chance that a try writes up to 20 MB into its sandbox that it has not reserved. */
  readonly growChance?: number;
}

/** Chances that are a scenario's, while there are faults. */
export type Chance =
  | "hangChance"
  | "fullChance"
  | "meddleChance"
  | "flipChance"
  | "rotChance"
  | "growChance"
  | "stallChance"
  | "slowChance";

/** What tries were given and used, of those whose memory is known. */
export interface UseSums {
  /** Tries that had too little. */
  repeatedCount: number;
  /** Memory that tries were given, by how long they ran. */
  allocatedByteMs: number;
  /** Peaks of those that succeeded, likewise. */
  usedByteMs: number;
}

/** How the run went. */
export interface Outcomes {
  readonly outcomes: Map<TaskId, Outcome>;
  readonly messages: Map<TaskId, string>;
  readonly state: ManagerState;
  /** Every event of the manager in order, as text. */
  readonly story: readonly string[];
  readonly delivered: number;
  /** Files that were sent to the manager by a PUT. */
  readonly sent: number;
  /** Files that were stored at urls. */
  readonly stored: number;
  /** How often urls were asked for what no task makes. */
  readonly urlFetches: number;
  /** What workers with full disks did: asked what may go, gave tries back, refused transfers. */
  readonly room: {
    readonly asked: number;
    readonly givenBack: number;
    readonly refused: number;
    /** Tries that had grown too large for the disk. */
    readonly stopped: number;
  };
  /** `{task: when it was returned}`. */
  readonly endedAt: ReadonlyMap<TaskId, number>;
  /** Starts of instances, and those that were told to retire, as workers saw them. */
  readonly instances: { readonly started: number; readonly retired: number };
  /** When the last task was returned. */
  readonly endedAtMs: number;
  readonly use: UseSums;
  /** Temps that were moved to an emptier disk, by how often; `back` counts those that came back. */
  readonly shifts: { readonly begun: number; readonly back: number };
  /** Wishes to keep files that came true or were refused; tasks that read one, or found none. */
  readonly kept: KeptFiles["counts"];
  /** `{first reason of an explanation: how often tasks had it at the instants looked at}`. */
  readonly explained: ReadonlyMap<string, number>;
}
