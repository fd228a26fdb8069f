/** Workers, libraries and files as tables show them to clients. */

import { shownUrl } from "../shared/url/address.ts";
import type { FileRow, LibraryRow, WorkerRow } from "./client_protocol.ts";
import type { LibraryRecord } from "./core/library_record.ts";
import type { FileRecord, ManagerState, WorkerRecord } from "./core/state.ts";
import { taskOfValue } from "./core/value_file.ts";
import type { FileEntry } from "./file_entry.ts";

/** Features of one worker that are shown. */
const FEATURES_MAX = 100;

/** One worker. */
export function workerRow(worker: WorkerRecord): WorkerRow {
  const { workerId, host, resources, committed, features } = worker;
  let replicas = 0;
  let cachedBytes = 0;
  for (const { state, facts } of worker.replicas.values()) {
    if (state !== "ready") continue;
    replicas += 1;
    cachedBytes += Math.max(0, facts?.sizeBytes ?? 0);
  }
  return {
    workerId,
    host,
    state: standingOf(worker),
    resources,
    committed,
    features: [...features].slice(0, FEATURES_MAX),
    tasks: worker.tries.size,
    instances: worker.instances.size,
    replicas,
    cachedBytes,
    diskUsedBytes: worker.diskUsedBytes,
  };
}

/** The libraries; linear in the number of their instances, and of classes of calls. */
export function libraryRows({ libraries, classes }: ManagerState): LibraryRow[] {
  const queued = new Map<LibraryRecord, number>();
  for (const { library, queuedCount } of classes.values()) {
    if (library !== undefined) queued.set(library, (queued.get(library) ?? 0) + queuedCount);
  }
  return Array.from(libraries.values(), (library) => libraryRow(library, queued.get(library) ?? 0));
}

function libraryRow(library: LibraryRecord, queuedCount: number): LibraryRow {
  const { spec, failureCount, failure, calls: { running, done, failed } } = library;
  const instances = { starting: 0, ready: 0, retiring: 0 };
  const workers = new Set<WorkerRecord>();
  for (const { state, worker } of library.instances) {
    workers.add(worker);
    instances[state === "stopping" ? "retiring" : state] += 1;
  }
  let givenCount = 0;
  for (const { callCount } of library.services.values()) givenCount += callCount;
  return {
    name: spec.name,
    program: spec.program.kind,
    mode: spec.mode,
    slots: spec.slots,
    instances,
    workers: workers.size,
    calls: { waiting: queuedCount + givenCount - running, running, done, failed },
    failedStarts: failureCount,
    ...(failure === undefined ? {} : { failure }),
  };
}

function standingOf({ link, isLeaving, bar }: WorkerRecord): WorkerRow["state"] {
  if (link.kind === "grace") return "away";
  if (isLeaving) return "leaving";
  return bar === "time" ? "out_of_time" : bar ?? "connected";
}

/** One declared file; `record` is what the core knows of it, once a task has used it. */
export function fileRow(entry: FileEntry, record: FileRecord | undefined): FileRow {
  const { id: fileId, source, level, bound, place } = entry;
  const shown = sourceOf(entry);
  return {
    fileId,
    kind: source.kind,
    ...(bound === undefined ? {} : { cacheName: bound.name }),
    sizeBytes: place?.sizeBytes ?? record?.bound?.sizeBytes ?? bound?.sizeBytes ?? -1,
    level,
    replicas: record?.readyCount ?? 0,
    isAtManager: place !== undefined || record?.isAtManager === true,
    ...(record?.isNondeterministic === true ? { isNondeterministic: true } : {}),
    ...(shown === undefined ? {} : { source: shown }),
  };
}

/** Where a file is from, without what may be a secret. */
function sourceOf({ id, source }: FileEntry): string | undefined {
  const taskId = taskOfValue(id);
  if (taskId !== undefined) return `value of task ${taskId}`;
  if (source.kind === "local") return source.path;
  if (source.kind !== "url") return undefined;
  return shownUrl(source.url);
}
