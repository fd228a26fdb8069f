/**
 * Control groups, version 2, of tries: where this worker may make some below its own, the processes
 * of a try are known and ended without a gap, wherever they went, and with the controller of memory
 * the kernel itself keeps them to their limit.
 *
 * They are below `tendril-MARK` in the group that the worker was started in, and the worker itself
 * moves into `worker` there: a group with no process in it is of a worker that is no more, and a
 * group with controllers for its children may hold no process of its own ("no internal processes"
 * of the kernel's cgroup-v2.rst). Where others are in the group that it came from, the controller
 * of memory cannot be had, and limits are kept by looking.
 *
 * @module
 */

import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";

import { join } from "@std/path";

import type { TryId } from "../shared/task.ts";

/** What a worker opens its groups with. */
export interface ControlGroupsOptions {
  /** The worker's mark; letters, digits and `-`. */
  readonly mark: string;
  /** The group that this process is in; that of `ownGroupPath` unless stated. */
  readonly parentPath?: string | undefined;
}

const PREFIX = "tendril-";

/** Leaf for the worker and its helpers. */
const WORKER_NAME = "worker";

/** Ended groups whose last process is not quite gone are removed later; at most so many are kept. */
const REMOVALS_MAX = 1024;

/** All groups of one worker. */
export class ControlGroups {
  readonly #path: string;
  /** The kernel keeps groups made here to a limit of memory. */
  readonly hasMemory: boolean;
  #count = 0;
  /** Paths of groups that are to be removed. */
  #removals: string[] = [];

  private constructor(path: string, hasMemory: boolean) {
    this.#path = path;
    this.hasMemory = hasMemory;
  }

  /** Removes what workers that are no more left, and opens; undefined where that may not be. */
  static open({ mark, parentPath = ownGroupPath() }: ControlGroupsOptions):
    | ControlGroups
    | undefined {
    // It becomes a word of a shell's line.
    if (parentPath === undefined || parentPath.includes("'")) return undefined;
    sweep(parentPath);
    const path = join(parentPath, `${PREFIX}${mark}`);
    try {
      mkdirSync(join(path, WORKER_NAME), { recursive: true });
      enter(join(path, WORKER_NAME));
      return new ControlGroups(path, takeMemory(parentPath, path));
    } catch {
      // It belongs to somebody else: the tries are found in /proc.
      removeGroup(join(path, WORKER_NAME));
      removeGroup(path);
      return undefined;
    }
  }

  /** Makes the group of a try; undefined when the system has no room for one. */
  make({ taskId, try: number }: TryId, { memoryBytes }: { readonly memoryBytes: number }):
    | ControlGroup
    | undefined {
    // Another manager counts its tasks from 1 again.
    this.#count += 1;
    const path = join(this.#path, `${taskId}.${number}.${this.#count}`);
    try {
      mkdirSync(path);
      if (this.hasMemory) {
        writeFileSync(join(path, "memory.max"), String(memoryBytes));
        // All of it goes, and not one process that the others then wait for.
        writeFileSync(join(path, "memory.oom.group"), "1");
        withoutSwap(path);
      }
    } catch {
      // A limit on the number of groups, or on the depth of them.
      removeGroup(path);
      return undefined;
    }
    return new ControlGroup(path, {
      hasMemory: this.hasMemory,
      ended: () => this.#remove(path),
    });
  }

  /** Removes them; the processes are gone by now. */
  close(): void {
    for (const path of this.#removals) removeGroup(path);
    try {
      enter(join(this.#path, ".."));
    } catch {
      // A group with controllers for its children: the next worker removes what stays.
    }
    removeGroup(join(this.#path, WORKER_NAME));
    removeGroup(this.#path);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #remove(path: string): void {
    this.#removals.push(path);
    this.#removals = this.#removals.filter((left) => !removeGroup(left)).slice(-REMOVALS_MAX);
  }
}

/** The group of one try. */
export class ControlGroup {
  readonly #path: string;
  readonly #hasMemory: boolean;
  readonly #ended: () => void;

  /** Made by `ControlGroups.make`; `ended` is told when it may be removed. */
  constructor(path: string, options: { readonly hasMemory: boolean; readonly ended: () => void }) {
    this.#path = path;
    this.#hasMemory = options.hasMemory;
    this.#ended = options.ended;
  }

  /**
   * A command line that enters this group before it does anything else. It stays on one line, so
   * that what a shell says of a line is right, and goes on without the group where it must.
   */
  entering(command: string): string {
    return `{ echo 0 >'${this.#path}/cgroup.procs'; } 2>/dev/null; ${command}`;
  }

  /** Every process in it, ended ones too until they are waited for. */
  processIds(): number[] {
    // Those of another PID namespace are 0.
    return this.#read("cgroup.procs").split("\n").map(Number).filter((id) => id > 0);
  }

  /** Processor time of all that was ever in it. */
  get cpuMs(): number {
    return numberOf(this.#read("cpu.stat"), "usage_usec") / 1000;
  }

  /** In memory but for what the kernel can take back; undefined without the controller. */
  get memoryBytes(): number | undefined {
    if (!this.#hasMemory) return undefined;
    const text = this.#read("memory.stat");
    return numberOf(text, "anon") + numberOf(text, "shmem");
  }

  /** True once the kernel has ended a process for going beyond the limit. */
  get isOverLimit(): boolean {
    return this.#hasMemory && numberOf(this.#read("memory.events"), "oom_kill") > 0;
  }

  /** Ends all processes in it, those that are being started too; Linux 5.14. */
  kill(): void {
    try {
      writeFileSync(join(this.#path, "cgroup.kill"), "1");
    } catch {
      // An older kernel: whoever ends the try goes by its processes.
    }
  }

  /** The try has ended: the group goes. */
  remove(): void {
    this.#ended();
  }

  #read(name: string): string {
    try {
      return readFileSync(join(this.#path, name), "latin1");
    } catch {
      // Not of this kernel.
      return "";
    }
  }
}

/** The version 2 group of this process as a folder; undefined where none is mounted. */
export function ownGroupPath(
  mounts: string = readText("/proc/self/mountinfo"),
  groups: string = readText("/proc/self/cgroup"),
): string | undefined {
  const own = /^0::(\/.*)$/m.exec(groups)?.[1];
  // Outside of what is mounted here, as after a move by somebody else.
  if (own === undefined || own.split("/").includes("..")) return undefined;
  for (const line of mounts.split("\n")) {
    // `man 5 proc`: ID PARENT DEVICE ROOT POINT OPTIONS [TAG...] - KIND SOURCE OPTIONS
    const [before = "", after = ""] = line.split(" - ");
    if (!after.startsWith("cgroup2 ")) continue;
    const [, , , root = "", point = ""] = before.split(" ");
    const prefix = root === "/" ? "" : root;
    if (own === prefix || own.startsWith(`${prefix}/`)) {
      return join(point, own.slice(prefix.length));
    }
  }
  return undefined;
}

/** Moves this process, with all its threads. */
function enter(path: string): void {
  writeFileSync(join(path, "cgroup.procs"), "0");
}

/** True when groups below `path` have the controller of memory now. */
function takeMemory(parentPath: string, path: string): boolean {
  if (!wordsIn(join(parentPath, "cgroup.controllers")).includes("memory")) return false;
  try {
    if (!wordsIn(join(parentPath, "cgroup.subtree_control")).includes("memory")) {
      writeFileSync(join(parentPath, "cgroup.subtree_control"), "+memory");
    }
    writeFileSync(join(path, "cgroup.subtree_control"), "+memory");
    return true;
  } catch {
    // Others are in the worker's group as well, or it is not ours to divide.
    return false;
  }
}

/** A task that is over its limit ends, and does not slow its host down. */
function withoutSwap(path: string): void {
  try {
    writeFileSync(join(path, "memory.swap.max"), "0");
  } catch {
    // A kernel that does not count swap.
  }
}

/** Removes the groups of workers that are no more: those with processes in them cannot go. */
function sweep(parentPath: string): void {
  for (const name of namesIn(parentPath)) {
    if (!name.startsWith(PREFIX)) continue;
    const path = join(parentPath, name);
    const isPopulated = numberOf(readText(join(path, "cgroup.events")), "populated") > 0;
    if (isPopulated) continue;
    for (const child of namesIn(path)) removeGroup(join(path, child));
    removeGroup(path);
  }
}

/** True when it is gone. Its files are the kernel's and go with it. */
function removeGroup(path: string): boolean {
  try {
    rmdirSync(path);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT";
  }
}

function namesIn(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch {
    // Not to be read.
    return [];
  }
}

/** The value of `name` in a file of lines `NAME VALUE`; 0 when it is not there. */
function numberOf(text: string, name: string): number {
  for (const line of text.split("\n")) {
    if (line.startsWith(`${name} `)) return Number(line.slice(name.length + 1));
  }
  return 0;
}

function wordsIn(path: string): string[] {
  return readText(path).split(/\s+/);
}

function readText(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    // Not there.
    return "";
  }
}
