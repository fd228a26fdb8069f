/** Everything the manager's core can ask of its shell. */

import type { FileId, SessionId, TaskId, TransferId, WorkerId } from "../../shared/ids.ts";
import type { Resources } from "../../shared/resources.ts";
import type { FetchSource, ManagerMessage } from "../../shared/protocol.ts";
import type { FileFacts, Outcome, TryResult } from "../../shared/task.ts";

/** A source as the core names it; the shell adds ticket, urls and inline bytes. */
export type SourceRef =
  | { readonly kind: "manager"; readonly fileId: FileId }
  | { readonly kind: "worker"; readonly workerId: WorkerId }
  | Extract<FetchSource, { kind: "url" }>;

/** A message whose secrets the shell fills in: a `fetch` without its source. */
export type FetchOrder = Omit<Extract<ManagerMessage, { kind: "fetch" }>, "source">;

/** How a task ended, for whoever waits for it. */
export interface TaskEnd {
  /** The task that ended. */
  readonly taskId: TaskId;
  /** Number of the last try; 0 when there was none. */
  readonly try: number;
  /** How it ended. */
  readonly outcome: Outcome;
  /** One line for a person. Empty on success. */
  readonly message: string;
  /** The worker of its last try. */
  readonly workerId?: WorkerId;
  /** The host of that worker. */
  readonly host?: string;
  /** What its last try was given; absent when there was none, and of calls. */
  readonly allocated?: Resources;
  /** The mount that the outcome is about. */
  readonly mount?: string;
  /** The result of the try that ended the task, when a worker told one. */
  readonly result?: TryResult;
  /** When the task was submitted and last dispatched; 0 when it never was. */
  readonly submittedAtMs: number;
  /** When its last try was given to a worker; 0 when none ever was. */
  readonly dispatchedAtMs: number;
  /** When the manager had all of its result. */
  readonly endedAtMs: number;
}

/** What the shell must do, in order. Those of `durable` kinds wait for the journal. */
export type ManagerInstruction =
  /** The hello of `session` is accepted: send `welcome` before anything else. */
  | { readonly kind: "welcome"; readonly workerId: WorkerId; readonly session: SessionId }
  /** Ordered messages for one connection; one call per step and worker. */
  | {
    readonly kind: "send";
    readonly workerId: WorkerId;
    readonly session: SessionId;
    readonly messages: readonly ManagerMessage[];
    readonly durable: boolean;
  }
  /** Send `order` with a source made of `from`; small manager files ride inline. */
  | {
    readonly kind: "fetch";
    readonly workerId: WorkerId;
    readonly session: SessionId;
    readonly order: FetchOrder;
    readonly from: SourceRef;
  }
  /** Have the worker PUT a file here; `delivery_ended` answers. */
  | {
    readonly kind: "collect";
    readonly deliveryId: number;
    readonly transferId: TransferId;
    readonly workerId: WorkerId;
    readonly session: SessionId;
    readonly fileId: FileId;
    readonly file: FileFacts;
  }
  /** Put contents that rode in a result in place; `delivery_ended` answers. */
  | {
    readonly kind: "store";
    readonly deliveryId: number;
    readonly fileId: FileId;
    readonly file: FileFacts;
    readonly content: Uint8Array;
  }
  /** Remove this copy of a file that lives at workers; nothing is to be served from it any more. */
  | { readonly kind: "unspool"; readonly fileId: FileId; readonly generation: number }
  /** A delivery is off: drop what came of it. No answer. */
  | { readonly kind: "abandon"; readonly deliveryId: number }
  /** The handle of this task settles. */
  | { readonly kind: "settle"; readonly end: TaskEnd; readonly durable: true }
  /** Ask the user what this try costs of the task's `retries`; `retry_decided` answers. */
  | { readonly kind: "ask_retry"; readonly end: TaskEnd }
  /** Answer to `file_requested`; the contents are with the shell when it is delivered. */
  | {
    readonly kind: "file_delivered";
    readonly requestId: number;
    readonly fileId: FileId;
    readonly isDelivered: boolean;
    readonly message: string;
  }
  /** Answer to the event `file_pruned`; with a message when the copies are kept. */
  | {
    readonly kind: "file_pruned";
    readonly requestId: number;
    readonly message: string;
  }
  /** Answer to `file_keep_wanted`: what was kept; with a message when it could not be. */
  | {
    readonly kind: "file_kept";
    readonly requestId: number;
    readonly message: string;
    readonly file?: FileFacts;
  }
  /** The worker said `what`, which cannot be: it is counted, and has no effect. */
  | {
    readonly kind: "refused";
    readonly workerId: WorkerId;
    readonly session: SessionId;
    readonly what: string;
  }
  /** Close this connection; `reason` goes to the peer. */
  | {
    readonly kind: "disconnect";
    readonly workerId: WorkerId;
    readonly session: SessionId;
    readonly reason: string;
  };
