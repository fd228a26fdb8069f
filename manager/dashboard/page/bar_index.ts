/**
 * Bars of the timeline by lane and start, so that those that are seen, pointed at or next to another
 * are found without looking at all.
 *
 * @module
 */

import type { Timeline } from "../api.ts";
import { lowerBound } from "./lane_layout.ts";

/** Bars, and the order of them in each lane. */
export interface BarIndex {
  readonly bars: Timeline["bars"];
  /** Bars of lane 0 by start, then those of lane 1, and so on. */
  readonly order: Uint32Array;
  /** `[lane]`: where its bars begin in `order`; one more than there are lanes. */
  readonly offsets: Uint32Array;
  /** `[place in order]`: the latest end up to there in its lane, as bars of one lane may overlap. */
  readonly latestEndMs: Float64Array;
}

/** Sorts bars into lanes; those of lanes that are not there are left out. */
export function indexBars(bars: Timeline["bars"], laneCount: number): BarIndex {
  const offsets = new Uint32Array(laneCount + 1);
  for (const lane of bars.lane) {
    if (lane < laneCount) {
      offsets[lane + 1] = (offsets[lane + 1] ?? 0) + 1;
    }
  }
  for (let lane = 0; lane < laneCount; lane++) {
    offsets[lane + 1] = (offsets[lane + 1] ?? 0) + (offsets[lane] ?? 0);
  }
  const next = offsets.slice();
  const order = new Uint32Array(offsets[laneCount] ?? 0);
  for (const [bar, lane] of bars.lane.entries()) {
    if (lane < laneCount) {
      const place = next[lane] ?? 0;
      order[place] = bar;
      next[lane] = place + 1;
    }
  }
  const latestEndMs = new Float64Array(order.length);
  for (let lane = 0; lane < laneCount; lane++) {
    const part = order.subarray(offsets[lane], offsets[lane + 1]);
    part.sort((a, b) => startOf(bars, a) - startOf(bars, b) || a - b);
    let latest = -Infinity;
    for (const [index, bar] of part.entries()) {
      latest = Math.max(latest, endOf(bars, bar));
      latestEndMs[(offsets[lane] ?? 0) + index] = latest;
    }
  }
  return { bars, order, offsets, latestEndMs };
}

/** Calls for each bar of a lane that is, at least in part, between two instants. */
export function eachBarBetween(
  index: BarIndex,
  part: { readonly lane: number; readonly fromMs: number; readonly toMs: number },
  visit: (bar: number) => void,
): void {
  const begin = index.offsets[part.lane] ?? 0;
  const end = index.offsets[part.lane + 1] ?? begin;
  const skipped = lowerBound(
    end - begin,
    (place) => (index.latestEndMs[begin + place] ?? 0) >= part.fromMs,
  );
  for (let place = begin + skipped; place < end; place++) {
    const bar = index.order[place] ?? 0;
    if (startOf(index.bars, bar) > part.toMs) {
      return;
    }
    if (endOf(index.bars, bar) >= part.fromMs) {
      visit(bar);
    }
  }
}

/** The bar of a lane at an instant, or the nearest that is not further than `toleranceMs`. */
export function barNear(
  index: BarIndex,
  lane: number,
  atMs: number,
  toleranceMs: number,
): number | undefined {
  let nearest: number | undefined;
  let nearestMs = Infinity;
  eachBarBetween(index, { lane, fromMs: atMs - toleranceMs, toMs: atMs + toleranceMs }, (bar) => {
    const distanceMs = Math.max(
      startOf(index.bars, bar) - atMs,
      atMs - endOf(index.bars, bar),
      0,
    );
    if (distanceMs <= nearestMs) {
      nearest = bar;
      nearestMs = distanceMs;
    }
  });
  return nearest;
}

/** The bar before (-1) or after (1) another in its lane. */
export function barBeside(index: BarIndex, bar: number, step: -1 | 1): number | undefined {
  const lane = index.bars.lane[bar] ?? -1;
  const begin = index.offsets[lane] ?? 0;
  const end = index.offsets[lane + 1] ?? begin;
  const place = index.order.subarray(begin, end).indexOf(bar);
  return place < 0 ? undefined : at(index, begin, end, begin + place + step);
}

function at(index: BarIndex, begin: number, end: number, place: number): number | undefined {
  return place < begin || place >= end ? undefined : index.order[place];
}

function startOf(bars: Timeline["bars"], bar: number): number {
  return bars.startMs[bar] ?? 0;
}

function endOf(bars: Timeline["bars"], bar: number): number {
  return bars.endMs[bar] ?? 0;
}
