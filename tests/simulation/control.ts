/** What users decide while a workflow runs: which tries are repeated, and what is called off. */

import type { ManagerEvent, TaskDefinition, TaskTemplate } from "../../manager/core/event.ts";
import type { TaskEnd } from "../../manager/core/instruction.ts";
import type { RetryDecision, RetryRule } from "../../manager/core/retry.ts";
import type { TaskId } from "../../shared/ids.ts";
import { nextRandom, nextRandomBelow, type RandomState } from "../../shared/random.ts";

const RULES: readonly (RetryRule | undefined)[] = [
  { isAsked: true, delayMs: 0 },
  { isAsked: true, delayMs: 100, maxForsaken: 1 },
  { isAsked: false, delayMs: 500, on: ["exit", "timeout"] },
  { isAsked: false, delayMs: 0, maxForsaken: 2 },
  undefined,
];

const DECISIONS: readonly RetryDecision[] = [
  { kind: "cost", cost: 0 },
  { kind: "cost", cost: 0.5 },
  { kind: "cost", cost: 1 },
  { kind: "cost", cost: Infinity },
  { kind: "none", why: "it threw" },
];

/** Every how many tasks one is called off. */
const CALLED_OFF_EACH = 6;

/** The same tasks, with rules for their repetition where the scenario has some. */
export function withRules(
  tasks: readonly TaskDefinition[],
  { isControlled = false }: { readonly isControlled?: boolean },
): readonly TaskDefinition[] {
  if (!isControlled) return tasks;
  const templates = new Map<TaskTemplate, TaskTemplate[]>();
  return tasks.map((task) => {
    const { template, taskId } = task;
    const ruled = templates.get(template) ??
      RULES.map((retry) => ({ ...template, ...(retry && { retry }) }));
    templates.set(template, ruled);
    return { ...task, template: ruled[taskId % ruled.length] ?? template };
  });
}

/** What users say of a try, and when: soon, too late, or never. */
export function answerTo(
  { taskId, try: number }: TaskEnd,
  random: RandomState,
): { readonly afterMs: number; readonly event: ManagerEvent } {
  const decision = DECISIONS[nextRandomBelow(random, DECISIONS.length)] ??
    { kind: "none", why: "" };
  const afterMs = nextRandom(random) < 0.1 ? 60_000 : nextRandom(random) * 2_500;
  return { afterMs, event: { kind: "retry_decided", taskId, try: number, decision } };
}

/** A part of all tasks is called off at once. */
export function callingOff(taskCount: number): ManagerEvent {
  const ids = Array.from({ length: Math.floor(taskCount / CALLED_OFF_EACH) }, (_, index) => {
    return (index + 1) * CALLED_OFF_EACH as TaskId;
  });
  return { kind: "tasks_cancelled", taskIds: ids.reverse() };
}
