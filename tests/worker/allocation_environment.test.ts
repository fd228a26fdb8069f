import { expect, test } from "bun:test";

import { NO_RESOURCES } from "../../shared/resources.ts";
import { withAllocation } from "../../worker/allocation_environment.ts";
import { NO_DEVICES } from "../../worker/core/device.ts";

const WORKERS = {
  CORES: "64",
  MEMORY: "64000",
  GPUS: "4",
  GPUS_LIST: "0,1,2,3",
  CUDA_VISIBLE_DEVICES: "0,1,2,3",
  GPU_DEVICE_ORDINAL: "0,1,2,3",
  HOME: "/h",
};

test("withAllocation() tells amounts, threads and devices", () => {
  const env = withAllocation(WORKERS, {
    resources: { cores: 2.5, memoryBytes: 2e9, diskBytes: 1e9, gpus: 2 },
    devices: { gpus: ["3", "1"], cpus: [4, 5, 6] },
    gpuVariable: "CUDA_VISIBLE_DEVICES",
  });
  expect(env).toMatchObject({
    HOME: "/h",
    CORES: "2",
    CORES_LIST: "4,5,6",
    OMP_NUM_THREADS: "2",
    JULIA_NUM_THREADS: "2",
    MEMORY: "1907",
    DISK: "953",
    GPUS: "2",
    GPUS_LIST: "3,1",
    CUDA_VISIBLE_DEVICES: "3,1",
  });
  expect(env).not.toHaveProperty("GPU_DEVICE_ORDINAL");
});

test("withAllocation() hides all GPUs of a worker that offers some", () => {
  const allocation = { resources: { ...NO_RESOURCES, cores: 0.5 }, devices: NO_DEVICES };
  const gpuVariable = "CUDA_VISIBLE_DEVICES";
  expect(withAllocation(WORKERS, { ...allocation, gpuVariable })).toEqual(
    expect.objectContaining({ CUDA_VISIBLE_DEVICES: "", CORES: "1", HOME: "/h" }),
  );
  const { CUDA_VISIBLE_DEVICES, ...rest } = withAllocation(WORKERS, {
    ...allocation,
    gpuVariable: undefined,
  });
  expect(CUDA_VISIBLE_DEVICES).toBe("0,1,2,3");
  for (const name of ["GPUS", "GPUS_LIST", "MEMORY"]) expect(rest).not.toHaveProperty(name);
});

test("withAllocation() leaves one variable alone to name AMD's devices", () => {
  const visible = {
    ROCR_VISIBLE_DEVICES: "4,5",
    HIP_VISIBLE_DEVICES: "1",
    CUDA_VISIBLE_DEVICES: "1",
  };
  const allocation = {
    resources: { ...NO_RESOURCES, gpus: 1 },
    devices: { gpus: ["1"], cpus: [] },
  };
  const told = { GPUS: "1", GPUS_LIST: "1" };
  expect(withAllocation(visible, { ...allocation, gpuVariable: "HIP_VISIBLE_DEVICES" })).toEqual({
    ...told,
    ROCR_VISIBLE_DEVICES: "4,5",
    HIP_VISIBLE_DEVICES: "1",
  });
  expect(withAllocation(visible, { ...allocation, gpuVariable: "ROCR_VISIBLE_DEVICES" })).toEqual({
    ...told,
    ROCR_VISIBLE_DEVICES: "1",
  });
});

test("withAllocation() divides the threads of an instance between its processes", () => {
  const resources = { ...NO_RESOURCES, cores: 8 };
  const env = withAllocation({}, {
    resources,
    devices: NO_DEVICES,
    gpuVariable: undefined,
    processCount: 3,
  });
  expect(env).toMatchObject({ CORES: "8", OMP_NUM_THREADS: "2" });
});
