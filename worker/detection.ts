/**
 * What a worker offers: as it was told, or else as it finds out. Who wins is told by its help; what
 * each amount comes from, by `sources`.
 *
 * @module
 */

import { type CustomResources, RESOURCE_NAMES, type Resources } from "../shared/resources.ts";
import { formatSize } from "../shared/units.ts";
import { type FoundAmount, leastFound } from "./found_amount.ts";
import { findGpus, firstIndexes, type GpuDevices, type GpuVariable } from "./gpu_devices.ts";
import { type HostLimits, readHostLimits } from "./host_limits.ts";
import type { EvenShare, StatedResources } from "./options.ts";
import {
  readResourceVariables,
  type VariableAmounts,
  type Variables,
} from "./resource_variables.ts";

/** What a worker is told, and where it looks. */
export interface DetectionOptions {
  readonly stated: StatedResources;
  readonly share?: EvenShare;
  readonly hasPinnedCores: boolean;
  readonly env: Variables;
  readonly freeDiskBytes: number;
  /** Has the system's `dev`, `proc` and `sys`. Default `/`; another one in tests. */
  readonly root?: string;
}

/** What a worker offers. */
export interface Offer {
  readonly resources: Resources;
  /** As many as the resources say; in the words of `gpuVariable`. */
  readonly gpuIds: readonly string[];
  /** By which tasks see the devices that they are given; absent when there is nothing to hide. */
  readonly gpuVariable?: GpuVariable;
  /** Models of the devices: features of the worker. */
  readonly models: readonly string[];
  /** Processors for tries to run on; none unless they are pinned. */
  readonly cpus: readonly number[];
  /** One line for a person. */
  readonly sources: string;
  /** Variables that were passed over, one line each. */
  readonly ignored: readonly string[];
}

/**
 * Of what is free: logs, sandboxes and the ends of blocks are counted nowhere, and are to have room
 * before the disk is full for everybody on it. TaskVine takes half, and does not evict.
 */
const DISK_PART = 0.9;

/** A worker with less would run nothing that does not say so. */
const CORES_MIN = 1;

/**
 * Finds out what was not stated.
 *
 * @throws {Error} When what was stated cannot be had of this machine.
 */
export async function detectOffer(options: DetectionOptions): Promise<Offer> {
  const { stated, env, share, root = "/" } = options;
  const variables = readResourceVariables(env);
  const { user, slurm } = variables;
  const host = readHostLimits(root);
  const free = { amount: Math.floor(options.freeDiskBytes * DISK_PART), from: "free disk" };
  const found = {
    cores: user.cores ?? leastFound(slurm.cores, host.cores) ?? host.cores,
    memory: user.memoryBytes ?? leastFound(slurm.memoryBytes, host.memoryBytes) ?? host.memoryBytes,
    disk: user.diskBytes ?? free,
  };
  const cores = statedAs("--cores", stated.cores) ?? shareOfCores(found.cores, share);
  const memory = statedAs("--memory", stated.memoryBytes) ?? shareOf(found.memory, share);
  const disk = statedAs("--disk", stated.diskBytes) ?? shareOf(found.disk, share);
  const ignored = [...variables.ignored];
  const gpus = await offerGpus(options, variables, ignored);
  const custom = Object.entries(stated.custom ?? {}).filter(([, amount]) => amount > 0);
  const resources: Resources = {
    cores: cores.amount,
    memoryBytes: memory.amount,
    diskBytes: disk.amount,
    gpus: gpus.ids.length,
    ...(custom.length === 0 ? {} : { custom: Object.fromEntries(custom) as CustomResources }),
  };
  const froms = { cores, memory, disk, gpus };
  return {
    resources,
    gpuIds: gpus.ids,
    ...(gpus.ids.length === 0 ? {} : { gpuVariable: gpus.variable }),
    models: [...new Set(gpus.ids.flatMap((id) => gpus.models.get(id) ?? []))],
    cpus: options.hasPinnedCores ? pinnedCpus(host, resources.cores, options) : [],
    sources: describe(resources, (name) => froms[name].from),
    ignored,
  };
}

function statedAs(from: string, amount: number | undefined): FoundAmount | undefined {
  return amount === undefined ? undefined : { amount, from };
}

function shareOf(found: FoundAmount, share: EvenShare | undefined): FoundAmount {
  return { ...found, amount: Math.floor(found.amount / (share?.count ?? 1)) };
}

/** Whole ones are given away whole: the first workers get what is left over. */
function shareOfCores(found: FoundAmount, share: EvenShare | undefined): FoundAmount {
  const { index, count } = share ?? { index: 0, count: 1 };
  // Quotas are fractional; more digits would only be noise.
  const all = Math.floor(found.amount * 100) / 100;
  const part = count === 1 ? all : Math.floor((all + count - 1 - index) / count);
  return { ...found, amount: Math.max(CORES_MIN, part) };
}

type OfferedGpus = Pick<GpuDevices, "variable" | "ids" | "models" | "from">;

const NO_GPUS: OfferedGpus = {
  variable: "CUDA_VISIBLE_DEVICES",
  ids: [],
  models: new Map(),
  from: "--gpus",
};

async function offerGpus(
  { stated, env, share, root = "/" }: DetectionOptions,
  { user, slurm }: VariableAmounts,
  ignored: string[],
): Promise<OfferedGpus> {
  if (stated.gpus === 0) return NO_GPUS;
  const found = await findGpus({ env, root, granted: slurm.gpus });
  const ids = sliceOf(found.ids, share);
  if (stated.gpus !== undefined) {
    return { ...found, ids: stateIds(stated.gpus, { ids, found, share }), from: "--gpus" };
  }
  if (user.gpus === undefined) return { ...found, ids };
  const { amount, from } = user.gpus;
  if (amount > found.ids.length) {
    const has = `${found.ids.length} by ${found.from}`;
    ignored.push(`Cannot offer ${amount} GPUs, as ${from} says: there are ${has}`);
    return { ...found, ids };
  }
  return { ...found, ids: sliceOf(found.ids.slice(0, amount), share), from };
}

/** The first `count` of them; of devices that were not found, as many as are stated. */
function stateIds(
  count: number,
  { ids, found, share }: {
    readonly ids: readonly string[];
    readonly found: GpuDevices;
    readonly share: EvenShare | undefined;
  },
): readonly string[] {
  if (count <= ids.length) return ids.slice(0, count);
  if (found.isFinal) {
    throw new Error(
      `Cannot offer ${count} GPUs, as --gpus says: ${found.from} names ${ids.length} for this worker`,
    );
  }
  const first = (share?.index ?? 0) * count;
  return firstIndexes(first + count).slice(first);
}

/** The part of the worker with that index; the first ones get what is left over. */
function sliceOf<T>(items: readonly T[], share: EvenShare | undefined): readonly T[] {
  if (share === undefined) return items;
  const { index, count } = share;
  const start = (at: number) =>
    Math.floor(items.length / count) * at +
    Math.min(at, items.length % count);
  return items.slice(start(index), start(index + 1));
}

function pinnedCpus(
  host: HostLimits,
  cores: number,
  { share }: DetectionOptions,
): readonly number[] {
  const cpus = sliceOf(host.cpus, share);
  if (cores <= cpus.length) return cpus;
  const has = host.cpus.length === 0
    ? "the system does not say which CPUs there are"
    : `this worker may run on ${cpus.length}`;
  throw new Error(`Cannot pin ${cores} cores, as --pin-cores says: ${has}`);
}

function describe(
  { cores, memoryBytes, diskBytes, gpus, custom = {} }: Resources,
  from: (name: (typeof RESOURCE_NAMES)[number]) => string,
): string {
  const amounts = {
    cores: `${cores} cores`,
    memory: `${formatSize(memoryBytes)} memory`,
    disk: `${formatSize(diskBytes)} disk`,
    gpus: `${gpus} gpus`,
  };
  const known = RESOURCE_NAMES.map((name) => `${amounts[name]} (${from(name)})`);
  const stated = Object.entries(custom).map(([name, amount]) => `${amount} ${name} (--resource)`);
  return `offers ${[...known, ...stated].join(", ")}`;
}
