/** Identifiers. Branded, so that passing one kind for another does not compile. */

/** Number of a task, unique within one manager, counted from 1. A function call is a task. */
export type TaskId = number & { readonly brand: "TaskId" };

/**
 * Number of a declared file, unique within one manager, counted from 1; of the value of a call it
 * follows from the number of that. Never on the wire.
 */
export type FileId = number & { readonly brand: "FileId" };

/** Number of a transfer, unique within one manager, counted from 1. */
export type TransferId = number & { readonly brand: "TransferId" };

/** Number of a library instance, unique within one manager, counted from 1. */
export type InstanceId = number & { readonly brand: "InstanceId" };

/** Number of a wish to keep a file, unique within one manager, counted from 1. */
export type KeepId = number & { readonly brand: "KeepId" };

/** Number of a look at a running try, unique within one manager, counted from 1. */
export type WatchId = number & { readonly brand: "WatchId" };

/** Identity a worker keeps in its workspace, across connections and processes. */
export type WorkerId = string & { readonly brand: "WorkerId" };

/** Name of a file in every cache. Checked by `checkCacheName` before it becomes a path. */
export type CacheName = string & { readonly brand: "CacheName" };

/** Name of one connection between a manager and a worker, chosen by the manager. */
export type SessionId = string & { readonly brand: "SessionId" };
