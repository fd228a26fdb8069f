/** What the dashboard shows of a manager that runs, beside its records. */

import type { TaskId } from "../shared/ids.ts";
import type { Catalog } from "./catalog.ts";
import type { ManagerEvent } from "./core/event.ts";
import type { ManagerState } from "./core/state.ts";
import { summarize } from "./core/summary.ts";
import type { LiveHost } from "./dashboard/api.ts";
import type { LiveState } from "./dashboard/live.ts";
import type { RunningManager } from "./dashboard/routes.ts";
import { explainTask } from "./explanation.ts";
import { describeExplanation } from "./explanation_text.ts";
import { hostChange } from "./host_change.ts";
import type { LiveOutputs } from "./live_output.ts";

/** Hosts that are shown; more are blocked at no cluster. */
const HOSTS_MAX = 1_000;

/** Where that is found. */
export interface RunningManagerOptions extends Pick<RunningManager, "status" | "metrics"> {
  /** Only looked at. */
  readonly state: ManagerState;
  readonly catalog: Catalog;
  readonly outputs: LiveOutputs;
  /** By the clock of the state's events. */
  readonly nowMs: () => number;
  readonly push: (event: ManagerEvent) => void;
  /** The records hold everything up to then, in epoch milliseconds; 0 before there are any. */
  readonly recordedAtMs: () => number;
}

/** A manager as its dashboard sees it. */
export function runningManager(options: RunningManagerOptions): RunningManager {
  const { status, metrics, state, outputs } = options;
  return {
    status,
    metrics,
    explain: (taskId) => {
      const explanation = explainTask(options, taskId);
      return explanation && describeExplanation(explanation).join("\n");
    },
    output: (taskId) => outputs.read(taskId as TaskId),
    hosts: () => hostsOf(state, options.nowMs()),
    changeHost: (host, change) => options.push(hostChange(change, host)),
    look: () => liveState(state, options.recordedAtMs()),
  };
}

function hostsOf({ hosts }: ManagerState, nowMs: number): readonly LiveHost[] {
  const found: LiveHost[] = [];
  for (const { host, reason, drainedAtMs, blockedUntilMs } of hosts.values()) {
    const isDrained = drainedAtMs !== undefined;
    if (!isDrained && blockedUntilMs <= nowMs) continue;
    found.push({ host, state: isDrained ? "draining" : "blocked", reason });
    if (found.length === HOSTS_MAX) break;
  }
  return found;
}

/** Linear in workers only. */
function liveState(state: ManagerState, recordedAtMs: number): LiveState {
  const now = summarize(state);
  return {
    recordedAtMs,
    counts: {
      waiting: now.waiting,
      ready: now.ready,
      // Those given to a worker are told apart by whether they run.
      dispatched: Math.max(0, now.dispatched - now.running),
      running: now.running,
      retrieving: now.retrieving,
      submitted: now.submitted,
      succeeded: now.succeeded,
      failed: now.failed,
      cancelled: now.cancelled,
    },
    workersConnected: now.workersConnected,
    workersAway: now.workersAway,
    cores: now.coresTotal,
    coresCommitted: now.coresCommitted,
    bytes: {
      managerToWorker: now.managerToWorkerBytes,
      workerToWorker: now.workerToWorkerBytes,
      workerToManager: now.workerToManagerBytes,
      urlToWorker: now.urlToWorkerBytes,
      workerToUrl: now.workerToUrlBytes,
    },
    transfers: now.transfersActive,
  };
}
