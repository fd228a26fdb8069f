/** What a simulated manager waits for when nothing happens any more. */

import { explain, newInquiry } from "../../manager/core/explain.ts";
import type { Explanation } from "../../manager/core/explanation.ts";
import { describeExplanations } from "../../manager/explanation_text.ts";
import type { ManagerState } from "../../manager/core/state.ts";

/** The unfinished tasks, why they are, and the sizes of the tables, for the message of a failed run. */
export function describeStuck(state: ManagerState, requestCount: number): string {
  const stuck: Explanation[] = [];
  const inquiry = newInquiry(state);
  for (const { state: { kind }, definition: { taskId } } of state.tasks.values()) {
    const explanation = kind === "done" ? undefined : explain(inquiry, taskId);
    if (explanation !== undefined) stuck.push(explanation);
  }
  const { transfers, deliveries, workers, nowMs } = state;
  return `${stuck.length} unfinished, ${transfers.size} transfers, ${deliveries.size} deliveries, ` +
    `${workers.size} workers, ${requestCount} requests at ${nowMs} ms\n` +
    describeExplanations(stuck).join("\n");
}
