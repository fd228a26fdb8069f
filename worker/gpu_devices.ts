/**
 * The GPUs of this machine that this process may use, as the variable that hides the others names
 * them, and what they are called.
 *
 * Formats: the CUDA programming guide, "CUDA Environment Variables" (CUDA_VISIBLE_DEVICES: indexes,
 * unique prefixes `GPU-…` and `MIG-…`; what follows the first that is none of these does not count);
 * the output of `nvidia-smi -L`; the kernel's amdkfd topology (nodes with SIMDs are GPUs).
 *
 * @module
 */

import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";

import { join } from "@std/path";

import { withoutRuntimeVariables } from "../shared/runtime/self_command.ts";
import type { FoundAmount } from "./found_amount.ts";
import { listItems, type Variables } from "./resource_variables.ts";

/** By which of them the programs of a task see those devices alone that it names. */
export type GpuVariable = "CUDA_VISIBLE_DEVICES" | "ROCR_VISIBLE_DEVICES" | "HIP_VISIBLE_DEVICES";

/** The devices of one worker. */
export interface GpuDevices {
  readonly variable: GpuVariable;
  /** As the variable takes them: `2`, `GPU-UUID`, `MIG-UUID`. */
  readonly ids: readonly string[];
  /** `{id: model}` of those whose model is known, as `NVIDIA-H100-80GB-HBM3`. */
  readonly models: ReadonlyMap<string, string>;
  /** For a person. */
  readonly from: string;
  /** True when a variable names them: there are no others for this process. */
  readonly isFinal: boolean;
}

/** Where to look. */
export interface GpuSearch {
  readonly env: Variables;
  /** Has the system's `dev`, `proc` and `sys`; another one in tests. */
  readonly root: string;
  /** What Slurm granted, where no variable names the devices. */
  readonly granted: FoundAmount | undefined;
}

/** A device that the system tells of. */
interface SystemDevice {
  readonly id: string;
  /** Of the device, or of the one that it is a part of. */
  readonly uuid?: string;
  readonly index: number;
  readonly model?: string;
}

/** A driver that hangs must not hold up the worker. */
const SMI_MS_MAX = 5_000;
const SMI_CHARS_MAX: number = 1024 * 1024;

const MODEL_CHARS_MAX = 64;

/** More than any host has: managers refuse it. */
export const GPUS_MAX = 4_096;

/** Variables that name devices, best first, and the one to name a part of them by. */
const NVIDIA_VARIABLES: readonly (readonly [string, GpuVariable])[] = [
  ["CUDA_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"],
  ["GPU_DEVICE_ORDINAL", "CUDA_VISIBLE_DEVICES"],
];
const AMD_VARIABLES: readonly (readonly [string, GpuVariable])[] = [
  ["HIP_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"],
  ["ROCR_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"],
  ["CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"],
  ["GPU_DEVICE_ORDINAL", "HIP_VISIBLE_DEVICES"],
];

/** Finds the devices. */
export async function findGpus({ env, root, granted }: GpuSearch): Promise<GpuDevices> {
  const at = (path: string) => join(root, path);
  const isNvidia = existsSync(at("/dev/nvidiactl")) || existsSync(at("/proc/driver/nvidia"));
  const isAmd = !isNvidia && existsSync(at("/dev/kfd"));
  const named = nameOf(env, isAmd ? AMD_VARIABLES : NVIDIA_VARIABLES);
  if (named?.ids.length === 0) return { ...named, models: new Map(), isFinal: true };
  const [system, from] = isNvidia
    ? await findNvidia(env, root)
    : isAmd
    ? [findAmd(root), "amdkfd"] as const
    : [[], "no driver"] as const;
  if (named !== undefined) {
    return { ...named, models: modelsOf(named.ids, system), isFinal: true };
  }
  const variable = isAmd ? "ROCR_VISIBLE_DEVICES" : "CUDA_VISIBLE_DEVICES";
  const ids = system.map(({ id }) => id);
  if (granted === undefined || ids.length > 0 && granted.amount >= ids.length) {
    return { variable, ids, models: modelsOf(ids, system), from, isFinal: false };
  }
  // Of a kind that is not known here, it still has granted as many.
  const kept = ids.length > 0 ? ids.slice(0, granted.amount) : firstIndexes(granted.amount);
  return {
    variable,
    ids: kept,
    models: modelsOf(kept, system),
    from: granted.from,
    isFinal: false,
  };
}

/** `0`, `1` and so on. */
export function firstIndexes(count: number): string[] {
  return Array.from({ length: Math.min(count, GPUS_MAX) }, (_, index) => String(index));
}

function nameOf(
  env: Variables,
  variables: readonly (readonly [string, GpuVariable])[],
): Pick<GpuDevices, "variable" | "ids" | "from"> | undefined {
  for (const [from, variable] of variables) {
    const text = env[from];
    if (text === undefined) continue;
    const items = listItems(text);
    const end = items.findIndex((item) => !/^(?:\d{1,4}|(?:GPU|MIG)-[\w/-]+)$/.test(item));
    return { variable, from, ids: [...new Set(end < 0 ? items : items.slice(0, end))] };
  }
  return undefined;
}

function modelsOf(
  ids: readonly string[],
  system: readonly SystemDevice[],
): ReadonlyMap<string, string> {
  const models = new Map<string, string>();
  for (const id of ids) {
    const device = system.find((known) => known.id === id || known.uuid?.startsWith(id)) ??
      system.find(({ index }) => String(index) === id);
    if (device?.model !== undefined) models.set(id, device.model);
  }
  return models;
}

async function findNvidia(
  env: Variables,
  root: string,
): Promise<readonly [readonly SystemDevice[], string]> {
  const listed = await runNvidiaSmi(env);
  if (listed !== undefined) return [parseNvidiaSmi(listed), "nvidia-smi"];
  return [readNvidiaDriver(root), "/proc/driver/nvidia"];
}

/** What `nvidia-smi -L` prints; undefined when it cannot be run, fails or takes too long. */
function runNvidiaSmi(env: Variables): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  // One that waits for the driver cannot even be killed.
  const limit = setTimeout(() => resolve(undefined), SMI_MS_MAX);
  const options = {
    env: withoutRuntimeVariables(env),
    timeout: SMI_MS_MAX,
    killSignal: "SIGKILL",
    maxBuffer: SMI_CHARS_MAX,
  } as const;
  execFile("nvidia-smi", ["-L"], options, (error, stdout) => {
    resolve(error === null ? stdout : undefined);
  });
  return promise.finally(() => clearTimeout(limit));
}

/** A device that is divided (MIG) is used by its parts alone. */
function parseNvidiaSmi(text: string): SystemDevice[] {
  const devices: SystemDevice[] = [];
  let whole: SystemDevice | undefined;
  for (const line of text.split("\n")) {
    const [, index, name = "", uuid = ""] =
      /^GPU (\d{1,4}): (.*?)(?: \(UUID: (GPU-[\w-]+)\))?\s*$/.exec(line) ?? [];
    if (index !== undefined) {
      whole = { id: index, uuid, index: Number(index), ...modelName(name) };
      devices.push(whole);
      continue;
    }
    const part = /^\s+MIG .*\(UUID: (MIG-[\w/-]+)\)/.exec(line)?.[1];
    if (part === undefined || whole === undefined) continue;
    if (devices.at(-1) === whole) devices.pop();
    // No index: that of a divided device names none of its parts.
    const { model } = whole;
    devices.push({ id: part, uuid: part, index: -1, ...(model === undefined ? {} : { model }) });
  }
  return devices;
}

function readNvidiaDriver(root: string): SystemDevice[] {
  const directory = join(root, "/proc/driver/nvidia/gpus");
  // In the order of their bus, as nvidia-smi counts.
  return entries(directory).map((name, index) => {
    const text = read(join(directory, name, "information"));
    const model = /^Model:\s*(.+?)\s*$/m.exec(text)?.[1];
    const uuid = /^GPU UUID:\s*(GPU-[\w-]+)\s*$/m.exec(text)?.[1];
    const known = uuid === undefined ? {} : { uuid };
    return { id: String(index), index, ...known, ...modelName(model ?? "") };
  });
}

function findAmd(root: string): SystemDevice[] {
  const directory = join(root, "/sys/class/kfd/kfd/topology/nodes");
  const nodes = entries(directory).toSorted((a, b) => Number(a) - Number(b));
  const gpus = nodes.filter((node) => {
    return /^simd_count [1-9]/m.test(read(join(directory, node, "properties")));
  });
  return gpus.map((_, index) => ({ id: String(index), index }));
}

/** A name that can be a feature: no spaces. */
function modelName(text: string): { readonly model?: string } {
  const model = text.trim().replace(/[\s,]+/g, "-").slice(0, MODEL_CHARS_MAX);
  return model === "" ? {} : { model };
}

function entries(directory: string): string[] {
  try {
    return readdirSync(directory).toSorted();
  } catch {
    // No such driver.
    return [];
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // Nothing is known from it then.
    return "";
  }
}
