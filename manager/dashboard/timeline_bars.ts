/**
 * Level of detail of the timeline: bars that are too short to be told apart become one, with a count.
 * Pure, so that a report merges what it shows as the database does.
 *
 * @module
 */

/** One bar of a lane; `Kind` is what its drawer tells apart. */
export interface Bar<Kind> {
  readonly startMs: number;
  readonly endMs: number;
  readonly kind: Kind;
  /** Of the first of those that it stands for. */
  readonly id: number;
  readonly count: number;
  readonly label: number;
  /** `ok`, `failed`, `running`, as digits 0, 1, 2. */
  readonly state: number;
}

/** The finest step: a bar of a part of the time that no screen shows. */
const FINEST_PART = 1 / 8192;
/** Bars that far apart, as a part of the step, do not touch. */
const GAP_PART = 0.5;

/**
 * Merges neighbours in lanes whose bars stand by their start, in steps that double, until no more
 * than `barsMax` are left or each lane is as coarse as can be.
 */
export function mergeBars<Kind>(
  lanes: readonly (readonly Bar<Kind>[])[],
  spanMs: number,
  barsMax: number,
): readonly (readonly Bar<Kind>[])[] {
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
function mergeLane<Kind>(bars: readonly Bar<Kind>[], stepMs: number): readonly Bar<Kind>[] {
  const merged: Bar<Kind>[] = [];
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
export function spreadOverLanes<Kind>(
  bars: readonly Bar<Kind>[],
  lanesMax: number,
): Bar<Kind>[][] {
  const lanes: Bar<Kind>[][] = [];
  const freeAtMs: number[] = [];
  for (const bar of bars) {
    let lane = freeAtMs.findIndex((atMs) => atMs <= bar.startMs);
    if (lane < 0) lane = Math.min(lanes.length, lanesMax - 1);
    (lanes[lane] ??= []).push(bar);
    freeAtMs[lane] = Math.max(freeAtMs[lane] ?? 0, bar.endMs);
  }
  return lanes;
}
