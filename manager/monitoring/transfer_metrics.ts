/** Transfers of files and their copies as metrics, by the route that they take. */

import type { TransferId } from "../../shared/ids.ts";
import type { Fact } from "../core/fact.ts";
import { boundsBetween, type Count, type Histogram, type MetricRegistry } from "./metric.ts";
import { StartTimes } from "./start_times.ts";

const DURATION_BOUNDS_S: readonly number[] = boundsBetween(-3, 3);
const SIZE_BOUNDS_BYTES: readonly number[] = boundsBetween(3, 11);

/** Every way that a file can take. A worker makes what is of a recipe: no bytes are moved. */
const ROUTES = [
  "manager_to_worker",
  "worker_to_worker",
  "url_to_worker",
  "recipe_to_worker",
  "worker_to_manager",
  "worker_to_url",
] as const;

type TransferFact = Extract<
  Fact,
  { readonly kind: `transfer_${string}` }
>;

/** Where transfers of one route are counted. */
interface RouteSeries {
  readonly done: Count;
  readonly failed: Count;
  readonly calledOff: Count;
  readonly bytes: Count;
  readonly duration: Histogram;
  readonly size: Histogram;
}

/** Counts transfers and replicas. */
export class TransferMetrics {
  readonly #routes: ReadonlyMap<string, RouteSeries>;
  readonly #transfers: StartTimes<TransferId> = new StartTimes();
  readonly #ready: Count;
  readonly #gone: Count;

  constructor(registry: MetricRegistry) {
    this.#routes = newRoutes(registry);
    this.#ready = registry.counter(
      "tendril_replicas_ready_total",
      "Copies of files that came to be at workers.",
    );
    this.#gone = registry.counter(
      "tendril_replicas_gone_total",
      "Copies of files that workers do not have any more.",
    );
  }

  /** A transfer began or ended. */
  count({ kind, transferId, from, to, movedBytes }: TransferFact, atMs: number): void {
    if (kind === "transfer_started") return this.#transfers.begin(transferId, atMs);
    const startedAtMs = this.#transfers.take(transferId);
    const route = this.#routes.get(`${from}_to_${to}`);
    if (route === undefined) return;
    route.bytes.value += movedBytes;
    const { failed, calledOff, done } = route;
    const count = kind === "transfer_ended"
      ? done
      : kind === "transfer_failed"
      ? failed
      : calledOff;
    count.value += 1;
    if (count !== done) return;
    route.size.observe(movedBytes);
    if (startedAtMs !== undefined) route.duration.observe((atMs - startedAtMs) / 1_000);
  }

  /** A worker has a copy, or does not have it any more. */
  countReplica(kind: "replica_ready" | "replica_gone"): void {
    if (kind === "replica_ready") this.#ready.value += 1;
    else this.#gone.value += 1;
  }
}

function newRoutes(registry: MetricRegistry): ReadonlyMap<string, RouteSeries> {
  const counts = registry.counters(
    "tendril_transfers_total",
    "Attempts to move a file that ended, by route and result.",
  );
  const bytes = registry.counters(
    "tendril_transferred_bytes_total",
    "Bytes of files that were moved, by route; those of failed attempts are among them.",
  );
  const durations = registry.histograms({
    name: "tendril_transfer_duration_seconds",
    help: "How long attempts to move a file took that succeeded, by route.",
    bounds: DURATION_BOUNDS_S,
  });
  const sizes = registry.histograms({
    name: "tendril_transfer_size_bytes",
    help: "What attempts to move a file moved that succeeded, by route.",
    bounds: SIZE_BOUNDS_BYTES,
  });
  return new Map(ROUTES.map((route) => [route, {
    done: counts({ route, result: "done" }),
    failed: counts({ route, result: "failed" }),
    calledOff: counts({ route, result: "called_off" }),
    bytes: bytes({ route }),
    duration: durations({ route }),
    size: sizes({ route }),
  }]));
}
