/**
 * What this process may use of its machine, by what the system says: CPU affinity, the limits of
 * its control groups and of all above them, and what there is at all.
 *
 * Formats: `man 7 cgroups`, `man 5 proc` (cgroup, mountinfo, status), and the kernel's
 * admin-guide/cgroup-v2 (cpu.max, memory.max, memory.high) and scheduler/sched-bwc (cpu.cfs_*).
 *
 * @module
 */

import { readFileSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";

import { dirname, join } from "@std/path";

import { parseCpuList } from "./cpu_list.ts";
import { type FoundAmount, leastFound } from "./found_amount.ts";

/** What a process may use. */
export interface HostLimits {
  /** Processors that it may run on; none where the system does not tell. */
  readonly cpus: readonly number[];
  readonly cores: FoundAmount;
  readonly memoryBytes: FoundAmount;
}

/** One hierarchy of control groups that holds this process. */
interface GroupPlace {
  readonly isUnified: boolean;
  /** The group of this process, and where its hierarchy begins: both as paths of the system. */
  readonly directory: string;
  readonly mountPoint: string;
}

/** A group is nested no deeper than this, or the path is not what it seems. */
const GROUP_DEPTH_MAX = 64;

/** Reads the limits; `root` has the system's `proc` and `sys`, another one in tests. */
export function readHostLimits(root: string = "/"): HostLimits {
  const cpus = readAffinity(root);
  const groups = findGroups(root);
  const affinity = cpus.length === 0
    ? { amount: availableParallelism(), from: "processors" }
    : { amount: cpus.length, from: "affinity" };
  const total = readTotalMemory(root);
  return {
    cpus,
    cores: leastFound(affinity, ...groups("cpu").map((at) => readQuota(root, at))) ?? affinity,
    memoryBytes: leastFound(total, ...groups("memory").map((at) => readMemory(root, at))) ?? total,
  };
}

function readAffinity(root: string): number[] {
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(read(root, "/proc/self/status"))?.[1];
  return list === undefined ? [] : parseCpuList(list);
}

function readTotalMemory(root: string): FoundAmount {
  const kib = /^MemTotal:\s*(\d+) kB$/m.exec(read(root, "/proc/meminfo"))?.[1];
  return { amount: kib === undefined ? totalmem() : Number(kib) * 1024, from: "total memory" };
}

/** The groups that limit a controller: of its own hierarchy, and of the unified one. */
function findGroups(root: string): (controller: string) => GroupPlace[] {
  const mounts = read(root, "/proc/self/mountinfo").split("\n").flatMap(parseMount);
  const lines = read(root, "/proc/self/cgroup").split("\n");
  return (controller) => {
    return lines.flatMap((line) => {
      const [, controllers = "", path = ""] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
      const isUnified = controllers === "";
      if (path === "" || !isUnified && !controllers.split(",").includes(controller)) return [];
      const mount = mounts.find(({ type, options }) => {
        return isUnified ? type === "cgroup2" : type === "cgroup" && options.includes(controller);
      });
      if (mount === undefined) return [];
      // What is mounted may be a part of the hierarchy, as in a container.
      const { mountPoint, mountRoot } = mount;
      const isBelow = path === mountRoot || path.startsWith(mountRoot.replace(/\/?$/, "/"));
      const inner = isBelow ? path.slice(mountRoot === "/" ? 0 : mountRoot.length) : "";
      const isOutside = inner.split("/").includes("..");
      return [{ isUnified, mountPoint, directory: join(mountPoint, isOutside ? "" : inner) }];
    });
  };
}

interface Mount {
  readonly mountRoot: string;
  readonly mountPoint: string;
  readonly type: string;
  readonly options: readonly string[];
}

function parseMount(line: string): Mount[] {
  const [before = "", after = ""] = line.split(" - ");
  const [, , , mountRoot = "", mountPoint = ""] = before.split(" ").map(unescapeMount);
  const [type = "", , options = ""] = after.split(" ");
  return mountPoint === "" ? [] : [{ mountRoot, mountPoint, type, options: options.split(",") }];
}

/** Spaces and the like are octal there. */
function unescapeMount(text: string): string {
  return text.replace(/\\(\d{3})/g, (_, digits: string) => {
    return String.fromCharCode(Number.parseInt(digits, 8));
  });
}

/** Cores that the quotas of a group and of those above it leave. */
function readQuota(root: string, { isUnified, ...place }: GroupPlace): FoundAmount | undefined {
  return leastFound(
    ...directoriesUp(place).map((directory) => {
      const name = isUnified ? "cpu.max" : "cpu.cfs_quota_us";
      const text = read(root, `${directory}/${name}`);
      const period = isUnified ? "" : ` ${read(root, `${directory}/cpu.cfs_period_us`)}`;
      // Not "max", and not -1.
      const [, quotaUs, periodUs] = /^(\d+)\s+(\d+)\s*$/.exec(`${text.trim()}${period}`) ?? [];
      if (quotaUs === undefined || Number(periodUs) === 0) return undefined;
      return { amount: Number(quotaUs) / Number(periodUs), from: `cgroup ${name}` };
    }),
  );
}

function readMemory(root: string, { isUnified, ...place }: GroupPlace): FoundAmount | undefined {
  const names = isUnified ? ["memory.max", "memory.high"] : ["memory.limit_in_bytes"];
  return leastFound(
    ...directoriesUp(place).flatMap((directory) => {
      return names.map((name) => {
        const text = read(root, `${directory}/${name}`).trim();
        // A limit of 0 is one that cannot be meant: the process would not run.
        if (!/^[1-9]\d*$/.test(text)) return undefined;
        return { amount: Number(text), from: `cgroup ${name}` };
      });
    }),
  );
}

/** From the directory up to the mount point. */
function directoriesUp(place: Pick<GroupPlace, "directory" | "mountPoint">): string[] {
  const directories = [place.directory];
  let directory = place.directory;
  while (directory !== place.mountPoint && directories.length < GROUP_DEPTH_MAX) {
    directory = dirname(directory);
    directories.push(directory);
  }
  return directories;
}

/** Empty when it cannot be read: not there, or not ours to read. */
function read(root: string, path: string): string {
  try {
    return readFileSync(join(root, path), "utf8");
  } catch {
    // Nothing is known from it then.
    return "";
  }
}
