/** The worker's tables. Only `step` changes them. */

import type {
  CacheName,
  InstanceId,
  KeepId,
  SessionId,
  TransferId,
  WorkerId,
} from "../../shared/ids.ts";
import { type Heap, newHeap } from "../../shared/heap.ts";
import type {
  DispatchedTask,
  LibraryDefinition,
  ManagerMessage,
  WorkerMessage,
} from "../../shared/protocol.ts";
import type { OrderedQueue } from "../../shared/ordered_queue.ts";
import { NO_RESOURCES, type Resources } from "../../shared/resources.ts";
import type { CacheLevel, FileFacts, TaskShape, TryResult } from "../../shared/task.ts";
import { type DevicePool, type HeldDevices, newDevicePool } from "./device.ts";
import type { CachedFile } from "./event.ts";
import type { WorkerInstruction } from "./instruction.ts";

/** The key of a try in every table: see `tryKey`. */
export type TryKey = number;

/** What waits for files: a try, an instance or a recipe. */
export type Waiter = TryRecord | InstanceRecord | TransferRecord;

/** `staging -> queued -> running`; back to staging when an input is lost. */
export type TryState =
  /** `missing` inputs are not in the cache; at least 1. */
  | { readonly kind: "staging"; missing: number }
  /** All inputs are there; in a queue for room or for a slot. */
  | { readonly kind: "queued" }
  /** A process or a call; `instance` of a call. */
  | { readonly kind: "running"; readonly instance?: InstanceRecord };

/** Why a running try is stopped: nobody wants it, its time is up, or it uses more than there is. */
export type StopReason = "cancelled" | "timeout" | "disk_full" | "resources_exhausted";

/** One try that was dispatched here and has not ended. */
export interface TryRecord {
  readonly kind: "try";
  readonly key: TryKey;
  readonly task: DispatchedTask;
  readonly shape: TaskShape;
  readonly receivedAtMs: number;
  /** Order of arrival, to break ties of priority. */
  readonly order: number;
  state: TryState;
  /** Why it was told to stop; its result is on its way. */
  stopReason: StopReason | undefined;
  /** What its result says when it was stopped because of the disk. */
  stopMessage: string;
  /** Another try that shared an input with this one found it modified. */
  isTainted: boolean;
  /** Reserved of the disk while it runs. */
  diskBytes: number;
  /** Found in its sandbox when it was last looked at; 0 before that. */
  writtenBytes: number;
  /** Its processes had in memory when they were last looked at; 0 before that. */
  memoryBytes: number;
  /** While it runs. */
  devices: HeldDevices;
  /** Ended or recalled: entries of it in queues are stale. */
  isGone: boolean;
}

/** A committed file. */
export interface CacheRecord extends CachedFile {
  /** What it takes of the worker's disk: 0 of what others brought, and of one of two names. */
  ownBytes: number;
  readonly facts: FileFacts;
  /** The file that is the same bytes on the disk, under another name: keep.ts. */
  twin: CacheName | undefined;
  /** Its bytes are being looked at: until that is done nothing starts that reads it. */
  isUnverified: boolean;
}

/** A fetch or a recipe under way. */
export interface TransferRecord {
  readonly kind: "transfer";
  /** The number that the shell knows it by: of the order that it was started with. */
  startedId: TransferId;
  order: Extract<ManagerMessage, { kind: "fetch" | "make" }>;
  /** False while it waits for room, or for the inputs of its recipe. */
  isActive: boolean;
  /** Nobody wants it: its end is not reported as ready. */
  isStopping: boolean;
  /** Held of the disk while it is under way. */
  reservedBytes: number;
  /** Of a recipe: inputs that are not in the cache. */
  missing: number;
  /** Of a recipe that is a command: since when it waits for room, and what it holds of it. */
  queuedAtMs: number;
  held: Resources;
  devices: HeldDevices;
  /** Of a recipe: a try that shared an input with it found it modified. */
  isTainted: boolean;
}

/** What is held of the disk, in bytes, and what waits for some. */
export interface DiskState {
  /** By files of the cache. */
  cachedBytes: number;
  /** By transfers under way. */
  comingBytes: number;
  /**
   * By running commands, what each has reserved, or has written if that is more; and what instances
   * have written.
   */
  runningBytes: number;
  /** By `parts`. */
  keptBytes: number;
  /** What came of files whose transfers failed, oldest first: held for the next attempts. */
  readonly parts: Map<CacheName, { readonly bytes: number; readonly untilMs: number }>;
  /** Transfers that have not started, in the order in which they came. */
  readonly waiting: Set<TransferRecord>;
  /** The first command that has all but disk. */
  blockedTry: TryRecord | undefined;
  /** Files that the manager was asked about and has not answered yet. */
  readonly suggested: Set<CacheName>;
  /** Files that have to stay until something changes. */
  readonly refused: Set<CacheName>;
  /** Since when something waits while nothing goes on; then `askAtMs` is when it is looked at next. */
  stuckSinceMs: number | undefined;
  askAtMs: number;
  /** Since when more is held than there is. */
  overSinceMs: number | undefined;
  /** What the manager was told over this connection, and when. */
  toldBytes: number;
  toldAtMs: number;
  /** When it is told next; undefined while there is nothing new. */
  tellAtMs: number | undefined;
}

/** `staging -> queued -> starting -> ready -> retiring -> stopping`. */
export type InstanceState =
  | { readonly kind: "staging"; missing: number }
  | { readonly kind: "queued" }
  | { readonly kind: "starting"; readonly sinceMs: number }
  /** One that retires is given no more calls, and stops once those in it have ended. */
  | { readonly kind: "ready" | "retiring" | "stopping" };

/** One instance of a library. */
export interface InstanceRecord {
  readonly kind: "instance";
  readonly instanceId: InstanceId;
  readonly library: LibraryDefinition;
  readonly order: number;
  state: InstanceState;
  /** From its start on. */
  devices: HeldDevices;
  /** Calls in it: as many as it has slots, and some ahead while they are short. */
  readonly running: Set<TryRecord>;
  /** Found in its directory when it was last looked at; 0 before that. */
  writtenBytes: number;
  /** Its processes had in memory when they were last looked at; 0 before that. */
  memoryBytes: number;
}

/** True of what was told to stop and has not ended. */
export function isStopping(record: TryRecord | InstanceRecord): boolean {
  return record.kind === "try" ? record.stopReason !== undefined : record.state.kind === "stopping";
}

/** Tries of one class that wait for room, or instances of one library. */
export interface RoomQueue {
  readonly resources: Resources;
  /** Of calls, which wait for one of its slots as well. */
  readonly library: string | undefined;
  readonly waiting: Heap<TryRecord | InstanceRecord>;
}

/** The connection as the core sees it. */
export type LinkState =
  | { readonly kind: "closed" }
  /** Hello is said; what comes up meanwhile is held until `reconcile`. */
  | { readonly kind: "greeting"; readonly held: WorkerMessage[] }
  | { readonly kind: "open" };

/** What does not change while the process lives. */
export interface WorkerIdentity {
  readonly workerId: WorkerId;
  readonly incarnation: string;
  readonly version: string;
  readonly host: string;
  readonly pid: number;
  readonly resources: Resources;
  readonly features: readonly string[];
}

/** The worker's whole state. */
export interface WorkerState {
  readonly identity: WorkerIdentity;
  link: LinkState;
  /** Session of the last welcome. */
  session: SessionId | undefined;
  readonly tries: Map<TryKey, TryRecord>;
  /** Results that the manager has not acknowledged. */
  readonly results: Map<TryKey, TryResult>;
  /** In the order in which they were used last. */
  readonly cache: Map<CacheName, CacheRecord>;
  /** Who needs a file and has not started: kept until it starts or ends. */
  readonly waiters: Map<CacheName, Set<Waiter>>;
  /** Running command tasks that have the file as an input, and recipes under way. */
  readonly readers: Map<CacheName, Set<TryRecord | TransferRecord>>;
  readonly transfers: Map<TransferId, TransferRecord>;
  readonly transfersByName: Map<CacheName, TransferRecord>;
  /** Wishes to keep files that the shell is at. */
  readonly keeps: Set<KeepId>;
  /** Commands that make files and wait for room, in the order in which they came. */
  readonly makes: Set<TransferRecord>;
  /** `{resource key: what waits for room}`. */
  readonly roomQueues: Map<string, RoomQueue>;
  /** Held by running tries, by commands that make files, and by instances but those that stage. */
  used: Resources;
  readonly devices: DevicePool;
  readonly disk: DiskState;
  /** What the processes of running tries and of instances have in memory. */
  memoryBytes: number;
  readonly instances: Map<InstanceId, InstanceRecord>;
  /** `{library: moving mean of how long its calls ran, milliseconds}`. */
  readonly meanCallMs: Map<string, number>;
  /** `{library: calls whose inputs are there}`, but for those that wait for room as well. */
  readonly callQueues: Map<string, OrderedQueue<TryRecord>>;
  /** `{library: its instances}`. */
  readonly instancesByLibrary: Map<string, Set<InstanceRecord>>;
  /** Timeouts of running tries; entries of ended ones are stale. */
  readonly deadlines: Heap<{ readonly atMs: number; readonly record: TryRecord }>;
  /** When it has to leave, and what it says then. */
  readonly end: WorkerTimeEnd | undefined;
  /** Set once it leaves: no try starts any more. */
  leaving:
    | { readonly reason: string; readonly untilMs: number; readonly isReleased: boolean }
    | undefined;
  hasLeft: boolean;
  orderCount: number;
  nowMs: number;
  /** Messages and instructions of the step under way. */
  readonly outbox: WorkerMessage[];
  readonly started: TryRecord[];
  /** Calls of which nothing is told yet, and when they started, the oldest first. */
  readonly startedQuietly: { readonly record: TryRecord; readonly atMs: number }[];
  /** When these are looked at; `Infinity` when there is none. */
  quietUntilMs: number;
  readonly instructions: WorkerInstruction[];
}

/** The end of a worker's time. */
export interface WorkerTimeEnd {
  readonly atMs: number;
  readonly reason: string;
}

/** What a new worker knows. */
export interface WorkerOptions extends WorkerIdentity {
  /** As many as its resources say. */
  readonly gpuIds: readonly string[];
  /** To pin tries to; none when they are not. */
  readonly cpus: readonly number[];
  readonly end?: WorkerTimeEnd;
  /** Files that an earlier process left in the cache. */
  readonly cached: readonly CachedFile[];
}

/** The state of a worker that has seen no event. */
export function newWorkerState(options: WorkerOptions): WorkerState {
  const { cached, gpuIds, cpus, end, ...identity } = options;
  const cache = new Map<CacheName, CacheRecord>();
  let cachedBytes = 0;
  for (const file of cached) {
    const ownBytes = file.isOwn === true ? file.sizeBytes : 0;
    cache.set(file.name, { ...newCacheRecord(file, file.level), ownBytes });
    cachedBytes += ownBytes;
  }
  return {
    identity,
    link: { kind: "closed" },
    session: undefined,
    tries: new Map(),
    results: new Map(),
    cache,
    waiters: new Map(),
    readers: new Map(),
    transfers: new Map(),
    transfersByName: new Map(),
    keeps: new Set(),
    makes: new Set(),
    roomQueues: new Map(),
    used: NO_RESOURCES,
    devices: newDevicePool(gpuIds, cpus),
    disk: {
      cachedBytes,
      comingBytes: 0,
      runningBytes: 0,
      keptBytes: 0,
      parts: new Map(),
      waiting: new Set(),
      blockedTry: undefined,
      suggested: new Set(),
      refused: new Set(),
      stuckSinceMs: undefined,
      askAtMs: 0,
      overSinceMs: undefined,
      toldBytes: 0,
      toldAtMs: -Infinity,
      tellAtMs: undefined,
    },
    memoryBytes: 0,
    instances: new Map(),
    meanCallMs: new Map(),
    callQueues: new Map(),
    instancesByLibrary: new Map(),
    deadlines: newHeap((a, b) => a.atMs < b.atMs),
    end,
    leaving: undefined,
    hasLeft: false,
    orderCount: 0,
    nowMs: 0,
    outbox: [],
    started: [],
    startedQuietly: [],
    quietUntilMs: Infinity,
    instructions: [],
  };
}

/** A committed file as the table keeps it. */
export function newCacheRecord(facts: FileFacts, level: CacheLevel): CacheRecord {
  const { name, generation, sizeBytes, digest, isDirectory, isExecutable } = facts;
  const bare = {
    name,
    generation,
    sizeBytes,
    digest,
    isDirectory,
    ...(isExecutable === true ? { isExecutable } : {}),
  };
  return { ...bare, level, facts: bare, ownBytes: sizeBytes, twin: undefined, isUnverified: false };
}

/** The key of a try: unique while a task has fewer than 65,536 tries, as at the manager. */
export function tryKey(id: { readonly taskId: number; readonly try: number }): TryKey {
  return id.taskId * 65_536 + id.try;
}

/** The try that was looked at, if it runs: it may have ended meanwhile. */
export function runningTry(
  state: WorkerState,
  id: { readonly taskId: number; readonly try: number },
): TryRecord | undefined {
  const record = state.tries.get(tryKey(id));
  return record?.state.kind === "running" ? record : undefined;
}

/** Sends `message` when the manager can make sense of it; DESIGN section 5, Sessions. */
export function tell(state: WorkerState, message: WorkerMessage): void {
  // While the link is closed nothing is kept: the next hello tells all of it.
  if (state.link.kind === "open") state.outbox.push(message);
  else if (state.link.kind === "greeting") state.link.held.push(message);
}
