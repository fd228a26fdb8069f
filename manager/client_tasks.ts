/** What clients ask of tasks: to wait for them, how they ended, what they wrote, to end them. */

import type { TaskId, WorkerId } from "../shared/ids.ts";
import { STREAM_KEPT_BYTES } from "../shared/protocol.ts";
import { type Catalog, standingOf, type TaskEnding, type TaskEntry } from "./catalog.ts";
import type { Asker } from "./client_link.ts";
import {
  type ClientAnswer,
  type ClientRequest,
  type ClientResult,
  ROWS_MAX,
  type TaskLogs,
  type TaskRow,
  type TaskSelection,
  type WaitCounts,
} from "./client_protocol.ts";
import type { OutputLog, TaskOutput } from "./output_log.ts";
import type { TaskFilter } from "./task_desk.ts";
import type { TaskStateName } from "./task_handle.ts";
import { TaskWait } from "./task_wait.ts";

/** Waits of all clients together; each costs something for every task that ends. */
const WAITS_MAX = 2000;

/** Between two `progress` of one wait, at the least. */
const PROGRESS_MS_MIN = 100;

/** Text in one answer, so that it fits a frame; a character takes up to 3 bytes. */
const ANSWER_CHARS_MAX: number = 1024 * 1024;

/** Output in one answer. */
const ANSWER_OUTPUT_BYTES: number = 4 * 1024 * 1024;

const NO_BYTES = new Uint8Array();

type Wish<K extends ClientRequest["kind"]> = Extract<ClientRequest, { kind: K }>;

/** Where a pending task stands, as the core knows it. */
export interface PendingTask {
  readonly state: TaskStateName;
  readonly try: number;
  readonly workerId?: WorkerId;
  readonly host?: string;
}

/** What the answers are made of. */
export interface ClientTasksOptions {
  readonly catalog: Catalog;
  readonly output: OutputLog;
  readonly look: (id: TaskId) => PendingTask;
  /** Where a task that has ended stands, while it runs again to remake a temp. */
  readonly recoveryOf: (id: TaskId) => TaskStateName | undefined;
  /** Both return how many tasks were pending. */
  readonly cancelAll: (filter: TaskFilter) => number;
  readonly cancelMany: (ids: readonly TaskId[]) => number;
}

/** Answers about the tasks of one manager. */
export class ClientTasks {
  readonly #options: ClientTasksOptions;
  #waitCount = 0;

  constructor(options: ClientTasksOptions) {
    this.#options = options;
  }

  /** Answers when all have ended. */
  async wait(wish: Wish<"wait">, asker: Asker): Promise<ClientAnswer> {
    const { requestId, selection, progressMs } = wish;
    const { counts, failures } = await this.#await(selection, {
      asker,
      progressMs,
      tell: (now) => asker.tell({ kind: "progress", requestId, counts: now }),
    });
    const bytesMax = Math.floor(ANSWER_OUTPUT_BYTES / Math.max(1, failures.length) / 2);
    const results: ClientResult[] = [];
    for (const entry of failures) {
      const { ending } = entry;
      if (ending === undefined) continue;
      results.push(resultOf(entry, ending, cutOutput(await this.#read(ending), bytesMax)));
    }
    return { kind: "waited", requestId, counts, failures: results };
  }

  /** Answers when the task has ended. */
  async result({ requestId, taskId }: Wish<"result">, asker: Asker): Promise<ClientAnswer> {
    // The entry is held: it may be forgotten by the time that its end is told.
    const entry = this.#find(taskId);
    const selection = { kind: "ids", ranges: [[taskId, taskId]] } as const;
    await this.#await(selection, { asker, progressMs: 0, tell: () => {} });
    const { ending } = entry;
    if (ending === undefined) throw new Error(`Cannot wait for task ${taskId}: nobody asks`);
    const result = resultOf(entry, ending, await this.#read(ending) ?? EMPTY);
    return { kind: "result", requestId, result };
  }

  /** Ends what has not ended. */
  cancel({ requestId, selection }: Wish<"cancel">): ClientAnswer {
    const { cancelAll, cancelMany, catalog } = this.#options;
    if (selection.kind === "tag" || selection.kind === "category") {
      const count = cancelAll({ [selection.kind]: selection.label });
      return { kind: "cancelled", requestId, count };
    }
    const ids: TaskId[] = [];
    for (const { id, ending } of catalog.select(selection)) {
      if (ending === undefined) ids.push(id);
    }
    return { kind: "cancelled", requestId, count: cancelMany(ids) };
  }

  /** One page of a table. */
  tasks({ requestId, selection, states, isFailed, after }: Wish<"tasks">): ClientAnswer {
    const rows: TaskRow[] = [];
    let chars = 0;
    for (const entry of this.#options.catalog.select(selection, after)) {
      if (isFailed && standingOf(entry) !== "failed") continue;
      // A state is only worth asking for when somebody does.
      const pending = entry.ending === undefined ? this.#options.look(entry.id) : undefined;
      if (states.length > 0 && !states.includes(pending?.state ?? "done")) continue;
      if (rows.length === ROWS_MAX || chars > ANSWER_CHARS_MAX) {
        return { kind: "tasks", requestId, tasks: rows, hasMore: true };
      }
      const row = rowOf(entry, pending, this.#options.recoveryOf(entry.id));
      chars += charsOf(row);
      rows.push(row);
    }
    return { kind: "tasks", requestId, tasks: rows, hasMore: false };
  }

  /** What a task wrote. */
  async logs({ requestId, taskId }: Wish<"logs">): Promise<ClientAnswer> {
    const entry = this.#find(taskId);
    const { ending } = entry;
    const output = ending && await this.#read(ending);
    const logs: TaskLogs = {
      taskId,
      state: ending === undefined ? this.#options.look(taskId).state : "done",
      ...(ending === undefined ? {} : { outcome: ending.outcome }),
      ...(output ?? EMPTY),
      isKept: output !== undefined,
    };
    return { kind: "logs", requestId, logs };
  }

  async #await(
    selection: TaskSelection,
    { asker, progressMs, tell }: {
      readonly asker: Asker;
      readonly progressMs: number;
      readonly tell: (counts: WaitCounts) => void;
    },
  ): Promise<TaskWait> {
    if (this.#waitCount >= WAITS_MAX) {
      throw new Error(`Cannot wait for tasks: ${WAITS_MAX} clients do already`);
    }
    const wait = new TaskWait(this.#options.catalog.select(selection));
    const stop = () => wait.stop();
    asker.signal.addEventListener("abort", stop, { once: true });
    this.#waitCount += 1;
    const timer = progressMs > 0
      ? setInterval(() => tell(wait.counts), Math.max(progressMs, PROGRESS_MS_MIN))
      : undefined;
    try {
      await wait.ended;
      return wait;
    } finally {
      clearInterval(timer);
      this.#waitCount -= 1;
      asker.signal.removeEventListener("abort", stop);
    }
  }

  #find(taskId: TaskId): TaskEntry {
    const { catalog } = this.#options;
    const entry = catalog.get(taskId);
    if (entry !== undefined) return entry;
    // Of a number that is no task's, this says so.
    const found = catalog.select({ kind: "ids", ranges: [[taskId, taskId]] });
    found.next();
    throw new Error(`Cannot find task ${taskId}: it ended too long ago to be remembered`);
  }

  #read(ending: TaskEnding): Promise<TaskOutput | undefined> {
    return this.#options.output.read(ending.output);
  }
}

function charsOf({ command, message, tag = "", category = "" }: TaskRow): number {
  return command.length + message.length + tag.length + category.length;
}

const EMPTY: TaskOutput = { stdout: NO_BYTES, stderr: NO_BYTES };

function rowOf(
  entry: TaskEntry,
  pending: PendingTask | undefined,
  recovery: TaskStateName | undefined,
): TaskRow {
  const { id, command, tag, category, submittedAtMs, ending } = entry;
  const { workerId, host } = ending ?? pending ?? {};
  return {
    id,
    state: pending?.state ?? "done",
    ...(recovery === undefined ? {} : { recovery }),
    ...(ending === undefined ? {} : { outcome: ending.outcome }),
    command,
    ...(tag === undefined ? {} : { tag }),
    ...(category === undefined ? {} : { category }),
    try: ending?.try ?? pending?.try ?? 0,
    // The catalog keeps the ids of the core.
    ...(workerId === undefined ? {} : { workerId: workerId as WorkerId }),
    ...(host === undefined ? {} : { host }),
    ...(ending?.exitCode === undefined ? {} : { exitCode: ending.exitCode }),
    ...(ending?.signal === undefined ? {} : { signal: ending.signal }),
    message: ending?.message ?? "",
    ...(ending?.allocated === undefined ? {} : { allocated: ending.allocated }),
    ...(ending?.used === undefined ? {} : { used: ending.used }),
    submittedAtMs: ending?.times.submittedAtMs ?? submittedAtMs,
    startedAtMs: ending?.times.startedAtMs ?? entry.startedAtMs,
    endedAtMs: ending?.times.endedAtMs ?? 0,
  };
}

function resultOf(entry: TaskEntry, ending: TaskEnding, output: TaskOutput): ClientResult {
  const { id, tag, category, requested } = entry;
  const { outcome, message, exitCode, signal, mount, workerId, host, times } = ending;
  const { allocated, used } = ending;
  return {
    id,
    ...(tag === undefined ? {} : { tag }),
    ...(category === undefined ? {} : { category }),
    try: ending.try,
    outcome,
    ...(exitCode === undefined ? {} : { exitCode }),
    ...(signal === undefined ? {} : { signal }),
    ...(mount === undefined ? {} : { mount }),
    message,
    ...output,
    ...(workerId === undefined ? {} : { workerId }),
    ...(host === undefined ? {} : { host }),
    times,
    requested,
    ...(allocated === undefined ? {} : { allocated }),
    ...(used === undefined ? {} : { used }),
  };
}

/** The end of what a task wrote. */
function cutOutput(output: TaskOutput | undefined, bytesMax: number): TaskOutput {
  if (output === undefined) return EMPTY;
  const most = Math.min(bytesMax, STREAM_KEPT_BYTES);
  return { stdout: endOf(output.stdout, most), stderr: endOf(output.stderr, most) };
}

function endOf(bytes: Uint8Array, bytesMax: number): Uint8Array {
  return bytes.length <= bytesMax ? bytes : bytes.subarray(bytes.length - bytesMax);
}
