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
 *   was first seen, and goes when the last of them ends.
 * - Elsewhere, or where the call is not to be had, the group is asked whether it is
 *   still there, and `/proc`, if there is one, is searched for the try's mark.
 *
 * @module
 */

import { closeSync, openSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

import type { Resources } from "../shared/resources.ts";
import type { CpuPinner } from "../shared/runtime/affinity.ts";
import { type ChildEnd, isOwnChild, spawnDetached } from "../shared/runtime/spawn.ts";
import { becomeSubreaper, type Subreaper } from "../shared/runtime/subreaper.ts";
import type { TryId } from "../shared/task.ts";
import type { HeldDevices } from "./core/device.ts";
import type { GpuVariable } from "./gpu_devices.ts";
import { listProcesses, readProcess, readVariable, signalProcess } from "./process_table.ts";
import { describeStartFailure } from "./start_failure.ts";
import {
  type Activation,
  type Environment,
  inheritedEnvironment,
  TRY_MARK_VARIABLE,
  tryEnvironment,
  WORKER_MARK_VARIABLE,
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
  readonly devices: HeldDevices;
}

/** How a try's processes ended. */
export type TaskEnd =
  & (
    | ChildEnd
    /** No process was started, for this one-line reason. */
    | { readonly kind: "start_failed"; readonly message: string }
  )
  & {
    /** True when a process of the try could not be ended in `LEFTOVER_LIMIT_MS`. */
    readonly hasSurvivors: boolean;
  };

/** A try whose processes run. */
export interface TaskProcess {
  /** Process and group; absent when it could not be started. */
  readonly processId?: number;
  /** Resolves when no process of the try is left; never rejects. */
  readonly ended: Promise<TaskEnd>;
  /** Asks the whole group to end, and makes it end `graceMs` later. */
  stop(graceMs: number): void;
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
}

/** How long what a task left behind is killed again before it is given up. */
export const LEFTOVER_LIMIT_MS = 2_000;

/** First and longest pause between two looks at what a task left behind. */
const LOOK_PAUSE_MS = { first: 1, longest: 50 } as const;

const SHELL = "/bin/sh";

/** After this long an ended child that nobody waited for is waited for here. */
const UNCLAIMED_MS = 1_000;

/** A try with a living leader or living leftovers. */
interface Running {
  readonly mark: string;
  /** Process id of the leader; set as soon as it runs. */
  groupId: number;
  readonly ended: Promise<TaskEnd>;
  /** When a task that was told to stop is killed; 0 when it was not told. */
  killAtMs: number;
  killTimer: ReturnType<typeof setTimeout> | undefined;
  hasEnded: boolean;
}

/** Whom an adopted process belongs to: all these tries must have ended before it is killed. */
type Owners = readonly Running[] | "worker";

/** Owner of every task process of this worker. */
export class TaskProcesses {
  readonly #mark: string;
  readonly #inherited: Environment;
  readonly #watcher: GroupWatcher;
  readonly #subreaper: Subreaper | undefined;
  readonly #gpuVariable: GpuVariable | undefined;
  readonly #pinner: CpuPinner | undefined;
  readonly #nullDevice: number;
  /** {group id: its try}; one that has ended stays until nothing of it is left. */
  readonly #running: Map<number, Running> = new Map();
  /** {process id: owners} of adopted processes seen alive at the last look. */
  #adopted: Map<number, Owners> = new Map();
  /** {process id: when it was first seen ended} of children that are no task's. */
  #unclaimed: Map<number, number> = new Map();
  #nextUnclaimedAtMs = 0;

  /** Starts the processes of one worker; `open` also finds a subreaper. */
  constructor(options: TaskProcessesOptions) {
    this.#mark = options.mark;
    this.#inherited = inheritedEnvironment(options.env);
    this.#watcher = options.watcher;
    this.#subreaper = options.subreaper;
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
    const env = tryEnvironment(this.#inherited, {
      ...task,
      workerMark: this.#mark,
      gpuVariable: this.#gpuVariable,
    });
    const argv = [SHELL, "-c", task.command];
    const { promise: ended, resolve } = Promise.withResolvers<TaskEnd>();
    const running: Running = {
      mark: `${task.taskId}.${task.try}.${this.#mark}`,
      groupId: 0,
      ended,
      killAtMs: 0,
      killTimer: undefined,
      hasEnded: false,
    };
    const { cpus } = task.devices;
    const spawn = () =>
      spawnDetached({
        argv,
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
      const message = describeStartFailure({ command: task.command, env, error });
      resolve({ kind: "start_failed", message, hasSurvivors: false });
      return { ended, stop: () => {} };
    }
    this.#running.set(running.groupId, running);
    this.#watcher.groupStarted(running.groupId);
    return { processId: running.groupId, ended, stop: (graceMs) => stopGroup(running, graceMs) };
  }

  /** Kills what still runs, waits for it, and closes. */
  async close(): Promise<void> {
    for (const running of this.#running.values()) {
      running.killAtMs = 0;
      signalProcess(-running.groupId, "SIGKILL");
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

  #leaderEnded(running: Running, end: ChildEnd, resolve: (end: TaskEnd) => void): void {
    running.hasEnded = true;
    if (this.#findLeftovers(running).length === 0) {
      this.#forget(running);
      resolve({ ...end, hasSurvivors: false });
      return;
    }
    this.#endLeftovers(running).then((hasSurvivors) => {
      this.#forget(running);
      resolve({ ...end, hasSurvivors });
    });
  }

  /** True when something could not be killed. While a stop's grace runs, all may go by itself. */
  async #endLeftovers(running: Running): Promise<boolean> {
    const startAtMs = performance.now();
    const asked = new Set<number>();
    let pauseMs: number = LOOK_PAUSE_MS.first;
    while (true) {
      const leftovers = this.#findLeftovers(running);
      if (leftovers.length === 0) return false;
      const nowMs = performance.now();
      if (nowMs >= Math.max(startAtMs, running.killAtMs) + LEFTOVER_LIMIT_MS) return true;
      for (const processId of leftovers) {
        if (nowMs >= running.killAtMs) signalProcess(processId, "SIGKILL");
        else if (!asked.has(processId)) askToEnd(processId, running.groupId);
        asked.add(processId);
      }
      await delay(pauseMs);
      pauseMs = Math.min(pauseMs * 2, LOOK_PAUSE_MS.longest);
    }
  }

  #forget(running: Running): void {
    clearTimeout(running.killTimer);
    this.#running.delete(running.groupId);
    this.#watcher.groupEnded(running.groupId);
  }

  /** Processes, or with a negative sign groups, of a try whose leader has ended. */
  #findLeftovers(running: Running): number[] {
    if (this.#subreaper === undefined) return searchLeftovers(running);
    const adopted = new Map<number, Owners>();
    const leftovers: number[] = [];
    for (const processId of this.#subreaper.childIds()) {
      if (isOwnChild(processId)) continue;
      const owners = this.#adopted.get(processId) ?? this.#findOwners(processId);
      adopted.set(processId, owners);
      if (owners === "worker" || this.#subreaper.reap(processId)) continue;
      if (!owners.every((owner) => owner.hasEnded)) continue;
      if (owners.length === 0 || owners.includes(running)) leftovers.push(processId);
    }
    this.#adopted = adopted;
    this.#reapUnclaimed(this.#subreaper);
    return leftovers;
  }

  /** Whoever started a child waits for it at once, so the ones that stay ended were adopted. */
  #reapUnclaimed(subreaper: Subreaper): void {
    const nowMs = performance.now();
    if (nowMs < this.#nextUnclaimedAtMs) return;
    this.#nextUnclaimedAtMs = nowMs + UNCLAIMED_MS;
    const unclaimed = new Map<number, number>();
    for (const [processId, owners] of this.#adopted) {
      if (owners !== "worker" || !readProcess(processId)?.isZombie) continue;
      const sinceMs = this.#unclaimed.get(processId) ?? nowMs;
      if (nowMs - sinceMs < UNCLAIMED_MS || !subreaper.reap(processId)) {
        unclaimed.set(processId, sinceMs);
      }
    }
    this.#unclaimed = unclaimed;
  }

  #findOwners(processId: number): Owners {
    const entry = readProcess(processId);
    if (entry === undefined) return [];
    const byGroup = this.#running.get(entry.sessionId) ?? this.#running.get(entry.groupId);
    if (byGroup !== undefined) return [byGroup];
    // Nothing more is told of a process that has ended, so it may be a child of another's.
    if (entry.isZombie) return "worker";
    const tryMark = readVariable(processId, TRY_MARK_VARIABLE);
    if (tryMark?.endsWith(`.${this.#mark}`)) {
      return [...this.#running.values()].filter((running) => running.mark === tryMark);
    }
    // A child of the worker that is no task: a library instance, an unpacking process.
    if (readVariable(processId, WORKER_MARK_VARIABLE) === this.#mark) return "worker";
    if (entry.sessionId === readProcess(process.pid)?.sessionId) return "worker";
    return [...this.#running.values()];
  }
}

function stopGroup(running: Running, graceMs: number): void {
  if (running.killTimer !== undefined || running.hasEnded) return;
  running.killAtMs = performance.now() + graceMs;
  signalProcess(-running.groupId, "SIGTERM");
  // A stopped process gets no other signal before it goes on.
  signalProcess(-running.groupId, "SIGCONT");
  running.killTimer = setTimeout(() => signalProcess(-running.groupId, "SIGKILL"), graceMs);
}

/** The group was asked already, by `stopGroup`. */
function askToEnd(processId: number, groupId: number): void {
  if (processId < 0 || readProcess(processId)?.groupId === groupId) return;
  signalProcess(processId, "SIGTERM");
}

function searchLeftovers(running: Running): number[] {
  const entries = listProcesses();
  if (entries.length === 0) {
    return signalProcess(-running.groupId, 0) ? [-running.groupId] : [];
  }
  const { groupId, mark } = running;
  return entries
    .filter((entry) =>
      !entry.isZombie && (entry.groupId === groupId || entry.sessionId === groupId ||
        readVariable(entry.processId, TRY_MARK_VARIABLE) === mark)
    )
    .map((entry) => entry.processId);
}
