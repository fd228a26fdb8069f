/** Instances of libraries as metrics: what became of them, and how many there are. */

import type { InstanceId, WorkerId } from "../../shared/ids.ts";
import type { Fact } from "../core/fact.ts";
import type { Count, MetricRegistry, Reading } from "./metric.ts";
import { seriesByName } from "./metric_names.ts";

type InstanceFact = Extract<Fact, { readonly kind: "library_instance" }>;
type Change = InstanceFact["change"];

/** Instances of one library, by what they do. */
interface Counts {
  starting: number;
  ready: number;
  retiring: number;
}

interface Instance {
  readonly workerId: WorkerId;
  readonly counts: Counts;
  state: keyof Counts;
}

/** Counts instances. */
export class LibraryMetrics {
  readonly #changes: { readonly [C in Change]: Count };
  readonly #countsOf: (library: string) => Counts;
  readonly #instances: Map<InstanceId, Instance> = new Map();

  constructor(registry: MetricRegistry) {
    const changes = registry.counters(
      "tendril_library_instance_changes_total",
      "What became of instances of libraries.",
    );
    this.#changes = {
      starting: changes({ change: "starting" }),
      ready: changes({ change: "ready" }),
      retiring: changes({ change: "retiring" }),
      stopped: changes({ change: "stopped" }),
      start_failed: changes({ change: "start_failed" }),
      died: changes({ change: "died" }),
    };
    const all: [library: string, counts: Counts][] = [];
    this.#countsOf = seriesByName((library) => {
      const counts = { starting: 0, ready: 0, retiring: 0 };
      all.push([library, counts]);
      return counts;
    });
    registry.gauges(
      "tendril_library_instances",
      "Instances of libraries at workers, by library and what they do.",
      () =>
        all.flatMap(([library, counts]) =>
          Object.entries(counts).map(([state, count]): Reading => [{ library, state }, count])
        ),
    );
  }

  /** Something became of an instance. */
  count({ library, instanceId, workerId, change }: InstanceFact): void {
    this.#changes[change].value += 1;
    if (change === "starting") {
      const counts = this.#countsOf(library);
      counts.starting += 1;
      this.#instances.set(instanceId, { workerId, counts, state: change });
      return;
    }
    const instance = this.#instances.get(instanceId);
    if (instance === undefined) return;
    if (change !== "ready" && change !== "retiring") return this.#forget(instanceId, instance);
    instance.counts[instance.state] -= 1;
    instance.counts[change] += 1;
    instance.state = change;
  }

  /** The worker left: how each of its instances ends is not told. */
  forgetWorker(workerId: WorkerId): void {
    for (const [id, instance] of this.#instances) {
      if (instance.workerId === workerId) this.#forget(id, instance);
    }
  }

  #forget(id: InstanceId, { counts, state }: Instance): void {
    counts[state] -= 1;
    this.#instances.delete(id);
  }
}
