/** What a task that was given to a worker waits for there, and what its outputs wait for. */

import { fitsWithin, NO_RESOURCES } from "../../shared/resources.ts";
import { freeDiskBytes } from "./disk.ts";
import type { Inquiry } from "./explain.ts";
import { failureReasons } from "./explain_call.ts";
import { neededBy, neededByLibrary } from "./explain_input.ts";
import type { CopySource, NeededFile, Reason, TryReason } from "./explanation.ts";
import { inputFiles } from "./file.ts";
import { libraryFiles } from "./library.ts";
import { recipeInputs } from "./recipe.ts";
import { isAside } from "./source_fault.ts";
import { mayUsePeers, possibleSources, slotsOf } from "./source.ts";
import type {
  DeliveryRecord,
  FileRecord,
  ManagerState,
  Source,
  TaskRecord,
  TransferRecord,
  TryRecord,
  WorkerRecord,
} from "./state.ts";

/** Copies that are told of one by one, and sources of one of them. */
const COPIES_TOLD_MAX = 8;
const SOURCES_TOLD_MAX = 4;

/** Holders of one file that are looked at. */
const HOLDERS_PROBED = 16;

/** Recipes of which one is made of the next. */
const RECIPES_MAX = 16;

/** Deliveries that are counted before one. */
const DELIVERIES_COUNTED_MAX = 1_000;

/** What a try waits for, or since when it runs; then where it is. */
export function tryReasons(inquiry: Inquiry, attempt: TryRecord): Reason[] {
  const { nowMs } = inquiry;
  const { worker, task, isStarted, startedAtMs } = attempt;
  const { workerId, host, link } = worker;
  const reasons: Reason[] = [];
  if (link.kind === "grace") {
    reasons.push({ kind: "worker_away", leftMs: Math.max(0, link.untilMs - nowMs) });
  }
  if (isStarted) reasons.push({ kind: "running", forMs: nowMs - startedAtMs });
  else reasons.push(...stagingReasons(inquiry, attempt));
  const forMs = nowMs - task.dispatchedAtMs;
  const { library } = attempt.taskClass;
  const failed = library !== undefined && reasons.some(({ kind }) => kind === "instance")
    ? failureReasons(inquiry.state, library)
    : [];
  return [...reasons, ...failed, { kind: "at_worker", workerId, host, try: attempt.try, forMs }];
}

function stagingReasons(inquiry: Inquiry, attempt: TryRecord): TryReason[] {
  const { state } = inquiry;
  const { task, taskClass: { library }, worker } = attempt;
  const reasons: TryReason[] = attempt.isRecalled ? [{ kind: "recalled" }] : [];
  for (const file of inputFiles(state, task)) {
    reasons.push(...copyReasons(inquiry, worker, { file, name: neededBy(task, file) }));
  }
  const isStarting = library !== undefined && !hasInstance(attempt, "ready");
  if (isStarting) {
    for (const file of libraryFiles(state, library)) {
      reasons.push(...copyReasons(inquiry, worker, { file, name: neededByLibrary(library, file) }));
    }
    const { spec: { name } } = library;
    const forMs = startingForMs(inquiry, attempt);
    reasons.push({ kind: "instance", library: name, ...forMs === undefined ? {} : { forMs } });
  }
  const isComing = reasons.some(({ kind }) => kind.startsWith("input_"));
  const freeBytes = freeDiskBytes(worker);
  if (isComing && freeBytes < 0) {
    const { comingBytes } = worker;
    reasons.unshift({ kind: "disk", freeBytes: freeBytes + comingBytes, comingBytes });
  }
  if (!isStarting) reasons.push(...roomReasons(attempt));
  return reasons.length > 0 ? reasons.slice(0, COPIES_TOLD_MAX) : [{ kind: "starting" }];
}

/** What a file that is not at its worker waits for; of one that is made there, what it is made of. */
function copyReasons(
  inquiry: Inquiry,
  worker: WorkerRecord,
  { file, name, depth = 0 }: {
    readonly file: FileRecord;
    readonly name: NeededFile;
    readonly depth?: number;
  },
): TryReason[] {
  const { state } = inquiry;
  const transfer = file.replicas.get(worker)?.transfer;
  if (transfer === undefined) return [];
  const { source, attemptCount } = transfer;
  if (source === undefined) return [waitReason(state, transfer, name)];
  if (source.kind === "recipe" && depth < RECIPES_MAX) {
    const parts = [...recipeInputs(state, file)].flatMap((input) => {
      return copyReasons(inquiry, worker, { file: input, name, depth: depth + 1 });
    });
    if (parts.length > 0) return parts;
  }
  const holder = source.kind === "worker" ? source.worker : undefined;
  return [{
    kind: "input_coming",
    file: name,
    from: source.kind === "recipe"
      ? { kind: "recipe" }
      : copySource(inquiry, { source: source.source, holder }),
    forMs: Math.max(0, inquiry.nowMs - transfer.startedAtMs),
    sizeBytes: file.bound?.sizeBytes ?? -1,
    attemptCount,
  }];
}

/** Why a transfer has no source. */
function waitReason(state: ManagerState, transfer: TransferRecord, name: NeededFile): TryReason {
  const { file, attemptCount, isBackingOff } = transfer;
  if (isBackingOff) return { kind: "input_again", file: name, attemptCount };
  if (state.stranded.get(file)?.has(transfer)) return { kind: "input_detour", file: name };
  const sources = possibleSources(state, transfer).slice(0, SOURCES_TOLD_MAX);
  let awayCount = 0;
  const holders = new Map<Source, WorkerRecord>();
  for (const [holder, replica] of file.replicas) {
    if (replica.state !== "ready") continue;
    holders.set(holder.source, holder);
    if (holder.link.kind !== "open") awayCount += 1;
    if (holders.size >= HOLDERS_PROBED) break;
  }
  const nowMs = state.nowMs;
  return {
    kind: "input_queued",
    file: name,
    sources: sources.map((source) => {
      return copySource({ state, nowMs }, { source, holder: holders.get(source) });
    }),
    queueCount: file.queued.size,
    awayCount: mayUsePeers(state, file) ? awayCount : 0,
  };
}

function copySource(
  { state, nowMs }: Pick<Inquiry, "state" | "nowMs">,
  { source, holder }: { readonly source: Source; readonly holder: WorkerRecord | undefined },
): CopySource {
  const { kind, active, stores, asideUntilMs } = source;
  return {
    kind,
    ...(holder === undefined ? {} : { workerId: holder.workerId }),
    activeCount: active.size + stores.size,
    slotCount: slotsOf(state, source),
    ...(isAside(state, source) ? { asideMs: Math.max(0, asideUntilMs - nowMs) } : {}),
  };
}

/** Who holds what it needs at its worker, if it cannot start at once. */
function roomReasons(attempt: TryRecord): TryReason[] {
  const { worker, taskClass: { library } } = attempt;
  const service = library && worker.services.get(library);
  const room = { used: worker.committed, more: NO_RESOURCES, factor: 1 };
  const isFree = library === undefined
    ? fitsWithin(worker.resources, room)
    : service !== undefined && service.callCount <= service.slotCount &&
      (attempt.allocation === undefined || fitsWithin(worker.resources, room));
  if (isFree) return [];
  const counts = { runningCount: 0, beforeCount: 0, stoppingCount: 0 };
  for (const other of worker.tries.values()) {
    if (library !== undefined && other.taskClass.library !== library) continue;
    if (other.isEnded) counts.stoppingCount += 1;
    else if (other.isStarted) counts.runningCount += 1;
  }
  // Newest last.
  for (const other of worker.unstarted) {
    if (other === attempt) break;
    if (library === undefined || other.taskClass.library === library) counts.beforeCount += 1;
  }
  return [{ kind: "room", ...counts }];
}

/** Since when an instance starts at its worker that is to serve it. */
function startingForMs({ nowMs }: Inquiry, attempt: TryRecord): number | undefined {
  let forMs: number | undefined;
  for (const { library, state, startedAtMs } of attempt.worker.instances.values()) {
    if (library !== attempt.taskClass.library || state !== "starting") continue;
    forMs = Math.max(forMs ?? 0, nowMs - startedAtMs);
  }
  return forMs;
}

function hasInstance({ worker, taskClass: { library } }: TryRecord, wanted: "ready"): boolean {
  for (const { library: of, state } of worker.instances.values()) {
    if (of === library && state === wanted) return true;
  }
  return false;
}

/** What is on its way of a task whose try succeeded, or waits to be. */
export function retrievalReasons(
  { state }: Inquiry,
  { definition: { outputs } }: TaskRecord,
  pending: ReadonlySet<number>,
): Reason[] {
  const reasons: Reason[] = [];
  for (const deliveryId of pending) {
    const delivery = state.deliveries.get(deliveryId);
    if (delivery === undefined || reasons.length >= COPIES_TOLD_MAX) continue;
    const { file: { fileId, aliases }, goal, worker } = delivery;
    const mount = outputs.find((output) => {
      return output.fileId === fileId || aliases.includes(output.fileId);
    })?.mount ?? "";
    if (worker?.link.kind === "grace") {
      const leftMs = Math.max(0, worker.link.untilMs - state.nowMs);
      reasons.push({ kind: "worker_away", leftMs });
    }
    const queue = queueOf(state, delivery);
    const queueCount = placeIn(queue, delivery);
    const isQueued = queueCount >= 0;
    const output = { kind: "output", mount, to: goal, isQueued } as const;
    reasons.push({ ...output, queueCount: Math.max(0, queueCount) });
  }
  return reasons;
}

function queueOf(
  state: ManagerState,
  { goal, file: { origin } }: DeliveryRecord,
): ReadonlySet<DeliveryRecord> | undefined {
  if (goal === "manager") return state.deliveryQueue;
  return origin.kind === "url" ? state.urlSources.get(origin.host)?.storeQueue : undefined;
}

/** How many are before it, counted to a limit; -1 of what is not in the queue. */
function placeIn(queue: ReadonlySet<DeliveryRecord> | undefined, wanted: DeliveryRecord): number {
  if (queue === undefined || !queue.has(wanted)) return -1;
  let count = 0;
  for (const delivery of queue) {
    if (delivery === wanted || count >= DELIVERIES_COUNTED_MAX) break;
    count += 1;
  }
  return count;
}
