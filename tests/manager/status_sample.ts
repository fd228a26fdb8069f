/** A manager's status, for tests of what is made of one. */

import { Refusals } from "../../manager/refusal.ts";
import type { ManagerStatus } from "../../manager/status.ts";

const NO_DISK = { diskBytes: 0, diskUsedBytes: 0 };

const COUNTS: ManagerStatus["tasks"] = {
  submitted: 10,
  waiting: 1,
  ready: 3,
  dispatched: 1,
  retrieving: 1,
  succeeded: 3,
  failed: 1,
  cancelled: 0,
  triesStarted: 6,
  recoveries: 0,
  recoveriesWaiting: 0,
  recoveriesRunning: 0,
  nondeterministic: 0,
};

/** A status of ten tasks, with other numbers where a test says so. */
export function statusWith(tasks: Partial<ManagerStatus["tasks"]> = {}): ManagerStatus {
  return {
    version: 1,
    name: "blast",
    url: "http://127.0.0.1:1",
    urls: ["http://127.0.0.1:1"],
    startedAtMs: 1_000_000,
    endedPerSecond: 2,
    tasks: { ...COUNTS, ...tasks },
    workers: { connected: 2, away: 0, cores: 2, coresCommitted: 1, ...NO_DISK },
    bytes: {
      managerToWorker: 1e6,
      workerToWorker: 5e5,
      workerToManager: 0,
      urlToWorker: 0,
      workerToUrl: 0,
    },
    files: 0,
    transfers: 0,
    damaged: 0,
    libraries: 0,
    unplaceable: [],
    refused: new Refusals().counts(),
  };
}
