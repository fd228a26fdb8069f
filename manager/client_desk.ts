/** Answers what clients ask: finds who knows, for each kind of request. */

import { unreachable } from "../shared/assert.ts";
import type { TaskId } from "../shared/ids.ts";
import { ClientFiles, type ClientFilesOptions } from "./client_files.ts";
import type { Asker, ClientDesk, ClientWish } from "./client_link.ts";
import { type ClientAnswer, type FileRow, ROWS_MAX } from "./client_protocol.ts";
import { ClientFollows } from "./client_follow.ts";
import { fileRow, libraryRows, workerRow } from "./client_rows.ts";
import { Submissions } from "./client_submit.ts";
import { ClientTasks } from "./client_tasks.ts";
import { readPolicies } from "./config.ts";
import type { ManagerEvent } from "./core/event.ts";
import { readCategory } from "./category.ts";
import type { CategoryChange } from "./core/event.ts";
import type { Policies } from "./core/policy.ts";
import type { Question } from "./dashboard/api.ts";
import type { CallRows } from "./dashboard/call_api.ts";
import type { Right } from "./dashboard/session.ts";
import type { ManagerState } from "./core/state.ts";
import { explainTasks } from "./explanation.ts";
import type { OutputLog } from "./output_log.ts";
import type { Catalog } from "./catalog.ts";
import type { ManagerStatus } from "./status.ts";
import type { TailDesk } from "./tail_desk.ts";
import type { TaskDesk } from "./task_desk.ts";
import { type TaskStateName, taskStateOf } from "./task_handle.ts";
import type { PendingTask } from "./task_rows.ts";

/** Characters of paths and urls in one answer. */
const ANSWER_CHARS_MAX: number = 1024 * 1024;

type Wish<K extends ClientWish["kind"]> = Extract<ClientWish, { readonly kind: K }>;

/** What a desk is made of. */
export interface RequestDeskOptions extends ClientFilesOptions {
  /** Only looked at. */
  readonly state: ManagerState;
  readonly tasks: TaskDesk;
  readonly catalog: Catalog;
  /** By the clock of the state's events. */
  readonly nowMs: () => number;
  readonly output: OutputLog;
  readonly tails: TailDesk;
  readonly status: () => ManagerStatus;
  /** The answer is JSON; undefined when nothing is recorded. */
  readonly askRecords: (question: Question) => Promise<Uint8Array> | undefined;
  readonly dashboardFragment: (right: Right) => string;
  readonly tune: (policies: Policies) => void;
  readonly push: (event: ManagerEvent) => void;
  readonly declareCategory: (category: CategoryChange) => void;
}

/** The requests of all clients of one manager. */
export class RequestDesk implements ClientDesk {
  readonly #options: RequestDeskOptions;
  readonly #files: ClientFiles;
  readonly #tasks: ClientTasks;
  readonly #submissions: Submissions;
  readonly #follows: ClientFollows;

  constructor(options: RequestDeskOptions) {
    const { catalog, output, tasks, store, state } = options;
    this.#options = options;
    this.#files = new ClientFiles(options);
    this.#submissions = new Submissions({ tasks, store, catalog, files: this.#files });
    this.#follows = new ClientFollows(options);
    this.#tasks = new ClientTasks({
      catalog,
      output,
      look: (id) => lookAt(state, id),
      recoveryOf: (id) => recoveryOf(state, id),
      cancelAll: (filter) => tasks.cancelAll(filter),
      cancelMany: (ids) => tasks.cancelMany(ids),
    });
  }

  /** See `ClientDesk`. */
  joined(clientId: string): void {
    this.#files.joined(clientId);
  }

  /** See `ClientDesk`. */
  left(clientId: string): void {
    this.#files.left(clientId);
  }

  /** See `ClientDesk`. */
  answer(wish: ClientWish, asker: Asker): ClientAnswer | Promise<ClientAnswer> {
    const { requestId } = wish;
    switch (wish.kind) {
      case "ping":
        return { kind: "pong", requestId };
      case "status":
        return { kind: "status", requestId, status: this.#options.status() };
      case "dashboard": {
        const canAct = asker.role === "client";
        const fragment = this.#options.dashboardFragment(canAct ? "act" : "look");
        return { kind: "dashboard", requestId, fragment, canAct };
      }
      case "declare":
        return this.#files.declare(wish, asker);
      case "undeclare":
        return this.#files.undeclare(wish, asker);
      case "replicate":
        return this.#files.replicate(wish);
      case "prune":
        return this.#files.prune(wish);
      case "fetch":
        return this.#files.fetch(wish, asker);
      case "submit":
        return this.#submissions.submit(wish)
          .then(({ firstId, count }) => ({ kind: "submitted", requestId, firstId, count }));
      case "wait":
        return this.#tasks.wait(wish, asker);
      case "result":
        return this.#tasks.result(wish, asker);
      case "cancel":
        return this.#tasks.cancel(wish);
      case "tasks":
        return this.#tasks.tasks(wish);
      case "calls":
        return this.#listCalls(wish);
      case "explain":
        return explainTasks(this.#options, wish);
      case "logs":
        return this.#tasks.logs(wish);
      case "follow":
        return this.#follows.follow(wish, asker);
      case "unfollow":
        this.#follows.unfollow(wish.followId, asker);
        return { kind: "done", requestId };
      case "workers":
        return this.#workers(wish);
      case "libraries":
        return this.#libraries(wish);
      case "files":
        return this.#listFiles(wish);
      case "host": {
        const { change, host, forMs = Infinity } = wish;
        this.#options.push({ kind: "host_changed", host, change, forMs });
        return { kind: "done", requestId };
      }
      case "dismiss":
        this.#options.push({ kind: "workers_released", count: wish.count });
        return { kind: "done", requestId };
      case "tune":
        this.#options.tune(readPolicies(wish.policies, this.#options.state.policies));
        return { kind: "done", requestId };
      case "category": {
        const { name, options } = wish;
        this.#options.declareCategory(readCategory(name, options));
        return { kind: "done", requestId };
      }
      default:
        return unreachable(wish);
    }
  }

  /** Waits for nothing any more. */
  close(): void {
    this.#files.close();
  }

  #workers({ requestId, host }: Wish<"workers">): ClientAnswer {
    const workers = [...this.#options.state.workers.values()].filter((worker) => {
      return host === undefined || worker.host === host;
    });
    return { kind: "workers", requestId, workers: workers.slice(0, ROWS_MAX).map(workerRow) };
  }

  #libraries({ requestId, name }: Wish<"libraries">): ClientAnswer {
    const rows = libraryRows(this.#options.state).filter((row) => {
      return name === undefined || row.name === name;
    });
    return { kind: "libraries", requestId, libraries: rows.slice(0, ROWS_MAX) };
  }

  async #listCalls({ requestId, kind, limit, ...filter }: Wish<"calls">): Promise<ClientAnswer> {
    const part = { limit: Math.min(limit, ROWS_MAX), sort: "id", isDescending: false } as const;
    const answer = await this.#options.askRecords({ kind, ...filter, ...part });
    if (answer === undefined) throw new Error("Cannot list calls of apps: there are no records");
    const { rows: calls, total }: CallRows = JSON.parse(new TextDecoder().decode(answer));
    return { kind: "calls", requestId, calls, total };
  }

  /** One page of a table. */
  #listFiles({ requestId, after, levels = [], kinds = [] }: Wish<"files">): ClientAnswer {
    const { store, state } = this.#options;
    const files: FileRow[] = [];
    let chars = 0;
    for (const entry of store.entries()) {
      if (entry.id <= after) continue;
      if (levels.length > 0 && !levels.includes(entry.level)) continue;
      if (kinds.length > 0 && !kinds.includes(entry.source.kind)) continue;
      if (files.length === ROWS_MAX || chars > ANSWER_CHARS_MAX) {
        return { kind: "files", requestId, files, hasMore: true };
      }
      const row = fileRow(entry, state.files.get(entry.id));
      chars += row.source?.length ?? 0;
      files.push(row);
    }
    return { kind: "files", requestId, files, hasMore: false };
  }
}

/** Where a task that has ended stands, while it runs again. */
function recoveryOf(state: ManagerState, id: TaskId): TaskStateName | undefined {
  const task = state.tasks.get(id);
  return task?.isSettled === true && task.state.kind !== "done" ? taskStateOf(task) : undefined;
}

/** Where a task that has not ended stands. */
function lookAt(state: ManagerState, id: TaskId): PendingTask {
  const task = state.tasks.get(id);
  const name = taskStateOf(task);
  if (task?.state.kind !== "dispatched" && task?.state.kind !== "retrieving") {
    return { state: name, try: task?.tryCount ?? 0 };
  }
  const { workerId, host } = task.state.attempt.worker;
  return { state: name, try: task.tryCount, workerId, host };
}
