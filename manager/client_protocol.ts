/**
 * What clients ask over `/client`, and what the manager answers: version 1 of the shape.
 *
 * A client opens with `open`; then each request has a `requestId` of its own choice, and each
 * answer carries the id of its request. One request has one answer, but for `wait`, which may have
 * `progress` before it. Requests of one connection are taken in order; answers come when they are
 * known. A request that cannot be honoured is answered by `failed`, and harms nothing else.
 *
 * Bytes of files do not travel here: `declare` and `fetch` answer with a ticket for HTTP,
 * `PUT` or `GET /files/NAME` at the url that the client is connected to.
 *
 * @module
 */

import type { FileId, TaskId, WorkerId } from "../shared/ids.ts";
import type { LibraryMode } from "../shared/library.ts";
import type { GrowingSource } from "../shared/protocol.ts";
import type { CustomResources, ResourceRequest, Resources } from "../shared/resources.ts";
import type { CacheLevel, Outcome, Usage } from "../shared/task.ts";
import type { CategoryOptions } from "./category.ts";
import type { FileKind } from "./file_entry.ts";
import type { FollowPart } from "./follower.ts";
import type { MountWishes } from "./mount_option.ts";
import type { Explanation } from "./core/explanation.ts";
import type { Policies } from "./core/policy.ts";
import type { HostChangeKind } from "./host_change.ts";
import type { CallFilter, CallRow } from "./dashboard/call_api.ts";
import type { ManagerStatus } from "./status.ts";
import type { TaskStateName } from "./task_handle.ts";
import type { TaskTimes } from "./task_result.ts";

/** Of the requests, the answers, and every document that `--json` prints. */
export const CLIENT_VERSION = 1;

/** Tasks of one `submit`; larger submissions come in parts. */
export const SUBMIT_TASKS_MAX = 10_000;

/** Rows of one answer; the rest is asked for with `after`. */
export const ROWS_MAX = 10_000;

/** Explanations of one answer; the rest is asked for with `after`. */
export const EXPLANATIONS_MAX = 500;

/** Which tasks are meant. */
export type TaskSelection =
  | { readonly kind: "all" }
  /** Those of the newest submission of any client. */
  | { readonly kind: "last" }
  /** Of calls that state no category, the name of their library is meant as well. */
  | { readonly kind: "category"; readonly label: string }
  | { readonly kind: "tag"; readonly label: string }
  /** Both ends included, in any order, at most 10,000 ranges. */
  | { readonly kind: "ids"; readonly ranges: readonly (readonly [number, number])[] };

/** Tasks to list: those that fit all that is stated. */
export interface TaskRowFilter {
  /** Of calls that state no category, the name of their library is meant as well. */
  readonly category?: string;
  readonly tag?: string;
  /** The id of the worker of its last try, or that worker's host. */
  readonly worker?: string;
  /** Empty or absent: all, those too that have none yet. */
  readonly outcomes?: readonly Outcome[];
}

/** What tasks may be sorted by: how long they ran, their memory, tries, and when. */
export type TaskSort = "time" | "memory" | "try" | "submitted" | "ended";

/** All of them. */
export const TASK_SORTS: readonly TaskSort[] = ["time", "memory", "try", "submitted", "ended"];

/** Rows of a sorted answer, unless fewer are wanted. */
export const SORTED_ROWS_MAX = 1_000;

/** How a client declares a file. */
export type ClientFile =
  /** A path of the manager's machine, absolute: for a client on that machine. */
  | { readonly kind: "local"; readonly path: string }
  /** Contents that the client sends: a file, or a directory as its canonical tar stream. */
  | {
    readonly kind: "upload";
    readonly sizeBytes: number;
    /** SHA-256 in hexadecimal. */
    readonly digest: string;
    readonly isDirectory: boolean;
    readonly isExecutable: boolean;
  }
  /** An output that is read later by `fetch`. */
  | { readonly kind: "buffer" }
  | {
    readonly kind: "temp";
    /** Copies that are kept; absent leaves it to the policy. */
    readonly replicas?: number;
    /** The policy "consumed" needs nobody to give it up. */
    readonly isReleasedByUse?: boolean;
  }
  /** With the SHA-256 that an input must have, in hexadecimal, where it is known. */
  | { readonly kind: "url"; readonly url: string; readonly sha256?: string }
  | { readonly kind: "unpack"; readonly archive: FileId }
  | { readonly kind: "environment"; readonly archive: FileId }
  /** What the command of `task`, which has no outputs, leaves at `mount`. */
  | { readonly kind: "mini_task"; readonly task: ClientTask; readonly mount: string };

/** What all tasks of a submission have in common; the fields are those of `TaskOptions`. */
export interface ClientTask {
  /** Run by `/bin/sh -c`. */
  readonly command: string;
  readonly inputs: readonly ClientMount[];
  readonly outputs: readonly ClientMount[];
  /** The first is foremost. */
  readonly environments: readonly FileId[];
  readonly env: { readonly [name: string]: string };
  readonly cores?: number;
  readonly memoryBytes?: number;
  readonly diskBytes?: number;
  readonly gpus?: number;
  readonly custom?: CustomResources;
  readonly tag?: string;
  readonly category?: string;
  readonly priority?: number;
  readonly retries?: number;
  readonly retryDelayMs?: number;
  readonly retryOn?: readonly Outcome[];
  readonly maxForsaken?: number;
  readonly workerLosses?: number;
  readonly hasSeries?: boolean;
  readonly timeoutMs?: number;
  readonly minTimeMs?: number;
  readonly placement?: Policies["placement"];
  /** From when the manager takes it. */
  readonly startInMs?: number;
  readonly endInMs?: number;
  readonly features?: readonly string[];
}

/** A file under the name by which a task finds it. */
export interface ClientMount extends MountWishes {
  readonly mount: string;
  readonly fileId: FileId;
}

/** What one task of a submission has of its own. */
export interface ClientMember {
  /** Added to the variables of the submission, as `TENDRIL_ARRAY_ID`. */
  readonly env: { readonly [name: string]: string };
  /** Added to the outputs of the submission. */
  readonly outputs: readonly ClientMount[];
}

/** What a client may ask. */
export type ClientRequest =
  /** Comes first. `clientId` is random per client: one that reconnects finds its files again. */
  | {
    readonly kind: "open";
    readonly requestId: number;
    readonly version: number;
    readonly clientId: string;
  }
  | { readonly kind: "ping"; readonly requestId: number }
  | { readonly kind: "status"; readonly requestId: number }
  /** A link that opens the dashboard once: a client's may change hosts, a viewer's only look. */
  | { readonly kind: "dashboard"; readonly requestId: number }
  /** Files belong to the client: they are undeclared some minutes after it has gone. */
  | {
    readonly kind: "declare";
    readonly requestId: number;
    readonly file: ClientFile;
    readonly level: CacheLevel;
    /** Permissions of an output that is delivered to a path. */
    readonly mode?: number;
    /** Absent is true, and false of a mini task. */
    readonly peerTransfer?: boolean;
  }
  | { readonly kind: "undeclare"; readonly requestId: number; readonly fileId: FileId }
  /** Keeps that many copies at workers from now on; answered at once. */
  | {
    readonly kind: "replicate";
    readonly requestId: number;
    readonly fileId: FileId;
    readonly count: number;
  }
  /** Removes the copies from the workers. */
  | { readonly kind: "prune"; readonly requestId: number; readonly fileId: FileId }
  /** Has the contents brought to the manager; answered when they can be had by HTTP. */
  | { readonly kind: "fetch"; readonly requestId: number; readonly fileId: FileId }
  /**
   * One part of a submission. A part that was taken before is answered as then, so that a client
   * may ask again when it lost the answer.
   */
  | {
    readonly kind: "submit";
    readonly requestId: number;
    /** Random, by the client. */
    readonly submissionId: string;
    /** From 0, in order. */
    readonly part: number;
    readonly task: ClientTask;
    readonly members: readonly ClientMember[];
  }
  /** Answered when all have ended; by `progress` besides, when `progressMs` is above 0. */
  | {
    readonly kind: "wait";
    readonly requestId: number;
    readonly selection: TaskSelection;
    readonly progressMs: number;
  }
  /** Answered when that task has ended. */
  | { readonly kind: "result"; readonly requestId: number; readonly taskId: TaskId }
  | { readonly kind: "cancel"; readonly requestId: number; readonly selection: TaskSelection }
  /** Tasks that the manager remembers, by id; `isFailed` leaves the others out. */
  | {
    readonly kind: "tasks";
    readonly requestId: number;
    readonly selection: TaskSelection;
    readonly states: readonly TaskStateName[];
    readonly isFailed: boolean;
    /** Ids above this one. */
    readonly after: number;
    readonly filter?: TaskRowFilter;
    /** Rows that are wanted, from 1; default as many as one answer has. */
    readonly limit?: number;
    /** Those with most of it first; there is no next page then. */
    readonly sort?: TaskSort;
  }
  /** With `host` those on that host. */
  | { readonly kind: "workers"; readonly requestId: number; readonly host?: string }
  /** Those that the manager's script has declared; with `name` the one of that name. */
  | { readonly kind: "libraries"; readonly requestId: number; readonly name?: string }
  /** Absent `forMs` of a block is until it is unblocked. */
  | {
    readonly kind: "host";
    readonly requestId: number;
    readonly host: string;
    readonly change: HostChangeKind;
    readonly forMs?: number;
  }
  /** Sends so many workers away that run nothing. */
  | { readonly kind: "dismiss"; readonly requestId: number; readonly count: number }
  | {
    readonly kind: "files";
    readonly requestId: number;
    readonly after: number;
    /** Empty or absent: all. */
    readonly levels?: readonly CacheLevel[];
    readonly kinds?: readonly FileKind[];
  }
  /** Calls of apps by id, from the records. */
  | CallFilter & {
    readonly kind: "calls";
    readonly requestId: number;
    readonly offset: number;
    /** At most `ROWS_MAX`. */
    readonly limit: number;
  }
  /** Why tasks do not run, by id; of `all`, those that have not ended. */
  | {
    readonly kind: "explain";
    readonly requestId: number;
    readonly selection: TaskSelection;
    /** Ids above this one. */
    readonly after: number;
  }
  /** What one task wrote, as far as the manager has it. */
  | { readonly kind: "logs"; readonly requestId: number; readonly taskId: TaskId }
  /**
   * The next part of what a task writes, after `fromByte` of try number `try`, 0 and 0 at first;
   * answered when there is more, or the task has ended.
   */
  | {
    readonly kind: "follow";
    readonly requestId: number;
    /** Random, by the client; the same for all parts. */
    readonly followId: string;
    readonly taskId: TaskId;
    readonly source: GrowingSource;
    readonly try: number;
    readonly fromByte: number;
  }
  /** Nobody asks for more of it. */
  | { readonly kind: "unfollow"; readonly requestId: number; readonly followId: string }
  /** Values are numbers, texts, and true or false. */
  | {
    readonly kind: "tune";
    readonly requestId: number;
    readonly policies: { readonly [name: string]: string | number | boolean };
  }
  /** What is said of tasks that name that category. */
  | {
    readonly kind: "category";
    readonly requestId: number;
    readonly name: string;
    readonly options: CategoryOptions;
  };

/** How a client moves the bytes of one file. */
export interface FileTicket {
  /** In the cache, and in the path: `/files/NAME`. */
  readonly name: string;
  readonly ticket: string;
  readonly sizeBytes: number;
  /** Empty when not known. */
  readonly digest: string;
  readonly isDirectory: boolean;
}

/** What a client is answered. */
export type ClientAnswer =
  | { readonly kind: "opened"; readonly requestId: number; readonly host: string }
  /** One line that says what was wrong. `isUsage`: asking again is useless. */
  | {
    readonly kind: "failed";
    readonly requestId: number;
    readonly message: string;
    readonly isUsage: boolean;
  }
  | { readonly kind: "pong"; readonly requestId: number }
  | { readonly kind: "status"; readonly requestId: number; readonly status: ManagerStatus }
  /** `fragment` follows the url by which the manager is reached, as `#token=…`. */
  | {
    readonly kind: "dashboard";
    readonly requestId: number;
    readonly fragment: string;
    readonly canAct: boolean;
  }
  /** With `upload` the contents are wanted: no task that has the file starts before. */
  | {
    readonly kind: "declared";
    readonly requestId: number;
    readonly fileId: FileId;
    readonly upload?: FileTicket;
  }
  | { readonly kind: "done"; readonly requestId: number }
  | { readonly kind: "fetched"; readonly requestId: number; readonly file: FileTicket }
  /** Ids of one part are consecutive. */
  | {
    readonly kind: "submitted";
    readonly requestId: number;
    readonly firstId: TaskId;
    readonly count: number;
  }
  /** `failures` are those since the last one, a few at most, with what they wrote last. */
  | {
    readonly kind: "progress";
    readonly requestId: number;
    readonly counts: WaitCounts;
    readonly failures: readonly ClientResult[];
  }
  /** `failures` are the first that did not succeed, at most 100, with what they wrote last. */
  | {
    readonly kind: "waited";
    readonly requestId: number;
    readonly counts: WaitCounts;
    readonly failures: readonly ClientResult[];
  }
  | { readonly kind: "result"; readonly requestId: number; readonly result: ClientResult }
  | { readonly kind: "cancelled"; readonly requestId: number; readonly count: number }
  | {
    readonly kind: "tasks";
    readonly requestId: number;
    readonly tasks: readonly TaskRow[];
    readonly hasMore: boolean;
  }
  | { readonly kind: "workers"; readonly requestId: number; readonly workers: readonly WorkerRow[] }
  | {
    readonly kind: "libraries";
    readonly requestId: number;
    readonly libraries: readonly LibraryRow[];
  }
  | {
    readonly kind: "calls";
    readonly requestId: number;
    /** Of all that fit, of which `calls` is a part. */
    readonly total: number;
    readonly calls: readonly CallRow[];
  }
  | {
    readonly kind: "files";
    readonly requestId: number;
    readonly files: readonly FileRow[];
    readonly hasMore: boolean;
  }
  | {
    readonly kind: "explained";
    readonly requestId: number;
    readonly explanations: readonly Explanation[];
    readonly hasMore: boolean;
  }
  | { readonly kind: "logs"; readonly requestId: number; readonly logs: TaskLogs }
  /** Without a part when the task has ended and nothing is left. */
  | { readonly kind: "followed"; readonly requestId: number; readonly part?: FollowPart };

/** How the tasks of a selection stand. */
export interface WaitCounts {
  readonly total: number;
  readonly pending: number;
  readonly running: number;
  readonly succeeded: number;
  /** Without those cancelled. */
  readonly failed: number;
  readonly cancelled: number;
}

/** One task, as tables show it. */
export interface TaskRow {
  /** Number of the task. */
  readonly id: TaskId;
  /** Where it stands. */
  readonly state: TaskStateName;
  /** Where it stands as its own recovery, while it runs again to remake a lost temp. */
  readonly recovery?: TaskStateName;
  /** Once it has ended. */
  readonly outcome?: Outcome;
  /** The command, cut to 200 characters; `LIBRARY.FUNCTION` of a call. */
  readonly command: string;
  /** The label that it was given. */
  readonly tag?: string;
  /** What it is like, as was said. */
  readonly category?: string;
  /** Of the same: the number of the call. */
  readonly callId?: TaskId;
  /** Of a try of a call of an app: the name of the app. */
  readonly app?: string;
  /** Number of the last try; 0 before the first. */
  readonly try: number;
  /** The worker of its last try. */
  readonly workerId?: WorkerId;
  /** The host of that worker. */
  readonly host?: string;
  /** Status of its process, when it had one. */
  readonly exitCode?: number;
  /** `SIGKILL` and the like, when a signal ended it. */
  readonly signal?: string;
  /** What went wrong; empty when nothing did. */
  readonly message: string;
  /** What its last try was given, once it has ended. */
  readonly allocated?: Resources;
  /** What that used, where it was measured. */
  readonly used?: Usage;
  /** Epoch milliseconds. */
  readonly submittedAtMs: number;
  /** Epoch milliseconds; 0 before. */
  readonly startedAtMs: number;
  /** Epoch milliseconds; 0 before. */
  readonly endedAtMs: number;
}

/** How one task ended; the fields are those of `TaskResult`. */
export interface ClientResult {
  readonly id: TaskId;
  readonly tag?: string;
  readonly category?: string;
  readonly try: number;
  readonly outcome: Outcome;
  readonly exitCode?: number;
  readonly signal?: string;
  readonly mount?: string;
  readonly message: string;
  /** UTF-8, the end of it, at most 64 KiB each. */
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
  readonly workerId?: string;
  readonly host?: string;
  readonly times: TaskTimes;
  readonly requested: ResourceRequest;
  readonly allocated?: Resources;
  readonly used?: Usage;
}

/** One worker, as tables show it. */
export interface WorkerRow {
  /** Its identity, across connections. */
  readonly workerId: WorkerId;
  /** Where it runs. */
  readonly host: string;
  /**
   * `away` is without a connection, expected back; `blocked` as its host is; `draining` is let go
   * when it runs nothing; `out_of_time` must end before anything that waits would.
   */
  readonly state: "connected" | "away" | "leaving" | "blocked" | "draining" | "out_of_time";
  /** What it has. */
  readonly resources: Resources;
  /** Set aside for tasks and libraries. */
  readonly committed: Resources;
  /** What it says that it has besides, as `avx512`. */
  readonly features: readonly string[];
  /** Tries there. */
  readonly tasks: number;
  /** Instances of libraries there. */
  readonly instances: number;
  /** Files that it has. */
  readonly replicas: number;
  /** Bytes of these files. */
  readonly cachedBytes: number;
  /** What files and running tasks hold of its disk, as it said last. */
  readonly diskUsedBytes: number;
}

/** One library, as tables show it. */
export interface LibraryRow {
  /** Unique within its manager. */
  readonly name: string;
  /** What runs in its processes. */
  readonly program: "javascript" | "python" | "command";
  /** Whether each slot has a process, or each call. */
  readonly mode: LibraryMode;
  /** Calls that one instance serves at the same time. */
  readonly slots: number;
  /** Its instances. Those that retire end what they have, and are given no more. */
  readonly instances: {
    readonly starting: number;
    readonly ready: number;
    readonly retiring: number;
  };
  /** Workers that have one. */
  readonly workers: number;
  /** Its calls. What a worker was given and has not started waits. */
  readonly calls: {
    readonly waiting: number;
    readonly running: number;
    readonly done: number;
    /** Those that were cancelled too. */
    readonly failed: number;
  };
  /** Instances that failed since the last time that one was ready. */
  readonly failedStarts: number;
  /** Why it was given up, of one that was. */
  readonly failure?: string;
}

/** One declared file, as tables show it. */
export interface FileRow {
  /** Number of the file. */
  readonly fileId: FileId;
  /** What it was declared as. */
  readonly kind: FileKind;
  /** Absent until it is known. */
  readonly cacheName?: string;
  /** -1 when not known. */
  readonly sizeBytes: number;
  /** How long workers keep it. */
  readonly level: CacheLevel;
  /** Workers that have it. */
  readonly replicas: number;
  /** True when the manager has the contents. */
  readonly isAtManager: boolean;
  /** True when the task that makes it has made other contents of it than before. */
  readonly isNondeterministic?: boolean;
  /** Path; or url, without user, password and query. */
  readonly source?: string;
}

/** What one task wrote. */
export interface TaskLogs {
  /** Number of the task. */
  readonly taskId: TaskId;
  /** Where it stands. */
  readonly state: TaskStateName;
  /** Once it has ended. */
  readonly outcome?: Outcome;
  /** The end of it, at most 64 KiB each. */
  readonly stdout: Uint8Array;
  /** As `stdout`, and apart from it. */
  readonly stderr: Uint8Array;
  /** False when the task has not ended, or too much was written since. */
  readonly isKept: boolean;
}
