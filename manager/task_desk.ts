/** The tasks that scripts wait for: from `submit` until the handle has its result. */

import { assert } from "../shared/assert.ts";
import type { TaskId } from "../shared/ids.ts";
import type { TaskBody } from "../shared/task.ts";
import type { ManagerEvent } from "./core/event.ts";
import type { TaskEnd } from "./core/instruction.ts";
import type { FileEntry } from "./file_entry.ts";
import type { FileStore } from "./file_store.ts";
import { ResultQueue } from "./result_queue.ts";
import { type CheckedCall, type CheckedProcess, TaskMaker } from "./task_definition.ts";
import {
  TaskHandle,
  type TaskHandleOptions,
  type TaskOwner,
  type TaskStateName,
} from "./task_handle.ts";
import type { TaskResult } from "./task_result.ts";

/** What a desk is made of. */
export interface TaskDeskOptions {
  readonly store: FileStore;
  readonly push: (event: ManagerEvent) => void;
  /** What the core says of a task that has not ended. */
  readonly stateOf: (id: TaskId) => TaskStateName;
}

/** A checked task with what its handle needs. */
export interface Submission<T> {
  readonly call: CheckedCall;
  readonly body: TaskBody;
  /** Files among the arguments of a call. */
  readonly files?: readonly FileEntry[];
  readonly runsIn: CheckedProcess | { readonly library: string };
  readonly readers?: Pick<TaskHandleOptions<T>, "readValue" | "readError">;
}

/** Which tasks `cancel` ends. */
export interface TaskFilter {
  readonly tag?: string | undefined;
  readonly taskId?: TaskId | undefined;
}

/** The pending tasks of one manager, and the results that nobody has taken. */
export class TaskDesk implements TaskOwner {
  readonly results: ResultQueue<TaskResult> = new ResultQueue(() => this.#pending.size === 0);
  readonly #options: TaskDeskOptions;
  readonly #maker: TaskMaker = new TaskMaker();
  readonly #pending: Map<TaskId, TaskHandle<unknown>> = new Map();
  /** `{task: files it makes}`, of pending tasks that make some. */
  readonly #made: Map<TaskId, readonly FileEntry[]> = new Map();
  #lastId = 0;

  constructor(options: TaskDeskOptions) {
    this.#options = options;
  }

  /** Tasks that have not ended. */
  get pendingCount(): number {
    return this.#pending.size;
  }

  /** Gives a task to the core. */
  submit<T>(submission: Submission<T>): TaskHandle<T> {
    const { store, push } = this.#options;
    const { call, body, files = [], runsIn, readers = {} } = submission;
    this.#lastId += 1;
    const id = this.#lastId as TaskId;
    for (const { entry } of call.inputs) store.useAsInput(entry);
    for (const entry of files) store.useAsInput(entry);
    if (!("library" in runsIn)) {
      for (const entry of runsIn.environments) store.useAsInput(entry);
    }
    for (const { entry } of call.outputs) store.useAsOutput(entry, id);
    const task = this.#maker.make(id, { ...call, body, files }, runsIn);
    const { tag, category } = call;
    const { resources } = task.shape;
    const handle = new TaskHandle<T>({ id, owner: this, tag, category, resources, ...readers });
    this.#pending.set(id, handle);
    if (call.outputs.length > 0) this.#made.set(id, call.outputs.map(({ entry }) => entry));
    push({ kind: "task_submitted", task });
    return handle;
  }

  /** Ends a handle. */
  settle(end: TaskEnd): void {
    const handle = this.#pending.get(end.taskId);
    assert(handle, `Task ${end.taskId} settles once`);
    this.#pending.delete(end.taskId);
    for (const entry of this.#made.get(end.taskId) ?? []) entry.producer = undefined;
    this.#made.delete(end.taskId);
    const wasAwaited = handle.isAwaited;
    handle.settle(end);
    this.results.offer(handle, wasAwaited);
  }

  /** Cancels the pending tasks that fit; returns how many. */
  cancelAll({ tag, taskId }: TaskFilter): number {
    let cancelledCount = 0;
    for (const handle of this.#pending.values()) {
      if ((taskId ?? handle.id) !== handle.id || (tag ?? handle.tag) !== handle.tag) continue;
      this.cancel(handle.id);
      cancelledCount += 1;
    }
    return cancelledCount;
  }

  /** See `TaskHandle.state`. */
  stateOf(id: TaskId): TaskStateName {
    return this.#options.stateOf(id);
  }

  /** See `TaskHandle.cancel`. */
  cancel(id: TaskId): void {
    this.#options.push({ kind: "task_cancelled", taskId: id });
  }

  /** See `TaskOwner`. */
  taken(handle: TaskHandle<unknown>): void {
    this.results.drop(handle);
  }

  /** Ends what is pending as cancelled, so that nobody waits for ever. */
  close(message: string): void {
    const atMs = performance.now();
    for (const taskId of [...this.#pending.keys()]) {
      this.settle({
        taskId,
        try: 0,
        outcome: "cancelled",
        message,
        submittedAtMs: 0,
        dispatchedAtMs: 0,
        endedAtMs: atMs,
      });
    }
    this.results.stop();
  }
}
