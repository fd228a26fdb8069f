import { expect, test } from "bun:test";

import { type DetectionOptions, detectOffer, type Offer } from "../../worker/detection.ts";
import { FakeRoot, PLAIN_HOST, type SystemFiles } from "./fake_root.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;

async function offerOf(
  { files = {}, ...options }: Partial<DetectionOptions> & { readonly files?: SystemFiles } = {},
): Promise<Offer> {
  using root = new FakeRoot({ ...PLAIN_HOST, ...files });
  return await detectOffer({
    stated: {},
    hasPinnedCores: false,
    env: {},
    freeDiskBytes: 1e12,
    root: root.path,
    ...options,
  });
}

test("detectOffer() finds out what was not stated, and says from what", async () => {
  const { resources, sources, ignored, gpuVariable } = await offerOf();
  expect(resources).toEqual({ cores: 16, memoryBytes: 64 * GIB, diskBytes: 9e11, gpus: 0 });
  expect(sources).toBe(
    "offers 16 cores (affinity), 68.7 GB memory (total memory), 900 GB disk (free disk), " +
      "0 gpus (no driver)",
  );
  expect(ignored).toEqual([]);
  expect(gpuVariable).toBeUndefined();
});

test("detectOffer() has options win over the user's variables, and those over Slurm's", async () => {
  const slurm = { SLURM_CPUS_PER_TASK: "4", SLURM_MEM_PER_NODE: "4096" };
  const granted = await offerOf({ env: slurm });
  expect(granted.resources).toMatchObject({ cores: 4, memoryBytes: 4 * GIB });
  expect(granted.sources).toContain(
    "4 cores (SLURM_CPUS_PER_TASK), 4.29 GB memory (SLURM_MEM_PER_NODE)",
  );
  const env = { ...slurm, CORES: "6", MEMORY: "100", DISK: "7", GPUS: "1" };
  const user = await offerOf({ env: { ...env, CUDA_VISIBLE_DEVICES: "3,1" } });
  expect(user.resources).toEqual({
    cores: 6,
    memoryBytes: 100 * MIB,
    diskBytes: 7 * MIB,
    gpus: 1,
  });
  expect(user.gpuIds).toEqual(["3"]);
  const stated = {
    cores: 2.5,
    memoryBytes: 5,
    diskBytes: 6,
    gpus: 2,
    custom: { license: 2, a: 0 },
  };
  const all = await offerOf({ env, stated });
  expect(all.resources).toEqual({ ...stated, custom: { license: 2 } });
  expect(all.sources).toBe(
    "offers 2.5 cores (--cores), 5 B memory (--memory), 6 B disk (--disk), 2 gpus (--gpus), " +
      "2 license (--resource)",
  );
});

test("detectOffer() takes the least of what Slurm granted and what the system allows", async () => {
  const files = {
    "/sys/fs/cgroup/cpu.max": "150000 100000\n",
    "/sys/fs/cgroup/memory.max": String(GIB),
  };
  const env = { SLURM_CPUS_ON_NODE: "8", SLURM_MEM_PER_NODE: "4096" };
  const { resources } = await offerOf({ files, env });
  expect(resources).toMatchObject({ cores: 1.5, memoryBytes: GIB });
  const half = { "/sys/fs/cgroup/cpu.max": "50000 100000\n" };
  expect((await offerOf({ files: half })).resources.cores).toBe(1);
});

test("detectOffer() gives each of several workers a part of what is found", async () => {
  const env = { CUDA_VISIBLE_DEVICES: "0,1,2" };
  const files = { "/proc/self/status": "Cpus_allowed_list:\t0-4\n" };
  const parts = await Promise.all([0, 1].map((index) => {
    return offerOf({ env, files, share: { index, count: 2 }, hasPinnedCores: true });
  }));
  expect(parts.map(({ resources }) => resources)).toEqual([
    { cores: 3, memoryBytes: 32 * GIB, diskBytes: 4.5e11, gpus: 2 },
    { cores: 2, memoryBytes: 32 * GIB, diskBytes: 4.5e11, gpus: 1 },
  ]);
  expect(parts.map(({ gpuIds }) => gpuIds)).toEqual([["0", "1"], ["2"]]);
  expect(parts.map(({ cpus }) => cpus)).toEqual([[0, 1, 2], [3, 4]]);
  const stated = await offerOf({
    share: { index: 1, count: 2 },
    stated: { cores: 16, memoryBytes: 5, diskBytes: 6, gpus: 2 },
  });
  expect(stated.resources).toEqual({ cores: 16, memoryBytes: 5, diskBytes: 6, gpus: 2 });
  expect(stated.gpuIds).toEqual(["2", "3"]);
  const many = await offerOf({ files, share: { index: 6, count: 7 } });
  expect(many.resources.cores).toBe(1);
});

test("detectOffer() refuses more GPUs than a variable names, and passes over another's wish", async () => {
  const env = { CUDA_VISIBLE_DEVICES: "3" };
  await expect(offerOf({ env, stated: { gpus: 2 } })).rejects.toThrow(
    "Cannot offer 2 GPUs, as --gpus says: CUDA_VISIBLE_DEVICES names 1 for this worker",
  );
  const wish = await offerOf({ env: { ...env, GPUS: "2" } });
  expect(wish.gpuIds).toEqual(["3"]);
  expect(wish.ignored).toEqual([
    "Cannot offer 2 GPUs, as GPUS says: there are 1 by CUDA_VISIBLE_DEVICES",
  ]);
  expect((await offerOf({ env, stated: { gpus: 0 } })).gpuIds).toEqual([]);
});

test("detectOffer() pins to the processors that it may run on, if there are enough", async () => {
  const files = { "/proc/self/status": "Cpus_allowed_list:\t2-3\n" };
  const { cpus } = await offerOf({ files, hasPinnedCores: true });
  expect(cpus).toEqual([2, 3]);
  expect((await offerOf({ files })).cpus).toEqual([]);
  await expect(offerOf({ files, hasPinnedCores: true, stated: { cores: 4 } })).rejects.toThrow(
    "Cannot pin 4 cores, as --pin-cores says: this worker may run on 2",
  );
});
