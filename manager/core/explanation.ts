/** Why a task does not run now, as data: what `explain` says. */

import type { CacheName, FileId, TaskId, WorkerId } from "../../shared/ids.ts";
import type { Outcome } from "../../shared/task.ts";
import type { TaskStateName } from "./task_standing.ts";

/** What is known of one task: what would have to change for it to run comes first. */
export interface Explanation {
  /** The task. */
  readonly taskId: TaskId;
  /** Where it stands; of a task that runs again to remake a lost temp, where that run stands. */
  readonly state: TaskStateName;
  /** Never empty. */
  readonly reasons: readonly Reason[];
}

/** A file that a task, or an instance of its library, needs. */
export interface NeededFile {
  /** Number of the file. */
  readonly fileId: FileId;
  /** The mount of an input, of the task or of its library; absent of all other files. */
  readonly mount?: string;
  /** The library whose instances need it: its module or an environment, when it has no mount. */
  readonly library?: string;
  /** True of the module of a library. */
  readonly isModule?: boolean;
}

/** A worker at which no instance of a library is started for now, as one there failed to start. */
export interface PassedWorker {
  /** The worker. */
  readonly workerId: WorkerId;
  /** Where it runs. */
  readonly host: string;
  /** It is passed over for so long yet. */
  readonly leftMs: number;
}

/** A task on which another one waits. */
export interface Producer {
  /** The task. */
  readonly taskId: TaskId;
  /** Where it stands. */
  readonly state: TaskStateName;
  /** Its run to make again what was lost: the first is 1; absent of a task that has not ended. */
  readonly recovery?: number;
}

/** How many workers something is true of. */
export interface OfWorkers {
  /** Workers of which it is true. */
  readonly workerCount: number;
  /** All workers. */
  readonly ofCount: number;
  /** The library of whose instance it is true, not of the task itself. */
  readonly library?: string;
}

/** Why a task is kept from workers; counts are of workers for which it is the first obstacle. */
export type PlaceReason =
  /** None is there. */
  | { readonly kind: "no_worker" }
  /** The policy `waitForWorkers` holds everything back. */
  | { readonly kind: "few_workers"; readonly joinedCount: number; readonly wantedCount: number }
  /** More of a resource is asked for than they have; `most` is the most that any worker has. */
  | OfWorkers & {
    readonly kind: "resource";
    readonly resource: string;
    readonly amount: number;
    readonly most: number;
  }
  /** They lack the feature; `holderCount` of all workers have it. */
  | OfWorkers & {
    readonly kind: "feature";
    readonly feature: string;
    readonly holderCount: number;
  }
  /** They have to end before the task would; the one with most time left has `mostMs`. */
  | OfWorkers & { readonly kind: "time"; readonly neededMs: number; readonly mostMs: number }
  /** They could run it, and others hold what it needs; `resource` is what lacks at most of them. */
  | OfWorkers & { readonly kind: "busy"; readonly resource: string }
  /** Instances did not start there: `workers`, the first few of them, are passed over for a while. */
  | OfWorkers & { readonly kind: "passed_over"; readonly workers: readonly PassedWorker[] }
  /** They have room, and are kept for others that found none for a long time. */
  | OfWorkers & { readonly kind: "kept" }
  /** Without a connection; the first is lost unless it is back within `leftMs`. */
  | OfWorkers & { readonly kind: "away"; readonly leftMs: number }
  /** They said that they leave. */
  | OfWorkers & { readonly kind: "leaving" }
  /** They gave a task back for want of disk, and take no other before one there ends. */
  | OfWorkers & { readonly kind: "crowded" }
  /** Their hosts, of which `host` is one, are blocked: for `leftMs` more, or by hand. */
  | OfWorkers & {
    readonly kind: "blocked";
    readonly host: string;
    readonly hostCount: number;
    readonly leftMs?: number;
  }
  /** They are drained, and let go when they run nothing. */
  | OfWorkers & { readonly kind: "draining" }
  /** As many tries of its category are at workers as may be: `maxConcurrent`. */
  | {
    readonly kind: "category_full";
    readonly category: string;
    readonly runningCount: number;
    readonly maxConcurrent: number;
  }
  /** Ready tasks that are dispatched sooner: alike ones, and of other classes. Counted to a limit. */
  | { readonly kind: "queue"; readonly alikeCount: number; readonly otherCount: number }
  /** Nothing: the next pass of the scheduler places it. */
  | { readonly kind: "placed_next" }
  /** Instances have free slots, and their workers no room for what it states beside them. */
  | {
    readonly kind: "call_room";
    readonly library: string;
    /** What lacks at most of them, of which it states so much. */
    readonly resource: string;
    readonly amount: number;
    readonly workerCount: number;
  }
  /** All slots of the instances of its library are taken, with what may wait for them. */
  | {
    readonly kind: "slots";
    readonly library: string;
    readonly slotCount: number;
    readonly callCount: number;
  }
  /** So many instances of its library start, at so many workers; the first since `forMs`. */
  | {
    readonly kind: "instances_starting";
    readonly library: string;
    readonly instanceCount: number;
    readonly workerCount: number;
    readonly forMs: number;
  }
  /** Instances failed in a row; after `mostCount` the library is given up. The last said `message`. */
  | {
    readonly kind: "instances_failed";
    readonly library: string;
    readonly failureCount: number;
    readonly mostCount: number;
    readonly message: string;
  }
  /**
   * Instances of `libraries` hold the room, and leave for its sake: when their turn is over in
   * `leftMs`, which is absent while that is not known; they do so now when `isLeaving`.
   */
  | {
    readonly kind: "turn";
    readonly libraries: readonly string[];
    readonly isLeaving: boolean;
    readonly leftMs?: number;
  };

/** Why an input cannot be had yet. */
export type InputReason =
  /** Its name is not known: a local file is read, a url is asked. */
  | {
    readonly kind: "input_unbound";
    readonly file: NeededFile;
    readonly origin: "local" | "url" | "made";
  }
  /** No task that makes it was submitted, or none does any more. */
  | { readonly kind: "input_unmade"; readonly file: NeededFile }
  /**
   * An earlier workflow had it kept and no worker has it: it is waited for `leftMs` more, or until
   * workers are there.
   */
  | {
    readonly kind: "input_kept";
    readonly file: NeededFile;
    readonly name: CacheName;
    readonly leftMs?: number;
  }
  /**
   * A task makes it: the first of `chain`, which waits for the second, and so on; `root` says what
   * the last of them waits for, unless it runs or the chain is cut.
   */
  | {
    readonly kind: "input_made";
    readonly file: NeededFile;
    readonly chain: readonly Producer[];
    readonly root?: Reason;
  }
  /** Further inputs that cannot be had yet. */
  | { readonly kind: "more_inputs"; readonly count: number };

/** Who a copy of an input comes from. */
export interface CopySource {
  /** By which way; a recipe has it made at the worker itself. */
  readonly kind: "manager" | "url" | "worker" | "recipe";
  /** Of a worker. */
  readonly workerId?: WorkerId;
  /** Transfers that it serves; absent of a recipe. */
  readonly activeCount?: number;
  /** As many as it serves at a time; absent of a recipe. */
  readonly slotCount?: number;
  /** It failed, and is not asked again for so long. */
  readonly asideMs?: number;
}

/** What a task waits for that was given to a worker. */
export type TryReason =
  /** The input comes, or is made there, since `forMs`. */
  | {
    readonly kind: "input_coming";
    readonly file: NeededFile;
    readonly from: CopySource;
    readonly forMs: number;
    /** -1 when not known. */
    readonly sizeBytes: number;
    /** Attempts that failed before. */
    readonly attemptCount: number;
  }
  /** Nobody who has the input may send it now; `queueCount` copies of it wait. */
  | {
    readonly kind: "input_queued";
    readonly file: NeededFile;
    readonly sources: readonly CopySource[];
    readonly queueCount: number;
    /** Its holders that are without a connection. */
    readonly awayCount: number;
  }
  /** The copy failed that often, and is tried again. */
  | { readonly kind: "input_again"; readonly file: NeededFile; readonly attemptCount: number }
  /** No holder can be asked for it: it comes by way of the manager. */
  | { readonly kind: "input_detour"; readonly file: NeededFile }
  /** Other tasks hold what it needs there: so many run, wait before it, or are being stopped. */
  | {
    readonly kind: "room";
    readonly runningCount: number;
    readonly beforeCount: number;
    readonly stoppingCount: number;
  }
  /** What comes to the worker is more than its disk has free. */
  | { readonly kind: "disk"; readonly freeBytes: number; readonly comingBytes: number }
  /** Its worker is asked to give it back, for another that is free. */
  | { readonly kind: "recalled" }
  /** Its worker is without a connection, and lost unless it is back within `leftMs`. */
  | { readonly kind: "worker_away"; readonly leftMs: number }
  /** The instance that is to serve it starts since `forMs`; undefined while one that was there ends. */
  | { readonly kind: "instance"; readonly library: string; readonly forMs?: number }
  /** All is there: its worker starts it. */
  | { readonly kind: "starting" }
  /** It runs since `forMs`. */
  | { readonly kind: "running"; readonly forMs: number }
  /** An output is brought to the manager or a url; `queueCount` others go before it. */
  | {
    readonly kind: "output";
    readonly mount: string;
    readonly to: "manager" | "url";
    readonly isQueued: boolean;
    readonly queueCount: number;
  };

/** Why a task does not run now, or how it does. */
export type Reason =
  | PlaceReason
  | InputReason
  | TryReason
  /** It was submitted a moment ago, or is one of many that are taken up in turn. */
  | { readonly kind: "not_seen" }
  | { readonly kind: "start_after"; readonly leftMs: number }
  /** Its last try failed, and the next one is not at once. */
  | { readonly kind: "back_off"; readonly leftMs: number; readonly failureCount: number }
  /** It runs only where these inputs are; what keeps it from those workers follows. */
  | {
    readonly kind: "strict_input";
    readonly mounts: readonly string[];
    /** Workers that have all of them now. */
    readonly holderCount: number;
  }
  /** The script is asked whether the try that failed is to be repeated. */
  | { readonly kind: "retry_asked"; readonly outcome: Outcome }
  /** Values of these tasks, and perhaps of more, are among its arguments: `count` in all. */
  | { readonly kind: "arguments"; readonly taskIds: readonly TaskId[]; readonly count: number }
  /** Cancelled with many others: it ends as soon as it is its turn. */
  | { readonly kind: "called_off" }
  /** At which worker it is. */
  | {
    readonly kind: "at_worker";
    readonly workerId: WorkerId;
    readonly host: string;
    readonly try: number;
    readonly forMs: number;
  }
  /** It has ended, and runs again to remake lost temps: so many times, of as many as may be. */
  | { readonly kind: "recovery"; readonly count: number; readonly mostCount: number }
  /** How it ended. */
  | {
    readonly kind: "ended";
    readonly outcome: Outcome;
    readonly message: string;
    readonly try: number;
  };
