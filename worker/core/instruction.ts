/** Everything the worker's core can ask of its shell. */

import type { CacheName, InstanceId, TransferId } from "../../shared/ids.ts";
import type {
  DispatchedTask,
  LibraryDefinition,
  ManagerMessage,
  WorkerMessage,
} from "../../shared/protocol.ts";
import type { CacheLevel, Exceeded, TaskShape, TryId } from "../../shared/task.ts";
import type { HeldDevices } from "./device.ts";
import type { InstanceStop } from "./instance_use.ts";

/** What the shell must do, in order. */
export type WorkerInstruction =
  /** Ordered messages of one step for the open connection. */
  | { readonly kind: "send"; readonly messages: readonly WorkerMessage[] }
  /** Make the sandbox, run the command, take the outputs; `task_ended` answers. */
  | {
    readonly kind: "run_task";
    readonly task: DispatchedTask;
    readonly shape: TaskShape;
    readonly devices: HeldDevices;
    /** For the result's times. */
    readonly stagedMs: number;
  }
  /** End all processes of a try that runs; `task_ended` still answers. */
  | {
    readonly kind: "stop_task";
    readonly taskId: TryId["taskId"];
    readonly try: number;
    readonly reason: "cancelled" | "timeout" | "disk_full" | "resources_exhausted";
    /** Of `resources_exhausted`: what there was too little of for it beside the other tries. */
    readonly exceeded?: Exceeded;
  }
  /** `transfer_ended` answers. */
  | {
    readonly kind: "fetch";
    readonly order: Extract<ManagerMessage, { kind: "fetch" }>;
    /** What there is room for, where the size is not known. */
    readonly bytesMax: number;
  }
  /** The inputs are in the cache, and room for a command is held. `transfer_ended` answers. */
  | {
    readonly kind: "make";
    readonly order: Extract<ManagerMessage, { kind: "make" }>;
    readonly devices: HeldDevices;
    /** What there is room for. */
    readonly bytesMax: number;
  }
  /** Nobody wants this transfer any more; what answers it still does. */
  | {
    readonly kind: "stop_transfer";
    readonly transferId: TransferId;
    /** True when another fetch of the same making follows, which goes on with what has come. */
    readonly goesOn: boolean;
  }
  /** What is held of a file for the next attempt is to be removed. */
  | { readonly kind: "forget_part"; readonly name: CacheName }
  /** `send_failed` answers a failure, `stored` a url that has the file. */
  | { readonly kind: "put"; readonly order: Extract<ManagerMessage, { kind: "send" }> }
  /** `file_verified` answers. */
  | { readonly kind: "verify_file"; readonly name: CacheName; readonly generation: number }
  /** Keep a file of the cache under the name of its contents as well; `file_kept` answers. */
  | { readonly kind: "keep_file"; readonly order: Extract<ManagerMessage, { kind: "keep" }> }
  /** Into the trash at once, if the cache holds this making: new requests for it get 404. */
  | {
    readonly kind: "delete_file";
    readonly name: CacheName;
    readonly generation: number;
  }
  /** Tickets are checked and made with what the manager gave. */
  | {
    readonly kind: "session_opened";
    readonly welcome: Extract<ManagerMessage, { kind: "welcome" }>;
  }
  /** `instance_ready` or `instance_gone` answers. */
  | {
    readonly kind: "start_instance";
    readonly instanceId: InstanceId;
    readonly library: LibraryDefinition;
    readonly devices: HeldDevices;
  }
  /** `instance_gone` answers. With `stop` it has failed, and that is how its running calls end. */
  | {
    readonly kind: "stop_instance";
    readonly instanceId: InstanceId;
    readonly stop?: InstanceStop;
  }
  /** Those that do not run at once wait inside the instance; `calls_ended` answers. */
  | {
    readonly kind: "call";
    readonly instanceId: InstanceId;
    readonly calls: readonly DispatchedTask[];
    /** Of each of them. The time of a call that has a timeout begins when the call does. */
    readonly shapes: readonly TaskShape[];
  }
  /** Stop one call of an instance, which nobody wants; `calls_ended` still answers. */
  | {
    readonly kind: "stop_call";
    readonly instanceId: InstanceId;
    readonly taskId: TryId["taskId"];
    readonly try: number;
  }
  /** Nothing is left to do. Delete all files below `keep`, close and, unless released, exit. */
  | {
    readonly kind: "leave";
    readonly reason: string;
    readonly isReleased: boolean;
    readonly keep: CacheLevel;
  };
