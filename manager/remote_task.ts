/** What a client's script holds of a task of a manager elsewhere. */

import type { TaskId } from "../shared/ids.ts";
import type { GrowingSource } from "../shared/protocol.ts";
import type { ClientResult } from "./client_protocol.ts";
import type { Explanation } from "./core/explanation.ts";
import { type FollowTarget, followTexts, readTarget } from "./follow_text.ts";
import type { FollowPart } from "./follower.ts";
import type { RemoteFile } from "./remote_file.ts";
import type { TaskStateName } from "./task_handle.ts";
import { TaskError, type TaskResult } from "./task_result.ts";

/** What an awaited remote task gives: as `TaskResult`, with its own handle. */
export interface RemoteResult extends Omit<TaskResult, "task" | "used"> {
  /** The handle whose result this is. */
  readonly task: RemoteTask;
}

/** What a handle asks its manager for. */
export interface RemoteOwner {
  stateOf(id: TaskId): Promise<TaskStateName>;
  explain(id: TaskId): Promise<Explanation>;
  cancel(id: TaskId): Promise<void>;
  /** What the task writes, part by part. */
  follow(id: TaskId, source: GrowingSource): AsyncIterable<FollowPart>;
  /** The result, once the task has ended. */
  resultOf(id: TaskId): Promise<ClientResult>;
  /** Brings an output to its place on this host, if that is not the manager's to do. */
  deliver(file: RemoteFile): Promise<void>;
  /** It has its result, or never will. */
  ended(task: RemoteTask, error: Error | undefined): void;
}

/** What a handle is made of. */
export interface RemoteTaskParts {
  /** Its number, once the manager has taken it. */
  readonly submitted: Promise<TaskId>;
  readonly tag: string | undefined;
  readonly outputs: readonly RemoteFile[];
}

/**
 * A task of a manager elsewhere. Awaiting it gives its `RemoteResult`, also when it failed; it
 * rejects when the manager did not take it, or is gone.
 */
export class RemoteTask implements PromiseLike<RemoteResult> {
  readonly #owner: RemoteOwner;
  readonly #parts: RemoteTaskParts;
  #id: TaskId | undefined;
  #result: RemoteResult | undefined;
  #ending: Promise<RemoteResult> | undefined;
  #isAwaited = false;
  #isHeard = false;

  /** Handles are made by the `submit` of a remote manager. */
  constructor(owner: RemoteOwner, parts: RemoteTaskParts) {
    this.#owner = owner;
    this.#parts = parts;
    parts.submitted.then(
      (id) => this.#id = id,
      // Who awaits the task hears of it; of the others, the manager's `close` does.
      (error) => owner.ended(this, error),
    );
  }

  /** Number of the task; undefined until the manager has taken it, see `submitted`. */
  get id(): TaskId | undefined {
    return this.#id;
  }

  /** The label that the script gave it. */
  get tag(): string | undefined {
    return this.#parts.tag;
  }

  /**
   * True when someone waits for it.
   *
   * @internal
   */
  get isAwaited(): boolean {
    return this.#isAwaited;
  }

  /**
   * True when someone hears of its failure.
   *
   * @internal
   */
  get isHeard(): boolean {
    return this.#isHeard;
  }

  /**
   * Resolves when the manager has taken it, or not.
   *
   * @internal
   */
  async taken(): Promise<void> {
    await Promise.allSettled([this.#parts.submitted]);
  }

  /**
   * The number of the task, once the manager has taken it: its files are sent by then.
   *
   * @throws {Error} When the manager does not take it.
   */
  submitted(): Promise<TaskId> {
    this.#isHeard = true;
    return this.#parts.submitted;
  }

  /** Where it stands, as the manager says. */
  async state(): Promise<TaskStateName> {
    return this.#result !== undefined ? "done" : await this.#owner.stateOf(await this.submitted());
  }

  /** Why it does not run now, as the manager says; as `explain` of a `TaskHandle`. */
  async explain(): Promise<Explanation> {
    return await this.#owner.explain(await this.submitted());
  }

  /** Ends the task wherever it is, with outcome `cancelled`; nothing if it has ended. */
  async cancel(): Promise<void> {
    await this.#owner.cancel(await this.submitted());
  }

  /**
   * What the task writes, as it comes; see `TaskHandle.follow`.
   *
   * @throws {TypeError | RangeError} When `what` is neither a stream nor a mount.
   * @throws {ClientError} When it has no such output, or the manager is gone.
   */
  follow(what: FollowTarget): AsyncGenerator<string, void> {
    return followTexts(this.#followParts(readTarget(what)));
  }

  /** Makes the handle awaitable: gives the result once the task has ended. */
  then<A = RemoteResult, B = never>(
    onFulfilled?: ((result: RemoteResult) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#isAwaited = true;
    this.#isHeard = true;
    return this.ending().then(onFulfilled, onRejected);
  }

  /**
   * The result of a task that succeeded.
   *
   * @throws {TaskError} When it did not.
   */
  async orThrow(): Promise<RemoteResult> {
    const result = await this;
    if (result.outcome === "success") return result;
    throw new TaskError(result);
  }

  /**
   * The result, if it is here.
   *
   * @internal
   */
  peek(): RemoteResult | undefined {
    return this.#result;
  }

  /**
   * Asks for the result; once, whoever wants it.
   *
   * @internal
   */
  ending(): Promise<RemoteResult> {
    this.#ending ??= this.#end();
    return this.#ending;
  }

  async *#followParts(source: GrowingSource): AsyncGenerator<FollowPart, void> {
    yield* this.#owner.follow(await this.submitted(), source);
  }

  async #end(): Promise<RemoteResult> {
    const { submitted, outputs } = this.#parts;
    const id = await submitted;
    try {
      const result = await this.#owner.resultOf(id);
      if (result.outcome === "success") {
        for (const file of outputs) await this.#owner.deliver(file);
      }
      this.#result = resultOf(this, result);
    } catch (error) {
      this.#owner.ended(this, error instanceof Error ? error : new Error(String(error)));
      throw error;
    }
    this.#owner.ended(this, undefined);
    return this.#result;
  }
}

function resultOf(task: RemoteTask, result: ClientResult): RemoteResult {
  const { stdout, stderr, tag, category, workerId, host, ...rest } = result;
  return {
    ...rest,
    task,
    tag,
    category,
    stdout: new TextDecoder().decode(stdout),
    stderr: new TextDecoder().decode(stderr),
    workerId,
    host,
  };
}
