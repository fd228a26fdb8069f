/**
 * Instances of libraries: started with what their library states, given calls, stopped. The
 * calls themselves are library/library_process.ts's business; here they get their files, and
 * their ends become results.
 *
 * @module
 */

import { copyFileSync, mkdirSync } from "node:fs";

import { join } from "@std/path";

import { assert, unreachable } from "../shared/assert.ts";
import type { InstanceId } from "../shared/ids.ts";
import {
  type DispatchedTask,
  filesOfLibrary,
  type LibraryDefinition,
  VALUE_BYTES_MAX,
} from "../shared/protocol.ts";
import type { CpuPinner } from "../shared/runtime/affinity.ts";
import type { Resources } from "../shared/resources.ts";
import type { TaskShape, TryResult } from "../shared/task.ts";
import { withAllocation } from "./allocation_environment.ts";
import type { Activations } from "./activation.ts";
import type { CacheStore, Hold } from "./cache_store.ts";
import { isMetered, MeteredCall } from "./call_meter.ts";
import type { CallEnd, WorkerEvent } from "./core/event.ts";
import type { HeldDevices } from "./core/device.ts";
import type { InstanceStop } from "./core/instance_use.ts";
import type { WorkerInstruction } from "./core/instruction.ts";
import { describeExceeded, describeTimeout } from "./core/limit.ts";
import { type DiskUsage, diskUsage } from "./disk_usage.ts";
import type { GpuVariable } from "./gpu_devices.ts";
import type { EndedLeader } from "./leftovers.ts";
import type { CallResult, LibraryCall } from "./library/library_call.ts";
import { LibraryProcess } from "./library/library_process.ts";
import { collectOutput } from "./output.ts";
import { environmentPaths } from "./held_input.ts";
import type { ProcessEntry } from "./process_table.ts";
import { killAll } from "./process_tree.ts";
import { tendrilVariables } from "./runner.ts";
import {
  activated,
  type Activation,
  type Environment,
  NO_ACTIVATION,
  searchPath,
} from "./task_environment.ts";
import { isDiskFull, takeOutputs } from "./task_output.ts";
import type { Trash } from "./trash.ts";
import type { Trees } from "./trees.ts";
import type { UsageMeter, WatchedUsage } from "./usage_meter.ts";

type Order<Kind extends WorkerInstruction["kind"]> = Extract<WorkerInstruction, { kind: Kind }>;

/** What instances work with. */
export interface InstancesOptions {
  readonly cache: CacheStore;
  readonly trees: Pick<Trees, "read">;
  readonly activations: Activations;
  /** Folder of the instances' private directories; empty. */
  readonly directory: string;
  readonly trash: Trash;
  /** What children see of the worker's own environment. */
  readonly env: Environment;
  /** The worker's mark. */
  readonly mark: string;
  /** The program that serves a JavaScript module, before the module and its context function. */
  readonly hostCommand: readonly string[];
  /** Absent where the worker offers no GPUs. */
  readonly gpuVariable?: GpuVariable;
  /** There when instances are pinned to the processors that they have. */
  readonly pinner?: CpuPinner;
  readonly meter: Pick<UsageMeter, "watch">;
  /** Ends what a process has left behind. */
  readonly endLeftovers: (leader: EndedLeader) => Promise<void>;
  /** Finds the living processes below some. */
  readonly walk: (processIds: readonly number[]) => Promise<ProcessEntry[]>;
  readonly push: (event: WorkerEvent) => void;
}

const NO_BYTES: Uint8Array = new Uint8Array(0);

/** A message for a person; the whole of an error is in its value. */
const MESSAGE_CHARS_MAX = 2_000;

interface Call {
  readonly task: DispatchedTask;
  /** Where a call with outputs works; empty for the others. */
  readonly directory: string;
  /** 0 is none. */
  readonly timeoutMs: number;
  /** Of one that states memory or disk. */
  metered: MeteredCall | undefined;
  /** Why it is stopped, of one that is beyond what it states. */
  stop: InstanceStop | undefined;
}

interface Instance {
  readonly id: InstanceId;
  readonly library: LibraryDefinition;
  readonly devices: HeldDevices;
  readonly directory: string;
  readonly holds: readonly Hold[];
  /** {call id: what it is for} */
  readonly calls: Map<number, Call>;
  /** From before it has processes. */
  process: LibraryProcess | undefined;
  usage: WatchedUsage | undefined;
  /** Of outputs that calls have made, and that are in the cache. */
  takenBytes: number;
  isStopping: boolean;
  /** Why it is stopped, of one that has failed by what it used. */
  stop: InstanceStop | undefined;
}

/** Owner of the instances that run here. */
export class Instances {
  readonly #options: InstancesOptions;
  readonly #instances: Map<InstanceId, Instance> = new Map();
  readonly #work: Set<Promise<void>> = new Set();
  #callCount = 0;

  constructor(options: InstancesOptions) {
    this.#options = options;
    mkdirSync(options.directory, { recursive: true, mode: 0o700 });
  }

  /** Starts an instance; `instance_ready` or `instance_gone` answers. */
  start({ instanceId, library, devices }: Order<"start_instance">): void {
    const instance: Instance = {
      id: instanceId,
      library,
      devices,
      directory: join(this.#options.directory, String(instanceId)),
      holds: holdFiles(this.#options.cache, library),
      calls: new Map(),
      process: undefined,
      usage: undefined,
      takenBytes: 0,
      isStopping: false,
      stop: undefined,
    };
    this.#instances.set(instanceId, instance);
    this.#track(this.#start(instance));
  }

  /** Ends an instance and its calls; `instance_gone` answers. */
  stop({ instanceId, stop }: Order<"stop_instance">): void {
    const instance = this.#instances.get(instanceId);
    if (instance !== undefined) this.#stop(instance, stop);
  }

  /** Hands calls to an instance; `calls_ended` answers. */
  call({ instanceId, calls, shapes }: Order<"call">): void {
    const instance = this.#instances.get(instanceId);
    // The calls of one that is gone, or goes, end with it.
    if (instance?.process?.isOpen !== true) return;
    const given: LibraryCall[] = [];
    const refused: CallEnd[] = [];
    for (const [index, task] of calls.entries()) {
      const shape = shapes[index];
      assert(shape !== undefined, "Each call must have a shape");
      try {
        given.push(this.#prepare(instance, task, shape));
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        const outcome = isDiskFull(error) ? "disk_full" : "input_missing";
        refused.push(endOf(task, { ...NOTHING_RAN, outcome, message }));
      }
    }
    if (refused.length > 0) this.#options.push({ kind: "calls_ended", ends: refused });
    if (given.length > 0) instance.process.call(given);
  }

  /** Ends a call; `calls_ended` still answers. */
  stopCall({ instanceId, taskId, try: number }: Order<"stop_call">): void {
    const instance = this.#instances.get(instanceId);
    for (const [callId, { task }] of instance?.calls ?? []) {
      if (task.taskId !== taskId || task.try !== number) continue;
      instance?.process?.cancel(callId);
      return;
    }
  }

  /** Ends all instances and waits for it. */
  async close(): Promise<void> {
    for (const instanceId of this.#instances.keys()) {
      this.stop({ kind: "stop_instance", instanceId });
    }
    while (this.#work.size > 0) await Promise.all(this.#work);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #track(work: Promise<void>): void {
    const tracked = work.finally(() => this.#work.delete(tracked));
    this.#work.add(tracked);
  }

  async #start(instance: Instance): Promise<void> {
    try {
      const { cache, activations } = this.#options;
      const environments = environmentPaths(cache, instance.library.environments);
      const activation = await activations.of(environments);
      if (instance.isStopping) return this.#forget(instance, "stopped", "");
      await LibraryProcess.start(this.#processOptions(instance, activation));
      this.#options.push({ kind: "instance_ready", instanceId: instance.id });
    } catch (error) {
      // Whoever stops it says so.
      if (!instance.isStopping) this.#forget(instance, "start_failed", messageOf(error));
      else if (instance.process === undefined) this.#forget(instance, "stopped", "");
    }
  }

  #opened(instance: Instance, process: LibraryProcess): void {
    instance.process = process;
    const { meter, walk, push } = this.#options;
    const { id: instanceId } = instance;
    instance.usage = meter.watch({
      id: { instanceId },
      shape: {
        get resources() {
          return statedIn(instance);
        },
      },
      process: {
        look: async () => ({ members: await walk(process.processIds) }),
        // The core does, so that it gives it no more calls.
        kill: () => {},
      },
      sandbox: { measure: () => measureDirectory(instance) },
      exceeded: (exceeded) => push({ kind: "instance_exceeded", instanceId, exceeded }),
    });
  }

  #processOptions(
    instance: Instance,
    activation: Activation,
  ): Parameters<typeof LibraryProcess.start>[0] {
    const { cache, env, hostCommand, mark, gpuVariable, pinner, endLeftovers } = this.#options;
    const { library, devices, directory } = instance;
    const { program } = library;
    if (program.kind !== "javascript") throw new Error(`Cannot start a ${program.kind} library`);
    const module = cache.get(program.module);
    if (module === undefined) throw new Error(`Module "${program.module}" is not in the cache`);
    mkdirSync(directory, { mode: 0o700 });
    // The runtime tells a module's language by its suffix, which names in the cache lack.
    const modulePath = join(directory, "library.ts");
    copyFileSync(module.path, modulePath);
    const { resources, slots } = library;
    const allocation = { resources, devices, gpuVariable, processCount: slots };
    const variables = {
      ...withAllocation(activated(env, activation), allocation),
      ...library.env,
    };
    return {
      command: [...hostCommand, modulePath, library.context],
      directory,
      env: {
        ...variables,
        ...(activation === NO_ACTIVATION ? {} : { PATH: searchPath(variables, activation) }),
        ...tendrilVariables(activation),
      },
      mark,
      slots,
      mode: library.mode,
      endLeftovers,
      ...(pinner === undefined || devices.cpus.length === 0
        ? {}
        : { pinned: (start) => pinner.run(devices.cpus, start) }),
      onOpened: (process) => this.#opened(instance, process),
      onRunning: (callId, processId) => {
        instance.calls.get(callId)?.metered?.started(processId);
      },
      onResults: (results) => this.#takeResults(instance, results),
      onDied: (message) => this.#died(instance, message),
    };
  }

  #prepare(instance: Instance, task: DispatchedTask, shape: TaskShape): LibraryCall {
    assert(task.body.kind === "call", "An instance is given calls only");
    const files = task.inputs.length === 0 ? [] : filePaths(this.#options.cache, task);
    const callId = this.#callCount++;
    const isLookedAt = isMetered(shape);
    let directory = "";
    if (task.outputs.length > 0 || isLookedAt) {
      // What a call states of the disk is no part of what its instance may write.
      directory = shape.resources.diskBytes > 0
        ? `${instance.directory}-call-${callId}`
        : join(instance.directory, `call-${callId}`);
      mkdirSync(directory, { mode: 0o700 });
    }
    const { timeoutMs } = shape;
    const call: Call = { task, directory, timeoutMs, metered: undefined, stop: undefined };
    instance.calls.set(callId, call);
    if (isLookedAt) call.metered = this.#meterCall(instance, { callId, call, shape });
    const { function: name, arguments: bytes } = task.body;
    const given = { callId, function: name, arguments: bytes, directory, files, timeoutMs };
    return isLookedAt ? { ...given, isMetered: true } : given;
  }

  #meterCall(
    instance: Instance,
    { callId, call, shape }: {
      readonly callId: number;
      readonly call: Call;
      readonly shape: TaskShape;
    },
  ): MeteredCall {
    const { meter, walk } = this.#options;
    const { task: { taskId, try: number }, directory } = call;
    return new MeteredCall({
      id: { taskId, try: number },
      shape,
      mode: instance.library.mode,
      meter,
      walk,
      measure: () => diskUsage(directory, new Set()),
      exceeded: (exceeded) => {
        const message = describeExceeded(exceeded, { isShare: false, isCall: true });
        const outcome = "resources_exhausted";
        call.stop ??= { outcome, message, exceeded, isAmbiguous: false };
        instance.process?.cancel(callId);
      },
    });
  }

  /** All results of one read become one event, but for those whose outputs take time. */
  #takeResults(instance: Instance, results: readonly CallResult[]): void {
    const ends: CallEnd[] = [];
    for (const result of results) {
      const call = instance.calls.get(result.callId);
      if (call === undefined) continue;
      instance.calls.delete(result.callId);
      const hasFiles = call.directory !== "" || result.end.kind === "ok_file";
      if (hasFiles) this.#track(this.#takeFiles(instance, call, result));
      else ends.push(endOf(call.task, tellResult(result, call)));
    }
    if (ends.length > 0) this.#options.push({ kind: "calls_ended", ends });
  }

  async #takeFiles(instance: Instance, call: Call, result: CallResult): Promise<void> {
    const { task, directory } = call;
    const { cache, trees, trash, push } = this.#options;
    let told = tellResult(result, call);
    if (told.outcome === "success") {
      try {
        const collect = (mount: string) => collectOutput(directory, mount);
        const taken = await takeOutputs({ cache, trees, collect }, task.outputs);
        if (taken.kind === "taken") {
          for (const { sizeBytes } of taken.outputs) instance.takenBytes += sizeBytes;
          told = { ...told, outputs: taken.outputs };
        } else {told = {
            ...told,
            outcome: taken.outcome,
            mount: taken.mount,
            message: taken.message,
          };}
      } catch (error) {
        const message = `Cannot take the outputs of the call: ${messageOf(error)}`;
        told = { ...told, outcome: isDiskFull(error) ? "disk_full" : "call_error", message };
      }
    }
    if (directory !== "") trash.take(directory);
    if (result.end.kind === "ok_file") trash.take(result.end.path);
    push({ kind: "calls_ended", ends: [endOf(task, told)] });
  }

  #died(instance: Instance, message: string): void {
    // What it leaves is removed once its processes are gone.
    const { process } = instance;
    if (instance.isStopping || process === undefined) return;
    instance.isStopping = true;
    this.#track(process.close().then(() => this.#forget(instance, "died", message)));
  }

  /** One that still starts is stopped as soon as there is something to stop. */
  #stop(instance: Instance, stop?: InstanceStop): void {
    if (instance.isStopping) return;
    instance.isStopping = true;
    instance.stop = stop;
    if (instance.process !== undefined) this.#track(this.#close(instance, instance.process));
  }

  async #close(instance: Instance, process: LibraryProcess): Promise<void> {
    const { stop } = instance;
    // What left the groups of its slots is found below them as long as they live.
    const members = await this.#options.walk(process.processIds);
    const closed = process.close(stop);
    if (stop !== undefined) killAll(members);
    await closed;
    killAll(members);
    this.#forget(instance, stop === undefined ? "stopped" : "died", stop?.message ?? "");
  }

  #forget(
    instance: Instance,
    reason: Extract<WorkerEvent, { kind: "instance_gone" }>["reason"],
    message: string,
  ): void {
    this.#instances.delete(instance.id);
    instance.usage?.[Symbol.dispose]();
    for (const hold of instance.holds) hold.release();
    this.#options.trash.take(instance.directory);
    this.#options.push({ kind: "instance_gone", instanceId: instance.id, reason, message });
  }
}

type ToldResult = Omit<TryResult, "taskId" | "try">;

/** A result of a call that never ran. */
const NOTHING_RAN: ToldResult = {
  outcome: "cancelled",
  message: "",
  stdout: NO_BYTES,
  stderr: NO_BYTES,
  outputs: [],
  times: { startedAtMs: 0, stagedMs: 0, ranMs: 0 },
};

function tellResult(
  { end, stdout, stderr, startedAtMs, ranMs }: CallResult,
  { timeoutMs, metered, stop }: Call,
): ToldResult {
  const times = { startedAtMs, stagedMs: 0, ranMs };
  const used = metered?.ended(ranMs);
  const use = used === undefined ? {} : { used };
  const told = { message: "", stdout, stderr, outputs: [], times, ...use };
  switch (end.kind) {
    case "ok":
      return { ...told, outcome: "success", value: end.value };
    case "ok_file": {
      const message = `Cannot return a value above ${VALUE_BYTES_MAX} bytes: make it an output`;
      return { ...told, outcome: "call_error", message };
    }
    case "error": {
      const { name, message } = end.thrown;
      const line = `${name}: ${message}`.slice(0, MESSAGE_CHARS_MAX);
      return { ...told, outcome: "call_error", message: line, value: end.value };
    }
    case "lost":
      return {
        ...told,
        outcome: "library_failed",
        message: end.message.slice(0, MESSAGE_CHARS_MAX),
        ...(end.isAmbiguous === true ? { isAmbiguous: true } : {}),
      };
    case "stopped":
      return tellStop(told, end.stop);
    case "cancelled":
      if (stop !== undefined) return tellStop(told, stop);
      return { ...told, outcome: end.kind, message: "The call was stopped: it was cancelled" };
    case "timeout": {
      const message = `The call was stopped: ${describeTimeout(timeoutMs)}`;
      return { ...told, outcome: end.kind, message };
    }
    default:
      return unreachable(end);
  }
}

function tellStop(
  told: Omit<ToldResult, "outcome">,
  { isAmbiguous, ...how }: InstanceStop,
): ToldResult {
  return { ...told, ...how, ...(isAmbiguous ? { isAmbiguous } : {}) };
}

function endOf(task: DispatchedTask, told: ToldResult): CallEnd {
  const { taskId, try: number } = task;
  return { taskId, try: number, result: { taskId, try: number, ...told } };
}

function filePaths(cache: CacheStore, task: DispatchedTask): string[] {
  return task.inputs.map(({ name, generation }) => {
    const stored = cache.get(name);
    if (stored?.facts.generation === generation) return stored.path;
    throw new Error(`File argument "${name}" is not in the cache`);
  });
}

/** Keeps the module and the environments in place while the instance lives. */
function holdFiles(cache: CacheStore, library: LibraryDefinition): Hold[] {
  return filesOfLibrary(library).flatMap((name) => {
    const stored = cache.get(name);
    const hold = stored && cache.hold(name, stored.facts.generation);
    return hold === undefined ? [] : [hold];
  });
}

/** What its library states, and beside that what the calls in it do, where there is a limit at all. */
function statedIn({ library: { resources }, calls }: Instance): Resources {
  let { memoryBytes } = resources;
  for (const { metered } of calls.values()) {
    if (memoryBytes > 0 && metered !== undefined) memoryBytes += metered.memoryBytes;
  }
  return memoryBytes === resources.memoryBytes ? resources : { ...resources, memoryBytes };
}

/** What a call has made may have become a file of the cache while it was looked at. */
async function measureDirectory(instance: Instance): Promise<DiskUsage> {
  const takenBytes = instance.takenBytes;
  const { bytes, costMs } = await diskUsage(instance.directory, new Set());
  return { bytes: Math.max(0, bytes - (instance.takenBytes - takenBytes)), costMs };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
