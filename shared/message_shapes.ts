/** The shape of every message of protocol.ts; a kind or a field without one does not compile. */

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
import {
  type CallColumns,
  type CallSort,
  type ResultColumns,
  type TaskColumns,
  type TryColumns,
  unpackCalls,
  unpackResults,
  unpackTries,
} from "./column.ts";
import { FRAME_BYTES_MAX } from "./codec.ts";
import {
  amount,
  atMost,
  branded,
  bytes,
  type Check,
  finite,
  flag,
  integer,
  kinds,
  list,
  matching,
  name,
  natural,
  oneOf,
  optional,
  packed,
  positive,
  record,
  ruled,
  shape,
  text,
  usually,
} from "./message_check.ts";
import { LIBRARY_MODES, type LibraryProgram } from "./library.ts";
import {
  CERTIFICATE_CHARS_MAX,
  type DispatchedTask,
  type FetchSource,
  type GrowingSource,
  INLINE_BYTES_MAX,
  type LibraryDefinition,
  type ManagerMessage,
  PIECE_BYTES_MAX,
  type Recipe,
  type SendTarget,
  SERIES_SAMPLES_MAX,
  STREAM_KEPT_BYTES,
  type TryPhase,
  VALUE_BYTES_MAX,
  type WatchEnd,
  type WorkerMessage,
} from "./protocol.ts";
import type { ResourceRequest, Resources } from "./resources.ts";
import {
  CACHE_LEVELS,
  type CacheLevel,
  type Exceeded,
  type FileFacts,
  type InputMount,
  type LastingLevel,
  OUTCOMES,
  type OutputFacts,
  type OutputMount,
  type TaskBody,
  type TaskShape,
  type TryId,
  type TryResult,
  type TryTimes,
  type Usage,
  type UsageSample,
} from "./task.ts";

/** Ids, hosts, versions, names of libraries, functions and signals. */
const NAME_CHARS_MAX = 256;
/** Paths, urls and tickets; PATH_MAX of Linux. */
const PATH_CHARS_MAX = 4096;
/** Commands, variables and messages for people; what exceeds it belongs into a file. */
const TEXT_CHARS_MAX: number = 2 * 1024 * 1024;
/** A sealed key of 32 bytes has 60. */
const KEY_BYTES_MAX = 64;

const id = name(NAME_CHARS_MAX);
const path = text(PATH_CHARS_MAX);
const certificate = name(CERTIFICATE_CHARS_MAX);
const longText = text(TEXT_CHARS_MAX);
const taskId: Check<TaskId> = branded(positive);
const transferId: Check<TransferId> = branded(positive);
const instanceId: Check<InstanceId> = branded(positive);
const keepId: Check<KeepId> = branded(positive);
const watchId: Check<WatchId> = branded(positive);
const workerId: Check<WorkerId> = branded(id);
const sessionId: Check<SessionId> = branded(id);
const cacheName: Check<CacheName> = branded(name(NAME_CHARS_MAX));
const digest = matching(/^(?:[0-9a-f]{64})?$/);
const level = oneOf(CACHE_LEVELS);
const lastingLevel = oneOf<LastingLevel>(["worker", "forever"]);

/** Milliseconds that a Date can hold: ECMA-262, 21.4.1.1. */
const instant = atMost(8.64e15);

const tryFields = { taskId, try: positive };
const tryId = shape<TryId>(tryFields);
const steps = list(integer);
const naturals = list(natural);
/** What travels in columns is bounded as a whole, by its frame. */
const columnBytes = bytes(FRAME_BYTES_MAX);
const tryColumns = { taskIds: steps, tries: optional(list(positive)) };
const tryIds = packed(list(tryId), shape<TryColumns>(tryColumns), unpackTries);
/** Amounts of all that a worker has. */
export const resources: Check<Resources> = shape<Resources>({
  cores: amount,
  memoryBytes: amount,
  diskBytes: amount,
  gpus: natural,
  custom: optional(record(natural)),
});
/** What a task states of them. */
export const request: Check<ResourceRequest> = shape<ResourceRequest>({
  cores: optional(amount),
  memoryBytes: optional(amount),
  diskBytes: optional(amount),
  gpus: optional(natural),
  custom: optional(record(natural)),
});
/** What a try used. */
export const usage: Check<Usage> = shape<Usage>({
  cores: amount,
  memoryBytes: amount,
  diskBytes: amount,
  processCount: natural,
  cpuMs: amount,
});
const env = record(longText);

const fileFields = {
  name: cacheName,
  generation: natural,
  sizeBytes: natural,
  digest,
  isDirectory: flag,
  isExecutable: optional(flag),
};

const taskShape = shape<TaskShape>({
  resources,
  shares: optional(list(oneOf(["memory", "disk"]))),
  hasSeries: optional(flag),
  env,
  environments: list(cacheName),
  timeoutMs: amount,
  library: optional(id),
  valuePrefix: optional(text(NAME_CHARS_MAX)),
});

const NO_BYTES = new Uint8Array(0);

const inputMounts = list(shape<InputMount>({
  mount: path,
  name: cacheName,
  generation: natural,
  isSymlink: optional(flag),
  pathName: optional(name(NAME_CHARS_MAX)),
}));

const dispatchedTask = shape<DispatchedTask>({
  ...tryFields,
  shape: natural,
  priority: usually(finite, () => 0),
  body: kinds<TaskBody>({
    command: { command: longText, env: optional(env) },
    call: { function: id, arguments: bytes(VALUE_BYTES_MAX) },
  }),
  inputs: usually(inputMounts, () => []),
  outputs: usually(
    list(shape<OutputMount>({
      mount: path,
      name: cacheName,
      generation: natural,
      level,
      isReturned: flag,
      only: optional(oneOf(["failure"])),
    })),
    () => [],
  ),
  hasOwnInputs: optional(flag),
  hasValueFile: optional(flag),
});

const dispatchedTasks = list(dispatchedTask);

const taskColumns = shape<TaskColumns>({
  calls: shape<CallColumns>({
    ...tryColumns,
    sorts: list(shape<CallSort>({ shape: natural, function: id, priority: optional(finite) })),
    sortIndexes: optional(naturals),
    sizes: naturals,
    arguments: columnBytes,
  }),
  others: dispatchedTasks,
});

const fetchSource = kinds<FetchSource>({
  inline: { bytes: bytes(INLINE_BYTES_MAX) },
  manager: { ticket: path },
  worker: { workerId, urls: list(path), ticket: path, certificate: optional(certificate) },
  url: { url: path, validator: optional(path) },
});

const sendTarget = kinds<SendTarget>({
  manager: { ticket: path },
  url: { url: path, mode: optional(natural) },
});

/** Why a watch is over. */
export const watchEnd: Check<WatchEnd> = oneOf<WatchEnd>([
  "ended",
  "shrunk",
  "replaced",
  "special",
  "unreadable",
  "too_many",
]);

/** What can be followed. */
export const growingSource: Check<GrowingSource> = kinds<GrowingSource>({
  stream: { stream: oneOf(["stdout", "stderr"]) },
  mount: { mount: path },
});

const recipe = kinds<Recipe>({
  unpack: { input: cacheName },
  environment: { input: cacheName },
  command: {
    command: longText,
    env,
    resources,
    timeoutMs: amount,
    mount: path,
    inputs: list(shape({ mount: path, name: cacheName })),
    environments: list(cacheName),
  },
});

const library = shape<LibraryDefinition>({
  name: id,
  program: kinds<LibraryProgram>({
    javascript: { module: cacheName },
    python: { module: cacheName, moduleName: id, isPickling: optional(flag) },
    command: { command: longText },
  }),
  mode: oneOf(LIBRARY_MODES),
  context: text(NAME_CHARS_MAX),
  contextArguments: bytes(VALUE_BYTES_MAX),
  slots: positive,
  resources,
  env,
  environments: list(cacheName),
  inputs: inputMounts,
});

const samples = list(shape<UsageSample>({
  atMs: amount,
  cpuMs: amount,
  memoryBytes: amount,
  diskBytes: amount,
  processCount: natural,
}));
const series: Check<readonly UsageSample[]> = ruled(samples, ({ length }) => {
  return length > SERIES_SAMPLES_MAX ? ` has more than ${SERIES_SAMPLES_MAX} samples` : undefined;
});

const result = shape<TryResult>({
  ...tryFields,
  outcome: oneOf(OUTCOMES),
  message: usually(longText, () => ""),
  exitCode: optional(integer),
  signal: optional(id),
  mount: optional(path),
  isAmbiguous: optional(flag),
  stdout: usually(bytes(STREAM_KEPT_BYTES), () => NO_BYTES),
  stderr: usually(bytes(STREAM_KEPT_BYTES), () => NO_BYTES),
  value: optional(bytes(VALUE_BYTES_MAX)),
  valueFile: optional(shape<FileFacts>(fileFields)),
  outputs: usually(
    list(shape<OutputFacts>({ ...fileFields, content: optional(bytes(INLINE_BYTES_MAX)) })),
    () => [],
  ),
  times: shape<TryTimes>({ startedAtMs: instant, stagedMs: instant, ranMs: instant }),
  used: optional(usage),
  exceeded: optional(
    shape<Exceeded>({ resource: oneOf(["memory", "disk"]), limit: amount, used: amount }),
  ),
  series: optional(series),
});

const resultColumns = shape<ResultColumns>({
  ...tryColumns,
  sizes: naturals,
  values: columnBytes,
  startedAtUs: steps,
  ranUs: naturals,
});

/** What a worker takes. */
export const managerMessage: Check<ManagerMessage> = ruled(
  kinds<ManagerMessage>({
    welcome: {
      managerId: id,
      epoch: natural,
      session: sessionId,
      transferKey: bytes(KEY_BYTES_MAX),
      heartbeatMs: positive,
      atMs: amount,
    },
    reconcile: {
      tries: list(shape({ ...tryFields, verdict: oneOf(["keep", "kill"]) })),
      results: list(
        shape({ ...tryFields, verdict: oneOf(["resend", "keep", "acknowledge", "discard"]) }),
      ),
      replicas: list(
        shape({ name: cacheName, generation: natural, verdict: oneOf(["keep", "delete"]) }),
      ),
      instances: list(shape({ instanceId, verdict: oneOf(["keep", "stop"]) })),
    },
    dispatch: {
      shapes: list(taskShape),
      tasks: packed(dispatchedTasks, taskColumns, ({ calls, others }) => {
        const unpacked = unpackCalls(calls);
        return typeof unpacked === "string" ? `.calls${unpacked}` : unpacked.concat(others);
      }),
    },
    recall: tryFields,
    kill: tryFields,
    result_ack: { tries: tryIds },
    fetch: {
      transferId,
      name: cacheName,
      generation: natural,
      sizeBytes: integer,
      digest,
      isDirectory: flag,
      isExecutable: flag,
      level,
      stallMs: positive,
      source: fetchSource,
    },
    make: { transferId, name: cacheName, level, recipe },
    send: { transferId, name: cacheName, generation: natural, to: sendTarget },
    stop_send: { transferId },
    room_answered: {},
    verify: { name: cacheName, generation: natural },
    keep: { keepId, name: cacheName, generation: natural, level: lastingLevel },
    delete: { name: cacheName, generation: natural },
    start_instance: { instanceId, library },
    stop_instance: { instanceId, isRetiring: optional(flag) },
    watch: {
      ...tryFields,
      watchId,
      source: growingSource,
      fromByte: natural,
      creditBytes: natural,
      canSkip: flag,
    },
    watch_credit: { watchId, bytes: positive },
    unwatch: { watchId },
    heartbeat: {},
    release: { reason: longText },
  }),
  checkShapeIndexes,
);

/** What a manager takes. */
export const workerMessage: Check<WorkerMessage> = kinds<WorkerMessage>({
  hello: {
    protocol: natural,
    version: id,
    workerId,
    incarnation: id,
    session: optional(sessionId),
    host: id,
    pid: natural,
    resources,
    features: list(id),
    leftMs: optional(amount),
    urls: list(path),
    certificate: optional(certificate),
    tries: list(shape({ ...tryFields, phase: oneOf<TryPhase>(["staging", "running"]) })),
    results: list(tryId),
    replicas: list(shape<FileFacts & { readonly level: CacheLevel }>({ ...fileFields, level })),
    instances: list(shape({ instanceId, library: id, isReady: flag })),
  },
  tries_started: { tries: tryIds },
  recalled: { ...tryFields, isCrowded: optional(flag) },
  result: { result },
  results: { results: packed(list(result), resultColumns, unpackResults) },
  replica_ready: { transferId, file: shape<FileFacts>(fileFields), movedBytes: amount },
  transfer_failed: {
    transferId,
    name: cacheName,
    generation: natural,
    message: longText,
    canRetry: flag,
    isUnreachable: optional(flag),
    isDiskFull: optional(flag),
    isModified: optional(flag),
    isCorrupt: optional(flag),
    isSourceFault: optional(flag),
    movedBytes: optional(amount),
  },
  room_wanted: { files: list(shape({ name: cacheName, generation: natural })) },
  disk_used: { usedBytes: natural },
  replica_gone: { name: cacheName, generation: natural },
  replica_verified: { name: cacheName, generation: natural },
  kept: { keepId, file: shape<FileFacts>(fileFields), level: lastingLevel },
  keep_failed: { keepId, message: longText },
  stored: { transferId },
  send_failed: { transferId, message: longText, isFinal: optional(flag) },
  instance_ready: { instanceId, startMs: optional(natural) },
  instance_gone: {
    instanceId,
    reason: oneOf(["stopped", "start_failed", "died"]),
    message: longText,
  },
  piece: { watchId, atByte: natural, bytes: bytes(PIECE_BYTES_MAX) },
  watch_ended: {
    watchId,
    reason: watchEnd,
  },
  heartbeat: { refused: optional(positive) },
  leaving: { reason: longText },
});

/** The tasks of a dispatch refer to its shapes by index. */
function checkShapeIndexes(message: ManagerMessage): string | undefined {
  if (message.kind !== "dispatch") return undefined;
  const index = message.tasks.findIndex((task) => task.shape >= message.shapes.length);
  return index === -1 ? undefined : `.tasks[${index}].shape is not an index of shapes`;
}
