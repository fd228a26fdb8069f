/**
 * What the dashboard's pages ask and are answered, as JSON: `POST /api/ask` with a `Question` in the
 * body gives its `Answer`. The answers come from `monitoring.db`, so that a live run, a past one and
 * a page to send around show the same; what only a running manager knows has routes of its own (see
 * `LiveApi`).
 *
 * All instants are epoch milliseconds, without fractions; all sizes bytes. What is not known is null.
 *
 * @module
 */

import type { CallAnswers, CallQuestion } from "./call_api.ts";

/** Grows when a field of an answer changes its meaning or goes. */
export const API_VERSION = 1;

/** Where a task stands. */
export type ShownState = "pending" | "dispatched" | "running" | "retrieving" | "done";

/** Every state of a task, in the order in which it passes them. */
export const SHOWN_STATES: readonly ShownState[] = [
  "pending",
  "dispatched",
  "running",
  "retrieving",
  "done",
];

/** By what tables of tasks can be sorted. */
export const TASK_SORTS = [
  "id",
  "name",
  "category",
  "state",
  "outcome",
  "try",
  "host",
  "submitted",
  "started",
  "ended",
  "ran",
  "cores",
  "memory",
  "disk",
] as const;

/** One of these. */
export type TaskSort = typeof TASK_SORTS[number];

/** By what tables of files can be sorted. */
export const FILE_SORTS = ["id", "size", "replicas", "level", "transfers"] as const;

/** One of these. */
export type FileSort = typeof FILE_SORTS[number];

/** Which tasks are wanted, and which part of them. */
export interface TaskFilter {
  /** Words that must all be in the name, command, tag, category, library, message, host or number. */
  readonly search?: string;
  readonly states?: readonly ShownState[];
  /** Outcomes; `failed` is every one but `success` and `cancelled`. */
  readonly outcomes?: readonly string[];
  readonly category?: string;
  readonly taskKind?: "command" | "call";
  readonly workerId?: string;
}

/** Something to be answered from the records of one run. */
export type Question =
  | CallQuestion
  | { readonly kind: "run" }
  | {
    readonly kind: "overview";
    readonly fromMs?: number;
    readonly toMs?: number;
    readonly points: number;
  }
  | TaskFilter & {
    readonly kind: "tasks";
    readonly sort: TaskSort;
    readonly isDescending: boolean;
    readonly offset: number;
    /** At most `ROWS_MAX`. */
    readonly limit: number;
  }
  | { readonly kind: "task"; readonly taskId: number }
  | {
    readonly kind: "timeline";
    readonly fromMs?: number;
    readonly toMs?: number;
    /** Only of these; default all. */
    readonly workerIds?: readonly string[];
    /** Shorter bars that touch are told as one with a count, so that no more than about this come. */
    readonly barsMax: number;
  }
  | { readonly kind: "workers" }
  | { readonly kind: "worker"; readonly workerId: string }
  | {
    readonly kind: "files";
    readonly search?: string;
    readonly level?: string;
    readonly sort: FileSort;
    readonly isDescending: boolean;
    readonly offset: number;
    readonly limit: number;
  }
  | { readonly kind: "levels" }
  | { readonly kind: "file"; readonly fileId: number }
  | { readonly kind: "transfers"; readonly isRunning: boolean; readonly limit: number }
  /** How bytes spread: of one file, or of all. */
  | { readonly kind: "vine"; readonly fileId?: number; readonly transfersMax: number }
  | { readonly kind: "graph"; readonly grouping: "auto" | Graph["grouping"] };

/** Rows of one answer at most. */
export const ROWS_MAX = 1_000;

/** `{kind of a question: its answer}` */
export interface Answers extends CallAnswers {
  readonly run: RunInfo;
  readonly overview: Overview;
  readonly tasks: Rows<TaskRow>;
  readonly task: TaskDetail | null;
  readonly timeline: Timeline;
  readonly workers: Rows<WorkerRow>;
  readonly worker: WorkerDetail | null;
  readonly files: Rows<FileRow>;
  readonly levels: Rows<LevelRow>;
  readonly file: FileDetail | null;
  readonly transfers: Rows<TransferRow>;
  readonly vine: Vine;
  readonly graph: Graph;
}

/** A part of a table. */
export interface Rows<Row> {
  /** Of all that fit, of which `rows` is a part. */
  readonly total: number;
  readonly rows: readonly Row[];
}

/** The run that the records are of. */
export interface RunInfo {
  readonly version: number;
  readonly runId: string;
  readonly name: string;
  readonly tendrilVersion: string;
  readonly host: string;
  readonly user: string;
  readonly directory: string;
  readonly startedAtMs: number;
  /** Null while it goes on, and of a manager that was killed. */
  readonly endedAtMs: number | null;
  /** When the records were last written: the end of what they know. */
  readonly recordedAtMs: number;
  readonly categories: readonly string[];
  /** Names of apps that were called. */
  readonly apps: readonly string[];
  readonly notes: readonly {
    readonly atMs: number;
    readonly kind: string;
    readonly text: string;
  }[];
}

/** Counts by where tasks stand. */
export interface Counts {
  readonly waiting: number;
  readonly ready: number;
  readonly dispatched: number;
  readonly running: number;
  readonly retrieving: number;
  readonly submitted: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly cancelled: number;
}

/** The run as curves: columns of equal length, of which `atMs` is the common one. */
export interface Overview {
  readonly now: Counts;
  /** Median and 90th percentile of how long tasks ran, by category; the slowest first. */
  readonly categories: readonly {
    readonly name: string;
    readonly count: number;
    readonly failed: number;
    readonly medianMs: number;
    readonly p90Ms: number;
  }[];
  /** Of failed tasks: how many by outcome, with the message of the latest. */
  readonly failures: readonly {
    readonly outcome: string;
    readonly count: number;
    readonly taskId: number;
    readonly message: string;
  }[];
  /** Of each app, in the order in which they were called first. */
  readonly apps: CallAnswers["apps"];
  readonly bytes: BytesByRoute;
  /** Until all submitted tasks have ended at the rate of the last minute; null when it is not known. */
  readonly leftMs: number | null;
  readonly series: {
    readonly atMs: readonly number[];
    readonly waiting: readonly number[];
    readonly ready: readonly number[];
    readonly dispatched: readonly number[];
    readonly running: readonly number[];
    readonly retrieving: readonly number[];
    readonly succeeded: readonly number[];
    readonly failed: readonly number[];
    readonly cancelled: readonly number[];
    /** Tasks that ended, a second. */
    readonly rate: readonly number[];
    readonly workers: readonly number[];
    readonly cores: readonly number[];
    readonly coresCommitted: readonly number[];
    readonly coresBusy: readonly number[];
    readonly managerToWorkerBytes: readonly number[];
    readonly workerToWorkerBytes: readonly number[];
    readonly workerToManagerBytes: readonly number[];
    readonly urlToWorkerBytes: readonly number[];
    readonly workerToUrlBytes: readonly number[];
  };
}

/** Bytes moved so far. */
export interface BytesByRoute {
  readonly managerToWorker: number;
  readonly workerToWorker: number;
  readonly workerToManager: number;
  readonly urlToWorker: number;
  readonly workerToUrl: number;
}

/** One task in a table. */
export interface TaskRow {
  readonly taskId: number;
  readonly kind: "command" | "call";
  /** What it is called for short: its function, or the program that it runs. */
  readonly name: string;
  readonly command: string;
  readonly category: string;
  readonly tag: string | null;
  readonly state: ShownState;
  readonly outcome: string | null;
  readonly message: string;
  readonly try: number;
  readonly workerId: string | null;
  readonly host: string | null;
  readonly submittedAtMs: number;
  readonly startedAtMs: number | null;
  readonly endedAtMs: number | null;
  readonly ranMs: number | null;
  readonly usedCores: number | null;
  readonly usedMemoryBytes: number | null;
  readonly usedDiskBytes: number | null;
}

/** Amounts of what workers have; null is not stated, not given or not measured. */
export interface Amounts {
  readonly cores: number | null;
  readonly memoryBytes: number | null;
  readonly diskBytes: number | null;
  readonly gpus: number | null;
}

/** A file at a mount of a task. */
export interface MountRow {
  readonly role: "input" | "output" | "environment";
  readonly mount: string;
  readonly fileId: number;
  readonly kind: string;
  readonly source: string | null;
  readonly sizeBytes: number | null;
  /** The task that makes it. */
  readonly producerTaskId: number | null;
}

/** One task, with all that is recorded of it. */
export interface TaskDetail extends TaskRow {
  readonly library: string | null;
  readonly function: string | null;
  readonly priority: number;
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly mount: string | null;
  readonly dispatchedAtMs: number | null;
  readonly stagedMs: number | null;
  readonly requested: Amounts;
  readonly allocated: Amounts;
  readonly used: Amounts & { readonly processCount: number | null; readonly cpuMs: number | null };
  /** The call of an app that it is a try of. */
  readonly appCallId: number | null;
  readonly recoveryCount: number;
  readonly argumentBytes: number | null;
  readonly valueBytes: number | null;
  readonly mounts: readonly MountRow[];
  /** Tasks that read what it makes; at most `ROWS_MAX`. */
  readonly consumers: readonly number[];
  readonly tries: readonly TryRow[];
  /** The ends of what it wrote, of one that failed; null when it is not in the records. */
  readonly stdoutTail: string | null;
  readonly stderrTail: string | null;
  /** It is from a report that had no room for more than its row of the table. */
  readonly isPartial: boolean;
}

/** One try. */
export interface TryRow {
  readonly try: number;
  readonly workerId: string;
  readonly host: string | null;
  readonly dispatchedAtMs: number;
  readonly startedAtMs: number | null;
  readonly endedAtMs: number | null;
  readonly outcome: string | null;
  readonly message: string | null;
  readonly isRecovery: boolean;
}

/** What a bar of the timeline is. */
export type BarKind = "task" | "call" | "library" | "transfer";

/** Bars as columns of equal length. A lane is one slot of a worker, or its transfers. */
export interface Timeline {
  readonly fromMs: number;
  readonly toMs: number;
  readonly lanes: readonly {
    readonly workerId: string;
    readonly host: string;
    readonly kind: "slot" | "library" | "transfer";
    /** Of its kind, at that worker, from 0. */
    readonly index: number;
  }[];
  readonly bars: {
    readonly lane: readonly number[];
    readonly startMs: readonly number[];
    /** Of what goes on: `toMs`. */
    readonly endMs: readonly number[];
    readonly kind: readonly BarKind[];
    /** Number of the task, instance or transfer; of several, of the first. */
    readonly id: readonly number[];
    /** How many are told as one. */
    readonly count: readonly number[];
    /** Index in `labels`. */
    readonly label: readonly number[];
    /** `ok`, `failed`, `running`, as digits 0, 1, 2. */
    readonly state: readonly number[];
  };
  readonly labels: readonly string[];
}

/** What of a worker is given away. */
export interface Committed {
  readonly cores: number;
  readonly memoryBytes: number;
  readonly diskBytes: number;
  readonly gpus: number;
}

/** One worker in a table. */
export interface WorkerRow {
  readonly workerId: string;
  readonly host: string;
  readonly isConnected: boolean;
  readonly joinedAtMs: number;
  readonly leftAtMs: number | null;
  readonly reason: string | null;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly diskBytes: number;
  readonly gpus: number;
  readonly features: readonly string[];
  /** Given to tasks and to instances of libraries that are there now. */
  readonly committed: Committed;
  readonly running: number;
  readonly done: number;
  readonly failed: number;
  readonly replicas: number;
  readonly cachedBytes: number;
  readonly instances: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

/** One worker, with what it holds and runs; each list at most `ROWS_MAX`, the largest or newest. */
export interface WorkerDetail extends WorkerRow {
  readonly pid: number;
  readonly address: string | null;
  readonly runningTasks: readonly TaskRow[];
  readonly cache: readonly {
    readonly fileId: number;
    readonly kind: string;
    readonly source: string | null;
    readonly level: string;
    readonly sizeBytes: number;
    readonly readyAtMs: number;
  }[];
  readonly libraries: readonly {
    readonly instanceId: number;
    readonly library: string;
    readonly state: string;
    readonly startingAtMs: number;
    readonly readyAtMs: number | null;
    readonly endedAtMs: number | null;
  }[];
  readonly sessions: readonly {
    readonly joinedAtMs: number;
    readonly leftAtMs: number | null;
    readonly reason: string | null;
  }[];
  /** As of `TaskDetail`. */
  readonly isPartial: boolean;
}

/** One file in a table. */
export interface FileRow {
  readonly fileId: number;
  readonly kind: string;
  readonly source: string | null;
  readonly cacheName: string | null;
  readonly level: string;
  readonly sizeBytes: number | null;
  readonly replicas: number;
  readonly transfers: number;
  readonly movedBytes: number;
  readonly producerTaskId: number | null;
  readonly isNondeterministic: boolean;
  readonly isForgotten: boolean;
}

/** All files of one level. */
export interface LevelRow {
  readonly level: string;
  readonly files: number;
  /** Of those whose size is known, each once. */
  readonly bytes: number;
  /** At workers now, with all that they take there. */
  readonly replicas: number;
  readonly replicaBytes: number;
}

/** One file, with where it is and who reads it. */
export interface FileDetail extends FileRow {
  readonly declaredAtMs: number;
  readonly holders: readonly {
    readonly workerId: string;
    readonly host: string | null;
    readonly readyAtMs: number;
    readonly goneAtMs: number | null;
  }[];
  readonly consumers: readonly number[];
  /** At most `ROWS_MAX`, the earliest first, as the others are. */
  readonly history: readonly TransferRow[];
  /** As of `TaskDetail`. */
  readonly isPartial: boolean;
}

/** One transfer. */
export interface TransferRow {
  readonly transferId: number;
  readonly fileId: number;
  /** Source or cache name of the file, for a person. */
  readonly file: string;
  readonly source: "manager" | "worker" | "url" | "recipe";
  readonly sourceId: string | null;
  readonly target: "worker" | "manager" | "url";
  readonly workerId: string;
  readonly state: "running" | "done" | "failed" | "called_off";
  readonly startedAtMs: number;
  readonly endedAtMs: number | null;
  readonly movedBytes: number;
  /** Of the file, which is how much there is to move. */
  readonly sizeBytes: number | null;
  readonly message: string | null;
}

/** Nodes and growing edges: how bytes went from node to node as time passed. */
export interface Vine {
  /** Of one file; else null. */
  readonly file: FileRow | null;
  readonly fromMs: number;
  readonly toMs: number;
  readonly nodes: readonly {
    /** `manager`, `url:HOST` or the id of a worker. */
    readonly id: string;
    readonly kind: "manager" | "url" | "worker";
    readonly label: string;
    readonly joinedAtMs: number;
    readonly leftAtMs: number | null;
  }[];
  /** By `startMs`; `from` and `to` are indexes of nodes. */
  readonly edges: readonly {
    readonly from: number;
    readonly to: number;
    readonly fileId: number;
    readonly startMs: number;
    /** Null while it goes on. */
    readonly endMs: number | null;
    readonly bytes: number;
    readonly isFailed: boolean;
  }[];
  /** True when there were more than were asked for: the largest are told. */
  readonly isCut: boolean;
}

/** The workflow's tasks and files, or groups of them. */
export interface Graph {
  readonly grouping: "tasks" | "categories" | "calls" | "apps";
  readonly nodes: readonly {
    readonly id: string;
    readonly kind: "task" | "file" | "category" | "file_group" | "call" | "app";
    readonly label: string;
    /** Of a task, a file or a call; of a group null. */
    readonly number: number | null;
    /**
     * `{state or outcome: how many}` of the tasks in it: pending, running, success, failed,
     * cancelled; of calls of apps dispatched, joining, memo (it came from memory) and dep_fail too.
     */
    readonly states: { readonly [state: string]: number };
    readonly sizeBytes: number | null;
  }[];
  readonly edges: readonly {
    readonly from: string;
    readonly to: string;
    readonly count: number;
    /** A call of an app that returned the future of the other. */
    readonly isJoin?: true;
  }[];
  readonly isCut: boolean;
}

/** What a person's browser may do, from `GET /api/session`; 401 when it has to show a token first. */
export interface SessionInfo {
  readonly version: number;
  /** A running manager, and not only its records. */
  readonly isLive: boolean;
  /** It may drain and block. */
  readonly canAct: boolean;
}

/** Field of a request that shows the key of a session; on `/live` the first frame may. */
export const KEY_HEADER = "tendril-key";

/** Answer of `POST /session`. */
export interface SessionOpened extends SessionInfo {
  /** To be shown with each request: cookies are sent to the servers at all ports of a host. */
  readonly key: string;
}

/**
 * Sent over the WebSocket `/live` about twice a second while something changes, else when it has;
 * pages ask again what they show when `recordedAtMs` grows.
 */
export interface LiveUpdate {
  readonly kind: "update";
  readonly atMs: number;
  /** The records hold everything up to then. */
  readonly recordedAtMs: number;
  readonly counts: Counts;
  readonly workersConnected: number;
  readonly workersAway: number;
  readonly cores: number;
  readonly coresCommitted: number;
  readonly bytes: BytesByRoute;
  readonly transfers: number;
  /** Until all have ended at the rate of the last minute; null when it is not known. */
  readonly leftMs: number | null;
}

/**
 * Routes of a running manager alone: `GET /api/tasks/ID/explain` is `{ text }`; `GET
 * /api/tasks/ID/output` is `LiveOutput`, 404 when it is not kept; `GET /api/hosts` is
 * `{ hosts: LiveHost[] }`; `POST /api/hosts/HOST` with `{ change: "drain" | "block" | "unblock" }`.
 */
export interface LiveOutput {
  readonly stdout: string;
  readonly stderr: string;
  /** It still runs: what is told is what it has written so far, at most its end. */
  readonly isRunning: boolean;
}

/** How a host stands that gets no work. */
export interface LiveHost {
  readonly host: string;
  readonly state: "blocked" | "draining";
  readonly reason: string;
}
