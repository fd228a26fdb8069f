import { expect, test } from "bun:test";

import { measureWaste, SIZINGS, type WasteFigures, wasteOf } from "./waste.ts";

test("measureWaste() has all tasks succeed in each mode, and less wasted than in fixed", () => {
  const taskCount = 250;
  const figures = new Map<string, WasteFigures>();
  for (const sizing of SIZINGS) {
    const figure = measureWaste(sizing, { seed: 1, taskCount });
    expect([sizing.name, figure.succeededCount]).toEqual([sizing.name, taskCount]);
    figures.set(sizing.name, figure);
  }
  const of = (name: string) => wasteOf(figures.get(name)!);
  expect(of("max_throughput")).toBeLessThan(of("fixed, guess of 8 GB"));
  expect(of("min_waste")).toBeLessThan(of("fixed, guess of 8 GB"));
  expect(of("fixed, guess of 8 GB")).toBeLessThan(of("fixed, whole worker"));
  // Whatever was repeated, the same work was done.
  const used = [...figures.values()].map((figure) => figure.used.toFixed(3));
  expect(new Set(used).size).toBe(1);
  expect(figures.get("max_throughput")?.repeatedCount).toBeGreaterThan(0);
});
