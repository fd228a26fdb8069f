/**
 * How a task stands: in a word, with a drawing, in a colour.
 *
 * @module
 */

import type { JSX } from "preact";

import type { ShownState } from "../api.ts";
import { Icon } from "./icon.tsx";

/** What is told of a task at a glance; also the names of colours in the style sheet. */
export type Standing =
  | "waiting"
  | "dispatched"
  | "running"
  | "retrieving"
  | "joining"
  | "memory"
  | "success"
  | "failed"
  | "cancelled";

/** `{standing: its word}` */
export const STANDING_WORDS: Readonly<Record<Standing, string>> = {
  waiting: "waiting",
  dispatched: "staging",
  running: "running",
  retrieving: "retrieving",
  joining: "joining",
  memory: "from memory",
  success: "done",
  failed: "failed",
  cancelled: "cancelled",
};

/** Where a task stands, of its state and, of one that ended, its outcome. */
function standingOf(state: ShownState, outcome: string | null): Standing {
  if (state === "pending") return "waiting";
  if (state !== "done") return state;
  return outcome === null || outcome === "success"
    ? "success"
    : outcome === "cancelled"
    ? "cancelled"
    : "failed";
}

/** An outcome in words: `resource_exhausted` is "resource exhausted". */
export function outcomeWords(outcome: string): string {
  return outcome.replaceAll("_", " ");
}

/** How a task stands; of one that failed, how. */
export function StateMark(
  { state, outcome }: { readonly state: ShownState; readonly outcome: string | null },
): JSX.Element {
  const standing = standingOf(state, outcome);
  const word = standing === "failed" && outcome !== null && outcome !== "failed"
    ? outcomeWords(outcome)
    : STANDING_WORDS[standing];
  return <StandingMark standing={standing} word={word} />;
}

/** A word for how something stands, with its drawing. */
export function StandingMark(
  { standing, word }: { readonly standing: Standing; readonly word: string },
): JSX.Element {
  return (
    <span class={`mark mark-${standing}`}>
      <Icon name={standing} />
      {word}
    </span>
  );
}
