/** What the manager knows of libraries, of their instances, and of those of one library at one worker. */

import type { InstanceId } from "../../shared/ids.ts";
import type { CapacityIndex, CapacityPlace } from "./capacity_index.ts";
import type { LibrarySpec } from "./event.ts";
import type { TaskClass, WorkerRecord } from "./state.ts";

/** A library at one worker. */
export interface ServiceRecord {
  /** In the library's index of free slots. */
  readonly place: CapacityPlace;
  readonly library: LibraryRecord;
  readonly worker: WorkerRecord;
  /** Slots of instances that start or are ready. */
  slotCount: number;
  /** Calls dispatched there and not ended. */
  callCount: number;
  /** Since when there is an instance that is ready; undefined while there is none. */
  servesSinceMs: number | undefined;
  /** Since when it has an instance more than its calls need; undefined while it has not. */
  spareSinceMs: number | undefined;
  /** Most calls at a time since then. */
  peakCount: number;
  /** When it is looked at for instances that were idle for too long; 0 when that is not planned. */
  idleLookAtMs: number;
}

/** Starts of a library that failed at one worker, one after the other. */
export interface FailedStarts {
  count: number;
  /** Others are tried before that. */
  againAtMs: number;
}

/** A declared library. */
export interface LibraryRecord {
  readonly spec: LibrarySpec;
  readonly services: Map<WorkerRecord, ServiceRecord>;
  /** Services by free slots. */
  readonly index: CapacityIndex<ServiceRecord>;
  /** Calls of which a try runs; that ended well; that ended otherwise. */
  readonly calls: { running: number; done: number; failed: number };
  /** Failures since an instance was ready the last time. */
  failureCount: number;
  /** Where these were, as a message tells it; no more than are told. */
  readonly failedPlaces: Set<string>;
  /** What the last failure said, in its first characters; empty when there was none of late. */
  lastFailure: string;
  readonly failedStarts: Map<WorkerRecord, FailedStarts>;
  /** Calls in the table of tasks, those that may have to make their values again too. */
  useCount: number;
  /** It is forgotten with the last of them. */
  isUndeclared: boolean;
  /** Given up: what its calls fail with. */
  failure: string | undefined;
  readonly instances: Set<InstanceRecord>;
  /** Those of them that start or are ready. */
  activeCount: number;
  /** Moving mean of what a start takes, files and room apart; 0 before the first. */
  startMs: number;
  /** When the last of its instances left for the sake of others; -Infinity when none did. */
  madeWayAtMs: number;
  /** No worker had room for one that is to be kept: those that have changed since are looked at. */
  isAheadBlocked: boolean;
  /** Something waits for an instance, of whose files one cannot be had. */
  isAwaitingFiles: boolean;
}

/** One instance of a library at a worker. */
export interface InstanceRecord {
  readonly instanceId: InstanceId;
  readonly library: LibraryRecord;
  readonly worker: WorkerRecord;
  /** One that retires is given no more calls, and stops once those that it has have ended. */
  state: "starting" | "ready" | "retiring" | "stopping";
  /** When it was started. */
  readonly startedAtMs: number;
  /** The class for whose sake it leaves, while it does. */
  makesWayFor: TaskClass | undefined;
}
