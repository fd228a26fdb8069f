/** What clients ask of tasks: to wait for them, how they ended, what they wrote, to end them. */

import type { TaskId } from "../shared/ids.ts";
import { STREAM_KEPT_BYTES } from "../shared/protocol.ts";
import type { TaskEnding, TaskEntry } from "./catalog.ts";
import type { Asker } from "./client_link.ts";
import type {
  ClientAnswer,
  ClientRequest,
  ClientResult,
  TaskLogs,
  TaskSelection,
} from "./client_protocol.ts";
import type { OutputLog, TaskOutput } from "./output_log.ts";
import type { TaskFilter } from "./task_desk.ts";
import { taskPage, type TaskRowSources } from "./task_rows.ts";
import { TaskWait } from "./task_wait.ts";

/** Waits of all clients together; each costs something for every task that ends. */
const WAITS_MAX = 2000;

/** Failures that one `progress` tells of. */
const NEWS_MAX = 5;

/** Between two `progress` of one wait, at the least. */
const PROGRESS_MS_MIN = 100;

/** Output in one answer. */
const ANSWER_OUTPUT_BYTES: number = 4 * 1024 * 1024;

const NO_BYTES = new Uint8Array();

type Wish<K extends ClientRequest["kind"]> = Extract<ClientRequest, { kind: K }>;

/** What the answers are made of. */
export interface ClientTasksOptions extends TaskRowSources {
  readonly output: OutputLog;
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
    const wait = this.#begin(selection);
    let toldCount = wait.failures.length;
    await this.#await(wait, {
      asker,
      progressMs,
      tell: async () => {
        const { counts } = wait;
        const news = wait.failures.slice(toldCount, toldCount + NEWS_MAX);
        toldCount += news.length;
        const failures = await this.#resultsOf(news);
        asker.tell({ kind: "progress", requestId, counts, failures });
      },
    });
    const { counts, failures } = wait;
    return { kind: "waited", requestId, counts, failures: await this.#resultsOf(failures) };
  }

  /** How these ended, with what they wrote last as far as there is room for it. */
  async #resultsOf(failures: readonly TaskEntry[]): Promise<ClientResult[]> {
    const bytesMax = Math.floor(ANSWER_OUTPUT_BYTES / Math.max(1, failures.length) / 2);
    const results: ClientResult[] = [];
    for (const entry of failures) {
      const { ending } = entry;
      if (ending === undefined) continue;
      results.push(resultOf(entry, ending, cutOutput(await this.#read(ending), bytesMax)));
    }
    return results;
  }

  /** Answers when the task has ended. */
  async result({ requestId, taskId }: Wish<"result">, asker: Asker): Promise<ClientAnswer> {
    // The entry is held: it may be forgotten by the time that its end is told.
    const entry = this.#find(taskId);
    const selection = { kind: "ids", ranges: [[taskId, taskId]] } as const;
    await this.#await(this.#begin(selection), { asker, progressMs: 0, tell: async () => {} });
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
  tasks(wish: Wish<"tasks">): ClientAnswer {
    return { kind: "tasks", requestId: wish.requestId, ...taskPage(wish, this.#options) };
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

  #begin(selection: TaskSelection): TaskWait {
    if (this.#waitCount >= WAITS_MAX) {
      throw new Error(`Cannot wait for tasks: ${WAITS_MAX} clients do already`);
    }
    return new TaskWait(this.#options.catalog.select(selection));
  }

  async #await(
    wait: TaskWait,
    { asker, progressMs, tell }: {
      readonly asker: Asker;
      readonly progressMs: number;
      /** One at a time. */
      readonly tell: () => Promise<void>;
    },
  ): Promise<void> {
    const stop = () => wait.stop();
    asker.signal.addEventListener("abort", stop, { once: true });
    this.#waitCount += 1;
    let telling: Promise<void> | undefined;
    const tellNext = (): void => {
      telling ??= tell().finally(() => telling = undefined);
    };
    const timer = progressMs > 0
      ? setInterval(tellNext, Math.max(progressMs, PROGRESS_MS_MIN))
      : undefined;
    try {
      await wait.ended;
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

const EMPTY: TaskOutput = { stdout: NO_BYTES, stderr: NO_BYTES };

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
