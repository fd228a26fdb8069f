/** Outputs that a failed try left and that are wanted of failures only: as many as can be had. */

import type { Outcome, OutputFacts, OutputMount } from "../shared/task.ts";
import { type OutputPlaces, takeOutputs } from "./task_output.ts";

/**
 * Failures after which nothing is taken: nobody wants it, it has no room, or the try did not run or
 * is not to be believed.
 */
const WITHOUT_OUTPUTS: ReadonlySet<Outcome> = new Set<Outcome>([
  "success",
  "cancelled",
  "disk_full",
  "start_failed",
  "input_missing",
  "input_modified",
]);

/** Takes what is wanted of a failure, each by itself; what is not there is no further failure. */
export async function takeFailureOutputs(
  places: OutputPlaces,
  wanted: readonly OutputMount[],
  outcome: Outcome,
): Promise<readonly OutputFacts[]> {
  if (WITHOUT_OUTPUTS.has(outcome)) return [];
  const outputs: OutputFacts[] = [];
  for (const output of wanted) {
    if (output.only !== "failure") continue;
    try {
      const taken = await takeOutputs(places, [output]);
      if (taken.kind === "taken") outputs.push(...taken.outputs);
    } catch {
      // The disk fails or is full: how the task failed is what its user has to know.
    }
  }
  return outputs;
}
