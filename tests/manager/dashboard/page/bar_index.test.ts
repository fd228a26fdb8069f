import { describe, expect, test } from "bun:test";

import type { Timeline } from "../../../../manager/dashboard/api.ts";
import {
  barBeside,
  barNear,
  eachBarBetween,
  indexBars,
} from "../../../../manager/dashboard/page/bar_index.ts";

/** Bars as `[lane, start, end]`. */
function barsOf(rows: readonly (readonly [number, number, number])[]): Timeline["bars"] {
  return {
    lane: rows.map(([lane]) => lane),
    startMs: rows.map(([, start]) => start),
    endMs: rows.map(([, , end]) => end),
    kind: rows.map(() => "task" as const),
    id: rows.map((_, index) => index),
    count: rows.map(() => 1),
    label: rows.map(() => 0),
    state: rows.map(() => 0),
  };
}

const index = indexBars(barsOf([[1, 50, 60], [0, 30, 40], [0, 0, 100], [0, 10, 20], [9, 0, 1]]), 2);

function between(lane: number, fromMs: number, toMs: number): readonly number[] {
  const found: number[] = [];
  eachBarBetween(index, { lane, fromMs, toMs }, (bar) => found.push(bar));
  return found;
}

describe("eachBarBetween()", () => {
  test("visits bars of a lane by start, those that began long before too", () => {
    expect(between(0, 35, 38)).toEqual([2, 1]);
    expect(between(0, 0, 100)).toEqual([2, 3, 1]);
    expect(between(1, 0, 49)).toEqual([]);
  });

  test("finds what a look at all bars finds", () => {
    const rows = Array.from(
      { length: 400 },
      (_, at) => [at % 3, (at * 7919) % 1_000, (at * 7919) % 1_000 + (at % 90)] as const,
    );
    const many = indexBars(barsOf(rows), 3);
    for (let fromMs = 0; fromMs < 1_000; fromMs += 37) {
      const found = new Set<number>();
      eachBarBetween(many, { lane: 1, fromMs, toMs: fromMs + 20 }, (bar) => found.add(bar));
      const wanted = [...rows.keys()].filter((at) => {
        const [lane, start, end] = rows[at] ?? [0, 0, 0];
        return lane === 1 && start <= fromMs + 20 && end >= fromMs;
      });
      expect([...found].sort((a, b) => a - b)).toEqual(wanted);
    }
  });
});

test("barNear() takes the nearest within reach", () => {
  expect(barNear(index, 1, 55, 0)).toBe(0);
  expect(barNear(index, 1, 64, 5)).toBe(0);
  expect(barNear(index, 1, 70, 5)).toBeUndefined();
  expect(barNear(index, 0, 15, 1)).toBe(3);
});

test("barBeside() walks a lane to its ends", () => {
  expect(barBeside(index, 2, 1)).toBe(3);
  expect(barBeside(index, 1, -1)).toBe(3);
  expect(barBeside(index, 2, -1)).toBeUndefined();
  expect(barBeside(index, 1, 1)).toBeUndefined();
  expect(barBeside(index, 0, 1)).toBeUndefined();
});
