/** The metrics of one manager: what hears its facts and steps, and knows where the rest is found. */

import { VERSION } from "../shared/version.ts";
import type { ManagerState } from "./core/state.ts";
import { summarize } from "./core/summary.ts";
import { unplaceableTasks } from "./core/unplaceable.ts";
import type { MetricsAnswer } from "./dashboard/routes.ts";
import type { Engine } from "./engine.ts";
import { LoopDelay } from "./monitoring/loop_delay.ts";
import { CONTENT_TYPES, metricFormatFor } from "./monitoring/metric.ts";
import { Metrics, type MetricsOptions } from "./monitoring/metrics.ts";
import type { RefusalCounts } from "./refusal.ts";

/** What the metrics of a manager are made of. */
export interface ManagerMetricsOptions extends Pick<MetricsOptions, "records" | "apps"> {
  readonly engine: Engine;
  readonly state: ManagerState;
  readonly refused: () => RefusalCounts;
}

/** Counts until it is disposed of. */
export class ManagerMetrics implements Disposable {
  readonly #metrics: Metrics;
  readonly #delay: LoopDelay;
  readonly #stop: readonly (() => void)[];

  constructor({ engine, state, refused, records, apps }: ManagerMetricsOptions) {
    const metrics = new Metrics({
      version: VERSION,
      numbers: () => summarize(state),
      refused: () => ({ ...refused() }),
      unplaceableCount: () =>
        unplaceableTasks(state).reduce((sum, { taskCount }) => sum + taskCount, 0),
      records,
      apps,
    });
    this.#metrics = metrics;
    this.#delay = new LoopDelay((delayMs) => metrics.noteDelay(delayMs));
    this.#stop = [
      engine.subscribe((facts, atMs) => metrics.hear(facts, atMs)),
      engine.watchSteps((tookMs, eventCount) => metrics.noteStep(tookMs, eventCount)),
    ];
  }

  /** All numbers as text, in the format that such a header `Accept` asks for. */
  render(accept?: string): MetricsAnswer {
    const format = metricFormatFor(accept);
    return { contentType: CONTENT_TYPES[format], text: this.#metrics.render(format) };
  }

  /** Counts no more. */
  [Symbol.dispose](): void {
    this.#delay[Symbol.dispose]();
    for (const stop of this.#stop) stop();
  }
}
