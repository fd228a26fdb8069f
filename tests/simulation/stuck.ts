/** What a simulated manager waits for when nothing happens any more. */

import type { ManagerState } from "../../manager/core/state.ts";

/** The unfinished tasks and the sizes of the tables, for the message of a failed run. */
export function describeStuck(state: ManagerState, requestCount: number): string {
  const stuck: string[] = [];
  for (const task of state.tasks.values()) {
    if (task.isSettled && task.state.kind === "done") continue;
    stuck.push(`task ${task.definition.taskId} is ${task.state.kind}`);
  }
  const { transfers, deliveries, workers, nowMs } = state;
  return `${stuck.slice(0, 5).join("; ")}; ${stuck.length} unfinished, ${transfers.size} ` +
    `transfers, ${deliveries.size} deliveries, ${workers.size} workers, ` +
    `${requestCount} requests at ${nowMs} ms`;
}
