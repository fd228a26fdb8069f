/**
 * Level of detail of the timeline: bars that are too short to be told apart become one, with a count.
 * Pure, so that a report merges what it shows as the database does.
 *
 * @module
 */

import type { BarKind, Timeline } from "./api.ts";

/** One bar of a lane. */
export interface Bar {
  readonly startMs: number;
  readonly endMs: number;
  readonly kind: BarKind;
  /** Of the first of those that it stands for. */
  readonly id: number;
  readonly count: number;
  /** As of `Timeline`. */
  readonly state: number;
}

/** What a bar is called. */
export interface BarName {
  readonly label: string;
  /** Calls are told apart from other tasks with their name. */
  readonly kind: BarKind;
}

/** A lane with its bars by their start, of all times. */
export type DrawnLane = Timeline["lanes"][number] & { readonly bars: readonly Bar[] };

/** The part of the time that is drawn, and with how many bars. */
export interface TimelineView {
  readonly fromMs: number;
  readonly toMs: number;
  readonly barsMax: number;
}

/** Draws what touches the view; names are asked for what is left after merging. */
export function drawTimeline(
  lanes: readonly DrawnLane[],
  { fromMs, toMs, barsMax }: TimelineView,
  namesOf: (bars: readonly Bar[]) => readonly BarName[],
): Timeline {
  const within = lanes.map(({ bars }) =>
    bars.filter(({ startMs, endMs }) => startMs <= toMs && endMs >= fromMs)
  );
  const merged = mergeBars(within, toMs - fromMs, barsMax);
  const bars = merged.flat();
  const names = namesOf(bars);
  const indexOf = new Map<string, number>();
  for (const { label } of names) if (!indexOf.has(label)) indexOf.set(label, indexOf.size);
  return {
    fromMs,
    toMs,
    lanes: lanes.map(({ workerId, host, kind, index }) => ({ workerId, host, kind, index })),
    bars: {
      lane: merged.flatMap((lane, index) => lane.map(() => index)),
      startMs: bars.map(({ startMs }) => startMs),
      endMs: bars.map(({ endMs }) => endMs),
      kind: names.map(({ kind }) => kind),
      id: bars.map(({ id }) => id),
      count: bars.map(({ count }) => count),
      label: names.map(({ label }) => indexOf.get(label) ?? 0),
      state: bars.map(({ state }) => state),
    },
    labels: [...indexOf.keys()],
  };
}

/** The finest step: a bar of a part of the time that no screen shows. */
const FINEST_PART = 1 / 8192;
/** Bars that far apart, as a part of the step, do not touch. */
const GAP_PART = 0.5;

/**
 * Merges neighbours in lanes whose bars stand by their start, in steps that double, until no more
 * than `barsMax` are left or each lane is as coarse as can be.
 */
export function mergeBars(
  lanes: readonly (readonly Bar[])[],
  spanMs: number,
  barsMax: number,
): readonly (readonly Bar[])[] {
  let merged = lanes;
  let stepMs = spanMs * FINEST_PART;
  while (countBars(merged) > barsMax && stepMs <= 2 * spanMs && stepMs > 0) {
    merged = merged.map((bars) => mergeLane(bars, stepMs));
    stepMs *= 2;
  }
  return merged;
}

function countBars(lanes: readonly (readonly unknown[])[]): number {
  return lanes.reduce((count, bars) => count + bars.length, 0);
}

/** Merges a bar into the one before while both together are no longer than `stepMs`. */
function mergeLane(bars: readonly Bar[], stepMs: number): readonly Bar[] {
  const merged: Bar[] = [];
  for (const bar of bars) {
    const before = merged.at(-1);
    const endMs = Math.max(before?.endMs ?? 0, bar.endMs);
    if (
      before === undefined || endMs - before.startMs > stepMs ||
      bar.startMs - before.endMs > stepMs * GAP_PART
    ) {
      merged.push(bar);
      continue;
    }
    merged[merged.length - 1] = {
      ...before,
      endMs,
      count: before.count + bar.count,
      state: worse(before.state, bar.state),
    };
  }
  return merged;
}

/** What has failed is seen from afar, then what runs. */
function worse(a: number, b: number): number {
  return a === 1 || b === 1 ? 1 : Math.max(a, b);
}

/**
 * Puts what overlaps into lanes of its own: each into the first that is free, and what finds none of
 * `lanesMax` into the last. `bars` stand by their start.
 */
export function spreadOverLanes(
  bars: readonly Bar[],
  lanesMax: number,
): Bar[][] {
  const lanes: Bar[][] = [];
  const freeAtMs: number[] = [];
  for (const bar of bars) {
    let lane = freeAtMs.findIndex((atMs) => atMs <= bar.startMs);
    if (lane < 0) lane = Math.min(lanes.length, lanesMax - 1);
    (lanes[lane] ??= []).push(bar);
    freeAtMs[lane] = Math.max(freeAtMs[lane] ?? 0, bar.endMs);
  }
  return lanes;
}
