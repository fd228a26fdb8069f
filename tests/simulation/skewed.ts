/** Tasks of one category whose memory follows a skewed distribution: most small, a few very large. */

import type { TaskTemplate } from "../../manager/core/event.ts";
import type { TaskId } from "../../shared/ids.ts";
import { newRandom, nextRandom, type RandomState } from "../../shared/random.ts";
import type { ResourceRequest } from "../../shared/resources.ts";
import { emptyWorkload, type Workload } from "./workload.ts";

/** Log-normal: half of the tasks use less. */
const MEDIAN_BYTES = 500_000_000;

/** No task uses more. */
const MOST_BYTES = 8_000_000_000;

/** Of the logarithm: a task of 30 uses more than 2.5 GB, one of 1,000 more than 8. */
const SIGMA = 0.9;

const MEDIAN_MS = 4_000;

/** The category of all of them. */
export const SKEWED_CATEGORY = "skewed";

/** Makes `taskCount` tasks that state `request`; the same for the same seed, whatever they state. */
export function newSkewed(
  { seed, taskCount, request }: {
    readonly seed: number;
    readonly taskCount: number;
    readonly request: ResourceRequest;
  },
): Workload {
  const random = newRandom(seed);
  const workload = emptyWorkload();
  const template: TaskTemplate = {
    request,
    category: SKEWED_CATEGORY,
    env: {},
    timeoutMs: 0,
    minTimeMs: 0,
  };
  for (let id = 1; id <= taskCount; id++) {
    const taskId = id as TaskId;
    const factor = Math.exp(SIGMA * nextNormal(random));
    const peakBytes = Math.min(MOST_BYTES, Math.round(MEDIAN_BYTES * factor));
    // Large ones run a little longer.
    const ranMs = MEDIAN_MS * factor ** 0.3 * Math.exp(0.3 * nextNormal(random));
    workload.plans.set(taskId, { outcome: "success", ranMs, peakBytes });
    workload.tasks.push({
      taskId,
      template,
      environments: [],
      features: [],
      body: { kind: "command", command: "true" },
      inputs: [],
      outputs: [],
      priority: 0,
      retries: 0,
      workerLosses: 5,
    });
  }
  return workload;
}

/** Box and Muller. */
function nextNormal(random: RandomState): number {
  const radius = Math.sqrt(-2 * Math.log(1 - nextRandom(random)));
  return radius * Math.cos(2 * Math.PI * nextRandom(random));
}
