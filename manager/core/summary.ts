/** What the manager holds, in numbers that are kept as things happen. */

import type { Counters } from "./counters.ts";
import type { ManagerState } from "./state.ts";

/** A snapshot for people and programs; costs nothing per task. */
export interface ManagerSummary extends Counters {
  readonly workersConnected: number;
  readonly workersAway: number;
  readonly coresTotal: number;
  readonly coresCommitted: number;
  readonly diskTotalBytes: number;
  readonly diskUsedBytes: number;
  readonly files: number;
  readonly transfersActive: number;
  readonly libraries: number;
}

/** Sums up the state. Linear in the number of workers only. */
export function summarize(state: ManagerState): ManagerSummary {
  let connected = 0;
  let coresTotal = 0;
  let coresCommitted = 0;
  let diskTotalBytes = 0;
  let diskUsedBytes = 0;
  for (const worker of state.workers.values()) {
    if (worker.link.kind !== "open") continue;
    connected += 1;
    coresTotal += worker.resources.cores;
    coresCommitted += worker.committed.cores;
    diskTotalBytes += worker.resources.diskBytes;
    diskUsedBytes += worker.diskUsedBytes;
  }
  return {
    ...state.counters,
    workersConnected: connected,
    workersAway: state.workers.size - connected,
    coresTotal,
    coresCommitted,
    diskTotalBytes,
    diskUsedBytes,
    files: state.files.size,
    transfersActive: state.transfers.size,
    libraries: state.libraries.size,
  };
}
