import { expect, test } from "bun:test";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import process from "node:process";

import { join } from "@std/path";

import { findGpus, type GpuDevices } from "../../worker/gpu_devices.ts";
import type { Variables } from "../../worker/resource_variables.ts";
import { FakeRoot, type SystemFiles } from "./fake_root.ts";

const DRIVER = { "/dev/nvidiactl": "" };
const TWO = `GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-aaaa-1)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-bbbb-2)
`;
const DIVIDED = `GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-aaaa-1)
  MIG 3g.20gb     Device  0: (UUID: MIG-c7384736-a75d)
  MIG 3g.20gb     Device  1: (UUID: MIG-d8495847-b86e)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-bbbb-2)
`;

/** Where `nvidia-smi` is a script of that text. */
async function find(
  { files = DRIVER, smi = "exit 9", env = {}, granted }: {
    files?: SystemFiles;
    smi?: string;
    env?: Variables;
    granted?: number;
  },
): Promise<GpuDevices> {
  using root = new FakeRoot(files);
  const bin = join(root.path, "bin");
  mkdirSync(bin);
  writeFileSync(join(bin, "nvidia-smi"), `#!/bin/sh\n${smi}\n`);
  chmodSync(join(bin, "nvidia-smi"), 0o755);
  return await findGpus({
    env: { PATH: `${bin}:${process.env["PATH"]}`, ...env },
    root: root.path,
    granted: granted === undefined ? undefined : { amount: granted, from: "SLURM_GPUS_ON_NODE" },
  });
}

function listing(text: string): string {
  return `[ "$*" = "-L" ] && cat <<'END'\n${text}END`;
}

test("findGpus() takes those that CUDA_VISIBLE_DEVICES names, to the first that is none", async () => {
  const idsOf = async (list: string) => {
    const found = await find({ files: {}, env: { CUDA_VISIBLE_DEVICES: list } });
    expect(found).toMatchObject({ from: "CUDA_VISIBLE_DEVICES", isFinal: true });
    return found.ids;
  };
  expect(await idsOf("2,0")).toEqual(["2", "0"]);
  expect(await idsOf(" GPU-aaaa-1 , MIG-c7384736-a75d,MIG-GPU-aaaa/1/0")).toEqual([
    "GPU-aaaa-1",
    "MIG-c7384736-a75d",
    "MIG-GPU-aaaa/1/0",
  ]);
  expect(await idsOf("0,-1,1")).toEqual(["0"]);
  expect(await idsOf("1,1")).toEqual(["1"]);
  expect(await idsOf("")).toEqual([]);
  expect(await idsOf("NoDevFiles")).toEqual([]);
});

test("findGpus() asks nvidia-smi where the driver is, and learns the models", async () => {
  const found = await find({ smi: listing(TWO) });
  expect(found).toMatchObject({ ids: ["0", "1"], from: "nvidia-smi", isFinal: false });
  expect([...found.models]).toEqual([
    ["0", "NVIDIA-H100-80GB-HBM3"],
    ["1", "NVIDIA-A100-SXM4-40GB"],
  ]);
  const named = await find({ smi: listing(TWO), env: { CUDA_VISIBLE_DEVICES: "GPU-bbbb" } });
  expect([...named.models]).toEqual([["GPU-bbbb", "NVIDIA-A100-SXM4-40GB"]]);
  expect((await find({ smi: listing(TWO), files: {} })).ids).toEqual([]);
});

test("findGpus() takes the parts of a device that is divided", async () => {
  const found = await find({ smi: listing(DIVIDED) });
  expect(found.ids).toEqual(["MIG-c7384736-a75d", "MIG-d8495847-b86e", "1"]);
  expect(new Set(found.models.values())).toEqual(new Set(["NVIDIA-A100-SXM4-40GB"]));
});

test("findGpus() asks the driver itself where nvidia-smi fails", async () => {
  const files = {
    "/proc/driver/nvidia/gpus/0000:17:00.0/information":
      "Model: \t\t NVIDIA L4\nGPU UUID: \t GPU-aaaa-1\n",
    "/proc/driver/nvidia/gpus/0000:65:00.0/information": "Model: \t\t NVIDIA L4\n",
  };
  const found = await find({ files });
  expect(found).toMatchObject({ ids: ["0", "1"], from: "/proc/driver/nvidia" });
  expect([...found.models.values()]).toEqual(["NVIDIA-L4", "NVIDIA-L4"]);
});

test("findGpus() takes as many as Slurm granted, though nothing shows them", async () => {
  expect((await find({ smi: listing(TWO), granted: 1 })).ids).toEqual(["0"]);
  expect((await find({ smi: listing(TWO), granted: 4 })).ids).toEqual(["0", "1"]);
  expect(await find({ files: {}, granted: 2 })).toMatchObject({
    ids: ["0", "1"],
    from: "SLURM_GPUS_ON_NODE",
  });
  expect((await find({ files: {}, env: { CUDA_VISIBLE_DEVICES: "5" }, granted: 2 })).ids)
    .toEqual(["5"]);
});

test("findGpus() counts the nodes of amdkfd that have SIMDs, and reads AMD's variables", async () => {
  const files = {
    "/dev/kfd": "",
    "/sys/class/kfd/kfd/topology/nodes/0/properties": "cpu_cores_count 64\nsimd_count 0\n",
    "/sys/class/kfd/kfd/topology/nodes/1/properties": "cpu_cores_count 0\nsimd_count 440\n",
    "/sys/class/kfd/kfd/topology/nodes/2/properties": "cpu_cores_count 0\nsimd_count 440\n",
  };
  expect(await find({ files })).toMatchObject({
    ids: ["0", "1"],
    variable: "ROCR_VISIBLE_DEVICES",
    from: "amdkfd",
  });
  expect(await find({ files, env: { ROCR_VISIBLE_DEVICES: "1" } })).toMatchObject({
    ids: ["1"],
    variable: "ROCR_VISIBLE_DEVICES",
  });
  const both = { ROCR_VISIBLE_DEVICES: "3,5", HIP_VISIBLE_DEVICES: "1" };
  expect(await find({ files, env: both })).toMatchObject({
    ids: ["1"],
    variable: "HIP_VISIBLE_DEVICES",
  });
});
