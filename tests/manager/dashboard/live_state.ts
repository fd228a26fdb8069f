/** How a run stands in which nothing has happened. */

import type { LiveState } from "../../../manager/dashboard/live.ts";

/** Of a manager that has nothing. */
export const NOTHING_YET: LiveState = {
  recordedAtMs: 0,
  counts: {
    waiting: 0,
    ready: 0,
    dispatched: 0,
    running: 0,
    retrieving: 0,
    submitted: 0,
    succeeded: 0,
    failed: 0,
    cancelled: 0,
  },
  workersConnected: 0,
  workersAway: 0,
  cores: 0,
  coresCommitted: 0,
  bytes: {
    managerToWorker: 0,
    workerToWorker: 0,
    workerToManager: 0,
    urlToWorker: 0,
    workerToUrl: 0,
  },
  transfers: 0,
};
