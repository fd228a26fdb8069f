/** What the manager holds, in numbers that are kept as things happen. */

import { addResources, NO_RESOURCES } from "../../shared/resources.ts";
import type { Counters } from "./counters.ts";
import type { ManagerState } from "./state.ts";

/** A snapshot for people and programs; costs nothing per task. */
export interface ManagerSummary extends Counters {
  readonly workersConnected: number;
  readonly workersAway: number;
  readonly coresTotal: number;
  readonly coresCommitted: number;
  readonly memoryTotalBytes: number;
  readonly memoryCommittedBytes: number;
  readonly gpusTotal: number;
  readonly gpusCommitted: number;
  readonly diskTotalBytes: number;
  readonly diskCommittedBytes: number;
  readonly diskUsedBytes: number;
  readonly files: number;
  readonly transfersActive: number;
  readonly libraries: number;
}

/** Sums up the state. Linear in the number of workers only. */
export function summarize(state: ManagerState): ManagerSummary {
  let connected = 0;
  let total = NO_RESOURCES;
  let committed = NO_RESOURCES;
  let diskUsedBytes = 0;
  for (const worker of state.workers.values()) {
    if (worker.link.kind !== "open") continue;
    connected += 1;
    total = addResources(total, worker.resources);
    committed = addResources(committed, worker.committed);
    diskUsedBytes += worker.diskUsedBytes;
  }
  return {
    ...state.counters,
    workersConnected: connected,
    workersAway: state.workers.size - connected,
    coresTotal: total.cores,
    coresCommitted: committed.cores,
    memoryTotalBytes: total.memoryBytes,
    memoryCommittedBytes: committed.memoryBytes,
    gpusTotal: total.gpus,
    gpusCommitted: committed.gpus,
    diskTotalBytes: total.diskBytes,
    diskCommittedBytes: committed.diskBytes,
    diskUsedBytes,
    files: state.files.size,
    transfersActive: state.transfers.size,
    libraries: state.libraries.size,
  };
}
