/**
 * Which tasks the address of the page "Tasks" means: the whole question stands there, so that a link
 * shows another person the same.
 *
 * @module
 */

import { type Question, SHOWN_STATES, type TaskSort } from "../api.ts";
import type { Sorting } from "./table.tsx";

/** A question for tasks, but for the part of them. */
export type TaskQuery = Omit<Extract<Question, { kind: "tasks" }>, "offset" | "limit">;

/** Sorts that may stand in an address. */
const SORTS: readonly TaskSort[] = [
  "id",
  "name",
  "category",
  "state",
  "outcome",
  "try",
  "host",
  "submitted",
  "started",
  "ended",
  "ran",
  "cores",
  "memory",
  "disk",
];

/** Reads a question from the parameters of an address; what it does not know counts for nothing. */
export function readTaskQuery(params: URLSearchParams): TaskQuery {
  const search = params.get("q")?.trim();
  const states = SHOWN_STATES.filter((state) => listOf(params, "state").includes(state));
  const outcomes = listOf(params, "outcome");
  const category = params.get("category") ?? undefined;
  const taskKind = params.get("kind");
  const workerId = params.get("worker")?.trim();
  const { key, isDescending } = readSorting(params);
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

/** Reads `sort=-ran`, where the dash is for the largest first. Default: by number. */
export function readSorting(params: URLSearchParams): Sorting & { readonly key: TaskSort } {
  const text = params.get("sort") ?? "id";
  const isDescending = text.startsWith("-");
  const key = SORTS.find((sort) => sort === text.replace(/^-/, "")) ?? "id";
  return { key, isDescending };
}

/** `sorting` as it stands in an address; undefined of the default. */
export function writeSorting({ key, isDescending }: Sorting): string | undefined {
  return key === "id" && !isDescending ? undefined : `${isDescending ? "-" : ""}${key}`;
}

function listOf(params: URLSearchParams, name: string): string[] {
  return (params.get(name) ?? "").split(",").map((text) => text.trim()).filter(Boolean);
}
