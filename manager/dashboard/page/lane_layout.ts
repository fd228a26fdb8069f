/**
 * Where the lanes of the timeline lie above one another: those of one worker together, its slots
 * first, then its libraries, then its transfers.
 *
 * @module
 */

import type { Timeline } from "../api.ts";
import { shortId } from "./format.ts";

/** A lane as the server tells it. */
export type Lane = Timeline["lanes"][number];

/** The lanes of one worker. */
export interface LaneGroup {
  readonly workerId: string;
  /** Its host, with its id where there are several workers. */
  readonly name: string;
  readonly topPx: number;
  readonly heightPx: number;
  /** Indexes of lanes, from top to bottom. */
  readonly lanes: readonly number[];
}

/** All lanes in their places; nothing overlaps. */
export interface LaneLayout {
  readonly groups: readonly LaneGroup[];
  readonly heightPx: number;
  /** Height of one lane. */
  readonly lanePx: number;
  /** `[lane]`: its upper edge. */
  readonly laneTopPx: Float64Array;
  /** Lanes from top to bottom. */
  readonly order: readonly number[];
}

/** Lanes are at least as high: a person can still point at one. */
export const LANE_PX_MIN = 4;

/** Lanes are at most as high. */
export const LANE_PX_MAX = 28;

const KIND_ORDER = { slot: 0, library: 1, transfer: 2 } as const;

/** Lays out lanes, each `lanePx` high, in the order in which their workers come first. */
export function layoutLanes(lanes: readonly Lane[], lanePx: number): LaneLayout {
  const lanesByWorker = new Map<string, number[]>();
  for (const [index, lane] of lanes.entries()) {
    const sameWorker = lanesByWorker.get(lane.workerId);
    sameWorker === undefined ? lanesByWorker.set(lane.workerId, [index]) : sameWorker.push(index);
  }
  const workersByHost = new Map<string, Set<string>>();
  for (const { host, workerId } of lanes) {
    workersByHost.set(host, (workersByHost.get(host) ?? new Set()).add(workerId));
  }
  const gapPx = groupGapPx(lanePx);
  const laneTopPx = new Float64Array(lanes.length);
  const groups: LaneGroup[] = [];
  let y = 0;
  for (const [workerId, indexes] of lanesByWorker) {
    indexes.sort((a, b) => compareLanes(lanes, a, b));
    const topPx = y;
    for (const index of indexes) {
      laneTopPx[index] = y;
      y += lanePx;
    }
    const host = lanes[indexes[0] ?? 0]?.host ?? "";
    const name = (workersByHost.get(host)?.size ?? 0) > 1 ? `${host} ${shortId(workerId)}` : host;
    groups.push({ workerId, name, topPx, heightPx: y - topPx, lanes: indexes });
    y += gapPx;
  }
  const order = groups.flatMap((group) => group.lanes);
  return { groups, heightPx: Math.max(y - gapPx, 0), lanePx, laneTopPx, order };
}

/** The height of lanes with which all would fit, within what can be read. */
export function fittingLanePx(lanes: readonly Lane[], roomPx: number): number {
  const groupCount = new Set(lanes.map((lane) => lane.workerId)).size;
  const roomForLanesPx = roomPx - groupCount * groupGapPx(LANE_PX_DEFAULT);
  const fittingPx = Math.floor(roomForLanesPx / Math.max(lanes.length, 1));
  return Math.min(Math.max(fittingPx, LANE_PX_READABLE), LANE_PX_DEFAULT);
}

/** The groups that lie, at least in part, between two heights: `[first, end)`. */
export function groupsBetween(
  layout: LaneLayout,
  topPx: number,
  bottomPx: number,
): readonly [number, number] {
  const { groups } = layout;
  const first = lowerBound(groups.length, (index) => endPx(groups[index]) > topPx);
  const end = lowerBound(groups.length, (index) => (groups[index]?.topPx ?? 0) >= bottomPx);
  return [first, Math.max(end, first)];
}

/** The lane at a height; undefined between groups and below all. */
export function laneAt(layout: LaneLayout, y: number): number | undefined {
  const [first] = groupsBetween(layout, y, y + 1);
  const group = layout.groups[first];
  if (group === undefined || y < group.topPx) {
    return undefined;
  }
  return group.lanes[Math.floor((y - group.topPx) / layout.lanePx)];
}

/** The first index for which something holds that holds for all after it; `count` if for none. */
export function lowerBound(count: number, isReached: (index: number) => boolean): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isReached(middle)) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

/** The height of lanes where there is room for all. */
const LANE_PX_DEFAULT = 20;

/** The height of lanes where there is not: then they scroll. */
const LANE_PX_READABLE = 10;

function groupGapPx(lanePx: number): number {
  return lanePx >= 8 ? 6 : 2;
}

function endPx(group: LaneGroup | undefined): number {
  return group === undefined ? 0 : group.topPx + group.heightPx;
}

function compareLanes(lanes: readonly Lane[], a: number, b: number): number {
  const left = lanes[a];
  const right = lanes[b];
  if (left === undefined || right === undefined) {
    return a - b;
  }
  return KIND_ORDER[left.kind] - KIND_ORDER[right.kind] || left.index - right.index;
}
