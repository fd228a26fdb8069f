/**
 * Command tasks: a sandbox, a process, a look at the inputs, the outputs into the cache. Every
 * try that was started ends in one `task_ended`, whatever fails on the way.
 *
 * @module
 */

import { setTimeout as delay } from "node:timers/promises";

import { type CommandRecipe, STREAM_KEPT_BYTES } from "../shared/protocol.ts";
import type { CacheName, TaskId } from "../shared/ids.ts";
import type { CacheLevel, InputMount, TryResult, Usage, UsageSample } from "../shared/task.ts";
import type { Activations } from "./activation.ts";
import type { CacheStore, Hold } from "./cache_store.ts";
import type { HeldDevices } from "./core/device.ts";
import type { WorkerEvent } from "./core/event.ts";
import { takeFailureOutputs } from "./failure_output.ts";
import type { WorkerInstruction } from "./core/instruction.ts";
import { limitOf } from "./core/limit.ts";
import { environmentPaths, holdInputs } from "./held_input.ts";
import type { Input } from "./mount.ts";
import { hasSameContents } from "./mounted_inputs.ts";
import type { TaskEnd, TaskProcess, TaskProcesses } from "./process.ts";
import type { Sandbox, Sandboxes } from "./sandbox.ts";
import type { Activation } from "./task_environment.ts";
import { isDiskFull, type OutputPlaces, takeOutputs } from "./task_output.ts";
import type { Tails } from "./tails.ts";
import type { Trees } from "./trees.ts";
import type { UsageMeter } from "./usage_meter.ts";
import {
  endVerdict,
  failure,
  statusOf,
  type Stop,
  stopped,
  type Verdict,
  verdictOf,
  withPeak,
} from "./verdict.ts";

type RunOrder = Extract<WorkerInstruction, { kind: "run_task" }>;
type TaskEnded = Pick<Extract<WorkerEvent, { kind: "task_ended" }>, "result" | "modified">;
type StopOrder = Extract<WorkerInstruction, { kind: "stop_task" }>;

/** The order of a recipe that is a command. */
export interface MakeOrder {
  readonly name: CacheName;
  readonly level: CacheLevel;
  readonly recipe: CommandRecipe;
  /** Of the disk, where the recipe states none: what there is room for. */
  readonly bytesMax: number;
  readonly devices: HeldDevices;
}

/** What a runner works with. */
export interface RunnerOptions {
  readonly cache: CacheStore;
  readonly trees: Pick<Trees, "read">;
  readonly sandboxes: Sandboxes;
  readonly processes: TaskProcesses;
  readonly meter: Pick<UsageMeter, "watch">;
  readonly tails: Pick<Tails, "expect" | "attach" | "forget">;
  readonly activations: Activations;
  readonly push: (event: WorkerEvent) => void;
}

/** Time between the polite signal and the one that cannot be ignored. */
export const STOP_GRACE_MS = 500;

/** Longest delay that timers take. */
const TIMER_MS_MAX: number = 2 ** 31 - 1;

/** The sandbox of a try that ran so long, and ended by itself, is looked at then. */
const DISK_LOOK_MS = 200;

/** How long a try waits for a full disk to have room for its sandbox, and between two looks. */
const FULL_MS_MAX = 5_000;
const FULL_PAUSE_MS = 100;

const NO_BYTES: Uint8Array = new Uint8Array(0);

/** What a try used. */
interface Measured {
  readonly used: Usage;
  readonly series?: readonly UsageSample[];
}

/** One try under way. */
interface Run {
  readonly order: RunOrder;
  process: TaskProcess | undefined;
  /** Why it is to end, first come. */
  stop: Stop | undefined;
  startedAtMs: number;
  ranMs: number;
  /** None of its processes is left. */
  hasEnded: boolean;
  /** What it used, once its processes have ended; at least `diskBytes` of disk. */
  total: ((diskBytes: number) => Measured) | undefined;
}

/** Owner of the tries that run here. */
export class Runner {
  readonly #options: RunnerOptions;
  /** {`TASK.TRY`: its run}. */
  readonly #runs: Map<string, Run> = new Map();
  readonly #ends: Set<Promise<void>> = new Set();
  #makeCount = 0;

  constructor(options: RunnerOptions) {
    this.#options = options;
  }

  /** Runs a try; `task_ended` answers. */
  run(order: RunOrder): void {
    this.#start(order, (end) => this.#options.push({ kind: "task_ended", ...end }));
  }

  /** Ends the processes of a try; `task_ended` still answers. */
  stop({ taskId, try: number, reason, exceeded }: StopOrder): void {
    const run = this.#runs.get(`${taskId}.${number}`);
    // What ended by itself before it could be stopped is judged by what it did.
    if (run === undefined || run.hasEnded) return;
    if (reason !== "resources_exhausted") {
      run.stop ??= { reason };
      run.process?.stop(STOP_GRACE_MS);
    } else if (exceeded !== undefined) {
      run.stop ??= { reason, exceeded, isShare: true };
      // It would use more of what there is none of.
      run.process?.kill();
    }
  }

  /** Resolves when no try runs any more; the processes are ended by their owner. */
  async close(): Promise<void> {
    while (this.#ends.size > 0) await Promise.all(this.#ends);
  }

  /**
   * Runs the command of a recipe as a try is run, and takes what it made into the cache. The
   * result says what became of it; stopped by `signal` as `cancelled`.
   */
  async make(order: MakeOrder, signal: AbortSignal): Promise<TaskEnded> {
    const {
      name,
      level,
      bytesMax,
      devices,
      recipe: { command, env, resources, timeoutMs, mount, ...needs },
    } = order;
    const { cache } = this.#options;
    // No task has that number.
    const taskId = 0 as TaskId;
    const outputs = [{ mount, name, generation: 0, level, isReturned: false }];
    const inputs = needs.inputs.map((input) => {
      return { ...input, generation: cache.get(input.name)?.facts.generation ?? 0 };
    });
    this.#makeCount += 1;
    const tryId = { taskId, try: this.#makeCount };
    const body = { kind: "command", command } as const;
    const task = { ...tryId, shape: 0, priority: 0, body, inputs, outputs };
    const diskBytes = resources.diskBytes || bytesMax;
    const { environments } = needs;
    const shape = { resources: { ...resources, diskBytes }, env, environments, timeoutMs };
    const { promise, resolve } = Promise.withResolvers<TaskEnded>();
    this.#start({ kind: "run_task", task, shape, devices, stagedMs: 0 }, resolve);
    const cancel = (): void => this.stop({ kind: "stop_task", ...tryId, reason: "cancelled" });
    const expire = (): void => this.stop({ kind: "stop_task", ...tryId, reason: "timeout" });
    if (signal.aborted) cancel();
    signal.addEventListener("abort", cancel, { once: true });
    const timer = timeoutMs > 0 ? setTimeout(expire, Math.min(timeoutMs, TIMER_MS_MAX)) : undefined;
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", cancel);
    }
  }

  #start(order: RunOrder, ended: (end: TaskEnded) => void): void {
    const { taskId, try: number } = order.task;
    const key = `${taskId}.${number}`;
    const run: Run = {
      order,
      process: undefined,
      stop: undefined,
      startedAtMs: 0,
      ranMs: 0,
      hasEnded: false,
      total: undefined,
    };
    this.#runs.set(key, run);
    this.#options.tails.expect(order.task);
    const end = this.#runTry(run, ended).finally(() => {
      this.#runs.delete(key);
      this.#options.tails.forget(order.task);
      this.#ends.delete(end);
    });
    this.#ends.add(end);
  }

  async #runTry(run: Run, ended: (end: TaskEnded) => void): Promise<void> {
    const { cache } = this.#options;
    const modified: CacheName[] = [];
    const holds: Hold[] = [];
    let streams = { stdout: NO_BYTES, stderr: NO_BYTES };
    let verdict: Verdict;
    let sandbox: Sandbox | undefined;
    let hasSurvivors = false;
    try {
      const inputs = holdInputs(cache, run.order, holds);
      sandbox = await this.#createSandbox(run, inputs);
      const end = await this.#runProcess(run, sandbox);
      hasSurvivors = end.hasSurvivors;
      streams = {
        stdout: sandbox.readStream("stdout", STREAM_KEPT_BYTES),
        stderr: sandbox.readStream("stderr", STREAM_KEPT_BYTES),
      };
      const changed = await this.#findModified(run, sandbox);
      // A try with copies wrote to nothing that others read.
      if (!run.order.task.hasOwnInputs) { for (const { name } of changed) modified.push(name); }
      verdict = await this.#judge(run, { sandbox, end, changed });
      if (!hasSurvivors) verdict = await this.#addFailureOutputs(run, { sandbox, verdict });
    } catch (error) {
      verdict = run.stop === undefined ? failure(error) : stoppedRun(run, run.stop);
    }
    for (const hold of holds) hold.release();
    const { taskId, try: number } = run.order.task;
    const { startedAtMs, ranMs } = run;
    const times = { startedAtMs, stagedMs: run.order.stagedMs, ranMs };
    const result = { taskId, try: number, ...verdict, ...streams, times };
    ended({ result: { ...result, ...measured(run, result) }, modified });
    // Whoever waits for the result need not wait for this.
    await sandbox?.remove({ hasSurvivors }).catch(() => {
      // What cannot be removed now goes with the whole folder when the worker ends.
    });
  }

  async #createSandbox(run: Run, inputs: readonly Input[]): Promise<Sandbox> {
    const { cache, sandboxes } = this.#options;
    const { task } = run.order;
    const content = {
      taskId: task.taskId,
      try: task.try,
      inputs,
      hasOwnInputs: task.hasOwnInputs ?? false,
      outputs: task.outputs.map((output) => output.mount),
    };
    const untilMs = performance.now() + FULL_MS_MAX;
    while (true) {
      try {
        return await sandboxes.create(content);
      } catch (error) {
        const isOver = run.stop !== undefined || performance.now() >= untilMs;
        if (!isDiskFull(error) || isOver) throw error;
      }
      // What others left, and is being removed, may be all that is in the way; or one of them is.
      await Promise.all([cache.emptied(), sandboxes.emptied()]);
      await delay(FULL_PAUSE_MS);
    }
  }

  async #runProcess(run: Run, sandbox: Sandbox): Promise<TaskEnd> {
    const { task, shape, devices } = run.order;
    if (task.body.kind !== "command") throw new TypeError("Cannot run a call as a command");
    const { cache, activations, processes } = this.#options;
    const activation = await activations.of(environmentPaths(cache, shape.environments));
    // It may have taken a while.
    if (run.stop !== undefined) throw new Error("it was stopped before it started");
    run.startedAtMs = Date.now();
    const startedAtMs = performance.now();
    run.process = processes.start({
      taskId: task.taskId,
      try: task.try,
      command: task.body.command,
      directory: sandbox.directory,
      temporaryDirectory: sandbox.temporaryDirectory,
      stdout: sandbox.descriptor("stdout"),
      stderr: sandbox.descriptor("stderr"),
      env: { ...shape.env, ...task.body.env, ...tendrilVariables(activation) },
      activation,
      resources: shape.resources,
      memoryBytesMax: limitOf(shape, "memory"),
      devices,
    });
    using usage = this.#options.meter.watch({
      id: task,
      shape,
      process: run.process,
      sandbox,
      exceeded: (exceeded) => {
        run.stop ??= { reason: "resources_exhausted", exceeded, isShare: false };
      },
    });
    using _tail = this.#options.tails.attach(task, sandbox);
    const end = await run.process.ended;
    run.ranMs = performance.now() - startedAtMs;
    run.hasEnded = true;
    if (end.kind === "start_failed") {
      run.startedAtMs = 0;
      return end;
    }
    const exceeded = usage.endedFor(end);
    if (exceeded !== undefined) {
      run.stop ??= { reason: "resources_exhausted", exceeded, isShare: false };
    }
    if (run.stop !== undefined) run.stop = withPeak(run.stop, usage.memoryPeak(end));
    else if (run.ranMs >= DISK_LOOK_MS) {
      usage.sawDisk((await sandbox.measure({ isBrief: true })).bytes);
    }
    run.total = (diskBytes) => usage.total(end, { ranMs: run.ranMs, diskBytes });
    return end;
  }

  /** Drops from the cache what the task wrote to, and says what that was. */
  async #findModified(run: Run, sandbox: Sandbox): Promise<readonly InputMount[]> {
    const { modified, suspect } = await sandbox.checkInputs();
    const mounts = new Set(modified.map((input) => input.mount));
    for (const { mount, path } of suspect) {
      const name = run.order.task.inputs.find((known) => known.mount === mount)?.name;
      const isSame = name !== undefined &&
        await hasSameContents(this.#options.cache, { name, path });
      if (!isSame) mounts.add(mount);
    }
    const changed = run.order.task.inputs.filter((input) => mounts.has(input.mount));
    if (run.order.task.hasOwnInputs) return changed;
    for (const { name, generation } of changed) this.#options.cache.delete(name, generation);
    return changed;
  }

  async #addFailureOutputs(
    run: Run,
    { sandbox, verdict }: { readonly sandbox: Sandbox; readonly verdict: Verdict },
  ): Promise<Verdict> {
    const wanted = run.order.task.outputs;
    if (wanted.length === 0 || verdict.outcome === "success") return verdict;
    const outputs = await takeFailureOutputs(this.#placesOf(sandbox), wanted, verdict.outcome);
    return outputs.length === 0 ? verdict : { ...verdict, outputs };
  }

  #placesOf(sandbox: Sandbox): OutputPlaces {
    const { cache, trees } = this.#options;
    return { cache, trees, collect: (mount) => sandbox.collect(mount) };
  }

  async #judge(
    run: Run,
    { sandbox, end, changed }: {
      sandbox: Sandbox;
      end: TaskEnd;
      changed: readonly InputMount[];
    },
  ): Promise<Verdict> {
    if (run.stop !== undefined) return { ...stoppedRun(run, run.stop), ...statusOf(end) };
    if (end.kind === "start_failed") return verdictOf("start_failed", end.message);
    const [first] = changed;
    if (first !== undefined) {
      const message = `The task wrote to its input "${first.mount}"`;
      return { ...verdictOf("input_modified", message), ...statusOf(end), mount: first.mount };
    }
    const verdict = endVerdict(end, sandbox.directory);
    if (verdict.outcome !== "success") return verdict;
    const wanted = run.order.task.outputs.filter(({ only }) => only !== "failure");
    if (wanted.length === 0) return verdict;
    const taken = await takeOutputs(this.#placesOf(sandbox), wanted);
    if (taken.kind === "taken") {
      return { ...verdict, outputs: taken.outputs };
    }
    const { outcome, message, mount } = taken;
    return { ...verdictOf(outcome, message), ...statusOf(end), mount };
  }
}

/** What every task and library is told besides what it was given. */
export function tendrilVariables({ rootPath }: Activation): { [name: string]: string } {
  const variables: { [name: string]: string } = { TENDRIL_EXECUTABLE: process.execPath };
  if (rootPath !== "") variables["TENDRIL_ENVIRONMENT"] = rootPath;
  return variables;
}

function stoppedRun({ order: { shape } }: Run, stop: Stop): Verdict {
  return stopped(stop, shape.timeoutMs);
}

/** What a try used, on whose result that much is known to have been written. */
function measured(
  { total }: Run,
  { outputs, stdout, stderr }: Pick<TryResult, "outputs" | "stdout" | "stderr">,
): Partial<Measured> {
  if (total === undefined) return {};
  let diskBytes = stdout.length + stderr.length;
  for (const { sizeBytes } of outputs) diskBytes += sizeBytes;
  return total(diskBytes);
}
