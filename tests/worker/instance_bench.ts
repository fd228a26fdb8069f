/** Instances of libraries with a cache of their own, for tests. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";

import { join } from "@std/path";

import type { CacheName, InstanceId, TaskId } from "../../shared/ids.ts";
import { NO_ARGUMENTS } from "../../shared/library.ts";
import type { DispatchedTask, LibraryDefinition } from "../../shared/protocol.ts";
import { selfCommand } from "../../shared/runtime/self_command.ts";
import { NO_RESOURCES } from "../../shared/resources.ts";
import type { InputMount, OutputMount, TaskShape } from "../../shared/task.ts";
import { encodeArguments, type EncodeArgumentsOptions } from "../../shared/value.ts";
import { Activations } from "../../worker/activation.ts";
import { CacheStore } from "../../worker/cache_store.ts";
import { NO_DEVICES } from "../../worker/core/device.ts";
import type { CallEnd, WorkerEvent } from "../../worker/core/event.ts";
import { exhaustionOf } from "../../worker/core/instance_use.ts";
import { Instances } from "../../worker/instance.ts";
import { endLeftovers } from "../../worker/leftovers.ts";
import { newMounts } from "../../worker/mounted_inputs.ts";
import { walkTree } from "../../worker/process_tree.ts";
import { Trash } from "../../worker/trash.ts";
import { newTrees } from "../../worker/trees.ts";
import { UsageMeter } from "../../worker/usage_meter.ts";

/** Stands for a file among the arguments of a call. */
export class FileArgument {}

/** Arguments with files and without handles. */
export const PLAIN: EncodeArgumentsOptions<object, never> = {
  onFile: (value: object) => value instanceof FileArgument ? value : undefined,
  onHandle: () => undefined,
};

/** Instances, what they are given and what they tell. */
export class InstanceBench implements AsyncDisposable {
  readonly directory: string = mkdtempSync(join(tmpdir(), "tendril-test-"));
  readonly cache: CacheStore = new CacheStore(join(this.directory, "cache"));
  readonly trash: Trash = new Trash(join(this.directory, "trash"));
  readonly #events: WorkerEvent[] = [];
  readonly #push = (event: WorkerEvent): void => {
    if (event.kind === "instance_exceeded") {
      // As the core does.
      const { instanceId, exceeded } = event;
      const stop = exhaustionOf("lib", exceeded, { isShare: false });
      this.instances.stop({ kind: "stop_instance", instanceId, stop });
    }
    this.#events.push(event);
    this.#wake();
  };
  readonly #meter: UsageMeter = new UsageMeter({
    resources: { cores: 1, memoryBytes: 0, diskBytes: 40e6, gpus: 0 },
    push: this.#push,
  });
  #wake: () => void = () => {};
  #callCount = 0;
  readonly instances: Instances = new Instances({
    cache: this.cache,
    trees: newTrees("mark"),
    mounts: newMounts(),
    directory: join(this.directory, "instances"),
    trash: this.trash,
    activations: new Activations({ env: { PATH: process.env["PATH"] ?? "" }, mark: "test-mark" }),
    env: { PATH: process.env["PATH"] ?? "" },
    mark: "test-mark",
    hostCommand: selfCommand(["internal-library-host"]),
    meter: this.#meter,
    processes: {
      endLeftovers: (leader) => endLeftovers(leader, undefined),
      walk: (ids) => walkTree(ids, { hasChildLists: true }),
    },
    push: this.#push,
  });

  add(name: string, text: string): void {
    const path = this.cache.newIncomingPath();
    writeFileSync(path, text);
    const facts = { generation: 0, sizeBytes: text.length, digest: "", isDirectory: false };
    this.cache.commit(path, { name: name as CacheName, ...facts }, "workflow");
  }

  /** Adds a directory of files, by their names. */
  addTree(name: string, files: { readonly [name: string]: string }): void {
    const path = this.cache.newIncomingPath();
    mkdirSync(path);
    for (const [file, text] of Object.entries(files)) writeFileSync(join(path, file), text);
    const facts = { generation: 0, sizeBytes: 0, digest: "", isDirectory: true };
    this.cache.commit(path, { name: name as CacheName, ...facts }, "workflow");
  }

  /** Starts an instance of a module of that source, or of what `more` says. */
  async start(module: string, more: Partial<LibraryDefinition> = {}): Promise<WorkerEvent> {
    if (module !== "") this.add("module", module);
    const library: LibraryDefinition = {
      name: "lib",
      program: { kind: "javascript", module: "module" as CacheName },
      mode: "direct",
      context: "",
      contextArguments: NO_ARGUMENTS,
      slots: 1,
      resources: { cores: 1, memoryBytes: 0, diskBytes: 0, gpus: 0 },
      env: {},
      environments: [],
      inputs: [],
      ...more,
    };
    this.instances.start({
      kind: "start_instance",
      instanceId: 1 as InstanceId,
      library,
      devices: NO_DEVICES,
    });
    return await this.next(({ kind }) => kind === "instance_ready" || kind === "instance_gone");
  }

  send(
    name: string,
    args: readonly unknown[],
    { shape = {}, ...more }: {
      inputs?: readonly InputMount[];
      outputs?: readonly OutputMount[];
      shape?: Partial<TaskShape>;
    } = {},
  ): TaskId {
    const taskId = ++this.#callCount as TaskId;
    const call: DispatchedTask = {
      taskId,
      try: 1,
      shape: 0,
      priority: 0,
      body: { kind: "call", function: name, arguments: encodeArguments(args, PLAIN).bytes },
      inputs: [],
      outputs: [],
      ...more,
    };
    const plain = { resources: NO_RESOURCES, env: {}, environments: [], timeoutMs: 0 };
    const shapes = [{ ...plain, library: "lib", valuePrefix: "value-m-", ...shape }];
    this.instances.call({ kind: "call", instanceId: 1 as InstanceId, calls: [call], shapes });
    return taskId;
  }

  async call(...args: Parameters<InstanceBench["send"]>): Promise<CallEnd["result"]> {
    this.send(...args);
    return await this.nextResult();
  }

  async nextResult(): Promise<CallEnd["result"]> {
    const event = await this.next((event) => event.kind === "calls_ended");
    return (event as Extract<WorkerEvent, { kind: "calls_ended" }>).ends[0]!.result;
  }

  async next(isWanted: (event: WorkerEvent) => boolean): Promise<WorkerEvent> {
    while (true) {
      const index = this.#events.findIndex(isWanted);
      if (index >= 0) return this.#events.splice(index, 1)[0]!;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#meter.close();
    await this.instances.close();
    await this.cache.close();
    await this.trash.close();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
