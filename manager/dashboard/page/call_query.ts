/** Which calls of apps the address of the page "Calls" means, as that of tasks does. */

import type { Question } from "../api.ts";
import { APP_STATES, CALL_SORTS, type CallSort } from "../call_api.ts";
import { readSorting, type SortingChoice } from "./sorting.ts";

/** A question for calls, but for the part of them. */
export type CallQuery = Omit<Extract<Question, { kind: "calls" }>, "offset" | "limit">;

/** Sorts that an address may name, and that of one which names none. */
export const CALL_SORTING: SortingChoice<CallSort> = {
  keys: CALL_SORTS,
  start: { key: "id", isDescending: false },
};

/** Reads a question from the parameters of an address; what it does not know counts for nothing. */
export function readCallQuery(params: URLSearchParams): CallQuery {
  const search = params.get("q")?.trim();
  const named = (params.get("state") ?? "").split(",");
  const states = APP_STATES.filter((state) => named.includes(state));
  const app = params.get("app");
  const { key, isDescending } = readSorting(params, CALL_SORTING);
  return {
    kind: "calls",
    sort: key,
    isDescending,
    ...(search && { search }),
    ...(states.length > 0 && { states }),
    ...(app && { app }),
  };
}
