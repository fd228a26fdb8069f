import { describe, expect, test } from "bun:test";

import {
  clampView,
  isAtEnd,
  panView,
  timeTicks,
  VIEW_MS_MIN,
  zoomView,
} from "../../../../manager/dashboard/page/time_axis.ts";

const bounds = { fromMs: 1_000, toMs: 101_000 };

/** Two hours east of Greenwich. */
const EAST = (): number => -120;

describe("zoomView()", () => {
  test("keeps the instant under the pointer where it is", () => {
    const view = zoomView(bounds, { factor: 0.5, aroundMs: 26_000, bounds });
    expect(view).toEqual({ fromMs: 13_500, toMs: 63_500 });
    expect((26_000 - view.fromMs) / 50_000).toBe(0.25);
  });

  test("stops at all of the run and at what is recorded no more finely", () => {
    expect(zoomView(bounds, { factor: 9, aroundMs: 5_000, bounds })).toEqual(bounds);
    const near = zoomView(bounds, { factor: 1e-9, aroundMs: 5_000, bounds });
    expect(near.toMs - near.fromMs).toBe(VIEW_MS_MIN);
  });

  test("gives a view of a run without a length", () => {
    const empty = { fromMs: 7, toMs: 7 };
    expect(zoomView(empty, { factor: 0.5, aroundMs: 7, bounds: empty })).toEqual({
      fromMs: 7,
      toMs: 7 + VIEW_MS_MIN,
    });
  });
});

test("panView() stops at both ends with its length kept", () => {
  const view = { fromMs: 2_000, toMs: 12_000 };
  expect(panView(view, -5_000, bounds)).toEqual({ fromMs: 1_000, toMs: 11_000 });
  expect(panView(view, 5_000, bounds)).toEqual({ fromMs: 7_000, toMs: 17_000 });
  expect(panView(view, 1e9, bounds)).toEqual({ fromMs: 91_000, toMs: 101_000 });
});

test("clampView() shortens what is longer than all", () => {
  expect(clampView({ fromMs: -1e9, toMs: 1e9 }, bounds)).toEqual(bounds);
});

test("isAtEnd() tells whether a view goes along with the run", () => {
  expect(isAtEnd({ fromMs: 50_000, toMs: 101_000 }, bounds)).toBe(true);
  expect(isAtEnd({ fromMs: 50_000, toMs: 99_000 }, bounds)).toBe(false);
});

describe("timeTicks()", () => {
  const atMs = Date.UTC(2026, 2, 4, 22, 0, 3);

  test("stand at round local times, no closer than their labels are wide", () => {
    const ticks = timeTicks({ fromMs: atMs, toMs: atMs + 60_000 }, 600, EAST);
    expect(ticks.map((tick) => tick.label)).toEqual([
      "00:00:10",
      "00:00:20",
      "00:00:30",
      "00:00:40",
      "00:00:50",
      "00:01:00",
    ]);
    expect(ticks[0]?.atMs).toBe(atMs + 7_000);
  });

  test("say the date where a local day begins", () => {
    const ticks = timeTicks({ fromMs: atMs - 7_200_000, toMs: atMs + 7_200_000 }, 500, EAST);
    expect(ticks.map((tick) => [tick.label, tick.isMajor])).toEqual([
      ["23:00", false],
      ["5 Mar", true],
      ["01:00", false],
      ["02:00", false],
    ]);
  });

  test("tell milliseconds when they are seen, and days of a long run", () => {
    const near = timeTicks({ fromMs: atMs, toMs: atMs + 40 }, 400, EAST);
    expect(near[1]?.label).toBe("00:00:03.010");
    const far = timeTicks({ fromMs: atMs, toMs: atMs + 30 * 86_400_000 }, 600, EAST);
    expect(far.every((tick) => tick.isMajor)).toBe(true);
    expect(far.length).toBeLessThanOrEqual(6);
  });

  test("are none of nothing", () => {
    expect(timeTicks({ fromMs: 5, toMs: 5 }, 600)).toEqual([]);
    expect(timeTicks({ fromMs: 5, toMs: 9 }, 0)).toEqual([]);
  });
});
