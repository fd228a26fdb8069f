/** The shape of every message of client_protocol.ts; a kind or a field without one does not compile. */

import type { FileId, TaskId, WorkerId } from "../shared/ids.ts";
import {
  amount,
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
  positive,
  record,
  ruled,
  shape,
  text,
} from "../shared/message_check.ts";
import { LIBRARY_MODES } from "../shared/library.ts";
import { growingSource, request, resources, usage, watchEnd } from "../shared/message_shapes.ts";
import { STREAM_KEPT_BYTES } from "../shared/protocol.ts";
import { CACHE_LEVELS, OUTCOMES } from "../shared/task.ts";
import type { CategoryLimits, CategoryOptions } from "./category.ts";
import {
  type ClientAnswer,
  type ClientFile,
  type ClientMember,
  type ClientMount,
  type ClientRequest,
  type ClientResult,
  type ClientTask,
  EXPLANATIONS_MAX,
  type FileRow,
  type FileTicket,
  type LibraryRow,
  ROWS_MAX,
  SUBMIT_TASKS_MAX,
  TASK_SORTS,
  type TaskLogs,
  type TaskRow,
  type TaskRowFilter,
  type TaskSelection,
  type WaitCounts,
  type WorkerRow,
} from "./client_protocol.ts";
import { PLACEMENTS } from "./core/policy.ts";
import { APP_STATES, type CallRow } from "./dashboard/call_api.ts";
import { HOST_CHANGES } from "./host_change.ts";
import { CATEGORY_MODES } from "./core/category.ts";
import { FILE_KINDS } from "./file_entry.ts";
import type { FollowPart } from "./follower.ts";
import { explanationShape } from "./explanation_shapes.ts";
import type { ManagerStatus } from "./status.ts";
import { TASK_STATES } from "./task_handle.ts";
import type { TaskTimes } from "./task_result.ts";

/** Ids, hosts, tags, categories, names of mounts and of features. */
const NAME_CHARS_MAX = 256;
/** Paths, urls and tickets; PATH_MAX of Linux. */
const PATH_CHARS_MAX = 4096;
/** Commands, variables and messages; submit.ts limits what a command and its variables take. */
const TEXT_CHARS_MAX: number = 2 * 1024 * 1024;
/** Mounts of one task, environments and features. */
const MOUNTS_MAX = 10_000;
/** Variables of one task. */
const VARIABLES_MAX = 10_000;
/** Custom resources of one task. */
const CUSTOM_MAX = 100;
/** Ranges of a selection. */
const RANGES_MAX = 10_000;
const POLICIES_MAX = 100;
const id = name(NAME_CHARS_MAX);
const label = text(NAME_CHARS_MAX);
const path = name(PATH_CHARS_MAX);
const longText = text(TEXT_CHARS_MAX);
const randomId = matching(/^[A-Za-z0-9_-]{8,64}$/);
const taskId: Check<TaskId> = branded(positive);
const fileId: Check<FileId> = branded(positive);
const workerId: Check<WorkerId> = branded(id);
const digest = matching(/^[0-9a-f]{64}$/);
const level = oneOf(CACHE_LEVELS);
const mode: Check<number> = ruled(
  natural,
  (value) => value > 0o777 ? " is above 0o777" : undefined,
);
const fileKind = oneOf(FILE_KINDS);
const env = limitedRecord(longText, VARIABLES_MAX);
const state = oneOf(TASK_STATES);
const outcome = oneOf(OUTCOMES);

const range: Check<readonly [number, number]> = (value) => {
  if (!Array.isArray(value) || value.length !== 2) return " is not a pair";
  return natural(value[0]) ?? natural(value[1]);
};

const selection = kinds<TaskSelection>({
  all: {},
  last: {},
  tag: { label },
  category: { label },
  ids: { ranges: limitedList(range, RANGES_MAX) },
});

const mount = shape<ClientMount>({
  mount: path,
  fileId,
  isSymlink: optional(flag),
  isStrict: optional(flag),
  isWatched: optional(flag),
  only: optional(oneOf(["success", "failure"])),
});

const task = shape<ClientTask>({
  command: longText,
  inputs: limitedList(mount, MOUNTS_MAX),
  outputs: limitedList(mount, MOUNTS_MAX),
  environments: limitedList(fileId, MOUNTS_MAX),
  env,
  cores: optional(amount),
  memoryBytes: optional(amount),
  diskBytes: optional(amount),
  gpus: optional(natural),
  custom: optional(limitedRecord(natural, CUSTOM_MAX)),
  tag: optional(label),
  category: optional(label),
  priority: optional(finite),
  retries: optional(natural),
  retryDelayMs: optional(amount),
  retryOn: optional(limitedList(outcome, OUTCOMES.length)),
  maxForsaken: optional(natural),
  workerLosses: optional(natural),
  hasSeries: optional(flag),
  timeoutMs: optional(amount),
  minTimeMs: optional(amount),
  placement: optional(oneOf(PLACEMENTS)),
  startInMs: optional(amount),
  endInMs: optional(amount),
  features: optional(limitedList(id, MOUNTS_MAX)),
});

const file = kinds<ClientFile>({
  local: { path },
  upload: { sizeBytes: natural, digest, isDirectory: flag, isExecutable: flag },
  buffer: {},
  temp: { replicas: optional(natural), isReleasedByUse: optional(flag) },
  url: { url: path, sha256: optional(digest) },
  unpack: { archive: fileId },
  environment: { archive: fileId },
  mini_task: { task, mount: path },
});

const member = shape<ClientMember>({ env, outputs: limitedList(mount, MOUNTS_MAX) });

const limits = shape<CategoryLimits>({
  cores: optional(amount),
  memory: optional(policyValue),
  disk: optional(policyValue),
  gpus: optional(natural),
});

/** The manager reads sizes as it reads those of its own script. */
const categoryOptions = shape<CategoryOptions>({
  mode: optional(oneOf(CATEGORY_MODES)),
  max: optional(limits),
  min: optional(limits),
  first: optional(limits),
  maxConcurrent: optional(natural),
});

const requestId = natural;

const taskFilter = shape<TaskRowFilter>({
  category: optional(label),
  tag: optional(label),
  worker: optional(id),
  outcomes: optional(limitedList(outcome, OUTCOMES.length)),
});

/** What a manager takes of a client. */
export const clientRequest: Check<ClientRequest> = kinds<ClientRequest>({
  open: { requestId, version: natural, clientId: randomId },
  ping: { requestId },
  status: { requestId },
  dashboard: { requestId },
  declare: { requestId, file, level, mode: optional(mode), peerTransfer: optional(flag) },
  undeclare: { requestId, fileId },
  replicate: { requestId, fileId, count: natural },
  prune: { requestId, fileId },
  fetch: { requestId, fileId },
  submit: {
    requestId,
    submissionId: randomId,
    part: natural,
    task,
    members: limitedList(member, SUBMIT_TASKS_MAX),
  },
  wait: { requestId, selection, progressMs: natural },
  result: { requestId, taskId },
  cancel: { requestId, selection },
  tasks: {
    requestId,
    selection,
    states: limitedList(state, TASK_STATES.length),
    isFailed: flag,
    after: natural,
    filter: optional(taskFilter),
    limit: optional(positive),
    sort: optional(oneOf(TASK_SORTS)),
  },
  workers: { requestId, host: optional(id) },
  libraries: { requestId, name: optional(id) },
  host: {
    requestId,
    host: id,
    change: oneOf(HOST_CHANGES),
    forMs: optional(amount),
  },
  dismiss: { requestId, count: natural },
  files: {
    requestId,
    after: natural,
    levels: optional(limitedList(level, CACHE_LEVELS.length)),
    kinds: optional(limitedList(fileKind, FILE_KINDS.length)),
  },
  calls: {
    requestId,
    states: optional(limitedList(oneOf(APP_STATES), APP_STATES.length)),
    app: optional(path),
    search: optional(path),
    offset: natural,
    limit: positive,
  },
  explain: { requestId, selection, after: natural },
  logs: { requestId, taskId },
  follow: {
    requestId,
    followId: randomId,
    taskId,
    source: growingSource,
    try: natural,
    fromByte: natural,
  },
  unfollow: { requestId, followId: randomId },
  tune: { requestId, policies: limitedRecord(policyValue, POLICIES_MAX) },
  category: { requestId, name: id, options: categoryOptions },
});

const ticket = shape<FileTicket>({
  name: id,
  ticket: path,
  sizeBytes: integer,
  digest: text(64),
  isDirectory: flag,
});

const counts = shape<WaitCounts>({
  total: natural,
  pending: natural,
  running: natural,
  succeeded: natural,
  failed: natural,
  cancelled: natural,
});

const times = shape<TaskTimes>({
  submittedAtMs: amount,
  dispatchedAtMs: amount,
  startedAtMs: amount,
  endedAtMs: amount,
  stagedMs: amount,
  ranMs: amount,
});

const taskRow = shape<TaskRow>({
  id: taskId,
  state,
  recovery: optional(state),
  outcome: optional(outcome),
  command: longText,
  tag: optional(label),
  category: optional(label),
  callId: optional(taskId),
  app: optional(longText),
  try: natural,
  workerId: optional(workerId),
  host: optional(id),
  exitCode: optional(integer),
  signal: optional(id),
  message: longText,
  allocated: optional(resources),
  used: optional(usage),
  submittedAtMs: amount,
  startedAtMs: amount,
  endedAtMs: amount,
});

const callRow = shape<CallRow>({
  callId: natural,
  app: longText,
  appKind: oneOf(["javascript", "python", "command", "join"]),
  label: orNull(longText),
  executor: longText,
  state: oneOf(APP_STATES),
  try: natural,
  argumentText: longText,
  message: longText,
  host: orNull(longText),
  taskId: orNull(natural),
  calledAtMs: amount,
  launchedAtMs: orNull(amount),
  endedAtMs: orNull(amount),
  ranMs: orNull(amount),
  memoKey: orNull(longText),
});

const result = shape<ClientResult>({
  id: taskId,
  tag: optional(label),
  category: optional(label),
  try: natural,
  outcome,
  exitCode: optional(integer),
  signal: optional(id),
  mount: optional(path),
  message: longText,
  stdout: bytes(STREAM_KEPT_BYTES),
  stderr: bytes(STREAM_KEPT_BYTES),
  workerId: optional(id),
  host: optional(id),
  times,
  requested: request,
  allocated: optional(resources),
  used: optional(usage),
});

const workerRow = shape<WorkerRow>({
  workerId,
  host: id,
  state: oneOf(["connected", "away", "leaving", "blocked", "draining", "out_of_time"]),
  resources,
  committed: resources,
  features: list(id),
  tasks: natural,
  instances: natural,
  replicas: natural,
  cachedBytes: natural,
  diskUsedBytes: natural,
});

const libraryRow = shape<LibraryRow>({
  name: id,
  program: oneOf(["javascript", "python", "command"]),
  mode: oneOf(LIBRARY_MODES),
  slots: natural,
  instances: shape<LibraryRow["instances"]>({
    starting: natural,
    ready: natural,
    retiring: natural,
  }),
  workers: natural,
  calls: shape<LibraryRow["calls"]>({
    waiting: natural,
    running: natural,
    done: natural,
    failed: natural,
  }),
  failedStarts: natural,
  failure: optional(longText),
});

const fileRow = shape<FileRow>({
  fileId,
  kind: fileKind,
  cacheName: optional(id),
  sizeBytes: integer,
  level,
  replicas: natural,
  isAtManager: flag,
  isNondeterministic: optional(flag),
  source: optional(longText),
});

const logs = shape<TaskLogs>({
  taskId,
  state,
  outcome: optional(outcome),
  stdout: bytes(STREAM_KEPT_BYTES),
  stderr: bytes(STREAM_KEPT_BYTES),
  isKept: flag,
});

const part = shape<FollowPart>({
  try: positive,
  atByte: natural,
  bytes: bytes(STREAM_KEPT_BYTES),
  skippedBytes: natural,
  stopped: optional(watchEnd),
});

/** A field may be added; the version tells when one means something else. */
const status: Check<ManagerStatus> = (value) => {
  const isStatus = typeof value === "object" && value !== null && "version" in value;
  return isStatus && value.version === 1 ? undefined : " is not a status of version 1";
};

/** What a client takes of a manager. */
export const clientAnswer: Check<ClientAnswer> = kinds<ClientAnswer>({
  opened: { requestId, host: id },
  failed: { requestId, message: longText, isUsage: flag },
  pong: { requestId },
  status: { requestId, status },
  dashboard: { requestId, fragment: matching(/^#token=[\w-]{8,256}$/), canAct: flag },
  declared: { requestId, fileId, upload: optional(ticket) },
  done: { requestId },
  fetched: { requestId, file: ticket },
  submitted: { requestId, firstId: taskId, count: natural },
  progress: { requestId, counts, failures: list(result) },
  waited: { requestId, counts, failures: list(result) },
  result: { requestId, result },
  cancelled: { requestId, count: natural },
  tasks: { requestId, tasks: limitedList(taskRow, ROWS_MAX), hasMore: flag },
  workers: { requestId, workers: list(workerRow) },
  libraries: { requestId, libraries: limitedList(libraryRow, ROWS_MAX) },
  files: { requestId, files: limitedList(fileRow, ROWS_MAX), hasMore: flag },
  calls: { requestId, total: natural, calls: limitedList(callRow, ROWS_MAX) },
  explained: {
    requestId,
    explanations: limitedList(explanationShape, EXPLANATIONS_MAX),
    hasMore: flag,
  },
  logs: { requestId, logs },
  followed: { requestId, part: optional(part) },
});

function policyValue(value: unknown): string | undefined {
  if (typeof value === "string") return label(value);
  return typeof value === "boolean" || Number.isFinite(value)
    ? undefined
    : " is neither text nor a number nor true or false";
}

function orNull<T>(check: Check<T>): Check<T | null> {
  return (value) => value === null ? undefined : check(value);
}

/** A list of at most `most` entries, which is looked at before they are. */
function limitedList<T>(check: Check<T>, most: number): Check<readonly T[]> {
  const isList = list(check);
  return (value) => {
    const isLong = Array.isArray(value) && value.length > most;
    return isLong ? ` has more than ${most} entries` : isList(value);
  };
}

/** A map of at most `most` entries with names of at most `PATH_CHARS_MAX`. */
function limitedRecord<T>(
  check: Check<T>,
  most: number,
): Check<{ readonly [name: string]: T }> {
  return ruled(record(check), (value) => {
    const names = Object.keys(value);
    if (names.length > most) return ` has more than ${most} entries`;
    const isLong = names.some((key) => key.length > PATH_CHARS_MAX);
    return isLong ? ` has a name longer than ${PATH_CHARS_MAX} characters` : undefined;
  });
}
