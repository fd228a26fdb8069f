/**
 * Scenarios in which all that decides where, when, how large and how often tasks run meets: limits
 * and modes of categories, exhaustion, strict inputs, chains, slow workers, hosts that are blocked and
 * drained, wall times, rules for repetition, cancelling, features, licenses; drawn by the seed.
 */

import { CATEGORY_MODES } from "../../manager/core/category.ts";
import type { CategoryChange } from "../../manager/core/event.ts";
import type { Policies } from "../../manager/core/policy.ts";
import { newRandom, nextRandom, nextRandomBelow, type RandomState } from "../../shared/random.ts";
import { combinedScenario, pick } from "./combined.ts";
import type { Scenario } from "./scenario.ts";
import { CATEGORIES } from "./workload.ts";

/** `calm` with some of everything that governs tasks, and of what `combinedScenario` has. */
export function governedScenario(calm: Omit<Scenario, "seed">, seed: number): Scenario {
  const random = newRandom(seed + 1_000_003);
  const is = (chance: number) => nextRandom(random) < chance;
  const count = (chance: number, most: number) =>
    is(chance) ? 1 + nextRandomBelow(random, most) : 0;
  const isHard = is(0.4);
  const base: Scenario = isHard ? combinedScenario(calm, seed) : { ...calm, seed };
  const hasCategories = is(0.7);
  return {
    ...base,
    hasCategories,
    memoryBytes: 10e9,
    categories: hasCategories ? drawCategories(random) : [],
    ...(hasCategories && is(0.4) ? { redeclared: drawCategories(random) } : {}),
    ...(is(0.6) ? { isVaried: true, killEachMs: 0 } : {}),
    hostCount: count(0.3, 3),
    workerCount: 2 + nextRandomBelow(random, 4),
    disturbanceCount: count(0.5, 10),
    isControlled: is(0.4),
    retries: 3,
    failChance: is(0.4) ? 0.15 : 0,
    cancelCount: count(0.4, 6),
    hangChance: is(0.2) ? 0.01 : 0,
    longChance: is(0.4) ? 0.05 : 0,
    wallMs: is(0.3) && !isHard ? 9_000 : 0,
    hostChangeCount: count(0.4, 5),
    // What is guessed of disks is more than small ones have.
    strictChance: is(0.5) && base.diskBytes === undefined ? 0.4 : 0,
    timedChance: is(0.3) ? 0.3 : 0,
    policies: {
      ...base.policies,
      ...drawRules(random),
      retryTimeoutMs: 2_000,
      dispatchAhead: 1 + nextRandomBelow(random, 3),
      dispatchAheadMs: 0,
    },
    ...(is(0.5) ? { tunedTo: { ...base.tunedTo, ...drawRules(random) } } : {}),
  };
}

function drawCategories(random: RandomState): CategoryChange[] {
  return CATEGORIES.map((name): CategoryChange => {
    const mode = pick(random, CATEGORY_MODES);
    const memoryBytes = 200e6 + nextRandom(random) * 3e9;
    const drawn = nextRandom(random);
    return {
      name,
      mode,
      maxConcurrent: nextRandom(random) < 0.3 ? 1 + nextRandomBelow(random, 3) : 0,
      first: drawn < 0.3 ? { memoryBytes } : {},
      min: drawn > 0.8 ? { memoryBytes } : {},
    };
  });
}

function drawRules(random: RandomState): Partial<Policies> {
  const is = (chance: number) => nextRandom(random) < chance;
  return {
    taskGroups: is(0.5),
    slowWorkerFactor: is(0.4) ? 2 : 0,
    hostFailures: is(0.5) ? 2 : 5,
    hostBlockTimeMs: 2_000,
    slowHostTimeoutMs: 3_000,
    categorySteadyTasks: 3,
    categoryMode: is(0.5) ? pick(random, CATEGORY_MODES) : "fixed",
    rampDown: is(0.3),
    proportionalWholeTasks: is(0.3),
    proportionalResources: is(0.9),
    taskDiskShare: is(0.5) ? 0.75 : 0.3,
    sandboxGrowFactor: 1 + nextRandomBelow(random, 3),
  };
}
