/**
 * Instances of libraries: started with what their library states, given calls, stopped. The
 * calls themselves are library/library_process.ts's business; here they get their files, and
 * their ends become results.
 *
 * @module
 */

import { mkdirSync } from "node:fs";

import { join } from "@std/path";

import { assert, unreachable } from "../shared/assert.ts";
import type { InstanceId } from "../shared/ids.ts";
import type { DispatchedTask, LibraryDefinition } from "../shared/protocol.ts";
import type { CpuPinner } from "../shared/runtime/affinity.ts";
import type { Resources } from "../shared/resources.ts";
import { madeFiles, type TaskShape, type TryResult } from "../shared/task.ts";
import { withAllocation } from "./allocation_environment.ts";
import type { Activations } from "./activation.ts";
import type { CacheStore } from "./cache_store.ts";
import { isMetered, MeteredCall } from "./call_meter.ts";
import { CallFiles, type CallValue, valueName } from "./call_files.ts";
import type { CallEnd, WorkerEvent } from "./core/event.ts";
import type { HeldDevices } from "./core/device.ts";
import type { InstanceStop } from "./core/instance_use.ts";
import type { WorkerInstruction } from "./core/instruction.ts";
import { describeExceeded } from "./core/limit.ts";
import { type DiskUsage, diskUsage } from "./disk_usage.ts";
import type { GpuVariable } from "./gpu_devices.ts";
import type { CallResult, LibraryCall } from "./library/library_call.ts";
import { LibraryProcess } from "./library/library_process.ts";
import { programCommand } from "./library/library_program.ts";
import { writePythonHost } from "./library/python/host_files.ts";
import { InstanceFiles } from "./instance_files.ts";
import type { Mounts } from "./mounted_inputs.ts";
import { environmentPaths } from "./held_input.ts";
import type { TaskProcesses } from "./process.ts";
import { killAll } from "./process_tree.ts";
import { tendrilVariables } from "./runner.ts";
import {
  activated,
  type Activation,
  type Environment,
  FALLBACK_PATH,
  NO_ACTIVATION,
  searchPath,
} from "./task_environment.ts";
import { isDiskFull } from "./task_output.ts";
import type { Trash } from "./trash.ts";
import type { Trees } from "./trees.ts";
import type { UsageMeter, WatchedUsage } from "./usage_meter.ts";
import { CALL_CANCELLED, callVerdict } from "./verdict.ts";

type Order<Kind extends WorkerInstruction["kind"]> = Extract<WorkerInstruction, { kind: Kind }>;

/** What instances work with. */
export interface InstancesOptions {
  readonly cache: CacheStore;
  readonly trees: Pick<Trees, "read">;
  /** What mounts have in common with those of tries. */
  readonly mounts: Mounts;
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
  /** Finds what lives below processes, and ends what is left of them. */
  readonly processes: Pick<TaskProcesses, "walk" | "endLeftovers">;
  readonly push: (event: WorkerEvent) => void;
}

const NO_BYTES: Uint8Array = new Uint8Array(0);

interface Call {
  readonly task: DispatchedTask;
  /** Absent of a call that has none. */
  readonly files: CallFiles | undefined;
  readonly shape: TaskShape;
  /** Of one that states memory or disk. */
  readonly metered: MeteredCall | undefined;
  /** Nobody wants it; of one that its process does not have yet. */
  isCancelled: boolean;
  /** Why it is stopped, of one that is beyond what it states. */
  stop: InstanceStop | undefined;
}

interface Instance {
  readonly id: InstanceId;
  readonly library: LibraryDefinition;
  readonly devices: HeldDevices;
  readonly directory: string;
  readonly files: InstanceFiles;
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
  /** Empty until it is needed. */
  #pythonHostPath = "";

  constructor(options: InstancesOptions) {
    this.#options = options;
    mkdirSync(options.directory, { recursive: true, mode: 0o700 });
  }

  /** Starts an instance; `instance_ready` or `instance_gone` answers. */
  start({ instanceId, library, devices }: Order<"start_instance">): void {
    const { cache, mounts } = this.#options;
    const directory = join(this.#options.directory, String(instanceId));
    const instance: Instance = {
      id: instanceId,
      library,
      devices,
      directory,
      files: new InstanceFiles({ cache, mounts, library, directory }),
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
        const call = this.#prepare(instance, task, shape);
        if (call !== undefined) given.push(call);
      } catch (error) {
        refused.push(endOf(task, refusalOf(error)));
      }
    }
    if (refused.length > 0) this.#options.push({ kind: "calls_ended", ends: refused });
    if (given.length > 0) instance.process.call(given);
  }

  /** Ends a call; `calls_ended` still answers. */
  stopCall({ instanceId, taskId, try: number }: Order<"stop_call">): void {
    const instance = this.#instances.get(instanceId);
    for (const [callId, call] of instance?.calls ?? []) {
      const { task } = call;
      if (task.taskId !== taskId || task.try !== number) continue;
      call.isCancelled = true;
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
      if (!instance.isStopping) await instance.files.place();
      if (instance.isStopping) return await this.#forget(instance, "stopped", "");
      await LibraryProcess.start(this.#processOptions(instance, activation));
      this.#options.push({ kind: "instance_ready", instanceId: instance.id });
    } catch (error) {
      // Whoever stops it says so.
      if (!instance.isStopping) await this.#forget(instance, "start_failed", messageOf(error));
      else if (instance.process === undefined) await this.#forget(instance, "stopped", "");
    }
  }

  #opened(instance: Instance, process: LibraryProcess): void {
    instance.process = process;
    const { meter, processes, push } = this.#options;
    const { id: instanceId } = instance;
    instance.usage = meter.watch({
      id: { instanceId },
      shape: {
        get resources() {
          return statedIn(instance);
        },
      },
      process: {
        look: async () => ({ members: await processes.walk(process.processIds) }),
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
    const { env, hostCommand, mark, gpuVariable, pinner, processes } = this.#options;
    const { library, devices, directory, files } = instance;
    const { resources, slots } = library;
    const allocation = { resources, devices, gpuVariable, processCount: slots };
    const variables = {
      ...withAllocation(activated(env, activation), allocation),
      ...library.env,
    };
    const { module, contextCall } = files;
    const environment: Environment = {
      ...variables,
      ...(activation === NO_ACTIVATION ? {} : { PATH: searchPath(variables, activation) }),
      ...tendrilVariables(activation),
    };
    const command = programCommand({
      ...{ library, module, contextCall, hostCommand },
      searchPath: environment["PATH"] ?? FALLBACK_PATH,
      pythonHost: () => this.#pythonHost(),
    });
    return {
      command,
      prepare: (directory) => files.fill(directory),
      directory,
      env: environment,
      mark,
      slots,
      mode: library.mode,
      endLeftovers: (leader) => processes.endLeftovers(leader),
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

  /** The program that serves Python modules, written once. */
  #pythonHost(): string {
    if (this.#pythonHostPath === "") {
      this.#pythonHostPath = writePythonHost(join(this.#options.directory, "python_host"));
    }
    return this.#pythonHostPath;
  }

  /** Undefined of a call whose inputs have to be put in place first. */
  #prepare(
    instance: Instance,
    task: DispatchedTask,
    shape: TaskShape,
  ): LibraryCall | undefined {
    assert(task.body.kind === "call", "An instance is given calls only");
    const callId = this.#callCount++;
    const isLookedAt = isMetered(shape);
    const hasFiles = isLookedAt || task.inputs.length + task.outputs.length > 0;
    // What a call states of the disk is no part of what its instance may write.
    const directory = shape.resources.diskBytes > 0
      ? `${instance.directory}-call-${callId}`
      : join(instance.directory, `call-${callId}`);
    const files = hasFiles
      ? new CallFiles(this.#options, task, { directory, isMetered: isLookedAt })
      : undefined;
    const metered = isLookedAt && files !== undefined
      ? this.#meterCall(instance, { callId, task, shape, files })
      : undefined;
    const call: Call = { task, files, shape, metered, isCancelled: false, stop: undefined };
    instance.calls.set(callId, call);
    if (files === undefined || files.isInPlace) return libraryCall(callId, call);
    this.#track(this.#mount(instance, callId, { ...call, files }));
    return undefined;
  }

  #meterCall(
    instance: Instance,
    { callId, task, shape, files }: Pick<Call, "task" | "shape"> & {
      readonly callId: number;
      readonly files: CallFiles;
    },
  ): MeteredCall {
    const { meter, processes } = this.#options;
    return new MeteredCall({
      id: { taskId: task.taskId, try: task.try },
      shape,
      mode: instance.library.mode,
      meter,
      walk: (processIds) => processes.walk(processIds),
      measure: () => diskUsage(files.directory, files.sharedInodes),
      exceeded: (exceeded) => {
        const call = instance.calls.get(callId);
        if (call === undefined) return;
        const message = describeExceeded(exceeded, { isShare: false, isCall: true });
        const outcome = "resources_exhausted";
        call.stop ??= { outcome, message, exceeded, isAmbiguous: false };
        instance.process?.cancel(callId);
      },
    });
  }

  /** Puts the inputs of a call in place, and gives it to its process. */
  async #mount(
    instance: Instance,
    callId: number,
    given: Call & { readonly files: CallFiles },
  ): Promise<void> {
    let refusal: ToldResult | undefined;
    try {
      await given.files.mount();
    } catch (error) {
      refusal = refusalOf(error);
    }
    const call = instance.calls.get(callId);
    const { process } = instance;
    // The calls of one that is gone, or goes, end with it.
    const isGone = call === undefined || process?.isOpen !== true;
    if (call?.isCancelled === true) refusal = { ...NOTHING_RAN, message: CALL_CANCELLED };
    if (!isGone && refusal === undefined) return process.call([libraryCall(callId, call)]);
    instance.calls.delete(callId);
    await given.files.dropMounted();
    if (isGone || refusal === undefined) return;
    this.#options.push({ kind: "calls_ended", ends: [endOf(given.task, refusal)] });
  }

  /** All results of one read become one event, but for those whose files take time. */
  #takeResults(instance: Instance, results: readonly CallResult[]): void {
    const ends: CallEnd[] = [];
    for (const result of results) {
      const call = instance.calls.get(result.callId);
      if (call === undefined) continue;
      instance.calls.delete(result.callId);
      const told = tellResult(result, call);
      const value = fileValue(result, call);
      const isDone = value === undefined && (call.files === undefined || call.files.closeIfSame());
      if (isDone) ends.push(endOf(call.task, told));
      else this.#track(this.#takeFiles(instance, call, { told, value }));
    }
    if (ends.length > 0) this.#options.push({ kind: "calls_ended", ends });
  }

  async #takeFiles(
    instance: Instance,
    { task, files = new CallFiles(this.#options, task, { directory: "" }) }: Call,
    { told, value }: { readonly told: ToldResult; readonly value: CallValue | undefined },
  ): Promise<void> {
    const { verdict, modified } = await files.end(told, value);
    for (const { sizeBytes } of madeFiles(verdict)) instance.takenBytes += sizeBytes;
    const { value: bytes, ...rest } = told;
    const isKept = bytes !== undefined && verdict.outcome === told.outcome;
    const ended = {
      ...rest,
      ...verdict,
      ...(isKept && value === undefined ? { value: bytes } : {}),
    };
    this.#options.push({ kind: "calls_ended", ends: [endOf(task, ended)], modified });
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
    const members = await this.#options.processes.walk(process.processIds);
    const closed = process.close(stop);
    if (stop !== undefined) killAll(members);
    await closed;
    killAll(members);
    await this.#forget(instance, stop === undefined ? "stopped" : "died", stop?.message ?? "");
  }

  async #forget(
    instance: Instance,
    reason: Extract<WorkerEvent, { kind: "instance_gone" }>["reason"],
    message: string,
  ): Promise<void> {
    const { trash, push } = this.#options;
    this.#instances.delete(instance.id);
    instance.usage?.[Symbol.dispose]();
    for (const changed of await instance.files.release()) push(changed);
    trash.take(instance.directory);
    push({ kind: "instance_gone", instanceId: instance.id, reason, message });
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
  { shape, metered, stop }: Call,
): ToldResult {
  const times = { startedAtMs, stagedMs: 0, ranMs };
  const used = metered?.ended(ranMs);
  const use = used === undefined ? {} : { used };
  const told = { message: "", stdout, stderr, outputs: [], times, ...use };
  switch (end.kind) {
    case "ok": {
      const { value } = end;
      if (used !== undefined) return { ...told, outcome: "success", value };
      return { outcome: "success", message: "", stdout, stderr, value, outputs: [], times };
    }
    case "ok_file":
      return { ...told, outcome: "success" };
    case "error":
      return { ...told, ...callVerdict(end, shape.timeoutMs), value: end.value };
    case "lost":
      return {
        ...told,
        ...callVerdict(end, shape.timeoutMs),
        ...(end.isAmbiguous === true ? { isAmbiguous: true } : {}),
      };
    case "stopped":
      return tellStop(told, end.stop);
    case "cancelled":
      if (stop !== undefined) return tellStop(told, stop);
      return { ...told, ...callVerdict(end, shape.timeoutMs) };
    case "timeout":
      return { ...told, ...callVerdict(end, shape.timeoutMs) };
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

/** Of a call whose files could not be put in place. */
function refusalOf(error: unknown): ToldResult {
  const outcome = isDiskFull(error) ? "disk_full" : "input_missing";
  return { ...NOTHING_RAN, outcome, message: messageOf(error) };
}

/** The call as its process is given it. */
function libraryCall(callId: number, { task, files, shape, metered }: Call): LibraryCall {
  assert(task.body.kind === "call", "An instance is given calls only");
  const { function: name, arguments: bytes } = task.body;
  const { directory = "", paths = [] } = files ?? {};
  const { timeoutMs } = shape;
  const call = { callId, function: name, arguments: bytes, directory, files: paths, timeoutMs };
  return metered === undefined ? call : { ...call, isMetered: true };
}

/** What the call has returned, where that is to be a file. */
function fileValue({ end }: CallResult, { task, shape }: Call): CallValue | undefined {
  const { valuePrefix = "" } = shape;
  if (end.kind === "ok_file") return { name: valueName(valuePrefix, task), content: end.path };
  if (end.kind !== "ok" || task.hasValueFile !== true) return undefined;
  return { name: valueName(valuePrefix, task), content: end.value };
}

function endOf(task: DispatchedTask, told: ToldResult): CallEnd {
  const { taskId, try: number } = task;
  return { taskId, try: number, result: { taskId, try: number, ...told } };
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
  const mounted = Array.from(instance.calls.values(), ({ files }) => files?.sharedInodes);
  const { bytes, costMs } = await instance.files.measure(mounted);
  return { bytes: Math.max(0, bytes - (instance.takenBytes - takenBytes)), costMs };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
