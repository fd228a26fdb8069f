/**
 * What is true from now on: the one stream that the journal, records, metrics, the dashboard and the
 * progress line read. Facts come out of `step` in the order in which they became true.
 *
 * A fact refers to what the core has already (a definition, a result), so that telling it costs no
 * copy: whoever reads it must not change it, and takes what it wants to keep of bytes.
 *
 * @module
 */

import type {
  CacheName,
  FileId,
  InstanceId,
  TaskId,
  TransferId,
  WorkerId,
} from "../../shared/ids.ts";
import type { Resources } from "../../shared/resources.ts";
import type { CacheLevel, FileFacts, LastingLevel, Outcome, TryResult } from "../../shared/task.ts";
import type {
  BoundFile,
  CategoryChange,
  FileOrigin,
  LibrarySpec,
  TaskDefinition,
} from "./event.ts";
import type { TaskEnd } from "./instruction.ts";
import type { Policies } from "./policy.ts";
import type { UnplaceableTasks } from "./unplaceable.ts";

/** Where a call of an app stands. Parsl's names, but for `cancelled`. */
export type AppState =
  /** It waits for what it depends on, or for its next try. */
  | "pending"
  /** A try was given to an executor. */
  | "launched"
  /** Its try runs. */
  | "running"
  /** Its function has returned futures, which it waits for. */
  | "joining"
  | "exec_done"
  /** What an earlier call, or another one of this flow, gave was used. */
  | "memo_done"
  /** A try has failed, and another one follows. */
  | "fail_retryable"
  | "failed"
  /** What it depends on failed, or was cancelled: nothing of it ran. */
  | "dep_fail"
  | "cancelled";

/** What an app is made of. */
export type AppKind = "javascript" | "python" | "command" | "join";

/** What the dataflow layer tells. Calls are numbered in one sequence with tasks. */
export type AppFact =
  | {
    readonly kind: "app_called";
    readonly callId: TaskId;
    /** The name of the app. */
    readonly app: string;
    readonly appKind: AppKind;
    /** Label of the executor; empty of a join, which runs here. */
    readonly executor: string;
    readonly label?: string;
    /** Default: the name of the app. */
    readonly category?: string;
    /** Calls that it waits for, each once. */
    readonly dependsOn: readonly TaskId[];
    /** The arguments, shortened, as one line. */
    readonly argumentText: string;
    /** Names of its outputs. */
    readonly outputs: readonly string[];
    readonly isMemoized: boolean;
    /** Where what it writes goes, if that was asked for. */
    readonly stdout?: string;
    readonly stderr?: string;
  }
  | {
    readonly kind: "app_state";
    readonly callId: TaskId;
    readonly state: AppState;
    /** Number of the try that this is about, from 1; 0 when there was none. */
    readonly try: number;
    /** Of `launched`: where. */
    readonly executor?: string;
    /** Of `launched` by a manager: the task that is this try. */
    readonly taskId?: TaskId;
    /** Of `joining`: the calls that it waits for. */
    readonly joins?: readonly TaskId[];
    /** Of a call that is memoized: under which key. */
    readonly memoKey?: string;
    /** Of failures: one line. */
    readonly message?: string;
    /** Of failures: what they have cost of the retries so far. */
    readonly failCost?: number;
    /** Of what ran: the host, if it is known. */
    readonly host?: string;
  };

/** One thing that became true. */
export type Fact =
  | AppFact
  | {
    readonly kind: "file_declared";
    readonly fileId: FileId;
    readonly origin: FileOrigin;
    readonly level: CacheLevel;
  }
  /** Its name is known; of what no task makes, its size may be as well. */
  | { readonly kind: "file_bound"; readonly fileId: FileId; readonly bound: BoundFile }
  /** It turned out to have the name of another one, under whose number it is told of from now on. */
  | { readonly kind: "file_merged"; readonly fileId: FileId; readonly into: FileId }
  /** It was undeclared and nothing needs it, nor will. */
  | { readonly kind: "file_forgotten"; readonly fileId: FileId }
  | { readonly kind: "library_declared"; readonly spec: LibrarySpec }
  | { readonly kind: "category_declared"; readonly category: CategoryChange }
  | { readonly kind: "policies_set"; readonly policies: Policies }
  | {
    readonly kind: "task_submitted";
    readonly taskId: TaskId;
    readonly definition: TaskDefinition;
  }
  | {
    readonly kind: "try_dispatched";
    readonly taskId: TaskId;
    readonly try: number;
    readonly workerId: WorkerId;
    /** What it is given there; absent of calls that hold nothing beside their instance. */
    readonly allocated?: Resources;
  }
  /** Left out of tries that end in the same turn in which they began. */
  | {
    readonly kind: "try_started";
    readonly taskId: TaskId;
    readonly try: number;
    readonly workerId: WorkerId;
  }
  /** It came back before it had started, or will: its worker had no room, or was told to. */
  | {
    readonly kind: "try_returned";
    readonly taskId: TaskId;
    readonly try: number;
    readonly workerId: WorkerId;
  }
  /**
   * It is over, or has to be: `cancelled` without a result is told to stop. The end of a try is told
   * once. Tries of a worker that left end with `worker_left`; of those that were lost there with it
   * this one follows as well.
   */
  | {
    readonly kind: "try_ended";
    readonly taskId: TaskId;
    readonly try: number;
    readonly workerId: WorkerId;
    readonly outcome: Outcome;
    /** One line for a person; of one with a result that is there. */
    readonly message?: string;
    /** Absent of one whose worker did not say how it ended. */
    readonly result?: TryResult;
  }
  /** Of a task whose try had succeeded its outputs were lost before they were here: it runs again. */
  | { readonly kind: "outputs_lost"; readonly taskId: TaskId; readonly message: string }
  | {
    readonly kind: "task_ended";
    readonly taskId: TaskId;
    readonly outcome: Outcome;
    readonly outputs: readonly FileFacts[];
    readonly end: TaskEnd;
  }
  /** The task runs again to remake a temp; its handle has settled and stays as it is. */
  | { readonly kind: "recovery_started"; readonly taskId: TaskId }
  | {
    readonly kind: "recovery_ended";
    readonly taskId: TaskId;
    /** `cancelled`: nobody needs what it was to make any more. */
    readonly outcome: Outcome;
    readonly message: string;
  }
  | {
    readonly kind: "worker_joined" | "worker_reconnected";
    readonly workerId: WorkerId;
    readonly host: string;
    readonly pid: number;
    readonly resources: Resources;
    readonly features: readonly string[];
    /** Base urls of its peer server, best first. */
    readonly urls: readonly string[];
  }
  /** Tries and instances there end with it; nothing more is told of them. */
  | {
    readonly kind: "worker_left";
    readonly workerId: WorkerId;
    readonly reason: string;
  }
  /** No worker that is there could ever run these tasks; told again when `missing` has changed. */
  | UnplaceableTasks & { readonly kind: "class_unplaceable" }
  /** One attempt to move a file: another one has another number. Each has one end. */
  | {
    readonly kind:
      | "transfer_started"
      | "transfer_ended"
      | "transfer_failed"
      | "transfer_called_off";
    readonly transferId: TransferId;
    readonly fileId: FileId;
    readonly from: "manager" | "worker" | "url" | "recipe";
    /** The peer that sends, of one from worker to worker. */
    readonly sourceId?: WorkerId;
    /** The worker that receives, or that sends to the manager or a url. */
    readonly workerId: WorkerId;
    readonly to: "worker" | "manager" | "url";
    readonly movedBytes: number;
    readonly message: string;
  }
  /** The worker has the file, of this making. */
  | {
    readonly kind: "replica_ready";
    readonly fileId: FileId;
    readonly workerId: WorkerId;
    readonly file: FileFacts;
  }
  /**
   * The worker does not have it any more, or is told to delete it, or is gone; or the file is
   * forgotten, after which nobody hears of its copies.
   */
  | {
    readonly kind: "replica_gone";
    readonly fileId: FileId;
    readonly workerId: WorkerId;
    readonly name: CacheName;
  }
  /** A user had it kept beyond the workflow: the worker has it as `file`, named by its contents. */
  | {
    readonly kind: "file_kept";
    readonly fileId: FileId;
    readonly workerId: WorkerId;
    readonly file: FileFacts;
    readonly level: LastingLevel;
  }
  /** The worker dropped its copy, which was not what it had been; `replica_gone` follows. */
  | { readonly kind: "replica_damaged"; readonly fileId: FileId; readonly workerId: WorkerId }
  | { readonly kind: "nondeterministic"; readonly fileId: FileId; readonly taskId: TaskId }
  /** Nothing is given to the host, for so long if that is known. */
  | {
    readonly kind: "host_blocked";
    readonly host: string;
    readonly reason: string;
    /** A user asked for it. */
    readonly isByHand: boolean;
    readonly forMs?: number;
  }
  /** Nothing is given to the host any more, and its workers are let go; or all is as it was. */
  | { readonly kind: "host_draining" | "host_unblocked"; readonly host: string }
  | {
    readonly kind: "library_instance";
    readonly library: string;
    readonly instanceId: InstanceId;
    readonly workerId: WorkerId;
    readonly change: "starting" | "ready" | "retiring" | "stopped" | "start_failed" | "died";
  };
