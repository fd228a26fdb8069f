/** Calls of apps: how many a second, one after the other, how soon, with how much memory. */
import type { Figure } from "./figure.ts";
import { measureFlowChains } from "./flow_chains.ts";
import { measureFlowFanIn } from "./flow_fan_in.ts";
import { measureFlowMemo } from "./flow_memo.ts";
import { measureFlowMemory } from "./flow_memory.ts";
import { measureFlowRates } from "./flow_rates.ts";
import { measureFlowStart } from "./flow_start.ts";
import { findPython } from "./python.ts";

/** The figures of calls of apps, one topic after the other. */
export async function measureFlow(): Promise<Figure[]> {
  await findPython();
  return [
    ...await measureFlowRates(),
    ...await measureFlowChains(),
    ...await measureFlowFanIn(),
    ...await measureFlowStart(),
    ...await measureFlowMemory(),
    ...await measureFlowMemo(),
  ];
}
