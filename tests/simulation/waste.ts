/** What each mode of categories wastes on a skewed workload, in the real cores of both roles. */

import { CATEGORY_MODES, type CategoryMode } from "../../manager/core/category.ts";
import type { ResourceRequest } from "../../shared/resources.ts";
import { simulate } from "./simulator.ts";
import { SKEWED_CATEGORY } from "./skewed.ts";

const WORKERS = { workerCount: 8, workerCores: 16, memoryBytes: 16_000_000_000 };

/** Invariants are linear in the tasks: of more than this many, not after every event. */
const CHECKED_TASKS = 100;

/** How tasks are sized. */
export interface Sizing {
  readonly name: string;
  readonly mode: CategoryMode;
  /** What a task states. */
  readonly request: ResourceRequest;
}

/** How one workload went. */
export interface WasteFigures {
  readonly name: string;
  readonly makespanMs: number;
  readonly succeededCount: number;
  /** Tries that had too little. */
  readonly repeatedCount: number;
  /** Memory by time, GB seconds, of all tries. */
  readonly allocated: number;
  /** Of those that succeeded, at their peaks. */
  readonly used: number;
}

/** Every mode, and what a user would state who knows the largest task, or nothing. */
export const SIZINGS: readonly Sizing[] = [
  { name: "fixed, whole worker", mode: "fixed", request: { cores: Infinity } },
  { name: "fixed, guess of 8 GB", mode: "fixed", request: { cores: 1, memoryBytes: 8e9 } },
  ...CATEGORY_MODES.filter((mode) => mode !== "fixed").map((mode) => {
    return { name: mode, mode, request: {} };
  }),
];

/** Runs the workload of that seed. */
export function measureWaste(
  { name, mode, request }: Sizing,
  { seed, taskCount }: { readonly seed: number; readonly taskCount: number },
): WasteFigures {
  const run = simulate({
    ...WORKERS,
    seed,
    taskCount,
    graph: "skewed",
    request,
    categories: [{ name: SKEWED_CATEGORY, mode }],
    // Nothing waits at a worker that another one has room for.
    policies: { dispatchAhead: 1, dispatchAheadMs: 0 },
    checkEach: Math.ceil(taskCount / CHECKED_TASKS),
    disturbanceCount: 0,
    faultChance: 0,
    failChance: 0,
    cancelCount: 0,
  });
  const { use, endedAtMs, outcomes } = run;
  return {
    name,
    makespanMs: endedAtMs,
    succeededCount: [...outcomes.values()].filter((outcome) => outcome === "success").length,
    repeatedCount: use.repeatedCount,
    allocated: use.allocatedByteMs / 1e12,
    used: use.usedByteMs / 1e12,
  };
}

/** The part of what was allocated that nobody used. */
export function wasteOf({ allocated, used }: WasteFigures): number {
  return 1 - used / allocated;
}

/** Lines of a table. */
export function wasteTable(figures: readonly WasteFigures[]): string {
  const rows = figures.map((figure) => [
    figure.name,
    `${(figure.makespanMs / 1_000).toFixed(0)} s`,
    String(figure.repeatedCount),
    figure.allocated.toFixed(0),
    figure.used.toFixed(0),
    `${(100 * wasteOf(figure)).toFixed(1)} %`,
  ]);
  const head = ["mode", "makespan", "repeated", "allocated GB s", "used GB s", "waste"];
  const cells = [head, ...rows];
  const widths = head.map((_, column) => {
    return Math.max(...cells.map((row) => row[column]?.length ?? 0));
  });
  return cells.map((row) => {
    const line = row.map((cell, at) => {
      return at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0);
    });
    return `${line.join("  ")}\n`;
  }).join("");
}
