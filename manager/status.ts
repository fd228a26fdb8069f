/** What a manager tells of itself: `manager.status()`, `tendril status --json`. */

import type { ManagerSummary } from "./core/summary.ts";

/** A snapshot of a manager. `version` grows when a field changes its meaning or goes. */
export interface ManagerStatus extends ManagerSummary {
  readonly version: 1;
  readonly name: string;
  readonly url: string;
  /** Epoch milliseconds. */
  readonly startedAtMs: number;
}
