import { expect, test } from "bun:test";

import { runFlowGraph } from "./flow_run.ts";

/** More by hand: `scripts/simulate flow --seeds N`. */
const SEEDS = 1_000;

test(
  "Flows of random graphs give what plain evaluation gives, and hold nothing at the end",
  async () => {
    let calls = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      try {
        calls += (await runFlowGraph(seed)).calls;
      } catch (error) {
        throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : error}`, {
          cause: error,
        });
      }
    }
    expect(calls).toBeGreaterThan(10 * SEEDS);
  },
  60_000,
);
