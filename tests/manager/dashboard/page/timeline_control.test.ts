import { describe, expect, test } from "bun:test";

import type { Timeline } from "../../../../manager/dashboard/api.ts";
import { describeBar } from "../../../../manager/dashboard/page/bar_text.ts";
import { layoutLanes } from "../../../../manager/dashboard/page/lane_layout.ts";
import {
  fit,
  type Look,
  show,
  takeWhole,
  type TimelineControl,
} from "../../../../manager/dashboard/page/timeline_control.ts";
import {
  countBars,
  layerFor,
  makeLayer,
} from "../../../../manager/dashboard/page/timeline_layer.ts";

/** One slot with a task for each second, and its transfers in one bar. */
function timelineOf(fromMs: number, toMs: number): Timeline {
  const starts = Array.from({ length: Math.floor((toMs - fromMs) / 1_000) }, (_, at) => at * 1_000);
  const all = <Value>(value: Value, other: Value): Value[] => [...starts.map(() => value), other];
  return {
    fromMs,
    toMs,
    lanes: [
      { workerId: "w1", host: "node1", kind: "slot", index: 0 },
      { workerId: "w1", host: "node1", kind: "transfer", index: 0 },
    ],
    bars: {
      lane: all(0, 1),
      startMs: [...starts.map((at) => fromMs + at), fromMs],
      endMs: [...starts.map((at) => fromMs + at + 900), toMs],
      kind: all<"task" | "transfer">("task", "transfer"),
      id: [...starts.keys(), 40],
      count: all(1, 12),
      label: all(0, 1),
      state: all(0, 1),
    },
    labels: ["align", "genome.fa"],
  };
}

function controlOf(timeline: Timeline): TimelineControl {
  const whole = makeLayer(timeline);
  const look = {
    whole,
    part: undefined,
    layout: layoutLanes(timeline.lanes, 10),
    colours: {},
    view: { fromMs: timeline.fromMs, toMs: timeline.toMs },
    isFit: true,
    isFollowing: true,
    pointerX: undefined,
    marked: undefined,
  };
  return {
    // Colours are for painting alone.
    look: look as unknown as Look,
    canvas: () => null,
    box: () => null,
    changed: () => {},
    repaint: () => {},
    tell: () => {},
    grow: () => {},
  };
}

describe("takeWhole()", () => {
  const grown = makeLayer(timelineOf(0, 20_000));

  test("shows all of a run that has grown when all was shown", () => {
    const control = controlOf(timelineOf(0, 10_000));
    takeWhole(control, grown);
    expect(control.look.view).toEqual({ fromMs: 0, toMs: 20_000 });
  });

  test("goes along with the end when the end was shown", () => {
    const control = controlOf(timelineOf(0, 10_000));
    show(control, { fromMs: 6_000, toMs: 10_000 });
    takeWhole(control, grown);
    expect(control.look.view).toEqual({ fromMs: 16_000, toMs: 20_000 });
  });

  test("stays where a person looks elsewhere", () => {
    const control = controlOf(timelineOf(0, 10_000));
    show(control, { fromMs: 2_000, toMs: 4_000 });
    takeWhole(control, grown);
    expect(control.look.view).toEqual({ fromMs: 2_000, toMs: 4_000 });
    fit(control);
    expect(control.look.view).toEqual({ fromMs: 0, toMs: 20_000 });
  });
});

test("layerFor() takes the finer layer where it tells all that is seen", () => {
  const whole = makeLayer(timelineOf(0, 20_000));
  const part = makeLayer(timelineOf(5_000, 9_000));
  const layers = { whole, part };
  expect(layerFor(layers, { workerId: "w1" }, { fromMs: 6_000, toMs: 8_000 })).toBe(part);
  expect(layerFor(layers, { workerId: "w1" }, { fromMs: 6_000, toMs: 9_500 })).toBe(whole);
  expect(layerFor(layers, { workerId: "w2" }, { fromMs: 6_000, toMs: 8_000 })).toBe(whole);
});

test("countBars() counts what merged bars stand for", () => {
  expect(countBars(timelineOf(0, 5_000))).toEqual({ tasks: 5, others: 12 });
});

test("describeBar() tells one task, and several transfers, in words", () => {
  const timeline = timelineOf(0, 5_000);
  const task = describeBar(timeline, 2);
  expect([task.title, task.href]).toEqual(["Task 2: align", "#/tasks/2"]);
  expect(task.lines).toContain("node1, slot 1");
  expect(task.lines.at(-1)).toBe("900 ms");
  const transfers = describeBar(timeline, 5);
  expect([transfers.title, transfers.href]).toEqual(["12 transfers", "#/workers/w1"]);
  expect(transfers.lines).toContain("some failed");
});
