/** How a manager stands, as metrics that are looked up when somebody asks. */

import process from "node:process";

import type { MetricRegistry, Reading } from "./metric.ts";

/** How a manager stands; the fields are those of its core's summary. */
export interface ManagerNumbers {
  readonly waiting: number;
  readonly ready: number;
  /** Given to a worker, those that run among them. */
  readonly dispatched: number;
  readonly running: number;
  readonly retrieving: number;
  /** So far. */
  readonly nondeterministic: number;
  /** So far. */
  readonly replicasDamaged: number;
  readonly workersConnected: number;
  readonly workersAway: number;
  readonly coresTotal: number;
  readonly coresCommitted: number;
  readonly memoryTotalBytes: number;
  readonly memoryCommittedBytes: number;
  readonly gpusTotal: number;
  readonly gpusCommitted: number;
  readonly diskTotalBytes: number;
  readonly diskCommittedBytes: number;
  readonly diskUsedBytes: number;
  readonly files: number;
  readonly transfersActive: number;
  readonly libraries: number;
}

/** `[name, what it is, where it is found]` */
type Row = readonly [name: string, help: string, read: (numbers: ManagerNumbers) => number];

const GAUGES: readonly Row[] = [
  ["tendril_cores", "Cores of connected workers.", (now) => now.coresTotal],
  [
    "tendril_cores_committed",
    "Of these, set aside for tasks and libraries.",
    (now) => now.coresCommitted,
  ],
  ["tendril_memory_bytes", "Memory of connected workers.", (now) => now.memoryTotalBytes],
  [
    "tendril_memory_committed_bytes",
    "Of this, set aside for tasks and libraries.",
    (now) => now.memoryCommittedBytes,
  ],
  ["tendril_gpus", "GPUs of connected workers.", (now) => now.gpusTotal],
  ["tendril_gpus_committed", "Of these, set aside for tasks.", (now) => now.gpusCommitted],
  ["tendril_disk_bytes", "Disk of connected workers.", (now) => now.diskTotalBytes],
  [
    "tendril_disk_committed_bytes",
    "Of this, set aside for tasks and libraries.",
    (now) => now.diskCommittedBytes,
  ],
  [
    "tendril_disk_used_bytes",
    "Of this, in use by caches and tasks, as workers said last.",
    (now) => now.diskUsedBytes,
  ],
  ["tendril_files", "Files that the manager keeps track of.", (now) => now.files],
  [
    "tendril_transfers_active",
    "Transfers to workers that are under way or wait for their source.",
    (now) => now.transfersActive,
  ],
  ["tendril_libraries", "Libraries that are declared.", (now) => now.libraries],
];

const COUNTERS: readonly Row[] = [
  [
    "tendril_replicas_damaged_total",
    "Copies of files that workers found damaged, and dropped.",
    (now) => now.replicasDamaged,
  ],
  [
    "tendril_files_nondeterministic_total",
    "Files that were made again with other contents than before.",
    (now) => now.nondeterministic,
  ],
];

/** Adds all of them; `numbers` gives the same as long as one text is made. */
export function addGauges(registry: MetricRegistry, numbers: () => ManagerNumbers): void {
  registry.gauges(
    "tendril_tasks",
    "Tasks, calls and recoveries that have not ended, by where they stand.",
    () => {
      const { waiting, ready, dispatched, running, retrieving } = numbers();
      // Those that were called off may run on for a while.
      const staging = Math.max(0, dispatched - running);
      return byLabel("state", { waiting, ready, dispatched: staging, running, retrieving });
    },
  );
  registry.gauges("tendril_workers", "Workers, by how they are connected.", () => {
    const { workersConnected: connected, workersAway: away } = numbers();
    return byLabel("state", { connected, away });
  });
  for (const [name, help, read] of GAUGES) registry.gauge(name, help, () => read(numbers()));
  for (const [name, help, read] of COUNTERS) {
    registry.readCounters(name, help, () => [[{}, read(numbers())]]);
  }
}

/** Adds what Prometheus knows of every process, under the names that it has for it. */
export function addProcess(registry: MetricRegistry): void {
  registry.readCounters("process_cpu_seconds_total", "Processor time of the manager.", () => {
    const { user, system } = process.cpuUsage();
    return [[{}, (user + system) / 1e6]];
  });
  registry.gauge("process_resident_memory_bytes", "Memory of the manager.", () => {
    return process.memoryUsage.rss();
  });
  const startedAtS = performance.timeOrigin / 1_000;
  registry.gauge(
    "process_start_time_seconds",
    "When the manager's process started, since the epoch.",
    () => startedAtS,
  );
}

/** A reading for each value of one label. */
export function byLabel(
  label: string,
  values: { readonly [value: string]: number },
): readonly Reading[] {
  return Object.entries(values).map(([value, number]) => [{ [label]: value }, number]);
}
