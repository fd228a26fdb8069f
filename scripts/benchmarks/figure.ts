/** One measured figure, and the table of them. */
import { median } from "./baselines.ts";

/** Runs of each bench; the median counts. */
const RUN_COUNT = 3;

/** What one run measured, and what the machine did without Tendril just before. */
export interface Run {
  readonly value: number;
  readonly baseline: number;
}

/** A figure as its bench states it. */
export interface Figure {
  readonly name: string;
  /** Of the value and the baseline, as `tasks/s`. */
  readonly unit: string;
  /** What the baseline is. */
  readonly beside: string;
  /** What the value should be. */
  readonly aim: string;
  readonly runs: readonly Run[];
}

/** Runs `measure` as often as the median needs. */
export async function repeat<T>(measure: () => Promise<T>): Promise<T[]> {
  const runs: T[] = [];
  for (let run = 0; run < RUN_COUNT; run++) runs.push(await measure());
  return runs;
}

/** Returns the lines of a table with a row for each figure. */
export function tableOf(figures: readonly Figure[]): string {
  const rows = figures.map(({ name, unit, beside, aim, runs }) => {
    const value = median(runs.map((run) => run.value));
    const baseline = median(runs.map((run) => run.baseline));
    const ratio = median(runs.map((run) => run.value / run.baseline));
    const bare = baseline > 0 ? `${show(baseline)} (${beside})` : "";
    return [name, `${show(value)} ${unit}`, bare, baseline > 0 ? ratio.toFixed(2) : "", aim];
  });
  const cells = [["figure", "measured", "baseline", "ratio", "aim"], ...rows];
  const widths = cells[0]?.map((_, column) => Math.max(...cells.map((row) => width(row, column))));
  return cells.map((row) =>
    row.map((cell, column) => cell.padEnd(widths?.[column] ?? 0)).join("  ").trimEnd() + "\n"
  ).join("");
}

function width(row: readonly string[], column: number): number {
  return row[column]?.length ?? 0;
}

/** Three digits that count. */
function show(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
