import process from "node:process";

import { expect, test } from "bun:test";

import { CALM } from "./scenarios.ts";
import { simulate } from "./simulator.ts";
import { kindOf, TURNS_CORES } from "./turns.ts";

/** Nobody waits longer for a turn: those of the others, and what they run at their ends. */
const GAP_MS_MAX = 15_000;

test("simulate() of calls without end has every library and task served again and again", () => {
  const gaps = new Map<unknown, number>();
  let retired = 0;
  for (let seed = 1; seed <= 3; seed++) {
    const { endedAt, instances } = simulate({
      ...CALM,
      graph: "turns",
      seed,
      taskCount: 300,
      workerCount: 1,
      workerCores: TURNS_CORES,
      policies: { libraryTurnMs: 500 },
    });
    const lastMs = new Map<unknown, number>();
    for (const [taskId, atMs] of endedAt) {
      const kind = kindOf(taskId);
      gaps.set(kind, Math.max(gaps.get(kind) ?? 0, atMs - (lastMs.get(kind) ?? 0)));
      lastMs.set(kind, atMs);
    }
    retired += instances.retired;
  }
  const told = Object.fromEntries([...gaps].map(([kind, ms]) => [String(kind), Math.round(ms)]));
  process.stdout.write(`longest waits in 3 runs: ${JSON.stringify(told)}; ${retired} retired\n`);
  expect(gaps.size).toBe(5);
  for (const gapMs of gaps.values()) expect(gapMs).toBeLessThan(GAP_MS_MAX);
  expect(retired).toBeGreaterThan(20);
});
