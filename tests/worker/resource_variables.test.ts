import { expect, test } from "bun:test";

import { readResourceVariables } from "../../worker/resource_variables.ts";

const MIB = 2 ** 20;

test("readResourceVariables() reads the user's, in TaskVine's units", () => {
  const { user, slurm, ignored } = readResourceVariables({
    CORES: "2.5",
    MEMORY: "1000",
    DISK: "500",
    GPUS: "0",
  });
  expect(user).toEqual({
    cores: { amount: 2.5, from: "CORES" },
    memoryBytes: { amount: 1000 * MIB, from: "MEMORY" },
    diskBytes: { amount: 500 * MIB, from: "DISK" },
    gpus: { amount: 0, from: "GPUS" },
  });
  expect(slurm).toEqual({});
  expect(ignored).toEqual([]);
});

test("readResourceVariables() takes what Slurm granted to this task before what the node has", () => {
  const { slurm } = readResourceVariables({
    SLURM_CPUS_PER_TASK: "4",
    SLURM_CPUS_ON_NODE: "16",
    SLURM_MEM_PER_CPU: "2000",
    SLURM_GPUS_ON_NODE: "2",
  });
  expect(slurm).toEqual({
    cores: { amount: 4, from: "SLURM_CPUS_PER_TASK" },
    memoryBytes: { amount: 8000 * MIB, from: "SLURM_MEM_PER_CPU" },
    gpus: { amount: 2, from: "SLURM_GPUS_ON_NODE" },
  });
});

test("readResourceVariables() shares what the node has between the tasks of a step", () => {
  const { slurm } = readResourceVariables({
    SLURM_NODEID: "2",
    SLURM_JOB_CPUS_PER_NODE: "32(x2),12",
    SLURM_STEP_TASKS_PER_NODE: "1(x2),3",
    SLURM_MEM_PER_NODE: "3000",
    SLURM_JOB_GPUS: "0,3",
  });
  expect(slurm).toEqual({
    cores: { amount: 4, from: "SLURM_JOB_CPUS_PER_NODE" },
    memoryBytes: { amount: 1000 * MIB, from: "SLURM_MEM_PER_NODE" },
    gpus: { amount: 2, from: "SLURM_JOB_GPUS" },
  });
});

test("readResourceVariables() passes over what it cannot read, and tells", () => {
  const { user, slurm, ignored } = readResourceVariables({
    CORES: "abc",
    MEMORY: "8GB",
    DISK: "/dev/sda1",
    GPUS: "-1",
    SLURM_CPUS_ON_NODE: "4(x2)",
    SLURM_JOB_CPUS_PER_NODE: "8,",
    SLURM_NODEID: "1",
    SLURM_MEM_PER_NODE: "0",
    SLURM_GPUS_ON_NODE: "1e99",
  });
  expect(user).toEqual({});
  expect(slurm).toEqual({});
  expect(ignored).toEqual([
    'Cannot read CORES "abc" as a number above 0: it is passed over',
    'Cannot read MEMORY "8GB" as a whole number of 1 or more: it is passed over',
    'Cannot read DISK "/dev/sda1" as a whole number of 1 or more: it is passed over',
    'Cannot read GPUS "-1" as a whole number of 0 or more: it is passed over',
    'Cannot read SLURM_CPUS_ON_NODE "4(x2)" as a whole number of 1 or more: it is passed over',
    'Cannot read SLURM_JOB_CPUS_PER_NODE "8," as amounts for each node, as 16(x2),8: ' +
    "it is passed over",
    'Cannot read SLURM_GPUS_ON_NODE "1e99" as a whole number of 0 or more: it is passed over',
  ]);
});
