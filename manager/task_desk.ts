/**
 * The pending tasks of one manager, from `submit` until they end: those that a script holds by
 * handles, and those of clients, which have none.
 *
 * @module
 */

import { assert } from "../shared/assert.ts";
import type { TaskId } from "../shared/ids.ts";
import type { GrowingSource } from "../shared/protocol.ts";
import type { TaskBody } from "../shared/task.ts";
import { ArgumentWaits } from "./argument_wait.ts";
import type { OpenArguments } from "./call_arguments.ts";
import type { Catalog, TaskEntry } from "./catalog.ts";
import type { ManagerEvent, TaskDefinition } from "./core/event.ts";
import type { Explanation } from "./core/explanation.ts";
import type { TaskEnd } from "./core/instruction.ts";
import type { FileEntry } from "./file_entry.ts";
import type { FileStore } from "./file_store.ts";
import type { OutputLog } from "./output_log.ts";
import type { FollowPart } from "./follower.ts";
import type { OutputWatches } from "./output_watch.ts";
import { askHandler, type RetryHandler } from "./retry_option.ts";
import { ResultQueue } from "./result_queue.ts";
import {
  type CheckedCall,
  type CheckedMember,
  type CheckedProcess,
  TaskMaker,
  toMount,
} from "./task_definition.ts";
import {
  TaskHandle,
  type TaskHandleOptions,
  type TaskOwner,
  type TaskStateName,
} from "./task_handle.ts";
import { labelOf, TaskIndex } from "./task_index.ts";
import type { TaskResult } from "./task_result.ts";

/** What a desk is made of. */
export interface TaskDeskOptions {
  readonly store: FileStore;
  readonly push: (event: ManagerEvent) => void;
  readonly catalog: Catalog;
  readonly output: OutputLog;
  readonly watches: Pick<OutputWatches, "add">;
  /** What a task that has not ended writes. */
  readonly follow: (id: TaskId, source: GrowingSource) => AsyncIterable<FollowPart>;
  /** What the core says of a task that has not ended. */
  readonly stateOf: (id: TaskId) => TaskStateName;
  /** Undefined of a task that is not remembered any more. */
  readonly explain: (id: TaskId) => Explanation | undefined;
}

/** A checked task with what its handle needs. */
export interface Submission<T> {
  readonly call: CheckedCall;
  readonly body: TaskBody;
  /** Files among the arguments of a call. */
  readonly files?: readonly FileEntry[];
  /** Tasks among its arguments that have not all succeeded: it waits until they have. */
  readonly awaits?: readonly TaskId[];
  readonly runsIn: CheckedProcess | { readonly library: string };
  readonly readers?: Pick<TaskHandleOptions<T>, "readValue" | "readError">;
}

/** Which tasks `cancel` ends: those that fit all that is stated. */
export interface TaskFilter {
  readonly tag?: string | undefined;
  readonly category?: string | undefined;
  readonly taskId?: TaskId | undefined;
}

/** Tasks that were taken and are given to the core piece by piece. */
export interface TaskArray {
  readonly firstId: TaskId;
  readonly count: number;
  /** Gives the next ones to the core, at most `most`; false when none is left. */
  readonly next: (most: number) => boolean;
}

/** The tasks of an array that the core does not know yet. */
interface Untold {
  fromId: TaskId;
  readonly toId: TaskId;
  /** Those that were called off meanwhile. */
  readonly cancelled: Set<TaskId>;
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

/** Tasks of one event: what is at workers ends as part of it. */
const CANCELS_MAX = 100;

const NO_BYTES = new Uint8Array();

/** The pending tasks of one manager, and the results that nobody has taken. */
export class TaskDesk implements TaskOwner {
  readonly results: ResultQueue<TaskResult> = new ResultQueue(() => this.#pending.size === 0);
  readonly #options: TaskDeskOptions;
  readonly #waits: ArgumentWaits;
  readonly #maker: TaskMaker = new TaskMaker();
  readonly #pending: Map<TaskId, TaskHandle<unknown>> = new Map();
  /** Pending tasks without a handle. */
  readonly #detached: Set<TaskId> = new Set();
  readonly #untold: Set<Untold> = new Set();
  /** `{task: files it makes}`, of pending tasks that make some. */
  readonly #made: Map<TaskId, readonly FileEntry[]> = new Map();
  readonly #index: TaskIndex = new TaskIndex();
  /** Of pending tasks that have one. */
  readonly #retryHandlers: Map<TaskId, RetryHandler> = new Map();
  #lastId = 0;
  /** Numbers that went to calls of apps, which are no tasks. */
  #reservedCount = 0;
  /** The call of an app of which a try is being submitted. */
  #appCall: TaskId | undefined;
  #isClosed = false;

  constructor(options: TaskDeskOptions) {
    this.#options = options;
    this.#waits = new ArgumentWaits(options);
  }

  /** Tasks with a handle that have not ended. */
  get pendingCount(): number {
    return this.#pending.size;
  }

  /** Tasks that were submitted so far. */
  get takenCount(): number {
    return this.#lastId - this.#reservedCount;
  }

  /** A number of the sequence of tasks for something else. */
  reserveId(): TaskId {
    this.#reservedCount += 1;
    this.#lastId += 1;
    return this.#lastId as TaskId;
  }

  /** What `submit` submits is a try of that call of an app. */
  asTryOf<T>(callId: TaskId, submit: () => T): T {
    this.#appCall = callId;
    try {
      return submit();
    } finally {
      this.#appCall = undefined;
    }
  }

  /** Gives a task to the core. */
  submit<T>(submission: Submission<T>): TaskHandle<T> {
    const { call, readers: { readValue, readError } = {} } = submission;
    this.#useInputs(submission);
    const id = this.#nextId(call);
    const task = this.#make(id, submission);
    const { tag, category } = call;
    const { request } = task.template;
    const handle = new TaskHandle<T>({
      id,
      owner: this,
      tag,
      category,
      request,
      readValue,
      readError,
    });
    this.#pending.set(id, handle);
    const { handler } = call.retry;
    if (handler !== undefined) this.#retryHandlers.set(id, handler);
    this.#note(task, call);
    this.#options.push({ kind: "task_submitted", task });
    return handle;
  }

  /** Gives a call to the core, at once also when values among its arguments are not known yet. */
  call<T>(open: OpenArguments, submission: Omit<Submission<T>, "body" | "files">): TaskHandle<T> {
    const { long, ...planned } = this.#waits.plan(open);
    const handle = this.submit<T>({ ...submission, ...planned });
    if (planned.awaits !== undefined) this.#waits.add(handle.id, open);
    // No other task will have these arguments.
    if (long !== undefined) this.#options.store.release(long.id);
    return handle;
  }

  /**
   * Takes one task per member, alike but for what the member has of its own. They have no handles.
   * Their files must stay declared until all of them are with the core.
   */
  submitArray(
    submission: Omit<Submission<never>, "readers">,
    members: readonly CheckedMember[],
  ): TaskArray {
    const { call, body } = submission;
    const firstId = this.#lastId + 1 as TaskId;
    if (members.length > 0) this.#useInputs(submission);
    const common = this.#make(firstId, submission);
    for (const { outputs } of members) {
      const id = this.#nextId({ outputs: [...call.outputs, ...outputs] });
      this.#detached.add(id);
      this.#note({ ...common, taskId: id }, call);
    }
    const untold = { fromId: firstId, toId: this.#lastId as TaskId, cancelled: new Set<TaskId>() };
    this.#untold.add(untold);
    const tell = ({ env, outputs }: CheckedMember, taskId: TaskId): void => {
      const own = outputs.map(toMount);
      const task = {
        ...common,
        taskId,
        body: env === undefined || body.kind !== "command" ? body : { ...body, env },
        outputs: own.length === 0 ? common.outputs : [...common.outputs, ...own],
      };
      this.#options.push({ kind: "task_submitted", task });
      if (untold.cancelled.has(taskId)) this.#options.push({ kind: "task_cancelled", taskId });
    };
    return {
      firstId,
      count: members.length,
      next: (most) => {
        const start = untold.fromId - firstId;
        const end = this.#isClosed ? members.length : Math.min(members.length, start + most);
        for (let index = start; index < end && !this.#isClosed; index++) {
          const member = members[index];
          if (member !== undefined) tell(member, firstId + index as TaskId);
        }
        untold.fromId = firstId + end as TaskId;
        if (end < members.length) return true;
        this.#untold.delete(untold);
        return false;
      },
    };
  }

  /** Ends a task, and its handle if it has one. */
  settle(end: TaskEnd): void {
    const { taskId, result } = end;
    const handle = this.#pending.get(taskId);
    const isDetached = handle === undefined && this.#detached.delete(taskId);
    assert(handle !== undefined || isDetached, `Task ${taskId} settles once`);
    this.#pending.delete(taskId);
    for (const entry of this.#made.get(taskId) ?? []) entry.producer = undefined;
    this.#made.delete(taskId);
    const { catalog, output } = this.#options;
    const { stdout = NO_BYTES, stderr = NO_BYTES } = result ?? {};
    this.#index.remove(catalog.end(end, output.append({ stdout, stderr })));
    this.#retryHandlers.delete(taskId);
    if (handle === undefined) return;
    const wasAwaited = handle.isAwaited;
    const value = end.outcome === "success" ? result?.valueFile : undefined;
    handle.settle(end, value && this.#options.store.adoptValue(taskId, value));
    this.#waits.end(handle);
    this.results.offer(handle, wasAwaited);
  }

  #useInputs({ call, files = [], runsIn }: Omit<Submission<never>, "readers">): void {
    const { store } = this.#options;
    for (const { entry } of call.inputs) store.useAsInput(entry);
    for (const entry of files) store.useAsInput(entry);
    if ("library" in runsIn) return;
    for (const entry of runsIn.environments) store.useAsInput(entry);
  }

  /** The number of one more task, which makes these files. */
  #nextId({ outputs }: Pick<CheckedCall, "outputs">): TaskId {
    this.#lastId += 1;
    const id = this.#lastId as TaskId;
    for (const { entry } of outputs) this.#options.store.useAsOutput(entry, id);
    if (outputs.length > 0) {
      this.#made.set(id, outputs.map(({ entry }) => entry));
      this.#options.watches.add(id, outputs);
    }
    return id;
  }

  #make(id: TaskId, submission: Omit<Submission<never>, "readers">): TaskDefinition {
    // It was made for this task alone.
    const task: Mutable<TaskDefinition> = this.#maker.make(id, submission, submission.runsIn);
    const { awaits } = submission;
    if (awaits !== undefined) task.awaits = awaits;
    if (this.#appCall !== undefined) task.appCall = this.#appCall;
    return task;
  }

  #note(task: TaskDefinition, { tag, category }: CheckedCall): void {
    const { taskId: id, body, template: { library, request: requested } } = task;
    this.#index.add(this.#options.catalog.add({ id, body, library, tag, category, requested }));
  }

  /** Cancels the pending tasks that fit, whoever submitted them; returns how many. */
  cancelAll(filter: TaskFilter): number {
    const { tag, category, taskId } = filter;
    const candidates = taskId !== undefined
      ? [taskId]
      : tag !== undefined
      ? this.#index.with("tag", tag, () => this.#pendingEntries())
      : category !== undefined
      ? this.#index.with("category", category, () => this.#pendingEntries())
      : this.#pendingIds();
    const isExact = [taskId, tag, category].filter((given) => given !== undefined).length < 2;
    const ids = [...candidates];
    return this.cancelMany(isExact ? ids : ids.filter((id) => this.#fits(id, filter)));
  }

  /** Cancels those of the tasks that are pending; returns how many. */
  cancelMany(taskIds: readonly TaskId[]): number {
    const pending = taskIds.filter((id) => this.#isPending(id));
    const told = this.#untold.size === 0
      ? pending
      : pending.filter((id) => !this.#callOffUntold(id));
    // The newest first: what is made by a task is needed by newer ones. Sorted as numbers, without a
    // call for each comparison.
    const sorted = Float64Array.from(told).sort().reverse();
    for (let at = 0; at < sorted.length; at += CANCELS_MAX) {
      const ids = [...sorted.subarray(at, at + CANCELS_MAX)] as TaskId[];
      this.#options.push({ kind: "tasks_cancelled", taskIds: ids });
    }
    return pending.length;
  }

  #fits(id: TaskId, { tag, category }: TaskFilter): boolean {
    const entry = this.#options.catalog.get(id);
    if (entry === undefined) return false;
    return (tag === undefined || labelOf(entry, "tag") === tag) &&
      (category === undefined || labelOf(entry, "category") === category);
  }

  #isPending(id: TaskId): boolean {
    return this.#pending.has(id) || this.#detached.has(id);
  }

  *#pendingIds(): Generator<TaskId, void> {
    yield* this.#pending.keys();
    yield* this.#detached;
  }

  *#pendingEntries(): Generator<TaskEntry, void> {
    for (const id of this.#pendingIds()) {
      const entry = this.#options.catalog.get(id);
      if (entry !== undefined) yield entry;
    }
  }

  /** Has a task end that the core does not know yet; false if it does. */
  #callOffUntold(id: TaskId): boolean {
    for (const { fromId, toId, cancelled } of this.#untold) {
      if (id < fromId || id > toId) continue;
      cancelled.add(id);
      return true;
    }
    return false;
  }

  /** Asks the script what a try that failed costs, and tells the core. */
  askRetry(end: TaskEnd): void {
    const { taskId, try: number } = end;
    const handle = this.#pending.get(taskId);
    const ask = this.#retryHandlers.get(taskId);
    if (handle === undefined || ask === undefined) return;
    // What it may throw it has caught.
    void askHandler(ask, handle.resultOf(end)).then((decision) => {
      this.#options.push({ kind: "retry_decided", taskId, try: number, decision });
    });
  }

  /** See `TaskHandle.state`. */
  stateOf(id: TaskId): TaskStateName {
    return this.#options.stateOf(id);
  }

  /** See `TaskHandle.follow`. */
  follow(id: TaskId, source: GrowingSource): AsyncIterable<FollowPart> {
    return this.#options.follow(id, source);
  }

  /** See `TaskOwner`. */
  explain(id: TaskId): Explanation | undefined {
    return this.#options.explain(id);
  }

  /** See `TaskHandle.cancel`. */
  cancel(id: TaskId): void {
    if (!this.#callOffUntold(id)) this.#options.push({ kind: "task_cancelled", taskId: id });
  }

  /** See `TaskOwner`. */
  taken(handle: TaskHandle<unknown>): void {
    this.results.drop(handle);
  }

  /** Ends what is pending as cancelled, so that nobody waits for ever. */
  close(message: string): void {
    this.#isClosed = true;
    this.#waits.clear();
    const atMs = performance.now();
    for (const taskId of [...this.#pending.keys(), ...this.#detached]) {
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
