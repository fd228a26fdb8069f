/** What a manager tells of itself: `manager.status()`, `tendril status --json`. */

import type { ManagerSummary } from "./core/summary.ts";
import type { UnplaceableTasks } from "./core/unplaceable.ts";
import type { AppRow } from "./dashboard/call_api.ts";
import type { RefusalCounts } from "./refusal.ts";

/** A snapshot of a manager. `version` grows when a field changes its meaning or goes. */
export interface ManagerStatus {
  /** Of the shape of this object. */
  readonly version: 1;
  /** Name of the manager. */
  readonly name: string;
  /** Where it is reached best. */
  readonly url: string;
  /** All addresses under which it says that it can be reached, best first. */
  readonly urls: readonly string[];
  /** Epoch milliseconds. */
  readonly startedAtMs: number;
  /** Numbers of tasks, function calls among them. */
  readonly tasks: TaskCounts;
  /** Calls of apps by state, for each app; absent where none was called. */
  readonly apps?: readonly AppRow[];
  /** Tasks that end in a second: over the last minute, or as far back as the last ten of them. */
  readonly endedPerSecond: number;
  /** Its workers. */
  readonly workers: WorkerCounts;
  /** Bytes moved so far, by route. */
  readonly bytes: ByteCounts;
  /** Declared files that it keeps track of. */
  readonly files: number;
  /** Transfers under way or waiting for their source. */
  readonly transfers: number;
  /** Copies of files that workers found damaged, and dropped. */
  readonly damaged: number;
  /** Declared libraries. */
  readonly libraries: number;
  /** Ready tasks that wait for what no worker has: a line for each kind of them, at most 10. */
  readonly unplaceable: readonly UnplaceableTasks[];
  /** What was turned away, by kind; manager/refusal.ts says what the kinds are. */
  readonly refused: RefusalCounts;
}

/** Numbers of tasks by where they stand. */
export interface TaskCounts {
  /** All so far. */
  readonly submitted: number;
  /** Waiting for an input to be made. */
  readonly waiting: number;
  /** Waiting for room. */
  readonly ready: number;
  /** Given to a worker. */
  readonly dispatched: number;
  /** Done but for outputs on their way to the manager. */
  readonly retrieving: number;
  /** Ended well. */
  readonly succeeded: number;
  /** Ended otherwise. */
  readonly failed: number;
  /** Ended by `cancel`. */
  readonly cancelled: number;
  /** Tries that began to run. */
  readonly triesStarted: number;
  /** Runs that remade lost temps. */
  readonly recoveries: number;
  /** Recoveries that wait now for an input or for room; `waiting` and `ready` count them too. */
  readonly recoveriesWaiting: number;
  /** Recoveries at workers now; `dispatched` and `retrieving` count them too. */
  readonly recoveriesRunning: number;
  /** Files made again with other contents than before, each time. */
  readonly nondeterministic: number;
}

/** Workers, their cores and their disks. */
export interface WorkerCounts {
  /** With an open connection. */
  readonly connected: number;
  /** Without one, expected back. */
  readonly away: number;
  /** Cores of those connected. */
  readonly cores: number;
  /** Of these, set aside for tasks and libraries. */
  readonly coresCommitted: number;
  /** Disk of those connected. */
  readonly diskBytes: number;
  /** Of this, in use, as they said last. */
  readonly diskUsedBytes: number;
}

/** Bytes moved, by route. */
export interface ByteCounts {
  /** Inputs, from this machine. */
  readonly managerToWorker: number;
  /** From peer to peer. */
  readonly workerToWorker: number;
  /** Outputs and fetched files. */
  readonly workerToManager: number;
  /** From urls. */
  readonly urlToWorker: number;
  /** Outputs, to urls. */
  readonly workerToUrl: number;
}

/** The status of a manager, from what its core counts. */
export function statusOf(
  manager: Pick<
    ManagerStatus,
    | "name"
    | "url"
    | "urls"
    | "startedAtMs"
    | "endedPerSecond"
    | "refused"
    | "unplaceable"
    | "apps"
  >,
  summary: ManagerSummary,
): ManagerStatus {
  const { submitted, waiting, ready, dispatched, retrieving } = summary;
  const { succeeded, failed, cancelled, triesStarted, files, libraries } = summary;
  const { recoveries, recoveriesWaiting, recoveriesRunning, nondeterministic } = summary;
  return {
    version: 1,
    ...manager,
    tasks: {
      submitted,
      waiting,
      ready,
      dispatched,
      retrieving,
      succeeded,
      failed,
      cancelled,
      triesStarted,
      recoveries,
      recoveriesWaiting,
      recoveriesRunning,
      nondeterministic,
    },
    workers: {
      connected: summary.workersConnected,
      away: summary.workersAway,
      cores: summary.coresTotal,
      coresCommitted: summary.coresCommitted,
      diskBytes: summary.diskTotalBytes,
      diskUsedBytes: summary.diskUsedBytes,
    },
    bytes: {
      managerToWorker: summary.managerToWorkerBytes,
      workerToWorker: summary.workerToWorkerBytes,
      workerToManager: summary.workerToManagerBytes,
      urlToWorker: summary.urlToWorkerBytes,
      workerToUrl: summary.workerToUrlBytes,
    },
    files,
    transfers: summary.transfersActive,
    damaged: summary.replicasDamaged,
    libraries,
  };
}
