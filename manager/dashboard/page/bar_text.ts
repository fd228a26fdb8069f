/**
 * A bar of the timeline in words: for the tooltip, for who cannot see it, and where it leads.
 *
 * @module
 */

import type { BarKind, Timeline } from "../api.ts";
import { count, duration } from "./format.ts";
import { hrefOf } from "./route.ts";

/** A bar in words. */
export interface BarText {
  readonly title: string;
  readonly lines: readonly string[];
  /** The page that tells more. */
  readonly href: string;
}

/** `{kind: one, several}` */
const KIND_WORDS: Readonly<Record<BarKind, readonly [string, string]>> = {
  task: ["Task", "tasks"],
  call: ["Call", "calls"],
  library: ["Library", "library starts"],
  transfer: ["Transfer", "transfers"],
};

const STATE_WORDS: readonly string[] = ["done", "failed", "going on"];

/** What lanes are called. */
const LANE_WORDS = { slot: "slot", library: "libraries", transfer: "transfers" } as const;

/** Describes bar number `bar`. */
export function describeBar(timeline: Timeline, bar: number): BarText {
  const { bars, labels } = timeline;
  const kind = bars.kind[bar] ?? "task";
  const id = bars.id[bar] ?? 0;
  const barCount = bars.count[bar] ?? 1;
  const startMs = bars.startMs[bar] ?? 0;
  const endMs = bars.endMs[bar] ?? startMs;
  const label = labels[bars.label[bar] ?? -1] ?? "";
  const lane = timeline.lanes[bars.lane[bar] ?? -1];
  const [one, several] = KIND_WORDS[kind];
  const state = STATE_WORDS[bars.state[bar] ?? 0] ?? "";
  const isMerged = barCount > 1;
  const place = lane === undefined
    ? ""
    : lane.kind === "slot"
    ? `${lane.host}, slot ${lane.index + 1}`
    : `${lane.host}, ${LANE_WORDS[lane.kind]}`;
  return {
    title: isMerged ? `${count(barCount)} ${several}` : `${one} ${id}${label && `: ${label}`}`,
    lines: [
      isMerged ? `the first is ${one.toLowerCase()} ${id}${label && ` (${label})`}` : state,
      ...(isMerged && state === "failed" ? ["some failed"] : []),
      place,
      `${clock(startMs)} to ${
        endMs >= timeline.toMs && state === "going on" ? "now" : clock(endMs)
      }`,
      `${isMerged ? "together " : ""}${duration(endMs - startMs)}`,
    ],
    href: kind === "task" || kind === "call"
      ? hrefOf("tasks", id)
      : hrefOf("workers", lane?.workerId ?? ""),
  };
}

/** Local time of day to the millisecond. */
export function clock(atMs: number): string {
  const at = new Date(atMs);
  const parts = [at.getHours(), at.getMinutes(), at.getSeconds()];
  return `${parts.map((part) => String(part).padStart(2, "0")).join(":")}.${
    String(at.getMilliseconds()).padStart(3, "0")
  }`;
}
