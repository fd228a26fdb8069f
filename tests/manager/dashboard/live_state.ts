/** How a run stands in which nothing has happened. */

import type { LiveState } from "../../../manager/dashboard/live.ts";
import { NO_BYTES, NO_COUNTS } from "../../../manager/dashboard/queries/overview.ts";

/** Of a manager that has nothing. */
export const NOTHING_YET: LiveState = {
  recordedAtMs: 0,
  counts: NO_COUNTS,
  workersConnected: 0,
  workersAway: 0,
  cores: 0,
  coresCommitted: 0,
  bytes: NO_BYTES,
  transfers: 0,
};
