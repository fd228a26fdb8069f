/** How a call of an app stands: in a word, with a drawing, in a colour. */

import type { JSX } from "preact";

import type { AppState } from "../../core/fact.ts";
import { type Standing, StandingMark } from "./state.tsx";

/** `{state: [how it looks, its word]}` */
const LOOKS: ReadonlyMap<AppState, readonly [Standing, string]> = new Map([
  ["pending", ["waiting", "waiting"]],
  ["launched", ["dispatched", "launched"]],
  ["running", ["running", "running"]],
  ["joining", ["joining", "joining"]],
  ["fail_retryable", ["waiting", "tried again"]],
  ["exec_done", ["success", "done"]],
  ["memo_done", ["memory", "from memory"]],
  ["failed", ["failed", "failed"]],
  ["dep_fail", ["failed", "not run"]],
  ["cancelled", ["cancelled", "cancelled"]],
]);

/** The word for a state. */
export function callStateWord(state: AppState): string {
  return LOOKS.get(state)?.[1] ?? state;
}

/** How a call stands. */
export function CallMark({ state }: { readonly state: AppState }): JSX.Element {
  const [standing, word] = LOOKS.get(state) ?? ["waiting", state];
  return <StandingMark standing={standing} word={word} />;
}
