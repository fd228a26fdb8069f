/**
 * What the timeline knows: the whole run with bars that are merged where they are many, and over it
 * the part that is looked at, more finely. Both are drawn in the lanes of the whole.
 *
 * @module
 */

import type { Timeline } from "../api.ts";
import { type BarIndex, indexBars } from "./bar_index.ts";
import type { Lane, LaneGroup } from "./lane_layout.ts";
import type { TimeView } from "./time_axis.ts";

/** An answer, ready to be drawn from. */
export interface TimelineLayer {
  readonly timeline: Timeline;
  readonly index: BarIndex;
  /** `{key of a lane: its index here}` */
  readonly lanes: ReadonlyMap<string, number>;
  readonly workers: ReadonlySet<string>;
  /** Some bars stand for several. */
  readonly isMerged: boolean;
}

/** A bar, and where it is told. */
export interface FoundBar {
  readonly layer: TimelineLayer;
  readonly bar: number;
}

/** What is the same of a lane in every answer. */
export function laneKey(lane: Lane): string {
  return `${lane.kind} ${lane.index} ${lane.workerId}`;
}

/** Prepares an answer to be drawn. */
export function makeLayer(timeline: Timeline): TimelineLayer {
  return {
    timeline,
    index: indexBars(timeline.bars, timeline.lanes.length),
    lanes: new Map(timeline.lanes.map((lane, index) => [laneKey(lane), index])),
    workers: new Set(timeline.lanes.map((lane) => lane.workerId)),
    isMerged: timeline.bars.count.some((count) => count > 1),
  };
}

/** The finer layer where it knows a worker for all of a view, else the whole. */
export function layerFor(
  layers: { readonly whole: TimelineLayer; readonly part: TimelineLayer | undefined },
  group: Pick<LaneGroup, "workerId">,
  view: TimeView,
): TimelineLayer {
  const { whole, part } = layers;
  if (part === undefined || !part.workers.has(group.workerId)) {
    return whole;
  }
  const { fromMs, toMs } = part.timeline;
  // What came after the part was asked is in the whole alone.
  const isCovered = fromMs <= view.fromMs && toMs >= Math.min(view.toMs, whole.timeline.toMs);
  return isCovered ? part : whole;
}

/** How many tasks and calls, library starts and transfers the bars of a layer stand for. */
export function countBars(timeline: Timeline): Readonly<Record<"tasks" | "others", number>> {
  let tasks = 0;
  let others = 0;
  for (const [bar, kind] of timeline.bars.kind.entries()) {
    const count = timeline.bars.count[bar] ?? 1;
    kind === "task" || kind === "call" ? tasks += count : others += count;
  }
  return { tasks, others };
}
