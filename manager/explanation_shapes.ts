/** The shape of an explanation, as a client takes it; a reason without one does not compile. */

import type { FileId, TaskId, WorkerId } from "../shared/ids.ts";
import {
  amount,
  branded,
  type Check,
  flag,
  integer,
  kinds,
  list,
  name,
  natural,
  oneOf,
  optional,
  positive,
  shape,
  text,
} from "../shared/message_check.ts";
import { OUTCOMES } from "../shared/task.ts";
import type {
  CopySource,
  Explanation,
  NeededFile,
  PassedWorker,
  Producer,
  Reason,
} from "./core/explanation.ts";
import { TASK_STATES } from "./core/task_standing.ts";

/** Ids, hosts and names of libraries, resources and features. */
const NAME_CHARS_MAX = 256;
/** Mounts; PATH_MAX of Linux. */
const PATH_CHARS_MAX = 4096;
const MESSAGE_CHARS_MAX: number = 2 * 1024 * 1024;

const id = name(NAME_CHARS_MAX);
const label = text(NAME_CHARS_MAX);
const taskId: Check<TaskId> = branded(positive);
const fileId: Check<FileId> = branded(positive);
const workerId: Check<WorkerId> = branded(id);
const state = oneOf(TASK_STATES);
const outcome = oneOf(OUTCOMES);

const file = shape<NeededFile>({
  fileId,
  mount: optional(text(PATH_CHARS_MAX)),
  library: optional(id),
  isModule: optional(flag),
});
const passed = shape<PassedWorker>({ workerId, host: id, leftMs: amount });
const producer = shape<Producer>({ taskId, state, recovery: optional(natural) });
const source = shape<CopySource>({
  kind: oneOf(["manager", "url", "worker", "recipe"]),
  workerId: optional(workerId),
  activeCount: optional(natural),
  slotCount: optional(natural),
  asideMs: optional(amount),
});
const ofWorkers = { workerCount: natural, ofCount: natural, library: optional(id) };

const reasonKinds = kinds<Reason>({
  no_worker: {},
  few_workers: { joinedCount: natural, wantedCount: natural },
  resource: { ...ofWorkers, resource: label, amount, most: amount },
  feature: { ...ofWorkers, feature: label, holderCount: natural },
  time: { ...ofWorkers, neededMs: amount, mostMs: amount },
  busy: { ...ofWorkers, resource: label },
  passed_over: { ...ofWorkers, workers: list(passed) },
  kept: ofWorkers,
  away: { ...ofWorkers, leftMs: amount },
  leaving: ofWorkers,
  crowded: ofWorkers,
  blocked: { ...ofWorkers, host: id, hostCount: natural, leftMs: optional(amount) },
  draining: ofWorkers,
  category_full: { category: label, runningCount: natural, maxConcurrent: natural },
  queue: { alikeCount: natural, otherCount: natural },
  placed_next: {},
  call_room: { library: id, resource: label, amount, workerCount: natural },
  slots: { library: id, slotCount: natural, callCount: natural },
  instances_starting: { library: id, instanceCount: natural, workerCount: natural, forMs: amount },
  instances_failed: {
    library: id,
    failureCount: natural,
    mostCount: natural,
    message: text(MESSAGE_CHARS_MAX),
  },
  turn: { libraries: list(id), isLeaving: flag, leftMs: optional(amount) },
  input_unbound: { file, origin: oneOf(["local", "url", "made"]) },
  input_unmade: { file },
  input_kept: { file, name: branded(id), leftMs: optional(amount) },
  input_made: { file, chain: list(producer), root: optional(reason) },
  more_inputs: { count: natural },
  input_coming: {
    file,
    from: source,
    forMs: amount,
    sizeBytes: integer,
    attemptCount: natural,
  },
  input_queued: { file, sources: list(source), queueCount: natural, awayCount: natural },
  input_again: { file, attemptCount: natural },
  input_detour: { file },
  room: { runningCount: natural, beforeCount: natural, stoppingCount: natural },
  disk: { freeBytes: integer, comingBytes: natural },
  recalled: {},
  worker_away: { leftMs: amount },
  instance: { library: id, forMs: optional(amount) },
  starting: {},
  running: { forMs: amount },
  output: {
    mount: text(PATH_CHARS_MAX),
    to: oneOf(["manager", "url"]),
    isQueued: flag,
    queueCount: natural,
  },
  not_seen: {},
  start_after: { leftMs: amount },
  back_off: { leftMs: amount, failureCount: natural },
  retry_asked: { outcome },
  arguments: { taskIds: list(taskId), count: natural },
  called_off: {},
  strict_input: { mounts: list(text(PATH_CHARS_MAX)), holderCount: natural },
  at_worker: { workerId, host: id, try: positive, forMs: amount },
  recovery: { count: natural, mostCount: natural },
  ended: { outcome, message: text(MESSAGE_CHARS_MAX), try: natural },
});

/** What a task waits for may be what another one waits for: messages are not nested without end. */
function reason(value: unknown): string | undefined {
  return reasonKinds(value);
}

/** Why one task does not run. */
export const explanationShape: Check<Explanation> = shape<Explanation>({
  taskId,
  state,
  reasons: list(reason),
});
