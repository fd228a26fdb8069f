import { expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { availableParallelism, totalmem } from "node:os";
import process from "node:process";
import { fileURLToPath } from "node:url";

import { readHostLimits } from "../../worker/host_limits.ts";
import { FakeRoot, PLAIN_HOST, type SystemFiles } from "./fake_root.ts";

const GIB = 2 ** 30;

function limitsOf(files: SystemFiles): ReturnType<typeof readHostLimits> {
  using root = new FakeRoot({ ...PLAIN_HOST, ...files });
  return readHostLimits(root.path);
}

test("readHostLimits() takes affinity and total memory where nothing else limits", () => {
  const { cpus, cores, memoryBytes } = limitsOf({});
  expect(cpus).toHaveLength(16);
  expect(cores).toEqual({ amount: 16, from: "affinity" });
  expect(memoryBytes).toEqual({ amount: 64 * GIB, from: "total memory" });
  const pinned = limitsOf({ "/proc/self/status": "Cpus_allowed_list:\t2,4-5\n" });
  expect(pinned.cpus).toEqual([2, 4, 5]);
  expect(pinned.cores.amount).toBe(3);
});

test("readHostLimits() takes the smallest limit of its control group and of those above", () => {
  const { cores, memoryBytes } = limitsOf({
    "/proc/self/cgroup": "0::/user.slice/job\n",
    "/sys/fs/cgroup/user.slice/job/cpu.max": "max 100000\n",
    "/sys/fs/cgroup/user.slice/cpu.max": "250000 100000\n",
    "/sys/fs/cgroup/user.slice/job/memory.max": `${8 * GIB}\n`,
    "/sys/fs/cgroup/user.slice/job/memory.high": `${6 * GIB}\n`,
    "/sys/fs/cgroup/user.slice/memory.max": "max\n",
    "/sys/fs/cgroup/other/memory.max": "1\n",
  });
  expect(cores).toEqual({ amount: 2.5, from: "cgroup cpu.max" });
  expect(memoryBytes).toEqual({ amount: 6 * GIB, from: "cgroup memory.high" });
});

test("readHostLimits() reads groups of the first version", () => {
  const { cores, memoryBytes } = limitsOf({
    "/proc/self/cgroup": "9:cpuset:/\n4:memory:/slurm/job_7\n2:cpu,cpuacct:/slurm/job_7\n0::/\n",
    "/proc/self/mountinfo": "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n" +
      "35 31 0:32 / /sys/fs/cgroup/mem\\040ory rw - cgroup cgroup rw,memory\n",
    "/sys/fs/cgroup/cpu/slurm/job_7/cpu.cfs_quota_us": "400000\n",
    "/sys/fs/cgroup/cpu/slurm/job_7/cpu.cfs_period_us": "100000\n",
    "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
    "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    "/sys/fs/cgroup/mem ory/slurm/memory.limit_in_bytes": `${4 * GIB}\n`,
    "/sys/fs/cgroup/mem ory/memory.limit_in_bytes": "9223372036854771712\n",
  });
  expect(cores).toEqual({ amount: 4, from: "cgroup cpu.cfs_quota_us" });
  expect(memoryBytes).toEqual({ amount: 4 * GIB, from: "cgroup memory.limit_in_bytes" });
});

test("readHostLimits() finds its group where a container shows a part of the hierarchy", () => {
  const mounted = (root: string) => ({
    "/proc/self/mountinfo": `25 20 0:22 ${root} /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n`,
    "/sys/fs/cgroup/cpu.max": "200000 100000\n",
    "/sys/fs/cgroup/inner/cpu.max": "100000 100000\n",
  });
  const coresIn = (group: string, root: string) => {
    return limitsOf({ ...mounted(root), "/proc/self/cgroup": `0::${group}\n` }).cores.amount;
  };
  expect(coresIn("/docker/abc", "/docker/abc")).toBe(2);
  expect(coresIn("/docker/abc/inner", "/docker/abc")).toBe(1);
  // The group lies outside of what is to be seen.
  expect(coresIn("/docker/abcdef", "/docker/abc")).toBe(2);
  expect(coresIn("/../other", "/")).toBe(2);
});

test("readHostLimits() passes over what cannot be read", () => {
  const { cores, memoryBytes } = limitsOf({
    "/proc/self/status": "Cpus_allowed_list:\tnone\n",
    "/proc/meminfo": "",
    "/sys/fs/cgroup/cpu.max": "much\n",
    "/sys/fs/cgroup/memory.max": "0\n",
  });
  expect(cores).toEqual({ amount: availableParallelism(), from: "processors" });
  expect(memoryBytes).toEqual({ amount: totalmem(), from: "total memory" });
});

const canSet = (() => {
  try {
    return execFileSync("taskset", ["-c", "0", "true"]) !== undefined;
  } catch {
    // Not Linux, or no such program.
    return false;
  }
})();

test.skipIf(!canSet)("readHostLimits() counts the processors that taskset leaves", () => {
  const module = fileURLToPath(new URL("../../worker/host_limits.ts", import.meta.url).href);
  const code = `const { readHostLimits } = await import(${JSON.stringify(module)});
    console.log(JSON.stringify(readHostLimits()));`;
  const said = execFileSync("taskset", ["-c", "0", process.execPath, "-e", code], {
    encoding: "utf8",
  });
  expect(JSON.parse(said)).toMatchObject({ cpus: [0], cores: { amount: 1 } });
});
