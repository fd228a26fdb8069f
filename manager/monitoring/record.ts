/**
 * What the record process is told of a run: plain values that CBOR carries, made of facts by
 * recorder.ts and read by the database and by TaskVine's logs. Kinds are those of facts where one
 * record is made of one fact.
 *
 * Records come in the order in which they became true, but for columns of calls: these stand for
 * what many steps told of calls that do nothing worth a record of their own, and each row has its
 * own instants.
 *
 * All instants are epoch milliseconds of one clock that never goes back, the manager's, but for
 * `startedAtMs` of ends, which is the worker's. Sizes are bytes.
 *
 * @module
 */

import type { Resources } from "../../shared/resources.ts";
import type { CacheLevel, Exceeded, Outcome, Usage, UsageSample } from "../../shared/task.ts";
import type { AppKind } from "../core/fact.ts";

/** Characters of a command that are recorded. */
export const COMMAND_CHARS_MAX: number = 4 * 1024;

/** Bytes of stdout and of stderr that are recorded of a failure: their ends. */
export const TAIL_BYTES_MAX: number = 4 * 1024;

/** Tasks of which a record says that a task awaits them. */
export const AWAITS_MAX = 1_000;

/** Calls of apps of which a record says that a call depends on them, or joins them. */
export const DEPENDS_MAX = 20_000;

/** Reads records, one after the other. */
export interface RecordSink {
  /** Takes one record, which was true from `atMs` on. */
  apply(atMs: number, record: RunRecord): void;
  /** Brings all that was taken to where others can read it. */
  flush(): void;
  /** The last call: as `flush`, and lets go of files. */
  close(): void;
}

/** Kinds of files as people know them. */
export type FileKind = "local" | "url" | "buffer" | "temp" | "mini_task" | "kept" | "value";

/** What calls of apps have in common. */
export interface AppSort {
  readonly app: string;
  readonly appKind: AppKind;
  /** Label of the executor; empty of a join. */
  readonly executor: string;
  readonly isMemoized: boolean;
}

/** What few calls of apps have. */
export interface AppCallDetail {
  readonly label?: string;
  readonly category?: string;
  /** Names of its outputs. */
  readonly outputs?: readonly string[];
  readonly stdout?: string;
  readonly stderr?: string;
}

/** What is told of few states of calls of apps. */
export interface AppStateDetail {
  readonly joins?: readonly number[];
  readonly memoKey?: string;
  readonly message?: string;
  readonly failCost?: number;
}

/** How a task has a file. */
export type MountRole = "input" | "output" | "environment";

/** Amounts that are stated; absent is what is not. `Infinity` is all that a worker has. */
export interface RequestedAmounts {
  readonly cores?: number;
  readonly memoryBytes?: number;
  readonly diskBytes?: number;
  readonly gpus?: number;
}

/** A mount of a task. */
export interface MountRecord {
  readonly role: MountRole;
  /** Empty of environments. */
  readonly mount: string;
  readonly fileId: number;
}

/** What is said of a task when it is submitted, but for what is its own. */
export interface TaskSort {
  readonly taskKind: "command" | "call";
  /** The function, or the program that the command begins with. */
  readonly name: string;
  /** Cut to `COMMAND_CHARS_MAX`; of a call its library and function. */
  readonly command: string;
  /** Of a call. */
  readonly library?: string;
  /** Of a call. */
  readonly function?: string;
  readonly category: string;
  readonly priority: number;
  readonly requested: RequestedAmounts;
}

/** How a try went, of those of which a worker told it. */
export interface TryEnd {
  /** Status of its process, when it had one. */
  readonly exitCode?: number;
  /** `SIGKILL` and the like. */
  readonly signal?: string;
  /** On the clock of the worker; 0 when it never started. */
  readonly startedAtMs: number;
  /** As of `TryTimes`. */
  readonly stagedMs: number;
  readonly ranMs: number;
  /** What it used at most. */
  readonly used?: Usage;
  /** What it used as it ran. */
  readonly series?: readonly UsageSample[];
  /** A limit that it went beyond. */
  readonly exceeded?: Exceeded;
  /** What it wrote in all is not known: these are bytes of the ends that were kept. */
  readonly stdoutBytes: number;
  readonly stderrBytes: number;
  /** The ends of what a failure wrote. */
  readonly stdoutTail?: string;
  readonly stderrTail?: string;
  /** Bytes of the value of a call. */
  readonly valueBytes?: number;
  /** Bytes of all files that it made. */
  readonly outputBytes: number;
}

/** One thing that became true, as it is recorded. */
export type RunRecord =
  /** Always the first. */
  | {
    readonly kind: "run_started";
    readonly runId: string;
    readonly name: string;
    readonly version: string;
    readonly host: string;
    readonly user: string;
    readonly pid: number;
    /** The run directory; empty when there is none. */
    readonly directory: string;
    readonly startedAtMs: number;
  }
  /** Always the last, of a manager that was closed. */
  | { readonly kind: "run_ended" }
  | TaskSort & {
    readonly kind: "task_submitted";
    readonly taskId: number;
    readonly tag?: string;
    readonly mounts: readonly MountRecord[];
    /** Of a call; -1 while they are not known. */
    readonly argumentBytes?: number;
    /** Tasks whose values are among its arguments; at most `AWAITS_MAX`. */
    readonly awaits: readonly number[];
    readonly retries: number;
    /** The call of an app that it is a try of. */
    readonly appCall?: number;
  }
  /** Calls that have nothing but arguments: one row a call, columns of equal length. */
  | {
    readonly kind: "calls_submitted";
    readonly sorts: readonly TaskSort[];
    /** Indexes into `sorts`. */
    readonly sort: readonly number[];
    readonly atMs: readonly number[];
    readonly taskId: readonly number[];
    readonly argumentBytes: readonly number[];
    /** `{row: tag}` of those that have one. */
    readonly tags: readonly (readonly [row: number, tag: string])[];
    /** Calls of apps that they are tries of; 0 of others. */
    readonly appCall: readonly number[];
  }
  /**
   * Calls that succeeded at a try that began since the last such record, or before: one row a call,
   * after the record that submitted it. Nothing else is told of the try but, of those that took
   * longer than a batch, `try_dispatched` and `try_started`.
   */
  | {
    readonly kind: "calls_ended";
    readonly workers: readonly { readonly workerId: string; readonly host: string }[];
    readonly taskId: readonly number[];
    readonly try: readonly number[];
    /** Indexes into `workers`. */
    readonly worker: readonly number[];
    readonly dispatchedAtMs: readonly number[];
    readonly endedAtMs: readonly number[];
    /** As of `TryEnd`. */
    readonly startedAtMs: readonly number[];
    readonly stagedMs: readonly number[];
    readonly ranMs: readonly number[];
    readonly valueBytes: readonly number[];
  }
  /** Calls of apps: one row a call, columns of equal length. */
  | {
    readonly kind: "apps_called";
    readonly sorts: readonly AppSort[];
    /** Indexes into `sorts`. */
    readonly sort: readonly number[];
    readonly atMs: readonly number[];
    readonly callId: readonly number[];
    /** At most `COMMAND_CHARS_MAX` characters each. */
    readonly argumentText: readonly string[];
    /** Calls that each waits for; at most `DEPENDS_MAX`. */
    readonly dependsOn: readonly (readonly number[])[];
    readonly details: readonly (readonly [row: number, detail: AppCallDetail])[];
  }
  /** Where calls of apps stand: one row a change, in order; those of a call come after the call. */
  | {
    readonly kind: "app_states";
    readonly atMs: readonly number[];
    readonly callId: readonly number[];
    /** Indexes into `APP_STATES` of dashboard/call_api.ts. */
    readonly state: readonly number[];
    /** From 1; 0 when there was none. */
    readonly try: readonly number[];
    /** Of `launched`: the task that is the try; 0 when there is none. */
    readonly taskId: readonly number[];
    /** Executors and hosts; the first is the empty one, of those that tell none. */
    readonly names: readonly string[];
    /** Indexes into `names`. */
    readonly executor: readonly number[];
    readonly host: readonly number[];
    readonly details: readonly (readonly [row: number, detail: AppStateDetail])[];
  }
  | {
    readonly kind: "try_dispatched";
    readonly taskId: number;
    readonly try: number;
    readonly workerId: string;
    readonly allocated?: Resources;
  }
  | {
    readonly kind: "try_started" | "try_returned";
    readonly taskId: number;
    readonly try: number;
    readonly workerId: string;
  }
  /** Tries of a worker that left end with `worker_left`, whatever is told of them after it. */
  | {
    readonly kind: "try_ended";
    readonly taskId: number;
    readonly try: number;
    readonly workerId: string;
    readonly outcome: Outcome;
    readonly message: string;
    /** Absent of one whose worker did not say how it ended. */
    readonly end?: TryEnd;
  }
  | { readonly kind: "outputs_lost"; readonly taskId: number; readonly message: string }
  | {
    readonly kind: "task_ended";
    readonly taskId: number;
    readonly outcome: Outcome;
    readonly message: string;
    /** Number of the last try; 0 when there was none. */
    readonly try: number;
    /** The mount that the outcome is about. */
    readonly mount?: string;
  }
  | { readonly kind: "recovery_started"; readonly taskId: number }
  | {
    readonly kind: "recovery_ended";
    readonly taskId: number;
    readonly outcome: Outcome;
    readonly message: string;
  }
  | {
    readonly kind: "category_declared";
    readonly name: string;
    /** Absent when it was not said. */
    readonly mode?: string;
    readonly max?: RequestedAmounts;
    readonly min?: RequestedAmounts;
    readonly first?: RequestedAmounts;
  }
  | {
    readonly kind: "file_declared";
    readonly fileId: number;
    readonly fileKind: FileKind;
    /** A path, a url, or how a mini task makes it; absent when there is nothing to say. */
    readonly source?: string;
    readonly level: CacheLevel;
    /** Files that a mini task makes it of. */
    readonly inputs: readonly number[];
    /** Of the value of a call: the call. Of other files the task says that it has them as outputs. */
    readonly producer?: number;
  }
  | {
    readonly kind: "file_bound";
    readonly fileId: number;
    readonly cacheName: string;
    /** Absent while it is not known. */
    readonly sizeBytes?: number;
    readonly isDirectory: boolean;
  }
  | { readonly kind: "file_merged"; readonly fileId: number; readonly into: number }
  | { readonly kind: "file_forgotten"; readonly fileId: number }
  | { readonly kind: "nondeterministic"; readonly fileId: number; readonly taskId: number }
  | {
    readonly kind: "replica_ready";
    readonly fileId: number;
    readonly workerId: string;
    readonly cacheName: string;
    readonly generation: number;
    readonly sizeBytes: number;
    readonly isDirectory: boolean;
  }
  | { readonly kind: "replica_gone"; readonly fileId: number; readonly workerId: string }
  | { readonly kind: "replica_damaged"; readonly fileId: number; readonly workerId: string }
  | {
    readonly kind:
      | "transfer_started"
      | "transfer_ended"
      | "transfer_failed"
      | "transfer_called_off";
    readonly transferId: number;
    readonly fileId: number;
    readonly from: "manager" | "worker" | "url" | "recipe";
    readonly sourceId?: string;
    readonly to: "worker" | "manager" | "url";
    readonly workerId: string;
    readonly movedBytes: number;
    readonly message: string;
  }
  | {
    readonly kind: "worker_joined" | "worker_reconnected";
    readonly workerId: string;
    readonly host: string;
    readonly pid: number;
    readonly resources: Resources;
    readonly features: readonly string[];
    /** Base urls of its peer server, best first. */
    readonly urls: readonly string[];
  }
  | { readonly kind: "worker_left"; readonly workerId: string; readonly reason: string }
  | {
    readonly kind: "library_declared";
    readonly name: string;
    readonly program: "javascript" | "python" | "command";
    readonly mode: "direct" | "fork";
    readonly slots: number;
    readonly resources: Resources;
  }
  | {
    readonly kind: "library_instance";
    readonly library: string;
    readonly instanceId: number;
    readonly workerId: string;
    readonly change: "starting" | "ready" | "retiring" | "stopped" | "start_failed" | "died";
  }
  /** What a person should know; a row of the table `note`. */
  | {
    readonly kind: "note";
    readonly noteKind: string;
    readonly subject: string;
    readonly text: string;
  }
  /** The manager as a whole: at most one a second, and none while nothing changes. */
  | Sample & { readonly kind: "sample" };

/** What is told of transfers. */
export type TransferRecord = RecordOf<
  "transfer_started" | "transfer_ended" | "transfer_failed" | "transfer_called_off"
>;

/** The records of a kind; of kinds that are alike all of them have to be named. */
export type RecordOf<Kind extends RunRecord["kind"]> = Extract<RunRecord, { kind: Kind }>;

/** The columns of the table `sample`, with what TaskVine's performance log has beside them. */
export interface Sample {
  readonly waiting: number;
  readonly ready: number;
  readonly dispatched: number;
  readonly retrieving: number;
  readonly submittedTotal: number;
  readonly succeededTotal: number;
  readonly failedTotal: number;
  readonly cancelledTotal: number;
  readonly triesStartedTotal: number;
  readonly recoveriesTotal: number;
  readonly workersConnected: number;
  readonly workersAway: number;
  readonly cores: number;
  readonly coresCommitted: number;
  readonly memoryBytes: number;
  readonly memoryCommittedBytes: number;
  readonly diskBytes: number;
  readonly diskCommittedBytes: number;
  readonly diskUsedBytes: number;
  readonly files: number;
  readonly transfers: number;
  readonly managerToWorkerBytes: number;
  readonly workerToWorkerBytes: number;
  readonly workerToManagerBytes: number;
  readonly urlToWorkerBytes: number;
  readonly workerToUrlBytes: number;
  /** Time that the core took so far: placing tasks and all else that it decides. */
  readonly schedulingMs: number;
  /** The longest that the event loop was late since the last sample. */
  readonly loopDelayMs: number;
}
