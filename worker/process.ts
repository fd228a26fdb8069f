/**
 * The processes of a worker's tasks: started, stopped, and gone to the last one
 * before anybody takes the outputs.
 *
 * A task is the leader of its own session and process group. What it leaves
 * behind when it ends is found in this way, cheapest first:
 * - On Linux the worker adopts orphans (shared/runtime/subreaper.ts). When a leader
 *   has ended, all that lived below it and had no other parent is a child of the
 *   worker by then, so that one read of the worker's list of children (5 µs) says
 *   "nothing left". A child that the worker did not start belongs to the try whose
 *   group or session it is in or whose mark it carries; with neither (it left the
 *   session and cleared its environment) it belongs to the tries that ran when it
 *   was first seen, and goes when the last of them ends. See adoption.ts.
 * - A try with a limit of memory has a control group as well, where there are any
 *   (control_group.ts): nothing gets out of that. One costs a tenth of a spawn.
 * - Elsewhere, or where the call is not to be had, the group is asked whether it is
 *   still there, and `/proc`, if there is one, is searched for the try's mark.
 *
 * @module
 */

import { closeSync, openSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

import type { Resources } from "../shared/resources.ts";
import type { CpuPinner } from "../shared/runtime/affinity.ts";
import { type ChildEnd, type ChildUse, spawnDetached } from "../shared/runtime/spawn.ts";
import { becomeSubreaper, type Subreaper } from "../shared/runtime/subreaper.ts";
import type { TryId } from "../shared/task.ts";
import { Adoption } from "./adoption.ts";
import type { ControlGroup, ControlGroups } from "./control_group.ts";
import type { HeldDevices } from "./core/device.ts";
import type { GpuVariable } from "./gpu_devices.ts";
import { type EndedLeader, endLeftovers } from "./leftovers.ts";
import { type ProcessEntry, signalProcess } from "./process_table.ts";
import { readProcesses, searchMarked, walkTree } from "./process_tree.ts";
import { describeStartFailure } from "./start_failure.ts";
import {
  type Activation,
  type Environment,
  inheritedEnvironment,
  tryEnvironment,
} from "./task_environment.ts";

/** What to run for one try. */
export interface TaskCommand extends TryId {
  /** Run by `/bin/sh -c`. */
  readonly command: string;
  readonly directory: string;
  readonly temporaryDirectory: string;
  /** Open files that take what the task writes. */
  readonly stdout: number;
  readonly stderr: number;
  readonly env: Environment;
  readonly activation: Activation;
  readonly resources: Resources;
  /** What its processes may have in memory; `Infinity` is no limit. */
  readonly memoryBytesMax: number;
  readonly devices: HeldDevices;
}

/** How a try's processes ended. */
export type TaskEnd =
  & (
    | ChildEnd
    /** No process was started, for this one-line reason. */
    | { readonly kind: "start_failed"; readonly message: string; readonly use: ChildUse }
  )
  & {
    /** True when a process of the try could not be ended in `LEFTOVER_LIMIT_MS`. */
    readonly hasSurvivors: boolean;
    /** True when the kernel ended it for what it had in memory, beyond `memoryBytesMax`. */
    readonly isOverLimit: boolean;
    /** Processes that it had left when its first one ended, if those were counted. */
    readonly processCount?: number;
  };

/** A try whose processes run. */
export interface TaskProcess {
  /** Process and group; absent when it could not be started. */
  readonly processId?: number;
  /** Resolves when no process of the try is left; never rejects. */
  readonly ended: Promise<TaskEnd>;
  /** Asks the whole group to end, and makes it end `graceMs` later. */
  stop(graceMs: number): void;
  /** Ends all of it at once. */
  kill(): void;
  /** Every living process of it, and what they have in memory where the kernel counts that. */
  look(): Promise<TreeLook>;
}

/** What a look at the processes of a try finds. */
export interface TreeLook {
  readonly members: readonly ProcessEntry[];
  /** Absent where the members have to be added up. */
  readonly memoryBytes?: number;
}

/** Told of every process group, for the case that the worker dies without a word. */
export interface GroupWatcher {
  groupStarted(groupId: number): void;
  groupEnded(groupId: number): void;
}

/** What the processes of one worker have in common. */
export interface TaskProcessesOptions {
  /** The worker's mark. */
  readonly mark: string;
  /** What tasks see of the worker's environment, or more; see `inheritedEnvironment`. */
  readonly env: { readonly [name: string]: string | undefined };
  readonly watcher: GroupWatcher;
  /** Absent where the worker offers no GPUs. */
  readonly gpuVariable?: GpuVariable;
  /** There when tries are pinned to the processors that they have. */
  readonly pinner?: CpuPinner;
  /** Absent where orphans cannot be adopted. */
  readonly subreaper?: Subreaper;
  /** Absent where this worker may make none. */
  readonly groups?: ControlGroups | undefined;
}

/** How long what a task left behind is killed again before it is given up. */
export const LEFTOVER_LIMIT_MS = 2_000;

/** First and longest pause between two looks at what a task left behind. */
const LOOK_PAUSE_MS = { first: 1, longest: 50 } as const;

const SHELL = "/bin/sh";

/** A try with a living leader or living leftovers. */
interface Running {
  readonly mark: string;
  readonly group: ControlGroup | undefined;
  /** Process id of the leader; set as soon as it runs. */
  groupId: number;
  readonly ended: Promise<TaskEnd>;
  /** When a task that was told to stop is killed; 0 when it was not told. */
  killAtMs: number;
  killTimer: ReturnType<typeof setTimeout> | undefined;
  hasEnded: boolean;
  /** The most that were found when it was ended; 0 before. */
  leftCount: number;
  /** Of adopted processes that have ended. */
  use: ChildUse;
  readonly reaped: (use: ChildUse) => void;
}

const NO_USE: ChildUse = { cpuMs: 0, memoryBytes: 0 };

/** Owner of every task process of this worker. */
export class TaskProcesses {
  readonly #mark: string;
  readonly #inherited: Environment;
  readonly #watcher: GroupWatcher;
  readonly #subreaper: Subreaper | undefined;
  readonly #gpuVariable: GpuVariable | undefined;
  readonly #pinner: CpuPinner | undefined;
  readonly #nullDevice: number;
  readonly #groups: ControlGroups | undefined;
  /** {group id: its try}; one that has ended stays until nothing of it is left. */
  readonly #running: Map<number, Running> = new Map();
  readonly #adoption: Adoption<Running>;

  /** Starts the processes of one worker; `open` also finds a subreaper. */
  constructor(options: TaskProcessesOptions) {
    this.#mark = options.mark;
    this.#inherited = inheritedEnvironment(options.env);
    this.#watcher = options.watcher;
    this.#subreaper = options.subreaper;
    this.#groups = options.groups;
    const { subreaper, mark } = options;
    this.#adoption = new Adoption({ subreaper, mark, running: this.#running });
    this.#gpuVariable = options.gpuVariable;
    this.#pinner = options.pinner;
    this.#nullDevice = openSync("/dev/null", "r");
  }

  /** Opens with the best way this system has to find what tasks leave behind. */
  static async open(options: Omit<TaskProcessesOptions, "subreaper">): Promise<TaskProcesses> {
    const subreaper = await becomeSubreaper();
    return new TaskProcesses({ ...options, ...(subreaper && { subreaper }) });
  }

  /** Starts a try. That it could not be started is an end like any other. */
  start(task: TaskCommand): TaskProcess {
    const { memoryBytesMax, devices: { cpus } } = task;
    const group = memoryBytesMax < Infinity
      ? this.#groups?.make(task, { memoryBytes: memoryBytesMax })
      : undefined;
    const command = group === undefined ? task.command : group.entering(task.command);
    const env = tryEnvironment(this.#inherited, {
      ...task,
      workerMark: this.#mark,
      gpuVariable: this.#gpuVariable,
    });
    const { promise: ended, resolve } = Promise.withResolvers<TaskEnd>();
    const running = newRunning({ mark: `${task.taskId}.${task.try}.${this.#mark}`, group, ended });
    const spawn = () =>
      spawnDetached({
        argv: [SHELL, "-c", command],
        env,
        directory: task.directory,
        stdin: this.#nullDevice,
        stdout: task.stdout,
        stderr: task.stderr,
      }, (end) => this.#leaderEnded(running, end, resolve));
    try {
      running.groupId = cpus.length === 0 || this.#pinner === undefined
        ? spawn()
        : this.#pinner.run(cpus, spawn);
    } catch (error) {
      group?.remove();
      const message = describeStartFailure({ command: task.command, env, error });
      const end = { kind: "start_failed", message, use: NO_USE } as const;
      resolve({ ...end, hasSurvivors: false, isOverLimit: false });
      return {
        ended,
        stop: () => {},
        kill: () => {},
        look: () => Promise.resolve({ members: [] }),
      };
    }
    this.#running.set(running.groupId, running);
    this.#watcher.groupStarted(running.groupId);
    return {
      processId: running.groupId,
      ended,
      stop: (graceMs) => stopGroup(running, graceMs),
      kill: () => killGroup(running),
      look: () => this.#look(running),
    };
  }

  /** The living processes below some, and these. */
  walk(rootIds: readonly number[]): Promise<ProcessEntry[]> {
    return walkTree(rootIds, { hasChildLists: this.#subreaper !== undefined });
  }

  /** Ends what a process has left behind that is no try's; resolves when none of it is found. */
  async endLeftovers(leader: EndedLeader): Promise<void> {
    await endLeftovers(leader, this.#subreaper);
    this.#adoption.reap();
  }

  /**
   * Ends what is nobody's any more, for when all that the worker ran has ended: what a call left in a
   * session of its own and without its environment is told by nothing from what another one left.
   */
  async endStrays(): Promise<void> {
    const untilMs = performance.now() + LEFTOVER_LIMIT_MS;
    while (true) {
      const strays = this.#adoption.strays();
      if (strays.length === 0 || performance.now() >= untilMs) return;
      for (const entry of await this.walk(strays)) killMember(entry);
      await delay(LOOK_PAUSE_MS.first);
    }
  }

  /** Kills what still runs, waits for it, and closes. */
  async close(): Promise<void> {
    for (const running of this.#running.values()) {
      killGroup(running);
    }
    const timeout = new AbortController();
    const limit = delay(2 * LEFTOVER_LIMIT_MS, undefined, { signal: timeout.signal });
    const ends = Promise.all([...this.#running.values()].map((running) => running.ended));
    await Promise.race([ends, limit]);
    timeout.abort();
    await limit.catch(() => {
      // Aborted, as everything ended in time.
    });
    closeSync(this.#nullDevice);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #look(running: Running): Promise<TreeLook> {
    const { group, groupId } = running;
    const processIds = group?.processIds() ?? [];
    // Its shell may not have entered it yet, or was not let.
    if (group !== undefined && processIds.length > 0) {
      const { memoryBytes } = group;
      const members = await readProcesses(processIds);
      this.#know(running, members);
      return { members, ...(memoryBytes === undefined ? {} : { memoryBytes }) };
    }
    const rootIds = [groupId, ...this.#adoption.processesOf(running)];
    const members = await this.walk(rootIds);
    this.#know(running, members);
    return { members };
  }

  /** What is found while the last of it is being ended is known better by `#endLeftovers`. */
  #know(running: Running, members: readonly ProcessEntry[]): void {
    if (!running.hasEnded) this.#adoption.know(running, members);
  }

  #leaderEnded(running: Running, end: ChildEnd, resolve: (end: TaskEnd) => void): void {
    running.hasEnded = true;
    const finish = (hasSurvivors: boolean) => {
      const { group, leftCount } = running;
      const counted = leftCount === 0 ? {} : { processCount: leftCount };
      const use = sumOfUse(running, end);
      const isOverLimit = group?.isOverLimit ?? false;
      this.#forget(running);
      resolve({ ...end, use, hasSurvivors, isOverLimit, ...counted });
    };
    if (this.#findLeftovers(running).length === 0) finish(false);
    else this.#endLeftovers(running).then(finish);
  }

  /** True when something could not be killed. While a stop's grace runs, all may go by itself. */
  async #endLeftovers(running: Running): Promise<boolean> {
    const startAtMs = performance.now();
    const known = new Set<number>();
    let pauseMs: number = LOOK_PAUSE_MS.first;
    while (true) {
      const leftovers = this.#findLeftovers(running);
      if (leftovers.length === 0) return false;
      const nowMs = performance.now();
      if (nowMs >= Math.max(startAtMs, running.killAtMs) + LEFTOVER_LIMIT_MS) return true;
      const isKilling = nowMs >= running.killAtMs;
      const knownCount = known.size;
      for (const id of leftovers) if (id < 0 && isKilling) signalProcess(id, "SIGKILL");
      // Not the uppermost alone: what they leave would be found a layer at a time.
      const members = await this.walk(leftovers);
      running.leftCount = Math.max(running.leftCount, members.length);
      this.#adoption.know(running, members);
      if (isKilling) running.group?.kill();
      for (const entry of members) {
        if (isKilling) killMember(entry);
        else if (!known.has(entry.processId)) askToEnd(entry, running.groupId);
        known.add(entry.processId);
      }
      await delay(pauseMs);
      // Whoever goes on forking is followed at once.
      const isGrowing = known.size > knownCount;
      pauseMs = isGrowing ? LOOK_PAUSE_MS.first : Math.min(pauseMs * 2, LOOK_PAUSE_MS.longest);
    }
  }

  #forget(running: Running): void {
    clearTimeout(running.killTimer);
    this.#running.delete(running.groupId);
    this.#adoption.forget(running);
    this.#watcher.groupEnded(running.groupId);
    running.group?.remove();
  }

  /** Processes, or with a negative sign groups, of a try whose leader has ended. */
  #findLeftovers(running: Running): number[] {
    if (this.#subreaper === undefined) return searchMarked(running);
    const leftovers = this.#adoption.leftoversOf(running);
    if (running.group === undefined) return leftovers;
    return [...new Set([...leftovers, ...running.group.processIds()])];
  }
}

function newRunning(parts: Pick<Running, "mark" | "group" | "ended">): Running {
  const running: Running = {
    ...parts,
    groupId: 0,
    killAtMs: 0,
    killTimer: undefined,
    hasEnded: false,
    leftCount: 0,
    use: NO_USE,
    reaped: ({ cpuMs, memoryBytes }) => {
      const { use } = running;
      running.use = {
        cpuMs: use.cpuMs + cpuMs,
        memoryBytes: Math.max(use.memoryBytes, memoryBytes),
      };
    },
  };
  return running;
}

/** A control group knows of all that was in it; else what was waited for is added up. */
function sumOfUse({ group, use: adopted }: Running, { use }: ChildEnd): ChildUse {
  const cpuMs = use.cpuMs + adopted.cpuMs;
  return {
    cpuMs: group === undefined ? cpuMs : Math.max(cpuMs, group.cpuMs),
    memoryBytes: Math.max(use.memoryBytes, adopted.memoryBytes),
  };
}

function stopGroup(running: Running, graceMs: number): void {
  if (running.killTimer !== undefined || running.hasEnded) return;
  running.killAtMs = performance.now() + graceMs;
  signalProcess(-running.groupId, "SIGTERM");
  // A stopped process gets no other signal before it goes on.
  signalProcess(-running.groupId, "SIGCONT");
  running.killTimer = setTimeout(() => signalProcess(-running.groupId, "SIGKILL"), graceMs);
}

function killGroup(running: Running): void {
  running.killAtMs = 0;
  running.group?.kill();
  // Whoever has ended may have given its number to another.
  if (!running.hasEnded) signalProcess(-running.groupId, "SIGKILL");
}

/** With the group that it leads, which nobody else is in: what forks there cannot get away. */
function killMember({ processId, groupId }: ProcessEntry): void {
  if (processId === groupId) signalProcess(-groupId, "SIGKILL");
  signalProcess(processId, "SIGKILL");
}

/** The group was asked already, by `stopGroup`. */
function askToEnd(entry: ProcessEntry, groupId: number): void {
  if (entry.groupId !== groupId) signalProcess(entry.processId, "SIGTERM");
}
