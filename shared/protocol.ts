/**
 * Every message between manager and worker; `DESIGN` calls it the wire. A frame
 * carries an array of messages of one direction (codec.ts). A connection is
 * ordered and reliable until it breaks; then an unknown tail of both directions
 * is lost, and `hello` with `reconcile` repairs it. Nothing is retried per message.
 *
 * @module
 */

import type {
  CacheName,
  InstanceId,
  KeepId,
  SessionId,
  TaskId,
  TransferId,
  WatchId,
  WorkerId,
} from "./ids.ts";
import { type LibraryMode, type LibraryProgram, moduleFiles } from "./library.ts";
import type { Resources } from "./resources.ts";
import type {
  CacheLevel,
  FileFacts,
  InputMount,
  LastingLevel,
  OutputMount,
  TaskBody,
  TaskShape,
  TryId,
  TryResult,
} from "./task.ts";

/** Raised with every change that an older side would misread. */
export const PROTOCOL_VERSION = 7;

/** Contents up to this size ride in messages; larger ones are HTTP bodies. */
export const INLINE_BYTES_MAX: number = 64 * 1024;

/** What is kept of each output stream of a task: its end. */
export const STREAM_KEPT_BYTES: number = 64 * 1024;

/** Samples of the use of one try that are kept; with more, every other one goes. */
export const SERIES_SAMPLES_MAX = 512;

/** A value of a function call up to this size rides in its result. */
export const VALUE_BYTES_MAX: number = 16 * INLINE_BYTES_MAX;

/** What one `piece` of a watched file carries at most. */
export const PIECE_BYTES_MAX: number = 64 * 1024;

/** What may be under way of one watch, but for the last pieces of an ended try. */
export const WATCH_CREDIT_BYTES: number = 256 * 1024;

/** What a watch says once its try has ended, whether or not there is credit. */
export const WATCH_LAST_BYTES: number = STREAM_KEPT_BYTES;

/** A certificate in PEM, with the chain that it may have, at most. */
export const CERTIFICATE_CHARS_MAX: number = 16 * 1024;

/** One task of a `dispatch`. */
export interface DispatchedTask extends TryId {
  /** Index into the message's `shapes`. */
  readonly shape: number;
  /** Larger first among the tries that wait at the worker. */
  readonly priority: number;
  readonly body: TaskBody;
  readonly inputs: readonly InputMount[];
  readonly outputs: readonly OutputMount[];
  /** Inputs are copied, not linked: one of them was written to while an earlier try shared it. */
  readonly hasOwnInputs?: boolean;
  /** Of a call: its value becomes a file however small it is, as it was one before. */
  readonly hasValueFile?: boolean;
}

/** Where a worker finds the bytes of a file. */
export type FetchSource =
  | { readonly kind: "inline"; readonly bytes: Uint8Array }
  /** `GET /files/NAME` of the manager. */
  | { readonly kind: "manager"; readonly ticket: string }
  /** `GET /files/NAME` of a worker, whose base urls are tried in order. */
  | {
    readonly kind: "worker";
    readonly workerId: WorkerId;
    readonly urls: readonly string[];
    readonly ticket: string;
    /** PEM, of a server that speaks TLS: the only one to be accepted. */
    readonly certificate?: string;
  }
  | {
    readonly kind: "url";
    readonly url: string;
    /** What its server must say of the contents, by which they were named: url/validator.ts. */
    readonly validator?: string;
  };

/** Where a worker sends a file. */
export type SendTarget =
  /** PUT to the manager, which knows when it is there. */
  | { readonly kind: "manager"; readonly ticket: string }
  /** Written beside its path and renamed, or PUT; answered by `stored`. */
  | {
    readonly kind: "url";
    readonly url: string;
    /** Permissions of a `file:` url. */
    readonly mode?: number;
  };

/** How a worker makes a file out of others. */
export type Recipe =
  /** Unpack the archive `input` into a directory; an environment is used in place, never copied. */
  | { readonly kind: "unpack"; readonly input: CacheName }
  | { readonly kind: "environment"; readonly input: CacheName }
  | CommandRecipe;

/** Run a command as a task's is run: what it leaves at `mount`, file or directory, is the file. */
export interface CommandRecipe {
  readonly kind: "command";
  readonly command: string;
  readonly env: { readonly [name: string]: string };
  readonly resources: Resources;
  /** Wall time after which the command is stopped; 0 is none. */
  readonly timeoutMs: number;
  readonly mount: string;
  readonly inputs: readonly { readonly mount: string; readonly name: CacheName }[];
  readonly environments: readonly CacheName[];
}

/** What grows while a try runs: what it writes to a stream, or the file at a mount. */
export type GrowingSource =
  | { readonly kind: "stream"; readonly stream: "stdout" | "stderr" }
  | { readonly kind: "mount"; readonly mount: string };

/** Why a watch is over; `ended` is the end of its try. */
export type WatchEnd = "ended" | "shrunk" | "replaced" | "special" | "unreadable" | "too_many";

/** What an instance of a library is started with. */
export interface LibraryDefinition {
  readonly name: string;
  readonly program: LibraryProgram;
  readonly mode: LibraryMode;
  /** Name of the function that is run once when a process starts; empty is none. */
  readonly context: string;
  /** What that function is given, encoded as the arguments of a call. */
  readonly contextArguments: Uint8Array;
  /** Calls served at the same time by one instance. */
  readonly slots: number;
  readonly resources: Resources;
  readonly env: { readonly [name: string]: string };
  readonly environments: readonly CacheName[];
  /**
   * Files in the directory of each process; those without a mount are the files among the context
   * function's arguments, by index.
   */
  readonly inputs: readonly InputMount[];
}

/** Manager to worker. */
export type ManagerMessage =
  /** The answer to `hello`; the session is open. */
  | {
    readonly kind: "welcome";
    readonly managerId: string;
    /** Grows with each start of the same manager. */
    readonly epoch: number;
    readonly session: SessionId;
    /** Key for the tickets that this worker's peer server must honour, sealed by the channel. */
    readonly transferKey: Uint8Array;
    /** Silence after which either side sends a `heartbeat`. */
    readonly heartbeatMs: number;
    /** Manager time, epoch milliseconds, against which tickets expire. */
    readonly atMs: number;
  }
  /** What of the hello stands. Sent once, right after `welcome`. */
  | {
    readonly kind: "reconcile";
    readonly tries: readonly (TryId & { readonly verdict: "keep" | "kill" })[];
    /** `resend` asks for the whole result; `keep` holds it until it is acknowledged. */
    readonly results: readonly (TryId & {
      readonly verdict: "resend" | "keep" | "acknowledge" | "discard";
    })[];
    readonly replicas: readonly {
      readonly name: CacheName;
      readonly generation: number;
      readonly verdict: "keep" | "delete";
    }[];
    readonly instances: readonly {
      readonly instanceId: InstanceId;
      readonly verdict: "keep" | "stop";
    }[];
  }
  /** Run these when their inputs are in the cache and there is room. */
  | {
    readonly kind: "dispatch";
    readonly shapes: readonly TaskShape[];
    readonly tasks: readonly DispatchedTask[];
  }
  /** Give this try back unless it has started; answered by `recalled` or its result. */
  | { readonly kind: "recall"; readonly taskId: TaskId; readonly try: number }
  /** Stop this try; answered by its result, whatever it is by then. */
  | { readonly kind: "kill"; readonly taskId: TaskId; readonly try: number }
  /** The result is safe: forget it. */
  | { readonly kind: "result_ack"; readonly tries: readonly TryId[] }
  /** Bring this file into the cache; answered by `replica_ready` or `transfer_failed`. */
  | {
    readonly kind: "fetch";
    readonly transferId: TransferId;
    readonly name: CacheName;
    readonly generation: number;
    /** -1 when not known, as of a url. */
    readonly sizeBytes: number;
    /** SHA-256 in hexadecimal; empty when not known. */
    readonly digest: string;
    readonly isDirectory: boolean;
    readonly isExecutable: boolean;
    readonly level: CacheLevel;
    /** Silence after which the source is given up. */
    readonly stallMs: number;
    readonly source: FetchSource;
  }
  /** Make this file once its input is in the cache; answered as `fetch` is. */
  | {
    readonly kind: "make";
    readonly transferId: TransferId;
    readonly name: CacheName;
    readonly level: CacheLevel;
    readonly recipe: Recipe;
  }
  /** Send this file there; a failure is answered by `send_failed`. */
  | {
    readonly kind: "send";
    readonly transferId: TransferId;
    readonly name: CacheName;
    readonly generation: number;
    readonly to: SendTarget;
  }
  /** Nobody waits for that `send` to a url any more. */
  | { readonly kind: "stop_send"; readonly transferId: TransferId }
  /** All that may go of what `room_wanted` named was told before this to be deleted. */
  | { readonly kind: "room_answered" }
  /**
   * Look whether the bytes of this file are what they were: answered by `replica_verified`, or by
   * `replica_gone` when they are not. Until then nothing starts here that reads it.
   */
  | { readonly kind: "verify"; readonly name: CacheName; readonly generation: number }
  /**
   * Keep this file beyond the workflow under the name of its contents, whatever becomes of the name
   * that it has: answered by `kept` or `keep_failed`. It may be told again after a break.
   */
  | {
    readonly kind: "keep";
    readonly keepId: KeepId;
    readonly name: CacheName;
    readonly generation: number;
    readonly level: LastingLevel;
  }
  /** Remove this file from the cache; answered by `replica_gone`. */
  | { readonly kind: "delete"; readonly name: CacheName; readonly generation: number }
  /** Start an instance when there is room; answered by `instance_ready` or `instance_gone`. */
  | {
    readonly kind: "start_instance";
    readonly instanceId: InstanceId;
    readonly library: LibraryDefinition;
  }
  /** Stop an instance and what runs in it; answered by `instance_gone`. */
  | {
    readonly kind: "stop_instance";
    readonly instanceId: InstanceId;
    /** It is given no more calls, and stops once those that it has have ended. */
    readonly isRetiring?: boolean;
  }
  /**
   * Tell what this running try adds to `source`, from `fromByte` on: `piece`s as long as there is
   * credit, then `watch_ended`. It ends with its connection, too.
   */
  | {
    readonly kind: "watch";
    readonly watchId: WatchId;
    readonly taskId: TaskId;
    readonly try: number;
    readonly source: GrowingSource;
    readonly fromByte: number;
    readonly creditBytes: number;
    /** What is far behind goes on near the end; else it is told in order, without a gap. */
    readonly canSkip: boolean;
  }
  /** So much of what was told is read: as much more may be under way. */
  | { readonly kind: "watch_credit"; readonly watchId: WatchId; readonly bytes: number }
  | { readonly kind: "unwatch"; readonly watchId: WatchId }
  | { readonly kind: "heartbeat" }
  /** The workflow is over, or the manager wants this worker no more: end all, leave. */
  | { readonly kind: "release"; readonly reason: string };

/** The state of a try as its worker knows it. */
export type TryPhase = "staging" | "running";

/** Worker to manager. */
export type WorkerMessage =
  /** First message of a connection, after the challenge. */
  | {
    readonly kind: "hello";
    readonly protocol: number;
    readonly version: string;
    readonly workerId: WorkerId;
    /** Random per process. */
    readonly incarnation: string;
    /** Session of the last welcome; absent at first. */
    readonly session?: SessionId;
    readonly host: string;
    readonly pid: number;
    readonly resources: Resources;
    readonly features: readonly string[];
    /** Time until it has to end, as of its batch system; absent when there is no such limit. */
    readonly leftMs?: number;
    /** Base urls of the peer server, best first. */
    readonly urls: readonly string[];
    /** PEM, of the peer server when it speaks TLS. */
    readonly certificate?: string;
    readonly tries: readonly (TryId & { readonly phase: TryPhase })[];
    /** Results not acknowledged yet. */
    readonly results: readonly TryId[];
    readonly replicas: readonly (FileFacts & { readonly level: CacheLevel })[];
    readonly instances: readonly {
      readonly instanceId: InstanceId;
      readonly library: string;
      readonly isReady: boolean;
    }[];
  }
  /** These tries run; said only of those that do not end in the same turn. */
  | { readonly kind: "tries_started"; readonly tries: readonly TryId[] }
  | {
    readonly kind: "recalled";
    readonly taskId: TaskId;
    readonly try: number;
    /** Given back unasked: its files have no room on the disk beside those of other tries. */
    readonly isCrowded?: boolean;
  }
  /** Kept by the worker until `result_ack`. */
  | { readonly kind: "result"; readonly result: TryResult }
  /** The same of several; the link makes it of those that follow one another. */
  | { readonly kind: "results"; readonly results: readonly TryResult[] }
  | {
    readonly kind: "replica_ready";
    readonly transferId: TransferId;
    readonly file: FileFacts;
    /** Bytes that came over the network for it. */
    readonly movedBytes: number;
  }
  | {
    readonly kind: "transfer_failed";
    readonly transferId: TransferId;
    readonly name: CacheName;
    readonly generation: number;
    readonly message: string;
    /** True when another source or another time may do better. */
    readonly canRetry: boolean;
    /** True when none of the source's addresses could be reached, or proved to be the source. */
    readonly isUnreachable?: boolean;
    /** True when it has no room within the worker's disk. */
    readonly isDiskFull?: boolean;
    /** True when a url has other contents now than those that were named, or came before. */
    readonly isModified?: boolean;
    /** True when the bytes that came are not those of the size and digest that were asked for. */
    readonly isCorrupt?: boolean;
    /** True when the source broke off, stood still or could not serve. */
    readonly isSourceFault?: boolean;
    /** Bytes that came over the network all the same. */
    readonly movedBytes?: number;
  }
  /** The disk is full: which of these, idle here for long, may go? `room_answered` answers. */
  | {
    readonly kind: "room_wanted";
    /** Least recently used first. */
    readonly files: readonly { readonly name: CacheName; readonly generation: number }[];
  }
  /** What files and running tasks hold of its disk now; a new connection begins with 0. */
  | { readonly kind: "disk_used"; readonly usedBytes: number }
  /** Not in the cache any more: deleted as told, evicted, or found damaged. */
  | { readonly kind: "replica_gone"; readonly name: CacheName; readonly generation: number }
  /** The bytes were looked at and are what they were. */
  | { readonly kind: "replica_verified"; readonly name: CacheName; readonly generation: number }
  /** The file has that name as well, named by its contents, and stays at that level. */
  | {
    readonly kind: "kept";
    readonly keepId: KeepId;
    readonly file: FileFacts;
    readonly level: LastingLevel;
  }
  | { readonly kind: "keep_failed"; readonly keepId: KeepId; readonly message: string }
  /** What was to be sent to a url is there. */
  | { readonly kind: "stored"; readonly transferId: TransferId }
  | {
    readonly kind: "send_failed";
    readonly transferId: TransferId;
    readonly message: string;
    /** True when another time will do no better. */
    readonly isFinal?: boolean;
  }
  | {
    readonly kind: "instance_ready";
    readonly instanceId: InstanceId;
    /** How long its start took; absent where its start was not seen. */
    readonly startMs?: number;
  }
  /** Ended as told, failed to start, or died. `message` holds its own last output. */
  | {
    readonly kind: "instance_gone";
    readonly instanceId: InstanceId;
    readonly reason: "stopped" | "start_failed" | "died";
    readonly message: string;
  }
  /** What a watched file has at `atByte`; a gap before it was skipped. */
  | {
    readonly kind: "piece";
    readonly watchId: WatchId;
    readonly atByte: number;
    readonly bytes: Uint8Array;
  }
  /** The last of a watch. */
  | { readonly kind: "watch_ended"; readonly watchId: WatchId; readonly reason: WatchEnd }
  | {
    readonly kind: "heartbeat";
    /** What its peer server turned away since the last one; absent when nothing. */
    readonly refused?: number;
  }
  /** About to end on its own account; what it still runs is handed back uncounted. */
  | { readonly kind: "leaving"; readonly reason: string };

/** What the cache must have for an instance: module, environments and inputs. */
export function filesOfLibrary(library: LibraryDefinition): CacheName[] {
  const { program, environments, inputs } = library;
  return [...moduleFiles(program), ...environments, ...inputs.map(({ name }) => name)];
}
