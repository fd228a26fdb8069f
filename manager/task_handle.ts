/** What a script holds of a submitted task. */

import type { TaskId } from "../shared/ids.ts";
import type { GrowingSource } from "../shared/protocol.ts";
import type { ResourceRequest } from "../shared/resources.ts";
import type { Explanation } from "./core/explanation.ts";
import type { TaskEnd } from "./core/instruction.ts";
import { TASK_STATES, type TaskStateName, taskStateOf } from "./core/task_standing.ts";
import { explainEnd } from "./explanation.ts";
import type { FileHandle } from "./file_handle.ts";
import { type FollowPart, restOf } from "./follower.ts";
import { type FollowTarget, followTexts, readTarget } from "./follow_text.ts";
import { TaskError, type TaskResult, taskResult } from "./task_result.ts";

/** Larger values are of use to other calls only: what is read here is in memory as a whole. */
const VALUE_READ_BYTES_MAX: number = 256 * 1024 * 1024;

const NO_BYTES = new Uint8Array(0);

export { TASK_STATES, type TaskStateName, taskStateOf };

/** What a handle asks its manager for. */
export interface TaskOwner {
  stateOf(id: TaskId): TaskStateName;
  /** Undefined of a task that is not remembered any more. */
  explain(id: TaskId): Explanation | undefined;
  cancel(id: TaskId): void;
  /** What a task that has not ended writes. */
  follow(id: TaskId, source: GrowingSource): AsyncIterable<FollowPart>;
  /** The result of this task went to whoever awaits its handle. */
  taken(handle: TaskHandle<unknown>): void;
}

/** What a handle is made of. */
export interface TaskHandleOptions<T> {
  readonly id: TaskId;
  readonly owner: TaskOwner;
  readonly tag: string | undefined;
  readonly category: string | undefined;
  readonly request: ResourceRequest;
  /** Reads the bytes of what a call returned; absent for a command, whose value is its result. */
  readonly readValue?: ((bytes: Uint8Array) => T) | undefined;
  /** Makes the error of a task that failed, if it can say more than its outcome. */
  readonly readError?: ((end: TaskEnd, result: TaskResult) => Error | undefined) | undefined;
}

/**
 * A submitted task. Awaiting it gives its `TaskResult`, also when it failed. Until someone
 * does, a handle holds no promise: a hundred thousand of them are cheap.
 */
export class TaskHandle<T = TaskResult> implements PromiseLike<TaskResult> {
  readonly #options: TaskHandleOptions<T>;
  #end: TaskEnd | undefined;
  #valueFile: FileHandle | undefined;
  /** The value as it is brought here, for all who ask for it meanwhile. */
  #coming: Promise<T> | undefined;
  #waiters: ((end: TaskEnd) => void)[] | undefined;

  /** Handles are made by the manager's `submit`, `run` and the `call` of a library. */
  constructor(options: TaskHandleOptions<T>) {
    this.#options = options;
  }

  /** Number of the task, unique within its manager. */
  get id(): TaskId {
    return this.#options.id;
  }

  /** The label that the script gave it. */
  get tag(): string | undefined {
    return this.#options.tag;
  }

  /**
   * The file that what a call returned is kept in, in the cluster, when it has more than 1 MiB: for
   * `fetch`, or for `undeclare` when nobody needs the value any more. Undefined of all other tasks,
   * and before the end.
   */
  get valueFile(): FileHandle | undefined {
    return this.#valueFile;
  }

  /** Where it stands now. */
  get state(): TaskStateName {
    return this.#end === undefined ? this.#options.owner.stateOf(this.id) : "done";
  }

  /**
   * Why it does not run now: the real cause first. Of a running task since when, of one that has
   * ended how. `describeExplanation` says it in English.
   *
   * @returns Data, good for the moment.
   *
   * @example
   * ```ts
   * const task = manager.submit({ command: "train", gpus: 3 });
   * console.log(describeExplanation(task.explain()).join("\n"));
   * // task 1 waits: needs 3 gpus; the most that one of 4 workers has is 1
   * ```
   */
  explain(): Explanation {
    const { owner, id: taskId } = this.#options;
    const known = owner.explain(taskId);
    if (known !== undefined) return known;
    if (this.#end !== undefined) return explainEnd(this.#end);
    return { taskId, state: this.state, reasons: [{ kind: "not_seen" }] };
  }

  /**
   * How it ended, if it has.
   *
   * @internal
   */
  get ended(): TaskEnd | undefined {
    return this.#end;
  }

  /**
   * True of what has a value of its own, and false of a command.
   *
   * @internal
   */
  get isCall(): boolean {
    return this.#options.readValue !== undefined;
  }

  /**
   * True of a task of that manager.
   *
   * @internal
   */
  isOf(owner: TaskOwner): boolean {
    return this.#options.owner === owner;
  }

  /**
   * True when someone waits for it.
   *
   * @internal
   */
  get isAwaited(): boolean {
    return this.#waiters !== undefined;
  }

  /** Ends the task wherever it is, with outcome `cancelled`; nothing if it has ended. */
  cancel(): void {
    if (this.#end === undefined) this.#options.owner.cancel(this.id);
  }

  /**
   * What the task writes, as it comes: to a stream, or to the file at the mount of an output. It
   * waits for the task to start, goes on with further tries, and ends with the task. Of what was
   * written before, or faster than it is read, the end is given, after a line that says how much was
   * skipped. Once the task has ended, what is kept of a stream is given.
   *
   * @param what `"stdout"`, `"stderr"` or a mount; `{ mount }` for one that is called so.
   * @throws {TypeError | RangeError} When it is none of these.
   *
   * @example
   * ```ts
   * const task = manager.submit({ command: "for i in 1 2 3; do echo $i; sleep 1; done" });
   * for await (const text of task.follow("stdout")) console.log(text);
   * ```
   */
  follow(what: FollowTarget): AsyncGenerator<string, void> {
    const source = readTarget(what);
    return followTexts(this.#parts(source));
  }

  /** Makes the handle awaitable: gives the result once the task has ended. */
  then<A = TaskResult, B = never>(
    onFulfilled?: ((result: TaskResult) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#ended().then((end) => this.resultOf(end)).then(onFulfilled, onRejected);
  }

  /**
   * The result of a task that succeeded.
   *
   * @throws {TaskError} When it did not.
   */
  async orThrow(): Promise<TaskResult> {
    const end = await this.#ended();
    const result = this.resultOf(end);
    if (end.outcome === "success") return result;
    throw this.failureOf(end, result);
  }

  /**
   * What `orThrow` throws of a task that ended so.
   *
   * @internal
   */
  failureOf(end: TaskEnd, result: TaskResult): Error {
    return this.#options.readError?.(end, result) ?? new TaskError(result);
  }

  /**
   * What a function call returned; of a command, its result. A value above 1 MiB is brought from the
   * cluster, where it stays, each time that it is asked for.
   *
   * @throws {TaskError} When the task did not succeed; for an exception in the function, with
   * its message and stack.
   * @throws {RangeError} When the value is too large for this process.
   */
  async value(): Promise<T> {
    const { readValue } = this.#options;
    // Without a reader, T is TaskResult: only the manager makes handles, and it sees to that.
    if (readValue === undefined) return await this.orThrow() as T;
    const end = await this.#ended();
    // A result, which has many fields, is made only where somebody sees it.
    if (end.outcome !== "success") throw this.failureOf(end, this.resultOf(end));
    const file = this.#valueFile;
    if (file === undefined) return readValue(end.result?.value ?? NO_BYTES);
    this.#coming ??= this.#bringValue(file, readValue).finally(() => this.#coming = undefined);
    return await this.#coming;
  }

  async #bringValue(file: FileHandle, read: (bytes: Uint8Array) => T): Promise<T> {
    const { size = 0 } = file;
    if (size > VALUE_READ_BYTES_MAX) {
      throw new RangeError(
        `Cannot read the value of task ${this.id}: it has ${size} bytes, and at most ` +
          `${VALUE_READ_BYTES_MAX} are read here; pass the handle to a call, or fetch its valueFile`,
      );
    }
    return read(await file.contents());
  }

  /**
   * The result, if the task has ended.
   *
   * @internal
   */
  peek(): TaskResult | undefined {
    return this.#end && this.resultOf(this.#end);
  }

  /**
   * What `end`, which may be that of a try before the last, is to scripts.
   *
   * @internal
   */
  resultOf(end: TaskEnd): TaskResult {
    const { tag, category, request } = this.#options;
    return taskResult(this, end, { tag, category, request });
  }

  /**
   * Ends the handle; called once, by its manager.
   *
   * @param valueFile What it returned, if that is a file.
   * @internal
   */
  settle(end: TaskEnd, valueFile?: FileHandle): void {
    this.#end = end;
    this.#valueFile = valueFile;
    const waiters = this.#waiters ?? [];
    this.#waiters = undefined;
    for (const waiter of waiters) waiter(end);
  }

  /**
   * Calls `listener` once the task has ended, with no promise and no result made for it: within the
   * manager's step, or in a moment when it has ended already.
   *
   * @internal
   */
  onEnded(listener: (end: TaskEnd) => void): void {
    const end = this.#end;
    if (end === undefined) {
      (this.#waiters ??= []).push(listener);
      return;
    }
    this.#options.owner.taken(this);
    queueMicrotask(() => listener(end));
  }

  async *#parts(source: GrowingSource): AsyncGenerator<FollowPart, void> {
    if (this.#end === undefined) return yield* this.#options.owner.follow(this.id, source);
    const { result } = this.#end;
    const rest = result && restOf(result, { source, try: result.try, seenBytes: 0 });
    if (rest !== undefined) yield rest;
  }

  #ended(): Promise<TaskEnd> {
    if (this.#end !== undefined) {
      this.#options.owner.taken(this);
      return Promise.resolve(this.#end);
    }
    const { promise, resolve } = Promise.withResolvers<TaskEnd>();
    (this.#waiters ??= []).push(resolve);
    return promise;
  }
}
