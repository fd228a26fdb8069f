/**
 * What running tries and instances of libraries use: of each, its processes and its sandbox are
 * looked at, what is found is recorded, held against its limits, and told to the core.
 *
 * @module
 */

import type { InstanceId } from "../shared/ids.ts";
import type { Resources } from "../shared/resources.ts";
import type { Exceeded, TaskShape, TryId, Usage, UsageSample } from "../shared/task.ts";
import type { WorkerEvent } from "./core/event.ts";
import { exceededLimit, type Found, limitOf } from "./core/limit.ts";
import type { TaskEnd, TaskProcess } from "./process.ts";
import type { Sandbox } from "./sandbox.ts";
import { SandboxMeter } from "./sandbox_meter.ts";
import { TreeMeter } from "./tree_meter.ts";
import { UsageRecord } from "./usage_record.ts";

/** Who is looked at. */
export type MeasuredId =
  | TryId
  | { readonly instanceId: InstanceId }
  /** Its memory is a part of its instance's, which is looked at as well. */
  | { readonly call: TryId };

/** A try that runs, or an instance. */
export interface UsageWatch {
  readonly id: MeasuredId;
  readonly shape: Pick<TaskShape, "resources" | "shares" | "hasSeries">;
  readonly process: Pick<TaskProcess, "look" | "kill">;
  readonly sandbox: Pick<Sandbox, "measure">;
  /** Told once it is beyond a limit of its own; it is being killed by then. */
  readonly exceeded: (exceeded: Exceeded) => void;
}

/** What is known of a try. */
export interface WatchedUsage extends Disposable {
  /** All that it used, once its processes have ended; `diskBytes` are known to have been written. */
  total(
    end: Pick<TaskEnd, "use" | "processCount">,
    known: { readonly ranMs: number; readonly diskBytes: number },
  ): { readonly used: Usage; readonly series?: readonly UsageSample[] };
  /** The most that it had in memory. */
  memoryPeak(end: TaskEnd): number;
  /** Takes in what is found of the sandbox once the processes have ended. */
  sawDisk(bytes: number): void;
  /** What the kernel ended it for, when it did so for its memory. */
  endedFor(end: TaskEnd): Exceeded | undefined;
}

/** What a meter works with. */
export interface UsageMeterOptions {
  /** Of the worker. */
  readonly resources: Resources;
  readonly push: (event: WorkerEvent) => void;
}

/** A change of memory that the core is told of: this much, and this part of what it knows. */
const TOLD_BYTES: number = 16 * 1024 * 1024;
const TOLD_PART = 1 / 16;

/** Of a shell one of whose commands was killed: 128 and the number of the signal. */
const KILLED_EXIT_CODE = 137;

/** Owner of all looks at running tries. */
export class UsageMeter {
  readonly #options: UsageMeterOptions;
  readonly #trees: TreeMeter;
  readonly #sandboxes: SandboxMeter;

  constructor(options: UsageMeterOptions) {
    const { memoryBytes, diskBytes } = options.resources;
    this.#options = options;
    this.#trees = new TreeMeter({ capacityBytes: memoryBytes });
    this.#sandboxes = new SandboxMeter({ capacityBytes: diskBytes });
  }

  /** Looks at a try until this is disposed. */
  watch({ id, shape, process, sandbox, exceeded }: UsageWatch): WatchedUsage {
    const record = new UsageRecord({ hasSeries: shape.hasSeries === true });
    const enforce = (resource: Exceeded["resource"], bytes: number): void => {
      const found = exceededLimit(shape, { resource, bytes });
      if (found === undefined) return;
      process.kill();
      exceeded(found);
    };
    const tellMemory = this.#memoryTeller(id);
    const tree = this.#trees.watch({
      process,
      record,
      limitBytes: limitOf(shape, "memory"),
      saw: ({ memoryBytes }) => {
        enforce("memory", memoryBytes);
        tellMemory(memoryBytes);
      },
    });
    const disk = this.#sandboxes.watch({
      sandbox,
      limitBytes: limitOf(shape, "disk"),
      saw: (bytes) => {
        record.sawDisk(bytes);
        enforce("disk", bytes);
        this.#tell(id, { resource: "disk", bytes });
      },
    });
    return {
      memoryPeak: ({ use }) => record.memoryPeak(use.memoryBytes),
      sawDisk: (bytes) => record.sawDisk(bytes),
      total: ({ use, processCount = 0 }, known) => {
        return record.total({ ...use, ...known, processCount });
      },
      endedFor: (end) => {
        const isKilled = end.kind === "signal" && end.signal === "SIGKILL" ||
          end.kind === "exit" && end.exitCode === KILLED_EXIT_CODE;
        const isItsOwn = end.isOverLimit;
        if (!isItsOwn && !(isKilled && tree.isOomVictim())) return undefined;
        const used = record.memoryPeak(end.use.memoryBytes);
        const limit = shape.resources.memoryBytes;
        return { resource: "memory", limit, used: isItsOwn ? Math.max(used, limit) : used };
      },
      [Symbol.dispose]: () => {
        tree[Symbol.dispose]();
        disk[Symbol.dispose]();
      },
    };
  }

  /** Looks no more. */
  close(): void {
    this.#trees.close();
    this.#sandboxes.close();
  }

  /** Small changes are kept from the core; all of them where memory is short. */
  #memoryTeller(id: MeasuredId): (bytes: number) => void {
    let toldBytes = 0;
    return (bytes) => {
      const changeBytes = Math.abs(bytes - toldBytes);
      if (changeBytes < Math.max(TOLD_BYTES, toldBytes * TOLD_PART)) return;
      toldBytes = bytes;
      this.#tell(id, { resource: "memory", bytes });
    };
  }

  #tell(id: MeasuredId, found: Found): void {
    const event = measuredEvent(id, found);
    if (event !== undefined) this.#options.push(event);
  }
}

function measuredEvent(id: MeasuredId, { resource, bytes }: Found): WorkerEvent | undefined {
  if ("instanceId" in id) {
    return { kind: "instance_measured", instanceId: id.instanceId, resource, bytes };
  }
  if ("call" in id) {
    return resource === "disk" ? { kind: "sandbox_measured", ...id.call, bytes } : undefined;
  }
  const kind = resource === "memory" ? "memory_measured" : "sandbox_measured";
  return { kind, taskId: id.taskId, try: id.try, bytes };
}
