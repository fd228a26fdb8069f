/**
 * How a task or a library is told what it has of its worker: variables that programs read by
 * themselves, so that eight tasks on eight cores are not eight times eight threads, and none uses the
 * GPU of another. TaskVine's names, and with its unit: MiB.
 */

import type { Resources } from "../shared/resources.ts";
import type { HeldDevices } from "./core/device.ts";
import type { GpuVariable } from "./gpu_devices.ts";

/** What one try or instance has. */
export interface Allocation {
  readonly resources: Resources;
  readonly devices: HeldDevices;
  /** Names GPUs to programs; absent where the worker offers none, and then all is left as it is. */
  readonly gpuVariable: GpuVariable | undefined;
  /** Processes that share the cores between them. Default 1. */
  readonly processCount?: number;
}

/** Numbers of threads: of libraries and runtimes that would start one for every core of the host. */
const THREAD_VARIABLES: readonly string[] = [
  "OMP_NUM_THREADS",
  "OPENBLAS_NUM_THREADS",
  "VECLIB_MAXIMUM_THREADS",
  "MKL_NUM_THREADS",
  "NUMEXPR_NUM_THREADS",
  "BLIS_NUM_THREADS",
  "NUMBA_NUM_THREADS",
  "JULIA_NUM_THREADS",
  "RAYON_NUM_THREADS",
  "POLARS_MAX_THREADS",
  "GOMAXPROCS",
  "LOKY_MAX_CPU_COUNT",
];

/** The worker's own say what the worker has. */
const AMOUNT_VARIABLES: readonly string[] = [
  "CORES",
  "CORES_LIST",
  "MEMORY",
  "DISK",
  "GPUS",
  "GPUS_LIST",
];

/**
 * Variables that hide GPUs, beside the one that a worker names them by: they count within what that
 * one leaves. HIP's count within those of ROCR.
 */
const HIDING_VARIABLES: { readonly [variable in GpuVariable]: readonly string[] } = {
  "CUDA_VISIBLE_DEVICES": ["GPU_DEVICE_ORDINAL"],
  "ROCR_VISIBLE_DEVICES": ["HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL"],
  "HIP_VISIBLE_DEVICES": ["CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL"],
};

const MEBIBYTE: number = 1024 ** 2;

/** `env` with the variables of the allocation in it, and without others of their names. */
export function withAllocation(
  env: { readonly [name: string]: string },
  { resources, devices, gpuVariable, processCount = 1 }: Allocation,
): { [name: string]: string } {
  const told: { [name: string]: string } = { ...env };
  for (const name of AMOUNT_VARIABLES) delete told[name];
  const { cores, memoryBytes, diskBytes, gpus } = resources;
  if (cores > 0) {
    told["CORES"] = wholeOf(cores);
    const threads = wholeOf(cores / processCount);
    for (const name of THREAD_VARIABLES) told[name] = threads;
  }
  // Only what is so: the others run on whichever CPUs are free.
  if (devices.cpus.length > 0) told["CORES_LIST"] = devices.cpus.join(",");
  if (memoryBytes > 0) told["MEMORY"] = String(Math.floor(memoryBytes / MEBIBYTE));
  if (diskBytes > 0) told["DISK"] = String(Math.floor(diskBytes / MEBIBYTE));
  if (gpuVariable === undefined) return told;
  for (const name of HIDING_VARIABLES[gpuVariable]) delete told[name];
  told[gpuVariable] = devices.gpus.join(",");
  if (gpus > 0) {
    told["GPUS"] = String(gpus);
    told["GPUS_LIST"] = devices.gpus.join(",");
  }
  return told;
}

function wholeOf(cores: number): string {
  return String(Math.max(1, Math.floor(cores)));
}
