/** Everything that can change the worker's state. `atMs` is monotonic, in milliseconds. */

import type { CacheName, InstanceId, KeepId, TaskId, TransferId } from "../../shared/ids.ts";
import type { ManagerMessage } from "../../shared/protocol.ts";
import type {
  CacheLevel,
  Exceeded,
  FileFacts,
  LastingLevel,
  TryResult,
} from "../../shared/task.ts";

/** A file found in the cache when the worker started. */
export interface CachedFile extends FileFacts {
  readonly level: CacheLevel;
  /** True when this worker brought it, for an earlier manager: it counts against its disk. */
  readonly isOwn?: boolean;
}

/** Where others find the files of this worker. */
export interface PeerAddress {
  /** Base urls, best first; none when it serves nobody. */
  readonly urls: readonly string[];
  /** PEM, of `https:` urls: the only one to accept. */
  readonly certificate?: string;
}

/** The end of one call in a library instance. */
export interface CallEnd {
  readonly taskId: TaskId;
  readonly try: number;
  readonly result: TryResult;
}

/** What happened. The shell makes these; `step` applies them. */
export type WorkerEvent =
  /** The challenge is passed; the core answers with `hello`. `peer` is for this connection. */
  | { readonly kind: "connection_opened"; readonly peer: PeerAddress }
  | { readonly kind: "connection_closed" }
  | { readonly kind: "message_received"; readonly message: ManagerMessage }
  /** The try's process has ended, its inputs were checked and its outputs are in the cache. */
  | {
    readonly kind: "task_ended";
    readonly result: TryResult;
    /** Inputs found modified; they are out of the cache. */
    readonly modified: readonly CacheName[];
  }
  /** A look into the sandbox of a running try found that much in it, less what is linked there. */
  | {
    readonly kind: "sandbox_measured";
    readonly taskId: TaskId;
    readonly try: number;
    readonly bytes: number;
  }
  /** A look at the processes of a running try found that much in memory. */
  | {
    readonly kind: "memory_measured";
    readonly taskId: TaskId;
    readonly try: number;
    readonly bytes: number;
  }
  /** A look at an instance found that much in its directory, or in the memory of its processes. */
  | {
    readonly kind: "instance_measured";
    readonly instanceId: InstanceId;
    readonly resource: "memory" | "disk";
    readonly bytes: number;
  }
  /** An instance is beyond what its library states. */
  | {
    readonly kind: "instance_exceeded";
    readonly instanceId: InstanceId;
    readonly exceeded: Exceeded;
  }
  | {
    readonly kind: "calls_ended";
    readonly ends: readonly CallEnd[];
    /** Of a call that stands alone: its files that were found modified; they are out of the cache. */
    readonly modified?: readonly CacheName[];
  }
  /** The file is in the cache, or it is not. */
  | {
    readonly kind: "transfer_ended";
    readonly transferId: TransferId;
    readonly name: CacheName;
    readonly generation: number;
    readonly movedBytes: number;
    readonly outcome:
      | {
        readonly kind: "ready";
        readonly file: FileFacts;
        /** True of what another worker keeps for ever, which takes nothing of this one's disk. */
        readonly isFound?: boolean;
      }
      | {
        readonly kind: "failed";
        readonly message: string;
        readonly canRetry: boolean;
        /** True when no address of the source could be reached, or proved to be the source. */
        readonly isUnreachable?: boolean;
        /** True when the disk, or what there is room for on it, was full. */
        readonly isDiskFull?: boolean;
        /** True when the source broke off, stood still or could not serve. */
        readonly isSourceFault?: boolean;
        /** Of the file, held on the disk for the next attempt. */
        readonly keptBytes?: number;
        /** True when the bytes that came are not those that were asked for. */
        readonly isCorrupt?: boolean;
        /** True when a url has other contents than those that were named, or came before. */
        readonly isModified?: boolean;
      };
    /** Inputs that a command which made it was found to have written to; they are out of the cache. */
    readonly modified?: readonly CacheName[];
  }
  /** The bytes of a file of the cache were looked at: for `verify_file`, or as they were sent. */
  | {
    readonly kind: "file_verified";
    readonly name: CacheName;
    readonly generation: number;
    readonly isIntact: boolean;
  }
  /** The end of a wish to keep a file. */
  | {
    readonly kind: "file_kept";
    readonly keepId: KeepId;
    readonly outcome:
      | {
        readonly kind: "kept";
        readonly file: FileFacts;
        readonly level: LastingLevel;
        /** True of what another worker keeps for ever, which takes nothing of this one's disk. */
        readonly isFound: boolean;
        /** The file of this cache that has its bytes: absent of a copy. */
        readonly source?: Pick<FileFacts, "name" | "generation">;
      }
      | { readonly kind: "failed"; readonly message: string };
  }
  /** What was to be sent to a url is there. */
  | { readonly kind: "stored"; readonly transferId: TransferId }
  | {
    readonly kind: "send_failed";
    readonly transferId: TransferId;
    readonly message: string;
    /** True when another time will do no better. */
    readonly isFinal: boolean;
  }
  | { readonly kind: "instance_ready"; readonly instanceId: InstanceId }
  | {
    readonly kind: "instance_gone";
    readonly instanceId: InstanceId;
    readonly reason: "stopped" | "start_failed" | "died";
    readonly message: string;
  }
  /** Told to leave by a signal or a limit of its own. */
  | { readonly kind: "leave_requested"; readonly reason: string }
  /** Time passed: `nextWakeAtMs` was reached. */
  | { readonly kind: "tick" };

/** An event with its instant. */
export type TimedEvent = WorkerEvent & { readonly atMs: number };
