/**
 * Which tasks the address of the page "Tasks" means: the whole question stands there, so that a link
 * shows another person the same.
 *
 * @module
 */

import { type Question, SHOWN_STATES, TASK_SORTS, type TaskSort } from "../api.ts";
import { readSorting, type SortingChoice } from "./sorting.ts";

/** A question for tasks, but for the part of them. */
export type TaskQuery = Omit<Extract<Question, { kind: "tasks" }>, "offset" | "limit">;

/** Sorts that an address may name, and that of one which names none. */
export const TASK_SORTING: SortingChoice<TaskSort> = {
  keys: TASK_SORTS,
  start: { key: "id", isDescending: false },
};

/** Reads a question from the parameters of an address; what it does not know counts for nothing. */
export function readTaskQuery(params: URLSearchParams): TaskQuery {
  const search = params.get("q")?.trim();
  const states = SHOWN_STATES.filter((state) => listOf(params, "state").includes(state));
  const outcomes = listOf(params, "outcome");
  const category = params.get("category") ?? undefined;
  const taskKind = params.get("kind");
  const workerId = params.get("worker")?.trim();
  const { key, isDescending } = readSorting(params, TASK_SORTING);
  return {
    kind: "tasks",
    sort: key,
    isDescending,
    ...(search && { search }),
    ...(states.length > 0 && { states }),
    ...(outcomes.length > 0 && { outcomes }),
    ...(category !== undefined && { category }),
    ...((taskKind === "command" || taskKind === "call") && { taskKind }),
    ...(workerId && { workerId }),
  };
}

function listOf(params: URLSearchParams, name: string): string[] {
  return (params.get(name) ?? "").split(",").map((text) => text.trim()).filter(Boolean);
}
