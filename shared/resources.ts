/** Amounts of what a worker has and a task asks for. Plain vectors and their arithmetic. */

/** An amount of each resource; what is not stated is 0. */
export interface Resources {
  /** May be fractional. */
  readonly cores: number;
  /** In bytes; 0 is not looked at. */
  readonly memoryBytes: number;
  /** In bytes; 0 is not looked at. */
  readonly diskBytes: number;
  /** Whole. */
  readonly gpus: number;
}

/** Nothing of anything. */
export const NO_RESOURCES: Resources = { cores: 0, memoryBytes: 0, diskBytes: 0, gpus: 0 };

/** Slack for sums of fractional cores: one part in 10,000 of a core, HyperQueue's granularity. */
const CORES_SLACK = 1e-4;

/** The sum of `a` and `b`. */
export function addResources(a: Resources, b: Resources): Resources {
  return {
    cores: a.cores + b.cores,
    memoryBytes: a.memoryBytes + b.memoryBytes,
    diskBytes: a.diskBytes + b.diskBytes,
    gpus: a.gpus + b.gpus,
  };
}

/** `a` less `b`. Cores that are 0 but for rounding become 0. */
export function subtractResources(a: Resources, b: Resources): Resources {
  const cores = a.cores - b.cores;
  return {
    cores: Math.abs(cores) < CORES_SLACK ? 0 : cores,
    memoryBytes: a.memoryBytes - b.memoryBytes,
    diskBytes: a.diskBytes - b.diskBytes,
    gpus: a.gpus - b.gpus,
  };
}

/** The smaller of `a` and `b` of each, and never below 0. */
export function leastResources(a: Resources, b: Resources): Resources {
  return {
    cores: Math.max(0, Math.min(a.cores, b.cores)),
    memoryBytes: Math.max(0, Math.min(a.memoryBytes, b.memoryBytes)),
    diskBytes: Math.max(0, Math.min(a.diskBytes, b.diskBytes)),
    gpus: Math.max(0, Math.min(a.gpus, b.gpus)),
  };
}

/** True when `used` and `more` together are within `factor` times `capacity`. */
export function fitsWithin(
  capacity: Resources,
  use: { used: Resources; more: Resources; factor: number },
): boolean {
  const { used, more, factor } = use;
  return used.cores + more.cores <= capacity.cores * factor + CORES_SLACK &&
    used.memoryBytes + more.memoryBytes <= capacity.memoryBytes * factor &&
    used.diskBytes + more.diskBytes <= capacity.diskBytes * factor &&
    used.gpus + more.gpus <= capacity.gpus * factor;
}
