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
import type { CacheName, InstanceId } from "../shared/ids.ts";
import {
  type DispatchedTask,
  type LibraryDefinition,
  VALUE_BYTES_MAX,
} from "../shared/protocol.ts";
import type { CpuPinner } from "../shared/runtime/affinity.ts";
import type { TryResult } from "../shared/task.ts";
import { withAllocation } from "./allocation_environment.ts";
import type { Activations } from "./activation.ts";
import type { CacheStore, Hold } from "./cache_store.ts";
import type { CallEnd, WorkerEvent } from "./core/event.ts";
import type { HeldDevices } from "./core/device.ts";
import type { WorkerInstruction } from "./core/instruction.ts";
import type { GpuVariable } from "./gpu_devices.ts";
import { type CallResult, type LibraryCall, LibraryProcess } from "./library/library_process.ts";
import { collectOutput } from "./output.ts";
import { environmentPaths } from "./held_input.ts";
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
  readonly push: (event: WorkerEvent) => void;
}

const NO_BYTES: Uint8Array = new Uint8Array(0);

/** A message for a person; the whole of an error is in its value. */
const MESSAGE_CHARS_MAX = 2_000;

interface Call {
  readonly task: DispatchedTask;
  /** Where a call with outputs works; empty for the others. */
  readonly directory: string;
}

interface Instance {
  readonly id: InstanceId;
  readonly library: LibraryDefinition;
  readonly devices: HeldDevices;
  readonly directory: string;
  readonly holds: readonly Hold[];
  /** {call id: what it is for} */
  readonly calls: Map<number, Call>;
  process: LibraryProcess | undefined;
  isStopping: boolean;
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
      isStopping: false,
    };
    this.#instances.set(instanceId, instance);
    this.#track(this.#start(instance));
  }

  /** Ends an instance and its calls; `instance_gone` answers. */
  stop({ instanceId }: Order<"stop_instance">): void {
    const instance = this.#instances.get(instanceId);
    if (instance === undefined || instance.isStopping) return;
    instance.isStopping = true;
    // One that still starts is stopped as soon as there is something to stop.
    if (instance.process !== undefined) this.#track(this.#close(instance, instance.process));
  }

  /** Hands calls to an instance; `calls_ended` answers. */
  call({ instanceId, calls }: Order<"call">): void {
    const instance = this.#instances.get(instanceId);
    // An instance that is gone has told so already, and its calls ended with it.
    if (instance?.process === undefined) return;
    const given: LibraryCall[] = [];
    const refused: CallEnd[] = [];
    for (const task of calls) {
      try {
        given.push(this.#prepare(instance, task));
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
  stopCall({ instanceId, taskId, try: number, reason }: Order<"stop_call">): void {
    const instance = this.#instances.get(instanceId);
    for (const [callId, { task }] of instance?.calls ?? []) {
      if (task.taskId !== taskId || task.try !== number) continue;
      instance?.process?.cancel(callId, reason);
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
      const process = await LibraryProcess.start(this.#processOptions(instance, activation));
      instance.process = process;
      if (instance.isStopping) return await this.#close(instance, process);
      this.#options.push({ kind: "instance_ready", instanceId: instance.id });
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.#forget(instance, instance.isStopping ? "stopped" : "start_failed", message);
    }
  }

  #processOptions(
    instance: Instance,
    activation: Activation,
  ): Parameters<typeof LibraryProcess.start>[0] {
    const { cache, env, hostCommand, mark, gpuVariable, pinner } = this.#options;
    const { library, devices, directory } = instance;
    const module = cache.get(library.module);
    if (module === undefined) throw new Error(`Module "${library.module}" is not in the cache`);
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
      ...(pinner === undefined || devices.cpus.length === 0
        ? {}
        : { pinned: (start) => pinner.run(devices.cpus, start) }),
      onResults: (results) => this.#takeResults(instance, results),
      onDied: (message) => this.#died(instance, message),
    };
  }

  #prepare(instance: Instance, task: DispatchedTask): LibraryCall {
    assert(task.body.kind === "call", "An instance is given calls only");
    const files = task.inputs.length === 0 ? [] : filePaths(this.#options.cache, task);
    const callId = this.#callCount++;
    let directory = "";
    if (task.outputs.length > 0) {
      directory = join(instance.directory, `call-${callId}`);
      mkdirSync(directory, { mode: 0o700 });
    }
    instance.calls.set(callId, { task, directory });
    const { function: name, arguments: bytes } = task.body;
    return { callId, function: name, arguments: bytes, directory, files, timeoutMs: 0 };
  }

  /** All results of one read become one event, but for those whose outputs take time. */
  #takeResults(instance: Instance, results: readonly CallResult[]): void {
    const ends: CallEnd[] = [];
    for (const result of results) {
      const call = instance.calls.get(result.callId);
      if (call === undefined) continue;
      instance.calls.delete(result.callId);
      const hasFiles = call.directory !== "" || result.end.kind === "ok_file";
      if (hasFiles) this.#track(this.#takeFiles(call, result));
      else ends.push(endOf(call.task, tellResult(result)));
    }
    if (ends.length > 0) this.#options.push({ kind: "calls_ended", ends });
  }

  async #takeFiles(call: Call, result: CallResult): Promise<void> {
    const { task, directory } = call;
    const { cache, trees, trash, push } = this.#options;
    let told = tellResult(result);
    if (told.outcome === "success") {
      try {
        const collect = (mount: string) => collectOutput(directory, mount);
        const taken = await takeOutputs({ cache, trees, collect }, task.outputs);
        if (taken.kind === "taken") told = { ...told, outputs: taken.outputs };
        else told = { ...told, outcome: taken.outcome, mount: taken.mount, message: taken.message };
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

  async #close(instance: Instance, process: LibraryProcess): Promise<void> {
    await process.close();
    this.#forget(instance, "stopped", "");
  }

  #forget(
    instance: Instance,
    reason: Extract<WorkerEvent, { kind: "instance_gone" }>["reason"],
    message: string,
  ): void {
    this.#instances.delete(instance.id);
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

function tellResult({ end, stdout, stderr, startedAtMs, ranMs }: CallResult): ToldResult {
  const times = { startedAtMs, stagedMs: 0, ranMs };
  const told = { message: "", stdout, stderr, outputs: [], times };
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
      };
    case "cancelled":
    case "timeout": {
      const found = end.kind === "timeout" ? "its time was up" : "it was cancelled";
      return { ...told, outcome: end.kind, message: `The call was stopped: ${found}` };
    }
    default:
      return unreachable(end);
  }
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
  const names: readonly CacheName[] = [library.module, ...library.environments];
  return names.flatMap((name) => {
    const stored = cache.get(name);
    const hold = stored && cache.hold(name, stored.facts.generation);
    return hold === undefined ? [] : [hold];
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
