/** That every unfinished task has an explanation, and that what nothing keeps is dispatched. */

import { explain, newInquiry } from "../../manager/core/explain.ts";
import { explanationShape } from "../../manager/explanation_shapes.ts";
import { describeExplanation } from "../../manager/explanation_text.ts";
import type { ManagerState } from "../../manager/core/state.ts";
import { nextWakeAtMs } from "../../manager/core/step.ts";

/** Steps of which one is looked at. */
const STEPS_PER_LOOK = 16;

/** Tasks that one look asks about. */
const TASKS_PER_LOOK = 100;

/** Looks at one of many states that a run goes through, after a step. */
export class ExplanationCheck {
  /** `{kind of a first reason: how often it was given}`. */
  readonly counts: Map<string, number> = new Map();
  #stepCount = 0;

  /** Fails when a task has no reason, or waits though it could be dispatched. */
  note(state: ManagerState): void {
    this.#stepCount += 1;
    if (this.#stepCount % STEPS_PER_LOOK !== 0) return;
    // What a pass made ready after it had placed tasks is for the next one, which is due at once.
    const isPlacing = (nextWakeAtMs(state) ?? Infinity) > state.nowMs && !state.isClosed;
    const inquiry = newInquiry(state);
    let askedCount = 0;
    for (const task of state.tasks.values()) {
      if (task.state.kind === "done") continue;
      askedCount += 1;
      if (askedCount > TASKS_PER_LOOK) return;
      const { taskId } = task.definition;
      const explanation = explain(inquiry, taskId);
      const [first] = explanation?.reasons ?? [];
      if (explanation === undefined || first === undefined) {
        throw new Error(`Task ${taskId} is ${task.state.kind}, and nothing says why`);
      }
      const fault = explanationShape(explanation);
      if (fault !== undefined) throw new Error(`The explanation of task ${taskId}${fault}`);
      if (first.kind === "placed_next" && isPlacing) {
        throw new Error(`Task ${taskId} is ready, and nothing keeps it from being dispatched`);
      }
      if (describeExplanation(explanation).length === 0) {
        throw new Error(`Nothing is said of task ${taskId}, which has a reason: ${first.kind}`);
      }
      this.counts.set(first.kind, (this.counts.get(first.kind) ?? 0) + 1);
    }
  }
}
