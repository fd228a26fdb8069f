/**
 * A manager in numbers for Prometheus: what happens is counted from facts as they come, how it
 * stands is looked up when somebody asks.
 *
 * Names, units and types follow Prometheus's conventions (prometheus.io/docs/practices/naming).
 *
 * @module
 */

import type { Fact } from "../core/fact.ts";
import { addGauges, addProcess, byLabel, type ManagerNumbers } from "./gauges.ts";
import { LibraryMetrics } from "./library_metrics.ts";
import {
  boundsBetween,
  type Count,
  type Histogram,
  type MetricFormat,
  MetricRegistry,
} from "./metric.ts";
import { TaskMetrics } from "./task_metrics.ts";
import { TransferMetrics } from "./transfer_metrics.ts";

const STEP_BOUNDS_S: readonly number[] = boundsBetween(-4, 0);
const DELAY_BOUNDS_S: readonly number[] = boundsBetween(-3, 1);

/** Where metrics look up how things stand. */
export interface MetricsOptions {
  /** Of the program. */
  readonly version: string;
  readonly numbers: () => ManagerNumbers;
  /** `{why: how many requests, connections and messages were turned away}` */
  readonly refused: () => { readonly [kind: string]: number };
  /** Ready tasks that no worker could ever run that is there. */
  readonly unplaceableCount: () => number;
  /** How many calls of each app came to each state so far. */
  readonly apps: () => readonly {
    readonly app: string;
    readonly state: string;
    readonly count: number;
  }[];
  /** What waits to be recorded, and what was left out; undefined when nothing is recorded. */
  readonly records: () => { readonly waiting: number; readonly leftOut: number } | undefined;
}

/** Counts what happens in one manager. */
export class Metrics {
  readonly #options: MetricsOptions;
  readonly #registry: MetricRegistry = new MetricRegistry();
  readonly #tasks: TaskMetrics = new TaskMetrics(this.#registry);
  readonly #transfers: TransferMetrics = new TransferMetrics(this.#registry);
  readonly #libraries: LibraryMetrics = new LibraryMetrics(this.#registry);
  readonly #workers: { readonly [Change in "joined" | "reconnected" | "left"]: Count };
  readonly #hosts: Map<string, "blocked" | "draining"> = new Map();
  readonly #events: Count;
  readonly #steps: Histogram;
  readonly #delays: Histogram;
  /** Looked up once for each text. */
  #numbers: ManagerNumbers;

  constructor(options: MetricsOptions) {
    const { version } = options;
    const registry = this.#registry;
    this.#options = options;
    this.#numbers = options.numbers();
    this.#workers = {
      joined: registry.counter("tendril_workers_joined_total", "Workers that joined."),
      reconnected: registry.counter(
        "tendril_workers_reconnected_total",
        "Workers that came back before they were given up.",
      ),
      left: registry.counter(
        "tendril_workers_left_total",
        "Workers that left, were sent away or were given up.",
      ),
    };
    this.#events = registry.counter(
      "tendril_scheduling_events_total",
      "Events that the scheduler has taken.",
    );
    this.#steps = registry.histograms({
      name: "tendril_scheduling_step_seconds",
      help: "How long the scheduler took for each of its steps, in which it takes what happened.",
      bounds: STEP_BOUNDS_S,
    })({});
    this.#delays = registry.histograms({
      name: "tendril_event_loop_delay_seconds",
      help: "How late the manager's event loop was whenever it was looked at.",
      bounds: DELAY_BOUNDS_S,
    })({});
    addGauges(registry, () => this.#numbers);
    this.#addReadings();
    addProcess(registry);
    registry.gauges("tendril_build_info", "The version of the manager; always 1.", () => {
      return byLabel("version", { [version]: 1 });
    });
  }

  /** The names of all metrics, those of counters with `_total`. */
  get names(): readonly string[] {
    return this.#registry.names;
  }

  /** All numbers as text. */
  render(format: MetricFormat): string {
    this.#numbers = this.#options.numbers();
    return this.#registry.render(format);
  }

  /** The scheduler took so long for a step. */
  noteStep(tookMs: number, eventCount: number): void {
    this.#events.value += eventCount;
    this.#steps.observe(tookMs / 1_000);
  }

  /** The event loop was that late. */
  noteDelay(delayMs: number): void {
    this.#delays.observe(delayMs / 1_000);
  }

  /** Counts what became true. */
  hear(facts: readonly Fact[], atMs: number): void {
    for (const fact of facts) this.#hear(fact, atMs);
  }

  #hear(fact: Fact, atMs: number): void {
    switch (fact.kind) {
      case "task_submitted":
        return this.#tasks.submit(fact);
      case "task_ended":
        return this.#tasks.end(fact);
      case "try_dispatched":
      case "try_started":
      case "try_returned":
      case "try_ended":
        return this.#tasks.countTry(fact);
      case "recovery_started":
      case "recovery_ended":
        return this.#tasks.countRecovery(fact);
      case "transfer_started":
      case "transfer_ended":
      case "transfer_failed":
      case "transfer_called_off":
        return this.#transfers.count(fact, atMs);
      case "replica_ready":
      case "replica_gone":
        return this.#transfers.countReplica(fact.kind);
      case "library_instance":
        return this.#libraries.count(fact);
      default:
        return this.#hearRare(fact);
    }
  }

  /** Of the kinds that are not there nothing is counted. */
  #hearRare(fact: Fact): void {
    switch (fact.kind) {
      case "worker_joined":
        this.#workers.joined.value += 1;
        return;
      case "worker_reconnected":
        this.#workers.reconnected.value += 1;
        return;
      case "worker_left":
        this.#workers.left.value += 1;
        return this.#libraries.forgetWorker(fact.workerId);
      case "host_blocked":
        return void this.#hosts.set(fact.host, "blocked");
      case "host_draining":
        return void this.#hosts.set(fact.host, "draining");
      case "host_unblocked":
        return void this.#hosts.delete(fact.host);
    }
  }

  #addReadings(): void {
    const { refused, unplaceableCount, records, apps } = this.#options;
    const registry = this.#registry;
    registry.gauge(
      "tendril_tasks_unplaceable",
      "Ready tasks that no worker could ever run that is there.",
      unplaceableCount,
    );
    registry.readCounters(
      "tendril_app_calls_total",
      "Calls of apps that came to each state, by app; a call passes several.",
      () => apps().map(({ app, state, count }) => [{ app, state }, count]),
    );
    registry.gauges("tendril_hosts_barred", "Hosts that get no work, by why.", () => {
      const counts = { blocked: 0, draining: 0 };
      for (const state of this.#hosts.values()) counts[state] += 1;
      return byLabel("state", counts);
    });
    registry.readCounters(
      "tendril_refused_total",
      "Requests, connections and messages that were turned away, by why.",
      () => byLabel("kind", refused()),
    );
    registry.gauge(
      "tendril_records_waiting",
      "Facts that wait to be recorded; nothing when there are no records.",
      () => records()?.waiting,
    );
    registry.readCounters(
      "tendril_records_left_out_total",
      "Facts that were not recorded, as too many waited.",
      () => [[{}, records()?.leftOut ?? 0]],
    );
  }
}
