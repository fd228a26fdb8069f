/** Everything that can change the manager's state. `atMs` is monotonic, in milliseconds. */

import type {
  CacheName,
  FileId,
  SessionId,
  TaskId,
  TransferId,
  WorkerId,
} from "../../shared/ids.ts";
import type { LibraryMode, LibraryProgram } from "../../shared/library.ts";
import type { WorkerMessage } from "../../shared/protocol.ts";
import type { ResourceRequest, Resources } from "../../shared/resources.ts";
import type { CacheLevel, LastingLevel, TaskBody } from "../../shared/task.ts";
import type { CategoryMode } from "./category.ts";
import type { AppFact } from "./fact.ts";
import type { Policies } from "./policy.ts";
import type { RetryDecision, RetryRule } from "./retry.ts";

/** A `hello` that passed the challenge and the check of its shape. */
export type Hello = Extract<WorkerMessage, { kind: "hello" }>;

/** A worker message other than `hello`. */
export type WorkerReport = Exclude<WorkerMessage, { kind: "hello" }>;

/** Where the contents of a declared file come from when no worker has them. */
export type FileOrigin =
  /** Contents that the manager has or will be given: local files and buffers. */
  | { readonly kind: "manager" }
  | {
    readonly kind: "url";
    readonly url: string;
    /** Host and port, by which transfers are counted; empty of `file:` urls. */
    readonly host: string;
    /** A task makes it, and its worker stores it there. */
    readonly isOutput: boolean;
    /** Permissions of what is stored. */
    readonly mode?: number;
  }
  /** Made by the task that has it as an output, and only there until asked for. */
  | { readonly kind: "temp" }
  /** An earlier workflow had workers keep it: there while one of them has it. */
  | { readonly kind: "kept" }
  /** Made at the worker that needs it, of `inputs`. */
  | { readonly kind: "recipe"; readonly recipe: RecipeSpec; readonly inputs: readonly FileId[] };

/** How a file is made of others, which are named by number; the wire has `Recipe`. */
export type RecipeSpec =
  /** Of its only input. */
  | { readonly kind: "unpack" | "environment" }
  | CommandSpec;

/** A mini task: `CommandRecipe` has the meanings. */
export interface CommandSpec {
  /** Tells it from the recipes that workers carry out by themselves. */
  readonly kind: "command";
  /** Run by `/bin/sh -c` in a sandbox of its own. */
  readonly command: string;
  /** Variables added to the worker's own environment. */
  readonly env: { readonly [name: string]: string };
  /** What it is given of its worker. */
  readonly resources: Resources;
  /** Wall time after which it is stopped; 0 is none. */
  readonly timeoutMs: number;
  /** Where in its sandbox it leaves the file. */
  readonly mount: string;
  /** Files in its sandbox. */
  readonly inputs: readonly TaskMount[];
  /** Unpacked environments, the first of them foremost in `PATH`. */
  readonly environments: readonly FileId[];
}

/** What is known of a file's contents once its name is bound. */
export interface BoundFile {
  /** Its name in every cache. */
  readonly name: CacheName;
  /** -1 when not known. */
  readonly sizeBytes: number;
  /** Hexadecimal; empty when not known. */
  readonly digest: string;
  /** Else it is a file. */
  readonly isDirectory: boolean;
  /** True of a file that may be run. */
  readonly isExecutable: boolean;
  /** Of a url that was named by what its server said: what it must say to workers as well. */
  readonly validator?: string;
}

/** A mount of a submitted task. */
export interface TaskMount {
  /** Path relative to the sandbox. */
  readonly mount: string;
  /** The file that appears there. */
  readonly fileId: FileId;
  /** Of an input: one symbolic link, however it is mounted else. */
  readonly isSymlink?: boolean;
  /** Of a file of a function call: what its path is to end with. */
  readonly pathName?: string;
  /** Of an input: the task runs only where a replica is. */
  readonly isStrict?: boolean;
  /** Of an output: it comes of a last try that failed, and of no other. */
  readonly only?: "failure";
}

/** What many tasks have in common: one object of all of them. */
export interface TaskTemplate {
  /** What the task states. */
  readonly request: ResourceRequest;
  /** What its tasks have in common in resource use. */
  readonly category: string;
  /** Variables added to the worker's own environment. */
  readonly env: { readonly [name: string]: string };
  /** Wall time after which a try is stopped as `timeout`; 0 is none. */
  readonly timeoutMs: number;
  /** Only workers that are there for that long get it; 0 is any. */
  readonly minTimeMs: number;
  /** `TryResult.series` is wanted. */
  readonly hasSeries?: boolean;
  /** When a try that failed is repeated; absent is at once, as long as `retries` allow it. */
  readonly retry?: RetryRule;
  /** In place of the policy. */
  readonly placement?: Policies["placement"];
  /** Name of the library whose function is called; absent for a command. */
  readonly library?: string;
}

/** What is said of all tasks of a category. */
export interface CategorySpec {
  /** As tasks name it. */
  readonly name: string;
  /** Undefined: the policy `categoryMode`. */
  readonly mode: CategoryMode | undefined;
  /** A try never has more, unless its task states it. */
  readonly max: ResourceRequest;
  /** What is not stated is never less. */
  readonly min: ResourceRequest;
  /** What first tries are given of what is not stated, until something was learnt. */
  readonly first: ResourceRequest;
  /** Tries at workers at a time; 0 is no limit. */
  readonly maxConcurrent: number;
}

/** What is said of a category from now on; the rest stays as it was. */
export type CategoryChange = Partial<CategorySpec> & Pick<CategorySpec, "name">;

/** A task as the API submits it. Its template is shared with tasks alike, its environments too. */
export interface TaskDefinition {
  /** Its number, from 1 on. */
  readonly taskId: TaskId;
  /** What it has in common with others. */
  readonly template: TaskTemplate;
  /** Unpacked environments whose `bin` comes first in `PATH`, the first of them foremost. */
  readonly environments: readonly FileId[];
  /** Features that the worker must have, sorted. */
  readonly features: readonly string[];
  /** What it does once its inputs are in place. */
  readonly body: TaskBody;
  /** Files that it reads. */
  readonly inputs: readonly TaskMount[];
  /** Files that it makes. */
  readonly outputs: readonly TaskMount[];
  /** Larger first. */
  readonly priority: number;
  /** Further tries after the task's own failure. */
  readonly retries: number;
  /** Further tries after losing the worker while the task ran. */
  readonly workerLosses: number;
  /** Not dispatched before that instant. */
  readonly startsAtMs?: number;
  /** Ended at that instant wherever it is, unless a worker is done with it. */
  readonly endsAtMs?: number;
  /** Tasks whose values are among its arguments: it waits for `arguments_known`. */
  readonly awaits?: readonly TaskId[];
  /** The call of an app that it is a try of. */
  readonly appCall?: TaskId;
}

/** A library as the API declares it. */
export interface LibrarySpec {
  /** As calls name it. */
  readonly name: string;
  /** What an instance runs. */
  readonly program: LibraryProgram<FileId>;
  /** How an instance serves calls: a process for each slot, or a forked child for each call. */
  readonly mode: LibraryMode;
  /** The function that an instance runs once, before its first call; empty for none. */
  readonly context: string;
  /** As of `LibraryDefinition`. */
  readonly contextArguments: Uint8Array;
  /** Calls that an instance serves at a time. */
  readonly slots: number;
  /** Instances that are kept running as long as there is room, whether or not there are calls. */
  readonly instanceCount: number;
  /** What an instance holds of its worker. */
  readonly resources: Resources;
  /** Variables added to the worker's own environment. */
  readonly env: { readonly [name: string]: string };
  /** Unpacked environments, the first of them foremost in `PATH`. */
  readonly environments: readonly FileId[];
  /** As of `LibraryDefinition`. */
  readonly inputs: readonly TaskMount[];
}

/** What happened. The shell makes these; `step` applies them. */
export type ManagerEvent =
  | {
    readonly kind: "file_declared";
    readonly fileId: FileId;
    readonly origin: FileOrigin;
    readonly level: CacheLevel;
    readonly peerTransfer: boolean;
    /** Absent while the shell still looks at a local file or a url; temps are bound here. */
    readonly bound?: BoundFile;
    /** Copies that are wanted at workers; absent leaves it to the policy. */
    readonly replicas?: number;
    /** A temp of which its user lets go as soon as its consumers are done. */
    readonly isReleasedByUse?: boolean;
  }
  /** The name of a declared file is known. A file of the same name becomes the same file. */
  | { readonly kind: "file_bound"; readonly fileId: FileId; readonly bound: BoundFile }
  /** A declared file cannot be had: it does not exist or cannot be read. */
  | {
    readonly kind: "file_failed";
    readonly fileId: FileId;
    readonly outcome: "input_missing" | "input_modified";
    readonly message: string;
  }
  | { readonly kind: "file_undeclared"; readonly fileId: FileId }
  /** The user wants the contents at the manager; answered by `file_delivered`. */
  | { readonly kind: "file_requested"; readonly fileId: FileId; readonly requestId: number }
  /** The user wants that many copies at workers from now on. */
  | { readonly kind: "file_replicated"; readonly fileId: FileId; readonly count: number }
  /** The user has no use for the copies at workers for now; answered by `file_pruned`. */
  | { readonly kind: "file_pruned"; readonly fileId: FileId; readonly requestId: number }
  /** The user wants it kept beyond the workflow; answered by `file_kept`. */
  | {
    readonly kind: "file_keep_wanted";
    readonly fileId: FileId;
    readonly requestId: number;
    readonly level: LastingLevel;
  }
  | { readonly kind: "library_declared"; readonly library: LibrarySpec }
  /** It gets no more calls, unless the same is declared again: it goes when those that it has end. */
  | { readonly kind: "library_undeclared"; readonly name: string }
  | { readonly kind: "task_submitted"; readonly task: TaskDefinition }
  /** Values among its arguments have become known: it reads these files beside those it had. */
  | {
    readonly kind: "arguments_known";
    readonly taskId: TaskId;
    readonly inputs: readonly TaskMount[];
    /** There once all of them are known. */
    readonly body?: TaskBody;
  }
  /** One of its arguments will never be known. */
  | { readonly kind: "arguments_failed"; readonly taskId: TaskId; readonly message: string }
  | { readonly kind: "task_cancelled"; readonly taskId: TaskId }
  | { readonly kind: "category_declared"; readonly category: CategoryChange }
  /** The dataflow layer tells the readers of facts; nothing here depends on it. */
  | { readonly kind: "app_noted"; readonly facts: AppFact[] }
  /** Many at once: none of them is dispatched from now on, and they end within some steps. */
  | { readonly kind: "tasks_cancelled"; readonly taskIds: readonly TaskId[] }
  /** Answer to `ask_retry`: what the try costs of `retries`, or why nobody can tell. */
  | {
    readonly kind: "retry_decided";
    readonly taskId: TaskId;
    readonly try: number;
    readonly decision: RetryDecision;
  }
  /** A worker said hello on a connection that the shell calls `session`. */
  | {
    readonly kind: "worker_connected";
    readonly session: SessionId;
    readonly hello: Hello;
  }
  | {
    readonly kind: "message_received";
    readonly workerId: WorkerId;
    readonly session: SessionId;
    readonly message: WorkerReport;
  }
  /** The connection of that session is closed. */
  | {
    readonly kind: "worker_disconnected";
    readonly workerId: WorkerId;
    readonly session: SessionId;
    /** True when it said nothing for `workerTimeoutMs`: it gets no grace on top of that. */
    readonly wasSilent: boolean;
  }
  /** The process of a local worker has ended: there is nothing to wait for. */
  | { readonly kind: "worker_exited"; readonly workerId: WorkerId; readonly incarnation: string }
  /** An output that rode in a result was put in place, or a PUT was verified and put in place. */
  | {
    readonly kind: "delivery_ended";
    readonly deliveryId: number;
    readonly isDelivered: boolean;
    readonly message: string;
  }
  /** What a worker was to fetch cannot be read here: it was told nothing. */
  | {
    readonly kind: "fetch_failed";
    readonly transferId: TransferId;
    readonly message: string;
  }
  | { readonly kind: "policies_set"; readonly policies: Policies }
  /** The user blocks a host for a time, perhaps Infinity, drains it, or lets it be as it was. */
  | {
    readonly kind: "host_changed";
    readonly host: string;
    readonly change: "block" | "unblock" | "drain";
    /** Of a block. */
    readonly forMs: number;
  }
  /** The user has no use for so many of the workers that run nothing. */
  | { readonly kind: "workers_released"; readonly count: number }
  /** Release every worker: the workflow is over. */
  | { readonly kind: "closed"; readonly reason: string }
  /** Time passed: `nextWakeAtMs` was reached. */
  | { readonly kind: "tick" };

/** An event with its instant. */
export type TimedEvent = ManagerEvent & { readonly atMs: number };
