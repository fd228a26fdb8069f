/** Why remembered tasks do not run: from the core while they are there, else how they ended. */

import { setImmediate } from "node:timers/promises";

import type { Catalog, TaskEntry } from "./catalog.ts";
import { type ClientAnswer, type ClientRequest, EXPLANATIONS_MAX } from "./client_protocol.ts";
import { explain, type Inquiry, newInquiry } from "./core/explain.ts";
import type { Explanation, Reason } from "./core/explanation.ts";
import type { TaskEnd } from "./core/instruction.ts";
import type { ManagerState } from "./core/state.ts";

/** Tasks of one turn of the event loop. */
const SLICE_TASKS = 50;

/** What is looked at. */
export interface ExplanationSources {
  /** Only looked at. */
  readonly state: ManagerState;
  readonly catalog: Catalog;
  /** By the clock of the state's events. */
  readonly nowMs: () => number;
}

/** Why one task does not run, or how it does; undefined of one that is not remembered. */
export function explainTask(
  { state, catalog, nowMs }: ExplanationSources,
  id: number,
): Explanation | undefined {
  const entry = catalog.get(id);
  return entry && explainEntry(newInquiry(state, nowMs()), entry);
}

/** How a task ended, as an explanation. */
export function explainEnd(
  { taskId, outcome, message, try: number }: Pick<
    TaskEnd,
    "taskId" | "outcome" | "message" | "try"
  >,
): Explanation {
  return { taskId, state: "done", reasons: [{ kind: "ended", outcome, message, try: number }] };
}

/** One page of what clients ask; of all tasks, only those that have not ended are told of. */
export async function explainTasks(
  { state, catalog, nowMs }: ExplanationSources,
  { requestId, selection, after }: Extract<ClientRequest, { kind: "explain" }>,
): Promise<ClientAnswer> {
  const explanations: Explanation[] = [];
  let inquiry = newInquiry(state, nowMs());
  let askedCount = 0;
  let last = after;
  // One after the other by id: what the catalog drops meanwhile is not looked at.
  for (;;) {
    let isOver = true;
    for (const entry of catalog.select(selection, last)) {
      last = entry.id;
      if (selection.kind === "all" && !isPending(state, entry)) continue;
      if (explanations.length === EXPLANATIONS_MAX) {
        return { kind: "explained", requestId, explanations, hasMore: true };
      }
      explanations.push(explainEntry(inquiry, entry));
      askedCount += 1;
      if (askedCount % SLICE_TASKS !== 0) continue;
      isOver = false;
      break;
    }
    if (isOver) return { kind: "explained", requestId, explanations, hasMore: false };
    await setImmediate();
    // What was found out about the workers was true before.
    inquiry = newInquiry(state, nowMs());
  }
}

function explainEntry(inquiry: Inquiry, entry: TaskEntry): Explanation {
  const { id: taskId, ending } = entry;
  const found = explain(inquiry, taskId);
  const ended = ending && explainEnd({ taskId, ...ending });
  if (found !== undefined && found.state !== "done") {
    return { ...found, reasons: [...found.reasons, ...(ended?.reasons ?? [])] };
  }
  const reasons: readonly Reason[] = [{ kind: "not_seen" }];
  return ended ?? { taskId, state: "waiting", reasons };
}

/** True of one that has not ended, or runs again. */
function isPending({ tasks }: ManagerState, { id, ending }: TaskEntry): boolean {
  return ending === undefined || (tasks.get(id)?.state.kind ?? "done") !== "done";
}
