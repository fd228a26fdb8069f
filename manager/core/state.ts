/** The manager's tables. Only `step` changes them. */

import type { Heap } from "../../shared/heap.ts";
import type { OrderedQueue } from "../../shared/ordered_queue.ts";
import type {
  CacheName,
  FileId,
  InstanceId,
  KeepId,
  SessionId,
  TaskId,
  TransferId,
  WorkerId,
} from "../../shared/ids.ts";
import type { ManagerMessage } from "../../shared/protocol.ts";
import type { RandomState } from "../../shared/random.ts";
import type { ResourceRequest, Resources } from "../../shared/resources.ts";
import type { CacheLevel, FileFacts, Outcome, TryId, TryResult } from "../../shared/task.ts";
import type { Allocation, Demand } from "./allocation.ts";
import type { CallingOff } from "./cancel.ts";
import type { CapacityIndex, CapacityPlace } from "./capacity_index.ts";
import type { CategoryRecord } from "./category.ts";
import type { Counters } from "./counters.ts";
import type { Deadline } from "./deadline.ts";
import type { Bar } from "./drain.ts";
import type { BoundFile, FileOrigin, TaskDefinition, TaskTemplate } from "./event.ts";
import type { HostRecord } from "./host.ts";
import type { RoomSums } from "./hunger.ts";
import type { Hold } from "./hold.ts";
import type { Fact } from "./fact.ts";
import type { ManagerInstruction } from "./instruction.ts";
import type { Claim } from "./instance_turn.ts";
import type { KeepRecord } from "./keep.ts";
import type { InstanceRecord, LibraryRecord, ServiceRecord } from "./library_record.ts";
import type { Outbox } from "./outbox.ts";
import type { Policies } from "./policy.ts";
import type { Unplaceable } from "./unplaceable.ts";
import type { Upkeep } from "./upkeep.ts";
import type { WorkerKind } from "./worker_kind.ts";
import type { TroubleRecord } from "./retry.ts";
import type { SpoolRecord } from "./spool.ts";
import type { StrictQueue, StrictReview } from "./strict_input.ts";

/**
 * `waiting -> ready -> dispatched -> retrieving -> done`. A lost worker or input leads back;
 * a done task whose temp is lost starts again as its own recovery.
 */
export type TaskState =
  /** `missing` inputs have no contents anywhere yet; 0 only while something else holds it. */
  | { readonly kind: "waiting"; missing: number }
  /** In the queue of its class. */
  | { readonly kind: "ready" }
  /** At a worker, where it stages, waits for room or runs. */
  | { readonly kind: "dispatched"; readonly attempt: TryRecord }
  /** The try succeeded; `pending` outputs are on their way to the manager. */
  | {
    readonly kind: "retrieving";
    readonly attempt: TryRecord;
    readonly result: TryResult;
    readonly pending: Set<number>;
  }
  /** Kept only as the lineage of temps. */
  | { readonly kind: "done"; readonly isSuccess: boolean };

/** One task as the manager sees it. */
export interface TaskRecord {
  /** Another one once its arguments are known. */
  definition: TaskDefinition;
  /** Another one once it has needed more than it had. */
  taskClass: TaskClass;
  state: TaskState;
  /** While it is set the task waits; undefined of a task that does not. */
  hold: Hold | undefined;
  /** Tries so far; the number of the current one while there is one. */
  tryCount: number;
  /** Tries that ended by the task's own failure. */
  failureCount: number;
  /** Workers lost while it ran; instances of its library that died under it. */
  lossCount: number;
  /** What went wrong so far with it; undefined of a task with which nothing has. */
  troubles: TroubleRecord | undefined;
  /** Tries repeated because another task modified a shared input, or nobody knows which. */
  ambiguousCount: number;
  recoveryCount: number;
  /** How a try failed last, once it has settled or lost a worker; for whoever lacks its outputs. */
  lastFailure: string | undefined;
  /** Tries that had no room on the disk of their worker. */
  fullCount: number;
  /** Tries that had too little of what the task does not state: it comes before others then. */
  exhaustedCount: number;
  /** How often it was taken from a worker that was too slow, and from which one last. */
  slow: { readonly count: number; readonly worker: WorkerRecord } | undefined;
  /** Its handle has settled: what it does now, it does to remake a temp. */
  isSettled: boolean;
  /** Its value became a file; value_file.ts. */
  hasValue: boolean;
  readonly submittedAtMs: number;
  dispatchedAtMs: number;
}

/** Tasks alike in all that decides where they fit; one queue each. */
export interface TaskClass {
  readonly key: string;
  readonly category: CategoryRecord;
  /** What its tasks state. */
  readonly stated: ResourceRequest;
  /** What a try is given at least of what an earlier one had too little of. */
  readonly atLeast: ResourceRequest;
  /** Disk that a worker is to have in all. */
  readonly workerDiskBytes: number;
  /** Memory, likewise. */
  readonly workerMemoryBytes: number;
  /** Of a category with buckets: what was drawn for its next try. */
  drawn: ResourceRequest | undefined;
  /** Of calls that state resources: what one holds beside its instance; call_room.ts. */
  readonly ownAllocation: Allocation | undefined;
  /** What its tries ask for now; category.ts. */
  demand: Demand;
  /** `{resources of workers: what a try is given there}`; undefined where it never fits. */
  readonly allocations: Map<Resources, Allocation | undefined>;
  readonly features: readonly string[];
  /** Time that a worker is to have left. */
  readonly minTimeMs: number;
  readonly library: LibraryRecord | undefined;
  /** `{holder of strict inputs that never has enough for a try: tasks that wait for these}` */
  unfitAt: Map<WorkerRecord, Set<TaskRecord>> | undefined;
  /** Ready tasks, best first; entries of tasks that left the queue are stale. */
  readonly ready: OrderedQueue<TaskRecord>;
  /** Tasks in state `ready`; the queue may hold more. */
  readyCount: number;
  /** Tasks in state `waiting` or `ready`. */
  queuedCount: number;
  /** Unsettled tasks, and tries at workers: it is forgotten with the last. */
  useCount: number;
  /** Tries at workers. */
  runningCount: number;
  /** Instances that leave so that its tasks have room. */
  leavingCount: number;
  /** No worker had room when last tried: only workers that changed since are tried. */
  isBlocked: boolean;
  /** Then calls that wait for instances are looked at again: these are at workers that have to end. */
  servedUntilMs: number;
  /** Of `state.kindsChange`, when some worker was last seen to be able to run its tries. */
  suitedAt: number;
  /** Moving mean of how long its tries ran, milliseconds; undefined before the first. */
  meanRanMs: number | undefined;
  /** Tries that went well; those that run and are not watched, as the mean is not known yet. */
  endedCount: number;
  readonly unwatched: Set<TryRecord>;
  /** Where the last try ended that went well. */
  provenHost: string | undefined;
}

/** One try at a worker, until the worker says how it ended. */
export interface TryRecord extends TryId {
  readonly task: TaskRecord;
  /** Of the task when it was dispatched. */
  readonly taskClass: TaskClass;
  /** What it holds of the worker; undefined of a call that holds nothing beside its instance. */
  readonly allocation: Allocation | undefined;
  readonly worker: WorkerRecord;
  /** Ended by the manager: its result is not wanted, its room is still held. */
  isEnded: boolean;
  isStarted: boolean;
  /** 0 before it has started. */
  startedAtMs: number;
  isRecalled: boolean;
  /** The try at the same worker that makes an input of it: until that ends it holds no room. */
  awaits: TryRecord | undefined;
  /** The try at the same worker that awaits this one, or did; group.ts. */
  follower: TryRecord | undefined;
  /** The idle worker that it was asked back for. */
  recalledFor: WorkerRecord | undefined;
}

/** Where a file stands on one worker. */
export type ReplicaState = "pending" | "ready" | "deleting";

/** One worker's copy of a file, as the worker told it. */
export interface ReplicaRecord {
  readonly name: CacheName;
  state: ReplicaState;
  generation: number;
  facts: FileFacts | undefined;
  level: CacheLevel;
  /** Deletions told and not answered yet. */
  deletionCount: number;
  /** Brings it, while it is pending. */
  transfer: TransferRecord | undefined;
  /** Its worker looks at its bytes: until it answers nobody is to have it from there. */
  isSuspect: boolean;
  /** What its worker is to have room for, while it is pending; 0 of what has no known size. */
  comingBytes: number;
}

/** A declared file. Two declarations of one name share a record. */
export interface FileRecord {
  readonly fileId: FileId;
  /** Numbers of later declarations of the same name. */
  readonly aliases: FileId[];
  /** Of a kept file another one from when a second declaration says where else it is. */
  origin: FileOrigin;
  readonly level: CacheLevel;
  readonly peerTransfer: boolean;
  bound: BoundFile | undefined;
  /** Why it can never be had. */
  failure: { readonly outcome: Outcome; readonly message: string } | undefined;
  /** 0 for files that no task makes; else the number of its newest making. */
  generation: number;
  /** The task that makes it. */
  producer: TaskRecord | undefined;
  /** Why the task that made it will not make it again. */
  lastFailure: string | undefined;
  /** It is lost, and made again though nobody waits for it: `recovery` is `immediate`. */
  isDue: boolean;
  /** A later making of it had other contents than the one before. */
  isNondeterministic: boolean;
  /** The manager has its contents: a local file, a buffer, an output in place. */
  isAtManager: boolean;
  /** Of an output: its url has what was made. */
  isStored: boolean;
  /** Fetches from its url that failed since one did not. */
  originFailures: number;
  /** Contents can be had from somewhere; waiting counts are kept by this. */
  isAvailable: boolean;
  /** `{worker: its copy}`; the same records as in `worker.replicas`. */
  readonly replicas: Map<WorkerRecord, ReplicaRecord>;
  /** How many of `replicas` are ready. */
  readyCount: number;
  /** Unfinished tasks that have it as an input or environment. */
  readonly consumers: Set<TaskRecord>;
  /** Declarations that hold it: 0 once all are undeclared. */
  declaredCount: number;
  /** Finished tasks that would need it again to remake what is left of their outputs. */
  readonly dependents: Set<TaskRecord>;
  /** Tasks that had it as an input and have settled, as a success or not. */
  readonly consumed: { succeeded: number; failed: number };
  /** Copies that are wanted at workers; undefined leaves it to the policy. */
  copiesWanted: number | undefined;
  /** Its user lets go of it as soon as its consumers are done. */
  readonly isReleasedByUse: boolean;
  /** Where it stands in the queue of files with too few copies: how many it has; -1 is nowhere. */
  scarceAt: number;
  /** Copies that nobody waited for failed, or went again: the next one is not before that. */
  copyAgain: { readonly atMs: number; readonly failureCount: number } | undefined;
  /** Tasks were submitted that run only where it is. */
  hasStrict: boolean;
  /** Files made of it by a recipe. */
  readonly recipes: Set<FileRecord>;
  /** The newest transfer that makes it by its recipe. */
  maker: TransferRecord | undefined;
  /** Libraries whose instances need it. */
  readonly libraries: Set<LibraryRecord>;
  /** Users' requests for its contents. */
  readonly requests: Set<number>;
  /** Brings the contents for `requests`, and for transfers that no holder can serve. */
  homeDelivery: DeliveryRecord | undefined;
  /** Transfers that wait for a source with a free slot. */
  readonly queued: Set<TransferRecord>;
  /** Copies that the manager or the url sent to workers, or sends. */
  firstHandCount: number;
}

/** A copy under way, or waiting for a slot of its source. */
export interface TransferRecord {
  transferId: TransferId;
  readonly file: FileRecord;
  readonly generation: number;
  readonly worker: WorkerRecord;
  /** Absent while queued. */
  source: TransferSource | undefined;
  attemptCount: number;
  /** True while it waits before the next attempt. */
  isBackingOff: boolean;
  /** Sources that failed, not to be asked first again. */
  readonly failed: Set<Source>;
  /** The last holder that the worker could not reach. */
  unreached: WorkerRecord | undefined;
  /** Nothing waits for it: it yields to what does. */
  isBackground: boolean;
  /** Its worker was told no digest to compare with: none was known yet. */
  isUnchecked: boolean;
  /** When it began with the source that it has. */
  startedAtMs: number;
  /** From then on another source is looked for. */
  lateAtMs: number;
  /** How often it was late. */
  lateCount: number;
}

/** What serves bytes, with how many it serves at a time. */
export interface Source {
  readonly kind: "manager" | "url" | "worker";
  /** Of a url; else empty. */
  readonly host: string;
  readonly active: Set<TransferRecord>;
  /** Those of the active ones for which nothing waits. */
  readonly background: Set<TransferRecord>;
  /** Files with transfers that found it busy. */
  readonly wanted: Set<FileRecord>;
  /** Of a url host: outputs on their way there, which take slots as well. */
  readonly stores: Set<DeliveryRecord>;
  /** Outputs that wait for a slot. */
  readonly storeQueue: Set<DeliveryRecord>;
  /** Faults since a transfer from it succeeded; source_fault.ts. */
  faultCount: number;
  /** It is not asked until then. */
  asideUntilMs: number;
  /** It is looked at then, at the latest, if that is to come; source_watch.ts. */
  wakeAtMs: number;
}

/** The source of one active transfer. */
export type TransferSource =
  | { readonly kind: "manager" | "url"; readonly source: Source }
  | { readonly kind: "worker"; readonly source: Source; readonly worker: WorkerRecord }
  | { readonly kind: "recipe"; readonly source: undefined };

/** The connection of a worker. */
export type WorkerLink =
  | { readonly kind: "open"; readonly session: SessionId }
  /** Closed; the worker may come back until then. */
  | { readonly kind: "grace"; readonly session: SessionId; readonly untilMs: number };

/** Which peers a worker cannot reach, and which cannot reach it. */
export interface Reach {
  /** `{holder that it could not reach: until when that counts}`, in order of the instants. */
  readonly unreached: Map<WorkerRecord, number>;
  /** Workers that have it among those. */
  readonly unreachedBy: Set<WorkerRecord>;
  /** Workers that could not reach it since one did. */
  missCount: number;
  /** Nobody is sent there until then. */
  hiddenUntilMs: number;
}

/** A worker in the index of workers by the size of their disks. */
export interface DiskMember {
  readonly place: CapacityPlace;
  readonly workerId: WorkerId;
}

/** One worker as the manager sees it. */
export interface WorkerRecord {
  /** In the index of free cores, while something may be dispatched to it. */
  readonly place: CapacityPlace;
  readonly workerId: WorkerId;
  readonly incarnation: string;
  readonly host: string;
  readonly kind: WorkerKind;
  /** Others that are not more urgent get nothing there; reservation.ts. */
  reservedFor: TaskClass | undefined;
  /** Those of its kind: one object of all workers that have as much. */
  readonly resources: Resources;
  readonly features: ReadonlySet<string>;
  /** When it has to end; Infinity when it need not. */
  endsAtMs: number;
  link: WorkerLink;
  /** It said that it leaves: nothing more is given to it. */
  isLeaving: boolean;
  /** It gave a try back for want of disk: it gets no other before one of those that it has ended. */
  isCrowded: boolean;
  /** Why nothing more is given to it for now; drain.ts. */
  bar: Bar | undefined;
  /** It is about to go: its copies do not count as such. */
  isEnding: boolean;
  /** It has addresses for its peers. */
  isServing: boolean;
  readonly reach: Reach;
  /** What it said on this connection that cannot be; lie.ts. */
  lieCount: number;
  lastLie: string;
  /** Tries there, also ended ones whose room is not free yet, by `tryKey`. */
  readonly tries: Map<number, TryRecord>;
  /** Results of calls that it has not been told are safe; acknowledgement.ts. */
  readonly owed: TryId[];
  /** When it is told at the latest; undefined while nothing is planned. */
  paysAtMs: number | undefined;
  /** Dispatched tries that have not started, newest last: what can be recalled. */
  readonly unstarted: Set<TryRecord>;
  /** Held by tries of commands and by instances. */
  committed: Resources;
  /** What it said last that files and running tasks hold of its disk. */
  diskUsedBytes: number;
  /** Of its pending copies. */
  comingBytes: number;
  /** Moving mean of how long its tries ran, as a multiple of the mean of their class. */
  slowness: number;
  /** Tasks that run only here, or at few others, and wait for room. */
  strictQueue: StrictQueue | undefined;
  /** Tries that were taken from it in a row as it is too slow; slow_worker.ts. */
  slowCount: number;
  /** In the index of disks. */
  readonly disk: DiskMember;
  /** Files that are looked at next for one that may move to an emptier disk. */
  shiftable: IterableIterator<ReplicaRecord> | undefined;
  /** All it has in its cache or is on its way there. */
  readonly replicas: Map<CacheName, ReplicaRecord>;
  readonly instances: Map<InstanceId, InstanceRecord>;
  /** `{library: what it serves here}`. */
  readonly services: Map<LibraryRecord, ServiceRecord>;
  readonly source: Source;
  /** Sources with which it found fault since it received anything. */
  readonly blamed: Set<Source>;
  /** Copies on their way there for which nothing waits. */
  readonly arriving: Set<TransferRecord>;
  /** Files it was told to keep. */
  readonly keeps: Set<KeepRecord>;
  /** Files it must send here, by delivery. */
  readonly deliveries: Set<DeliveryRecord>;
}

/** Contents on their way from a worker to the manager, or to a url. */
export interface DeliveryRecord {
  readonly deliveryId: number;
  readonly goal: "manager" | "url";
  readonly file: FileRecord;
  readonly facts: FileFacts;
  /** Of a PUT; absent when the contents rode in the result. */
  readonly worker: WorkerRecord | undefined;
  /** The task whose output it is; absent for a user's request. */
  readonly task: TaskRecord | undefined;
  transferId: TransferId | undefined;
  /** It was told that it started, and not that it ended. */
  isMoving: boolean;
  attemptCount: number;
}

/** The manager's whole state. */
export interface ManagerState {
  readonly managerId: string;
  readonly epoch: number;
  policies: Policies;
  readonly random: RandomState;
  nowMs: number;
  readonly tasks: Map<TaskId, TaskRecord>;
  readonly files: Map<FileId, FileRecord>;
  readonly filesByName: Map<CacheName, FileRecord>;
  /** Cached files of names that nobody declared yet: `{name: holders}`. */
  readonly unclaimed: Map<CacheName, Set<WorkerRecord>>;
  readonly workers: Map<WorkerId, WorkerRecord>;
  readonly index: CapacityIndex<WorkerRecord>;
  /** Of the workers in `index`. */
  readonly room: RoomSums;
  /** All workers, by the size of their disks. */
  readonly disks: CapacityIndex<DiskMember>;
  readonly categories: Map<string, CategoryRecord>;
  readonly classes: Map<string, TaskClass>;
  /** Classes of templates whose tasks ask for no features: found without making a key. */
  readonly classByTemplate: WeakMap<TaskTemplate, TaskClass>;
  /** Categories of which more is known than was learnt of it. */
  readonly unlearnt: Set<CategoryRecord>;
  /** Kinds of the workers that are there, by their keys. */
  readonly kinds: Map<string, WorkerKind>;
  /** Grows when a kind comes or goes. */
  kindsChange: number;
  /** The most of each that any one worker has. */
  most: Resources;
  readonly unplaceable: Unplaceable;
  /** `{class: the worker that is kept for its best task}` */
  readonly reservations: Map<TaskClass, WorkerRecord>;
  /** Classes with ready tasks. */
  readonly busyClasses: Set<TaskClass>;
  /** Workers whose room grew since the last pass. */
  readonly changedWorkers: Set<WorkerRecord>;
  /** Workers with tries that could be recalled. */
  readonly recallable: Set<WorkerRecord>;
  /** Files with strict consumers that have come to a worker, or gone from one. */
  readonly strictFiles: Map<FileRecord, StrictReview>;
  /** Classes with such files at unfit workers that ask for other amounts since the last pass. */
  readonly resized: Set<TaskClass>;
  /** Hosts of which there is something to be said; host.ts. */
  readonly hosts: Map<string, HostRecord>;
  /** Workers that are about to go. */
  readonly ending: Set<WorkerRecord>;
  /** When they are looked at again for those that have nothing left to do. */
  departureLookAtMs: number;
  /** Workers that could end nothing in time; those that lacked time for something in this pass. */
  readonly outOfTime: Set<WorkerRecord>;
  readonly shortOfTime: Set<WorkerRecord>;
  readonly libraries: Map<string, LibraryRecord>;
  /** Workers that have instances. */
  readonly hosting: Set<WorkerRecord>;
  /** Those with an instance more than their calls need. */
  readonly spareServices: Set<ServiceRecord>;
  /** Libraries with fewer instances than are kept of them. */
  readonly shortLibraries: Set<LibraryRecord>;
  /** Classes with nothing at any worker, for which busy instances may have to make way. */
  readonly claims: Map<TaskClass, Claim>;
  readonly transfers: Map<TransferId, TransferRecord>;
  /** Source of what the manager has; and one per url host. */
  readonly managerSource: Source;
  readonly urlSources: Map<string, Source>;
  /** Until then, at least, some workers cannot reach some others; reach.ts. */
  reachTroubleUntilMs: number;
  /** Workers without addresses for their peers. */
  unservingCount: number;
  /** How fast transfers from each kind of source were, the newest counting most. */
  readonly transferRates: { readonly [Kind in Source["kind"]]: { bytes: number; ms: number } };
  /** `{file: transfers that no holder can serve, for which it comes here first}`. */
  readonly stranded: Map<FileRecord, Set<TransferRecord>>;
  /** `{file: the copy that the manager has of it for a time}`, oldest first. */
  readonly spooled: Map<FileRecord, SpoolRecord>;
  spooledBytes: number;
  readonly upkeep: Upkeep;
  /** Declared temps that are lost, though nobody had them removed: for `recovery: "immediate"`. */
  readonly lost: Set<FileRecord>;
  /** Wishes to keep files. */
  readonly keeps: Map<KeepId, KeepRecord>;
  /** Kept files that something waits for and no worker has; kept_file.ts. */
  readonly keptWaits: {
    /** `{file: when it is given up}` */
    readonly untilMs: Map<FileRecord, number>;
    /** Those that are waited for until workers are there. */
    readonly idle: Set<FileRecord>;
  };
  /** Tasks that are cancelled as soon as it is their turn; cancel.ts. */
  calledOff: CallingOff;
  readonly deliveries: Map<number, DeliveryRecord>;
  /** Deliveries to the manager that wait for one of `transfersToManager`. */
  readonly deliveryQueue: Set<DeliveryRecord>;
  collectingCount: number;
  /** When to look at something again. */
  readonly deadlines: Heap<Deadline>;
  /** So many entries make it look for stale ones. */
  deadlinesMax: number;
  /** Workers that joined so far, for `waitForWorkers`. */
  joinedCount: number;
  /** A deadline is set at which a worker is sent away at random. */
  isEvictionPlanned: boolean;
  isClosed: boolean;
  lastId: number;
  /** The largest number of a task. */
  lastTaskId: number;
  readonly counters: Counters;
  /** What this step sends, by worker. */
  readonly outbox: Map<WorkerRecord, Outbox>;
  readonly instructions: ManagerInstruction[];
  /** Follow the messages of the step: a deletion of an older copy goes before. */
  readonly fetches: Extract<ManagerInstruction, { kind: "fetch" }>[];
  readonly facts: Fact[];
}

/** A source that serves nothing yet. */
export function newSource(kind: Source["kind"], host: string = ""): Source {
  return {
    kind,
    host,
    active: new Set(),
    background: new Set(),
    wanted: new Set(),
    stores: new Set(),
    storeQueue: new Set(),
    faultCount: 0,
    asideUntilMs: 0,
    wakeAtMs: 0,
  };
}

/** The next number for a transfer, an instance or a delivery. */
export function nextId(state: ManagerState): number {
  state.lastId += 1;
  return state.lastId;
}

/** The key of a try at its worker: unique while a task has fewer than 65,536 tries. */
export function tryKey(id: TryId): number {
  return id.taskId * 65_536 + id.try;
}

/** Sends `message` to `worker` at the end of the step, if it is connected. */
export function tell(state: ManagerState, worker: WorkerRecord, message: ManagerMessage): void {
  // A worker in grace hears of it by `reconcile`.
  if (worker.link.kind === "open") outboxOf(state, worker).messages.push(message);
}

/** The messages of this step for `worker`. */
export function outboxOf(state: ManagerState, worker: WorkerRecord): Outbox {
  let outbox = state.outbox.get(worker);
  if (outbox === undefined) {
    outbox = { messages: [], dispatched: [], acknowledged: [], recalled: [] };
    state.outbox.set(worker, outbox);
  }
  return outbox;
}
