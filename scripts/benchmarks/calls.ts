/** Function calls: how many a second, with how much, how soon, and beside ordinary tasks. */
import { measureCallArguments } from "./call_arguments.ts";
import { measureCallLatency } from "./call_latency.ts";
import { measureCallRates } from "./call_rates.ts";
import { measureCallsAgainstTasks } from "./call_tasks.ts";
import type { Figure } from "./figure.ts";
import { findPython } from "./python.ts";

/** The figures of calls, one topic after the other. */
export async function measureCalls(): Promise<Figure[]> {
  await findPython();
  return [
    ...await measureCallRates(),
    ...await measureCallArguments(),
    ...await measureCallLatency(),
    ...await measureCallsAgainstTasks(),
  ];
}
