import { describe, expect, test } from "bun:test";

import {
  fittingLanePx,
  groupsBetween,
  type Lane,
  laneAt,
  layoutLanes,
} from "../../../../manager/dashboard/page/lane_layout.ts";

/** Workers of two slots, a library lane and a transfer lane, told all mixed up. */
function lanesOf(workerCount: number): readonly Lane[] {
  const kinds: readonly [Lane["kind"], number][] = [
    ["transfer", 0],
    ["slot", 1],
    ["library", 0],
    ["slot", 0],
  ];
  return kinds.flatMap(([kind, index]) =>
    Array.from({ length: workerCount }, (_, worker) => ({
      workerId: `w${worker}`,
      host: `host-${worker}`,
      kind,
      index,
    }))
  );
}

describe("layoutLanes()", () => {
  test("puts lanes of a worker together: slots, then libraries, then transfers", () => {
    const lanes = lanesOf(2);
    const layout = layoutLanes(lanes, 10);
    expect(layout.order.map((lane) => `${lanes[lane]?.workerId} ${lanes[lane]?.kind}`)).toEqual([
      "w0 slot",
      "w0 slot",
      "w0 library",
      "w0 transfer",
      "w1 slot",
      "w1 slot",
      "w1 library",
      "w1 transfer",
    ]);
    expect(lanes[layout.order[0] ?? -1]?.index).toBe(0);
    expect(layout.groups.map((group) => group.name)).toEqual(["host-0", "host-1"]);
  });

  test("lets no lane of 500 workers overlap another", () => {
    const layout = layoutLanes(lanesOf(500), 7);
    const tops = layout.order.map((lane) => layout.laneTopPx[lane] ?? NaN);
    for (let place = 1; place < tops.length; place++) {
      expect((tops[place] ?? 0) - (tops[place - 1] ?? 0)).toBeGreaterThanOrEqual(7);
    }
    expect(layout.heightPx).toBe((tops.at(-1) ?? 0) + 7);
  });

  test("is empty of no lanes", () => {
    expect(layoutLanes([], 10).heightPx).toBe(0);
  });
});

test("groupsBetween() gives those that are seen in part", () => {
  const layout = layoutLanes(lanesOf(500), 10);
  const [first, end] = groupsBetween(layout, 1_000, 1_200);
  for (const [index, group] of layout.groups.entries()) {
    const isSeen = group.topPx < 1_200 && group.topPx + group.heightPx > 1_000;
    expect(index >= first && index < end).toBe(isSeen);
  }
  expect(groupsBetween(layout, 1e9, 1e9 + 5)).toEqual([500, 500]);
});

test("laneAt() finds the lane under a pointer, and none between workers", () => {
  const lanes = lanesOf(3);
  const layout = layoutLanes(lanes, 10);
  for (const [lane, topPx] of layout.laneTopPx.entries()) {
    expect(laneAt(layout, topPx)).toBe(lane);
    expect(laneAt(layout, topPx + 9.9)).toBe(lane);
  }
  expect(laneAt(layout, 42)).toBeUndefined();
  expect(laneAt(layout, -3)).toBeUndefined();
  expect(laneAt(layout, layout.heightPx + 1)).toBeUndefined();
});

test("fittingLanePx() fits few lanes in, and keeps many readable", () => {
  const few = lanesOf(3);
  expect(layoutLanes(few, fittingLanePx(few, 260)).heightPx).toBeLessThanOrEqual(260);
  expect(fittingLanePx(lanesOf(500), 260)).toBeGreaterThanOrEqual(8);
});
